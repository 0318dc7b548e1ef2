"""Snapshots: when one is asked for, what is taken of it, and when it is left alone."""

import os
import time
from typing import Any

import numpy as np
import pytest

from feedhandler.core.book.layout import ORDERS_LIVE, BookCapacity
from feedhandler.core.counts import Count, SnapshotFault
from feedhandler.core.events import Flag
from feedhandler.core.recovery import follow_snapshot_nb
from feedhandler.core.sequence import SNAPSHOT_TRIES, WINDOW_COUNT
from feedhandler.core.shard import Control, Setting
from feedhandler.core.snapshot import Snapshot, load_snapshot_nb
from feedhandler.core.states import State
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    NEVER,
    SECOND,
    Engine,
    add,
    delete,
    heartbeat,
    packet,
    system_event,
    trading_action,
)


def one(seq: int) -> bytes:
    """A packet with one message that tells its number."""
    return packet(seq, [system_event(seq)])


def state(engine: Engine) -> State:
    return State(engine.channel["state"])


def applied(engine: Engine) -> list[int]:
    return [int(tick["seq"]) for tick in engine.ticks()]


def offer_snapshot(engine: Engine, messages: list[bytes], next_seq: int) -> None:
    """What the control plane does when it has loaded one."""
    blocks = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    engine.shard.snapshot[: len(blocks)] = np.frombuffer(blocks, np.uint8)
    engine.shard.control[Control.SNAPSHOT_BLOCKS] = len(messages)
    engine.shard.control[Control.SNAPSHOT_SEQ] = next_seq
    engine.shard.control[Control.SNAPSHOT] = Snapshot.READY


def gapped_engine(**options: Any) -> Engine:
    """One order in the book, messages 2 to 9 missing, 10 in the window, a snapshot wanted."""
    engine = Engine(can_snapshot=1, reorder_ns=0, stale_after_ns=NEVER, **options)
    engine.take(packet(1, [add(1, "B", 100, 9_900)]))
    engine.take(packet(10, [add(10, "B", 100, 9_950)]))
    engine.poll()
    engine.poll()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    return engine


def test_snapshot_replaces_the_books_and_the_window_goes_on_behind_it():
    engine = gapped_engine()
    offer_snapshot(engine, [trading_action("H", locate=2), add(5, "S", 7, 10_000)], 10)
    engine.poll()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 10])
    assert engine.count(Count.COVERED_BY_SNAPSHOT) == 8
    assert engine.count(Count.SNAPSHOTS) == 1
    bid, ask = engine.shard.book.sides[2:4]
    assert (bid["price_e9"], ask["price_e9"]) == (995_000_000, 1_000_000_000)
    assert engine.shard.book.meta[ORDERS_LIVE] == 2
    assert engine.shard.instruments["halted"].tolist()[:4] == [0, 0, 1, 0]
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.IDLE


def test_snapshot_is_exported_at_once():
    engine = gapped_engine()
    offer_snapshot(engine, [add(5, "S", 7, 10_000), add(6, "S", 7, 10_000)], 11)
    engine.poll()
    assert (engine.count(Count.ORDERS_LIVE), engine.count(Count.NEXT_SEQ)) == (2, 11)


def test_skipped_hole_is_exported_at_once():
    engine = Engine(reorder_ns=0)
    engine.take(one(1))
    engine.take(heartbeat(9))
    engine.settle()
    engine.now_ns += 1
    engine.settle()
    assert engine.count(Count.NEXT_SEQ) == 9


BAD_ROWS = [
    (b"", SnapshotFault.UNKNOWN_TYPE),
    (b"?", SnapshotFault.UNKNOWN_TYPE),
    (add(9, "B", 1, 100)[:-1], SnapshotFault.BAD_LENGTH),
    (delete(99), SnapshotFault.UNKNOWN_REFERENCE),
    (add(5, "B", 1, 100), SnapshotFault.DUPLICATE_REFERENCE),
    (add(9, "B", 1, 100, locate=60_000), SnapshotFault.BAD_VALUE),
    (trading_action("H", locate=60_000), SnapshotFault.BAD_VALUE),
    (add(9, "B", 1, 2**31), SnapshotFault.BAD_VALUE),
]


@pytest.mark.parametrize(("row", "fault"), BAD_ROWS)
def test_row_of_a_snapshot_that_cannot_be_applied_is_counted_and_makes_the_books_suspect(
    row: bytes, fault: SnapshotFault
):
    engine = gapped_engine()
    offer_snapshot(engine, [add(5, "S", 7, 10_000), row, add(6, "S", 7, 10_100)], 10)
    engine.poll()
    assert (state(engine), engine.count(Count.BOOKS_SUSPECT)) == (State.STALE, 1)
    assert engine.count(Count.SNAPSHOT_DROPPED + fault - 1) == 1
    assert engine.shard.counts[Count.SNAPSHOT_DROPPED :, 0].sum() == 1
    assert engine.channel["snapshot_failures"] == 1
    assert engine.shard.book.meta[ORDERS_LIVE] == 3


