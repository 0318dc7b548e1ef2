"""The machine's own noise: how late a thread that wants nothing but to wake up after 1 ms is woken.

No latency of ours can be better than this, so it is printed beside every one. The loop is a kernel:
it holds no GIL, so that it measures the machine and not the Python threads of the process.
"""

import ctypes
import threading

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.latency import Histogram, allocate_histogram
from feedhandler.core.libc import CLOCK_MONOTONIC, clock_ns, usleep
from feedhandler.core.recording import record_nb
from protocols.jit import kernel

SLEEP_US = 1_000
ROUNDS_A_SLICE = 200
_NS_PER_US = 1_000
_PR_SET_TIMERSLACK = 29
_TIMER_SLACK_NS = 1


@kernel
def measure_hiccups_nb(
    histogram: Histogram, stop: NDArray[np.int64], sleep_us: int, rounds: int
) -> int:
    """Sleep `rounds` times, or until stop[0] is set, and record by how much each was too long.

    Shapes:  histogram i64[HISTOGRAM_WORDS], owned by this thread; stop i64[1], set by another.
    Units:   ns are recorded.
    Returns: rounds done.
    """
    for done in range(rounds):
        if load_acquire(stop, 0) != 0:
            return done
        before_ns = clock_ns(CLOCK_MONOTONIC)
        usleep(sleep_us)
        late_ns = clock_ns(CLOCK_MONOTONIC) - before_ns - sleep_us * _NS_PER_US
        record_nb(histogram, late_ns)
    return rounds


class HiccupMeter:
    """A thread that records the machine's hiccups from `start` to `stop`, one each `sleep_us`.

    A wake-up costs 3 us on bare metal, some 20 us on a small virtual machine (0.3 % and 2 % of a
    core at 1 ms); where that is too much, sleep longer.
    """

    def __init__(self, histogram: Histogram, sleep_us: int = SLEEP_US) -> None:
        self._histogram = histogram
        self._sleep_us = sleep_us
        self._stop = np.zeros(1, np.int64)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start measuring; compiles the kernel first if it was not yet."""
        if self._thread is not None:
            raise RuntimeError("the hiccup meter is running already")
        self._stop[0] = 0
        measure_hiccups_nb(allocate_histogram(), self._stop, self._sleep_us, 0)
        self._thread = threading.Thread(target=self._run, name="hiccup", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop within a few milliseconds; harmless when it does not run."""
        if self._thread is None:
            return
        request_stop_nb(self._stop)
        self._thread.join()
        self._thread = None

    def _run(self) -> None:
        # By default the system may delay a sleeper by 50 us, which would hide smaller noise.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(_TIMER_SLACK_NS), 0, 0, 0)
        done = ROUNDS_A_SLICE
        while done == ROUNDS_A_SLICE:
            done = measure_hiccups_nb(self._histogram, self._stop, self._sleep_us, ROUNDS_A_SLICE)


@kernel
def request_stop_nb(stop: NDArray[np.int64]) -> None:
    """Set stop[0], so that another thread's kernel sees it."""
    store_release(stop, 0, 1)
