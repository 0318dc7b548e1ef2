"""Lines and their faults, re-requests and history, over real sockets on loopback."""

import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.moldudp64.codec import Packet, Request, decode_packet, encode_request
from protocols.moldudp64.spec import END_OF_SESSION
from tools.exchange import lines, rerequests
from tools.exchange.datagrams import allocate_packets, put_packet_nb, send_packets_nb
from tools.exchange.desk import allocate_desk
from tools.exchange.flow import generate_nb
from tools.exchange.history import (
    History,
    allocate_history,
    oldest_sequence_nb,
    packet_slice_nb,
)
from tools.exchange.layout import Engine, FlowSettings, allocate_engine
from tools.exchange.rng import CHANCE_ONE
from tools.exchange.sessions import allocate_sessions
from tools.exchange.source import extend_history_nb
from tools.exchange.streams import allocate_streams

SESSION = "FHTEST"
SESSION_BYTES = np.frombuffer(SESSION.encode().ljust(10), np.uint8)
SESSIONS = allocate_sessions(SESSION)
FLOW = FlowSettings(5, 2, messages=600, orders_per_symbol=10)
MS = 1_000_000
BATCH = 64
DESK = allocate_desk(0, 1, allocate_streams(allocate_engine(FLOW), 0, 0))
README = (Path(lines.__file__).parent / "README.md").read_text(encoding="utf-8")


def extend(engine: Engine, history: History, last: int) -> None:
    """Make messages up to number `last`."""
    extend_history_nb(None, DESK, engine, history, (last, 0))


def session_messages() -> list[bytes]:
    buffer = np.zeros(FLOW.messages * 48, np.uint8)
    generate_nb(allocate_engine(FLOW), buffer, FLOW.messages)
    found, at = [], 0
    for _ in range(FLOW.messages):
        size = int.from_bytes(buffer[at : at + 2].tobytes(), "big")
        found.append(buffer[at + 2 : at + 2 + size].tobytes())
        at += 2 + size
    return found


MESSAGES = session_messages()


class Bench:
    """An engine with its history, a line, and the socket at the line's other end."""

    def __init__(self, **faults: Any) -> None:
        self.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.bind(("127.0.0.1", 0))
        self.receiver.setblocking(False)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.connect(self.receiver.getsockname())
        self.engine = allocate_engine(FLOW)
        self.history = allocate_history(FLOW.messages)
        self.line = lines.allocate_line(
            self.sender.fileno(), SESSIONS, self.history, lines.LineFaults(**faults), (9, 1)
        )
        self.now_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.close()
        self.sender.close()

    def send(self, per_packet: int, last: int = FLOW.messages) -> None:
        """Offer all messages, `per_packet` at a time, one packet a millisecond."""
        extend(self.engine, self.history, last)
        sequence = 1
        while sequence <= last:
            end = min(last, sequence + per_packet - 1)
            count, at, size = packet_slice_nb(self.history, sequence, end, 1400)
            self.offer((sequence, count, at, size))
            self.flush()
            sequence += count
            self.now_ns += MS

    def offer(self, packet: tuple[int, int, int, int]) -> None:
        """Offer a packet; the session's clock is the line's."""
        lines.offer_packet_nb(self.line, packet, self.now_ns, self.now_ns)

    def notice(self, sequence: int, count: int) -> None:
        lines.offer_notice_nb(self.line, sequence, count, self.now_ns, self.now_ns)

    def flush(self) -> None:
        lines.flush_line_nb(self.line, self.engine, self.history, self.now_ns, 0)

    def received(self) -> list[Packet]:
        found = []
        while True:
            try:
                found.append(decode_packet(self.receiver.recv(2048)))
            except BlockingIOError:
                return found

    @property
    def counters(self):
        return lines.counters_by_name(self.line)


