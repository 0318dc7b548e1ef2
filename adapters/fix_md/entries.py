"""Entries of W and X to records: what each does to the book of its symbol.

An entry with an MDEntryID (278), or an MDEntryRefID (280) that names an earlier one, is an order of
its own; any other states a price level. docs/replay.md has the rules; those for what contradicts
the book are the rules of the slow twin, `tests/reference/slow_fix_book.py`.
"""

import numpy as np

from adapters.fix_md.layout import ID_BYTES, Feed, Meta, Mode, Trouble, Word
from adapters.fix_md.names import (
    NOT_FOUND,
    enter_order_nb,
    find_id_nb,
    find_symbol_nb,
    forget_id_nb,
    leave_order_nb,
    note_trouble_nb,
    write_id_nb,
)
from adapters.fix_md.records import emit_nb
from feedhandler.core.events import Clear, Kind
from protocols.errors import Status
from protocols.fix.layout import Int64s
from protocols.fix.views import PRESENT, QUANTITY_DECIMALS, STATUS, VIEWS
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

_VIEW = VIEWS[b"X"]
_NAMES = [column.name for column in _VIEW.columns]
_AT = {name: place for place, name in enumerate(_VIEW.dtype.names or ())}


def _bit(name: str) -> int:
    return 1 << _NAMES.index(name)


_ACTION_BIT, _ACTION_AT = _bit("update_action"), _AT["update_action"]
_TYPE_BIT, _TYPE_AT = _bit("entry_type"), _AT["entry_type"]
_PRICE_BIT, _PRICE_AT = _bit("price_e9"), _AT["price_e9"]
_QTY_BIT, _QTY_AT = _bit("qty_e8"), _AT["qty_e8"]
_ORDERS_BIT, _ORDERS_AT = _bit("order_count"), _AT["order_count"]
_POSITION_BIT, _POSITION_AT = _bit("position"), _AT["position"]
_LEVEL_BIT, _LEVEL_AT = _bit("price_level"), _AT["price_level"]
_ID_AT, _REF_AT, _SYMBOL_AT = _AT["entry_id_at"], _AT["entry_ref_id_at"], _AT["symbol_at"]
_OK = int(Status.OK)
_QTY_UNIT = 10**QUANTITY_DECIMALS
_QTY_MAX = 2**32 - 1
_ORDERS_MAX = 2**31 - 1
_PLACE_MAX = 2**16 - 1
_SHORT_SYMBOL_BYTES = 8
_BLANK = ord(" ")

NEW, CHANGE, DELETE, DELETE_THRU, DELETE_FROM, OVERLAY = range(6)
_ZERO = ord("0")
_BID, _OFFER, _TRADE, _EMPTY_BOOK = ord("0"), ord("1"), ord("2"), ord("J")
_NONE = -1


@outline_kernel
def symbol_number_nb(buf: Bytes, at: int, end: int, feed: Feed, out: Bytes) -> int:
    """Number of the symbol buf[at:end], which is defined by a record when it is new; NOT_FOUND and
    a trouble counted when it has none. What is about no known symbol may be about any.
    """
    number, what = find_symbol_nb(buf, at, end, feed)
    if number == NOT_FOUND:
        if what == Trouble.NO_SYMBOL:
            note_trouble_nb(feed, np.int64(what), number)
        else:
            feed.counts[what] += 1
    elif what:
        entry = feed.entry
        entry[Word.CODE] = entry[Word.SIDE] = entry[Word.PRICE_E9] = entry[Word.QTY] = 0
        entry[Word.INSTRUMENT] = number
        # What is longer would look like another one that begins so.
        short = np.int64(0)
        if end - at <= _SHORT_SYMBOL_BYTES:
            for i in range(_SHORT_SYMBOL_BYTES):
                byte = np.int64(buf[at + i]) if at + i < end else np.int64(_BLANK)
                short |= byte << (8 * i)
        emit_nb(feed, np.int64(Kind.DEFINITION), np.int64(0), np.int64(0), short, out)
    return number


