"""The matching engine's books: price-time priority, orders in queues by price, the best price of
each side always known.

Source of the rules: an order has priority by price, then by time of arrival; what takes shares from
an order leaves its place alone, and a replaced order goes to the back. Every operation but the
search for the next best level is a few stores.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from tools.exchange.layout import (
    ATTRIBUTION,
    BEST,
    BUY,
    CHANGED_ROW_SHIFT,
    CHANGED_SIDE_SHIFT,
    ENTERED_LEVEL,
    FIRST,
    FIRST_ROW,
    LAST,
    LEFT_LEVEL,
    LEVEL,
    LEVEL_ORDERS,
    LEVEL_QUANTITY,
    LIVE,
    MEMBER,
    NEXT,
    NEXT_REFERENCE,
    NO_ASK,
    NO_BID,
    ORDERS,
    PREVIOUS,
    QUANTITY,
    REFERENCE,
    SELL,
    SIDE,
    SLOT_MASK,
    Engine,
)


@kernel
def best_level_nb(engine: Engine, symbol: int, side: int) -> int:
    """Level of the best order of `side`; NO_BID or NO_ASK when that side is empty."""
    return engine.symbols[symbol, BEST + side]


@kernel
def first_order_nb(engine: Engine, symbol: int, level: int) -> int:
    """Slot of the oldest order at `level`, 0 when there is none."""
    return np.int64(engine.levels[engine.symbols[symbol, FIRST_ROW] + level, FIRST])


@kernel
def has_free_slot_nb(engine: Engine, symbol: int) -> int:
    """1 when one more order of `symbol` fits, else 0."""
    return 1 if engine.symbols[symbol, LIVE] < engine.members.shape[1] else 0


@kernel
def first_own_slot_nb(engine: Engine) -> int:
    """The first of the slots that are for orders of clients, and behind them for icebergs of a
    scenario, which no flow touches.
    """
    return 1 + engine.members.shape[0] * engine.members.shape[1]


@kernel
def is_own_nb(engine: Engine, slot: int) -> bool:
    """Whether an order is a client's, or an iceberg: it has no place among the members."""
    return engine.orders[slot, MEMBER] < 0


@kernel
def own_symbol_nb(engine: Engine, slot: int) -> int:
    """The symbol of a client's order."""
    return -1 - engine.orders[slot, MEMBER]


@outline_kernel
def enter_own_order_nb(engine: Engine, symbol: int, slot: int, terms: tuple[int, int, int]) -> None:
    """Put a client's order, (side, level, quantity), into its slot and at the back of its queue."""
    side, level, quantity = terms
    order = engine.orders[slot]
    order[SIDE] = side
    order[QUANTITY] = quantity
    order[ATTRIBUTION] = 0
    order[MEMBER] = -1 - symbol
    _link_nb(engine, symbol, slot, level)


@outline_kernel
def enter_order_nb(
    engine: Engine, symbol: int, side: int, level: int, quantity: int, attribution: int
) -> int:
    """Put a new order at the back of the queue at `level` and give it the next reference; its slot.

    The caller has seen to it that a slot is free and that the order crosses nothing.
    """
    live = engine.symbols[symbol, LIVE]
    slot = np.int64(engine.members[symbol, live])
    engine.symbols[symbol, LIVE] = live + 1
    order = engine.orders[slot]
    order[MEMBER] = live
    order[SIDE] = side
    order[QUANTITY] = quantity
    order[ATTRIBUTION] = attribution
    _link_nb(engine, symbol, slot, level)
    return slot


@outline_kernel
def remove_order_nb(engine: Engine, symbol: int, slot: int) -> None:
    """Take the order out of its queue and free its slot, which has no shares then."""
    _unlink_nb(engine, symbol, slot)
    engine.orders[slot, QUANTITY] = 0
    place = engine.orders[slot, MEMBER]
    if place < 0:
        return
    live = engine.symbols[symbol, LIVE] - 1
    engine.symbols[symbol, LIVE] = live
    # The last live member takes its place, so the live ones stay in front.
    moved = engine.members[symbol, live]
    engine.members[symbol, place] = moved
    engine.orders[moved, MEMBER] = place
    engine.members[symbol, live] = slot