@pytest.mark.parametrize("next_seq", [2**62 - 1, (1 << 32) + 12])
def test_snapshot_of_a_number_beyond_reason_is_not_taken(next_seq: int):
    engine = gapped_engine()
    offer_snapshot(engine, [], next_seq)
    engine.poll()
    assert (engine.channel["next_seq"], engine.count(Count.SNAPSHOTS)) == (2, 0)
    assert engine.shard.book.meta[ORDERS_LIVE] == 1


def test_snapshot_corrects_a_number_that_only_a_heartbeat_told():
    engine = Engine(can_snapshot=1, reorder_ns=0, stale_after_ns=NEVER)
    engine.take(one(1))
    engine.take(heartbeat(1 << 30))
    engine.poll()
    engine.poll()
    engine.take(one(2))
    offer_snapshot(engine, [], 3)
    engine.poll()
    assert (state(engine), engine.channel["highest_seq"]) == (State.LIVE, 3)


def test_snapshot_does_not_hide_what_was_told_while_it_was_loaded():
    engine = gapped_engine()
    engine.take(heartbeat(20))
    offer_snapshot(engine, [], 10)
    engine.poll()
    assert (engine.channel["next_seq"], engine.channel["highest_seq"]) == (11, 20)


def test_snapshot_that_comes_when_nothing_is_missing_any_more_is_dropped():
    engine = gapped_engine()
    engine.take(packet(2, [system_event(i) for i in range(2, 10)]))
    engine.poll()
    offer_snapshot(engine, [], 30)
    engine.poll()
    assert (engine.channel["next_seq"], engine.count(Count.SNAPSHOTS)) == (11, 0)
    assert (state(engine), engine.shard.control[Control.SNAPSHOT]) == (State.LIVE, Snapshot.IDLE)


@pytest.mark.parametrize(("next_seq", "loaded"), [(1, 0), (5, 1)])
def test_snapshot_that_leaves_the_hole_open_is_not_followed_by_the_next_at_once(
    next_seq: int, loaded: int
):
    engine = gapped_engine()
    before_ns = time.monotonic_ns()
    offer_snapshot(engine, [], next_seq)
    for _ in range(3):
        engine.poll()
    assert engine.count(Count.SNAPSHOTS) == loaded
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.IDLE
    assert engine.channel["snapshot_after_ns"] >= before_ns + SECOND


def snapshots_fail(engine: Engine, seconds: int) -> int:
    """So many seconds with a snapshot service that is down; how often it was asked."""
    asked = 0
    for _ in range(seconds * 100):
        engine.now_ns += SECOND // 100
        if engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED:
            engine.shard.control[Control.SNAPSHOT] = Snapshot.FAILED
            asked += 1
        follow_snapshot_nb(engine.shard, engine.rx, engine.venue, engine.now_ns)
        engine.settle()
    return asked


def test_large_hole_is_asked_for_when_snapshots_fail_and_given_up_when_nobody_answers():
    engine = Engine(can_snapshot=1, can_request=1, snapshot_above=100, stale_after_ns=NEVER)
    engine.take(one(1))
    engine.take(one(200))
    engine.settle()
    assert snapshots_fail(engine, 2) <= SNAPSHOT_TRIES
    snapshots_fail(engine, 10)
    assert engine.count(Count.REQUESTS) > 0
    assert engine.count(Count.UNRECOVERED) == 198
    assert (state(engine), engine.channel["next_seq"]) == (State.STALE, 201)
    # A service that comes back ends it, a minute later at most.
    assert 1 <= snapshots_fail(engine, 200) <= 4
    while engine.shard.control[Control.SNAPSHOT] != Snapshot.WANTED:
        engine.now_ns += SECOND
        engine.settle()
    offer_snapshot(engine, [add(1, "B", 1, 100)], 201)
    follow_snapshot_nb(engine.shard, engine.rx, engine.venue, engine.now_ns)
    engine.settle()
    assert (state(engine), engine.channel["snapshot_failures"]) == (State.LIVE, 0)


def test_suspect_books_get_a_snapshot_and_live_packets_wait_for_it():
    engine = Engine(can_snapshot=1, strict=1, reorder_ns=0, stale_after_ns=NEVER)
    engine.take(packet(1, [add(1, "B", 5, 100), delete(99)]))
    engine.poll()
    assert (state(engine), engine.shard.control[Control.SNAPSHOT]) == (State.STALE, Snapshot.WANTED)
    # Taken after message 3: what came meanwhile must neither be lost nor applied twice.
    engine.take(packet(3, [add(3, "B", 7, 101)]))
    engine.take(packet(4, [add(4, "B", 9, 102)]))
    engine.poll()
    assert (state(engine), engine.channel["next_seq"]) == (State.RECOVERING, 3)
    assert engine.shard.window.meta[WINDOW_COUNT] == 2
    offer_snapshot(engine, [add(1, "B", 5, 100), add(3, "B", 7, 101)], 4)
    engine.poll()
    assert (state(engine), engine.channel["next_seq"]) == (State.LIVE, 5)
    assert engine.shard.book.meta[ORDERS_LIVE] == 3
    assert engine.count(Count.BOOKS_SUSPECT) == engine.count(Count.UNRECOVERED) == 0
    assert engine.count(Count.APPLIED) + engine.count(Count.UNKNOWN_REFERENCE) == 3
    assert engine.count(Count.COVERED_BY_SNAPSHOT) == 1
    engine.take(packet(5, [delete(3)]))
    assert not engine.ticks()[-1]["flags"] & Flag.IN_DOUBT


