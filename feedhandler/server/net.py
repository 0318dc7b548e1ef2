"""Sockets as the engine wants them: kernel timestamps, a large receive buffer, multicast joined."""

import errno
import ipaddress
import socket
import struct

from feedhandler.core.libc import SO_RCVBUFFORCE, SO_TIMESTAMPNS
from feedhandler.server.config import Endpoint, LineConfig
from feedhandler.server.errors import OsLimitError, UnavailableError, bind_error


def open_line(line: LineConfig, buffer_bytes: int, name: str) -> tuple[socket.socket, int]:
    """A bound, non-blocking socket for a line, and the receive buffer that was granted in bytes."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        is_multicast = ipaddress.IPv4Address(line.address).is_multicast
        if is_multicast:
            # Several readers of one group may share a machine; on a unicast port a second server
            # must fail.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((line.address, line.port))
    except OSError as error:
        sock.close()
        raise bind_error(error, f"feed.{name}", line.address, line.port) from None
    if is_multicast:
        _join(sock, line, name)
    return sock, _prepare(sock, buffer_bytes)


def _join(sock: socket.socket, line: LineConfig, name: str) -> None:
    group = struct.pack("4s4s", socket.inet_aton(line.address), socket.inet_aton(line.interface))
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError as error:
        sock.close()
        raise OsLimitError(
            f"feed.{name}: cannot join {line.address} on interface {line.interface}:"
            f" {error.strerror}; choose an address of this machine"
        ) from None


def open_requester(endpoint: Endpoint, buffer_bytes: int) -> socket.socket:
    """A socket connected to the re-request server: only its answers come in. UnavailableError when
    the address leads nowhere.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.connect((endpoint.address, endpoint.port))
    except OSError as error:
        sock.close()
        raise UnavailableError(
            f"feed.rerequest: no way to {endpoint.address}:{endpoint.port}: {error.strerror};"
            " check the address"
        ) from None
    _prepare(sock, buffer_bytes)
    return sock


def _prepare(sock: socket.socket, buffer_bytes: int) -> int:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return set_receive_buffer(sock, buffer_bytes)


def set_receive_buffer(sock: socket.socket, buffer_bytes: int) -> int:
    """Ask for a receive buffer; the bytes that were granted."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        # Without the right to force it the system caps what is asked for; the caller reports what
        # was granted.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    # The kernel doubles the number for its own bookkeeping.
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
