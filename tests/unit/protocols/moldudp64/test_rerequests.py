"""Requests: what a client asks for and when again, what a server answers, and to whom."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.kept import KeptMessages
from protocols.moldudp64.codec import Packet, Request, decode_packet, decode_request, encode_request
from protocols.moldudp64.kernels import check_request_nb
from protocols.moldudp64.limiter import Limits, SourceLimiter
from protocols.moldudp64.rerequest_client import RequestClient, RequestSettings
from protocols.moldudp64.rerequest_server import AnswerSettings, RequestServer, check_request
from protocols.moldudp64.spec import HEADER_BYTES, SEQUENCE_LIMIT, SEQUENCE_MAX, RequestCheck

MS = 1_000_000
SECOND = 1_000_000_000


def asked(client: RequestClient) -> list[tuple[int, int]]:
    found = []
    while data := client.data_to_send():
        request = decode_request(data)
        assert request.session == "S"
        found.append((request.sequence, request.count))
    return found


def client_of(**settings: int) -> RequestClient:
    return RequestClient(RequestSettings(**settings))


class TestClient:
    def test_a_hole_is_asked_for_in_chunks_a_window_at_a_time(self):
        client = client_of(count_max=10, window=3)
        client.want("S", 5, 50, 0)
        assert asked(client) == [(5, 10), (15, 10), (25, 10)]
        client.want("S", 5, 50, 0)
        assert asked(client) == []
        client.answered(5, 15, 0)
        client.want("S", 15, 50, 0)
        assert asked(client) == [(35, 10)]
        assert client.request_count == 4

    def test_the_rest_of_an_answer_is_asked_for_at_once(self):
        client = client_of(count_max=10, window=1)
        client.want("S", 5, 15, 0)
        asked(client)
        client.answered(5, 8, 0)
        client.want("S", 8, 15, 0)
        assert asked(client) == [(8, 7)]

    def test_an_answer_counts_although_its_beginning_came_otherwise(self):
        client = client_of(count_max=10, window=1)
        client.want("S", 5, 15, 0)
        asked(client)
        client.want("S", 7, 15, 0)
        client.answered(5, 9, 0)
        client.want("S", 9, 15, 0)
        assert asked(client) == [(9, 6)]

    def test_packets_that_are_no_answers_change_nothing(self):
        client = client_of()
        client.want("S", 5, 15, 0)
        asked(client)
        client.answered(100, 110, 0)
        assert asked(client) == []

    def test_what_came_before_it_was_sent_is_not_asked_for(self):
        client = client_of(count_max=10, window=2)
        client.want("S", 5, 25, 0)
        client.want("S", 15, 25, 0)
        assert asked(client) == [(15, 10)]

    def test_without_an_answer_it_asks_again_until_it_is_hopeless(self):
        client = client_of(count_max=10, window=2, timeout_ns=100, tries_max=3)
        client.want("S", 5, 30, 0)
        assert asked(client) == [(5, 10), (15, 10)]
        for turn in (1, 2):
            assert client.timer_ns() == turn * 100
            client.handle_timer(turn * 100 - 1)
            assert asked(client) == []
            client.handle_timer(turn * 100)
            assert asked(client) == [(5, 10), (15, 10)]
        client.handle_timer(300)
        assert client.is_hopeless
        assert (asked(client), client.timer_ns()) == ([], None)
        client.clear()
        assert not client.is_hopeless

    def test_progress_gives_a_hole_all_its_tries_again(self):
        client = client_of(count_max=10, window=1, timeout_ns=100, tries_max=2)
        client.want("S", 5, 15, 0)
        client.handle_timer(100)
        client.answered(5, 9, 150)
        client.want("S", 9, 15, 150)
        client.handle_timer(250)
        assert not client.is_hopeless
        client.handle_timer(350)
        assert client.is_hopeless

    def test_a_later_chunk_that_is_not_answered_is_not_yet_the_end_of_hope(self):
        client = client_of(count_max=10, window=2, timeout_ns=100, tries_max=1)
        client.want("S", 5, 25, 0)
        client.answered(5, 8, 50)
        client.want("S", 8, 25, 50)
        client.handle_timer(100)
        assert not client.is_hopeless
        client.handle_timer(150)
        assert client.is_hopeless

    @pytest.mark.parametrize("wrong", [{"count_max": 0}, {"count_max": 65_535}, {"window": 0}])
    def test_settings_that_ask_for_nothing_are_refused(self, wrong: dict[str, int]):
        with pytest.raises(ValueError, match="from 1"):
            client_of(**wrong)


def kept_messages(count: int, messages_max: int = 100, first: int = 1) -> KeptMessages:
    kept = KeptMessages(messages_max, first)
    for number in range(first, first + count):
        kept.append(b"%020d" % number)
    return kept


class TestServer:
    def answer(self, server: RequestServer, request: Request, now_ns: int = 0) -> Packet | None:
        data = server.answer(encode_request(request), "somebody", now_ns)
        return decode_packet(data) if data else None

    def test_a_request_is_answered_with_exactly_the_messages_asked_for(self):
        server = RequestServer("S", kept_messages(20))
        packet = self.answer(server, Request("S", 5, 2))
        assert packet == Packet("S", 5, (b"%020d" % 5, b"%020d" % 6))
        assert server.counters["messages_resent"] == 2

    def test_as_many_are_answered_as_fit_one_datagram(self):
        server = RequestServer("S", kept_messages(20), AnswerSettings(answer_bytes_max=20 + 3 * 22))
        for count in (3, 4, 0xFFFF):
            packet = self.answer(server, Request("S", 5, count))
            assert packet is not None
            assert len(packet.messages) == 3

    def test_an_answer_has_no_more_messages_than_is_configured(self):
        server = RequestServer("S", kept_messages(20), AnswerSettings(messages_max=2))
        packet = self.answer(server, Request("S", 5, 10))
        assert packet is not None
        assert len(packet.messages) == 2

    def test_what_was_not_sent_yet_is_left_out(self):
        server = RequestServer("S", kept_messages(20))
        packet = self.answer(server, Request("S", 19, 500))
        assert packet == Packet("S", 19, (b"%020d" % 19, b"%020d" % 20))

    @pytest.mark.parametrize(
        ("data", "counter"),
        [
            (b"", "requests_malformed"),
            (bytes(19), "requests_malformed"),
            (bytes(21), "requests_malformed"),
            (encode_request(Request("S", 115, 0)), "requests_malformed"),
            (encode_request(Request("OTHER", 115, 1)), "requests_other_session"),
            (encode_request(Request("S", 0, 1)), "requests_unknown"),
            (encode_request(Request("S", 20, 1)), "requests_unknown"),
            (encode_request(Request("S", 121, 1)), "requests_unknown"),
            (encode_request(Request("S", SEQUENCE_MAX, 0xFFFF)), "requests_unknown"),
        ],
    )
    def test_anything_else_is_counted_and_answered_by_nothing(self, data: bytes, counter: str):
        server = RequestServer("S", kept_messages(120))
        assert server.answer(data, "somebody", 0) == b""
        assert server.counters[counter] == 1
        assert sum(server.counters.values()) == 1
        # Only who is answered takes a place in the table.
        assert server.limiter.source_count == 0

    def test_a_message_that_fits_no_answer_is_not_sent_however_it_is_asked_for(self):
        server = RequestServer("S", kept_messages(3), AnswerSettings(answer_bytes_max=41))
        assert self.answer(server, Request("S", 1, 1)) is None
        assert server.counters["answers_too_large"] == 1

    def test_numbers_are_right_up_to_the_last_one(self):
        first = SEQUENCE_MAX - 3
        server = RequestServer("S", kept_messages(3, first=first))
        packet = self.answer(server, Request("S", first + 1, 0xFFFF))
        assert packet == Packet("S", first + 1, (b"%020d" % (first + 1), b"%020d" % (first + 2)))
        assert self.answer(server, Request("S", SEQUENCE_MAX, 1)) is None

    def test_a_source_gets_its_share_and_no_more(self):
        limits = Limits(source_bytes_per_s=420, source_burst_bytes=84)
        server = RequestServer("S", kept_messages(20), AnswerSettings(limits=limits))
        answers = [self.answer(server, Request("S", 1, 1)) for _ in range(5)]
        assert [answer is not None for answer in answers] == [True, True, False, False, False]
        # A tenth of a second later there is room for 42 bytes, one answer.
        assert self.answer(server, Request("S", 1, 1), 99 * MS) is None
        assert self.answer(server, Request("S", 1, 1), 100 * MS) is not None
        assert self.answer(server, Request("S", 1, 1), 100 * MS) is None
        assert server.counters["requests_limited"] == 5
        assert server.answer(encode_request(Request("S", 1, 1)), "somebody else", 100 * MS)

    def test_a_flood_from_a_thousand_sources_gets_the_total_and_memory_stays_bounded(self):
        limits = Limits(
            source_bytes_per_s=10_000,
            source_burst_bytes=2_000,
            total_bytes_per_s=100_000,
            total_burst_bytes=20_000,
            sources_max=64,
        )
        server = RequestServer("S", kept_messages(100), AnswerSettings(limits=limits))
        request, sent = encode_request(Request("S", 1, 0xFFFF)), 0
        by_source: dict[int, int] = {}
        for turn in range(4_000):
            source = turn % 1_000
            size = len(server.answer(request, source, turn * 500_000))
            sent += size
            by_source[source] = by_source.get(source, 0) + size
            assert server.limiter.source_count <= 64
        # 2 s of requests: the burst and two seconds' worth, whatever their number.
        assert sent <= 20_000 + 2 * 100_000
        assert max(by_source.values()) <= 2_000 + 2 * 10_000
        assert sent == server.counters["bytes_resent"] > 20_000

    @given(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 200), st.integers(0, 50)), max_size=60)
    )
    def test_no_source_ever_gets_more_than_burst_and_rate_times_time(
        self, turns: list[tuple[int, int, int]]
    ):
        limits = Limits(100, 300, 250, 500, sources_max=4)
        limiter = SourceLimiter(limits)
        now_ns, taken = 0, []
        for source, size, wait in turns:
            now_ns += wait * 10 * MS
            if limiter.allows(source, size, now_ns):
                taken.append((now_ns, source, size))
            assert limiter.source_count <= 4
        for start, _, _ in taken:
            window = [(at, who, size) for at, who, size in taken if at >= start]
            for end, _, _ in window:
                inside = [(who, size) for at, who, size in window if at <= end]
                assert sum(size for _, size in inside) <= 500 + 250 * (end - start) / SECOND
                for name in range(6):
                    mine = sum(size for who, size in inside if who == name)
                    assert mine <= 300 + 100 * (end - start) / SECOND

    def test_a_full_table_makes_room_only_for_who_gains_nothing_by_it(self):
        limiter = SourceLimiter(Limits(100, 100, 10_000, 10_000, sources_max=2))
        assert limiter.allows("a", 100, 0)
        assert limiter.allows("b", 50, 0)
        assert not limiter.allows("c", 1, 0)
        assert not limiter.allows("c", 1, SECOND - 1)
        assert limiter.allows("c", 1, SECOND)
        assert limiter.source_count == 2
        assert limiter.allows("a", 100, SECOND + SECOND // 2)


@given(
    st.one_of(
        st.binary(max_size=24),
        st.builds(
            Request,
            st.sampled_from(["S", "T", ""]),
            st.one_of(st.integers(0, 120), st.integers(0, SEQUENCE_MAX)),
            st.integers(0, 0xFFFF),
        ).map(encode_request),
    ),
    st.integers(1, 60),
    st.integers(60, 110),
)
@example(encode_request(Request("T", 70, 1)), 1, 100)
@example(encode_request(Request("S", 70, 0)), 1, 100)
@example(encode_request(Request("S", 170, 1)), 1, 100)
@example(encode_request(Request("S", 70, 50)), 1, 100)
def test_the_kernel_checks_a_request_as_its_slow_twin_does(
    data: bytes, oldest: int, next_sequence: int
):
    buf = np.frombuffer(b"\xff" * 3 + data + b"\xff" * 24, np.uint8)
    session = np.frombuffer(b"S".ljust(10), np.uint8)
    found = check_request_nb(buf, 3, len(data), session, oldest, next_sequence)
    request, check = check_request(data, "S", oldest, next_sequence)
    if len(data) == HEADER_BYTES and int.from_bytes(data[10:18], "big") >= SEQUENCE_LIMIT:
        # A number that no row holds is not even compared.
        assert found == (0, 0, RequestCheck.MALFORMED)
    elif request is None:
        assert found == (0, 0, check)
    else:
        assert found == (request.sequence, request.count, RequestCheck.OK)


@given(st.binary(max_size=40))
def test_any_bytes_are_answered_by_no_more_than_one_datagram(data: bytes):
    server = RequestServer("S", kept_messages(20))
    assert len(server.answer(data, "somebody", 0)) <= server.settings.answer_bytes_max
