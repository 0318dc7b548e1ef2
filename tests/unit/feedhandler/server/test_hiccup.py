import time

import numpy as np
import pytest

from feedhandler.core.latency import COUNT, MAX, allocate_histogram
from feedhandler.server.hiccup import HiccupMeter, measure_hiccups_nb, request_stop_nb


def test_each_round_records_one_oversleep():
    histogram, stop = allocate_histogram(), np.zeros(1, np.int64)
    assert measure_hiccups_nb(histogram, stop, 100, 20) == 20
    assert histogram[COUNT] == 20
    assert histogram[MAX] > 0


def test_a_stop_ends_the_slice_before_the_next_sleep():
    histogram, stop = allocate_histogram(), np.zeros(1, np.int64)
    request_stop_nb(stop)
    assert measure_hiccups_nb(histogram, stop, 1_000_000, 20) == 0
    assert histogram[COUNT] == 0


def test_the_meter_measures_from_start_to_stop_and_again():
    histogram = allocate_histogram()
    meter = HiccupMeter(histogram)
    counts = []
    for _ in range(2):
        meter.start()
        time.sleep(0.1)
        meter.stop()
        counts.append(int(histogram[COUNT]))
    time.sleep(0.01)
    assert 0 < counts[0] < counts[1] == histogram[COUNT]


def test_stopping_does_not_wait_for_the_end_of_a_slice():
    meter = HiccupMeter(allocate_histogram(), sleep_us=5_000)
    meter.start()
    before_ns = time.monotonic_ns()
    meter.stop()
    # A whole slice is 200 sleeps of 5 ms; the margin is for a busy machine.
    assert time.monotonic_ns() - before_ns < 500_000_000


def test_a_meter_runs_once_and_may_be_stopped_twice():
    meter = HiccupMeter(allocate_histogram())
    meter.stop()
    meter.start()
    with pytest.raises(RuntimeError, match="running already"):
        meter.start()
    meter.stop()
    meter.stop()


@pytest.mark.compiled_only
def test_a_thread_that_keeps_the_interpreter_busy_is_no_hiccup():
    histogram = allocate_histogram()
    meter = HiccupMeter(histogram)
    meter.start()
    stop_ns = time.monotonic_ns() + 150_000_000
    while time.monotonic_ns() < stop_ns:
        sum(range(1000))
    meter.stop()
    # With the interpreter's lock each wake-up would wait up to 5 ms for its turn: some 25 rounds.
    assert histogram[COUNT] > 40
