"""A signal as the bytes of a FIX message, written by a kernel.

Slow obvious twin: `encoding.SignalEncoder` with `protocols.fix.message.encode`, byte for byte.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import LEGS_SHOWN, BreakerLevel, SignalKind
from feedhandler.core.text import write_integer_nb, write_signed_nb, write_symbol_nb
from oms_out.contract import SignalTag
from oms_out.outlet_layout import MESSAGE_AT, SLOT_BYTES, SOURCES_MAX, TEXT_BYTES
from protocols.digits import write_padded_nb
from protocols.fix.kernels_write import TRAILER_BYTES, write_trailer_nb, write_utc_timestamp_nb
from protocols.fix.spec import Tag
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

_HEAD = np.frombuffer(b"8=FIX.4.4\x019=", np.uint8)
_HEAD_BYTES = 12
_INNER_AT = MESSAGE_AT + _HEAD_BYTES + 4
"""Where BodyLength begins to count: it has three digits, as a message has 119 bytes at least and
_BODY_BYTES_MAX at most."""
_SOH = 1
_EQUALS = ord("=")
_POINT = ord(".")
_MINUS = ord("-")
_ZERO = ord("0")
_BLANK = ord(" ")
_ORDER, _STATUS, _CANCEL = ord("D"), ord("f"), ord("q")
_BUY, _SELL = ord("1"), ord("2")
_LIMIT = ord("2")
_HALT, _RESUME, _FAST_MARKET = 2, 3, 23
_OF_A_SECURITY = 1
_E9 = 1_000_000_000
_PRICE_DECIMALS = 9
_TRANSACT_DECIMALS = 3

_BODY_BYTES_MAX = 999
"""BodyLength is written with three digits."""
_FIELDS_BYTES_MAX = 530
"""Every field of a NewOrderSingle at its longest, without source, CompIDs and SubIDs."""
if _INNER_AT + _FIELDS_BYTES_MAX + 3 * TEXT_BYTES + TRAILER_BYTES > SLOT_BYTES:
    raise AssertionError(f"a signal may not fit a slot of {SLOT_BYTES} bytes")


@kernel
def _write_tag_nb(out: Bytes, at: int, tag: int) -> int:
    at = write_integer_nb(out, at, tag)
    out[at] = _EQUALS
    return at + 1


@kernel
def _write_field_nb(out: Bytes, at: int, tag: int, value: int) -> int:
    """`tag=value|` of an integer."""
    at = write_signed_nb(out, _write_tag_nb(out, at, tag), value)
    out[at] = _SOH
    return at + 1


@kernel
def _write_code_nb(out: Bytes, at: int, tag: int, code: int) -> int:
    """`tag=c|` of one character."""
    at = _write_tag_nb(out, at, tag)
    out[at] = code
    out[at + 1] = _SOH
    return at + 2


@kernel
def _write_time_nb(out: Bytes, at: int, tag: int, time_ns: int, decimals: int) -> int:
    at = write_utc_timestamp_nb(out, _write_tag_nb(out, at, tag), time_ns, decimals)
    out[at] = _SOH
    return at + 1


@kernel
def _copy_text_nb(out: Bytes, at: int, texts: NDArray[np.uint8], row: int) -> int:
    """The bytes of a row of texts, whose first one is their number."""
    size = np.int64(texts[row, 0])
    for i in range(size):
        out[at + i] = texts[row, 1 + i]
    return at + size


@kernel
def write_price_nb(out: Bytes, at: int, price_e9: int) -> int:
    """Exact decimal of a price in 1e-9, without trailing zeros; where the next byte goes."""
    # The lowest number has no opposite, so each part is made positive by itself.
    whole = price_e9 // _E9
    rest = price_e9 % _E9
    if price_e9 < 0:
        out[at] = _MINUS
        at += 1
        whole = price_e9 // -_E9
        rest = -(price_e9 + whole * _E9)
    at = write_integer_nb(out, at, whole)
    if rest == 0:
        return at
    out[at] = _POINT
    at = write_padded_nb(out, at + 1, rest, _PRICE_DECIMALS)
    while out[at - 1] == _ZERO:
        at -= 1
    return at


@kernel
def _code_of_nb(signals: NDArray[Any], at: int) -> int:
    """Side of an order as its character, trading status of a level, or type of a cancel request; 0
    when there is none.
    """
    row = signals[at]
    kind, side, level = np.int64(row["kind"]), np.int64(row["side"]), np.int64(row["level"])
    code = 0
    if level > BreakerLevel.HALTED:
        code = 0
    elif kind == SignalKind.ORDER and side == 1:
        code = _BUY
    elif kind == SignalKind.ORDER and side == -1:
        code = _SELL
    elif kind == SignalKind.BREAKER and level == BreakerLevel.HALTED:
        code = _HALT
    elif kind == SignalKind.BREAKER:
        code = _RESUME if level == BreakerLevel.NORMAL else _FAST_MARKET
    elif kind == SignalKind.CANCEL:
        code = _OF_A_SECURITY
    return code


@kernel
def _write_body_nb(
    out: Bytes, at: int, signals: NDArray[Any], index: int, symbols: NDArray[np.int64], code: int
) -> int:
    """The fields of `contract.py` up to those of `SignalTag`."""
    row = signals[index]
    signal_id = np.int64(row["signal_id"])
    is_order = row["kind"] == SignalKind.ORDER
    is_status = row["kind"] == SignalKind.BREAKER
    if not is_status:
        at = _write_field_nb(out, at, Tag.CL_ORD_ID, signal_id)
    if not (is_order or is_status):
        at = _write_field_nb(out, at, Tag.MASS_CANCEL_REQUEST_TYPE, code)
    at = _write_tag_nb(out, at, Tag.SYMBOL)
    at = write_symbol_nb(out, at, symbols[0], np.int64(row["instrument"]))
    out[at] = _SOH
    at += 1
    if is_order:
        at = _write_code_nb(out, at, Tag.SIDE, code)
    elif is_status:
        at = _write_field_nb(out, at, Tag.SECURITY_TRADING_STATUS, code)
    signal_ns = np.int64(row["ts_signal_ns"])
    at = _write_time_nb(out, at, Tag.TRANSACT_TIME, signal_ns, _TRANSACT_DECIMALS)
    if is_order:
        at = _write_field_nb(out, at, Tag.ORDER_QTY, np.int64(row["qty"]))
        at = _write_code_nb(out, at, Tag.ORD_TYPE, _LIMIT)
        at = _write_tag_nb(out, at, Tag.PRICE)
        at = write_price_nb(out, at, np.int64(row["price_e9"]))
        out[at] = _SOH
        at += 1
    return at


@kernel
def _write_tail_nb(
    out: Bytes, at: int, signals: NDArray[Any], index: int, texts: NDArray[np.uint8]
) -> int:
    """The fields of `SignalTag` that every signal has."""
    row = signals[index]
    at = _write_field_nb(out, at, SignalTag.SIGNAL_ID, np.int64(row["signal_id"]))
    at = _write_tag_nb(out, at, SignalTag.SOURCE_NAME)
    at = _copy_text_nb(out, at, texts, np.int64(row["source"]))
    out[at] = _SOH
    at = _write_field_nb(out, at + 1, SignalTag.FEED_SEQ, np.int64(row["seq"]))
    at = _write_field_nb(out, at, SignalTag.RX_TIME_NS, np.int64(row["ts_rx_ns"]))
    at = _write_field_nb(out, at, SignalTag.EXCH_TIME_NS, np.int64(row["ts_exch_ns"]))
    at = _write_field_nb(out, at, SignalTag.SIGNAL_TIME_NS, np.int64(row["ts_signal_ns"]))
    return _write_field_nb(out, at, SignalTag.LEVEL, np.int64(row["level"]))


@kernel
def _write_seen_nb(
    out: Bytes, at: int, signals: NDArray[Any], index: int, symbols: NDArray[np.int64]
) -> int:
    """Those of an order."""
    row = signals[index]
    at = _write_field_nb(out, at, SignalTag.CONFIDENCE_BPS, np.int64(row["confidence_bps"]))
    at = _write_field_nb(out, at, SignalTag.VALUE_0, np.int64(row["value_0"]))
    at = _write_field_nb(out, at, SignalTag.VALUE_1, np.int64(row["value_1"]))
    at = _write_field_nb(out, at, SignalTag.VALUE_2, np.int64(row["value_2"]))
    shown = min(np.int64(row["leg_count"]), np.int64(LEGS_SHOWN))
    if shown > 0:
        at = _write_tag_nb(out, at, SignalTag.LEGS)
        for i in range(shown):
            at = write_symbol_nb(out, at, symbols[i], np.int64(row["legs"][i]))
            out[at] = _BLANK if i + 1 < shown else _SOH
            at += 1
    return at


@outline_kernel
def write_signal_nb(
    out: Bytes,
    signals: NDArray[Any],
    index: int,
    symbols: NDArray[np.int64],
    texts: NDArray[np.uint8],
    outlet: int,
    seq: int,
    sending: tuple[int, int],
) -> int:
    """The message of signals[index] (SIGNAL) at out[MESSAGE_AT]; where it ends, or 0 for a row that
    names no known kind, side, level or source.

    Shapes: out u8[SLOT_BYTES], texts as in `outlet_layout`. `symbols` i64[LEGS_SHOWN]
    are those of the legs as in INSTRUMENT, the first one the row's; `sending` is SendingTime (ns
    since the epoch) and its decimals.
    """
    row = signals[index]
    source = np.int64(row["source"])
    code = _code_of_nb(signals, index)
    if code == 0 or source >= SOURCES_MAX or texts[source, 0] == 0:
        return 0
    kind = row["kind"]
    msg_type = _ORDER if kind == SignalKind.ORDER else _STATUS
    if kind == SignalKind.CANCEL:
        msg_type = _CANCEL
    at = _write_code_nb(out, _INNER_AT, Tag.MSG_TYPE, msg_type)
    at = _write_field_nb(out, at, Tag.MSG_SEQ_NUM, seq)
    at = _copy_text_nb(out, at, texts, SOURCES_MAX + 2 * outlet)
    at = _write_time_nb(out, at, Tag.SENDING_TIME, sending[0], sending[1])
    at = _copy_text_nb(out, at, texts, SOURCES_MAX + 2 * outlet + 1)
    at = _write_body_nb(out, at, signals, index, symbols, code)
    at = _write_tail_nb(out, at, signals, index, texts)
    if kind == SignalKind.ORDER:
        at = _write_seen_nb(out, at, signals, index, symbols)
    if at - _INNER_AT > _BODY_BYTES_MAX:
        return 0
    for i in range(_HEAD_BYTES):
        out[MESSAGE_AT + i] = _HEAD[i]
    write_padded_nb(out, MESSAGE_AT + _HEAD_BYTES, at - _INNER_AT, 3)
    out[_INNER_AT - 1] = _SOH
    return write_trailer_nb(out, MESSAGE_AT, at)
