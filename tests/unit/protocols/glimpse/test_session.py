"""GLIMPSE sessions with each other, and with peers that break the rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.glimpse.session import (
    LoginRefused,
    SnapshotClient,
    SnapshotComplete,
    SnapshotFailed,
    SnapshotMessage,
    SnapshotServer,
    SnapshotWanted,
    State,
)
from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.soupbintcp import events as soup
from protocols.soupbintcp import spec

SECOND = 1_000_000_000
ACCEPTED = b"\x00\x1fA" + b"   SESSION" + b"1".rjust(20)
END = b"\x00\x16SG" + b"1234".zfill(20)


def events(session: SnapshotClient | SnapshotServer) -> list:
    found = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def new_client(session: str = "") -> SnapshotClient:
    return SnapshotClient("user", "secret", 0, session)


def login(sequence: int = 1, session: bytes = b"", name: bytes = b"user") -> bytes:
    return b"\x00\x2fL" + name.ljust(6) + b"secret    " + session.ljust(10) + b"%20d" % sequence


def test_a_snapshot_passes_from_server_to_client():
    client, server = new_client(), SnapshotServer("SESSION", 0)
    data = client.data_to_send(0)
    assert data == login()
    server.receive(data, 0)
    assert events(server) == [SnapshotWanted("user")]
    server.send_message(b"Sone")
    server.send_framed(b"\x00\x03SAx\x00\x02SA", 2)
    server.send_end(1234)
    data = server.data_to_send(0)
    assert data == ACCEPTED + b"\x00\x05SSone\x00\x03SAx\x00\x02SA" + END
    client.receive(data, 0)
    assert events(client) == [
        SnapshotMessage(b"Sone"),
        SnapshotMessage(b"Ax"),
        SnapshotMessage(b"A"),
        SnapshotComplete(1234, 3),
    ]
    assert client.is_closed
    server.receive(client.data_to_send(0), 0)
    assert events(server) == [soup.LogoutRequested()]
    assert client.state is server.state is State.COMPLETE


STREAM = ACCEPTED + b"\x00\x03+hi\x00\x03SAx\x00\x01H\x00\x01S" + END
FOUND = [SnapshotMessage(b"Ax"), SnapshotMessage(b""), SnapshotComplete(1234, 2)]


@pytest.mark.parametrize("size", range(len(STREAM) + 1))
def test_the_stream_means_the_same_wherever_it_is_split(size: int):
    client = new_client()
    client.receive(STREAM[:size], 0)
    client.receive(STREAM[size:], 0)
    assert events(client) == FOUND


def test_the_stream_means_the_same_byte_by_byte():
    client = new_client()
    for at in range(len(STREAM)):
        client.receive(STREAM[at : at + 1], 0)
    assert events(client) == FOUND


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_every_damaged_byte_gives_a_snapshot_or_an_error_and_no_third(at: int):
    for value in (0, 1, 0x20, 0x30, 0x39, 0x53, 0x7F, 0xFF):
        client = new_client()
        damaged = STREAM[:at] + bytes((value,)) + STREAM[at + 1 :]
        try:
            client.receive(damaged, 0)
        except RemoteProtocolError:
            assert (client.state, client.is_closed) == (State.FAILED, True)
            continue
        done = [event for event in events(client) if isinstance(event, SnapshotComplete)]
        assert bool(done) == (client.state is State.COMPLETE)
        assert done or client.state in (State.LOGGING_IN, State.LOADING, State.FAILED)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\x00\x02JA", soup.LoginRejected("A")),
        (ACCEPTED + b"\x00\x01Z", soup.SessionEnded()),
        (ACCEPTED + b"\x00\x03SAx\x00\x01Z", soup.SessionEnded()),
    ],
)
def test_a_session_that_is_over_too_early_is_a_failure_that_says_why(
    data: bytes, cause: soup.Event
):
    client = new_client()
    client.receive(data, 0)
    assert events(client)[-1] == SnapshotFailed(cause)
    assert client.state is State.FAILED


def test_a_silent_service_is_a_failure():
    client = new_client()
    client.handle_timer(30 * SECOND)
    assert events(client) == [SnapshotFailed(soup.LoginTimedOut(30 * SECOND))]
    client = new_client()
    client.receive(ACCEPTED, 0)
    assert client.timer_ns() == SECOND
    client.handle_timer(15 * SECOND)
    assert events(client) == [SnapshotFailed(soup.PeerSilent(15 * SECOND))]


def test_an_end_that_is_none_is_a_fault():
    client = new_client()
    with pytest.raises(RemoteProtocolError):
        client.receive(ACCEPTED + b"\x00\x03SAx\x00\x02SG", 0)
    assert events(client) == [SnapshotMessage(b"Ax")]
    assert (client.state, client.is_closed) == (State.FAILED, True)


def test_what_comes_behind_the_end_is_passed_over():
    client = new_client()
    client.receive(STREAM + b"\x00\x02SA\x00\x01Z", 0)
    assert events(client) == FOUND
    client.handle_timer(60 * SECOND)
    assert (events(client), client.state) == ([], State.COMPLETE)


def test_messages_and_the_end_of_the_session_in_the_same_bytes_are_all_taken():
    client = new_client()
    client.receive(STREAM + b"\x00\x01Z", 0)
    assert events(client) == FOUND
    assert client.is_closed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (login(2), "S"),
        (login(session=b"OTHER"), "S"),
        (login(name=b"nobody"), "A"),
        (login(2, name=b"nobody"), "A"),
    ],
)
def test_a_server_refuses_what_it_does_not_have(data: bytes, reason: str):
    server = SnapshotServer("SESSION", 0, lambda name, _password: name == "user")
    server.receive(data, 0)
    assert events(server) == [LoginRefused(data[3:9].decode().strip(), reason)]
    assert server.data_to_send(0) == b"\x00\x02J" + reason.encode()
    assert (server.state, server.is_closed) == (State.FAILED, True)


@pytest.mark.parametrize("data", [login(), login(0), login(session=b"SESSION")])
def test_a_server_lets_in_who_asks_for_the_beginning(data: bytes):
    server = SnapshotServer("SESSION", 0)
    server.receive(data, 0)
    assert events(server) == [SnapshotWanted("user")]


def test_a_login_behind_which_the_client_leaves_is_not_answered():
    server = SnapshotServer("SESSION", 0)
    server.receive(login() + b"\x00\x01O", 0)
    assert events(server) == [soup.LogoutRequested()]
    assert server.data_to_send(0) == b""


def test_a_fault_of_the_client_closes_its_session():
    server = SnapshotServer("SESSION", 0)
    with pytest.raises(RemoteProtocolError):
        server.receive(b"GET / HTTP/1.1", 0)
    assert server.state is State.FAILED


def test_a_server_gives_a_client_up_that_does_not_log_in():
    server = SnapshotServer("SESSION", 0)
    assert server.timer_ns() == spec.LOGIN_LIMIT_NS
    server.handle_timer(spec.LOGIN_LIMIT_NS)
    assert events(server) == [soup.LoginTimedOut(spec.LOGIN_LIMIT_NS)]
    assert server.state is State.FAILED


def test_a_server_may_end_the_session_at_any_time():
    loading = SnapshotServer("SESSION", 0)
    loading.receive(login(), 0)
    loading.end_session()
    assert loading.data_to_send(0) == ACCEPTED + b"\x00\x01Z"
    assert loading.state is State.FAILED
    waiting = SnapshotServer("SESSION", 0)
    waiting.end_session()
    assert (waiting.data_to_send(0), waiting.is_closed) == (b"", True)
    waiting.end_session()
    assert waiting.is_closed


def test_what_the_state_forbids_is_our_own_fault():
    server = SnapshotServer("SESSION", 0)
    for forbidden in (
        lambda: server.send_message(b"A"),
        lambda: server.send_framed(b"", 0),
        lambda: server.send_end(1),
    ):
        with pytest.raises(LocalProtocolError, match="LOGGING_IN"):
            forbidden()
    server.receive(login(), 0)
    with pytest.raises(LocalProtocolError, match="send_end"):
        server.send_message(encode_end_of_snapshot(1))


@given(st.binary(max_size=80))
def test_any_bytes_are_taken_or_are_the_peers_fault(data: bytes):
    loading = new_client()
    loading.receive(ACCEPTED, 0)
    for session in (new_client(), loading, SnapshotServer("SESSION", 0)):
        try:
            session.receive(data, 0)
        except RemoteProtocolError:
            assert session.is_closed
