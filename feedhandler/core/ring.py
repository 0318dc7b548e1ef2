"""Single-producer single-consumer ring, lock-free, over one array.

    cursors  i64[32]:   [0] tail: next to write, stored by the producer    (its own 128 bytes)
                        [1] head as the producer last saw it
                       [16] head: next to read, stored by the consumer     (its own 128 bytes)
                       [17] tail as the consumer last saw it
    cells    T[capacity], capacity a power of two; cell of position p is p & (capacity - 1)

    producer: cells[tail] = value; tail.store(release)
    consumer: tail.load(acquire); value = cells[head]; head.store(release)

Each side looks at the other's cursor only when what it saw of it last is used up: then the cache
line of a cursor travels once for many items.

Forbidden outcomes, each with a stress test: an item lost, doubled, out of order, or read before it
was written whole. Cursors only grow; at 1e9 items a second they would wrap after 292 years.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.lines import zeros
from protocols.jit import kernel

TAIL = 0
HEAD = 16
_HEAD_SEEN = 1
_TAIL_SEEN = 17
CURSOR_WORDS = 32


class Ring(NamedTuple):
    """The two arrays of a ring; `cells` may hold integers or structured rows."""

    cursors: NDArray[np.int64]
    cells: NDArray[Any]


def allocate_ring(capacity: int, dtype: Any = np.int32) -> Ring:
    """An empty ring of `capacity` (a power of two) cells."""
    if capacity < 1 or capacity & (capacity - 1):
        raise ValueError(f"a ring's capacity is a power of two, not {capacity}")
    return Ring(zeros(CURSOR_WORDS), zeros(capacity, dtype))


@kernel
def _is_full_nb(ring: Ring, tail: int) -> int:
    """1 when no cell is free. Producer's thread only."""
    capacity = ring.cells.shape[0]
    if tail - ring.cursors[_HEAD_SEEN] < capacity:
        return 0
    ring.cursors[_HEAD_SEEN] = load_acquire(ring.cursors, HEAD)
    return int(tail - ring.cursors[_HEAD_SEEN] >= capacity)


@kernel
def _is_empty_nb(ring: Ring, head: int) -> int:
    """1 when there is nothing to take. Consumer's thread only."""
    if head < ring.cursors[_TAIL_SEEN]:
        return 0
    ring.cursors[_TAIL_SEEN] = load_acquire(ring.cursors, TAIL)
    return int(head >= ring.cursors[_TAIL_SEEN])


@kernel
def ring_push_nb(ring: Ring, value: int) -> int:
    """Append one integer; 1, or 0 when the ring is full. Producer's thread only."""
    tail = ring.cursors[TAIL]
    if _is_full_nb(ring, tail):
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
    if _is_empty_nb(ring, head):
        return -1
    return ring_take_nb(ring, head)


@kernel
def ring_take_nb(ring: Ring, head: int) -> int:
    """Take the oldest integer, at cursors[HEAD] = `head`, which the caller has seen to be there.
    Consumer's thread only.
    """
    value = np.int64(ring.cells[np.uint64(head & (ring.cells.shape[0] - 1))])
    store_release(ring.cursors, HEAD, head + 1)
    return value


@kernel
def ring_lay_nb(ring: Ring, ahead: int, value: int) -> None:
    """Put an integer `ahead` cells behind the last one, where the caller knows that there is room;
    `ring_publish_nb` shows it to the consumer. Producer's thread only.
    """
    place = (ring.cursors[TAIL] + ahead) & (ring.cells.shape[0] - 1)
    ring.cells[np.uint64(place)] = value


@kernel
def ring_publish_nb(ring: Ring, count: int) -> None:
    """Show the consumer the next `count` cells. Producer's thread only."""
    store_release(ring.cursors, TAIL, ring.cursors[TAIL] + count)


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
    if _is_full_nb(ring, tail):
        return -1
    index: int = tail & (ring.cells.shape[0] - 1)
    return index


@kernel
def ring_commit_nb(ring: Ring) -> None:
    """Publish the cell that `ring_reserve_nb` gave. Producer's thread only."""
    ring_publish_nb(ring, 1)


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
