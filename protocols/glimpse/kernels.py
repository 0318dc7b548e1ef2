"""GLIMPSE in the hot path: the messages of a snapshot as blocks, in one piece of memory.

Source: GLIMPSE 5.0; a block is a 2-byte length and a message, as in MoldUDP64 and in a BinaryFILE.
"""

from typing import Any

from protocols.errors import Status
from protocols.glimpse import spec
from protocols.jit import kernel
from protocols.wire import write_u16_nb

_END_OF_SNAPSHOT = spec.END_OF_SNAPSHOT_TYPE
_BLOCK_HEADER_BYTES = 2


@kernel
def copy_blocks_nb(buf: Any, index: Any, count: int, out: Any, out_at: int) -> tuple[int, int, int]:
    """Messages index[0:count] (rows: at, size) of `buf` to out[out_at:] as blocks, up to an end of
    snapshot.

    Returns: (messages copied, next free byte of `out`, Status: OK, END_OF_SESSION when message
    `copied` is the end of the snapshot, OUTPUT_FULL when `out` is too small).
    """
    for i in range(count):
        at = index[0, i]
        size = index[1, i]
        if size > 0 and buf[at] == _END_OF_SNAPSHOT:
            return i, out_at, Status.END_OF_SESSION
        if out_at + _BLOCK_HEADER_BYTES + size > out.shape[0]:
            return i, out_at, Status.OUTPUT_FULL
        write_u16_nb(out, out_at, size)
        for k in range(size):
            out[out_at + _BLOCK_HEADER_BYTES + k] = buf[at + k]
        out_at += _BLOCK_HEADER_BYTES + size
    return count, out_at, Status.OK
