"""Packets by hand and over loopback sockets: arbitration, recovery, snapshots, garbage."""

import socket
import time
from collections.abc import Iterator

import pytest

from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.events import Flag
from feedhandler.core.libc import SO_TIMESTAMPNS
from feedhandler.core.receive import BEAT_STEADY
from feedhandler.core.receiver import BATCH
from feedhandler.core.recovery import skip_hole_nb
from feedhandler.core.sequence import WINDOW_COUNT
from feedhandler.core.shard import WATCH_LEVELS, Control, Watch
from feedhandler.core.states import State
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
)


def one(seq: int) -> bytes:
    """A packet with one message that tells its number."""
    return packet(seq, [system_event(seq)])


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


def test_an_eighth_of_the_window_is_kept_for_answers():
    sizes = CAPACITY._replace(window_packets=16)
    engine = Engine(capacity=sizes, reorder_ns=NEVER, can_request=1)
    for seq in (1, *range(4, 20)):
        engine.take(one(seq))
    assert (engine.count(Count.WINDOW_STORED), engine.count(Count.WINDOW_FULL)) == (14, 2)
    engine.take(one(3), RECOVERY)
    assert engine.count(Count.WINDOW_STORED) == 15
    engine.take(one(2), RECOVERY)
    engine.settle()
    assert applied(engine) == [1, 2, 3, *range(4, 18)]


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


def test_what_did_not_fit_into_an_answer_is_asked_for_at_once(wire: Wire):
    engine = wire.engine
    engine.channel["request_timeout_ns"] = NEVER
    wire.send(LINE_A, one(9))
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 2)
    assert [wire.request().sequence for _ in range(2)] == [1, 5]
    wire.answer(packet(1, [system_event(i) for i in (1, 2, 3)]))
    wire.poll_until(lambda: engine.count(Count.REQUESTS) == 3)
    rest = wire.request()
    assert (rest.sequence, rest.count) == (4, 1)
    # The next answer is whole, and what follows it was asked for: nothing more to ask.
    wire.answer(packet(4, [system_event(4)]))
    wire.answer(packet(5, [system_event(i) for i in (5, 6, 7, 8)]))
    wire.poll_until(lambda: len(applied(engine)) == 9)
    assert engine.count(Count.REQUESTS) in (3, 4)


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


def test_channel_without_a_hole_has_nothing_to_skip():
    engine = Engine()
    engine.take(one(1))
    skip_hole_nb(engine.shard, engine.rx)
    assert (engine.count(Count.UNRECOVERED), engine.channel["suspect"]) == (0, 0)


def test_book_of_orders_is_built_from_packets():
    engine = Engine()
    engine.take(packet(1, [add(1, "B", 5, 100), add(2, "S", 6, 200), delete(1)]))
    assert (engine.count(Count.APPLIED), engine.shard.book.meta[ORDERS_LIVE]) == (3, 1)


def test_capacity_that_a_live_message_exceeds_makes_the_channel_suspect():
    engine = Engine(capacity=CAPACITY._replace(book=BOOK._replace(level_blocks=1)))
    engine.take(packet(1, [add(1, "B", 5, 100), add(2, "B", 6, 20_000)]))
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