def test_a_line_without_faults_carries_every_message_in_order():
    with Bench() as bench:
        bench.send(7)
        packets = bench.received()
        assert [message for packet in packets for message in packet.messages] == MESSAGES
        assert {packet.session for packet in packets} == {SESSION}
        sequence = 1
        for packet in packets:
            assert packet.sequence == sequence
            sequence += len(packet.messages)
        assert bench.counters["packets_sent"] == len(packets)
        assert bench.counters["messages_sent"] == len(MESSAGES)


def test_lost_packets_are_counted_and_the_rest_arrives():
    with Bench(loss=0.3) as bench:
        bench.send(4)
        packets, counters = bench.received(), bench.counters
        assert 20 < counters["packets_dropped"] < 70
        assert len(packets) + counters["packets_dropped"] == len(MESSAGES) // 4
        lost = len(MESSAGES) - sum(len(packet.messages) for packet in packets)
        assert lost == counters["messages_dropped"]


def test_doubled_packets_come_twice_in_a_row():
    with Bench(duplicate=0.3) as bench:
        bench.send(4)
        packets, counters = bench.received(), bench.counters
        doubles = sum(one == two for one, two in pairwise(packets))
        assert doubles == counters["packets_duplicated"] > 20
        assert len(packets) == len(MESSAGES) // 4 + doubles


def test_a_reordered_packet_follows_the_next_one_and_nothing_is_lost():
    with Bench(reorder=0.3) as bench:
        bench.send(4)
        bench.now_ns += 100 * MS
        bench.flush()
        sequences = [packet.sequence for packet in bench.received()]
        swapped = sum(one > two for one, two in pairwise(sequences))
        assert sorted(sequences) == list(range(1, len(MESSAGES), 4))
        assert swapped == bench.counters["packets_reordered"] > 20
        assert lines.is_drained_nb(bench.line)


def test_a_packet_that_nothing_overtakes_leaves_after_its_time():
    with Bench(reorder=0.999) as bench:
        bench.send(4, last=4)
        assert bench.received() == []
        bench.now_ns = lines.HELD_NS_MAX - 1
        bench.flush()
        assert not lines.is_drained_nb(bench.line)
        bench.now_ns += 1
        bench.flush()
        assert [packet.sequence for packet in bench.received()] == [1]


def test_a_delayed_packet_leaves_when_its_delay_is_over():
    with Bench(delay_ns=5 * MS) as bench:
        bench.send(4, last=4)
        bench.now_ns = 5 * MS - 1
        bench.flush()
        assert bench.received() == []
        bench.now_ns += 1
        bench.flush()
        assert len(bench.received()) == 1
        assert bench.counters["packets_delayed"] == 1


def test_nothing_leaves_a_line_that_is_cut():
    with Bench(cuts_ns=((10 * MS, 20 * MS), (30 * MS, 31 * MS))) as bench:
        bench.send(4)
        missing = set(range(1, len(MESSAGES), 4)) - {one.sequence for one in bench.received()}
        assert missing == {*range(41, 81, 4), 121}
        assert bench.counters["packets_cut"] == 11
        assert bench.counters["messages_cut"] == 44
        bench.now_ns = 15 * MS
        bench.notice(1, 0)
        bench.flush()
        assert bench.received() == []


def test_a_window_is_open_for_its_time_and_the_configured_fault_outside():
    window = (lines.LOSS, 30 * MS, 80 * MS, CHANCE_ONE)
    with Bench(windows=(window,), duplicate=0.999999) as bench:
        bench.send(4)
        packets, counters = bench.received(), bench.counters
    assert counters["packets_dropped"] == 50
    missing = set(range(1, len(MESSAGES), 4)) - {one.sequence for one in packets}
    assert missing == set(range(121, 321, 4))
    assert counters["packets_duplicated"] == 100


