"""One thread hands packets, in sequence, to several that each take all of them; lock-free.

    cursors  i64[32 * (1 + takers)], two lines of 128 bytes for each writer
               producer   [0] tail: position of the next record
                          [1] slowest head as it last saw it
                          [2] closed: 1 when nothing more comes
                          [3], [4] state and doubt as last handed on
               taker k, from 32 * (1 + k) on
                          [0] head: position it takes next     [1] tail as it last saw it
                          [16] asleep: 1 while it waits to be woken
                          [17] suspect: 1 while its books are in doubt
    entries  ENTRY[capacity], kinds i64[capacity], payload u8[capacity * slot_bytes]
    nexts    i64[capacity]: every message below it was handed on, or never will be
             capacity a power of two; record p is at p & (capacity - 1)
    fds      i64[takers]: eventfd that wakes a taker, -1 for none

    producer: fill record tail; tail.store(release)      with tail - capacity below every head
    taker:    tail.load(acquire); use record head; head.store(release)

Nothing is overwritten that a taker has not taken: a producer that finds no room waits for the
slowest one. What a taker wrote before it stored its head is seen by a producer that loads it.
The producer looks at the second line of each taker all the time, so it is stored to only when it
changes; at the first one, which changes with every record, when it seems to have no more room.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.lines import zeros
from feedhandler.core.sequence import ENTRY
from protocols.by_reference import by_reference
from protocols.jit import kernel

ROW_WORDS = 32


class Record(IntEnum):
    """What a record tells: the blocks of a packet; the channel's state from here on, `seq`, and
    with `end` 1 that the books may be wrong; books anew from the `end` blocks of a snapshot, after
    which message `seq` is next.
    """

    PACKET = 0
    STATE = 1
    SNAPSHOT = 2


class Made(IntEnum):
    """Words of the producer's row."""

    TAIL = 0
    SLOWEST_SEEN = 1
    CLOSED = 2
    STATE = 3
    SUSPECT = 4


class Taken(IntEnum):
    """Words of a taker's row."""

    HEAD = 0
    TAIL_SEEN = 1
    ASLEEP = 16
    SUSPECT = 17


@by_reference
class Broadcast(NamedTuple):
    """The arrays at the top of this file."""

    cursors: NDArray[np.int64]
    entries: NDArray[np.void]
    kinds: NDArray[np.int64]
    nexts: NDArray[np.int64]
    payload: NDArray[np.uint8]
    fds: NDArray[np.int64]
    slot_bytes: int


def allocate_broadcast(capacity: int, slot_bytes: int, takers: int) -> Broadcast:
    """An empty one for `capacity` (a power of two) records of at most `slot_bytes` bytes."""
    if capacity < 1 or capacity & (capacity - 1):
        raise ValueError(f"a broadcast's capacity is a power of two, not {capacity}")
    fds = zeros(takers)
    fds[:] = -1
    return Broadcast(
        zeros(ROW_WORDS * (1 + takers)),
        zeros(capacity, ENTRY),
        zeros(capacity),
        zeros(capacity),
        zeros(capacity * slot_bytes, np.uint8),
        fds,
        slot_bytes,
    )


@kernel
def taker_word_nb(taker: int, word: int) -> int:
    """Place of a word of a taker's row in `cursors`."""
    return ROW_WORDS * (1 + taker) + word


@kernel
def slowest_nb(broadcast: Broadcast) -> int:
    """Every taker has taken all records below this position. Producer's thread only."""
    slowest = broadcast.cursors[Made.TAIL]
    for taker in range(broadcast.fds.shape[0]):
        head = load_acquire(broadcast.cursors, taker_word_nb(taker, np.int64(Taken.HEAD)))
        slowest = min(slowest, head)
    return slowest


@kernel
def broadcast_reserve_nb(broadcast: Broadcast) -> int:
    """Place of the record to fill before `broadcast_commit_nb`, or -1 while a taker has yet to take
    the one that is there. Producer's thread only.
    """
    cursors = broadcast.cursors
    tail = cursors[Made.TAIL]
    capacity = broadcast.kinds.shape[0]
    if tail - cursors[Made.SLOWEST_SEEN] >= capacity:
        cursors[Made.SLOWEST_SEEN] = slowest_nb(broadcast)
        if tail - cursors[Made.SLOWEST_SEEN] >= capacity:
            return -1
    place: int = tail & (capacity - 1)
    return place


@kernel
def broadcast_commit_nb(broadcast: Broadcast) -> None:
    """Hand on the record that `broadcast_reserve_nb` gave. Producer's thread only."""
    store_release(broadcast.cursors, np.int64(Made.TAIL), broadcast.cursors[Made.TAIL] + 1)


@kernel
def broadcast_peek_nb(broadcast: Broadcast, taker: int) -> int:
    """Place of the record that this taker takes next, or -1 when there is none. It stays as it is
    until `broadcast_drop_nb`. The taker's thread only.
    """
    cursors = broadcast.cursors
    head = cursors[taker_word_nb(taker, np.int64(Taken.HEAD))]
    seen_at = taker_word_nb(taker, np.int64(Taken.TAIL_SEEN))
    if head >= cursors[seen_at]:
        cursors[seen_at] = load_acquire(cursors, np.int64(Made.TAIL))
        if head >= cursors[seen_at]:
            return -1
    place: int = head & (broadcast.kinds.shape[0] - 1)
    return place


@kernel
def broadcast_drop_nb(broadcast: Broadcast, taker: int) -> None:
    """This taker is done with the record that it saw. The taker's thread only."""
    at = taker_word_nb(taker, np.int64(Taken.HEAD))
    store_release(broadcast.cursors, at, broadcast.cursors[at] + 1)


@kernel
def broadcast_close_nb(broadcast: Broadcast) -> None:
    """Nothing more comes. Producer's thread only, or another one after its end."""
    store_release(broadcast.cursors, np.int64(Made.CLOSED), np.int64(1))


@kernel
def is_closed_nb(broadcast: Broadcast) -> int:
    """1 when nothing more comes; what came before that is there to be seen."""
    return load_acquire(broadcast.cursors, np.int64(Made.CLOSED))
