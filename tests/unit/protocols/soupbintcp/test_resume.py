"""Clients that log in again where they stopped, and the feeds that they read."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.soupbintcp import events as soup
from protocols.soupbintcp import spec
from protocols.soupbintcp.feed import FeedServer, SequencedFeed
from protocols.soupbintcp.resume import LINK_TRANSITIONS, Link, ResumingClient
from protocols.soupbintcp.session import State
from tests.unit.protocols.soupbintcp.support import LOGIN, SECOND, events

SESSION = "SESSION"


def let_in(username: str, password: str) -> bool:
    return (username.lower(), password.lower()) == ("user", "secret")


def accepted(sequence: int, session: str = SESSION) -> bytes:
    return b"\x00\x1fA" + session.rjust(10).encode() + str(sequence).rjust(20).encode()


def feed_of(count: int, messages_max: int = 100) -> SequencedFeed:
    feed = SequencedFeed(SESSION, messages_max)
    for number in range(1, count + 1):
        feed.append(str(number).encode())
    return feed


def sequenced(found: list) -> list[tuple[int, bytes]]:
    return [(item.sequence, item.payload) for item in found if isinstance(item, soup.SequencedData)]


class TestResumingClient:
    def test_it_asks_for_its_session_and_next_number_on_every_connection(self):
        client = ResumingClient("user", "secret")
        client.connected(0)
        assert client.data_to_send(0) == (b"\x00\x2fLuser  secret    " + b" " * 10 + b"1".rjust(20))
        client.receive(accepted(1) + b"\x00\x02Sa\x00\x02Sb\x00\x02S", 0)
        assert (client.session, client.next_sequence) == (SESSION, 3)
        client.disconnected()
        assert client.is_closed
        assert client.timer_ns() is None
        client.connected(1)
        assert client.data_to_send(1) == (
            b"\x00\x2fLuser  secret    " + b"SESSION   " + b"3".rjust(20)
        )
        # The events of the first connection are still there.
        assert sequenced(events(client)) == [(1, b"a"), (2, b"b")]

    def test_what_a_server_repeats_is_dropped_and_counted(self):
        client = ResumingClient("user", "secret", SESSION, 3)
        client.connected(0)
        client.receive(accepted(1) + b"\x00\x02Sa\x00\x02Sb\x00\x02Sc", 0)
        assert sequenced(events(client)) == [(3, b"c")]
        assert client.duplicate_count == 2

    def test_a_server_that_goes_on_beyond_the_next_number_is_a_gap(self):
        client = ResumingClient("user", "secret", SESSION, 3)
        client.connected(0)
        with pytest.raises(RemoteProtocolError, match="messages 3 to 5 are missing"):
            client.receive(accepted(6) + b"\x00\x02Sf", 0)
        assert client.is_closed
        assert sequenced(events(client)) == []
        client.disconnected()
        assert (client.state, client.next_sequence) == (Link.OFFLINE, 3)

    def test_another_session_is_a_fault(self):
        client = ResumingClient("user", "secret", "OTHER", 3)
        client.connected(0)
        with pytest.raises(RemoteProtocolError, match="asked for session 'OTHER', let in to"):
            client.receive(accepted(3), 0)

    def test_number_zero_takes_what_the_server_begins_with(self):
        client = ResumingClient("user", "secret", sequence=0)
        client.connected(0)
        client.receive(accepted(40), 0)
        assert client.next_sequence == 40

    def test_a_session_that_ends_is_finished(self):
        client = ResumingClient("user", "secret")
        client.connected(0)
        client.receive(accepted(1) + b"\x00\x02Sa\x00\x01Z", 0)
        assert client.state is Link.FINISHED
        client.disconnected()
        assert client.state is Link.FINISHED
        with pytest.raises(LocalProtocolError, match="FINISHED"):
            client.connected(1)

    def test_a_session_that_ends_before_what_was_received_is_a_fault(self):
        client = ResumingClient("user", "secret", SESSION, 3)
        client.connected(0)
        with pytest.raises(RemoteProtocolError, match="ended before message 2, but 2 was received"):
            client.receive(accepted(1) + b"\x00\x02Sa\x00\x01Z", 0)

    def test_a_fault_behind_messages_does_not_cost_them(self):
        client = ResumingClient("user", "secret")
        client.connected(0)
        with pytest.raises(RemoteProtocolError):
            client.receive(accepted(1) + b"\x00\x02Sa\x00\x00", 0)
        assert sequenced(events(client)) == [(1, b"a")]
        assert client.next_sequence == 2

    def test_a_refused_login_may_be_tried_again(self):
        client = ResumingClient("user", "secret")
        client.connected(0)
        client.receive(b"\x00\x02JS", 0)
        assert events(client) == [soup.LoginRejected("S")]
        client.disconnected()
        client.connected(1)

    def test_timers_and_orders_pass_through(self):
        client = ResumingClient("user", "secret")
        client.connected(0)
        client.receive(accepted(1), 0)
        client.data_to_send(0)
        assert client.timer_ns() == SECOND
        client.send_unsequenced(b"order")
        assert client.data_to_send(0) == b"\x00\x06Uorder"
        client.handle_timer(15 * SECOND)
        assert events(client)[-1] == soup.PeerSilent(15 * SECOND)

    def test_without_a_connection_there_is_nothing_to_do(self):
        client = ResumingClient("user", "secret")
        client.disconnected()
        with pytest.raises(LocalProtocolError, match="no connection"):
            client.receive(b"", 0)
        client.connected(0)
        with pytest.raises(LocalProtocolError, match="LOGGING_IN"):
            client.connected(0)


class TestFeed:
    @pytest.mark.parametrize(
        ("session", "sequence", "start"),
        [
            ("", 1, None),
            ("", 3, 3),
            (SESSION, 12, 12),
            (SESSION, 13, 13),
            (SESSION, 14, None),
            ("", 0, 12),
            ("OTHER", 3, None),
        ],
    )
    def test_a_login_begins_at_a_message_that_is_kept_or_comes_next(
        self, session: str, sequence: int, start: int | None
    ):
        feed = feed_of(12, messages_max=10)
        assert feed.start_for(soup.LoginRequested("u", "p", session, sequence)) == start

    def test_a_feed_without_messages_begins_with_the_first(self):
        feed = SequencedFeed(SESSION, 1)
        assert feed.start_for(soup.LoginRequested("u", "p", "", 0)) == 1

    def test_nothing_is_added_behind_the_end_and_nothing_that_fits_no_packet(self):
        feed = SequencedFeed(SESSION, 1)
        feed.append(bytes(65_534))
        with pytest.raises(LocalProtocolError, match="a packet holds 65534"):
            feed.append(bytes(65_535))
        feed.end()
        with pytest.raises(LocalProtocolError, match="has ended"):
            feed.append(b"")

    def test_a_server_answers_and_sends_what_the_feed_has(self):
        feed = feed_of(3)
        server = FeedServer(0, feed, let_in)
        assert server.timer_ns() == spec.LOGIN_LIMIT_NS
        server.receive(LOGIN + b"\x00\x03Uhi", 0)
        assert events(server) == [
            soup.LoginRequested("user", "secret", SESSION, 1),
            soup.UnsequencedData(b"hi"),
        ]
        assert server.data_to_send(0) == accepted(1) + b"\x00\x02S1\x00\x02S2\x00\x02S3"
        feed.append(b"4")
        feed.end()
        assert server.data_to_send(0) == b"\x00\x02S4\x00\x01Z"
        assert (server.state, server.sequence) == (State.CLOSED, 5)

    @pytest.mark.parametrize(
        ("login", "reason"),
        [
            (LOGIN.replace(b"secret", b"wrong "), b"A"),
            (LOGIN.replace(b"SESSION", b"OTHER  "), b"S"),
            (LOGIN.replace(b"SESSION", b"OTHER  ").replace(b"user", b"nobo"), b"A"),
            (LOGIN[:-1] + b"9", b"S"),
        ],
    )
    def test_a_refusal_has_its_reason(self, login: bytes, reason: bytes):
        server = FeedServer(0, feed_of(3), let_in)
        server.receive(login, 0)
        assert server.data_to_send(0) == b"\x00\x02J" + reason
        assert server.state is State.CLOSED

    def test_a_login_that_is_followed_by_a_fault_is_not_answered(self):
        server = FeedServer(0, feed_of(3), let_in)
        with pytest.raises(RemoteProtocolError):
            server.receive(LOGIN + b"\x00\x00", 0)
        assert len(events(server)) == 1
        assert server.data_to_send(0) == b""

    def test_a_slow_client_costs_its_window_and_is_let_go_when_it_fell_behind(self):
        feed = feed_of(5, messages_max=5)
        server = FeedServer(0, feed, let_in, send_window_bytes=40)
        server.receive(LOGIN, 0)
        events(server)
        assert len(server.data_to_send(0)) == 41
        for number in range(6, 20):
            feed.append(str(number).encode())
        assert server.data_to_send(0) == b""
        assert events(server) == [soup.FellBehind(3)]
        assert server.state is State.CLOSED

    def test_a_server_has_the_timers_of_a_session(self):
        server = FeedServer(0, feed_of(0), let_in)
        server.handle_timer(30 * SECOND)
        assert events(server) == [soup.LoginTimedOut(30 * SECOND)]


@pytest.mark.parametrize("seed", range(20))
def test_every_message_arrives_once_in_order_over_connections_that_break(seed: int):
    rng = random.Random(seed)
    feed = SequencedFeed(SESSION, 1_000)
    client = ResumingClient("user", "secret")
    found: list[tuple[int, bytes]] = []
    now_ns, number = 0, 0
    while client.state is not Link.FINISHED:
        server = FeedServer(now_ns, feed, let_in, send_window_bytes=rng.choice([1, 50, 5_000]))
        client.connected(now_ns)
        # A connection lasts for some turns; what is under way when it breaks is lost.
        for _ in range(rng.randint(1, 12)):
            now_ns += rng.randint(0, SECOND // 2)
            if number < 400 and rng.random() < 0.8:
                for _ in range(rng.randint(0, 30)):
                    number += 1
                    feed.append(b"%d" % number)
            elif number >= 400:
                feed.is_ended = True
            client.handle_timer(now_ns)
            server.handle_timer(now_ns)
            server.receive(client.data_to_send(now_ns), now_ns)
            data = server.data_to_send(now_ns)
            cut = rng.randint(0, len(data)) if rng.random() < 0.2 else len(data)
            while data[:cut]:
                size = rng.randint(1, cut)
                client.receive(data[:size], now_ns)
                data, cut = data[size:], cut - size
            found += sequenced(events(client))
            if data or client.state is Link.FINISHED:
                break
        client.disconnected()
        assert now_ns < 10_000 * SECOND
    assert found == [(at, b"%d" % at) for at in range(1, number + 1)]
    assert client.next_sequence == number + 1


@given(st.binary(max_size=80))
def test_any_bytes_are_taken_or_are_the_peers_fault(data: bytes):
    client = ResumingClient("user", "secret")
    client.connected(0)
    server = FeedServer(0, feed_of(2), let_in)
    for side in (client, server):
        try:
            side.receive(data, 0)
        except RemoteProtocolError:
            continue


def test_every_state_of_a_link_is_in_its_table():
    assert set(LINK_TRANSITIONS) == set(Link)
