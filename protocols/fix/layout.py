"""What the decoding kernels write: frames, tokens, and the state that goes on between two calls.

A *token* is a field: its tag, where its value starts and where it ends (the separator), as indices
of the buffer. The fields of a frame are the tokens `first` to `first + count - 1` in the order of
the wire, so those of a repeating group follow their count. The first token of a call is
FIRST_TOKEN, so that vectors of tokens do not straddle cache lines; 0 can stand for "none".
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.errors import LocalProtocolError
from protocols.fix.lanes import FIELDS, TAG_PAIRS
from protocols.fix.spec import DATA_TAG_OF_LENGTH
from protocols.vectors import BLOCK, LANES

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]

HEADER_BYTES_MAX = 26
"""Window for BeginString and BodyLength: `8=FIX`, up to 8 more, `9=` and up to 9 digits."""
BODY_LENGTH_DIGITS_MAX = 9
VERSION_BYTES_MAX = 8
TRAILER_BYTES = 7

FRAME = np.dtype(
    [
        ("start", "i8"),
        ("end", "i8"),
        ("msg_type", "i8"),
        ("first", "i4"),
        ("count", "i4"),
        ("status", "i4"),
        ("fault_at", "i4"),
        ("row_first", "i4"),
        ("row_count", "i4"),
        ("row_status", "i4"),
        ("row_fault_at", "i4"),
        ("is_plain", "i8"),
    ]
)
"""A message, buf[start:end], whose BodyLength and CheckSum are right. `msg_type` is packed as by
`pack_msg_type`. `status` and `fault_at`: OK and -1, or BAD_VALUE (a field without a tag number) or
BAD_LENGTH (a data field that does not end where its length field says) and where that field
starts; the tokens are then those before it. `row_*` are filled by the views: its rows, and whether
they are as many as the message says. `is_plain`: 1 when the vectors did not read it."""


class Counter(IntEnum):
    """Places in `Decoder.counts`, which only grow but for the last two."""

    FRAMES = 0
    GARBLED_RUNS = 1
    """Stretches of bytes that were no message."""
    GARBLED_BYTES = 2
    BAD_HEADERS = 3
    """Starts "8=FIX" that no header follows, or one with too large a BodyLength."""
    BAD_LENGTHS = 4
    """Messages whose trailer is not where BodyLength says."""
    BAD_CHECKSUMS = 5
    """Messages with a wrong CheckSum, or a third field that is not MsgType."""
    PLAIN_FRAMES = 6
    """Frames that took the plain tokeniser instead of the vectors."""
    GARBLED_IN_ROW = 7
    """Bytes skipped since the last message."""
    SEARCHED = 8
    """Bytes from the start of a garbled message that need not be searched for its end again."""


class Decoder(NamedTuple):
    """Memory of one stream: what the last call found, counts, and scratch space.

    Shapes: frames FRAME[n]; tags, starts, ends i32[m]; counts i64[9]; settings i64[3];
    data_tags i32: data field by its length field, or 0; digits u8[2, m], sums u8[m], found i32[m]:
    scratch.
    """

    frames: NDArray[np.void]
    tags: Int32s
    starts: Int32s
    ends: Int32s
    counts: Int64s
    settings: Int64s
    data_tags: Int32s
    digits: NDArray[np.uint8]
    sums: NDArray[np.uint8]
    found: Int32s


BODY_BYTES_MAX, BATCH_BYTES_MAX, BATCH_BYTES = 0, 1, 2
"""Places in `Decoder.settings`: the last one follows how well batches do, the others stay."""

POSITION_MAX = 2**31 - 1
"""Tokens are 32-bit: a longer buffer is refused."""

FIRST_TOKEN = LANES

_BATCH_BYTES = 16_384
_MARGIN = FIRST_TOKEN + 2 * BLOCK + FIELDS


def zeros_aligned(size: int, dtype: type[np.generic]) -> NDArray[Any]:
    """Zeros whose first element begins a cache line, so that vectors need not straddle two."""
    memory = np.zeros(size * np.dtype(dtype).itemsize + BLOCK, np.uint8)
    at = -memory.ctypes.data % BLOCK
    return memory[at : at + size * np.dtype(dtype).itemsize].view(dtype)


def allocate_decoder(
    body_bytes_max: int = 65_536, frame_limit: int = 256, batch_bytes: int = _BATCH_BYTES
) -> Decoder:
    """Memory for one stream of messages with a body of up to `body_bytes_max` bytes, at most
    `frame_limit` of them a call, found in about `batch_bytes` at a time (with 16 KiB, what is
    written for them stays in the nearest caches).
    """
    if min(body_bytes_max, frame_limit, batch_bytes) < 1:
        raise LocalProtocolError("a decoder needs at least one byte and one frame")
    # In the worst case every byte is a separator.
    size = max(body_bytes_max + HEADER_BYTES_MAX + TRAILER_BYTES, batch_bytes) + _MARGIN
    size += -size % BLOCK
    data_tags = np.zeros(max(DATA_TAG_OF_LENGTH) + 1, np.int32)
    data_tags[list(DATA_TAG_OF_LENGTH)] = list(DATA_TAG_OF_LENGTH.values())
    return Decoder(
        frames=np.zeros(frame_limit, FRAME),
        tags=zeros_aligned(size, np.int32),
        starts=zeros_aligned(size, np.int32),
        ends=zeros_aligned(size, np.int32),
        counts=np.zeros(len(Counter), np.int64),
        settings=np.array([body_bytes_max, batch_bytes, batch_bytes], np.int64),
        data_tags=data_tags,
        digits=zeros_aligned(TAG_PAIRS * size, np.uint8).reshape(TAG_PAIRS, size),
        sums=zeros_aligned(size, np.uint8),
        found=zeros_aligned(size, np.int32),
    )


def pack_msg_type(msg_type: bytes) -> int:
    """MsgType as an integer, first character lowest; 0 for one of more than eight."""
    return int.from_bytes(msg_type, "little", signed=True) if len(msg_type) <= 8 else 0
