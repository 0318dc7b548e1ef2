"""MoldUDP64 packets on their way out: headers in a small buffer, messages where they already are.

Each packet is two pieces of memory for the system call, so that nothing is copied: the header that
is written here, and a slice of the history.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.libc import IOVEC, MMSGHDR, MSG_DONTWAIT, errno_now, sendmmsg
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.moldudp64.kernels import HEADER_BYTES, write_header_nb
from protocols.wire import Bytes

ERRNO_REFUSED = 111
"""ECONNREFUSED: an earlier datagram met nobody; the one at hand was not sent, and may go now."""
SOCKADDR_BYTES = 16
_PIECES = 2


@by_reference
class PacketBatch(NamedTuple):
    """Memory for one sendmmsg call: headers MMSGHDR[n], pieces i64[2 n, 2], header_bytes u8[20 n].

    `addresses` u8[16 n] is where the receivers' addresses go, on a socket that is not connected;
    `headers_at` i64[1] is the address of `headers`.
    """

    headers: NDArray[Any]
    pieces: NDArray[np.int64]
    header_bytes: Bytes
    addresses: Bytes
    headers_at: NDArray[np.int64]


def allocate_packets(count: int, *, addressed: bool = False) -> PacketBatch:
    """A batch of up to `count` packets; `addressed` when each names its receiver."""
    headers = np.zeros(count, MMSGHDR)
    pieces = np.zeros((_PIECES * count, _PIECES), np.int64)
    header_bytes = np.zeros(count * HEADER_BYTES, np.uint8)
    addresses = np.zeros(count * SOCKADDR_BYTES, np.uint8)
    order = np.arange(count)
    headers["iov"] = pieces.ctypes.data + order * _PIECES * IOVEC.itemsize
    headers["iovlen"] = _PIECES
    pieces[::_PIECES, 0] = header_bytes.ctypes.data + order * HEADER_BYTES
    pieces[::_PIECES, 1] = HEADER_BYTES
    if addressed:
        headers["name"] = addresses.ctypes.data + order * SOCKADDR_BYTES
        headers["namelen"] = SOCKADDR_BYTES
    return PacketBatch(
        headers, pieces, header_bytes, addresses, np.array([headers.ctypes.data], np.int64)
    )


@kernel
def put_packet_nb(
    packets: PacketBatch, index: int, session: Bytes, header: tuple[int, int], body: tuple[int, int]
) -> None:
    """Fill packet `index`: header is (sequence, count), body is (memory address, bytes)."""
    sequence, count = header
    write_header_nb(packets.header_bytes, index * HEADER_BYTES, session, sequence, count)
    packets.pieces[_PIECES * index + 1, 0] = body[0]
    packets.pieces[_PIECES * index + 1, 1] = body[1]


@outline_kernel
def send_packets_nb(descriptor: int, packets: PacketBatch, count: int) -> int:
    """Send the first `count` packets, whatever mode the socket is in; returns how many the system
    refused.

    A refusal that was caused by an earlier packet is tried again once; any other packet that the
    system does not take is left out, so this never waits and never loops.
    """
    sent = 0
    refused = 0
    tries = 0
    while sent < count:
        at = packets.headers_at[0] + sent * MMSGHDR_BYTES
        taken = np.int64(sendmmsg(descriptor, at, count - sent, MSG_DONTWAIT))
        if taken > 0:
            sent += taken
            tries = 0
        elif errno_now() == ERRNO_REFUSED and tries == 0:
            tries = 1
        else:
            sent += 1
            refused += 1
            tries = 0
    return refused


MMSGHDR_BYTES = MMSGHDR.itemsize
