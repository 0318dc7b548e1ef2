"""What a sequencer hands to its shards, in which place, and what it hears from them."""

import os
import threading
import time

import numpy as np
import pytest

from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.broadcast import Taken, taker_word_nb
from feedhandler.core.counts import Count, SnapshotFault
from feedhandler.core.events import Flag
from feedhandler.core.handover import hand_state_nb, wake_takers_nb
from feedhandler.core.recovery import skip_hole_nb
from feedhandler.core.shard import Control
from feedhandler.core.snapshot import Snapshot
from feedhandler.core.states import State
from tests.unit.feedhandler.core.support import (
    NEVER,
    SECOND,
    add,
    delete,
    heartbeat,
    packet,
    system_event,
    trading_action,
)
from tests.unit.feedhandler.core.team import Team

SHARDS = 3


def orders(*locates: int, first: int = 1) -> list[bytes]:
    """An order of each instrument."""
    return [
        add(first + i, "B", 100, 9_900 + locate, locate=locate) for i, locate in enumerate(locates)
    ]


def live_orders(team: Team) -> list[int]:
    return [int(each.shard.book.meta[ORDERS_LIVE]) for each in team.shards]


def states(team: Team) -> list[State]:
    return [State(each.channel["state"]) for each in team.shards]


def doubted(team: Team) -> list[int]:
    """Messages whose ticks are in doubt."""
    return [int(tick["seq"]) for tick in team.ticks() if tick["flags"] & Flag.IN_DOUBT]


def in_a_snapshot(team: Team, messages: list[bytes], next_seq: int) -> None:
    """What the control plane does, and the round that takes it."""
    shard = team.front.shard
    blocks = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    shard.snapshot[: len(blocks)] = np.frombuffer(blocks, np.uint8)
    shard.control[Control.SNAPSHOT_BLOCKS] = len(messages)
    shard.control[Control.SNAPSHOT_SEQ] = next_seq
    shard.control[Control.SNAPSHOT] = Snapshot.READY
    with team.following():
        team.front.poll()
    team.follow()


def test_each_message_goes_to_the_shard_of_its_instrument_and_the_sequencer_keeps_no_book():
    team = Team(SHARDS)
    team.front.take(packet(1, [*orders(1, 2, 3, 4, 5), system_event()]))
    assert team.front.shard.channel[0]["next_seq"] == 7
    assert team.behind() == [True] * SHARDS
    team.settle()
    team.follow()
    assert live_orders(team) == [1, 2, 2]
    assert [each.count(Count.APPLIED) for each in team.shards] == [2, 2, 2]
    assert [int(each.channel["next_seq"]) for each in team.shards] == [7] * SHARDS
    assert team.front.shard.book.meta[ORDERS_LIVE] == 0
    assert team.front.count(Count.APPLIED) == 0
    assert states(team) == [State.LIVE] * SHARDS
    assert doubted(team) == []


def test_a_state_stands_in_its_place_among_the_packets():
    team = Team(SHARDS, reorder_ns=0)
    team.front.take(packet(1, orders(1, 2)))
    team.settle()
    team.front.take(packet(5, orders(3, 4, first=5)))
    team.settle()
    team.follow()
    assert states(team) == [State.GAP] * SHARDS
    team.front.take(packet(3, orders(5, 6, first=3)), 1)
    team.settle()
    team.follow()
    assert states(team) == [State.LIVE] * SHARDS
    assert [int(tick["seq"]) for tick in team.ticks()] == [1, 2, 3, 4, 5, 6]
    assert doubted(team) == [3, 4, 5, 6]


def test_a_state_is_told_once():
    team = Team(SHARDS)
    team.front.take(packet(1, orders(1)))
    team.settle()
    assert team.follow() == SHARDS * 2
    team.settle()
    assert team.follow() == 0


def test_books_that_one_shard_doubts_are_in_doubt_in_all_until_a_snapshot_comes():
    team = Team(SHARDS, strict=1, can_snapshot=1, stale_after_ns=NEVER)
    front = team.front
    front.take(packet(1, [*orders(1, 2), delete(77, locate=2), *orders(2, first=8)]))
    team.follow()
    # The shard itself says so at once; the others when the sequencer has heard of it.
    assert [int(each.channel["suspect"]) for each in team.shards] == [0, 0, 1]
    assert doubted(team) == [4]
    team.settle()
    team.settle()
    assert front.count(Count.BOOKS_SUSPECT) == 1
    assert front.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    team.follow()
    assert [int(each.channel["suspect"]) for each in team.shards] == [1] * SHARDS
    front.take(packet(5, orders(1, 2, 3, first=20)))
    assert front.channel["next_seq"] == 5  # it waits for the snapshot
    in_a_snapshot(team, [trading_action("T", locate=4), *orders(1, 2, first=1)], 5)
    assert [int(each.channel["suspect"]) for each in team.shards] == [0] * SHARDS
    assert live_orders(team) == [1, 2, 2]
    assert states(team) == [State.LIVE] * SHARDS
    front.take(packet(8, orders(1, 2, 3, first=30)))
    team.follow()
    assert [int(tick["seq"]) for tick in team.ticks()] == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert doubted(team) == [4, 5, 6, 7]
    assert [each.count(Count.BOOKS_SUSPECT) for each in team.shards] == [0] * SHARDS
    assert team.total(Count.SNAPSHOTS) == 1


