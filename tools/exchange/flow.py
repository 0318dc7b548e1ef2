"""The order flow: every call of `emit_next_nb` makes exactly one message, and the book change
behind it.

A session is an opening script (system events, directory, states), then random flow, then the
closing events. One message a call means that a session can be cut anywhere: by a batch, by the
pace, by a snapshot; an aggressive order that executes against several others is carried on by the
next calls. The flow steers each symbol to its number of live orders and its prices to a fair value
that walks at random with a drift that lasts, so books lean before prices move, as a pattern that
looks for that needs.

Shares of the flow: 45 % adds, 40 % deletes, 6 % replaces, 3 % cancels, 4 % aggressive orders, 1 %
hidden trades; the middle of what the feeds of a large exchange show over a day.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange import itch_writer as itch
from tools.exchange.day import NS_PER_S
from tools.exchange.layout import (
    ATTRIBUTION,
    ATTRIBUTION_MASK,
    BASE_TICK,
    BEST,
    BUY,
    CLOCK_NS,
    CLOSING_COUNT,
    CLOSING_NS,
    EMITTED,
    FAIR,
    FAIR_SHIFT,
    FAIR_STEP,
    FILLED_SHARES,
    FILLED_SLOT,
    HALT_INTERVAL_NS,
    HALTED,
    IS_TAPE,
    LEVEL,
    LEVELS,
    LIVE,
    MATCH_SYMBOL,
    NEXT_BROKEN_NS,
    NEXT_HALT_NS,
    NEXT_MATCH,
    NO_ASK,
    NO_BID,
    NO_MATCH,
    QUANTITY,
    RANDOM,
    REFERENCE,
    RESUME_NS,
    SELL,
    SIDE,
    SWEEP_LEVEL,
    SWEEP_POSTS,
    SWEEP_QUANTITY,
    SWEEP_SIDE,
    SWEEP_SYMBOL,
    SYSTEM_EVENTS,
    TARGET_LIVE,
    TICK_PRICE4,
    TICKER,
    TOTAL,
    TREND,
    WINDOW_MARGIN,
    Engine,
)
from tools.exchange.matching import (
    best_level_nb,
    enter_order_nb,
    first_order_nb,
    has_free_slot_nb,
    is_own_nb,
    reduce_order_nb,
    remove_order_nb,
    replace_order_nb,
)
from tools.exchange.rng import random_nb

OPENING_EVENTS = tuple(b"OSQ")
CLOSING_EVENTS = tuple(b"MEC")
EVENT_CODES = OPENING_EVENTS + CLOSING_EVENTS
HALT_NS = NS_PER_S
"""Simulated time from a halt on; the symbol resumes with the first message for it after that."""

SHORT_SALE_EVERY = 8
"""Every eighth symbol has a short sale and a participant message in the opening."""
_TRADING = np.int64(ord("T"))
_STATE_HALTED = np.int64(ord("H"))
_REASON_NONE = np.int64(int.from_bytes(b"    ", "big"))
_REASON_NEWS = np.int64(int.from_bytes(b"T1  ", "big"))
_REG_SHO_NONE = np.int64(ord("0"))
_DECLINE_LEVELS = (4_000_00000000, 3_700_00000000, 3_400_00000000)
_LEVEL_1, _LEVEL_2, _LEVEL_3 = (np.int64(level) for level in _DECLINE_LEVELS)
ATTRIBUTIONS = tuple(
    int.from_bytes(name.encode(), "big")
    for name in ("ALFA", "BRVO", "CHRL", "DLTA", "ECHX", "FXTR", "GOLF", "HOTL")
)

_ALL = np.int64(1000)
# Out of 1,000: what the flow does. Adds and deletes share the rest and balance each other.
_REPLACES = 65
_CANCELS = 32
_SWEEPS = 38
_TRADES = 11
_TURNOVER = 1000 - _REPLACES - _CANCELS - _SWEEPS - _TRADES
_ADDS = 455
_ADDS_MIN = 200
_STEERING = 250
"""Adds that are more, or fewer, out of 1,000 when a book is empty, or has twice its orders."""
_DISPLACED_LEVELS = 2
_JUMP_STEPS = 40


@kernel
def below_nb(engine: Engine, limit: int) -> int:
    """A random number from 0 to `limit` - 1, for limits far below 2**31."""
    return (random_nb(engine.state, RANDOM) * limit) >> 32


@kernel
def opening_count_nb(engine: Engine) -> int:
    """Messages of the opening: O, R and H for all, Y and L for every eighth, V, S, Q."""
    count = engine.symbols.shape[0]
    return 4 + 2 * count + 2 * ((count + SHORT_SALE_EVERY - 1) // SHORT_SALE_EVERY)


@outline_kernel
def emit_next_nb(engine: Engine, out: Bytes, at: int) -> int:
    """Make the next message of the session and write it as a block to `out[at:]`.

    `out` has MAX_BLOCK_BYTES free at `at`. Returns the bytes written, 0 after the last message.
    A session whose clock comes near midnight closes by itself.
    """
    state = engine.state
    if state[CLOCK_NS] >= state[CLOSING_NS]:
        finish_early_nb(engine)
    emitted = state[EMITTED]
    if emitted >= state[TOTAL]:
        return 0
    draw = random_nb(state, RANDOM)
    state[CLOCK_NS] += engine.step_ns[draw & (engine.step_ns.shape[0] - 1)]
    if emitted >= state[TOTAL] - CLOSING_COUNT:
        closing = emitted - (state[TOTAL] - CLOSING_COUNT)
        size = system_event_nb(engine, out, at, len(OPENING_EVENTS) + closing)
    elif emitted < opening_count_nb(engine):
        size = _opening_nb(engine, out, at, emitted)
    elif state[SWEEP_QUANTITY] > 0:
        size = sweep_on_nb(engine, out, at)
    else:
        size = _flow_nb(engine, out, at)
    engine.type_counts[out[at + itch.LENGTH_BYTES]] += 1
    state[EMITTED] = emitted + 1
    return size


@kernel
def finish_early_nb(engine: Engine) -> None:
    """Let the closing events be the next messages; nothing changes when they are already. A tape,
    which has them at its end only, stops with its next message.
    """
    if engine.state[IS_TAPE] == 1:
        engine.state[TOTAL] = min(engine.state[TOTAL], engine.state[EMITTED] + 1)
        return
    engine.state[TOTAL] = min(engine.state[TOTAL], engine.state[EMITTED] + CLOSING_COUNT)


@outline_kernel
def generate_nb(engine: Engine, out: Bytes, limit: int) -> tuple[int, int]:
    """Write up to `limit` messages as blocks, one after the other, while `out` has room.

    Returns: (messages, bytes); fewer than `limit` when the room or the session ended.
    """
    # Typed, because a plain 0 would compile everything below a second time, for that literal.
    at = np.int64(0)
    count = np.int64(0)
    while count < limit and at + itch.MAX_BLOCK_BYTES <= out.shape[0]:
        size = emit_next_nb(engine, out, at)
        if size == 0:
            break
        at += size
        count += 1
    return count, at


@kernel
def write_order_nb(engine: Engine, out: Bytes, at: int, symbol: int, slot: int) -> int:
    """The order in `slot` as an A or F message with the engine's present time."""
    return itch.write_add_nb(
        out,
        at,
        symbol + 1,
        engine.state[CLOCK_NS],
        engine.symbols[symbol, TICKER],
        (
            engine.orders[slot, REFERENCE],
            engine.orders[slot, SIDE],
            engine.orders[slot, QUANTITY],
            price4_nb(engine, symbol, engine.orders[slot, LEVEL]),
            engine.orders[slot, ATTRIBUTION] & ATTRIBUTION_MASK,
        ),
    )