@outline_kernel
def empty_book_nb(feed: Feed, instrument: int, out: Bytes) -> None:
    """Take everything out of the book of an instrument, which is sound then."""
    entry = feed.entry
    code = entry[Word.CODE]
    row = feed.instruments[instrument]
    entry[Word.CODE] = entry[Word.SIDE] = entry[Word.PRICE_E9] = entry[Word.QTY] = 0
    entry[Word.INSTRUMENT] = instrument
    while row["first_order"] >= 0:
        _remove_order_nb(feed, np.int64(row["first_order"]), out)
    if row["mode"] == Mode.LEVELS:
        entry[Word.SIDE] = entry[Word.PRICE_E9] = entry[Word.QTY] = 0
        emit_nb(
            feed,
            np.int64(Kind.CLEAR_LEVELS),
            np.int64(Clear.ALL),
            np.int64(0),
            np.int64(0),
            out,
        )
    row["mode"] = Mode.UNKNOWN
    row["sound_in"] = feed.meta[Meta.EPOCH]
    entry[Word.CODE] = code


@kernel
def _emit_order_nb(feed: Feed, kind: int, reference: int, out: Bytes) -> None:
    """A record about a live order as it is now."""
    order, entry = feed.orders[reference], feed.entry
    entry[Word.INSTRUMENT] = order["instrument"]
    entry[Word.SIDE] = order["side"]
    entry[Word.PRICE_E9] = order["price_e9"]
    entry[Word.QTY] = order["qty"]
    new_reference = reference if kind == Kind.REPLACE else np.int64(0)
    emit_nb(feed, kind, np.int64(0), reference, new_reference, out)


@outline_kernel
def _remove_order_nb(feed: Feed, reference: int, out: Bytes) -> None:
    _emit_order_nb(feed, np.int64(Kind.DELETE), reference, out)
    leave_order_nb(reference, feed)


@kernel
def _note_price_nb(feed: Feed, instrument: int, price_e9: int) -> None:
    """Take a price into the step and the highest price of an instrument."""
    row = feed.instruments[instrument]
    while price_e9 % row["step_e9"] != 0:
        row["step_e9"] //= 10
    row["price_max_e9"] = max(row["price_max_e9"], price_e9)


@kernel
def _enter_nb(buf: Bytes, at: int, end: int, feed: Feed, out: Bytes) -> None:
    """Enter the order that the entry describes, with the MDEntryID buf[at:end]."""
    entry = feed.entry
    instrument = entry[Word.INSTRUMENT]
    is_whole = entry[Word.SIDE] != 0 and entry[Word.PRICE_E9] >= 0 and entry[Word.QTY] >= 0
    if not is_whole or end <= at or instrument < 0:
        note_trouble_nb(feed, np.int64(Trouble.BAD_ENTRY), instrument)
        return
    if entry[Word.QTY] == 0:
        note_trouble_nb(feed, np.int64(Trouble.BAD_QUANTITY), instrument)
        return
    reference, trouble = enter_order_nb(buf, at, end, instrument, feed)
    if reference == NOT_FOUND:
        note_trouble_nb(feed, trouble, instrument)
        return
    order = feed.orders[reference]
    order["side"] = entry[Word.SIDE]
    order["price_e9"] = entry[Word.PRICE_E9]
    order["qty"] = entry[Word.QTY]
    _note_price_nb(feed, instrument, entry[Word.PRICE_E9])
    _emit_order_nb(feed, np.int64(Kind.ADD), reference, out)


