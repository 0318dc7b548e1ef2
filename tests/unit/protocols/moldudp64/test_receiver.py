"""The receiver: order, holes, sessions, and what a network does to it."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from protocols.moldudp64 import events as mold
from protocols.moldudp64.codec import Packet, decode_request, encode_packet
from protocols.moldudp64.receiver import TRANSITIONS, Receiver, ReceiverSettings, State
from protocols.moldudp64.rerequest_client import RequestSettings
from protocols.moldudp64.spec import SEQUENCE_MAX

MS = 1_000_000
SECOND = 1_000_000_000
AT_ONCE = ReceiverSettings(reorder_ns=0, session_silence_ns=0)
NOBODY_TO_ASK = ReceiverSettings(requests=None, reorder_ns=MS)


def data(first: int, count: int = 1, session: str = "S") -> bytes:
    messages = tuple(b"%d" % number for number in range(first, first + count))
    return encode_packet(Packet(session, first, messages))


def heartbeat(sequence: int, session: str = "S") -> bytes:
    return encode_packet(Packet(session, sequence))


def end(sequence: int, session: str = "S") -> bytes:
    return encode_packet(Packet(session, sequence, ended=True))


def events(receiver: Receiver) -> list[mold.Event]:
    found = []
    while (event := receiver.next_event()) is not None:
        found.append(event)
    return found


def delivered(receiver: Receiver) -> list[int]:
    """Numbers of the messages among the events; each message says its own."""
    found = []
    for event in events(receiver):
        if isinstance(event, mold.Messages):
            numbers = [int(message) for message in event.messages]
            assert numbers == list(range(event.sequence, event.sequence + len(numbers)))
            found += numbers
    return found


def asked(receiver: Receiver) -> list[tuple[int, int]]:
    found = []
    while request := receiver.data_to_send(0):
        found.append((decode_request(request).sequence, decode_request(request).count))
    return found


def joined(settings: ReceiverSettings = AT_ONCE) -> Receiver:
    """A receiver that has messages 1 and 2 of session S."""
    receiver = Receiver(settings)
    receiver.receive(data(1, 2), 0)
    events(receiver)
    return receiver


class TestOrder:
    def test_messages_in_order_are_delivered_as_they_come(self):
        receiver = Receiver()
        receiver.receive(data(1, 2), 0)
        assert events(receiver) == [
            mold.Joined("S", 1),
            mold.Messages("S", 1, (b"1", b"2")),
        ]
        receiver.receive(data(3), 0)
        assert events(receiver) == [mold.Messages("S", 3, (b"3",))]
        assert (receiver.state, receiver.session) == (State.LIVE, "S")

    def test_the_known_part_of_an_overlapping_packet_is_skipped(self):
        receiver = joined()
        receiver.receive(data(1, 4), 0)
        receiver.receive(data(2, 2), 0)
        assert delivered(receiver) == [3, 4]
        assert receiver.counters["packets_duplicate"] == 1

    def test_what_came_early_is_delivered_in_its_turn(self):
        receiver = joined()
        for first in (9, 5, 7, 6):
            receiver.receive(data(first, 2), 0)
        assert delivered(receiver) == []
        assert receiver.state is State.GAP
        receiver.receive(data(3, 2), 0)
        assert delivered(receiver) == [3, 4, 5, 6, 7, 8, 9, 10]
        assert (receiver.state, receiver.waiting_bytes) == (State.LIVE, 0)

    def test_a_heartbeat_tells_of_a_lost_tail_and_an_old_one_of_nothing(self):
        receiver = joined()
        receiver.receive(heartbeat(3), 0)
        receiver.receive(heartbeat(1), 0)
        assert (receiver.state, events(receiver)) == (State.LIVE, [])
        receiver.receive(heartbeat(5), 0)
        assert events(receiver) == [mold.GapDetected("S", 3, 5)]
        assert asked(receiver) == [(3, 2)]
        receiver.receive(data(3, 2), 0)
        assert events(receiver) == [
            mold.Messages("S", 3, (b"3", b"4")),
            mold.GapFilled("S", 5),
        ]

    def test_a_late_joiner_asks_for_what_it_wants(self):
        receiver = Receiver(AT_ONCE)
        receiver.receive(data(100), 0)
        assert events(receiver) == [mold.Joined("S", 1), mold.GapDetected("S", 1, 100)]
        assert asked(receiver) == [(1, 99)]
        resumed = Receiver(ReceiverSettings(first_sequence=98, reorder_ns=0))
        resumed.receive(data(100), 0)
        assert asked(resumed) == [(98, 2)]

    def test_a_late_joiner_may_begin_with_what_comes(self):
        receiver = Receiver(ReceiverSettings(first_sequence=0))
        receiver.receive(heartbeat(100), 0)
        receiver.receive(data(100), 0)
        assert events(receiver) == [
            mold.Joined("S", 100),
            mold.Messages("S", 100, (b"100",)),
        ]

    def test_a_packet_of_the_most_messages_is_taken_whole(self):
        receiver = Receiver()
        receiver.receive(encode_packet(Packet("S", 1, (b"",) * 0xFFFE)), 0)
        assert receiver.next_sequence == 0xFFFF

    def test_message_zero_is_no_message_of_the_session(self):
        receiver = Receiver()
        receiver.receive(data(0, 3), 0)
        assert delivered(receiver) == [1, 2]


class TestLastNumbers:
    """Unsigned 64-bit numbers, up to the last."""

    SETTINGS = ReceiverSettings(first_sequence=SEQUENCE_MAX - 5, reorder_ns=0)

    def test_the_last_message_of_all_is_delivered(self):
        receiver = Receiver(self.SETTINGS)
        receiver.receive(data(SEQUENCE_MAX - 1, 2), 0)
        assert asked(receiver) == [(SEQUENCE_MAX - 5, 4)]
        receiver.receive(data(SEQUENCE_MAX - 5, 4), 0)
        assert delivered(receiver) == list(range(SEQUENCE_MAX - 5, SEQUENCE_MAX + 1))
        assert receiver.next_sequence == SEQUENCE_MAX + 1

    def test_a_session_ends_at_the_last_number_that_its_end_can_carry(self):
        receiver = Receiver(self.SETTINGS)
        receiver.receive(data(SEQUENCE_MAX - 5, 5), 0)
        receiver.receive(end(SEQUENCE_MAX), 0)
        assert events(receiver)[-1] == mold.SessionEnded("S", SEQUENCE_MAX)

    def test_messages_beyond_the_last_number_are_malformed(self):
        receiver = Receiver(self.SETTINGS)
        receiver.receive(b"S         " + b"\xff" * 8 + b"\0\2" + bytes(4), 0)
        assert receiver.counters["packets_malformed"] == 1


class TestHoles:
    def test_other_lines_have_some_time_to_fill_a_hole(self):
        receiver = joined(ReceiverSettings())
        receiver.receive(data(5), 10)
        assert receiver.timer_ns() == 10 + MS
        receiver.handle_timer(9 + MS)
        assert asked(receiver) == []
        receiver.handle_timer(10 + MS)
        assert asked(receiver) == [(3, 2)]
        assert receiver.timer_ns() == 10 + MS + 100 * MS

    def test_each_hole_has_that_time(self):
        receiver = joined(ReceiverSettings())
        receiver.receive(data(5), 0)
        receiver.receive(data(9), 0)
        receiver.receive(data(3, 2), 900_000)
        assert receiver.timer_ns() == 900_000 + MS
        receiver.handle_timer(MS)
        assert asked(receiver) == []

    def test_it_asks_again_and_gives_up_in_the_end(self):
        requests = RequestSettings(timeout_ns=100 * MS, tries_max=3)
        receiver = joined(ReceiverSettings(requests=requests, reorder_ns=0))
        receiver.receive(data(5), 0)
        receiver.receive(data(8), 0)
        assert asked(receiver) == [(3, 2)]
        for turn in (1, 2):
            receiver.handle_timer(turn * 100 * MS)
            assert asked(receiver) == [(3, 2)]
        receiver.handle_timer(300 * MS)
        assert events(receiver) == [
            mold.GapDetected("S", 3, 5),
            mold.Lost("S", 3, 5),
            mold.Messages("S", 5, (b"5",)),
        ]
        # The next hole has all its tries.
        assert asked(receiver) == [(6, 2)]
        assert receiver.counters["messages_lost"] == 2

    def test_with_nobody_to_ask_a_hole_is_given_up_after_its_time(self):
        receiver = joined(NOBODY_TO_ASK)
        receiver.receive(data(5), 0)
        receiver.handle_timer(MS)
        assert events(receiver)[1:] == [
            mold.Lost("S", 3, 5),
            mold.Messages("S", 5, (b"5",)),
            mold.GapFilled("S", 6),
        ]
        assert asked(receiver) == []
        receiver.receive(data(3, 2), MS)
        assert events(receiver) == []

    def test_what_has_no_room_is_asked_for_when_it_is_its_turn(self):
        receiver = joined(ReceiverSettings(reorder_ns=0, ahead_bytes_max=9))
        for first in (8, 7, 6, 5, 8):
            receiver.receive(data(first), 0)
        assert receiver.waiting_bytes == 9
        assert asked(receiver) == [(3, 5)]
        receiver.receive(data(3, 2), 0)
        assert delivered(receiver) == [3, 4, 5, 6, 7]
        assert asked(receiver) == [(8, 1)]
        assert receiver.counters["messages_not_kept"] == 1

    def test_a_packet_far_beyond_is_garbage(self):
        receiver = joined()
        receiver.receive(heartbeat(SEQUENCE_MAX), 0)
        receiver.receive(data(1 << 60), 0)
        assert (receiver.state, receiver.counters["packets_too_far"]) == (State.LIVE, 2)


class TestEnd:
    def test_a_session_ends_when_nothing_is_missing(self):
        receiver = joined()
        receiver.receive(end(5), 0)
        assert events(receiver) == [mold.GapDetected("S", 3, 5)]
        receiver.receive(data(3, 2), 0)
        assert events(receiver)[-1] == mold.SessionEnded("S", 5)
        assert (receiver.state, receiver.timer_ns()) == (State.ENDED, None)
        receiver.receive(end(5), 0)
        receiver.receive(data(1, 4), 0)
        assert events(receiver) == []

    def test_an_end_is_never_65535_messages(self):
        receiver = joined()
        receiver.receive(end(3), 0)
        assert events(receiver) == [mold.SessionEnded("S", 3)]
        assert receiver.highest_sequence == 3

    def test_messages_beyond_the_end_reopen_the_session(self):
        receiver = joined()
        receiver.receive(end(3), 0)
        receiver.receive(data(3), 0)
        assert receiver.state is State.LIVE
        receiver.receive(end(3), 0)
        assert receiver.state is State.LIVE
        receiver.receive(end(4), 0)
        receiver.receive(data(5), 0)
        assert receiver.state is State.GAP
        events(receiver)

    def test_silence_of_an_ended_session_is_no_news(self):
        receiver = joined()
        receiver.receive(end(3), 0)
        events(receiver)
        receiver.handle_timer(60 * SECOND)
        assert events(receiver) == []


class TestSessions:
    def test_a_new_session_is_an_event_and_begins_with_its_first_message(self):
        receiver = joined()
        receiver.receive(data(2, 3, "T"), 0)
        assert events(receiver) == [
            mold.SessionChanged("S", 3, "T"),
            mold.Joined("T", 1),
            mold.GapDetected("T", 1, 2),
        ]
        receiver.receive(data(1, 1, "T"), 0)
        assert delivered(receiver) == [1, 2, 3, 4]

    def test_the_rest_of_the_old_session_is_lost_and_never_mixed_in(self):
        receiver = joined()
        receiver.receive(data(5), 0)
        asked(receiver)
        receiver.receive(heartbeat(1, "T"), 0)
        assert events(receiver)[1:] == [
            mold.Lost("S", 3, 6),
            mold.SessionChanged("S", 6, "T"),
            mold.Joined("T", 1),
        ]
        assert (receiver.waiting_bytes, asked(receiver)) == (0, [])
        for late in (data(3, 2), heartbeat(9), end(6)):
            receiver.receive(late, 0)
        assert (events(receiver), receiver.state) == ([], State.LIVE)
        assert receiver.counters["packets_other_session"] == 3

    def test_a_receiver_that_begins_anywhere_begins_the_next_session_anywhere(self):
        receiver = joined(ReceiverSettings(first_sequence=0, session_silence_ns=0))
        receiver.receive(data(40, 1, "T"), 0)
        assert events(receiver)[1] == mold.Joined("T", 40)

    def test_one_session_that_was_asked_for_is_the_only_one(self):
        receiver = Receiver(ReceiverSettings(session="S"))
        receiver.receive(data(1, 1, "T"), 0)
        assert (events(receiver), receiver.state) == ([], State.WAITING)
        receiver.receive(data(1), 0)
        receiver.receive(data(2, 1, "T"), 0)
        assert delivered(receiver) == [1]
        assert receiver.counters["packets_other_session"] == 2

    def test_a_stray_packet_does_not_end_a_session_that_is_alive(self):
        receiver = joined(ReceiverSettings(session_silence_ns=SECOND))
        receiver.receive(data(1, 1, "T"), SECOND - 1)
        assert receiver.session == "S"
        receiver.receive(data(1, 1, "T"), SECOND)
        assert receiver.session == "T"
        receiver.receive(end(2, "T"), SECOND)
        receiver.receive(data(1, 1, "U"), SECOND)
        assert receiver.session == "U"

    def test_a_packet_far_beyond_does_not_change_the_session(self):
        receiver = joined()
        receiver.receive(data(1 << 50, 1, "T"), 0)
        assert (receiver.session, events(receiver)) == ("S", [])


class TestSilence:
    def test_it_is_told_once_until_a_packet_comes(self):
        receiver = joined()
        assert receiver.timer_ns() == 15 * SECOND
        receiver.handle_timer(15 * SECOND - 1)
        assert events(receiver) == []
        receiver.handle_timer(15 * SECOND)
        assert events(receiver) == [mold.Silent("S", 15 * SECOND)]
        assert receiver.timer_ns() is None
        receiver.handle_timer(16 * SECOND)
        assert events(receiver) == []
        receiver.receive(heartbeat(3), 20 * SECOND)
        assert receiver.timer_ns() == 35 * SECOND

    def test_nothing_is_due_before_the_first_packet(self):
        receiver = Receiver()
        receiver.handle_timer(60 * SECOND)
        assert (receiver.timer_ns(), events(receiver)) == (None, [])


class TestHostile:
    @given(st.binary(max_size=64))
    def test_any_datagram_is_taken_or_counted(self, garbage: bytes):
        receiver = joined()
        receiver.receive(garbage, 0)
        receiver.receive(b"S         " + garbage, 0)
        receiver.handle_timer(SECOND)
        assert receiver.next_sequence >= 3

    def test_floods_leave_no_more_than_the_configured_memory(self):
        receiver = joined(ReceiverSettings(reorder_ns=0, ahead_bytes_max=10_000))
        packets = [data(3 + 2 * at, 1) for at in range(1, 3_000)]
        beats = [heartbeat(at) for at in range(3, 2_000)]
        garbage = [bytes(at % 40) for at in range(2_000)]
        sessions = [heartbeat(1, f"T{at}") for at in range(1_000)]

        def flood() -> None:
            for packet in (*packets, *beats, *garbage):
                receiver.receive(packet, 0)
                events(receiver)
                asked(receiver)
            assert receiver.waiting_bytes <= 10_000

        flood()
        tracemalloc.start()
        for _ in range(3):
            flood()
        grown = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert grown < 200_000
        assert receiver.next_sequence == 3
        for turn, packet in enumerate(sessions, 1):
            receiver.receive(packet, turn * 3 * SECOND)
            events(receiver)
        assert len(receiver._left) == 16


def test_every_state_is_in_the_table():
    assert set(TRANSITIONS) == set(State)