def test_live_packets_go_on_when_the_snapshot_for_suspect_books_fails():
    engine = Engine(can_snapshot=1, strict=1, reorder_ns=0, stale_after_ns=NEVER)
    engine.take(packet(1, [delete(99)]))
    engine.poll()
    engine.take(one(2))
    engine.shard.control[Control.SNAPSHOT] = Snapshot.FAILED
    engine.poll()
    assert (state(engine), applied(engine)) == (State.STALE, [2])
    assert engine.ticks()[-1]["flags"] & Flag.IN_DOUBT


def test_late_start_is_whole_after_its_snapshot_and_strict_from_there_on():
    engine = Engine(can_snapshot=1, strict=1, reorder_ns=0, stale_after_ns=NEVER)
    engine.take(packet(100, [delete(7)]))
    engine.poll()
    engine.poll()
    offer_snapshot(engine, [add(7, "B", 1, 100)], 100)
    engine.poll()
    assert (state(engine), engine.count(Count.UNKNOWN_REFERENCE)) == (State.LIVE, 0)
    engine.take(packet(101, [delete(7)]))
    assert engine.count(Count.BOOKS_SUSPECT) == 1


def test_snapshot_older_than_the_books_is_not_taken():
    engine = gapped_engine()
    engine.take(packet(2, [system_event(2), system_event(3)]))
    offer_snapshot(engine, [], 3)
    engine.poll()
    assert engine.shard.book.meta[ORDERS_LIVE] == 1
    assert engine.count(Count.SNAPSHOTS) == 0
    assert engine.channel["next_seq"] == 4


def test_failed_snapshot_is_asked_for_again_after_a_second():
    engine = gapped_engine()
    engine.shard.control[Control.SNAPSHOT] = Snapshot.FAILED
    engine.poll()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.IDLE
    assert state(engine) == State.RECOVERING
    engine.channel["snapshot_after_ns"] = 0
    engine.poll()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED


def test_snapshot_that_does_not_fit_leaves_the_books_suspect():
    tiny = BookCapacity(instruments=16, orders=256, overflow_orders=2, level_blocks=1, arena=64)
    engine = gapped_engine(capacity=CAPACITY._replace(book=tiny))
    offer_snapshot(engine, [add(1, "B", 1, 100), add(2, "B", 1, 20_000)], 10)
    engine.poll()
    assert (state(engine), engine.count(Count.BOOKS_SUSPECT)) == (State.STALE, 1)


def test_sound_snapshot_ends_the_suspicion():
    engine = gapped_engine()
    engine.channel["suspect"] = 1
    offer_snapshot(engine, [], 10)
    engine.poll()
    assert (state(engine), engine.count(Count.BOOKS_SUSPECT)) == (State.LIVE, 0)


def test_loading_ends_when_the_shard_is_to_stop_and_has_no_ticks():
    engine = gapped_engine(capacity=CAPACITY._replace(pool=128))
    engine.take(packet(2, [system_event()] * 8))
    engine.poll()
    engine.take(packet(11, [system_event()] * 100))
    engine.take(packet(200, [system_event()]))
    engine.poll()
    engine.shard.control[Control.STOP] = 1
    blocks = [add(i, "B", 1, 100) for i in range(1, 100)]
    offer_snapshot(engine, blocks, 200)
    assert load_snapshot_nb(engine.shard, engine.venue, len(blocks), 200) == 1
    assert engine.count(Count.BOOKS_SUSPECT) == 1


def test_snapshot_about_an_unknown_instrument_touches_no_other():
    engine = gapped_engine()
    offer_snapshot(engine, [trading_action("H", locate=60_000)], 10)
    engine.poll()
    assert not engine.shard.instruments["halted"].any()


def test_snapshot_of_many_messages_is_taken_in_chunks():
    engine = gapped_engine()
    offer_snapshot(engine, [add(i, "B", 1, 100 + i % 50) for i in range(200)], 10)
    engine.poll()
    assert engine.shard.book.meta[ORDERS_LIVE] == 200


def test_wanted_snapshot_wakes_the_control_plane():
    reader, writer = os.pipe()
    engine = Engine(can_snapshot=1, reorder_ns=0, stale_after_ns=NEVER)
    engine.shard.settings[Setting.CONTROL_FD] = writer
    engine.take(one(5))
    engine.poll()
    assert np.frombuffer(os.read(reader, 100), np.int64).tolist() == [1]
    engine.poll()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 100)
    os.close(reader)
    os.close(writer)