@outline_kernel
def replace_order_nb(engine: Engine, symbol: int, slot: int, level: int, quantity: int) -> None:
    """Move the order to the back of the queue at `level` with a new quantity and the next
    reference.
    """
    _unlink_nb(engine, symbol, slot)
    engine.orders[slot, QUANTITY] = quantity
    _link_nb(engine, symbol, slot, level)


@outline_kernel
def reduce_order_nb(engine: Engine, symbol: int, slot: int, quantity: int) -> None:
    """Take `quantity` shares, at most all, from the order; without shares it leaves the book."""
    order = engine.orders[slot]
    left = order[QUANTITY] - quantity
    order[QUANTITY] = left
    row = engine.symbols[symbol, FIRST_ROW] + order[LEVEL]
    engine.levels[row, LEVEL_QUANTITY] -= quantity
    if left == 0:
        remove_order_nb(engine, symbol, slot)
    else:
        engine.state[LEFT_LEVEL] = _changed_nb(row, order[SIDE])


@kernel
def _changed_nb(row: int, side: int) -> int:
    """The word that says which level was changed."""
    return ((row + 1) << CHANGED_ROW_SHIFT) | (side << CHANGED_SIDE_SHIFT)


@kernel
def _link_nb(engine: Engine, symbol: int, slot: int, level: int) -> None:
    """Queue the order at the back of `level` under the next reference."""
    order = engine.orders[slot]
    mask = engine.state[SLOT_MASK]
    order[REFERENCE] = engine.state[NEXT_REFERENCE] | (slot & mask)
    engine.state[NEXT_REFERENCE] += mask + 1
    order[LEVEL] = level
    order[NEXT] = 0
    row = engine.symbols[symbol, FIRST_ROW] + level
    last = np.int64(engine.levels[row, LAST])
    order[PREVIOUS] = last
    if last == 0:
        engine.levels[row, FIRST] = slot
    else:
        engine.orders[last, NEXT] = slot
    engine.levels[row, LAST] = slot
    engine.levels[row, LEVEL_QUANTITY] += order[QUANTITY]
    engine.levels[row, LEVEL_ORDERS] += 1
    side = order[SIDE]
    engine.state[ENTERED_LEVEL] = _changed_nb(row, side) | np.int64(last == 0)
    engine.symbols[symbol, ORDERS + side] += 1
    best = engine.symbols[symbol, BEST + side]
    if (side == BUY and level > best) or (side == SELL and level < best):
        engine.symbols[symbol, BEST + side] = level


@kernel
def _unlink_nb(engine: Engine, symbol: int, slot: int) -> None:
    """Take the order out of its queue; find the next best level when that emptied the best one."""
    order = engine.orders[slot]
    row = engine.symbols[symbol, FIRST_ROW] + order[LEVEL]
    if order[PREVIOUS] == 0:
        engine.levels[row, FIRST] = order[NEXT]
    else:
        engine.orders[order[PREVIOUS], NEXT] = order[NEXT]
    if order[NEXT] == 0:
        engine.levels[row, LAST] = order[PREVIOUS]
    else:
        engine.orders[order[NEXT], PREVIOUS] = order[PREVIOUS]
    engine.levels[row, LEVEL_QUANTITY] -= order[QUANTITY]
    engine.levels[row, LEVEL_ORDERS] -= 1
    side = order[SIDE]
    engine.state[LEFT_LEVEL] = _changed_nb(row, side)
    engine.symbols[symbol, ORDERS + side] -= 1
    if engine.levels[row, FIRST] == 0 and engine.symbols[symbol, BEST + side] == order[LEVEL]:
        engine.symbols[symbol, BEST + side] = _next_best_nb(engine, symbol, side)


@kernel
def _next_best_nb(engine: Engine, symbol: int, side: int) -> int:
    """Best level of `side` beyond the one that is recorded and has become empty."""
    if engine.symbols[symbol, ORDERS + side] == 0:
        return NO_BID if side == BUY else NO_ASK
    first_row = engine.symbols[symbol, FIRST_ROW]
    step = -1 if side == BUY else 1
    level = engine.symbols[symbol, BEST + side] + step
    # Orders are left on this side, so the walk ends inside the window.
    while engine.levels[first_row + level, FIRST] == 0:
        level += step
    return level
