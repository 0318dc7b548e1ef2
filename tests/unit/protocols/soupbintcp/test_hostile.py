"""Peers that mean harm: what they can make a session hold, and for how long."""

import tracemalloc

import pytest

from protocols.errors import RemoteProtocolError
from protocols.soupbintcp import events as soup
from protocols.soupbintcp import spec
from protocols.soupbintcp.session import Client, Server, Settings, State
from tests.unit.protocols.soupbintcp.support import (
    LOGIN,
    SECOND,
    client_for,
    events,
    server_for,
)


def grown_bytes(act) -> int:  # noqa: ANN001 - any call
    """Memory that is still in use after `act`."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_a_login_that_drips_in_is_over_in_its_time():
    server = Server(0)
    for second in range(29):
        server.receive(LOGIN[second : second + 1], second * SECOND)
        server.handle_timer(second * SECOND)
        assert server.timer_ns() == spec.LOGIN_LIMIT_NS
    server.handle_timer(30 * SECOND)
    assert server.state is State.CLOSED
    assert events(server) == [soup.LoginTimedOut(30 * SECOND)]


@pytest.mark.parametrize("side", [Server, Client])
def test_endless_debug_text_does_not_put_the_login_off(side: type[Server] | type[Client]):
    session = side(0)
    if isinstance(session, Client):
        session.login("user", "secret")
    for second in range(31):
        session.receive(b"\x00\x06+hello" * 100, second * SECOND)
        assert session.timer_ns() == spec.LOGIN_LIMIT_NS
        session.handle_timer(second * SECOND)
        events(session)
    assert session.state is State.CLOSED


def test_an_open_session_is_not_kept_alive_by_half_a_packet():
    server = server_for("unsequenced")
    server.receive(b"\x00\xff", 0)
    for second in range(15):
        server.receive(b"U", second * SECOND)
        server.handle_timer(second * SECOND)
    assert server.state is State.OPEN
    server.handle_timer(15 * SECOND)
    assert events(server) == [soup.PeerSilent(15 * SECOND)]


def test_a_flood_of_heartbeats_leaves_nothing_behind():
    server, client = server_for("heartbeat"), client_for("heartbeat")

    def flood() -> None:
        for _ in range(40):
            server.receive(b"\x00\x01R" * 1_000, 0)
            client.receive(b"\x00\x01H" * 1_000, 0)

    # 80,000 packets: one byte kept of every second one would be seen.
    assert grown_bytes(flood) < 40_000
    assert events(server) == events(client) == []
    assert server.data_to_send(0) == client.data_to_send(0) == b""


def test_a_flood_of_debug_text_leaves_no_more_than_what_is_not_taken():
    client = client_for("debug")

    def flood() -> None:
        for _ in range(40):
            client.receive(b"\x00\x01+" * 1_000, 0)
            assert len(events(client)) == 1_000

    assert grown_bytes(flood) < 40_000


def test_a_giant_length_is_waited_for_within_its_bound_only():
    server = server_for("unsequenced")
    server.receive(b"\xff\xffU" + bytes(65_533), 0)
    assert events(server) == []
    assert len(server._inbound) == 65_536
    server.receive(b"\x00", 0)
    assert [len(event.payload) for event in events(server)] == [65_534]
    small = Server(0, Settings(packet_bytes_max=64))
    with pytest.raises(RemoteProtocolError, match="at most 64 is accepted"):
        small.receive(b"\x00\x41", 0)


def test_bytes_behind_the_end_are_not_even_kept():
    server = server_for("logout")
    server.receive(b"\x00\x01O" + bytes(10_000), 0)
    held = len(server._inbound)
    for _ in range(100):
        server.receive(bytes(10_000), 0)
    assert len(server._inbound) == held <= 10_000


def test_a_timer_that_runs_on_after_the_end_does_nothing():
    server = server_for("logout")
    server.close()
    server.handle_timer(100 * SECOND)
    assert (events(server), server.timer_ns(), server.data_to_send(0)) == ([], None, b"")


def test_a_login_behind_which_the_client_leaves_is_still_told():
    server = Server(0)
    server.receive(LOGIN + b"\x00\x01O", 0)
    assert [type(event) for event in events(server)] == [soup.LoginRequested, soup.LogoutRequested]
