"""Loops around the FIX decoding kernels, one batch after the other as a receiver would."""

from typing import NamedTuple

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import EntryScratch, EntryViews, read_entries_nb
from protocols.fix.layout import Decoder, Int64s
from protocols.jit import kernel
from protocols.wire import Bytes

OUTPUT_FULL = int(Status.OUTPUT_FULL)


class Entries(NamedTuple):
    """What the typed rows need: tables, room for rows, scratch."""

    views: EntryViews
    words: Int64s
    scratch: EntryScratch


@kernel
def decode_fix_nb(buf: Bytes, stop: int, decoder: Decoder) -> int:
    """Frames, checksums and tokens of buf[:stop]; how many messages."""
    at = np.int64(0)
    messages = np.int64(0)
    status = OUTPUT_FULL
    while status == OUTPUT_FULL:
        count, used, status = decode_nb(buf, at, stop, decoder)
        messages += count
        at += used
    return messages


@kernel
def decode_fix_entries_nb(
    buf: Bytes, stop: int, decoder: Decoder, entries: Entries
) -> tuple[int, int]:
    """The same, and a row for each entry; (messages, rows)."""
    at = np.int64(0)
    messages = np.int64(0)
    rows = np.int64(0)
    status = OUTPUT_FULL
    while status == OUTPUT_FULL:
        count, used, status = decode_nb(buf, at, stop, decoder)
        found, _, _ = read_entries_nb(
            buf, decoder, np.int64(0), count, entries.views, entries.words, entries.scratch
        )
        messages += count
        rows += found
        at += used
    return messages, rows