def test_in_a_window_packets_come_twice_or_late_or_behind_the_next():
    windows = (
        (lines.DUPLICATE, 0, 20 * MS, CHANCE_ONE),
        (lines.REORDER, 40 * MS, 60 * MS, CHANCE_ONE),
        (lines.DELAY_NS, 100 * MS, 110 * MS, 5 * MS),
    )
    with Bench(windows=windows) as bench:
        bench.send(4)
        packets, counters = [one.sequence for one in bench.received()], bench.counters
    made = list(range(1, len(MESSAGES), 4))
    doubled = [sequence for sequence in made[:20] for _ in range(2)]
    swapped = [sequence for at in range(40, 60, 2) for sequence in (made[at + 1], made[at])]
    assert packets == [*doubled, *made[20:40], *swapped, *made[60:]]
    assert counters["packets_duplicated"] == 20
    assert counters["packets_reordered"] == 10
    assert counters["packets_delayed"] == 10


def test_a_window_that_cuts_takes_heartbeats_too():
    with Bench(windows=((lines.CUT, 10 * MS, 20 * MS, 1),), duplicate=0.999999) as bench:
        bench.send(4, last=80)
        assert {one.sequence for one in bench.received()} == set(range(1, 41, 4))
        assert bench.counters["packets_duplicated"] == bench.counters["packets_cut"] == 10
        assert bench.counters["messages_cut"] == 40
        bench.now_ns = 19 * MS
        bench.notice(81, 0)
        bench.now_ns = 20 * MS
        bench.notice(81, 0)
        bench.flush()
        assert bench.received() == [Packet(SESSION, 81)]
        assert bench.counters["packets_cut"] == 11


@given(
    st.lists(
        st.tuples(
            st.integers(lines.LOSS, lines.CUT),
            st.integers(0, 20),
            st.integers(1, 20),
            st.integers(1, 9),
        ).map(lambda row: (row[0], row[1], row[1] + row[2], row[3])),
        max_size=5,
    ),
    st.lists(st.integers(0, 45), min_size=1, max_size=30),
)
def test_at_any_time_a_fault_is_the_largest_of_its_open_windows(
    windows: list[tuple[int, int, int, int]], times: list[int]
):
    faults = lines.LineFaults(delay_ns=4, windows=tuple(windows))
    line = lines.allocate_line(-1, SESSIONS, allocate_history(8), faults, (9, 1))
    for time_ns in times:
        lines.offer_notice_nb(line, 1, 0, 0, time_ns)
        for word in range(lines.LOSS, lines.CUT + 1):
            values = [row[3] for row in windows if row[0] == word and row[1] <= time_ns < row[2]]
            usual = 4 if word == lines.DELAY_NS else 0
            assert line.faults[word] == max([usual, *values])


def test_heartbeats_and_ends_of_session_say_what_comes_next():
    with Bench() as bench:
        assert lines.notice_due_nb(bench.line, 999, 1000) == 0
        assert lines.notice_due_nb(bench.line, 1000, 1000) == 1
        bench.now_ns = 1000
        bench.notice(17, 0)
        bench.notice(18, END_OF_SESSION)
        assert lines.notice_due_nb(bench.line, 1999, 1000) == 0
        bench.flush()
        assert bench.received() == [Packet(SESSION, 17), Packet(SESSION, 18, ended=True)]
        counters = bench.counters
        assert (counters["heartbeats_sent"], counters["session_ends_sent"]) == (1, 1)


def test_a_receiver_that_is_not_there_costs_no_packet_once_it_is():
    with Bench() as bench:
        address = bench.receiver.getsockname()
        bench.receiver.close()
        bench.send(4, last=40)
        bench.receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bench.receiver.bind(address)
        bench.receiver.setblocking(False)
        for start in range(44, 84, 4):
            extend(bench.engine, bench.history, start)
            count, at, size = packet_slice_nb(bench.history, start - 3, start, 1400)
            bench.offer((start - 3, count, at, size))
            bench.flush()
        assert [packet.sequence for packet in bench.received()] == list(range(41, 81, 4))


