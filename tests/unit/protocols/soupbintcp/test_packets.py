"""Every packet type of both sides: golden bytes, every truncation, every damaged byte."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.soupbintcp import events as soup
from protocols.soupbintcp import spec
from protocols.soupbintcp.session import Client, Server, Settings, State
from protocols.soupbintcp.spec import Sender, Version
from tests.unit.protocols.soupbintcp.support import (
    ACCEPTED,
    FROM_CLIENT,
    FROM_SERVER,
    LOGIN,
    LOGIN_TIMEOUT,
    NEWEST,
    PACKETS,
    Maker,
    client_for,
    events,
    server_for,
)

every_packet = pytest.mark.parametrize(
    ("name", "make", "data", "event"),
    PACKETS,
    ids=[f"{name}-to-{make.__name__[:6]}" for name, make, _, _ in PACKETS],
)


def test_what_either_side_may_send_is_what_one_of_both_may():
    for version in Version:
        merged: dict[int, set[int]] = {}
        for sender in (Sender.CLIENT, Sender.SERVER):
            for code, lengths in spec.lengths_from(sender, version).items():
                merged.setdefault(code, set()).update(lengths)
        either = spec.lengths_from(Sender.EITHER, version)
        assert {code: set(lengths) for code, lengths in either.items()} == merged


@every_packet
def test_the_bytes_of_the_specification_make_their_event(
    name: str, make: Maker, data: bytes, event: Any
):
    session = make(name)
    session.receive(data, 0)
    assert events(session) == ([] if event is None else [event])


@every_packet
def test_it_means_the_same_byte_by_byte(name: str, make: Maker, data: bytes, event: Any):
    session = make(name)
    for at in range(len(data)):
        assert events(session) == []
        session.receive(data[at : at + 1], 0)
    assert events(session) == ([] if event is None else [event])


@every_packet
def test_every_truncation_waits_and_every_split_means_the_same(
    name: str, make: Maker, data: bytes, event: Any
):
    for size in range(len(data)):
        session = make(name)
        before = session.state
        session.receive(data[:size], 0)
        assert (events(session), session.state) == ([], before)
        session.receive(data[size:], 0)
        assert events(session) == ([] if event is None else [event])


@every_packet
def test_every_damaged_byte_is_taken_or_is_an_error_with_its_offset(
    name: str, make: Maker, data: bytes, event: Any
):
    del event
    for at in range(len(data)):
        for value in range(256):
            session = make(name)
            start = session._inbound_at
            damaged = data[:at] + bytes((value,)) + data[at + 1 :]
            try:
                session.receive(damaged, 0)
            except RemoteProtocolError as error:
                # A length that is too small shows itself where the rest is taken for a packet.
                found = int(re.search(r"\(byte (\d+)\)$", str(error))[1]) - start
                assert found == 0 or (at < spec.LENGTH_BYTES and 0 < found < len(damaged))
                assert session.state is State.CLOSED
            else:
                # Either it was one good packet, or more of a longer one is waited for.
                waiting = len(session._inbound)
                assert waiting == 0 or (at < spec.LENGTH_BYTES and waiting <= len(damaged))


def test_an_error_names_the_byte_where_the_broken_packet_begins():
    client = client_for("sequenced")
    client.receive(b"\x00\x04Sabc\x00", 0)
    with pytest.raises(RemoteProtocolError, match=rf"\(byte {len(ACCEPTED) + 6}\)"):
        client.receive(b"\x00", 0)


def test_what_a_client_writes_are_the_bytes_of_the_specification():
    client = Client(0, NEWEST)
    client.login("user", "secret", "SESSION")
    assert client.data_to_send(0) == LOGIN
    client.receive(ACCEPTED, 0)
    client.send_debug("hello")
    client.send_unsequenced(b"abc")
    client.handle_timer(spec.HEARTBEAT_INTERVAL_NS)
    client.logout()
    assert client.data_to_send(0) == b"\x00\x06+hello\x00\x04Uabc\x00\x01O"
    with_timeout = Client(0, NEWEST)
    with_timeout.login("user", "secret", "SESSION", heartbeat_timeout_ms=5_000)
    assert with_timeout.data_to_send(0) == LOGIN_TIMEOUT


def test_what_a_server_writes_are_the_bytes_of_the_specification():
    server = Server(0, NEWEST)
    server.receive(LOGIN, 0)
    server.accept("SESSION", 7)
    server.send_debug("hello")
    server.send_sequenced(b"abc")
    server.send_unsequenced(b"abc")
    server.end_session()
    assert server.data_to_send(0) == ACCEPTED + (b"\x00\x06+hello\x00\x04Sabc\x00\x04Uabc\x00\x01Z")
    refusing = Server(0)
    refusing.receive(LOGIN, 0)
    refusing.reject("S")
    assert refusing.data_to_send(0) == b"\x00\x02JS"


def test_the_tables_of_the_tests_cover_every_packet_of_the_specification():
    for sender, found in ((Sender.SERVER, FROM_SERVER), (Sender.CLIENT, FROM_CLIENT)):
        typed = {(data[2], len(data) - 2) for data, _ in found.values()}
        for packet in spec.PACKETS:
            if packet.sender in (sender, Sender.EITHER):
                lengths = {length for code, length in typed if code == packet.code}
                assert lengths
                assert set(packet.lengths) <= lengths


class TestVersions:
    """What 4.00 and 4.10 added is refused by an older session, on either side."""

    @pytest.mark.parametrize("version", list(Version))
    def test_a_server_sends_unsequenced_data_since_4_00(self, version: Version):
        settings = Settings(version=version)
        server, client = Server(0, settings), Client(0, settings)
        client.login("user", "secret")
        server.receive(client.data_to_send(0), 0)
        server.accept("SESSION", 1)
        client.receive(server.data_to_send(0), 0)
        events(client)
        if version is Version.V3_00:
            with pytest.raises(LocalProtocolError, match=r"since version 4\.00"):
                server.send_unsequenced(b"x")
            with pytest.raises(RemoteProtocolError, match="does not come from a server"):
                client.receive(b"\x00\x02Ux", 0)
        else:
            server.send_unsequenced(b"x")
            client.receive(server.data_to_send(0), 0)
            assert events(client) == [soup.UnsequencedData(b"x")]

    @pytest.mark.parametrize("version", [Version.V3_00, Version.V4_00])
    def test_a_login_states_a_timeout_since_4_10(self, version: Version):
        settings = Settings(version=version)
        with pytest.raises(LocalProtocolError, match=r"since version 4\.10"):
            Client(0, settings).login("user", "secret", heartbeat_timeout_ms=1)
        with pytest.raises(RemoteProtocolError, match="of length 52: it has 47"):
            Server(0, settings).receive(LOGIN_TIMEOUT, 0)

    def test_both_logins_are_good_in_4_10(self):
        with pytest.raises(RemoteProtocolError, match="of length 48: it has 47 or 52"):
            Server(0, NEWEST).receive(b"\x00\x30L" + bytes(47), 0)
        for timeout in (b"     ", b"    0"):
            server = Server(0, NEWEST)
            server.receive(b"\x00\x34L" + LOGIN[3:] + timeout, 0)
            assert events(server) == [soup.LoginRequested("user", "secret", "SESSION", 1)]

    def test_a_stated_timeout_is_how_long_the_server_waits(self):
        server = Server(0, NEWEST)
        server.receive(LOGIN_TIMEOUT, 0)
        server.accept("SESSION", 1)
        events(server)
        server.handle_timer(4_999_999_999)
        assert server.state is State.OPEN
        server.handle_timer(5_000_000_000)
        assert events(server) == [soup.PeerSilent(5_000_000_000)]

    @pytest.mark.parametrize("timeout_ms", [-1, 100_000])
    def test_a_timeout_of_more_than_five_digits_cannot_be_asked_for(self, timeout_ms: int):
        with pytest.raises(LocalProtocolError, match="0 to 5 digits"):
            Client(0, NEWEST).login("user", "secret", heartbeat_timeout_ms=timeout_ms)


@pytest.mark.parametrize("number", [0, 1, 10**20 - 1])
def test_a_sequence_number_of_twenty_digits_passes_both_ways(number: int):
    client, server = Client(0), Server(0)
    client.login("user", "secret", sequence=number)
    server.receive(client.data_to_send(0), 0)
    assert events(server)[0].sequence == number
    server.accept("SESSION", number)
    client.receive(server.data_to_send(0), 0)
    assert client.sequence == number


def test_a_number_of_more_digits_is_our_fault():
    server = server_for("login")
    server.receive(LOGIN, 0)
    with pytest.raises(LocalProtocolError, match="0 to 20 digits"):
        server.accept("SESSION", 10**20)
    with pytest.raises(LocalProtocolError, match="0 to 20 digits"):
        Client(0).login("user", "secret", sequence=10**20)


@pytest.mark.parametrize("username", [b"user  ", b"  user"])
@pytest.mark.parametrize("password", [b"secret    ", b"    secret"])
@pytest.mark.parametrize("session", [b"SESSION   ", b"   SESSION"])
@pytest.mark.parametrize("number", [b"42".rjust(20), b"42".ljust(20), b"42".zfill(20)])
def test_every_field_of_a_login_may_be_padded_on_either_side(
    username: bytes, password: bytes, session: bytes, number: bytes
):
    server = Server(0)
    server.receive(b"\x00\x2fL" + username + password + session + number, 0)
    assert events(server) == [soup.LoginRequested("user", "secret", "SESSION", 42)]


@pytest.mark.parametrize("session", [b"SESSION   ", b"   SESSION"])
@pytest.mark.parametrize("number", [b"42".rjust(20), b"42".ljust(20), b"42".zfill(20)])
def test_both_fields_of_an_answer_may_be_padded_on_either_side(session: bytes, number: bytes):
    client = client_for("accepted")
    client.receive(b"\x00\x1fA" + session + number, 0)
    assert events(client) == [soup.LoginAccepted("SESSION", 42)]


def test_an_unknown_reason_of_a_reject_is_passed_on():
    client = client_for("rejected")
    client.receive(b"\x00\x02JX", 0)
    assert events(client) == [soup.LoginRejected("X")]


def test_a_client_that_hands_over_leaves_the_stream_behind_the_login():
    client = Client(0, hand_over=True)
    client.login("user", "secret")
    assert client.take_unread(0) == b""
    client.receive(b"\x00\x03+hi" + ACCEPTED + b"\x00\x00garbage", 0)
    assert events(client) == [soup.Debug("hi"), soup.LoginAccepted("SESSION", 7)]
    assert client.take_unread(0) == b"\x00\x00garbage"
    client.receive(b"more", 10)
    assert client.take_unread(10) == b"more"
    assert client.take_unread(20) == b""
    client.handle_timer(10 + spec.SILENCE_LIMIT_NS - 1)
    assert client.state is State.OPEN
    client.handle_timer(10 + spec.SILENCE_LIMIT_NS)
    assert client.state is State.CLOSED


def test_who_reads_the_stream_himself_tells_when_the_server_was_heard():
    client = Client(0, hand_over=True)
    client.login("user", "secret")
    client.receive(ACCEPTED, 0)
    client.heard(50)
    client.heard(20)
    client.handle_timer(50 + spec.SILENCE_LIMIT_NS - 1)
    assert client.state is State.OPEN
    client.handle_timer(50 + spec.SILENCE_LIMIT_NS)
    assert client.state is State.CLOSED


words = st.text("abcXYZ019", max_size=10)


@given(words.map(lambda text: text[:6]), words, words, st.integers(0, 10**20 - 1))
def test_every_login_and_its_answer_come_back(
    username: str, password: str, session: str, number: int
):
    client, server = Client(0), Server(0)
    client.login(username, password, session, number)
    server.receive(client.data_to_send(0), 0)
    assert events(server) == [soup.LoginRequested(username, password, session, number)]
    server.accept(session, number)
    client.receive(server.data_to_send(0), 0)
    assert events(client) == [soup.LoginAccepted(session, number)]


@given(st.lists(st.tuples(st.sampled_from("SU+"), st.binary(max_size=70)), max_size=20))
def test_every_payload_comes_back_in_order(sent: list[tuple[str, bytes]]):
    server, client = server_for("heartbeat"), client_for("heartbeat")
    expected: list[Any] = []
    for kind, payload in sent:
        if kind == "S":
            expected.append(soup.SequencedData(server.sequence, payload))
            server.send_sequenced(payload)
        elif kind == "U":
            expected.append(soup.UnsequencedData(payload))
            server.send_unsequenced(payload)
        else:
            expected.append(soup.Debug(payload.decode("latin-1")))
            server.send_debug(payload.decode("latin-1"))
    client.receive(server.data_to_send(0), 0)
    assert events(client) == expected
