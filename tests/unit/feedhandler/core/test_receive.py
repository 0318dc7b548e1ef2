"""Packets by hand and over loopback sockets: arbitration, recovery, snapshots, garbage."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.book.layout import ORDERS_LIVE, BookCapacity
from feedhandler.core.counts import Count, Histogram, SnapshotFault
from feedhandler.core.engine import WATCH_LEVELS, Control, Setting, Watch
from feedhandler.core.events import Flag
from feedhandler.core.libc import SO_TIMESTAMPNS
from feedhandler.core.receive import (
    BATCH,
    BEAT_STEADY,
    Idle,
    Snapshot,
    _follow_snapshot_nb,
    _idle_nb,
    _sleep_until_ticks_nb,
    load_snapshot_nb,
    run_inline_nb,
    run_receiver_nb,
    run_worker_nb,
    skip_hole_nb,
)
from feedhandler.core.ring import ring_size_nb
from feedhandler.core.sequence import SNAPSHOT_TRIES, WINDOW_COUNT, State
from protocols.itch50.codec import encode
from tests.unit.feedhandler.core.support import (
    BOOK,
    CAPACITY,
    LINE_A,
    LINE_B,
    NEVER,
    RECOVERY,
    SECOND,
    Engine,
    Wire,
    add,
    delete,
    end_of_session,
    header,
    heartbeat,
    packet,
    system_event,
    trading_action,
)

MILLISECOND = 1_000_000


def one(seq: int) -> bytes:
    """A packet with one message that tells its number."""
    return packet(seq, [system_event(seq)])


def buy(ticks: Any, slot: int, params: Any, state: Any, out: Any) -> int:
    """Pattern: buys whatever it sees."""
    out[0] = ticks[slot]["seq"] + params[0] + state[0]
    return 1


def state(engine: Engine) -> State:
    return State(engine.channel["state"])


def applied(engine: Engine) -> list[int]:
    return [int(tick["seq"]) for tick in engine.ticks()]


def test_first_packet_in_its_turn_makes_the_channel_live():
    engine = Engine()
    assert state(engine) == State.DOWN
    engine.take(one(1))
    assert state(engine) == State.LIVE
    assert not engine.ticks()[0]["flags"] & Flag.IN_DOUBT


def test_late_start_is_syncing_and_its_ticks_are_in_doubt():
    engine = Engine(reorder_ns=NEVER)
    engine.take(one(5))
    engine.settle()
    assert state(engine) == State.SYNCING
    engine.take(packet(1, [system_event(i) for i in (1, 2, 3, 4)]))
    assert {int(tick["flags"]) for tick in engine.ticks()} == {Flag.IN_DOUBT}
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 3, 4, 5])


def test_start_without_a_number_adopts_that_of_the_first_packet():
    engine = Engine(next_seq=0, highest_seq=0)
    engine.take(one(500))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [500])


def test_first_arrival_wins_and_each_line_answers_for_its_losses():
    engine = Engine()
    for line, seq in ((LINE_A, 1), (LINE_B, 1), (LINE_B, 2), (LINE_A, 4), (LINE_B, 3), (LINE_B, 4)):
        engine.take(one(seq), line)
        engine.settle()
    assert applied(engine) == [1, 2, 3, 4]
    assert [engine.count(Count.WINS + line) for line in (LINE_A, LINE_B)] == [2, 2]
    assert [engine.count(Count.LOST + line) for line in (LINE_A, LINE_B)] == [2, 0]
    assert engine.count(Count.DUPLICATE_PACKETS) == 2
    assert [int(tick["line"]) for tick in engine.ticks()] == [LINE_A, LINE_B, LINE_B, LINE_A]


def test_heartbeat_tells_of_messages_that_were_lost():
    engine = Engine(reorder_ns=NEVER)
    engine.take(one(1))
    engine.take(heartbeat(4))
    engine.settle()
    assert (state(engine), engine.count(Count.LOST)) == (State.GAP, 2)
    assert (engine.count(Count.GAP_OPEN), engine.count(Count.GAPS)) == (1, 1)
    for _ in range(3):
        engine.settle()
    assert engine.count(Count.GAPS) == 1


def test_overlapping_packet_gives_only_what_is_new():
    engine = Engine()
    engine.take(packet(1, [system_event(1), system_event(2)]))
    engine.take(packet(2, [system_event(2), system_event(3)]))
    assert applied(engine) == [1, 2, 3]
    assert engine.count(Count.APPLIED) == 3


def test_recovered_messages_are_counted_without_those_that_were_there():
    engine = Engine()
    engine.take(one(1))
    engine.take(one(4))
    engine.take(packet(1, [system_event(i) for i in (1, 2, 3)]), RECOVERY)
    engine.settle()
    assert applied(engine) == [1, 2, 3, 4]
    assert engine.count(Count.RECOVERED) == 2
    assert engine.count(Count.LOST + RECOVERY) == 0


def test_silence_is_stale_and_the_next_packet_in_its_turn_is_live_again():
    engine = Engine()
    engine.take(one(1))
    engine.settle()
    engine.now_ns += SECOND + 1
    engine.settle()
    assert state(engine) == State.STALE
    engine.take(one(2))
    assert state(engine) == State.LIVE
    assert not engine.ticks()[1]["flags"] & Flag.IN_DOUBT


def test_stale_channel_that_misses_something_is_no_longer_live():
    engine = Engine(reorder_ns=NEVER)
    engine.take(one(1))
    engine.now_ns += SECOND + 1
    engine.settle()
    engine.take(one(3))
    assert state(engine) == State.STALE
    engine.settle()
    assert state(engine) == State.GAP


def test_end_of_session_ends_the_channel_when_all_is_applied():
    engine = Engine(reorder_ns=NEVER)
    engine.take(one(1))
    engine.take(end_of_session(3))
    engine.settle()
    assert (state(engine), engine.count(Count.END_SEQ)) == (State.GAP, 3)
    engine.take(one(2))
    engine.settle()
    assert state(engine) == State.ENDED
    engine.now_ns += 10 * SECOND
    engine.settle()
    assert state(engine) == State.ENDED


def test_end_of_session_that_lies_behind_us_says_nothing():
    engine = Engine()
    for seq in range(1, 11):
        engine.take(one(seq))
    engine.take(end_of_session(3))
    engine.take(end_of_session(10))
    engine.settle()
    assert (state(engine), engine.count(Count.END_SEQ)) == (State.LIVE, 0)
    engine.take(one(11))
    assert engine.ticks()[-1]["flags"] & Flag.IN_DOUBT == 0


def test_message_beyond_the_end_of_the_session_takes_the_end_back():
    engine = Engine(reorder_ns=NEVER)
    engine.take(one(1))
    engine.take(end_of_session(2))
    engine.settle()
    assert state(engine) == State.ENDED
    engine.take(end_of_session(2), LINE_B)
    assert state(engine) == State.ENDED
    engine.take(one(2))
    assert (state(engine), engine.ticks()[-1]["flags"] & Flag.IN_DOUBT) == (State.LIVE, 0)
    engine.settle()
    assert (state(engine), engine.count(Count.END_SEQ)) == (State.LIVE, 0)
    engine.take(end_of_session(3))
    engine.settle()
    engine.take(one(5))
    engine.settle()
    assert (state(engine), engine.count(Count.END_SEQ)) == (State.GAP, 0)


@pytest.mark.parametrize("old", [one(1), heartbeat(2), packet(1, [system_event(1)] * 2)])
def test_old_packet_does_not_end_a_silence(old: bytes):
    engine = Engine()
    engine.take(packet(1, [system_event(1), system_event(2)]))
    silent_since_ns = engine.now_ns
    engine.now_ns += SECOND + 1
    engine.settle()
    engine.take(old, LINE_B)
    engine.settle()
    assert (state(engine), engine.count(Count.LAST_PACKET_NS)) == (State.STALE, silent_since_ns)
    engine.take(heartbeat(3))
    assert state(engine) == State.LIVE


def test_number_that_only_one_packet_told_is_forgotten_when_the_lines_keep_telling_another():
    engine = Engine(can_request=1, stale_after_ns=SECOND, request_timeout_ns=NEVER)
    engine.take(one(1))
    engine.take(heartbeat(1 << 30), LINE_B)
    for seq in range(2, 40):
        engine.now_ns += SECOND // 10
        engine.take(one(seq))
        engine.settle()
    assert (state(engine), engine.channel["highest_seq"]) == (State.LIVE, 40)
    lost = engine.count(Count.LOST + LINE_B)
    engine.take(one(42), LINE_B)
    assert engine.count(Count.LOST + LINE_B) == lost + 2


GARBAGE = [
    b"",
    b"x",
    one(2)[:-1],
    one(2) + b"\0",
    packet(2, [b"abc"], session="OTHER"),
    one(2)[:10] + (2**63).to_bytes(8, "big") + one(2)[18:],
    one(10 + (1 << 36)),
]


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_counted_and_changes_nothing_else(data: bytes, started: bool):
    engine = Engine()
    if started:
        engine.take(one(1))
        engine.settle()
    before = engine.shard.channel.copy()
    counted = sum(engine.counts().values())
    engine.take(data, LINE_B)
    assert (engine.shard.channel == before).all()
    rejected = engine.count(Count.REJECTED_MALFORMED) + engine.count(Count.REJECTED_SESSION)
    assert rejected == 1
    assert sum(engine.counts().values()) == counted + 2
    assert engine.count(Count.PACKETS + LINE_B) == 1


def test_unknown_session_is_learnt_from_the_first_packet_that_is_accepted():
    engine = Engine(session="")
    engine.take(packet(1 << 40, [b"x"], session="EVIL"))
    engine.take(one(1))
    engine.take(packet(2, [b"x"], session="EVIL"))
    assert applied(engine) == [1]
    assert engine.count(Count.REJECTED_MALFORMED) == 1
    assert engine.count(Count.REJECTED_SESSION) == 1


def test_packet_that_the_window_cannot_keep_is_counted():
    engine = Engine(capacity=CAPACITY._replace(window_packets=2), reorder_ns=NEVER)
    for seq in (1, 3, 4, 5):
        engine.take(one(seq))
    assert (engine.count(Count.WINDOW_STORED), engine.count(Count.WINDOW_FULL)) == (2, 1)


def test_window_covered_by_a_later_packet_is_dropped():
    engine = Engine(reorder_ns=NEVER)
    for seq in (1, 3, 4):
        engine.take(one(seq))
    engine.take(packet(2, [system_event(i) for i in range(2, 8)]))
    engine.settle()
    assert applied(engine) == list(range(1, 8))
    assert engine.shard.window.meta[WINDOW_COUNT] == 0


def test_hole_that_nothing_can_fill_is_skipped_counted_and_leaves_the_books_suspect():
    engine = Engine()
    for seq in (1, 4, 7):
        engine.take(one(seq))
    engine.settle()
    engine.now_ns += 1_001
    for _ in range(3):
        engine.settle()
    assert applied(engine) == [1, 4, 7]
    assert engine.count(Count.UNRECOVERED) == 4
    assert engine.count(Count.GAPS_UNRECOVERED) == 2
    assert (state(engine), engine.count(Count.BOOKS_SUSPECT)) == (State.STALE, 1)
    engine.take(one(8))
    assert engine.ticks()[-1]["flags"] & Flag.IN_DOUBT


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
    best = engine.shard.book.best[1]
    assert (best["bid_price_e9"], best["ask_price_e9"]) == (995_000_000, 1_000_000_000)
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
        _follow_snapshot_nb(engine.shard, engine.rx, engine.venue, engine.now_ns)
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
    _follow_snapshot_nb(engine.shard, engine.rx, engine.venue, engine.now_ns)
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
    tiny = BookCapacity(
        instruments=16, order_pages=1, overflow_orders=2, levels=1, arena=64, references=256
    )
    engine = gapped_engine(capacity=CAPACITY._replace(book=tiny))
    offer_snapshot(engine, [add(1, "B", 1, 100), add(2, "B", 1, 200)], 10)
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


def test_wanted_book_is_shown_between_two_packets():
    engine = Engine()
    orders = [add(1, "B", 10, 100), add(2, "B", 20, 99), add(3, "B", 5, 100)]
    engine.take(packet(1, [*orders, add(4, "S", 7, 101), add(5, "B", 9, 98, locate=2)]))
    engine.poll()
    assert not engine.shard.watched_info.any()
    engine.shard.control[Control.WATCH_INSTRUMENT] = 1
    engine.shard.control[Control.WATCH] = Watch.WANTED
    engine.poll()
    assert engine.shard.control[Control.WATCH] == Watch.READY
    assert engine.shard.watched[0, :2].tolist() == [[100, 15, 2], [99, 20, 1]]
    assert engine.shard.watched[1, 0].tolist() == [101, 7, 1]
    assert engine.shard.watched_info.tolist() == [6, engine.channel["state"], 2, 1]


def test_deep_book_is_shown_down_to_its_limit():
    engine = Engine()
    engine.take(packet(1, [add(i, "S", i, 1_000 + i) for i in range(1, WATCH_LEVELS + 6)]))
    engine.shard.control[Control.WATCH_INSTRUMENT] = 1
    engine.shard.control[Control.WATCH] = Watch.WANTED
    engine.poll()
    assert engine.shard.watched_info[2:].tolist() == [0, WATCH_LEVELS]
    assert engine.shard.watched[1, -1].tolist() == [1_000 + WATCH_LEVELS, WATCH_LEVELS, 1]


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(can_request=1, request_timeout_ns=NEVER)
    yield made
    made.close()


def test_lines_are_arbitrated_over_sockets_and_stamped_by_the_kernel(wire: Wire):
    engine = wire.engine
    for seq in range(1, 41):
        wire.send(LINE_A, one(seq))
    for seq in range(31, 51):
        wire.send(LINE_B, one(seq))
    # Line A is polled first in each round, BATCH at a time, and line B runs ahead of it.
    wire.poll_until(lambda: engine.channel["next_seq"] == 51)
    assert applied(engine) == list(range(1, 51))
    wins = [engine.count(Count.WINS + line) for line in range(2)]
    assert sum(wins) == 50
    assert wins[LINE_B] >= 10
    assert engine.count(Count.DUPLICATE_PACKETS) == 10
    assert engine.count(Count.PACKETS) == 40
    for tick in engine.ticks():
        age_ns = engine.count(Count.RX_HEARTBEAT_NS) - int(tick["ts_rx_ns"])
        assert 0 <= age_ns < 60 * SECOND
    assert engine.shard.histograms[Histogram.STAGE_RECEIVE, 0] == 60


def test_poll_takes_at_most_a_batch_of_each_line(wire: Wire):
    for seq in range(1, 2 * BATCH):
        wire.send(LINE_A, one(seq))
    assert wire.engine.poll() == BATCH
    assert wire.engine.poll() == BATCH - 1
    assert wire.engine.poll() == 0


def test_socket_without_stamps_gets_the_time_of_the_call(wire: Wire):
    wire.lines[LINE_A].setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
    wire.send(LINE_A, one(1))
    wire.poll_until(lambda: wire.engine.channel["next_seq"] == 2)
    assert 0 <= time.time_ns() - int(wire.engine.ticks()[0]["ts_rx_ns"]) < 60 * SECOND


def test_timers_go_by_a_clock_that_nobody_sets_and_stamps_by_that_of_the_day(wire: Wire):
    engine = wire.engine
    wire.send(LINE_A, one(1))
    wire.poll_until(lambda: engine.channel["next_seq"] == 2)
    for steady_ns in (
        engine.channel["last_packet_ns"],
        engine.channel["request_ns"],
        engine.shard.counts[Count.RX_HEARTBEAT_NS, BEAT_STEADY],
    ):
        assert 0 <= time.monotonic_ns() - int(steady_ns) < 60 * SECOND
    for wall_ns in (engine.count(Count.LAST_PACKET_NS), engine.count(Count.RX_HEARTBEAT_NS)):
        assert 0 <= time.time_ns() - wall_ns < 60 * SECOND


def test_lost_messages_are_requested_in_chunks_and_recovered(wire: Wire):
    engine = wire.engine
    wire.send(LINE_A, one(1))
    for seq in (8, 9, 12):
        wire.send(LINE_B, one(seq))
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 3)
    asked = [wire.request() for _ in range(3)]
    assert [(item.sequence, item.count) for item in asked] == [(2, 4), (6, 2), (10, 2)]
    assert {item.session for item in asked} == {"TEST000001"}
    for item in asked:
        numbers = range(item.sequence, item.sequence + item.count)
        wire.answer(packet(item.sequence, [system_event(number) for number in numbers]))
    wire.poll_until(lambda: state(engine) == State.LIVE)
    assert applied(engine) == list(range(1, 13))
    assert engine.count(Count.RECOVERED) == 8
    assert engine.count(Count.WINS + RECOVERY) == 3
    assert engine.count(Count.REQUESTS) == 3


def test_unanswered_request_is_repeated_and_given_up_after_its_tries(wire: Wire):
    engine = wire.engine
    engine.channel["request_timeout_ns"] = 0
    wire.send(LINE_A, one(1))
    wire.send(LINE_A, one(4))
    wire.poll_until(lambda: engine.count(Count.UNRECOVERED) == 2)
    assert {(item.sequence, item.count) for item in (wire.request(), wire.request())} == {(2, 2)}
    assert engine.count(Count.REQUESTS) == engine.channel["tries_max"]
    assert applied(engine) == [1]
    wire.poll_until(lambda: applied(engine) == [1, 4])


def test_requests_stay_within_the_request_window(wire: Wire):
    engine = wire.engine
    engine.channel["request_window"] = 6
    wire.send(LINE_A, one(30))
    for _ in range(20):
        engine.poll()
    asked = [wire.request(), wire.request()]
    assert [(item.sequence, item.count) for item in asked] == [(1, 4), (5, 4)]
    assert engine.count(Count.REQUESTS) == 2
    wire.answer(packet(1, [system_event(i) for i in (1, 2, 3, 4)]))
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 3)
    assert wire.request().sequence == 9


def test_request_window_stops_short_of_a_hole_beyond_it(wire: Wire):
    engine = wire.engine
    engine.channel["request_window"] = 3
    for seq in (2, 3, 4, 6):
        wire.send(LINE_A, one(seq))
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 1)
    for _ in range(20):
        engine.poll()
    assert (wire.request().sequence, engine.count(Count.REQUESTS)) == (1, 1)


def test_requests_for_many_holes_are_spread_over_rounds(wire: Wire):
    engine = wire.engine
    for seq in range(2, 2 * 40 + 1, 2):
        engine.take(one(seq))
    while engine.count(Count.REQUESTS) == 0:
        engine.poll()
    first = engine.count(Count.REQUESTS)
    assert first < 40
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 40)
    assert [wire.request().sequence for _ in range(40)] == list(range(1, 80, 2))


def test_long_window_is_drained_round_by_round_without_a_new_gap(wire: Wire):
    engine = wire.engine
    last = 3 * BATCH
    for seq in range(2, last + 1):
        wire.send(LINE_A, one(seq))
    wire.poll_until(lambda: engine.shard.window.meta[WINDOW_COUNT] == last - 1)
    gaps = engine.count(Count.GAPS)
    wire.send(LINE_B, one(1))
    wire.poll_until(lambda: engine.channel["next_seq"] == last + 1)
    wire.poll_until(lambda: state(engine) == State.LIVE)
    assert applied(engine) == list(range(1, last + 1))
    assert (engine.count(Count.GAPS), engine.count(Count.UNRECOVERED)) == (gaps, 0)


def test_kept_packets_that_are_due_are_not_skipped_with_the_hole_before_them():
    engine = Engine(reorder_ns=0, stale_after_ns=NEVER)
    last = 3 * BATCH
    for seq in range(2, last + 1):
        engine.take(one(seq))
    engine.take(one(1), LINE_B)
    for _ in range(4):
        engine.poll()
    assert applied(engine) == list(range(1, last + 1))
    assert engine.count(Count.UNRECOVERED) == 0


@pytest.mark.parametrize("idle", list(Idle))
def test_stopped_inline_loop_works_off_what_is_in_the_lanes(idle: Idle):
    engine = Engine()
    engine.shard.settings[Setting.IDLE] = idle
    engine.take(one(1))
    engine.shard.control[Control.STOP] = 1
    assert run_inline_nb(engine.shard, engine.rx, engine.venue, *engine.stages) == 0
    assert (engine.count(Count.TICKS), applied(engine)) == (1, [])


def test_channel_without_a_hole_has_nothing_to_skip():
    engine = Engine()
    engine.take(one(1))
    skip_hole_nb(engine.shard, engine.rx)
    assert (engine.count(Count.UNRECOVERED), engine.channel["suspect"]) == (0, 0)


@pytest.mark.parametrize("idle", list(Idle))
def test_thread_without_work_spins_at_first_and_sleeps_only_when_it_may(idle: Idle):
    engine = Engine()
    started_ns = time.monotonic_ns()
    _idle_nb(engine.rx, idle, 1)
    _idle_nb(engine.rx, idle, 1_000_000)
    slept = time.monotonic_ns() - started_ns >= MILLISECOND
    assert slept or idle != Idle.BACKOFF


@contextmanager
def running(engine: Engine, *loops: Callable[[], int]) -> Iterator[None]:
    """Loops on threads of their own; stopped and joined at the end."""
    threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        engine.shard.control[Control.STOP] = 1
        for thread in threads:
            thread.join(timeout=20)
        assert not any(thread.is_alive() for thread in threads)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_ns = time.monotonic_ns() + 20 * SECOND
    while not condition():
        assert time.monotonic_ns() < deadline_ns
        time.sleep(0.001)


@pytest.mark.parametrize("idle", [Idle.YIELD, Idle.BACKOFF])
def test_inline_loop_receives_works_and_idles_until_it_is_stopped(wire: Wire, idle: Idle):
    engine, polled = wire.engine, []
    engine.shard.settings[Setting.IDLE] = idle
    loop = partial(run_inline_nb, engine.shard, engine.rx, engine.venue, *engine.stages)
    with running(engine, lambda: polled.append(loop())):
        for seq in range(1, 11):
            wire.send(LINE_A, one(seq))
        wait_for(lambda: engine.count(Count.TICKS) == 10)
        # Long enough for the loop to come to its end of spinning.
        time.sleep(0.4)
        wire.send(LINE_B, one(11))
        wait_for(lambda: engine.count(Count.TICKS) == 11)
    assert polled[0] > 2
    assert engine.count(Count.WORKER_HEARTBEAT_NS) == engine.count(Count.RX_HEARTBEAT_NS) > 0


@pytest.mark.parametrize("topology", ["inline", "pipelined"])
def test_signal_wakes_the_control_plane(topology: str):
    reader, writer = os.pipe()
    wire = Wire(patterns=[compile_stage(buy)])
    engine = wire.engine
    engine.shard.settings[Setting.SIGNAL_FD] = writer
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    inline = partial(run_inline_nb, engine.shard, engine.rx, engine.venue, *engine.stages)
    with running(engine, *([inline] if topology == "inline" else [receiver, worker])):
        wire.send(LINE_A, one(1))
        assert np.frombuffer(os.read(reader, 8), np.int64).tolist() == [1]
        assert engine.count(Count.SIGNALS) == 1
    wire.close()
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("idle", list(Idle))
def test_receiver_and_worker_share_the_work_until_they_are_stopped(wire: Wire, idle: Idle):
    engine = wire.engine
    engine.shard.settings[Setting.IDLE] = idle
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    with running(engine, receiver, worker):
        for seq in range(1, 11):
            wire.send(LINE_A, one(seq))
        wait_for(lambda: engine.count(Count.TICKS) == 10)
        time.sleep(0.2)
        wire.send(LINE_B, one(11))
        wait_for(lambda: engine.count(Count.TICKS) == 11)
    assert engine.count(Count.APPLIED) == 11
    assert ring_size_nb(engine.shard.free) + engine.shard.stash_size[0] == CAPACITY.pool


def test_worker_that_may_sleep_does_and_is_woken_by_the_receiver(wire: Wire):
    engine = wire.engine
    engine.shard.settings[Setting.IDLE] = Idle.BACKOFF
    work_fd = engine.shard.settings[Setting.WORK_FD] = os.eventfd(0, os.EFD_NONBLOCK)
    receiver = partial(run_receiver_nb, engine.shard, engine.rx, engine.venue)
    worker = partial(run_worker_nb, engine.shard, engine.rx, *engine.stages)
    with running(engine, receiver, worker):
        wait_for(lambda: bool(engine.shard.control[Control.WORKER_ASLEEP]))
        for seq in range(1, 200):
            wire.send(LINE_A, one(seq))
            wait_for(lambda done=seq: engine.count(Count.TICKS) == done)
            wait_for(lambda: bool(engine.shard.control[Control.WORKER_ASLEEP]))
    # The end of a sleep empties the descriptor, or it would never sleep again.
    engine.rx.work_pollfd[0]["fd"] = work_fd
    os.eventfd_write(int(work_fd), 1)
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    engine.shard.control[Control.RX_STOPPED] = 0
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(int(work_fd))
    os.close(int(work_fd))


def test_worker_does_not_sleep_on_ticks():
    engine = Engine()
    engine.take(one(1))
    reader, writer = os.pipe()
    engine.shard.settings[Setting.WORK_FD] = reader
    os.write(writer, bytes(8))
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    assert (engine.rx.work_pollfd[0]["fd"], engine.shard.control[Control.WORKER_ASLEEP]) == (0, 0)
    engine.work()
    _sleep_until_ticks_nb(engine.shard, engine.rx)
    assert engine.rx.work_pollfd[0]["fd"] == reader
    os.close(reader)
    os.close(writer)


def test_worker_ends_when_the_receiver_has_and_the_lanes_are_empty():
    engine = Engine()
    for seq in range(1, 200):
        engine.take(one(seq))
    engine.shard.control[Control.STOP] = 1
    assert run_receiver_nb(engine.shard, engine.rx, engine.venue) == 0
    assert engine.shard.control[Control.RX_STOPPED] == 1
    assert run_worker_nb(engine.shard, engine.rx, *engine.stages) == 199
    assert applied(engine) == []


def test_book_of_orders_is_built_from_packets():
    engine = Engine()
    engine.take(packet(1, [add(1, "B", 5, 100), add(2, "S", 6, 200), delete(1)]))
    assert (engine.count(Count.APPLIED), engine.shard.book.meta[ORDERS_LIVE]) == (3, 1)


def test_capacity_that_a_live_message_exceeds_makes_the_channel_suspect():
    engine = Engine(capacity=CAPACITY._replace(book=BOOK._replace(levels=1)))
    engine.take(packet(1, [add(1, "B", 5, 100), add(2, "B", 6, 200)]))
    engine.settle()
    assert (engine.count(Count.CAPACITY), engine.count(Count.BOOKS_SUSPECT)) == (1, 1)
    assert state(engine) == State.STALE


def test_participant_message_travels_through_too():
    fields = {
        "mpid": "ABCD",
        "stock": "TEST",
        "primary_market_maker": "Y",
        "market_maker_mode": "N",
        "market_participant_state": "A",
    }
    engine = Engine()
    engine.take(packet(1, [encode("L", header(3, 9) | fields)]))
    assert engine.ticks()[0]["status"] == ord("A")
