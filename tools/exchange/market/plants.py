"""What a scenario plants for patterns to find: partings from a relation, followers of a leader,
sweeps, icebergs and bursts of momentum. Each leaves a row in `planted`, and some a row a part.

They act on the book as others do: orders that take, an order that stands, and fair values that
move, which quotes follow at once. What can't begin, as its symbol is halted or its book too thin,
waits a second, for up to ten minutes; after those it is left out, and of the rows as well.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange.day import NS_PER_MS, NS_PER_S
from tools.exchange.flow import delete_order_nb, price4_nb, write_order_nb
from tools.exchange.layout import (
    ATTRIBUTION,
    BASE_TICK,
    BUY,
    CLOCK_NS,
    EMITTED,
    FIRST_REFERENCE_SHIFT,
    FIRST_ROW,
    HALTED,
    LEVEL_ORDERS,
    LEVEL_QUANTITY,
    NEXT,
    NO_ASK,
    NO_BID,
    ORDERS,
    QUANTITY,
    RANDOM,
    REFERENCE,
    SELL,
)
from tools.exchange.market.heap import PLANT, REACTION, REQUOTE, push_nb, word_nb
from tools.exchange.market.layout import (
    FIRST_PLANT,
    HALF_SPREAD,
    ICEBERG_SLOT,
    KINDS,
    LOG_LOST,
    NEVER,
    PART_OF_IT,
    PLANTED_BEGIN_NS,
    PLANTED_END_NS,
    PLANTED_LAST4,
    PLANTED_LAST_SEQ,
    PLANTED_MOVE,
    PLANTED_PART,
    PLANTED_PRICE4,
    PLANTED_REFERENCE,
    PLANTED_SEQ,
    PLANTED_SHARES,
    PLANTED_SHOCK,
    PLANTED_SIZE,
    PLANTED_TRADES,
    REGULAR,
    SHOCK_COUNT,
    SHOCK_DISPLAY,
    SHOCK_EVERY_NS,
    SHOCK_FOLLOWER,
    SHOCK_KIND,
    SHOCK_LAG_NS,
    SHOCK_LEFT,
    SHOCK_LEVEL,
    SHOCK_NEXT_NS,
    SHOCK_NS,
    SHOCK_ROW,
    SHOCK_SCOPE,
    SHOCK_SIDE,
    SHOCK_SIZE,
    SHOCK_UNTIL_NS,
    STEP_NS,
    WHOLE,
    Market,
)
from tools.exchange.market.orders import REFILL, react_nb, take_nb
from tools.exchange.market.prices import fair_level_nb, fair_value_nb, shock_nb
from tools.exchange.market.tables import LOG_BITS
from tools.exchange.matching import best_level_nb, enter_own_order_nb, first_order_nb
from tools.exchange.rng import random_nb

_ARBITRAGE, _LEAD_LAG, _SWEEP, _ICEBERG, _MOMENTUM = range(FIRST_PLANT, len(KINDS))
_NOTHING = np.int64(0)

# What comes of one, in the third part of its word.
_BEGIN = np.int64(0)
# REFILL is 1.
_WATCH = np.int64(2)
_STEP = np.int64(3)
_END = np.int64(4)
_FOLLOW = np.int64(8)
"""And the row of the move above that."""

_AGAIN_NS = np.int64(NS_PER_S)
_PATIENCE_NS = 600 * NS_PER_S
_SETTLING_NS = np.int64(10 * NS_PER_MS)
_REACH = 50
"""A sweep goes no further than this part of the price: beyond it the book is too thin."""
_LATE = 4
"""An iceberg that is not done after so many times its time is withdrawn."""
_NEW_QUOTES = 6
"""Orders that come with a move that was planted, or for a sweep to take."""


@outline_kernel
def plant_nb(market: Market, out: Bytes, at: int, index: int, what: int) -> int:
    """Begin what a shock of the scenario plants, or go on with it: a message, or 0."""
    shock = market.shocks[index]
    kind = shock[SHOCK_KIND]
    if what == _BEGIN:
        if _can_begin_nb(market, index) == 0:
            return _wait_nb(market, index)
        shock[SHOCK_UNTIL_NS] += market.engine.state[CLOCK_NS] - shock[SHOCK_NS]
    if kind == _SWEEP:
        return _sweep_nb(market, out, at, index)
    if kind == _ICEBERG:
        return _iceberg_nb(market, out, at, index, what)
    if kind == _MOMENTUM:
        return _momentum_nb(market, out, at, index, what)
    if kind == _LEAD_LAG:
        _lead_nb(market, index, what)
    else:
        _part_nb(market, index, what)
    return _NOTHING


@kernel
def _symbol_nb(market: Market, index: int) -> int:
    return -1 - market.shocks[index, SHOCK_SCOPE]


@outline_kernel
def _trades_nb(market: Market, symbol: int) -> int:
    """1 in market hours while the symbol trades and has both best prices."""
    engine = market.engine
    if market.words[REGULAR] == 0 or engine.symbols[symbol, HALTED]:
        return np.int64(0)
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    return np.int64(bid != NO_BID and ask != NO_ASK)


@kernel
def _can_begin_nb(market: Market, index: int) -> int:
    shock = market.shocks[index]
    symbol = _symbol_nb(market, index)
    if shock[SHOCK_KIND] == _LEAD_LAG and _trades_nb(market, shock[SHOCK_FOLLOWER]) == 0:
        return np.int64(0)
    if shock[SHOCK_KIND] == _SWEEP:
        _, shares, _ = _standing_nb(market, symbol, 1 - shock[SHOCK_SIDE], shock[SHOCK_COUNT])
        return np.int64(shares > 0) * _trades_nb(market, symbol)
    return _trades_nb(market, symbol)


@outline_kernel
def _wait_nb(market: Market, index: int) -> int:
    """Try again, while there is patience, in a book that has a few orders more; no message."""
    now_ns = market.engine.state[CLOCK_NS]
    if now_ns < market.shocks[index, SHOCK_NS] + _PATIENCE_NS:
        _later_nb(market, _AGAIN_NS, index, _BEGIN)
        _thicken_nb(market, _symbol_nb(market, index))
        if market.shocks[index, SHOCK_KIND] == _LEAD_LAG:
            _thicken_nb(market, market.shocks[index, SHOCK_FOLLOWER])
    return _NOTHING


@kernel
def _thicken_nb(market: Market, symbol: int) -> None:
    """A few orders more in a symbol that trades, as soon as its quotes are right."""
    if market.engine.symbols[symbol, HALTED] == 0:
        for _ in range(_NEW_QUOTES):
            react_nb(market, symbol, REACTION)


@kernel
def _later_nb(market: Market, wait_ns: int, index: int, what: int) -> None:
    word = word_nb(PLANT, np.int64(index), what)
    push_nb(market, market.engine.state[CLOCK_NS] + wait_ns, word)


@outline_kernel
def _note_nb(market: Market, index: int, part: int) -> int:
    """A row of `planted` that begins now; its number. The last one is for those that are lost."""
    row = market.words[PLANTED_SIZE]
    if row + 1 == market.planted.shape[0]:
        market.words[LOG_LOST] += 1
    else:
        market.words[PLANTED_SIZE] = row + 1
    entry = market.planted[row]
    entry[PLANTED_SHOCK] = index
    entry[PLANTED_PART] = part
    entry[PLANTED_BEGIN_NS] = market.engine.state[CLOCK_NS]
    if part == WHOLE:
        market.shocks[index, SHOCK_ROW] = row
    return row


@kernel
def _end_nb(market: Market, index: int) -> None:
    """The whole of it is over."""
    row = market.shocks[index, SHOCK_ROW]
    market.planted[row, PLANTED_END_NS] = market.engine.state[CLOCK_NS]


@outline_kernel
def _move_nb(market: Market, symbol: int, size: int) -> None:
    """Move a fair value by a logarithm, and let quotes follow; some come instead of those that are
    withdrawn, or a thin book would have none left after a few moves.
    """
    shock_nb(market, -1 - symbol, size)
    react_nb(market, symbol, REQUOTE)
    _thicken_nb(market, symbol)


@outline_kernel
def _part_nb(market: Market, index: int, what: int) -> None:
    """A symbol parts from its relation, or comes back."""
    shock = market.shocks[index]
    size = shock[SHOCK_SIZE]
    if what == _BEGIN:
        _note_nb(market, index, WHOLE)
        _later_nb(market, shock[SHOCK_UNTIL_NS] - market.engine.state[CLOCK_NS], index, _END)
    else:
        size = -size
        _end_nb(market, index)
    _move_nb(market, _symbol_nb(market, index), size)


@outline_kernel
def _lead_nb(market: Market, index: int, what: int) -> None:
    """A leader moves, or who follows it does."""
    shock = market.shocks[index]
    now_ns = market.engine.state[CLOCK_NS]
    if what >= _FOLLOW:
        move = market.planted[what - _FOLLOW]
        move[PLANTED_END_NS] = now_ns
        _move_nb(market, shock[SHOCK_FOLLOWER], move[PLANTED_MOVE])
        return
    every_ns, draw = shock[SHOCK_EVERY_NS], random_nb(market.engine.state, RANDOM)
    if what == _BEGIN:
        row = _note_nb(market, index, WHOLE)
        market.planted[row, PLANTED_END_NS] = shock[SHOCK_UNTIL_NS]
    else:
        _lead_on_nb(market, index, draw >> 16)
    wait_ns = every_ns // 2 + every_ns * (draw & 0xFFFF) // 0x10000
    if now_ns + wait_ns + shock[SHOCK_LAG_NS] < shock[SHOCK_UNTIL_NS]:
        _later_nb(market, wait_ns, index, _STEP)


@kernel
def _lead_on_nb(market: Market, index: int, draw: int) -> None:
    """One move of a leader, back once it has come further than one; none while one of the two
    does not trade. `draw` has 16 random bits.
    """
    shock = market.shocks[index]
    symbol = _symbol_nb(market, index)
    if _trades_nb(market, symbol) == 0 or _trades_nb(market, shock[SHOCK_FOLLOWER]) == 0:
        _thicken_nb(market, symbol)
        _thicken_nb(market, shock[SHOCK_FOLLOWER])
        return
    size = shock[SHOCK_SIZE] + shock[SHOCK_SIZE] * (draw >> 1) // 0x8000
    is_down = draw & 1
    if abs(shock[SHOCK_LEFT]) > shock[SHOCK_SIZE]:
        is_down = np.int64(shock[SHOCK_LEFT] > 0)
    size = -size if is_down else size
    shock[SHOCK_LEFT] += size
    row = _note_nb(market, index, PART_OF_IT)
    market.planted[row, PLANTED_MOVE] = size
    _later_nb(market, shock[SHOCK_LAG_NS], index, _FOLLOW + row)
    _move_nb(market, symbol, size)


@outline_kernel
def _standing_nb(market: Market, symbol: int, side: int, levels: int) -> tuple[int, int, int]:
    """(the last of the best `levels` prices of a side that are in use, shares and orders there); no
    shares where there are not as many near the best one, or nothing would be left behind them.
    """
    engine = market.engine
    symbols = engine.symbols[symbol]
    best = best_level_nb(engine, symbol, side)
    left = symbols[ORDERS + side]
    step = np.int64(1 if side == SELL else -1)
    level, last = best, best
    shares, orders = np.int64(0), np.int64(0)
    while levels > 0 and left > 0 and abs(level - best) <= (symbols[BASE_TICK] + best) // _REACH:
        row = symbols[FIRST_ROW] + level
        here = np.int64(engine.levels[row, LEVEL_ORDERS])
        if here > 0:
            last = level
            levels -= 1
            left -= here
            orders += here
            shares += np.int64(engine.levels[row, LEVEL_QUANTITY])
        level += step
    if levels > 0 or left == 0:
        shares = np.int64(0)
    return last, shares, orders


@outline_kernel
def _sweep_nb(market: Market, out: Bytes, at: int, index: int) -> int:
    """The first message of an order that takes several levels; the others follow at once."""
    engine, shock = market.engine, market.shocks[index]
    symbol, side = _symbol_nb(market, index), shock[SHOCK_SIDE]
    best = best_level_nb(engine, symbol, 1 - side)
    last, shares, orders = _standing_nb(market, symbol, 1 - side, shock[SHOCK_COUNT])
    entry = market.planted[_note_nb(market, index, WHOLE)]
    entry[PLANTED_END_NS] = entry[PLANTED_BEGIN_NS]
    entry[PLANTED_SHARES] = shares
    entry[PLANTED_TRADES] = orders
    entry[PLANTED_PRICE4] = price4_nb(engine, symbol, best)
    entry[PLANTED_LAST4] = price4_nb(engine, symbol, last)
    entry[PLANTED_SEQ] = engine.state[EMITTED] + 1
    entry[PLANTED_LAST_SEQ] = engine.state[EMITTED] + orders
    return take_nb(market, out, at, symbol, (side, last, shares))


@outline_kernel
def _iceberg_nb(market: Market, out: Bytes, at: int, index: int, what: int) -> int:
    """An order that shows a part of itself: it comes, it is refilled, or it is watched."""
    shock = market.shocks[index]
    slot = market.words[ICEBERG_SLOT] + index
    if what == _BEGIN:
        return _surface_nb(market, out, at, index)
    if shock[SHOCK_NEXT_NS] == NEVER:
        return _NOTHING
    if what == REFILL:
        if market.engine.orders[slot, QUANTITY] > 0:
            return _NOTHING
        return _show_nb(market, out, at, index)
    return _watch_nb(market, out, at, index, slot)


@kernel
def _surface_nb(market: Market, out: Bytes, at: int, index: int) -> int:
    """Its first part, at the best price of its side, or a tick before where there is room."""
    engine, shock = market.engine, market.shocks[index]
    symbol, side = _symbol_nb(market, index), shock[SHOCK_SIDE]
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    has_room = np.int64(ask - bid > 1)
    shock[SHOCK_LEVEL] = bid + has_room if side == BUY else ask - has_room
    shock[SHOCK_LEFT] = shock[SHOCK_COUNT]
    shock[SHOCK_NEXT_NS] = engine.state[CLOCK_NS] + shock[SHOCK_EVERY_NS]
    row = _note_nb(market, index, WHOLE)
    market.planted[row, PLANTED_PRICE4] = price4_nb(engine, symbol, shock[SHOCK_LEVEL])
    _later_nb(market, np.int64(STEP_NS), index, _WATCH)
    return _show_nb(market, out, at, index)


@outline_kernel
def _show_nb(market: Market, out: Bytes, at: int, index: int) -> int:
    """Its next part; when there is none, or the other side has come to its price, it is over."""
    engine, shock = market.engine, market.shocks[index]
    symbol, side, level = _symbol_nb(market, index), shock[SHOCK_SIDE], shock[SHOCK_LEVEL]
    best = best_level_nb(engine, symbol, 1 - side)
    is_met = best <= level if side == BUY else best >= level
    if shock[SHOCK_LEFT] == 0 or is_met:
        return _sink_nb(market, out, at, index)
    slot = market.words[ICEBERG_SLOT] + index
    shares = min(shock[SHOCK_LEFT], shock[SHOCK_DISPLAY])
    shock[SHOCK_LEFT] -= shares
    enter_own_order_nb(engine, symbol, slot, (side, level, shares))
    order = engine.orders[slot]
    # So that nobody takes it for a client's.
    order[ATTRIBUTION] = (index + 1) << FIRST_REFERENCE_SHIFT
    entry = market.planted[_note_nb(market, index, PART_OF_IT)]
    entry[PLANTED_REFERENCE] = order[REFERENCE]
    entry[PLANTED_SHARES] = shares
    return write_order_nb(engine, out, at, symbol, slot)


@kernel
def _sink_nb(market: Market, out: Bytes, at: int, index: int) -> int:
    """The end of it; what it shows is deleted."""
    engine, shock = market.engine, market.shocks[index]
    slot = market.words[ICEBERG_SLOT] + index
    shock[SHOCK_NEXT_NS] = NEVER
    _end_nb(market, index)
    shares = engine.orders[slot, QUANTITY]
    if shares == 0:
        return _NOTHING
    shock[SHOCK_LEFT] += shares
    return delete_order_nb(engine, out, at, _symbol_nb(market, index), slot)


@kernel
def _watch_nb(market: Market, out: Bytes, at: int, index: int, slot: int) -> int:
    """Ten times a second: hold the fair value where the iceberg's price is a best one, and let
    somebody take from it when the time has come.
    """
    engine, shock = market.engine, market.shocks[index]
    symbol, side, level = _symbol_nb(market, index), shock[SHOCK_SIDE], shock[SHOCK_LEVEL]
    now_ns = engine.state[CLOCK_NS]
    begun_ns = market.planted[shock[SHOCK_ROW], PLANTED_BEGIN_NS]
    is_late = now_ns - begun_ns > _LATE * (shock[SHOCK_UNTIL_NS] - begun_ns)
    if is_late or market.words[REGULAR] == 0:
        return _sink_nb(market, out, at, index)
    _later_nb(market, np.int64(STEP_NS), index, _WATCH)
    away = market.own[symbol, HALF_SPREAD] - 1
    _hold_nb(market, symbol, level + away if side == BUY else level - 1 - away)
    shares = engine.orders[slot, QUANTITY]
    if shares == 0:
        # A client took the last of it, so that nobody has it refilled.
        return _show_nb(market, out, at, index)
    is_first = best_level_nb(engine, symbol, side) == level
    can_trade = engine.symbols[symbol, HALTED] == 0 and is_first
    if not can_trade or now_ns < shock[SHOCK_NEXT_NS]:
        return _NOTHING
    every_ns, draw = shock[SHOCK_EVERY_NS], random_nb(engine.state, RANDOM)
    shock[SHOCK_NEXT_NS] = now_ns + every_ns // 2 + every_ns * (draw & 0xFFFF) // 0x10000
    taken = min(shares, 1 + (2 * shares * (draw >> 16)) // 0x10000)
    before = first_order_nb(engine, symbol, level)
    while before != slot:
        taken += engine.orders[before, QUANTITY]
        before = engine.orders[before, NEXT]
    return take_nb(market, out, at, symbol, (1 - side, level, taken))


@kernel
def _hold_nb(market: Market, symbol: int, level: int) -> None:
    """Bring the fair value to the middle of a level if it is at another."""
    if fair_level_nb(market, symbol) == level:
        return
    value = fair_value_nb(market, symbol)
    away = ((market.engine.symbols[symbol, BASE_TICK] + level) << 8) + 128 - value
    _move_nb(market, symbol, (away << LOG_BITS) // value)


@outline_kernel
def _momentum_nb(market: Market, out: Bytes, at: int, index: int, what: int) -> int:
    """One order of a burst, with its part of the move; or the end of it."""
    engine, shock = market.engine, market.shocks[index]
    symbol, side = _symbol_nb(market, index), shock[SHOCK_SIDE]
    trades = _trades_nb(market, symbol)
    if what == _END:
        if trades or market.words[REGULAR] == 0:
            market.planted[shock[SHOCK_ROW], PLANTED_LAST4] = _middle_nb(market, symbol)
            _end_nb(market, index)
        else:
            _later_nb(market, _SETTLING_NS, index, _END)
        return _NOTHING
    if what == _BEGIN:
        row = _note_nb(market, index, WHOLE)
        market.planted[row, PLANTED_PRICE4] = _middle_nb(market, symbol)
        shock[SHOCK_LEFT] = shock[SHOCK_COUNT]
        lasts_ns = shock[SHOCK_UNTIL_NS] - engine.state[CLOCK_NS]
        _later_nb(market, lasts_ns, index, _END)
    shock[SHOCK_LEFT] -= 1
    if shock[SHOCK_LEFT] > 0:
        _later_nb(market, shock[SHOCK_EVERY_NS], index, _STEP)
    if trades == 0:
        _thicken_nb(market, symbol)
        return _NOTHING
    _move_nb(market, symbol, shock[SHOCK_SIZE] // shock[SHOCK_COUNT])
    best = best_level_nb(engine, symbol, 1 - side)
    shares = np.int64(engine.levels[engine.symbols[symbol, FIRST_ROW] + best, LEVEL_QUANTITY])
    entry = market.planted[shock[SHOCK_ROW]]
    entry[PLANTED_TRADES] += 1
    entry[PLANTED_SHARES] += shares
    return take_nb(market, out, at, symbol, (side, best, shares))


@kernel
def _middle_nb(market: Market, symbol: int) -> int:
    """Twice the middle price, in 1e-4; 0 without one."""
    engine = market.engine
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    if bid == NO_BID or ask == NO_ASK:
        return _NOTHING
    return price4_nb(engine, symbol, bid) + price4_nb(engine, symbol, ask)
