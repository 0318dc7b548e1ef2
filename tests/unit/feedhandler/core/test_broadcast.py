"""One producer, several takers: each takes everything, and nothing is overwritten before."""

import numpy as np
import pytest

from feedhandler.core.broadcast import (
    Broadcast,
    Record,
    Taken,
    allocate_broadcast,
    broadcast_close_nb,
    broadcast_commit_nb,
    broadcast_drop_nb,
    broadcast_peek_nb,
    broadcast_reserve_nb,
    is_closed_nb,
    slowest_nb,
    taker_word_nb,
)
from feedhandler.core.lines import LINE_BYTES


def put(broadcast: Broadcast, seq: int) -> bool:
    """A record that tells its number; False when there is no room."""
    place = broadcast_reserve_nb(broadcast)
    if place < 0:
        return False
    broadcast.entries[place]["seq"] = seq
    broadcast.kinds[place] = Record.PACKET
    broadcast_commit_nb(broadcast)
    return True


def take(broadcast: Broadcast, taker: int) -> int:
    """The number of the record that the taker takes next, or -1."""
    place = broadcast_peek_nb(broadcast, taker)
    if place < 0:
        return -1
    seq = int(broadcast.entries[place]["seq"])
    broadcast_drop_nb(broadcast, taker)
    return seq


@pytest.mark.parametrize("capacity", [0, 3, -4])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity: int):
    with pytest.raises(ValueError, match="power of two"):
        allocate_broadcast(capacity, 8, 1)


def test_every_taker_takes_every_record_in_its_order():
    broadcast = allocate_broadcast(4, 8, 3)
    for seq in (1, 2, 3):
        assert put(broadcast, seq)
    for taker in range(3):
        assert [take(broadcast, taker) for _ in range(4)] == [1, 2, 3, -1]


def test_there_is_room_only_behind_the_slowest_taker():
    broadcast = allocate_broadcast(2, 8, 2)
    assert put(broadcast, 1)
    assert put(broadcast, 2)
    assert not put(broadcast, 3)
    assert [take(broadcast, 0), take(broadcast, 0)] == [1, 2]
    assert not put(broadcast, 3)
    assert slowest_nb(broadcast) == 0
    assert take(broadcast, 1) == 1
    assert put(broadcast, 3)
    assert not put(broadcast, 4)
    assert [take(broadcast, 1), take(broadcast, 1)] == [2, 3]
    assert take(broadcast, 0) == 3
    assert slowest_nb(broadcast) == 3


def test_a_record_stays_until_it_is_dropped():
    broadcast = allocate_broadcast(1, 8, 1)
    assert put(broadcast, 7)
    assert broadcast_peek_nb(broadcast, 0) == broadcast_peek_nb(broadcast, 0) == 0
    assert not put(broadcast, 8)
    assert (take(broadcast, 0), take(broadcast, 0)) == (7, -1)


def test_what_came_before_the_end_is_still_there():
    broadcast = allocate_broadcast(4, 8, 1)
    assert put(broadcast, 1)
    assert not is_closed_nb(broadcast)
    broadcast_close_nb(broadcast)
    assert is_closed_nb(broadcast)
    assert take(broadcast, 0) == 1


def test_each_writer_has_lines_of_its_own():
    broadcast = allocate_broadcast(4, 8, 5)
    assert broadcast.cursors.shape == (6 * 2 * LINE_BYTES // 8,)
    assert broadcast.cursors.ctypes.data % LINE_BYTES == 0
    for taker in range(5):
        before = broadcast.cursors.copy()
        broadcast_drop_nb(broadcast, taker)
        (changed,) = np.flatnonzero(broadcast.cursors != before)
        assert changed * 8 // LINE_BYTES == 2 * (1 + taker)
        flags = [taker_word_nb(taker, word) * 8 for word in (Taken.ASLEEP, Taken.SUSPECT)]
        assert [at // LINE_BYTES for at in flags] == [2 * (1 + taker) + 1] * 2
