"""The sequencer of a session of several parts: it merges their messages by (clock, part), and gives
them what is of the whole session: locates, references and match numbers.

    blocks   u8[rows of bytes + 64]    blocks of messages, each of one part; a row is written by one
                                      producer, and then read here
    keys     i64[2 * leaves]          a tree of least keys: those of the parts are its leaves, each
                                      node has the lesser one of its two children, and node 1 the
                                      least of all. A key is the clock of the part's next message,
                                      and the part; without a clock when a block is wanted
    cursors  i64[parts, 8]            where each part's next message is, and what else is its own
    orders   i64[slots of all, 4]     every order by its part and slot; one that is live has shares
    state    i64[8]                   what the next message gets

A part's references say the slot of the order (`layout.SLOT_MASK`), so that one look-up finds the
session's reference for it, and memory grows with orders that live, not with messages. What stands
in `orders` when the last message was taken is the truth about the books: the parts' own engines
have gone on by then.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.itch50.spec import BY_TYPE
from protocols.jit import kernel, outline_kernel
from protocols.vectors import BLOCK, copy_block64, store_word_swapped
from protocols.wire import (
    Bytes,
    read_u16_nb,
    read_u32_nb,
    read_u64_nb,
    write_u16_nb,
)
from tools.exchange.itch_writer import (
    LENGTH_BYTES,
    TIMESTAMP,
    TYPE_ADD,
    TYPE_ADD_ATTRIBUTED,
    TYPE_BROKEN_TRADE,
    TYPE_CANCEL,
    TYPE_DELETE,
    TYPE_REPLACE,
    TYPE_TRADE,
    TYPE_TRADING_ACTION,
)
from tools.exchange.layout import UNLIMITED
from tools.exchange.truth import DIGEST_ROW

PART_BITS = 6
PARTS_MAX = 1 << PART_BITS
_PART_MASK = PARTS_MAX - 1
NO_PART = -1

# Columns of `cursors`.
AT = 0
"""Of the part's next message, in `blocks`."""
BEHIND_AT = 1
"""Of the message behind it, and its key: known before they are wanted, as one message can't be
chosen before the key that the one before it leaves is known.
"""
BEHIND_KEY = 2
END_AT = 3
LAST_MATCH = 4
"""The session's number of the part's latest match."""
FIRST_ORDER = 5
"""Row of `orders` of the part's slot 0."""
SLOT_MASK = 6
"""Bits of the part's references that say the slot."""

# Columns of `orders`.
ORDER_REFERENCE = 0
ORDER_SHARES = 1
ORDER_PRICE4 = 2
ORDER_PLACE = 3
"""Twice the locate, and the side."""


# Words of `state`.
NEXT_REFERENCE = 0
NEXT_MATCH = 1
LEFT = 2
"""Messages that are still to be taken."""
CLOCK_NS = 3
"""Of the message that was taken last."""
CLOSING_NS = 4
"""No message of this time or later is taken: the session closes."""

_LOCATE = BY_TYPE["A"].offset("stock_locate")
_REFERENCE = BY_TYPE["A"].offset("order_reference_number")
_A_SIDE = BY_TYPE["A"].offset("buy_sell_indicator")
_A_SHARES = BY_TYPE["A"].offset("shares")
_A_PRICE = BY_TYPE["A"].offset("price")
_TAKEN_SHARES = BY_TYPE["E"].offset("executed_shares")
"""Of E and C; those of X lie there as well."""
_E_MATCH = BY_TYPE["E"].offset("match_number")
_U_NEW = BY_TYPE["U"].offset("new_order_reference_number")
_U_SHARES = BY_TYPE["U"].offset("shares")
_U_PRICE = BY_TYPE["U"].offset("price")
_P_MATCH = BY_TYPE["P"].offset("match_number")
_B_MATCH = BY_TYPE["B"].offset("match_number")
_TIMESTAMP_MASK = (1 << 48) - 1
_SELLS = ord("S")


@by_reference
class Merge(NamedTuple):
    """All memory of the sequencer; see the top of this file."""

    blocks: Bytes
    keys: NDArray[np.int64]
    cursors: NDArray[np.int64]
    orders: NDArray[np.int64]
    state: NDArray[np.int64]
    type_counts: NDArray[np.int64]


