"""Single-producer single-consumer ring, lock-free, over one array.

    cursors  i64[32]:   [0] tail: next to write, stored by the producer   (its own 128 bytes)
                       [16] head: next to read, stored by the consumer    (its own 128 bytes)
    cells    T[capacity], capacity a power of two; cell of position p is p & (capacity - 1)

    producer: cells[tail] = value; tail.store(release)
    consumer: tail.load(acquire); value = cells[head]; head.store(release)

Forbidden outcomes, each with a stress test: an item lost, doubled, out of order, or read before it
was written whole. Cursors only grow; at 1e9 items a second they would wrap after 292 years.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, store_release
from protocols.jit import kernel

TAIL = 0
HEAD = 16
CURSOR_WORDS = 32


class Ring(NamedTuple):
    """The two arrays of a ring; `cells` may hold integers or structured rows."""

    cursors: NDArray[np.int64]
    cells: NDArray[Any]


def allocate_ring(capacity: int, dtype: Any = np.int32) -> Ring:
    """An empty ring of `capacity` (a power of two) cells."""
    if capacity < 1 or capacity & (capacity - 1):
        raise ValueError(f"a ring's capacity is a power of two, not {capacity}")
    return Ring(np.zeros(CURSOR_WORDS, np.int64), np.zeros(capacity, dtype))


@kernel
def ring_push_nb(ring: Ring, value: int) -> int:
    """Append one integer; 1, or 0 when the ring is full. Producer's thread only."""
    tail = ring.cursors[TAIL]
    if tail - load_acquire(ring.cursors, HEAD) >= ring.cells.shape[0]:
        return 0
    ring.cells[tail & (ring.cells.shape[0] - 1)] = value
    store_release(ring.cursors, TAIL, tail + 1)
    return 1


@kernel
def ring_pop_nb(ring: Ring) -> int:
    """Take the oldest integer, or -1 when the ring is empty. Consumer's thread only.

    So a ring of integers holds none below 0.
    """
    head = ring.cursors[HEAD]
    if head >= load_acquire(ring.cursors, TAIL):
        return -1
    value = np.int64(ring.cells[head & (ring.cells.shape[0] - 1)])
    store_release(ring.cursors, HEAD, head + 1)
    return value


@kernel
def ring_size_nb(ring: Ring) -> int:
    """Items in the ring, as either side or an observer sees it now."""
    return load_acquire(ring.cursors, TAIL) - load_acquire(ring.cursors, HEAD)


@kernel
def ring_reserve_nb(ring: Ring) -> int:
    """Index of the cell to fill in place before `ring_commit_nb`, or -1 when the ring is full.
    Producer's thread only.
    """
    tail = ring.cursors[TAIL]
    if tail - load_acquire(ring.cursors, HEAD) >= ring.cells.shape[0]:
        return -1
    index: int = tail & (ring.cells.shape[0] - 1)
    return index


@kernel
def ring_commit_nb(ring: Ring) -> None:
    """Publish the cell that `ring_reserve_nb` gave. Producer's thread only."""
    store_release(ring.cursors, TAIL, ring.cursors[TAIL] + 1)


@kernel
def ring_take_rows_nb(ring: Ring, out: NDArray[Any]) -> int:
    """Move up to len(out) oldest rows into `out`; how many. Consumer's thread only."""
    head = ring.cursors[HEAD]
    ready = load_acquire(ring.cursors, TAIL) - head
    count: int = min(ready, out.shape[0])
    for i in range(count):
        out[i] = ring.cells[(head + i) & (ring.cells.shape[0] - 1)]
    if count > 0:
        store_release(ring.cursors, HEAD, head + count)
    return count