@outline_kernel
def delete_order_nb(engine: Engine, out: Bytes, at: int, symbol: int, slot: int) -> int:
    """Remove the order in `slot`, and say so by D."""
    reference = engine.orders[slot, REFERENCE]
    remove_order_nb(engine, symbol, slot)
    return itch.write_delete_nb(out, at, symbol + 1, engine.state[CLOCK_NS], reference)


@kernel
def write_replaced_nb(
    engine: Engine, out: Bytes, at: int, symbol: int, order: tuple[int, int]
) -> int:
    """U of an order (slot, reference before) that was replaced."""
    slot, original = order
    values = (
        original,
        engine.orders[slot, REFERENCE],
        engine.orders[slot, QUANTITY],
        price4_nb(engine, symbol, engine.orders[slot, LEVEL]),
    )
    return itch.write_replace_nb(out, at, symbol + 1, engine.state[CLOCK_NS], values)


@kernel
def write_symbol_state_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """H with the trading state that the symbol has now."""
    halted = engine.symbols[symbol, HALTED] != 0
    return itch.write_trading_action_nb(
        out,
        at,
        symbol + 1,
        engine.state[CLOCK_NS],
        engine.symbols[symbol, TICKER],
        _STATE_HALTED if halted else _TRADING,
        _REASON_NEWS if halted else _REASON_NONE,
    )