def allocate_merge(
    blocks: Bytes, slots: Sequence[int], slot_masks: Sequence[int], messages: int
) -> Merge:
    """A sequencer of parts with so many slots each, that takes `messages` messages in all and wants
    a block of every part first.
    """
    parts = len(slots)
    leaves = 1 << (parts - 1).bit_length()
    keys = np.full(2 * leaves, UNLIMITED, np.int64)
    keys[leaves : leaves + parts] = range(parts)
    for node in reversed(range(1, leaves)):
        keys[node] = keys[2 * node : 2 * node + 2].min()
    cursors = np.zeros((parts, 8), np.int64)
    cursors[:, FIRST_ORDER] = np.cumsum(slots) - slots
    cursors[:, SLOT_MASK] = slot_masks
    state = np.zeros(8, np.int64)
    state[NEXT_REFERENCE] = state[NEXT_MATCH] = 1
    state[LEFT] = messages
    state[CLOSING_NS] = UNLIMITED
    orders = np.zeros((sum(slots), 4), np.int64)
    return Merge(blocks, keys, cursors, orders, state, np.zeros(256, np.int64))


@kernel
def _put_key_nb(merge: Merge, part: int, key: int) -> int:
    """Set the key of a part, and those of the nodes above it; the least of all."""
    keys = merge.keys
    node = (keys.shape[0] >> 1) + part
    keys[node] = key
    while node > 1:
        key = min(key, keys[node ^ 1])
        node >>= 1
        keys[node] = key
    return key


@kernel
def _key_nb(merge: Merge, part: int, at: int) -> int:
    """The key of the part's message at blocks[at], without a clock at the end of its block."""
    if at >= merge.cursors[part, END_AT]:
        return part
    # Two bytes more than the time: one load.
    ts_ns = read_u64_nb(merge.blocks, at + LENGTH_BYTES + TIMESTAMP - 2) & _TIMESTAMP_MASK
    return (ts_ns << PART_BITS) | part


@kernel
def _move_to_nb(merge: Merge, part: int, at: int) -> None:
    """The part's next message is the one at blocks[at], or none."""
    cursor = merge.cursors[part]
    cursor[AT] = at
    if at < cursor[END_AT]:
        behind = at + LENGTH_BYTES + read_u16_nb(merge.blocks, at)
        cursor[BEHIND_AT] = behind
        cursor[BEHIND_KEY] = _key_nb(merge, part, behind)


@outline_kernel
def begin_block_nb(merge: Merge, part: int, at: int, size: int) -> None:
    """The next messages of the part are `size` bytes at blocks[at], at least one message."""
    merge.cursors[part, END_AT] = at + size
    _move_to_nb(merge, part, at)
    _put_key_nb(merge, part, _key_nb(merge, part, at))


@outline_kernel
def merge_nb(merge: Merge, out: Bytes, at: int, limit: int) -> tuple[int, int, int]:
    """Write up to `limit` next messages to `out` from `at` on, while there is room.

    Returns: (messages, end of them in `out`, the part that wants a block, or NO_PART).
    """
    count = np.int64(0)
    state = merge.state
    limit = min(limit, state[LEFT])
    key = merge.keys[1]
    while count < limit and key > _PART_MASK and at + BLOCK <= out.shape[0]:
        if key >> PART_BITS >= state[CLOSING_NS]:
            # These were the last.
            limit = state[LEFT] = count
            break
        state[CLOCK_NS] = key >> PART_BITS
        part = key & _PART_MASK
        start, behind = merge.cursors[part, AT], merge.cursors[part, BEHIND_AT]
        key = _put_key_nb(merge, part, merge.cursors[part, BEHIND_KEY])
        _move_to_nb(merge, part, behind)
        _write_nb(merge, part, start, out, at)
        at += behind - start
        count += 1
    state[LEFT] -= count
    return count, at, key if count < limit and key <= _PART_MASK else np.int64(NO_PART)


