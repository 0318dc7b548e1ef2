"""One session of a channel after the other: numbers that go on, books that stay, and nothing of
another session before its time.
"""

import pytest

from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.counts import Count
from feedhandler.core.sessions import Roll
from feedhandler.core.shard import Control
from feedhandler.core.snapshot import Snapshot
from feedhandler.core.states import State
from protocols.moldudp64.codec import Request, decode_request
from tests.unit.feedhandler.core.support import (
    LINE_B,
    RECOVERY,
    SECOND,
    Engine,
    Wire,
    add,
    delete,
    end_of_session,
    heartbeat,
    packet,
    system_event,
)

FIRST, SECOND_ID, THIRD = "FH00000001", "FH00000002", "FH00000003"


def one(seq: int, session: str) -> bytes:
    """A packet with one message."""
    return packet(seq, [system_event(seq)], session)


def state(engine: Engine) -> State:
    return State(engine.channel["state"])


def applied(engine: Engine) -> list[int]:
    return [int(tick["seq"]) for tick in engine.ticks()]


def joined(**options: int) -> Engine:
    """Messages 1 and 2 of the first session applied: an order of instrument 1."""
    engine = Engine(session="", **options)
    engine.take(packet(1, [add(1, "B", 100, 9_900)], FIRST))
    engine.take(one(2, FIRST))
    engine.settle()
    return engine


def test_another_session_goes_on_where_the_one_before_ended():
    engine = joined()
    engine.take(end_of_session(3, FIRST))
    engine.settle()
    assert state(engine) == State.ENDED
    engine.take(packet(1, [add(7, "S", 100, 10_100), delete(1)], SECOND_ID))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 3, 4])
    assert engine.count(Count.SESSION_CHANGES) == 1
    assert engine.count(Count.REJECTED_SESSION) == 0
    assert engine.shard.book.meta[ORDERS_LIVE] == 1
    assert engine.count(Count.BOOKS_SUSPECT) == 0


def test_sessions_follow_one_another_any_number_of_times():
    engine = joined()
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, SECOND_ID))
    engine.take(end_of_session(2, SECOND_ID))
    engine.take(heartbeat(1, THIRD))
    engine.take(one(1, THIRD))
    engine.take(one(2, THIRD))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 3, 4, 5])
    assert engine.count(Count.SESSION_CHANGES) == 2


def test_late_packets_of_the_session_before_are_old_ones():
    engine = joined()
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, SECOND_ID))
    for late in (one(1, FIRST), one(2, FIRST), end_of_session(3, FIRST)):
        engine.take(late, LINE_B)
    engine.take(one(1, SECOND_ID), LINE_B)
    engine.take(one(2, SECOND_ID), LINE_B)
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 3, 4])
    assert engine.count(Count.DUPLICATE_PACKETS) == 3
    assert engine.count(Count.LOST + LINE_B) == 0
    assert engine.count(Count.REJECTED_SESSION) == 0


def test_what_the_session_still_lacks_comes_before_another_one():
    """The end is known, message 2 is not there: the other session waits, and is asked for then."""
    engine = Engine(session="", can_request=1, reorder_ns=0)
    engine.take(one(1, FIRST))
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, SECOND_ID))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.GAP, [1])
    assert engine.count(Count.REJECTED_SESSION) == 1
    engine.take(one(2, FIRST), RECOVERY)
    engine.settle()
    assert state(engine) == State.ENDED
    engine.take(one(2, SECOND_ID))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.GAP, [1, 2])
    engine.take(one(1, SECOND_ID), LINE_B)
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 3, 4])
    assert engine.count(Count.RECOVERED) == 1


def test_another_session_is_asked_for_by_its_own_numbers():
    wire = Wire(session="", can_request=1)
    try:
        for data in (one(1, FIRST), one(2, FIRST), end_of_session(3, FIRST), one(4, SECOND_ID)):
            wire.send(0, data)
        wire.poll_until(lambda: state(wire.engine) == State.RECOVERING)
        wire.engine.poll()
        assert decode_request(wire.server.recv(2_048)) == Request(SECOND_ID, 1, 3)
        wire.answer(packet(1, [system_event(seq) for seq in (1, 2, 3)], SECOND_ID))
        wire.poll_until(lambda: state(wire.engine) == State.LIVE)
        assert applied(wire.engine) == [1, 2, 3, 4, 5, 6]
    finally:
        wire.close()


def test_a_session_that_broke_off_leaves_the_books_in_doubt():
    engine = joined(can_snapshot=1)
    engine.take(one(5, FIRST))
    engine.take(one(1, SECOND_ID))
    assert engine.count(Count.REJECTED_SESSION) == 1
    engine.now_ns += engine.channel["stale_after_ns"] + 1
    engine.take(one(2, SECOND_ID))
    engine.settle()
    assert engine.count(Count.UNRECOVERED) == 3
    assert engine.channel["suspect"] == 1
    # Messages 1 to 5 were told of; the second session's 1 is missing.
    assert engine.channel["next_seq"] == 6
    assert engine.channel["highest_seq"] == 8
    assert state(engine) != State.LIVE


def test_a_session_that_was_over_before_its_turn_leaves_the_books_in_doubt():
    engine = joined()
    engine.take(one(1, SECOND_ID))
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, THIRD))
    engine.settle()
    assert engine.channel["suspect"] == 1
    assert applied(engine) == [1, 2, 3]