@outline_kernel
def _change_nb(feed: Feed, reference: int, out: Bytes) -> None:
    """Change a live order to what the entry says of it; what it does not say stays."""
    entry, order = feed.entry, feed.orders[reference]
    side, price_e9, qty = entry[Word.SIDE], entry[Word.PRICE_E9], entry[Word.QTY]
    if qty == 0:
        _remove_order_nb(feed, reference, out)
        return
    moves_over = side not in (0, np.int64(order["side"]))
    if moves_over:
        _emit_order_nb(feed, np.int64(Kind.DELETE), reference, out)
        order["side"] = side
    if price_e9 >= 0:
        order["price_e9"] = price_e9
        _note_price_nb(feed, np.int64(order["instrument"]), price_e9)
    if qty > 0:
        order["qty"] = qty
    kind = np.int64(Kind.ADD) if moves_over else np.int64(Kind.REPLACE)
    _emit_order_nb(feed, kind, reference, out)


@kernel
def _rename_nb(buf: Bytes, at: int, end: int, reference: int, feed: Feed) -> int:
    """Give a live order the MDEntryID buf[at:end]; 0 and a trouble counted when it cannot be."""
    instrument = np.int64(feed.orders[reference]["instrument"])
    known = find_id_nb(buf, at, end, instrument, feed)
    if known == reference or end <= at:
        return 1
    if known != NOT_FOUND or end - at > ID_BYTES:
        trouble = Trouble.LONG_ID if known == NOT_FOUND else Trouble.DUPLICATE_ID
        note_trouble_nb(feed, np.int64(trouble), instrument)
        return 0
    forget_id_nb(reference, feed)
    write_id_nb(buf, at, end, reference, feed)
    return 1


@kernel
def _delete_range_nb(feed: Feed, out: Bytes) -> None:
    """Delete Thru and Delete From by a price in a book of orders."""
    entry = feed.entry
    instrument, side, limit_e9 = entry[Word.INSTRUMENT], entry[Word.SIDE], entry[Word.PRICE_E9]
    if side == 0 or limit_e9 < 0 or instrument < 0:
        note_trouble_nb(feed, np.int64(Trouble.BAD_ENTRY), instrument)
        return
    better = side if entry[Word.ACTION] == DELETE_THRU else -side
    reference = np.int64(feed.instruments[instrument]["first_order"])
    while reference >= 0:
        order = feed.orders[reference]
        after = np.int64(order["next"])
        if order["side"] == side and (order["price_e9"] - limit_e9) * better >= 0:
            _remove_order_nb(feed, reference, out)
        reference = after


@outline_kernel
def _take_order_nb(buf: Bytes, words: Int64s, base: int, feed: Feed, out: Bytes) -> None:
    """A bid or offer with an MDEntryID, or a reference to one."""
    entry = feed.entry
    action, instrument = entry[Word.ACTION], entry[Word.INSTRUMENT]
    at, end = words[base + _ID_AT], words[base + _ID_AT + 1]
    if action in (DELETE_THRU, DELETE_FROM):
        _delete_range_nb(feed, out)
        return
    reference = find_id_nb(buf, at, end, instrument, feed)
    if action in (NEW, OVERLAY):
        if reference == NOT_FOUND:
            _enter_nb(buf, at, end, feed, out)
            return
        if action == NEW:
            owner = np.int64(feed.orders[reference]["instrument"])
            note_trouble_nb(feed, np.int64(Trouble.DUPLICATE_ID), owner)
        _change_nb(feed, reference, out)
        return
    first_at, first_end = words[base + _REF_AT], words[base + _REF_AT + 1]
    first = find_id_nb(buf, first_at, first_end, instrument, feed)
    if first != NOT_FOUND:
        reference = first
    if reference == NOT_FOUND:
        note_trouble_nb(feed, np.int64(Trouble.UNKNOWN_ID), instrument)
    elif action == DELETE:
        _remove_order_nb(feed, reference, out)
    elif _rename_nb(buf, at, end, reference, feed):
        _change_nb(feed, reference, out)