@kernel
def write_symbol_directory_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """R of the symbol."""
    stock = engine.symbols[symbol, TICKER]
    return itch.write_directory_nb(out, at, symbol + 1, engine.state[CLOCK_NS], stock)


@kernel
def write_symbol_reg_sho_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """Y of the symbol; those that have one are every SHORT_SALE_EVERY-th."""
    stock = engine.symbols[symbol, TICKER]
    clock_ns = engine.state[CLOCK_NS]
    return itch.write_reg_sho_nb(out, at, symbol + 1, clock_ns, stock, _REG_SHO_NONE)


@kernel
def price4_nb(engine: Engine, symbol: int, level: int) -> int:
    """Price of a level in 1e-4."""
    return (engine.symbols[symbol, BASE_TICK] + level) * TICK_PRICE4


@kernel
def system_event_nb(engine: Engine, out: Bytes, at: int, event: int) -> int:
    """S number `event` of EVENT_CODES."""
    engine.state[SYSTEM_EVENTS] = engine.state[SYSTEM_EVENTS] | (1 << event)
    return itch.write_system_event_nb(out, at, engine.state[CLOCK_NS], EVENT_CODES[event])


@outline_kernel
def _opening_nb(engine: Engine, out: Bytes, at: int, index: int) -> int:
    """Message `index` of the opening script."""
    count = engine.symbols.shape[0]
    few = (count + SHORT_SALE_EVERY - 1) // SHORT_SALE_EVERY
    ts_ns = engine.state[CLOCK_NS]
    if index == 0:
        return system_event_nb(engine, out, at, index)
    index -= 1
    if index < count:
        return write_symbol_directory_nb(engine, out, at, index)
    index -= count
    if index < count:
        return write_symbol_state_nb(engine, out, at, index)
    index -= count
    if index < few:
        return write_symbol_reg_sho_nb(engine, out, at, index * SHORT_SALE_EVERY)
    index -= few
    if index < few:
        symbol = index * SHORT_SALE_EVERY
        stock = engine.symbols[symbol, TICKER]
        mpid = ATTRIBUTIONS[index % len(ATTRIBUTIONS)]
        return itch.write_participant_nb(out, at, symbol + 1, ts_ns, stock, mpid)
    index -= few
    if index == 0:
        return itch.write_decline_levels_nb(out, at, ts_ns, _LEVEL_1, _LEVEL_2, _LEVEL_3)
    return system_event_nb(engine, out, at, index)


@outline_kernel
def _flow_nb(engine: Engine, out: Bytes, at: int) -> int:
    """One message of random flow."""
    state = engine.state
    now_ns = state[CLOCK_NS]
    if now_ns >= state[NEXT_HALT_NS]:
        state[NEXT_HALT_NS] = now_ns + halt_interval_nb(engine)
        symbol = below_nb(engine, engine.symbols.shape[0])
        if engine.symbols[symbol, HALTED] == 0:
            engine.symbols[symbol, HALTED] = 1
            engine.symbols[symbol, RESUME_NS] = now_ns + HALT_NS
            return write_symbol_state_nb(engine, out, at, symbol)
    if now_ns >= state[NEXT_BROKEN_NS] and state[MATCH_SYMBOL] != NO_MATCH:
        state[NEXT_BROKEN_NS] = now_ns + halt_interval_nb(engine)
        # The latest match: nothing else that was reported hangs on it.
        return itch.write_broken_trade_nb(
            out, at, state[MATCH_SYMBOL] + 1, now_ns, state[NEXT_MATCH] - 1
        )
    draw = random_nb(state, RANDOM)
    symbol = np.int64(engine.activity[draw & (engine.activity.shape[0] - 1)])
    halted = engine.symbols[symbol, HALTED]
    if halted != 0 and now_ns >= engine.symbols[symbol, RESUME_NS]:
        engine.symbols[symbol, HALTED] = 0
        return write_symbol_state_nb(engine, out, at, symbol)
    _move_fair_nb(engine, symbol)
    return _act_nb(engine, out, at, symbol, halted)


