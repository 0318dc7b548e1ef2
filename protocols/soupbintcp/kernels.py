"""SoupBinTCP in the hot path: index the sequenced payloads of a contiguous buffer.

Source: SoupBinTCP 3.00; offsets are frozen from `spec.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import Status
from protocols.jit import kernel
from protocols.soupbintcp import spec
from protocols.wire import Bytes, read_u16_nb

LENGTH_BYTES = spec.LENGTH_BYTES
FRAME_BYTES = spec.FRAME_BYTES
SEQUENCED_DATA = spec.SEQUENCED_DATA
SERVER_HEARTBEAT = spec.SERVER_HEARTBEAT
DEBUG = spec.DEBUG
END_OF_SESSION = spec.END_OF_SESSION
OK = int(Status.OK)
UNKNOWN_TYPE = int(Status.UNKNOWN_TYPE)
BAD_LENGTH = int(Status.BAD_LENGTH)
ENDED = int(Status.END_OF_SESSION)
OUTPUT_FULL = int(Status.OUTPUT_FULL)


@kernel
def scan_sequenced_nb(
    buf: Bytes,
    start: int,
    stop: int,
    out_at: NDArray[np.int64],
    out_len: NDArray[np.int64],
    limit: int,
) -> tuple[int, int, int]:
    """Index the payloads of Sequenced Data packets that a server sent in `buf[start:stop]`;
    heartbeats and debug text are skipped.

    Shapes:  out_at, out_len i64[>= limit]: where in `buf` payload i begins, and its bytes.
    Returns: (payloads indexed, bytes used, status): OK when only an incomplete packet, or nothing,
             is left; OUTPUT_FULL when `limit` was reached and more is there; END_OF_SESSION when
             that packet was used; BAD_LENGTH or UNKNOWN_TYPE when the packet after the bytes used
             is broken (UNKNOWN_TYPE also for a login answer, which a session must read first).
    """
    at = start
    count = 0
    while at + FRAME_BYTES <= stop:
        length = read_u16_nb(buf, at)
        if length == 0:
            return count, at - start, BAD_LENGTH
        end = at + LENGTH_BYTES + length
        if end > stop:
            break
        packet_type = buf[at + LENGTH_BYTES]
        if packet_type == SEQUENCED_DATA:
            if count == limit:
                return count, at - start, OUTPUT_FULL
            out_at[count] = at + FRAME_BYTES
            out_len[count] = end - at - FRAME_BYTES
            count += 1
        elif packet_type == END_OF_SESSION:
            return count, end - start, ENDED
        elif packet_type not in (SERVER_HEARTBEAT, DEBUG):
            return count, at - start, UNKNOWN_TYPE
        at = end
    # A length of zero is broken already with its two bytes, so that no reader waits for a third
    # that makes it no better.
    if stop - at == LENGTH_BYTES and read_u16_nb(buf, at) == 0:
        return count, at - start, BAD_LENGTH
    return count, at - start, OK