def test_a_closed_socket_is_counted_as_refused_and_never_loops():
    with Bench() as bench:
        assert send_packets_nb(1 << 20, bench.line.packets, 3) == 3


def test_a_packet_held_for_longer_than_the_history_is_given_up():
    with Bench(delay_ns=MS) as bench:
        bench.history = allocate_history(8)
        extend(bench.engine, bench.history, 4)
        count, at, size = packet_slice_nb(bench.history, 1, 4, 1400)
        bench.offer((1, count, at, size))
        extend(bench.engine, bench.history, 12)
        bench.now_ns = MS
        bench.flush()
        assert bench.received() == []
        assert bench.counters["packets_expired"] == 1


def test_a_history_keeps_the_latest_messages_whole_as_it_wraps():
    engine, history = allocate_engine(FLOW), allocate_history(50)
    for last in range(1, FLOW.messages + 1):
        extend(engine, history, last)
        oldest = oldest_sequence_nb(engine, history)
        assert oldest == max(1, last - 63)
        for sequence in (oldest, (oldest + last) // 2, last):
            count, at, size = packet_slice_nb(history, sequence, sequence, 100)
            assert count == 1
            assert history.data[at + 2 : at + size].tobytes() == MESSAGES[sequence - 1]


def test_a_packet_holds_the_most_whole_messages_that_fit():
    engine, history = allocate_engine(FLOW), allocate_history(FLOW.messages)
    extend(engine, history, FLOW.messages)
    for limit in (48, 100, 1400):
        count, _, size = packet_slice_nb(history, 100, FLOW.messages, limit)
        sizes = [2 + len(message) for message in MESSAGES[99 : 99 + count + 1]]
        assert size == sum(sizes[:count]) <= limit < sum(sizes)


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        allocate_history(0)


class TestRerequests:
    """The server for requests, polled by hand."""

    @pytest.fixture
    def bench(self):
        with Bench() as bench:
            bench.send(10, last=200)
            bench.received()
            bench.sender.close()
            served = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            served.bind(("127.0.0.1", 0))
            served.setblocking(False)
            bench.address = served.getsockname()
            bench.server = rerequests.allocate_rerequests(served.fileno(), SESSIONS, bench.history)
            yield bench
            served.close()

    def ask(self, bench: Bench, *datagrams: bytes):
        for datagram in datagrams:
            bench.receiver.sendto(datagram, bench.address)
        rerequests.serve_rerequests_nb(bench.server, bench.engine, bench.history)
        return bench.received(), rerequests.counters_by_name(bench.server)

    def test_a_request_is_answered_with_exactly_the_messages_asked_for(self, bench: Bench):
        packets, counters = self.ask(bench, encode_request(Request(SESSION, 50, 3)))
        assert packets == [Packet(SESSION, 50, tuple(MESSAGES[49:52]))]
        assert (counters["requests_answered"], counters["messages_resent"]) == (1, 3)

    def test_a_large_request_gets_what_fits_one_datagram(self, bench: Bench):
        packets, _ = self.ask(bench, encode_request(Request(SESSION, 101, 5000)))
        (packet,) = packets
        assert packet.messages == tuple(MESSAGES[100 : 100 + len(packet.messages)])
        assert 28 < len(packet.messages) < 100

    def test_answers_are_as_large_as_the_packets_of_jumbo_frames(self, bench: Bench):
        descriptor, given = bench.server.settings[0], (SESSIONS, bench.history, 1900)
        bench.server = rerequests.allocate_rerequests(descriptor, *given)
        packets, _ = self.ask(bench, encode_request(Request(SESSION, 1, 190)))
        (packet,) = packets
        assert packet.messages == tuple(MESSAGES[: len(packet.messages)])
        size = sum(2 + len(message) for message in packet.messages)
        assert 1850 < size <= 1900

    def test_what_was_not_sent_yet_is_left_out(self, bench: Bench):
        packets, counters = self.ask(
            bench,
            encode_request(Request(SESSION, 199, 9)),
            encode_request(Request(SESSION, 201, 1)),
            encode_request(Request(SESSION, 0, 1)),
        )
        assert packets == [Packet(SESSION, 199, tuple(MESSAGES[198:200]))]
        assert counters["requests_unknown"] == 2

    def test_garbage_and_other_sessions_are_counted_and_ignored(self, bench: Bench):
        good = encode_request(Request(SESSION, 7, 1))
        packets, counters = self.ask(
            bench,
            b"",
            b"x" * 19,
            good + b"x",
            bytes(3000),
            encode_request(Request(SESSION, 7, 0)),
            SESSION.encode().ljust(10) + b"\xff" * 10,
            encode_request(Request("OTHER", 7, 1)),
            good,
        )
        assert packets == [Packet(SESSION, 7, (MESSAGES[6],))]
        assert counters["requests_malformed"] == 6
        assert counters["requests_other_session"] == 1

    def test_each_requester_gets_its_own_answer(self, bench: Bench):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.1", 0))
            other.settimeout(2)
            bench.receiver.sendto(b"garbage", bench.address)
            other.sendto(encode_request(Request(SESSION, 9, 1)), bench.address)
            packets, _ = self.ask(bench, encode_request(Request(SESSION, 8, 1)))
            assert packets == [Packet(SESSION, 8, (MESSAGES[7],))]
            assert decode_packet(other.recv(2048)) == Packet(SESSION, 9, (MESSAGES[8],))

    def test_nothing_is_done_when_nobody_asks(self, bench: Bench):
        assert rerequests.serve_rerequests_nb(bench.server, bench.engine, bench.history) == 0


def test_every_packet_and_double_is_counted_once_as_the_readme_says():
    cuts = ((100 * MS, 120 * MS),)
    faults = {"loss": 0.2, "duplicate": 0.3, "reorder": 0.2, "delay_ns": 3 * MS, "cuts_ns": cuts}
    with Bench(**faults) as bench:
        bench.send(3)
        made = FLOW.messages // 3
        for count in (0, END_OF_SESSION):
            bench.notice(FLOW.messages + 1, count)
            made += 1
        # In a cut, so that a notice is cut too.
        bench.line.cuts_ns[0] = (bench.now_ns + 3 * MS, bench.now_ns + 4 * MS)
        bench.now_ns += 3 * MS
        bench.flush()
        bench.now_ns += 30 * MS
        bench.flush()
        assert lines.is_drained_nb(bench.line) == 1
        counters = bench.counters
    assert "made + packets_duplicated = packets_sent + packets_dropped + packets_cut" in README
    found = sum(counters[f"packets_{name}"] for name in ("sent", "dropped", "cut", "expired"))
    assert made + counters["packets_duplicated"] == found
    assert all(counters[f"packets_{name}"] > 0 for name in ("sent", "dropped", "cut", "duplicated"))


def test_what_the_system_refuses_is_counted_among_what_was_sent():
    with Bench() as bench:
        bench.line.settings[lines.DESCRIPTOR] = 1 << 20
        bench.send(10)
        counters = bench.counters
    assert counters["packets_refused"] == counters["packets_sent"] == FLOW.messages // 10


def test_a_socket_that_takes_no_more_is_not_waited_for():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    batch = allocate_packets(BATCH)
    for index in range(BATCH):
        put_packet_nb(batch, index, SESSION_BYTES, (1, 0), (0, 0))
    refused: list[int] = []

    def send_all() -> None:
        refused.extend(send_packets_nb(near.fileno(), batch, BATCH) for _ in range(BATCH))

    sender = threading.Thread(target=send_all, daemon=True)
    sender.start()
    sender.join(20)
    is_waiting = sender.is_alive()
    # Whoever waits is let go.
    far.close()
    sender.join(20)
    near.close()
    assert not is_waiting
    assert refused[-1] == BATCH