@kernel
def halt_interval_nb(engine: Engine) -> int:
    """Half to one and a half times the mean interval of halts."""
    interval_us = engine.state[HALT_INTERVAL_NS] // 1000
    draw = random_nb(engine.state, RANDOM)
    # draw * interval_us >> 32, in two parts: a day has more microseconds than 64 bits leave for.
    upper = draw * (interval_us >> 16)
    lower = draw * (interval_us & 0xFFFF)
    return (interval_us // 2 + ((upper + (lower >> 16)) >> 16)) * 1000


@kernel
def _act_nb(engine: Engine, out: Bytes, at: int, symbol: int, halted: int) -> int:
    """Choose what happens to `symbol` and let it happen; a halted one neither trades nor prints."""
    live = engine.symbols[symbol, LIVE]
    target = engine.state[TARGET_LIVE]
    adds = min(_ADDS + _STEERING * (target - live) // target, _TURNOVER)
    if live < target // 4:
        # A young book is filled before anything else happens to it.
        adds = 1000
    adds = max(adds, _ADDS_MIN)
    choice = below_nb(engine, _ALL)
    if has_free_slot_nb(engine, symbol) == 0:
        return _delete_nb(engine, out, at, symbol)
    if choice < adds or live == 0:
        return _add_nb(engine, out, at, symbol)
    if choice < _TURNOVER:
        return _delete_nb(engine, out, at, symbol)
    if choice < _TURNOVER + _REPLACES:
        return _replace_nb(engine, out, at, symbol)
    if choice < _TURNOVER + _REPLACES + _CANCELS:
        return _cancel_nb(engine, out, at, symbol)
    if halted != 0:
        return _add_nb(engine, out, at, symbol)
    if choice < _TURNOVER + _REPLACES + _CANCELS + _SWEEPS:
        return _begin_sweep_nb(engine, out, at, symbol)
    return _hidden_trade_nb(engine, out, at, symbol)


@kernel
def _move_fair_nb(engine: Engine, symbol: int) -> None:
    """Walk the fair value: a step in one of eight messages, in the drift's direction in three of
    four, a jump of 40 steps once in a while, and back from the ends of the window.
    """
    draw = random_nb(engine.state, RANDOM)
    if draw & 7:
        return
    step = engine.symbols[symbol, FAIR_STEP] * engine.symbols[symbol, TREND]
    if (draw >> 3) & 3 == 0:
        step = -step
    if (draw >> 5) & 0x1F == 0:
        engine.symbols[symbol, TREND] = -engine.symbols[symbol, TREND]
    if (draw >> 10) & 0xFFFF == 0:
        step *= _JUMP_STEPS
    fair = engine.symbols[symbol, FAIR] + step
    lowest = WINDOW_MARGIN << FAIR_SHIFT
    highest = (LEVELS - WINDOW_MARGIN) << FAIR_SHIFT
    if fair < lowest:
        fair = lowest
        engine.symbols[symbol, TREND] = 1
    elif fair > highest:
        fair = highest
        engine.symbols[symbol, TREND] = -1
    engine.symbols[symbol, FAIR] = fair


@kernel
def _passive_level_nb(engine: Engine, symbol: int, side: int) -> int:
    """A level for a new order: most near the fair value, some far, none that crosses."""
    draw = random_nb(engine.state, RANDOM)
    kind = draw & 0xFF
    distance = (draw >> 8) & 0x7F
    if kind < 150:
        distance &= 3
    elif kind < 235:
        distance &= 15
    fair = engine.symbols[symbol, FAIR] >> FAIR_SHIFT
    if side == BUY:
        return min(fair - distance, engine.symbols[symbol, BEST + SELL] - 1)
    return max(fair + 1 + distance, engine.symbols[symbol, BEST + BUY] + 1)


@kernel
def _quantity_nb(engine: Engine) -> int:
    """Shares of a new order: one to eight round lots, one in eight an odd lot."""
    draw = random_nb(engine.state, RANDOM)
    if draw & 7 == 0:
        return 1 + (draw >> 3) % 99
    return 100 * (1 + ((draw >> 3) & 7))


@kernel
def _add_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """A new passive order; the side leans with the drift, nine to seven."""
    draw = random_nb(engine.state, RANDOM)
    side = BUY if (draw & 15) < 8 + engine.symbols[symbol, TREND] else SELL
    attribution = ATTRIBUTIONS[(draw >> 4) & 7] if (draw >> 7) & 15 == 0 else 0
    level = _passive_level_nb(engine, symbol, side)
    quantity = _quantity_nb(engine)
    slot = enter_order_nb(engine, symbol, side, level, quantity, attribution)
    return write_order_nb(engine, out, at, symbol, slot)


@kernel
def _random_order_nb(engine: Engine, symbol: int) -> int:
    """Slot of a random live order of the symbol, which has some."""
    return np.int64(engine.members[symbol, below_nb(engine, engine.symbols[symbol, LIVE])])


@kernel
def _delete_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """Delete a random order, or the best one that the fair value has left behind."""
    fair = engine.symbols[symbol, FAIR] >> FAIR_SHIFT
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    slot = np.int64(0)
    if bid != NO_BID and bid > fair + _DISPLACED_LEVELS:
        slot = first_order_nb(engine, symbol, bid)
    elif ask != NO_ASK and ask < fair - _DISPLACED_LEVELS:
        slot = first_order_nb(engine, symbol, ask)
    if slot == 0 or is_own_nb(engine, slot):
        slot = _random_order_nb(engine, symbol)
    return delete_order_nb(engine, out, at, symbol, slot)


@kernel
def _replace_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """Replace a random order: a new reference, price and quantity, at the back of its queue."""
    slot = _random_order_nb(engine, symbol)
    original = engine.orders[slot, REFERENCE]
    level = _passive_level_nb(engine, symbol, engine.orders[slot, SIDE])
    quantity = _quantity_nb(engine)
    replace_order_nb(engine, symbol, slot, level, quantity)
    return write_replaced_nb(engine, out, at, symbol, (slot, original))


@kernel
def _cancel_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """Cancel a part of a random order; one of a single share cannot lose a part and is deleted."""
    slot = _random_order_nb(engine, symbol)
    quantity = engine.orders[slot, QUANTITY]
    if quantity < 2:
        return _delete_nb(engine, out, at, symbol)
    cancelled = 1 + below_nb(engine, quantity - 1)
    reference = engine.orders[slot, REFERENCE]
    reduce_order_nb(engine, symbol, slot, cancelled)
    ts_ns = engine.state[CLOCK_NS]
    return itch.write_cancel_nb(out, at, symbol + 1, ts_ns, reference, cancelled)


@kernel
def _begin_sweep_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """An aggressive order: buys when the fair value is above the market, sells below, else leans
    with the drift. Its quantity is the best order's, a part of it, or more, up to two levels deep.
    """
    draw = random_nb(engine.state, RANDOM)
    fair = engine.symbols[symbol, FAIR] >> FAIR_SHIFT
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    side = BUY if (draw & 7) < 4 + engine.symbols[symbol, TREND] else SELL
    if ask < fair:
        side = BUY
    elif bid > fair:
        side = SELL
    other = ask if side == BUY else bid
    if other in (NO_BID, NO_ASK):
        return _add_nb(engine, out, at, symbol)
    quantity = engine.orders[first_order_nb(engine, symbol, other), QUANTITY]
    kind = (draw >> 3) & 3
    if kind == 0:
        quantity = (quantity + 1) // 2
    elif kind == 1:
        quantity += 100 * (1 + ((draw >> 5) & 7))
    depth = (draw >> 8) % 3
    engine.state[SWEEP_SYMBOL] = symbol
    engine.state[SWEEP_SIDE] = side
    engine.state[SWEEP_LEVEL] = other + depth if side == BUY else other - depth
    engine.state[SWEEP_QUANTITY] = quantity
    engine.state[SWEEP_POSTS] = (draw >> 12) & 1
    return sweep_on_nb(engine, out, at)


@kernel
def _reaches_nb(engine: Engine, symbol: int) -> int:
    """1 when the aggressive order's limit still reaches the best price of the other side."""
    limit = engine.state[SWEEP_LEVEL]
    if engine.state[SWEEP_SIDE] == BUY:
        return 1 if engine.symbols[symbol, BEST + SELL] <= limit else 0
    return 1 if engine.symbols[symbol, BEST + BUY] >= limit else 0


@kernel
def take_match_number_nb(engine: Engine, symbol: int) -> int:
    """Number of a new match in `symbol`; the latest one is what a broken trade takes back."""
    match = engine.state[NEXT_MATCH]
    engine.state[NEXT_MATCH] = match + 1
    engine.state[MATCH_SYMBOL] = symbol
    return match


@outline_kernel
def execute_best_nb(
    engine: Engine, symbol: int, side: int, quantity: int
) -> tuple[int, int, int, int]:
    """Match up to `quantity` shares of an order of `side` with the order that stands first on the
    other one, which is there: (level, its slot, shares, match number). It keeps its reference in
    its slot, even without shares.
    """
    level = best_level_nb(engine, symbol, 1 - side)
    slot = first_order_nb(engine, symbol, level)
    shares = min(quantity, engine.orders[slot, QUANTITY])
    match = take_match_number_nb(engine, symbol)
    reduce_order_nb(engine, symbol, slot, shares)
    if is_own_nb(engine, slot):
        engine.state[FILLED_SLOT] = slot
        engine.state[FILLED_SHARES] = shares
        engine.state[MATCH_SYMBOL] = NO_MATCH
    return level, slot, shares, match


@outline_kernel
def sweep_on_nb(engine: Engine, out: Bytes, at: int) -> int:
    """Carry the aggressive order on by one message: an execution, or what is left of it, posted."""
    state = engine.state
    symbol = state[SWEEP_SYMBOL]
    side = state[SWEEP_SIDE]
    if _reaches_nb(engine, symbol) == 0:
        # Its executions freed a slot, and nobody else came between.
        quantity = state[SWEEP_QUANTITY]
        state[SWEEP_QUANTITY] = 0
        slot = enter_order_nb(engine, symbol, side, state[SWEEP_LEVEL], quantity, 0)
        return write_order_nb(engine, out, at, symbol, slot)
    level, slot, shares, match = execute_best_nb(engine, symbol, side, state[SWEEP_QUANTITY])
    reference = engine.orders[slot, REFERENCE]
    left = state[SWEEP_QUANTITY] - shares
    if left > 0 and _reaches_nb(engine, symbol) == 0 and state[SWEEP_POSTS] == 0:
        left = 0
    state[SWEEP_QUANTITY] = left
    draw = random_nb(state, RANDOM)
    ts_ns = state[CLOCK_NS]
    if draw & 7 or is_own_nb(engine, slot):
        return itch.write_executed_nb(out, at, symbol + 1, ts_ns, reference, shares, match)
    # One in eight at a better price for the one who took; one in four of those prints later.
    better = level - 1 if side == BUY else level + 1
    price4 = price4_nb(engine, symbol, better if draw & 8 else level)
    printable = 0 if (draw >> 4) & 3 == 0 else 1
    fill = (reference, shares, match, printable, price4)
    return itch.write_executed_at_price_nb(out, at, symbol + 1, ts_ns, fill)


@kernel
def _hidden_trade_nb(engine: Engine, out: Bytes, at: int, symbol: int) -> int:
    """A trade against an order that was never displayed, at one of the best prices."""
    draw = random_nb(engine.state, RANDOM)
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    level = bid if draw & 1 else ask
    if level in (NO_BID, NO_ASK):
        return _add_nb(engine, out, at, symbol)
    match = take_match_number_nb(engine, symbol)
    trade = (BUY, _quantity_nb(engine), price4_nb(engine, symbol, level), match)
    stock = engine.symbols[symbol, TICKER]
    return itch.write_trade_nb(out, at, symbol + 1, engine.state[CLOCK_NS], stock, trade)