@kernel
def _place_nb(words: Int64s, base: int) -> int:
    """MDEntryPositionNo (290) or MDPriceLevel (1023), 0 without, -1 when it is none."""
    present = words[base + PRESENT]
    place = np.int64(0)
    if present & _POSITION_BIT:
        place = words[base + _POSITION_AT]
    elif present & _LEVEL_BIT:
        place = words[base + _LEVEL_AT]
    else:
        return 0
    return place if 1 <= place <= _PLACE_MAX else _NONE


@kernel
def _clear_mode_nb(action: int, by_price: bool) -> int:
    """The Clear of a delete by price or by place."""
    if action == DELETE_THRU:
        return np.int64(Clear.THROUGH_PRICE if by_price else Clear.THROUGH_PLACE)
    if action == DELETE_FROM:
        return np.int64(Clear.FROM_PRICE if by_price else Clear.FROM_PLACE)
    return np.int64(Clear.PLACE)


@outline_kernel
def _take_level_nb(words: Int64s, base: int, feed: Feed, out: Bytes) -> None:
    """A bid or offer that states a price level."""
    entry = feed.entry
    action, instrument = entry[Word.ACTION], entry[Word.INSTRUMENT]
    price_e9, qty = entry[Word.PRICE_E9], entry[Word.QTY]
    place = _place_nb(words, base)
    is_stated = action in (NEW, CHANGE, OVERLAY)
    has_place = price_e9 >= 0 or (place > 0 and not is_stated)
    if entry[Word.SIDE] == 0 or not has_place or place < 0 or (is_stated and qty < 0):
        note_trouble_nb(feed, np.int64(Trouble.BAD_ENTRY), instrument)
        return
    if price_e9 >= 0:
        _note_price_nb(feed, instrument, price_e9)
    if is_stated or (action == DELETE and price_e9 >= 0):
        orders = np.int64(1)
        if words[base + PRESENT] & _ORDERS_BIT:
            orders = min(max(words[base + _ORDERS_AT], np.int64(1)), np.int64(_ORDERS_MAX))
        if not is_stated or qty == 0:
            orders = entry[Word.QTY] = np.int64(0)
        overlaid = place if action == OVERLAY else np.int64(0)
        emit_nb(feed, np.int64(Kind.SET_LEVEL), overlaid, np.int64(0), orders, out)
        return
    entry[Word.QTY] = 0
    mode = _clear_mode_nb(action, price_e9 >= 0)
    entry[Word.PRICE_E9] = max(price_e9, np.int64(0))
    emit_nb(feed, np.int64(Kind.CLEAR_LEVELS), mode, np.int64(0), place, out)


@kernel
def _take_quote_nb(buf: Bytes, words: Int64s, base: int, feed: Feed, out: Bytes) -> None:
    """A bid or offer: of a book of orders or of one of levels, which the first one decides."""
    instrument = feed.entry[Word.INSTRUMENT]
    is_order = words[base + _ID_AT + 1] > 0 or words[base + _REF_AT + 1] > 0
    mode = np.int64(Mode.ORDERS if is_order else Mode.LEVELS)
    if instrument < 0:
        if not is_order:
            note_trouble_nb(feed, np.int64(Trouble.NO_SYMBOL), instrument)
            return
    else:
        row = feed.instruments[instrument]
        if row["mode"] == Mode.UNKNOWN:
            row["mode"] = mode
        if row["mode"] != mode:
            note_trouble_nb(feed, np.int64(Trouble.MIXED), instrument)
            return
    if is_order:
        _take_order_nb(buf, words, base, feed, out)
    else:
        _take_level_nb(words, base, feed, out)


