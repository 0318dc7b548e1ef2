"""Records out: one at a time in the order of the entries, and the marks of a whole message."""

import numpy as np

from adapters.fix_md.layout import Feed, Meta, Word
from adapters.fix_md.normalise import (
    AUX_AT,
    BUY,
    CODE_AT,
    FLAGS_AT,
    INSTRUMENT_AT,
    KIND_AT,
    LENGTH_BYTES,
    PRICE_AT,
    QUANTITY_AT,
    REFERENCE_AT,
    SELL,
    SIDE_AT,
    STATUS_AT,
    TS_EXCH_AT,
)
from adapters.fix_md.spec import RECORD_BYTES, RECORD_CODE
from feedhandler.core.events import Flag
from protocols.jit import kernel, outline_kernel
from protocols.wire import (
    Bytes,
    read_u32_nb,
    write_u16_nb,
    write_u32_nb,
    write_u48_nb,
    write_u64_nb,
)

BLOCK_BYTES = LENGTH_BYTES + RECORD_BYTES


@outline_kernel
def emit_nb(feed: Feed, kind: int, status: int, reference: int, aux: int, out: Bytes) -> None:
    """One record of the entry that `feed.entry` holds; its flags are those that it keeps unless
    `settle_nb` says otherwise. The caller has seen to the room in `out`.
    """
    entry = feed.entry
    at = feed.meta[Meta.OUT_AT] + LENGTH_BYTES
    write_u16_nb(out, at - LENGTH_BYTES, np.int64(RECORD_BYTES))
    side = entry[Word.SIDE]
    out[at] = RECORD_CODE
    out[at + KIND_AT] = kind
    out[at + SIDE_AT] = BUY if side > 0 else SELL if side < 0 else 0
    out[at + FLAGS_AT] = Flag.PART
    write_u32_nb(out, at + INSTRUMENT_AT, entry[Word.INSTRUMENT])
    out[at + CODE_AT] = entry[Word.CODE]
    write_u16_nb(out, at + STATUS_AT, status)
    write_u48_nb(out, at + TS_EXCH_AT, entry[Word.TS_EXCH_NS])
    write_u64_nb(out, at + PRICE_AT, entry[Word.PRICE_E9])
    write_u64_nb(out, at + QUANTITY_AT, entry[Word.QTY])
    write_u64_nb(out, at + REFERENCE_AT, reference)
    write_u64_nb(out, at + AUX_AT, aux)
    feed.instruments[entry[Word.INSTRUMENT]]["last_at"] = at
    feed.meta[Meta.OUT_AT] = at + RECORD_BYTES


@kernel
def settle_nb(feed: Feed, start: int, out: Bytes) -> int:
    """Mark the records of one message, from out[start] on: the last one of each instrument settles
    the others, and those of books in doubt say so. Returns how many there are.
    """
    records = np.int64(0)
    for at in range(start + LENGTH_BYTES, feed.meta[Meta.OUT_AT], BLOCK_BYTES):
        row = feed.instruments[read_u32_nb(out, at + INSTRUMENT_AT)]
        flags = np.int64(Flag.SETTLES) if row["last_at"] == at else np.int64(Flag.PART)
        if row["sound_in"] != feed.meta[Meta.EPOCH]:
            flags |= Flag.IN_DOUBT
        out[at + FLAGS_AT] = flags
        records += 1
    return records
