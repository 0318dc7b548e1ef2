"""Two threads on one ring. Forbidden: an item lost, doubled, out of order, or torn."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from feedhandler.core.libc import sched_yield
from feedhandler.core.ring import (
    Ring,
    allocate_ring,
    ring_commit_nb,
    ring_pop_nb,
    ring_push_nb,
    ring_reserve_nb,
    ring_size_nb,
    ring_take_rows_nb,
)
from protocols.jit import kernel

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

ITEMS = 1_000_000
FIELDS = 16
ROW = np.dtype([("words", "i8", FIELDS)])
LOST, DOUBLED, OUT_OF_ORDER, TORN = 0, 1, 2, 3
# A thread that waits for the other yields, so that two of them get on with a single core too;
# it gives up after this many tries, so that a lost item is a failure and no hang.
PATIENCE = 50_000_000


@kernel
def produce_integers_nb(ring: Ring, items: int):
    """Push 0, 1, 2, ...; how many went in."""
    sent = 0
    tries = 0
    while sent < items and tries < PATIENCE:
        if ring_push_nb(ring, sent) == 1:
            sent += 1
        else:
            tries += 1
            sched_yield()
    return sent


@kernel
def judge_nb(value: int, expected: int, faults: np.ndarray):
    """Sort one received number into the forbidden outcomes; the number expected next."""
    if value > expected:
        faults[LOST] += 1
    elif value == expected - 1:
        faults[DOUBLED] += 1
    elif value < expected:
        faults[OUT_OF_ORDER] += 1
    return max(value + 1, expected)


@kernel
def consume_integers_nb(ring: Ring, items: int, faults: np.ndarray):
    """Pop until the last number came; how many were received."""
    expected = 0
    received = 0
    tries = 0
    while expected < items and tries < PATIENCE:
        value = ring_pop_nb(ring)
        if value < 0:
            tries += 1
            sched_yield()
        else:
            received += 1
            expected = judge_nb(value, expected, faults)
    return received


@kernel
def produce_rows_nb(words: np.ndarray, ring: Ring, items: int):
    """Fill rows in place, every word with the same number; how many were committed."""
    sent = 0
    tries = 0
    while sent < items and tries < PATIENCE:
        at = ring_reserve_nb(ring)
        if at < 0:
            tries += 1
            sched_yield()
        else:
            for field in range(FIELDS):
                words[at, field] = sent
            ring_commit_nb(ring)
            sent += 1
    return sent


@kernel
def consume_rows_nb(ring: Ring, out: np.ndarray, words: np.ndarray, items: int, faults: np.ndarray):
    """Take rows in batches; a row whose words differ was torn."""
    expected = 0
    received = 0
    tries = 0
    while expected < items and tries < PATIENCE:
        count = ring_take_rows_nb(ring, out)
        if count == 0:
            tries += 1
            sched_yield()
        for row in range(count):
            value = words[row, 0]
            for field in range(1, FIELDS):
                if words[row, field] != value:
                    faults[TORN] += 1
                    break
            received += 1
            expected = judge_nb(value, expected, faults)
    return received


def run_both(producer: Callable[[], int], consumer: Callable[[], int]):
    results = {}
    threads = [
        threading.Thread(target=lambda: results.update(sent=producer())),
        threading.Thread(target=lambda: results.update(received=consumer())),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


def words_of(rows: np.ndarray):
    return rows.view(np.int64).reshape(-1, FIELDS)


@pytest.mark.parametrize("capacity", [1, 2, 64, 4096])
def test_no_integer_is_lost_doubled_or_out_of_order(capacity: int):
    ring, faults = allocate_ring(capacity), np.zeros(4, np.int64)
    items = ITEMS // 20 if capacity < 64 else ITEMS
    results = run_both(
        lambda: produce_integers_nb(ring, items),
        lambda: consume_integers_nb(ring, items, faults),
    )
    assert results == {"sent": items, "received": items}
    assert faults.tolist() == [0, 0, 0, 0]
    assert ring_size_nb(ring) == 0


@pytest.mark.parametrize("capacity", [1, 8, 1024])
def test_no_row_is_lost_doubled_out_of_order_or_torn(capacity: int):
    ring, faults = allocate_ring(capacity, ROW), np.zeros(4, np.int64)
    out = np.zeros(16, ROW)
    items = ITEMS // 20 if capacity < 64 else ITEMS // 2
    results = run_both(
        lambda: produce_rows_nb(words_of(ring.cells), ring, items),
        lambda: consume_rows_nb(ring, out, words_of(out), items, faults),
    )
    assert results == {"sent": items, "received": items}
    assert faults.tolist() == [0, 0, 0, 0]


def test_the_judge_knows_each_forbidden_outcome():
    faults = np.zeros(4, np.int64)
    expected = 0
    for value in (0, 1, 1, 3, 2, 0, 4):
        expected = judge_nb(value, expected, faults)
    assert expected == 5
    assert faults.tolist() == [1, 1, 2, 0]
    ring, out = allocate_ring(2, ROW), np.zeros(2, ROW)
    words_of(ring.cells)[0, 5] = 1
    ring_commit_nb(ring)
    consume_rows_nb(ring, out, words_of(out), 1, faults)
    assert faults[TORN] == 1