def test_a_snapshot_is_of_the_whole_channel_and_each_shard_takes_its_own_part():
    team = Team(SHARDS, can_snapshot=1, reorder_ns=0, stale_after_ns=NEVER)
    team.front.take(packet(1, orders(1)))
    team.front.take(packet(200, orders(3, first=200)))
    for _ in range(3):
        team.front.poll()
        team.follow()
    assert team.front.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    many = orders(*[1 + i % 12 for i in range(150)], first=300)
    in_a_snapshot(team, many, 200)
    # All but the order that came before are there, and then the one that had waited.
    assert sum(live_orders(team)) == 151
    assert live_orders(team)[0] == 51
    assert team.total(Count.COVERED_BY_SNAPSHOT) == 198
    assert team.total(Count.APPLIED) == 2
    assert [int(each.channel["next_seq"]) for each in team.shards] == [201] * SHARDS
    assert team.front.shard.control[Control.SNAPSHOT] == Snapshot.IDLE


def test_a_snapshot_that_a_shard_cannot_apply_leaves_all_books_suspect():
    team = Team(SHARDS, can_snapshot=1, reorder_ns=0, stale_after_ns=NEVER)
    team.front.take(packet(10, orders(1)))
    for _ in range(3):
        team.front.poll()
        team.follow()
    in_a_snapshot(team, [*orders(4), delete(99, locate=5)], 10)
    row = Count.SNAPSHOT_DROPPED + SnapshotFault.UNKNOWN_REFERENCE - 1
    assert team.total(row) == 1
    assert team.front.count(Count.BOOKS_SUSPECT) == 1
    assert team.front.channel["snapshot_failures"] == 1
    team.follow()
    assert [int(each.channel["suspect"]) for each in team.shards] == [1] * SHARDS


def test_a_hole_that_is_given_up_is_one_for_every_shard():
    team = Team(SHARDS, reorder_ns=NEVER)
    team.front.take(packet(1, orders(1)))
    team.front.take(packet(4, orders(2, first=4)))
    skip_hole_nb(team.front.shard, team.front.rx)
    # It overlaps the hole: what is of the hole was given up.
    team.front.take(packet(3, [*orders(3, first=3), *orders(2, 4, first=40)]))
    team.settle()
    team.follow()
    assert [int(tick["seq"]) for tick in team.ticks()] == [1, 4, 5]
    assert doubted(team) == [4, 5]
    assert team.total(Count.UNRECOVERED) == 2
    assert [int(each.channel["next_seq"]) for each in team.shards] == [6] * SHARDS


def test_a_shard_that_is_behind_holds_the_sequencer_up_and_nothing_is_lost():
    team = Team(2, records=2)
    front = team.front
    for seq in (1, 2, 3, 4):
        done = threading.Thread(target=front.take, args=(packet(seq, [system_event(seq)]),))
        done.start()
        until = time.monotonic_ns() + 10 * SECOND
        while done.is_alive():
            assert time.monotonic_ns() < until
            if front.count(Count.SHARD_WAITS):
                team.follow(1)
    team.follow()
    assert front.count(Count.SHARD_WAITS) > 0
    assert [int(tick["seq"]) for tick in team.ticks()] == [1, 2, 3, 4]


def test_a_sequencer_that_is_to_stop_waits_for_nobody():
    team = Team(2, records=1)
    front = team.front
    front.take(heartbeat(1))
    front.shard.control[Control.STOP] = 1
    assert hand_state_nb(front.shard) == 1
    front.take(packet(1, orders(1)))
    assert front.channel["next_seq"] == 1
    front.channel["state"] = State.STALE
    assert hand_state_nb(front.shard) == 0
    front.take(packet(1, orders(1)))
    in_a_snapshot_without_takers(team)
    team.follow()
    assert team.total(Count.APPLIED) == 0
    assert front.count(Count.BOOKS_SUSPECT) == 1


def in_a_snapshot_without_takers(team: Team) -> None:
    """A snapshot that nobody takes any more."""
    team.front.channel["highest_seq"] = 9
    team.front.shard.control[Control.SNAPSHOT_SEQ] = 9
    team.front.shard.control[Control.SNAPSHOT] = Snapshot.READY
    team.front.poll()


def test_a_snapshot_that_is_being_taken_is_not_waited_for_at_the_end():
    team = Team(2, records=8)
    team.front.take(heartbeat(1))
    team.settle()
    team.front.shard.control[Control.STOP] = 1
    in_a_snapshot_without_takers(team)
    assert team.front.count(Count.BOOKS_SUSPECT) == 1


@pytest.mark.parametrize("asleep", [0, 1])
def test_only_a_taker_that_sleeps_is_woken(asleep: int):
    team = Team(2)
    broadcast = team.front.shard.broadcast
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    broadcast.fds[1] = fd
    broadcast.cursors[taker_word_nb(0, Taken.ASLEEP)] = 1
    broadcast.cursors[taker_word_nb(1, Taken.ASLEEP)] = asleep
    wake_takers_nb(broadcast, team.front.rx.wakeup)
    if asleep:
        assert os.eventfd_read(fd) == 1
    else:
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)
    os.close(fd)