@kernel
def _take_other_nb(feed: Feed, out: Bytes) -> None:
    """A trade or a statistic, which changes no book. The trade of a snapshot is an old one."""
    entry = feed.entry
    kind = np.int64(Kind.STATISTIC)
    if entry[Word.INSTRUMENT] < 0:
        feed.counts[Trouble.NO_SYMBOL] += 1
        return
    if entry[Word.CODE] == _TRADE and not entry[Word.IS_SNAPSHOT]:
        if entry[Word.ACTION] == NEW:
            kind = np.int64(Kind.TRADE)
            if entry[Word.PRICE_E9] < 0 or entry[Word.QTY] < 0:
                feed.counts[Trouble.BAD_ENTRY] += 1
                return
        elif entry[Word.ACTION] == DELETE:
            kind = np.int64(Kind.BROKEN_TRADE)
    entry[Word.PRICE_E9] = max(entry[Word.PRICE_E9], np.int64(0))
    entry[Word.QTY] = max(entry[Word.QTY], np.int64(0))
    status = entry[Word.CODE] if kind == Kind.STATISTIC else np.int64(0)
    emit_nb(feed, kind, status, np.int64(0), np.int64(0), out)


@kernel
def _read_entry_nb(words: Int64s, base: int, feed: Feed) -> int:
    """Type, action, side, price and quantity of a row into `feed.entry`; -1, or the Trouble that
    keeps it from being used.
    """
    entry = feed.entry
    present = words[base + PRESENT]
    code = words[base + _TYPE_AT] & 0x7F
    needed = _TYPE_BIT | _PRICE_BIT | _QTY_BIT
    entry[Word.CODE] = code
    entry[Word.SIDE] = np.int64(code == _BID) - np.int64(code == _OFFER)
    entry[Word.ACTION] = NEW
    entry[Word.PRICE_E9] = entry[Word.QTY] = _NONE
    feed.types[code] += 1
    if not entry[Word.IS_SNAPSHOT]:
        needed |= _ACTION_BIT
        action = words[base + _ACTION_AT] - _ZERO
        if present & _ACTION_BIT == 0 or action < NEW or action > OVERLAY:
            return Trouble.BAD_ACTION
        entry[Word.ACTION] = action
    if words[base + STATUS] != _OK and present & needed != needed:
        return Trouble.BAD_ENTRY
    if present & _PRICE_BIT:
        entry[Word.PRICE_E9] = words[base + _PRICE_AT]
        if entry[Word.PRICE_E9] < 0:
            return Trouble.BAD_PRICE
    # A delete may say how much is gone, which nobody needs to know.
    if present & _QTY_BIT and not DELETE <= entry[Word.ACTION] <= DELETE_FROM:
        qty_e8 = words[base + _QTY_AT]
        if qty_e8 < 0 or qty_e8 % _QTY_UNIT != 0 or qty_e8 // _QTY_UNIT > _QTY_MAX:
            return Trouble.BAD_QUANTITY
        entry[Word.QTY] = qty_e8 // _QTY_UNIT
    return _NONE


@kernel
def take_entry_nb(buf: Bytes, words: Int64s, base: int, feed: Feed, out: Bytes) -> None:
    """One row of W or X; of W with the instrument in `feed.entry`."""
    entry = feed.entry
    if not entry[Word.IS_SNAPSHOT]:
        at, end = words[base + _SYMBOL_AT], words[base + _SYMBOL_AT + 1]
        number = np.int64(NOT_FOUND)
        if end > at:
            number = np.int64(symbol_number_nb(buf, at, end, feed, out))
            if number == NOT_FOUND:
                feed.types[words[base + _TYPE_AT] & 0x7F] += 1
                return
        entry[Word.INSTRUMENT] = number
    instrument = entry[Word.INSTRUMENT]
    trouble = np.int64(_read_entry_nb(words, base, feed))
    code = entry[Word.CODE]
    is_quote = code in (_BID, _OFFER, 0)
    if trouble != _NONE:
        if is_quote or trouble == Trouble.BAD_ACTION:
            note_trouble_nb(feed, trouble, instrument)
        else:
            feed.counts[trouble] += 1
    elif is_quote:
        _take_quote_nb(buf, words, base, feed, out)
    elif code == _EMPTY_BOOK and instrument >= 0:
        empty_book_nb(feed, instrument, out)
    else:
        _take_other_nb(feed, out)
    entry[Word.INSTRUMENT] = instrument
