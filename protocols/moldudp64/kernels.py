"""MoldUDP64 packets in the hot path: read and check a packet, write headers and requests.

Bytes come in as a u8 array with the packet at `at`, `size` bytes long; nothing outside of it is
read.
Source: MoldUDP64 1.00; offsets are frozen from `spec.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import Status
from protocols.jit import kernel
from protocols.moldudp64 import spec
from protocols.moldudp64.spec import PacketKind
from protocols.wire import (
    Bytes,
    read_u16_nb,
    read_u32_nb,
    read_u64_nb,
    write_u16_nb,
    write_u64_nb,
)

HEADER_BYTES = spec.HEADER_BYTES
SESSION_AT = spec.SESSION_AT
SESSION_BYTES = spec.SESSION_BYTES
SEQUENCE_AT = spec.SEQUENCE_AT
COUNT_AT = spec.COUNT_AT
BLOCK_LENGTH_BYTES = spec.BLOCK_LENGTH_BYTES
HEARTBEAT = spec.HEARTBEAT
END_OF_SESSION = spec.END_OF_SESSION
SEQUENCE_LIMIT_HIGH = spec.SEQUENCE_LIMIT >> 32
REQUEST_BYTES = spec.REQUEST_BYTES
OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
BAD_LENGTH = int(Status.BAD_LENGTH)
BAD_VALUE = int(Status.BAD_VALUE)
CAN_BE_ANSWERED = int(spec.RequestCheck.OK)
MALFORMED = int(spec.RequestCheck.MALFORMED)
OTHER_SESSION = int(spec.RequestCheck.OTHER_SESSION)
UNKNOWN = int(spec.RequestCheck.UNKNOWN)


@kernel
def packet_header_nb(buf: Bytes, at: int, size: int) -> tuple[int, int, int]:
    """Header fields of the packet, or of the request, in `buf[at:at + size]`; the session is
    compared by `session_matches_nb`.

    Returns: (sequence number, message count, OK), with count 0 for a heartbeat and 0xFFFF for the
             end of session; (0, 0, TRUNCATED) below 20 bytes; (0, 0, BAD_VALUE) when the sequence
             number is `spec.SEQUENCE_LIMIT` or above, which no row could count on from.
    """
    if size < HEADER_BYTES:
        return 0, 0, TRUNCATED
    # The high half alone decides, so a number from 2**63 on is never seen as a negative one.
    if read_u32_nb(buf, at + SEQUENCE_AT) >= SEQUENCE_LIMIT_HIGH:
        return 0, 0, BAD_VALUE
    return read_u64_nb(buf, at + SEQUENCE_AT), read_u16_nb(buf, at + COUNT_AT), OK


@kernel
def session_matches_nb(buf: Bytes, at: int, session: Bytes) -> int:
    """1 when the packet at `at` (20 bytes or more) belongs to `session` (u8[10], padded with
    spaces), else 0.
    """
    for i in range(SESSION_BYTES):
        if buf[at + SESSION_AT + i] != session[i]:
            return 0
    return 1


@kernel
def check_blocks_nb(buf: Bytes, at: int, size: int) -> int:
    """Walk the blocks of the packet in `buf[at:at + size]` without looking inside a message.

    Returns: OK when exactly `message_count` blocks end exactly at the packet's end (a heartbeat or
             an end of session has none); TRUNCATED when a block runs past the end; BAD_LENGTH when
             bytes are left over after the last one.
    """
    if size < HEADER_BYTES:
        return TRUNCATED
    count = read_u16_nb(buf, at + COUNT_AT)
    if count == END_OF_SESSION:
        count = 0
    end = at + size
    position = at + HEADER_BYTES
    for _ in range(count):
        if position + BLOCK_LENGTH_BYTES > end:
            return TRUNCATED
        position += BLOCK_LENGTH_BYTES + read_u16_nb(buf, position)
    if position > end:
        return TRUNCATED
    return OK if position == end else BAD_LENGTH


@kernel
def write_header_nb(out: Bytes, at: int, session: Bytes, sequence: int, count: int) -> None:
    """Write the 20 bytes of a downstream header at `out[at]`: session u8[10], sequence number,
    message count.
    """
    for i in range(SESSION_BYTES):
        out[at + SESSION_AT + i] = session[i]
    write_u64_nb(out, at + SEQUENCE_AT, np.int64(sequence))
    write_u16_nb(out, at + COUNT_AT, np.int64(count))


@kernel
def write_request_nb(out: Bytes, session: Bytes, sequence: int, count: int) -> None:
    """Write the 20 bytes of a request for `count` messages from `sequence` into `out` (u8[20] or
    longer).

    A request has the layout of a downstream header (`spec.REQUEST`, asserted by the tests).
    """
    write_header_nb(out, 0, session, sequence, count)


@kernel
def check_request_nb(
    buf: Bytes, at: int, size: int, session: Bytes, oldest: int, next_sequence: int
) -> tuple[int, int, int]:
    """The request in `buf[at:at + size]`, held against the messages from `oldest` up to, but not
    including, `next_sequence`.

    Returns: (sequence number, messages that can be sent from there on, `spec.RequestCheck`); the
             first two are 0 unless the check is OK.
    """
    sequence, count, status = packet_header_nb(buf, at, size)
    if size != REQUEST_BYTES or status != OK or count == 0:
        return 0, 0, MALFORMED
    if session_matches_nb(buf, at, session) == 0:
        return 0, 0, OTHER_SESSION
    if sequence < oldest or sequence >= next_sequence:
        return 0, 0, UNKNOWN
    return sequence, min(count, next_sequence - sequence), CAN_BE_ANSWERED


@kernel
def parse_packet_nb(buf: Bytes, at: int, size: int, session: Bytes, out: NDArray[np.int64]) -> int:
    """Check the packet in buf[at : at + size] as a whole; out = sequence number, message count,
    first block, end. Returns a `spec.PacketKind`.

    An empty `session` is filled by the first packet that is well formed.
    """
    sequence, count, status = packet_header_nb(buf, at, size)
    if status != OK or check_blocks_nb(buf, at, size) != OK:
        return PacketKind.MALFORMED
    if session[0] == 0:
        for i in range(session.shape[0]):
            session[i] = buf[at + i]
    elif session_matches_nb(buf, at, session) == 0:
        return PacketKind.WRONG_SESSION
    out[0] = sequence
    out[1] = count
    out[2] = at + HEADER_BYTES
    out[3] = at + size
    if count == 0:
        return PacketKind.HEARTBEAT
    if count == END_OF_SESSION:
        return PacketKind.END_OF_SESSION
    return PacketKind.DATA


@kernel
def request_nb(out: Bytes, session: Bytes, sequence: int, count: int) -> int:
    """A request for `count` messages from `sequence` into `out`, u8[20] or longer; its size."""
    write_request_nb(out, session, sequence, count)
    return HEADER_BYTES
