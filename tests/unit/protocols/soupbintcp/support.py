"""What the tests of SoupBinTCP share: every packet with its bytes, and sessions in every state."""

from collections.abc import Callable
from typing import Any

from protocols.soupbintcp import events as soup
from protocols.soupbintcp.session import Client, Server, Settings
from protocols.soupbintcp.spec import Version

SECOND = 1_000_000_000
NEWEST = Settings(version=Version.V4_10)
LOGIN = b"\x00\x2fL" + b"user  " + b"secret    " + b"SESSION   " + b"1".rjust(20)
LOGIN_TIMEOUT = b"\x00\x34L" + LOGIN[3:] + b" 5000"
ACCEPTED = b"\x00\x1fA" + b"   SESSION" + b"7".rjust(20)

# Typed from the specification's tables: length, type, fields; and the event that each makes.
FROM_SERVER = {
    "debug": (b"\x00\x06+hello", soup.Debug("hello")),
    "accepted": (ACCEPTED, soup.LoginAccepted("SESSION", 7)),
    "rejected": (b"\x00\x02JS", soup.LoginRejected("S")),
    "sequenced": (b"\x00\x04Sabc", soup.SequencedData(7, b"abc")),
    "unsequenced": (b"\x00\x04Uabc", soup.UnsequencedData(b"abc")),
    "heartbeat": (b"\x00\x01H", None),
    "end": (b"\x00\x01Z", soup.SessionEnded()),
}
FROM_CLIENT = {
    "debug": (b"\x00\x06+hello", soup.Debug("hello")),
    "login": (LOGIN, soup.LoginRequested("user", "secret", "SESSION", 1)),
    "login with timeout": (
        LOGIN_TIMEOUT,
        soup.LoginRequested("user", "secret", "SESSION", 1, 5_000),
    ),
    "unsequenced": (b"\x00\x04Uabc", soup.UnsequencedData(b"abc")),
    "heartbeat": (b"\x00\x01R", None),
    "logout": (b"\x00\x01O", soup.LogoutRequested()),
}
_BEFORE_LOGIN = ("accepted", "rejected", "login", "login with timeout")


def events(session: Any) -> list[Any]:
    """All events that wait."""
    found = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def client_for(name: str) -> Client:
    """A client in the state in which a server may send this packet."""
    client = Client(0, NEWEST)
    client.login("user", "secret")
    client.data_to_send(0)
    if name not in _BEFORE_LOGIN:
        client.receive(ACCEPTED, 0)
        events(client)
    return client


def server_for(name: str) -> Server:
    """A server in the state in which a client may send this packet."""
    server = Server(0, NEWEST)
    if name not in _BEFORE_LOGIN:
        server.receive(LOGIN, 0)
        server.accept("SESSION", 7)
        server.data_to_send(0)
        events(server)
    return server


Maker = Callable[[str], Client | Server]
PACKETS: list[tuple[str, Maker, bytes, Any]] = [
    *((name, client_for, data, event) for name, (data, event) in FROM_SERVER.items()),
    *((name, server_for, data, event) for name, (data, event) in FROM_CLIENT.items()),
]
"""Every packet type of both sides: name, a session that takes it, bytes, event."""
