"""Packets with loss, duplicates, reordering and overlap: every message once, in order."""

from collections.abc import Iterator
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feedhandler.core.counts import Count
from feedhandler.core.receiver import LINES
from feedhandler.core.recovery import follow_snapshot_nb, skip_hole_nb
from feedhandler.core.sequence import WINDOW_COUNT, WINDOW_FREE, next_hole_nb
from feedhandler.core.shard import Control
from feedhandler.core.snapshot import Snapshot
from feedhandler.core.states import State
from tests.reference.slow_sequence import SlowSequence
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    NEVER,
    Engine,
    heartbeat,
    packet,
    system_event,
)

MESSAGES = 60
ROOMY = CAPACITY._replace(window_packets=128)
TINY = CAPACITY._replace(window_packets=4)

# (first message, how many, line); none at all is a heartbeat.
arrivals = st.lists(
    st.tuples(st.integers(1, MESSAGES), st.integers(0, 9), st.integers(0, 2)),
    min_size=1,
    max_size=60,
)


def datagram(seq: int, count: int) -> bytes:
    """Messages whose timestamps are their numbers."""
    if count == 0:
        return heartbeat(seq)
    return packet(seq, [system_event(number) for number in range(seq, seq + count)])


def holes_of(engine: Engine) -> list[tuple[int, int]]:
    found, hole, start = [], np.zeros(2, np.int64), 0
    while next_hole_nb(engine.shard.channel, engine.shard.window, start, hole):
        found.append((int(hole[0]), int(hole[1])))
        start = int(hole[1])
    return found


def check_applied(engine: Engine, expected: list[int]) -> None:
    ticks = engine.ticks()
    assert [int(tick["seq"]) for tick in ticks] == expected
    assert [int(tick["ts_exch_ns"]) for tick in ticks] == expected


def both_after_each(
    packets: list[tuple[int, int, int]],
) -> Iterator[tuple[Engine, SlowSequence]]:
    """The engine and its slow twin, after each packet."""
    engine, slow = Engine(capacity=ROOMY, reorder_ns=NEVER), SlowSequence()
    for seq, count, line in packets:
        engine.take(datagram(seq, count), line)
        engine.settle()
        slow.take(seq, seq + count if count else seq)
        yield engine, slow


@given(arrivals)
def test_applied_messages_and_holes_are_those_of_the_slow_twin(
    packets: list[tuple[int, int, int]],
):
    for engine, slow in both_after_each(packets):
        assert holes_of(engine) == slow.holes()
        assert engine.channel["next_seq"] == slow.next_seq
        missing = (State.GAP, State.SYNCING)
        assert engine.channel["state"] in (missing if slow.holes() else (State.LIVE,))
    check_applied(engine, slow.applied)
    brought = sum(engine.count(Count.WINS + line) for line in range(LINES))
    waiting = engine.shard.window.meta[WINDOW_COUNT]
    passed_over = engine.count(Count.DUPLICATE_PACKETS) + engine.count(Count.HEARTBEATS)
    assert len(packets) == brought + waiting + passed_over
    assert engine.count(Count.APPLIED) == len(slow.applied)


@given(arrivals)
def test_giving_up_every_hole_counts_each_missing_message_once(
    packets: list[tuple[int, int, int]],
):
    *_, (engine, slow) = both_after_each(packets)
    lost = 0
    while slow.holes():
        skip_hole_nb(engine.shard, engine.rx)
        engine.settle()
        lost += slow.give_up()
        assert engine.count(Count.UNRECOVERED) == lost
    assert engine.channel["next_seq"] == engine.channel["highest_seq"] == slow.next_seq
    check_applied(engine, slow.applied)
    assert engine.shard.window.meta[WINDOW_COUNT] == 0


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(2, 9))
def test_window_too_small_for_the_disorder_loses_nothing_that_comes_again(
    random: Random, size: int
):
    packets = [(seq, size) for seq in range(1, MESSAGES, size)]
    end = packets[-1][0] + size
    engine = Engine(capacity=TINY, reorder_ns=NEVER)
    rounds = 0
    while engine.channel["next_seq"] < end:
        random.shuffle(packets)
        for seq, count in packets:
            engine.take(datagram(seq, count))
            engine.settle()
        rounds += 1
        # The first missing packet is in each round, so each round brings it on.
        assert rounds <= len(packets)
    check_applied(engine, list(range(1, end)))
    window = engine.shard.window
    assert window.meta[WINDOW_FREE] == len(window.free_slots)
    assert sorted(window.free_slots) == list(range(len(window.free_slots)))


# (a packet's distance from the next message, how many it holds, tenths of a second before it)
tellings = st.lists(
    st.tuples(st.integers(-2, 30), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=60
)


@given(tellings)
def test_highest_number_is_the_one_that_the_lines_keep_telling(
    packets: list[tuple[int, int, int]],
):
    tenth_ns = 100_000_000
    engine = Engine(can_request=1, request_timeout_ns=NEVER, stale_after_ns=10 * tenth_ns)
    slow = SlowSequence(stale_after_ns=10 * tenth_ns)
    for distance, count, tenths in packets:
        engine.now_ns += tenths * tenth_ns
        next_seq = slow.next_seq
        # Data comes in its turn; only heartbeats tell of what nobody has seen.
        seq = next_seq if count else max(1, next_seq + distance)
        engine.take(datagram(seq, count))
        engine.settle()
        if seq >= next_seq:
            slow.hear(seq + count, engine.now_ns)
        slow.take(seq, seq + count if count else min(seq, slow.highest_seq))
        assert engine.channel["highest_seq"] == slow.highest_seq
        assert holes_of(engine) == slow.holes()
    check_applied(engine, slow.applied)


@given(arrivals, st.lists(st.tuples(st.integers(0, 59), st.integers(0, MESSAGES)), max_size=4))
def test_snapshots_at_any_moment_and_of_any_age_leave_what_the_slow_twin_has(
    packets: list[tuple[int, int, int]], snapshots: list[tuple[int, int]]
):
    engine = Engine(capacity=ROOMY, reorder_ns=NEVER)
    slow = SlowSequence()
    control = engine.shard.control
    for at, (seq, count, line) in enumerate(packets):
        engine.take(datagram(seq, count), line)
        engine.settle()
        slow.take(seq, seq + count if count else seq)
        for asked_at, taken_before in snapshots:
            if asked_at != at:
                continue
            engine.channel["told_seq"] = 0
            slow.ask()
            is_whole = not slow.holes()
            control[Control.SNAPSHOT_BLOCKS], control[Control.SNAPSHOT_SEQ] = 0, taken_before
            control[Control.SNAPSHOT] = Snapshot.READY
            follow_snapshot_nb(engine.shard, engine.rx, engine.venue, engine.now_ns)
            engine.settle()
            loaded = not is_whole and slow.load(taken_before)
            engine.channel["snapshot_after_ns"] = NEVER
            assert (engine.channel["snapshot_failures"] == 0) == (loaded or is_whole)
            engine.channel["snapshot_failures"] = 0
        assert holes_of(engine) == slow.holes()
        assert engine.channel["next_seq"] == slow.next_seq
        assert engine.channel["highest_seq"] == slow.highest_seq
    check_applied(engine, slow.applied)
    missing_or_covered = engine.channel["next_seq"] - 1 - len(slow.applied)
    assert engine.count(Count.COVERED_BY_SNAPSHOT) == missing_or_covered
