"""Index of the messages in a BinaryFILE, as a kernel.

    +--------+-----------------+--------+-----------------+-----+------+
    | length | message         | length | message         | ... | 0000 |   more sessions may follow
    +--------+-----------------+--------+-----------------+-----+------+
      u16 big-endian, counts the message alone                    end of session

Source: Nasdaq BinaryFILE 1.00; SoupBinTCP and MoldUDP64 carry the same messages by other framings.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import Status
from protocols.jit import kernel
from protocols.wire import Bytes, read_u16_nb

LENGTH_BYTES = 2
OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
END_OF_SESSION = int(Status.END_OF_SESSION)
OUTPUT_FULL = int(Status.OUTPUT_FULL)


@kernel
def index_messages_nb(
    buf: Bytes, start: int, stop: int, out_at: NDArray[np.int64], out_len: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Find the messages in `buf[start:stop]`; their first bytes and lengths go to the outputs.

    Shapes:  buf u8[n]; out_at, out_len i64[m], caller-owned, bytes from the start of `buf`.
    Returns: (messages found, bytes used, status); whatever the status, those messages are whole.
        OK              the last message ends at `stop`
        TRUNCATED       what is left at `start + bytes used` is no whole message
        END_OF_SESSION  a zero length was read (and is among the bytes used): call again behind it
        OUTPUT_FULL     more messages follow: call again at `start + bytes used`
    """
    at = np.int64(start)
    count = np.int64(0)
    status = OK
    while at < stop:
        if at + LENGTH_BYTES > stop:
            status = TRUNCATED
            break
        length = read_u16_nb(buf, at)
        if length == 0:
            at += LENGTH_BYTES
            status = END_OF_SESSION
            break
        if at + LENGTH_BYTES + length > stop:
            status = TRUNCATED
            break
        if count == out_at.shape[0]:
            status = OUTPUT_FULL
            break
        out_at[count] = at + LENGTH_BYTES
        out_len[count] = length
        count += 1
        at += LENGTH_BYTES + length
    return count, at - start, status
