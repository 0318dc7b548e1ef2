"""The headers of FIX messages as rows, for what a session makes of them."""

import numpy as np
from numpy.typing import NDArray

from protocols.fix.kernels_views import read_message_nb
from protocols.fix.layout import Decoder, Int64s
from protocols.fix.views import HEADER_VIEW, WIDTH, Column, ColumnKind, View, ViewTable
from protocols.jit import kernel
from protocols.wire import Bytes

SESSION_VIEW = View(
    b"",
    "SessionFields",
    "vol. 2",
    (
        *HEADER_VIEW.columns,
        Column("new_seq_no", 36, ColumnKind.INTEGER),
        Column("gap_fill", 123, ColumnKind.CHARACTER),
        Column("reset_seq_num", 141, ColumnKind.CHARACTER),
    ),
)
"""What decides about the place of a message in its session."""

_HASH_PRIME = 0x01000193
_HASH_MASK = 0xFFFFFFFF
_WORDS = SESSION_VIEW.dtype.names or ()
_SENDER_AT, _TARGET_AT = _WORDS.index("sender_comp_id_at"), _WORDS.index("target_comp_id_at")


@kernel
def _hash_nb(buf: Bytes, at: int, end: int, start: int) -> int:
    result = np.int64(start)
    for i in range(at, end):
        result = ((result ^ np.int64(buf[i])) * _HASH_PRIME) & _HASH_MASK
    return result


@kernel
def read_headers_nb(
    buf: Bytes, decoder: Decoder, frames: int, table: ViewTable, words: Int64s, keys: Int64s
) -> None:
    """SESSION_VIEW of the frames of the last `decode_nb`, and a number for each pair of CompIDs.

    Shapes:  words i64[frames * width], keys i64[frames], both caller-owned.
    """
    width = table.meta[WIDTH]
    for frame in range(frames):
        read_message_nb(buf, decoder, frame, table, words, frame)
        base = frame * width
        sender = _hash_nb(
            buf, words[base + _SENDER_AT], words[base + _SENDER_AT + 1], np.int64(0x811C9DC5)
        )
        target = _hash_nb(
            buf, words[base + _TARGET_AT], words[base + _TARGET_AT + 1], np.int64(0x1234567)
        )
        keys[frame] = (sender << 31) ^ target


@kernel
def copy_messages_nb(buf: Bytes, spans: NDArray[np.int64], at: int, out: Bytes) -> int:
    """buf[spans[0, i] : spans[1, i]] one behind the other into `out` from `at` on; where they end.

    Shapes:  spans i64[2, n].
    """
    for i in range(spans.shape[1]):
        for byte in range(spans[0, i], spans[1, i]):
            out[at] = buf[byte]
            at += 1
    return at
