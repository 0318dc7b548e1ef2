"""Symbols and MDEntryIDs of a feed: found and entered by their text."""

import numpy as np

from adapters.fix_md.layout import ID_BYTES, NAME_BYTES, Feed, Meta, Trouble
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

NOT_FOUND = -1
_HASH_PRIME = 0x01000193
_HASH_MASK = 0xFFFFFFFF
_HASH_START = 0x811C9DC5
_NO_SYMBOL, _LONG_SYMBOL = int(Trouble.NO_SYMBOL), int(Trouble.LONG_SYMBOL)
_SYMBOLS_FULL = int(Trouble.SYMBOLS_FULL)
_LONG_ID, _IDS_FULL = int(Trouble.LONG_ID), int(Trouble.IDS_FULL)
_NOT_AVAILABLE = np.frombuffer(b"[N/A]", np.uint8).copy()


@kernel
def hash_text_nb(buf: Bytes, at: int, end: int) -> int:
    """FNV-1a of buf[at:end], 32 bits."""
    result = np.int64(_HASH_START)
    for i in range(at, end):
        result = ((result ^ np.int64(buf[i])) * _HASH_PRIME) & _HASH_MASK
    return result


@kernel
def _same_text_nb(buf: Bytes, at: int, end: int, text: Bytes, size: int) -> bool:
    """Whether buf[at:end] is text[:size]."""
    if end - at != size:
        return False
    same = np.int64(0)
    for i in range(size):
        same += np.int64(buf[at + i] == text[i])
    return same == size


@kernel
def note_trouble_nb(feed: Feed, trouble: int, instrument: int) -> None:
    """Count a trouble, which leaves the book of an instrument in doubt, or with -1 all books."""
    feed.counts[trouble] += 1
    if instrument >= 0:
        feed.instruments[instrument]["sound_in"] = -1
    else:
        feed.meta[Meta.EPOCH] += 1


@kernel
def find_symbol_nb(buf: Bytes, at: int, end: int, feed: Feed) -> tuple[int, int]:
    """(number, 0) of the symbol buf[at:end], (number, 1) of one that is entered only now, or
    (NOT_FOUND, its Trouble), which is not counted here.
    """
    if end <= at or _same_text_nb(buf, at, end, _NOT_AVAILABLE, len(_NOT_AVAILABLE)):
        return NOT_FOUND, _NO_SYMBOL
    if end - at > NAME_BYTES:
        return NOT_FOUND, _LONG_SYMBOL
    mask = feed.name_slots.shape[0] - 1
    slot = hash_text_nb(buf, at, end) & mask
    # At most half of the slots are ever used.
    while feed.name_slots[slot] > 0:
        number = np.int64(feed.name_slots[slot]) - 1
        size = np.int64(feed.instruments[number]["name_bytes"])
        if _same_text_nb(buf, at, end, feed.names[number], size):
            return number, 0
        slot = (slot + 1) & mask
    number = feed.meta[Meta.INSTRUMENTS]
    if number == feed.instruments.shape[0]:
        return NOT_FOUND, _SYMBOLS_FULL
    feed.meta[Meta.INSTRUMENTS] = number + 1
    feed.name_slots[slot] = number + 1
    for i in range(end - at):
        feed.names[number, i] = buf[at + i]
    feed.instruments[number]["name_bytes"] = end - at
    return number, 1


@outline_kernel
def find_id_nb(buf: Bytes, at: int, end: int, instrument: int, feed: Feed) -> int:
    """Reference of the live order of an instrument whose MDEntryID is buf[at:end], or NOT_FOUND;
    with instrument -1 of the only one of all instruments that has it.
    """
    if end <= at:
        return NOT_FOUND
    value = hash_text_nb(buf, at, end)
    reference = np.int64(feed.order_heads[value & (feed.order_heads.shape[0] - 1)])
    found = np.int64(NOT_FOUND)
    while reference >= 0:
        order = feed.orders[reference]
        if (
            order["hash"] == value
            and instrument in (NOT_FOUND, np.int64(order["instrument"]))
            and _same_text_nb(buf, at, end, feed.ids[reference], np.int64(order["id_bytes"]))
        ):
            if instrument >= 0:
                return reference
            if found >= 0:
                return NOT_FOUND
            found = reference
        reference = np.int64(order["chain"])
    return found


@kernel
def write_id_nb(buf: Bytes, at: int, end: int, reference: int, feed: Feed) -> None:
    """Make an order, which has no name, known as buf[at:end], ID_BYTES at most."""
    order = feed.orders[reference]
    value = hash_text_nb(buf, at, end)
    home = value & (feed.order_heads.shape[0] - 1)
    for i in range(end - at):
        feed.ids[reference, i] = buf[at + i]
    order["id_bytes"] = end - at
    order["hash"] = value
    order["chain"] = feed.order_heads[home]
    feed.order_heads[home] = reference


@kernel
def forget_id_nb(reference: int, feed: Feed) -> None:
    """Take an order's name away."""
    home = feed.orders[reference]["hash"] & (feed.order_heads.shape[0] - 1)
    after = np.int64(feed.orders[reference]["chain"])
    at = np.int64(feed.order_heads[home])
    if at == reference:
        feed.order_heads[home] = after
        return
    while feed.orders[at]["chain"] != reference:
        at = np.int64(feed.orders[at]["chain"])
    feed.orders[at]["chain"] = after


@kernel
def enter_order_nb(buf: Bytes, at: int, end: int, instrument: int, feed: Feed) -> tuple[int, int]:
    """(reference, 0) of a new order with the MDEntryID buf[at:end], or (NOT_FOUND, its Trouble)."""
    if end - at > ID_BYTES:
        return NOT_FOUND, _LONG_ID
    if feed.meta[Meta.ORDERS_FREE] == 0:
        return NOT_FOUND, _IDS_FULL
    feed.meta[Meta.ORDERS_FREE] -= 1
    feed.meta[Meta.ORDERS_LIVE] += 1
    reference = np.int64(feed.free_orders[feed.meta[Meta.ORDERS_FREE]])
    write_id_nb(buf, at, end, reference, feed)
    row = feed.instruments[instrument]
    order = feed.orders[reference]
    order["instrument"] = instrument
    order["previous"] = NOT_FOUND
    order["next"] = row["first_order"]
    if row["first_order"] >= 0:
        feed.orders[row["first_order"]]["previous"] = reference
    row["first_order"] = reference
    row["orders"] += 1
    return reference, 0


@kernel
def leave_order_nb(reference: int, feed: Feed) -> None:
    """Forget an order; its reference may be used again."""
    forget_id_nb(reference, feed)
    order = feed.orders[reference]
    row = feed.instruments[order["instrument"]]
    if order["previous"] >= 0:
        feed.orders[order["previous"]]["next"] = order["next"]
    else:
        row["first_order"] = order["next"]
    if order["next"] >= 0:
        feed.orders[order["next"]]["previous"] = order["previous"]
    row["orders"] -= 1
    feed.free_orders[feed.meta[Meta.ORDERS_FREE]] = reference
    feed.meta[Meta.ORDERS_FREE] += 1
    feed.meta[Meta.ORDERS_LIVE] -= 1
