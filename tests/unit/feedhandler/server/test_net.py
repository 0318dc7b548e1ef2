"""Sockets of the feed on loopback."""

import socket
from collections.abc import Iterator

import pytest

from feedhandler.core.libc import SO_TIMESTAMPNS
from feedhandler.server.config import Endpoint, LineConfig
from feedhandler.server.errors import ExitCode, OsLimitError, UnavailableError
from feedhandler.server.net import open_line, open_requester

GROUP = "239.255.70.72"
BUFFER_BYTES = 100_000


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_a_line_does_not_block_and_is_stamped_by_the_kernel():
    sock, granted_bytes = open_line(LineConfig(port=0), BUFFER_BYTES, "line_a")
    with sock:
        assert sock.getblocking() is False
        assert sock.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS) == 1
        assert sock.getsockname()[0] == "127.0.0.1"
        assert granted_bytes == BUFFER_BYTES
        with pytest.raises(BlockingIOError):
            sock.recv(1)


def test_a_taken_port_names_the_line_and_what_to_do(bound: socket.socket):
    port = bound.getsockname()[1]
    with pytest.raises(OsLimitError) as caught:
        open_line(LineConfig(port=port), BUFFER_BYTES, "line_b")
    assert str(caught.value).startswith(f"feed.line_b: cannot listen on 127.0.0.1:{port}: ")
    assert "choose another port" in str(caught.value)
    assert caught.value.exit_code == ExitCode.OS_LIMIT


def test_an_address_that_this_machine_has_not_is_refused():
    with pytest.raises(OsLimitError, match=r"cannot listen on 192\.0\.2\.1:0: .*no such address"):
        open_line(LineConfig(port=0, address="192.0.2.1"), BUFFER_BYTES, "line_a")


def test_a_multicast_group_is_joined_by_two_readers_of_one_port():
    first, _ = open_line(LineConfig(port=0, address=GROUP), BUFFER_BYTES, "line_a")
    port = first.getsockname()[1]
    second, _ = open_line(LineConfig(port=port, address=GROUP), BUFFER_BYTES, "line_a")
    with first, second, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        interface = socket.inet_aton("127.0.0.1")
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        sender.sendto(b"tick", (GROUP, port))
        for reader in (first, second):
            reader.settimeout(2)
            assert reader.recv(16) == b"tick"


def test_a_group_on_an_interface_that_is_not_there_names_both():
    line = LineConfig(port=0, address=GROUP, interface="192.0.2.1")
    with pytest.raises(OsLimitError) as caught:
        open_line(line, BUFFER_BYTES, "line_a")
    assert str(caught.value).startswith(
        f"feed.line_a: cannot join {GROUP} on interface 192.0.2.1: "
    )


def test_a_requester_hears_its_server_and_nobody_else(bound: socket.socket):
    port = bound.getsockname()[1]
    with open_requester(Endpoint(port=port), BUFFER_BYTES) as sock:
        assert sock.getblocking() is False
        sock.settimeout(2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"garbage", sock.getsockname())
        bound.sendto(b"answer", sock.getsockname())
        assert sock.recv(16) == b"answer"


def test_a_requester_that_leads_nowhere_is_refused():
    with pytest.raises(UnavailableError, match=r"no way to 255\.255\.255\.255:9: "):
        open_requester(Endpoint(port=9, address="255.255.255.255"), BUFFER_BYTES)