@pytest.mark.parametrize("session", [FIRST, ""])
def test_a_living_session_is_not_left(session: str):
    engine = Engine(session=session)
    engine.take(one(1, FIRST))
    engine.take(one(1, SECOND_ID))
    engine.take(end_of_session(1, SECOND_ID))
    engine.take(one(2, FIRST))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2])
    assert engine.count(Count.REJECTED_SESSION) == 2


def test_a_session_of_zeros_is_none_that_was_left():
    engine = joined()
    engine.take(bytes(10) + one(9, FIRST)[10:])
    engine.settle()
    assert engine.count(Count.REJECTED_SESSION) == 1
    assert engine.count(Count.DUPLICATE_PACKETS) == 0


def test_a_session_by_name_is_the_only_one():
    engine = Engine(session=FIRST)
    engine.take(one(1, FIRST))
    engine.take(end_of_session(2, FIRST))
    engine.now_ns += 10 * SECOND
    engine.take(one(1, SECOND_ID))
    engine.settle()
    assert (state(engine), applied(engine)) == (State.ENDED, [1])
    assert engine.count(Count.REJECTED_SESSION) == 1


def test_an_answer_to_a_request_brings_no_other_session():
    engine = joined()
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, SECOND_ID), RECOVERY)
    engine.settle()
    assert state(engine) == State.ENDED


def test_a_number_beyond_reason_brings_no_other_session():
    engine = joined()
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1 << 40, SECOND_ID))
    engine.settle()
    assert (state(engine), engine.count(Count.SESSION_CHANGES)) == (State.ENDED, 0)
    engine.take(packet(1, [], SECOND_ID)[:-1])
    assert engine.count(Count.REJECTED_MALFORMED) == 1


def test_a_whole_session_that_falls_silent_is_left_with_nothing_given_up():
    engine = joined(can_snapshot=1)
    engine.now_ns += engine.channel["stale_after_ns"] + 1
    engine.take(one(1, SECOND_ID))
    engine.settle()
    assert engine.count(Count.UNRECOVERED) == engine.count(Count.GAPS_UNRECOVERED) == 0
    # Messages behind those that were told of may be lost.
    assert engine.channel["suspect"] == 1
    assert applied(engine) == [1, 2, 3]


def snapshot_ready(engine: Engine, next_seq: int) -> None:
    """An empty one, of which the venue says that message `next_seq` follows it."""
    engine.shard.control[Control.SNAPSHOT_BLOCKS] = 0
    engine.shard.control[Control.SNAPSHOT_SEQ] = next_seq
    engine.shard.control[Control.SNAPSHOT] = Snapshot.READY
    engine.poll()


def wanting(**options: int) -> Engine:
    """The first session ended behind message 2, the second one misses its first two."""
    engine = joined(can_snapshot=1, reorder_ns=0, **options)
    engine.take(end_of_session(3, FIRST))
    engine.take(one(3, SECOND_ID))
    engine.settle()
    engine.settle()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    return engine


def test_snapshot_of_the_new_session_counts_from_its_first_message():
    engine = wanting(stale_after_ns=1 << 62)
    engine.take(one(4, SECOND_ID))
    snapshot_ready(engine, 4)
    assert engine.count(Count.COVERED_BY_SNAPSHOT) == 3
    assert (state(engine), applied(engine)) == (State.LIVE, [1, 2, 6])


def test_a_session_joined_late_needs_a_snapshot():
    """Its first messages may stand on orders of a session before it."""
    engine = Engine(session="", can_snapshot=1, can_request=1, reorder_ns=0, stale_after_ns=1 << 62)
    engine.take(one(3, SECOND_ID))
    engine.settle()
    engine.settle()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    assert engine.count(Count.REQUESTS) == 0
    engine.take(packet(4, [delete(9)], SECOND_ID))
    engine.shard.snapshot[:] = 0
    snapshot_ready(engine, 5)
    assert (state(engine), engine.channel["suspect"]) == (State.LIVE, 0)
    assert engine.count(Count.UNKNOWN_REFERENCE) == 0


def test_snapshot_that_was_asked_for_in_the_session_before_is_refused():
    engine = joined(can_snapshot=1, reorder_ns=0, stale_after_ns=1 << 62)
    engine.channel["suspect"] = 1
    engine.settle()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    engine.take(end_of_session(3, FIRST))
    engine.take(one(1, SECOND_ID))
    engine.settle()
    snapshot_ready(engine, 3)
    assert engine.count(Count.SNAPSHOTS) == 0
    assert engine.channel["suspect"] == 1


@pytest.mark.parametrize(("meets", "next_seq"), [(False, 2), (True, 6), (False, 9)])
def test_snapshot_that_may_be_of_the_next_session_is_refused(meets: bool, next_seq: int):
    """Less than we know of, after a packet of another session, or beyond a known end."""
    engine = joined(can_snapshot=1, reorder_ns=0, stale_after_ns=1 << 62)
    engine.take(one(4, FIRST))
    engine.settle()
    engine.settle()
    assert engine.shard.control[Control.SNAPSHOT] == Snapshot.WANTED
    if meets:
        engine.take(one(1, SECOND_ID))
    if next_seq == 9:
        engine.take(end_of_session(6, FIRST))
    snapshot_ready(engine, next_seq)
    assert engine.count(Count.SNAPSHOTS) == 0
    assert engine.rx.sessions.words[Roll.BASE] == 0
