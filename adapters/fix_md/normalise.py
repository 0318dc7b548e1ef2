"""Records to ticks; bytes come in here, rows go out. Offsets are frozen from `spec.py`."""

from typing import Any

import numpy as np

from adapters.fix_md.spec import RECORD, RECORD_BYTES, RECORD_CODE
from feedhandler.core.engine import BAD_LENGTH_STATUS
from feedhandler.core.events import Flag, Kind
from protocols.errors import Status
from protocols.jit import kernel
from protocols.wire import read_u16_nb, read_u32_nb, read_u48_nb, read_u64_nb

KIND_AT = RECORD.offset("kind")
SIDE_AT = RECORD.offset("side")
FLAGS_AT = RECORD.offset("flags")
INSTRUMENT_AT = RECORD.offset("instrument")
CODE_AT = RECORD.offset("code")
STATUS_AT = RECORD.offset("status")
TS_EXCH_AT = RECORD.offset("ts_exch")
PRICE_AT = RECORD.offset("price")
QUANTITY_AT = RECORD.offset("quantity")
REFERENCE_AT = RECORD.offset("reference")
AUX_AT = RECORD.offset("aux")
LENGTH_BYTES = 2
BUY, SELL = 1, 2

_FLAGS = int(Flag.IN_DOUBT | Flag.PART | Flag.SETTLES)
_KINDS = np.zeros(256, np.int64)
for _kind in (
    Kind.ADD,
    Kind.DELETE,
    Kind.REPLACE,
    Kind.TRADE,
    Kind.BROKEN_TRADE,
    Kind.DEFINITION,
    Kind.SET_LEVEL,
    Kind.CLEAR_LEVELS,
    Kind.STATISTIC,
):
    _KINDS[_kind] = 1
_INSTRUMENT_BITS = 0xFFFF
_INT63_MAX = 0x7FFFFFFFFFFFFFFF


@kernel
def _normalise_record_nb(buf: Any, at: int, length: int, ticks: Any, slot: int) -> None:
    """One record at buf[at] to ticks[slot]; kind NONE when it is none."""
    tick = ticks[slot]
    tick["code"] = 0
    tick["flags"] = Flag.NONE
    tick["kind"] = Kind.NONE
    if length == 0 or buf[at] != RECORD_CODE:
        tick["status"] = Status.UNKNOWN_TYPE
        return
    if length != RECORD_BYTES:
        # Whatever it was to say about a book is lost.
        tick["status"] = BAD_LENGTH_STATUS
        tick["aux"] = Kind.ADD
        return
    kind = np.int64(buf[at + KIND_AT])
    if _KINDS[kind] == 0:
        tick["status"] = Status.UNKNOWN_TYPE
        return
    side = np.int64(buf[at + SIDE_AT])
    tick["kind"] = kind
    tick["code"] = buf[at + CODE_AT]
    tick["flags"] = np.int64(buf[at + FLAGS_AT]) & _FLAGS
    tick["side"] = np.int64(side == BUY) - np.int64(side == SELL)
    tick["instrument"] = read_u32_nb(buf, at + INSTRUMENT_AT)
    tick["status"] = read_u16_nb(buf, at + STATUS_AT)
    tick["ts_exch_ns"] = read_u48_nb(buf, at + TS_EXCH_AT)
    tick["price_e9"] = read_u64_nb(buf, at + PRICE_AT)
    tick["qty"] = read_u64_nb(buf, at + QUANTITY_AT) & _INT63_MAX
    tick["order_ref"] = read_u64_nb(buf, at + REFERENCE_AT)
    tick["aux"] = read_u64_nb(buf, at + AUX_AT)


@kernel
def normalise_nb(buf: Any, at: int, count: int, ticks: Any, slots: Any) -> int:
    """`count` whole blocks (a 2-byte length and a record) from buf[at] to ticks[slots[0 .. count -
    1]]; returns where the next block starts. The caller has checked that they lie within `buf`.
    """
    for i in range(count):
        length = read_u16_nb(buf, at)
        _normalise_record_nb(buf, at + LENGTH_BYTES, length, ticks, slots[i])
        at += LENGTH_BYTES + length
    return at


@kernel
def _instrument_nb(buf: Any, at: int) -> int:
    """Number of the instrument of the block at buf[at]; 0 of one that is too short for it."""
    if read_u16_nb(buf, at) < INSTRUMENT_AT + 4:
        return np.int64(0)
    return read_u32_nb(buf, at + LENGTH_BYTES + INSTRUMENT_AT)


@kernel
def normalise_own_nb(
    buf: Any, blocks: Any, count: int, owned: Any, offsets: Any, ticks: Any, slots: Any
) -> int:
    """Those of `count` whole blocks, which begin at buf[blocks[i]], whose instrument `owned` has
    (by the low 16 bits of its number): their places to offsets[0 ..] and their rows to
    ticks[slots[0 ..]]; how many. What is too short to name an instrument counts for 0. Each row
    has its instrument, be the rest understood or not.
    """
    own = np.int64(0)
    for i in range(count):
        offsets[own] = i
        own += np.int64(owned[_instrument_nb(buf, blocks[i]) & _INSTRUMENT_BITS])
    for i in range(own):
        at = blocks[offsets[i]]
        _normalise_record_nb(buf, at + LENGTH_BYTES, read_u16_nb(buf, at), ticks, slots[i])
        ticks[slots[i]]["instrument"] = _instrument_nb(buf, at)
    return own
