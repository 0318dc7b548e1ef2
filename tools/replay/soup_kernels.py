"""Messages of SoupBinTCP streams as MoldUDP64 packets, so that a replay has one way in."""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel
from protocols.moldudp64.spec import (
    BLOCK_LENGTH_BYTES,
    COUNT_AT,
    HEADER_BYTES,
    SEQUENCE_AT,
    SESSION_AT,
    SESSION_BYTES,
)
from protocols.wire import Bytes, write_u16_nb, write_u64_nb

PACKET_MESSAGES_MAX = 64
OVERHEAD_BYTES = BLOCK_LENGTH_BYTES + HEADER_BYTES
"""What a message costs besides its own bytes, at most."""


@kernel
def pack_messages_nb(
    buf: Bytes,
    messages: NDArray[np.int64],
    seq: int,
    session: Bytes,
    out: Bytes,
    packets: NDArray[np.int64],
) -> int:
    """Copy messages into packets of `session`, numbered from `seq`; those of one packet have one
    time, and are PACKET_MESSAGES_MAX at most.

    Shapes:  messages i64[3, n], rows ts_ns, at, size (in `buf`); session u8[SESSION_BYTES];
             out u8[>= sum(size) + n * OVERHEAD_BYTES]; packets i64[4, >= n], rows ts_ns, at, size,
             line (which is left as it is). Both outputs are caller-owned.
    Returns: packets written.
    """
    at = np.int64(0)
    packet = np.int64(-1)
    count = np.int64(0)
    for i in range(messages.shape[1]):
        if i == 0 or count == PACKET_MESSAGES_MAX or messages[0, i] != messages[0, i - 1]:
            packet += 1
            count = np.int64(0)
            packets[0, packet] = messages[0, i]
            packets[1, packet] = at
            for byte in range(SESSION_BYTES):
                out[at + SESSION_AT + byte] = session[byte]
            write_u64_nb(out, at + SEQUENCE_AT, seq + i)
            at += HEADER_BYTES
        size = messages[2, i]
        write_u16_nb(out, at, size)
        at += BLOCK_LENGTH_BYTES
        first = messages[1, i]
        for byte in range(size):
            out[at + byte] = buf[first + byte]
        at += size
        count += 1
        write_u16_nb(out, packets[1, packet] + COUNT_AT, count)
        packets[2, packet] = at - packets[1, packet]
    return packet + 1
