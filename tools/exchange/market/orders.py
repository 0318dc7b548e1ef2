"""The flow of orders: what an event of a symbol becomes.

Events provoke events (a branching process: Hawkes, with a kernel that falls as a power of time).
Most become new orders, each with a lifetime that ends it; some replace or cut one; some take what
stands on the other side, and those come from intentions, split into many orders of one side. Quotes
that the fair value has left behind are withdrawn, or taken by who was faster.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange import itch_writer as itch
from tools.exchange.flow import (
    ATTRIBUTIONS,
    below_nb,
    delete_order_nb,
    price4_nb,
    sweep_on_nb,
    take_match_number_nb,
    write_order_nb,
    write_replaced_nb,
)
from tools.exchange.itch_writer_rare import write_retail_interest_nb
from tools.exchange.layout import (
    ATTRIBUTION,
    BUY,
    CLOCK_NS,
    FILLED_SLOT,
    FIRST_REFERENCE_SHIFT,
    HALTED,
    LEVEL_COUNT,
    LIVE,
    MATCH_SYMBOL,
    NEXT_MATCH,
    NO_ASK,
    NO_BID,
    NO_MATCH,
    QUANTITY,
    RANDOM,
    REFERENCE,
    SELL,
    SIDE,
    SWEEP_LEVEL,
    SWEEP_POSTS,
    SWEEP_QUANTITY,
    SWEEP_SIDE,
    SWEEP_SYMBOL,
    TARGET_LIVE,
    TICKER,
)
from tools.exchange.market.heap import (
    EXPIRY,
    PLANT,
    PROVOKED,
    REACTION,
    REQUOTE,
    REST_MASK,
    push_nb,
    word_nb,
)
from tools.exchange.market.layout import (
    HALF_SPREAD,
    ICEBERG_SLOT,
    LIFETIME_NS,
    LOOKED,
    LOOKS,
    LOOKS_DUE,
    REGULAR,
    RUNS,
    Market,
)
from tools.exchange.market.prices import fair_level_nb
from tools.exchange.market.relations import FIRST, MEMBER_COUNT, MEMBERS
from tools.exchange.market.tables import ENTRIES, ONE_16, Table
from tools.exchange.matching import (
    best_level_nb,
    enter_order_nb,
    first_order_nb,
    has_free_slot_nb,
    is_own_nb,
    reduce_order_nb,
    replace_order_nb,
)
from tools.exchange.rng import random_nb

_MASK = ENTRIES - 1
_NOTHING = np.int64(0)

_ALL = np.int64(1000)
# Out of 1,000 events: what they become; the rest are new orders.
_REPLACES = 45
_CANCELS = 26
_TAKES = 26
_HIDDEN = 10
_RETAIL = 1
_BROKEN = 1
"""Out of 20,000 events."""
_BROKEN_OF = np.int64(20_000)
_WITHDRAWN = 28
"""Of 64 quotes that the fair value left behind."""
_MOVED = 35
"""Those that are replaced by better ones; the others are taken."""
_MARGIN = 8
"""A quote may lose this part of its distance from the fair value before it is corrected: if it
might lose all, the middle of a wide spread would move too late, and too little.
"""
_REACTION_NS = np.int64(30_000)
"""It takes one to two times that to see a quote corrected and to correct the next one."""
_REFILL_NS = np.int64(2_000)
"""It takes one to two times that to refill an iceberg."""
REFILL = np.int64(1)
"""What of an iceberg comes then."""
_WIDE_LEVELS = 1
"""A best price that is so much further from the fair value than usual asks for a better one.
"""
_FLAGS = b"BSAN"
_FLAG_BUY, _FLAG_SELL, _FLAG_BOTH, _FLAG_NONE = (np.int64(flag) for flag in _FLAGS)


@kernel
def _draw_nb(market: Market, table: Table) -> int:
    """One value of a table of ENTRIES."""
    return np.int64(table[random_nb(market.engine.state, RANDOM) & _MASK])


@outline_kernel
def provoke_nb(market: Market, symbol: int) -> None:
    """Schedule the events that this one provokes, one in eight of them in another symbol."""
    engine = market.engine
    for _ in range(_draw_nb(market, market.draws.children)):
        draw = random_nb(engine.state, RANDOM)
        other = symbol
        if draw & 7 == 0:
            other = np.int64(engine.activity[(draw >> 3) & (engine.activity.shape[0] - 1)])
        due_ns = engine.state[CLOCK_NS] + _draw_nb(market, market.draws.delays)
        push_nb(market, due_ns, word_nb(PROVOKED, other, _NOTHING))


@outline_kernel
def event_nb(market: Market, out: Bytes, at: int, symbol: int, is_first: int) -> int:
    """One event of `symbol`, as a message; first the correction of a quote that the fair value has
    left behind, if there is one, and then the event comes again, as a reaction.
    """
    engine = market.engine
    halted = engine.symbols[symbol, HALTED]
    fair = fair_level_nb(market, symbol)
    if is_first:
        provoke_nb(market, symbol)
    size = _correct_nb(market, out, at, symbol, (fair, halted))
    if size > 0:
        react_nb(market, symbol, REACTION)
        return size
    if has_free_slot_nb(engine, symbol) == 0:
        return delete_order_nb(engine, out, at, symbol, _random_slot_nb(market, symbol))
    live = engine.symbols[symbol, LIVE]
    is_young = market.words[REGULAR] and live < engine.state[TARGET_LIVE] // 4
    choice = below_nb(engine, _ALL)
    if live < 2 or is_young:
        choice = _ALL
    if choice < _REPLACES:
        return _replace_nb(market, out, at, symbol, fair)
    if choice < _REPLACES + _CANCELS:
        return _cancel_nb(market, out, at, symbol)
    if halted == 0 and choice < _REPLACES + _CANCELS + _TAKES + _HIDDEN + _RETAIL:
        return _trade_nb(market, out, at, symbol, (fair, choice - _REPLACES - _CANCELS))
    return _add_nb(market, out, at, symbol, fair)


@kernel
def _trade_nb(market: Market, out: Bytes, at: int, symbol: int, event: tuple[int, int]) -> int:
    """What only a symbol that trades has; event is (fair level, choice among it)."""
    fair, choice = event
    if choice < _TAKES:
        return _take_nb(market, out, at, symbol, fair)
    if choice < _TAKES + _HIDDEN:
        return _hidden_nb(market, out, at, symbol, fair)
    return _retail_nb(market, out, at, symbol)


@kernel
def expire_nb(market: Market, out: Bytes, at: int, slot: int, reference: int) -> int:
    """Delete the order if it is still the one whose lifetime ends; 0 when it is not."""
    engine = market.engine
    symbol = (slot - 1) // engine.members.shape[1]
    order = engine.orders[slot]
    if order[QUANTITY] == 0 or order[ATTRIBUTION] >> FIRST_REFERENCE_SHIFT != reference:
        return np.int64(0)
    return delete_order_nb(engine, out, at, symbol, slot)


@kernel
def _kept_nb(market: Market, symbol: int) -> int:
    """Levels from the fair value to the nearest quote that need not be corrected."""
    away = market.own[symbol, HALF_SPREAD] - 1
    return away - away // _MARGIN


@outline_kernel
def look_nb(market: Market) -> None:
    """Look at the quotes of the next symbols in turn, and have them corrected if the fair value has
    moved: those of a quiet symbol would wait for its next event otherwise. Those of a relation are
    looked at each time, so that it holds in quotes as well.
    """
    words = market.words
    count = market.engine.symbols.shape[0]
    words[LOOKS_DUE] += words[LOOKS]
    while words[LOOKS_DUE] >= ONE_16:
        words[LOOKS_DUE] -= ONE_16
        symbol = words[LOOKED]
        words[LOOKED] = symbol + 1 if symbol + 1 < count else 0
        _look_at_nb(market, symbol, REQUOTE)
    for index in range(market.relations.shape[0]):
        relation = market.relations[index]
        _look_at_nb(market, relation[FIRST], REACTION)
        for place in range(relation[MEMBER_COUNT]):
            _look_at_nb(market, relation[MEMBERS + place], REACTION)


@outline_kernel
def _look_at_nb(market: Market, symbol: int, kind: int) -> None:
    """Have the symbol's quotes corrected if it is time, those that were left behind by an event of
    that kind: a REACTION brings a new order in the end, where so many looks would empty the book.
    """
    engine = market.engine
    if engine.symbols[symbol, HALTED]:
        return
    fair = fair_level_nb(market, symbol)
    kept = _kept_nb(market, symbol)
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    is_left = bid > fair - kept or ask <= fair + kept
    is_wide = _is_wide_nb(market, symbol, BUY, fair) or _is_wide_nb(market, symbol, SELL, fair)
    if is_left:
        react_nb(market, symbol, kind)
    elif is_wide:
        react_nb(market, symbol, REQUOTE)


@outline_kernel
def requote_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """Correct a quote that the fair value has come too near to, or bring one nearer that it has
    gone too far from, and go on while there is one; 0 when there is none.
    """
    engine = market.engine
    fair = fair_level_nb(market, symbol)
    size = _correct_nb(market, out, at, symbol, (fair, engine.symbols[symbol, HALTED]))
    if size == 0:
        side = BUY if _is_wide_nb(market, symbol, BUY, fair) else SELL
        best = best_level_nb(engine, symbol, side)
        if best in (NO_BID, NO_ASK) or not _is_wide_nb(market, symbol, side, fair):
            return _NOTHING
        slot = first_order_nb(engine, symbol, best)
        if is_own_nb(engine, slot):
            return _NOTHING
        size = _move_nb(market, out, at, symbol, (slot, fair))
    react_nb(market, symbol, REQUOTE)
    return size


@kernel
def react_nb(market: Market, symbol: int, kind: int) -> None:
    """Something more in the symbol, as soon as what is there has been seen."""
    late_ns = _REACTION_NS + random_nb(market.engine.state, RANDOM) % _REACTION_NS
    push_nb(market, market.engine.state[CLOCK_NS] + late_ns, word_nb(kind, symbol, _NOTHING))


@kernel
def _correct_nb(market: Market, out: Bytes, at: int, symbol: int, now: tuple[int, int]) -> int:
    """Withdraw or move the best quote if the fair value has come too near to it, or take it if that
    is beyond it; 0 when it has not. `now` is (fair level, halted); nobody takes in a halt.
    """
    fair, halted = now
    engine = market.engine
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    kept = _kept_nb(market, symbol)
    if bid <= fair - kept and ask > fair + kept:
        return np.int64(0)
    side = BUY if ask <= fair + kept else SELL
    best = ask if side == BUY else bid
    choice = random_nb(engine.state, RANDOM) & 63
    cannot_take = halted or (ask > fair if side == BUY else bid <= fair)
    if cannot_take:
        choice %= _WITHDRAWN + _MOVED
    slot = first_order_nb(engine, symbol, best)
    if is_own_nb(engine, slot):
        # Whose it is does not react, so it is taken or stays.
        if cannot_take:
            return np.int64(0)
        choice = np.int64(_WITHDRAWN + _MOVED)
    if choice < _WITHDRAWN:
        return delete_order_nb(engine, out, at, symbol, slot)
    if choice < _WITHDRAWN + _MOVED:
        return _move_nb(market, out, at, symbol, (slot, fair))
    return _sweep_nb(market, out, at, symbol, (side, fair if side == BUY else fair + 1))


@kernel
def _is_wide_nb(market: Market, symbol: int, side: int, fair: int) -> bool:
    """Whether the best price of a side is so far away that it attracts better ones (Biais, Hillion
    and Spatt, "An empirical analysis of the limit order book", Journal of Finance 50 (1995)).
    """
    away = market.own[symbol, HALF_SPREAD] - 1
    best = best_level_nb(market.engine, symbol, side)
    gap = fair - best if side == BUY else best - fair - 1
    return gap > away + away // _MARGIN + _WIDE_LEVELS


@kernel
def _place_nb(market: Market, symbol: int, side: int, fair: int) -> int:
    """A level for a new order: at the best place or, by a power law, behind it. It crosses
    nothing.
    """
    engine = market.engine
    away = market.own[symbol, HALF_SPREAD] - 1
    behind = (_draw_nb(market, market.draws.distances) * (1 + away)) // 2
    if _is_wide_nb(market, symbol, side, fair) and random_nb(engine.state, RANDOM) & 1:
        behind = np.int64(0)
    if side == BUY:
        level = min(fair - away - behind, best_level_nb(engine, symbol, SELL) - 1)
        return max(level, np.int64(1))
    level = max(fair + 1 + away + behind, best_level_nb(engine, symbol, BUY) + 1)
    return min(level, engine.symbols[symbol, LEVEL_COUNT] - 2)


@kernel
def _live_on_nb(market: Market, symbol: int, slot: int) -> None:
    """Give the order in `slot` an end."""
    engine = market.engine
    lifetime_ns = (_draw_nb(market, market.draws.lifetimes) >> 4) * (
        market.own[symbol, LIFETIME_NS] >> 12
    )
    reference = engine.orders[slot, REFERENCE] & REST_MASK
    # It stays the same when the order is replaced, so that the order has one end.
    engine.orders[slot, ATTRIBUTION] |= reference << FIRST_REFERENCE_SHIFT
    word = word_nb(EXPIRY, slot, reference)
    push_nb(market, engine.state[CLOCK_NS] + lifetime_ns, word)


@outline_kernel
def _add_nb(market: Market, out: Bytes, at: int, symbol: int, fair: int) -> int:
    engine = market.engine
    draw = random_nb(engine.state, RANDOM)
    side = draw & 1
    if _is_wide_nb(market, symbol, 1 - side, fair) and not _is_wide_nb(market, symbol, side, fair):
        side = 1 - side
    attribution = ATTRIBUTIONS[(draw >> 1) & 7] if (draw >> 4) & 31 == 0 else 0
    level = _place_nb(market, symbol, side, fair)
    quantity = _draw_nb(market, market.draws.sizes)
    slot = enter_order_nb(engine, symbol, side, level, quantity, attribution)
    _live_on_nb(market, symbol, slot)
    return write_order_nb(engine, out, at, symbol, slot)


@kernel
def _random_slot_nb(market: Market, symbol: int) -> int:
    engine = market.engine
    live = engine.symbols[symbol, LIVE]
    return np.int64(engine.members[symbol, below_nb(engine, live)])


@kernel
def _replace_nb(market: Market, out: Bytes, at: int, symbol: int, fair: int) -> int:
    return _move_nb(market, out, at, symbol, (_random_slot_nb(market, symbol), fair))


@outline_kernel
def _move_nb(market: Market, out: Bytes, at: int, symbol: int, order: tuple[int, int]) -> int:
    """Replace an order, (slot, fair level), by one at a place of its time."""
    engine = market.engine
    slot, fair = order
    original = engine.orders[slot, REFERENCE]
    level = _place_nb(market, symbol, engine.orders[slot, SIDE], fair)
    replace_order_nb(engine, symbol, slot, level, _draw_nb(market, market.draws.sizes))
    return write_replaced_nb(engine, out, at, symbol, (slot, original))


@kernel
def _cancel_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """Take a part of an order away; one of a single share is deleted."""
    engine = market.engine
    slot = _random_slot_nb(market, symbol)
    quantity = engine.orders[slot, QUANTITY]
    if quantity < 2:
        return delete_order_nb(engine, out, at, symbol, slot)
    shares = 1 + below_nb(engine, quantity - 1)
    reduce_order_nb(engine, symbol, slot, shares)
    reference = engine.orders[slot, REFERENCE]
    return itch.write_cancel_nb(out, at, symbol + 1, engine.state[CLOCK_NS], reference, shares)


@kernel
def _side_of_run_nb(market: Market, symbol: int) -> int:
    """Side of the next order that takes: of one of RUNS intentions, and one less is left of it."""
    draw = random_nb(market.engine.state, RANDOM)
    run = market.runs[symbol, draw & (RUNS - 1)]
    if run[1] == 0:
        run[0] = BUY if (draw >> 8) & 1 else SELL
        run[1] = _draw_nb(market, market.draws.runs)
    run[1] -= 1
    return run[0]


@kernel
def _take_nb(market: Market, out: Bytes, at: int, symbol: int, fair: int) -> int:
    """An order that takes: what stands first, a part of it or more, up to three levels deep."""
    engine = market.engine
    side = _side_of_run_nb(market, symbol)
    best = best_level_nb(engine, symbol, 1 - side)
    if best in (NO_BID, NO_ASK):
        return _add_nb(market, out, at, symbol, fair)
    draw = random_nb(engine.state, RANDOM)
    deep = np.int64(0) if draw & 3 else (draw >> 2) & 3
    return _sweep_nb(market, out, at, symbol, (side, best + deep if side == BUY else best - deep))


@kernel
def _sweep_nb(market: Market, out: Bytes, at: int, symbol: int, order: tuple[int, int]) -> int:
    """Begin an order that takes, (side, limit), of a size as others; it reaches something."""
    shares = _draw_nb(market, market.draws.sizes)
    return take_nb(market, out, at, symbol, (order[0], order[1], shares))


@outline_kernel
def take_nb(market: Market, out: Bytes, at: int, symbol: int, order: tuple[int, int, int]) -> int:
    """Begin an order that takes, (side, limit, shares); it reaches something."""
    state = market.engine.state
    state[SWEEP_SYMBOL] = symbol
    state[SWEEP_SIDE] = order[0]
    state[SWEEP_LEVEL] = order[1]
    state[SWEEP_QUANTITY] = order[2]
    state[SWEEP_POSTS] = 0
    return take_on_nb(market, out, at)


@kernel
def take_on_nb(market: Market, out: Bytes, at: int) -> int:
    """Carry the order that takes on by one message; an iceberg that it took from is refilled."""
    size = sweep_on_nb(market.engine, out, at)
    if market.engine.state[FILLED_SLOT] >= market.words[ICEBERG_SLOT]:
        _refill_nb(market)
    return size


@outline_kernel
def _refill_nb(market: Market) -> None:
    """Have the iceberg that was taken from show more in a moment, if it shows nothing any more."""
    state = market.engine.state
    slot = state[FILLED_SLOT]
    state[FILLED_SLOT] = 0
    if market.engine.orders[slot, QUANTITY] == 0:
        late_ns = _REFILL_NS + random_nb(state, RANDOM) % _REFILL_NS
        word = word_nb(PLANT, slot - market.words[ICEBERG_SLOT], REFILL)
        push_nb(market, state[CLOCK_NS] + late_ns, word)


@outline_kernel
def _hidden_nb(market: Market, out: Bytes, at: int, symbol: int, fair: int) -> int:
    """A trade with an order that is not displayed, between the best prices or at one of them; or,
    rarely, one that is taken back.
    """
    engine = market.engine
    bid = best_level_nb(engine, symbol, BUY)
    ask = best_level_nb(engine, symbol, SELL)
    if bid == NO_BID or ask == NO_ASK:
        return _add_nb(market, out, at, symbol, fair)
    state = engine.state
    stock = engine.symbols[symbol, TICKER]
    draw = random_nb(state, RANDOM)
    if below_nb(engine, _BROKEN_OF) < _BROKEN * _ALL // _HIDDEN and state[MATCH_SYMBOL] != NO_MATCH:
        locate = state[MATCH_SYMBOL] + 1
        match = state[NEXT_MATCH] - 1
        return itch.write_broken_trade_nb(out, at, locate, state[CLOCK_NS], match)
    level = bid + (ask - bid) * (draw & 3) // 3
    price4 = price4_nb(engine, symbol, level)
    match = take_match_number_nb(engine, symbol)
    trade = (BUY, _draw_nb(market, market.draws.sizes), price4, match)
    return itch.write_trade_nb(out, at, symbol + 1, state[CLOCK_NS], stock, trade)


@kernel
def _retail_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """Retail interest on one side, both or none."""
    engine = market.engine
    choice = random_nb(engine.state, RANDOM) & 3
    flag = _FLAG_NONE
    if choice == 0:
        flag = _FLAG_BUY
    elif choice == 1:
        flag = _FLAG_SELL
    elif choice == 2:
        flag = _FLAG_BOTH
    stock = engine.symbols[symbol, TICKER]
    return write_retail_interest_nb(out, at, symbol + 1, engine.state[CLOCK_NS], stock, flag)