@kernel
def _write_nb(merge: Merge, part: int, start: int, out: Bytes, at: int) -> None:
    """Write the part's message at blocks[start] to `out[at:]` as one of the session."""
    cursor = merge.cursors[part]
    blocks = merge.blocks
    copy_block64(blocks, start, out, at)
    body = start + LENGTH_BYTES
    kind = np.int64(blocks[body])
    merge.type_counts[kind] += 1
    message_at = at + LENGTH_BYTES
    # Symbol i of a part of n is symbol i * n + part of the session.
    locate = (read_u16_nb(blocks, body + _LOCATE) - 1) * merge.cursors.shape[0] + part + 1
    write_u16_nb(out, message_at + _LOCATE, locate)
    if kind == TYPE_TRADE:
        store_word_swapped(out, message_at + _P_MATCH, _next_match_nb(merge, part))
    elif kind == TYPE_BROKEN_TRADE:
        store_word_swapped(out, message_at + _B_MATCH, cursor[LAST_MATCH])
    elif kind != TYPE_TRADING_ACTION:
        reference = read_u64_nb(blocks, body + _REFERENCE)
        row = cursor[FIRST_ORDER] + (reference & cursor[SLOT_MASK])
        if kind in (TYPE_ADD, TYPE_ADD_ATTRIBUTED):
            _enter_nb(merge, body, row, locate)
            store_word_swapped(out, message_at + _REFERENCE, merge.orders[row, ORDER_REFERENCE])
        else:
            store_word_swapped(out, message_at + _REFERENCE, merge.orders[row, ORDER_REFERENCE])
            _change_nb(merge, part, row, body, out, message_at)


@kernel
def _enter_nb(merge: Merge, body: int, row: int, locate: int) -> None:
    """An order enters by the A or F message at blocks[body]."""
    order = merge.orders[row]
    order[ORDER_PLACE] = 2 * locate + np.int64(merge.blocks[body + _A_SIDE] == _SELLS)
    order[ORDER_SHARES] = read_u32_nb(merge.blocks, body + _A_SHARES)
    order[ORDER_PRICE4] = read_u32_nb(merge.blocks, body + _A_PRICE)
    order[ORDER_REFERENCE] = _next_reference_nb(merge)


@kernel
def _change_nb(merge: Merge, part: int, row: int, body: int, out: Bytes, message_at: int) -> None:
    """D, U, X, E or C of a live order: what it leaves of it, and the numbers that are new."""
    kind = np.int64(merge.blocks[body])
    order = merge.orders[row]
    if kind == TYPE_DELETE:
        order[ORDER_SHARES] = 0
    elif kind == TYPE_REPLACE:
        order[ORDER_SHARES] = read_u32_nb(merge.blocks, body + _U_SHARES)
        order[ORDER_PRICE4] = read_u32_nb(merge.blocks, body + _U_PRICE)
        order[ORDER_REFERENCE] = _next_reference_nb(merge)
        store_word_swapped(out, message_at + _U_NEW, order[ORDER_REFERENCE])
    else:
        order[ORDER_SHARES] -= read_u32_nb(merge.blocks, body + _TAKEN_SHARES)
        if kind != TYPE_CANCEL:
            store_word_swapped(out, message_at + _E_MATCH, _next_match_nb(merge, part))


@kernel
def _next_reference_nb(merge: Merge) -> int:
    """A number for a new order."""
    reference = merge.state[NEXT_REFERENCE]
    merge.state[NEXT_REFERENCE] = reference + 1
    return reference


@kernel
def _next_match_nb(merge: Merge, part: int) -> int:
    """A number for a new match, which a broken trade of the part may take back."""
    match = merge.state[NEXT_MATCH]
    merge.state[NEXT_MATCH] = match + 1
    merge.cursors[part, LAST_MATCH] = match
    return match


def live_orders(merge: Merge) -> NDArray[Any]:
    """Every live order as a DIGEST_ROW, in no order."""
    orders = merge.orders[merge.orders[:, ORDER_SHARES] > 0]
    rows = np.zeros(len(orders), DIGEST_ROW)
    rows["locate"] = orders[:, ORDER_PLACE] >> 1
    rows["side"] = np.where(orders[:, ORDER_PLACE] & 1, b"S", b"B")
    rows["price4"] = orders[:, ORDER_PRICE4]
    rows["reference"] = orders[:, ORDER_REFERENCE]
    rows["shares"] = orders[:, ORDER_SHARES]
    return rows
