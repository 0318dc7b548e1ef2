"""Where the packets of a SoupBinTCP server begin in bytes whose begin is missing, as a kernel.

A stream has no mark between its packets. What stands at a place is taken for a packet when a whole
chain of packets follows it, and the messages in them are known.
Source: SoupBinTCP 3.00; numbers are frozen from `spec.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel
from protocols.soupbintcp import spec
from protocols.wire import Bytes, read_u16_nb

LENGTH_BYTES = spec.LENGTH_BYTES
FRAME_BYTES = spec.FRAME_BYTES
_TYPE_BYTES = spec.TYPE_BYTES
_SEQUENCED = spec.SEQUENCED_DATA
_UNSEQUENCED = spec.UNSEQUENCED_DATA
_DEBUG = spec.DEBUG
_HEARTBEAT = spec.SERVER_HEARTBEAT
_END = spec.END_OF_SESSION
_ACCEPTED = ord(spec.LOGIN_ACCEPTED.type)
_ACCEPTED_BYTES = spec.LOGIN_ACCEPTED.length
_REJECTED = ord(spec.LOGIN_REJECTED.type)
_REJECTED_BYTES = spec.LOGIN_REJECTED.length

_NO_PACKET = 0
_CONTROL = 1
_MESSAGE = 2
_ANY_LENGTH = -1


@kernel
def _judge_packet_nb(buf: Bytes, at: int, stop: int, message_lengths: NDArray[np.int64]) -> int:
    """Whether a packet of a server may begin at `at` (with FRAME_BYTES bytes before `stop`):
    _MESSAGE, _CONTROL, or _NO_PACKET. What lies behind `stop` is given the benefit of the doubt.
    """
    length = read_u16_nb(buf, at)
    packet_type = np.int64(buf[at + LENGTH_BYTES])
    if packet_type == _SEQUENCED:
        if at + FRAME_BYTES >= stop:
            return _CONTROL
        expected = message_lengths[np.int64(buf[at + FRAME_BYTES])]
        return _MESSAGE if 0 < expected == length - _TYPE_BYTES else _NO_PACKET
    expected = np.int64(0)
    if packet_type in (_HEARTBEAT, _END):
        expected = np.int64(_TYPE_BYTES)
    elif packet_type == _ACCEPTED:
        expected = np.int64(_ACCEPTED_BYTES)
    elif packet_type == _REJECTED:
        expected = np.int64(_REJECTED_BYTES)
    elif packet_type in (_DEBUG, _UNSEQUENCED):
        expected = np.int64(_ANY_LENGTH)
    if length > 0 and expected in (length, _ANY_LENGTH):
        return _CONTROL
    return _NO_PACKET


@kernel
def find_packets_nb(
    buf: Bytes, start: int, stop: int, message_lengths: NDArray[np.int64], enough: int
) -> int:
    """The first place in `buf[start:stop]` from which packets of a server follow one another, to
    `stop` or for `enough` packets, at least one of them a known message; -1 when there is none.

    Shapes:  message_lengths i64[256]: length of a message by its first byte, 0 for no message.
    """
    for first in range(start, stop - FRAME_BYTES + 1):
        at = np.int64(first)
        messages = np.int64(0)
        judged = np.int64(0)
        while at + FRAME_BYTES <= stop and judged < enough:
            verdict = _judge_packet_nb(buf, at, stop, message_lengths)
            if verdict == _NO_PACKET:
                messages = np.int64(0)
                break
            at += LENGTH_BYTES + read_u16_nb(buf, at)
            # One that is not whole is no proof.
            if verdict == _MESSAGE and at <= stop:
                messages += 1
            judged += 1
        if messages > 0:
            return first
    return -1
