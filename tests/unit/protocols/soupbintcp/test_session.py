"""Two SoupBinTCP sessions talking to each other, and to peers that break the rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.soupbintcp import session as soup
from protocols.soupbintcp import spec
from protocols.soupbintcp.session import Client, Server, State

SECOND = 1_000_000_000


def events(session: soup.Client | soup.Server):
    found = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def open_pair(now_ns: int = 0):
    """A client and a server after a login, with nothing left to send or to read."""
    client, server = Client(now_ns), Server(now_ns)
    client.login("user", "secret")
    server.receive(client.data_to_send(now_ns), now_ns)
    server.accept("0000000001", 1)
    client.receive(server.data_to_send(now_ns), now_ns)
    events(client), events(server)
    return client, server


def test_a_login_request_has_the_bytes_of_the_specification():
    client = Client(0)
    client.login("user", "pw", "SESSION", 135)
    expected = b"\x00\x2fL" + b"user  " + b"pw        " + b"SESSION   " + b"135".rjust(20)
    assert client.data_to_send(0) == expected


def test_a_real_login_answer_is_understood():
    client = Client(0)
    client.login("user", "pw")
    client.receive(b"\x00\x1fA" + b"1689192121" + b"                 135", 0)
    assert events(client) == [soup.LoginAccepted("1689192121", 135)]
    assert client.state is State.OPEN


@pytest.mark.parametrize(
    "fields",
    [
        b"user  " + b"  password" + b" " * 10 + b"0".rjust(20),
        b"  user" + b"password  " + b" " * 10 + b"0".ljust(20),
    ],
)
def test_padding_on_either_side_is_stripped(fields: bytes):
    server = Server(0)
    server.receive(b"\x00\x2fL" + fields, 0)
    assert events(server) == [soup.LoginRequested("user", "password", "", 0)]


def test_sequenced_messages_are_numbered_from_the_number_of_the_login():
    client, server = Client(0), Server(0)
    client.login("user", "pw")
    server.receive(client.data_to_send(0), 0)
    server.accept("S1", 40)
    server.send_sequenced(b"one")
    server.send_framed(b"\x00\x04Stwo\x00\x01S", 2)
    server.end_session()
    client.receive(server.data_to_send(0), 0)
    assert events(client) == [
        soup.LoginAccepted("S1", 40),
        soup.SequencedData(40, b"one"),
        soup.SequencedData(41, b"two"),
        soup.SequencedData(42, b""),
        soup.SessionEnded(),
    ]
    assert client.sequence == server.sequence == 43
    assert client.state is server.state is State.CLOSED


@pytest.mark.parametrize("reason", ["A", "S"])
def test_a_rejected_login_closes_both_sides(reason: str):
    client, server = Client(0), Server(0)
    client.login("user", "pw")
    server.receive(client.data_to_send(0), 0)
    with pytest.raises(LocalProtocolError, match="A or S"):
        server.reject("X")
    server.reject(reason)
    client.receive(server.data_to_send(0), 0)
    assert events(client) == [soup.LoginRejected(reason)]
    assert client.state is server.state is State.CLOSED


def test_unsequenced_messages_debug_and_logout_arrive():
    client, server = open_pair()
    client.send_unsequenced(b"order")
    client.send_debug("hello")
    client.logout()
    server.receive(client.data_to_send(0), 0)
    expected = [soup.UnsequencedData(b"order"), soup.Debug("hello"), soup.LogoutRequested()]
    assert events(server) == expected
    assert server.state is State.CLOSED
    client, server = open_pair()
    server.send_debug("bye")
    client.receive(server.data_to_send(0), 0)
    assert events(client) == [soup.Debug("bye")]


@given(st.lists(st.integers(1, 9), min_size=1))
def test_the_stream_means_the_same_however_it_is_split(sizes: list[int]):
    client, server = Client(0), Server(0)
    client.login("user", "pw")
    server.receive(client.data_to_send(0), 0)
    server.accept("S1", 1)
    for payload in (b"", b"a", b"bc", bytes(300)):
        server.send_sequenced(payload)
    server.end_session()
    data, split, turn = server.data_to_send(0), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        split.append(data[:size])
        data, turn = data[size:], turn + 1
    for piece in split:
        client.receive(piece, 0)
    assert [type(event).__name__ for event in events(client)] == [
        "LoginAccepted",
        *["SequencedData"] * 4,
        "SessionEnded",
    ]


def test_every_truncation_of_a_login_waits_for_the_rest():
    client = Client(0)
    client.login("user", "pw")
    data = client.data_to_send(0)
    for size in range(len(data)):
        server = Server(0)
        server.receive(data[:size], 0)
        assert events(server) == []
        server.receive(data[size:], 0)
        assert len(events(server)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",
        b"\x00\x01H",
        b"\x00\x01?",
        b"GET / HTTP/1.1\r\n",
        b"\x00\x2eL" + bytes(45),
        b"\x00\x2fL" + b" " * 46,
        b"\x00\x2fL" + b" " * 26 + "²".encode("latin-1") * 20,
        b"\x00\x02Ux",
        b"\x00\x02Rx",
    ],
)
def test_a_server_closes_on_what_no_client_may_send_before_its_login(data: bytes):
    server = Server(0)
    with pytest.raises(RemoteProtocolError):
        server.receive(data, 0)
    assert server.state is State.CLOSED
    server.receive(data, 0)
    assert events(server) == []
    assert server.timer_ns() is None


@pytest.mark.parametrize(
    "data",
    [b"\x00\x02Sx", b"\x00\x01Z", b"\x00\x01L", b"\x00\x1eA" + bytes(29), b"\x00\x1fA" + bytes(30)],
)
def test_a_client_closes_on_what_no_server_may_send_before_its_answer(data: bytes):
    client = Client(0)
    client.login("user", "pw")
    with pytest.raises(RemoteProtocolError):
        client.receive(data, 0)
    assert client.state is State.CLOSED


def test_a_second_login_or_a_second_answer_is_a_fault():
    client, server = open_pair()
    with pytest.raises(RemoteProtocolError, match="second login"):
        server.receive(b"\x00\x2fL" + b" " * 45 + b"1", 0)
    with pytest.raises(RemoteProtocolError, match="while the session is OPEN"):
        client.receive(b"\x00\x02JA", 0)


def test_what_came_before_a_fault_is_still_there():
    client, _ = open_pair()
    with pytest.raises(RemoteProtocolError):
        client.receive(b"\x00\x02Sx\x00\x00", 0)
    assert events(client) == [soup.SequencedData(1, b"x")]


@given(st.binary(max_size=80))
def test_any_bytes_are_taken_or_are_the_peers_fault(data: bytes):
    for session in (Client(0), Server(0), *open_pair()):
        try:
            session.receive(data, 0)
        except RemoteProtocolError:
            assert session.state is State.CLOSED


@pytest.mark.parametrize("side", [0, 1])
def test_a_side_that_sent_nothing_for_a_second_sends_a_heartbeat(side: int):
    session = open_pair()[side]
    assert session.timer_ns() == SECOND
    session.handle_timer(SECOND - 1)
    assert session.data_to_send(SECOND - 1) == b""
    session.handle_timer(SECOND)
    assert session.data_to_send(SECOND) == b"\x00\x01" + (b"R", b"H")[side]
    assert session.timer_ns() == 2 * SECOND


def test_what_waits_to_be_sent_is_as_good_as_a_heartbeat():
    _, server = open_pair()
    server.send_sequenced(b"x")
    server.handle_timer(SECOND)
    assert server.data_to_send(SECOND) == b"\x00\x02Sx"


def test_heartbeats_say_nothing_but_that_the_peer_is_there():
    client, server = open_pair()
    client.receive(b"\x00\x01H", 14 * SECOND)
    server.receive(b"\x00\x01R", 14 * SECOND)
    for session in (client, server):
        assert events(session) == []
        session.handle_timer(28 * SECOND)
        assert session.state is State.OPEN
        session.handle_timer(29 * SECOND)
        assert session.state is State.CLOSED
        assert events(session) == [soup.PeerSilent(15 * SECOND)]
        session.handle_timer(60 * SECOND)


def test_a_client_that_never_logs_in_is_given_up_after_thirty_seconds():
    server = Server(0)
    assert server.timer_ns() == spec.LOGIN_LIMIT_NS
    server.handle_timer(spec.LOGIN_LIMIT_NS - 1)
    assert server.state is State.CONNECTED
    server.handle_timer(spec.LOGIN_LIMIT_NS)
    assert events(server) == [soup.LoginTimedOut(spec.LOGIN_LIMIT_NS)]


def test_what_the_state_forbids_is_our_own_fault():
    client, server = Client(0), Server(0)
    for forbidden in (
        lambda: client.send_unsequenced(b""),
        client.logout,
        lambda: client.login("user", "pw", sequence=-1),
        lambda: client.login("longname", "pw"),
        lambda: server.accept("S", 1),
        lambda: server.reject("A"),
        lambda: server.send_sequenced(b""),
        lambda: server.send_framed(b"", 0),
        server.end_session,
        lambda: open_pair()[1].send_sequenced(bytes(65_535)),
    ):
        with pytest.raises(LocalProtocolError):
            forbidden()
