"""The day as a whole: the next message, whatever it is.

What is due comes off the heap one by one, and makes a message or none. An order that takes several
others, and a list, are gone on with before anything else, so that one message a call cuts a session
anywhere, as `tools.exchange.flow` does.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange import itch_writer as itch
from tools.exchange.day import NS_PER_S
from tools.exchange.flow import (
    EVENT_CODES,
    OPENING_EVENTS,
    delete_order_nb,
    system_event_nb,
    write_order_nb,
)
from tools.exchange.layout import (
    CLOCK_NS,
    EMITTED,
    HALTED,
    LEVEL_COUNT,
    ORDERS,
    QUANTITY,
    RANDOM,
    REFERENCE,
    SELL,
    SWEEP_QUANTITY,
    SYSTEM_EVENTS,
    TOTAL,
)
from tools.exchange.market.heap import (
    ACTION,
    BACKGROUND,
    BURST,
    EXPIRY,
    KIND_BITS,
    KIND_MASK,
    NOTICE,
    PHASE_DUE,
    PLACE_BITS,
    PLACE_MASK,
    PLANT,
    PROVOKED,
    REACTION,
    REQUOTE,
    SECOND_DUE,
    SHOCK_DUE,
    STEP_DUE,
    pop_nb,
    push_nb,
    word_nb,
)
from tools.exchange.market.layout import (
    BACKGROUND_NS,
    ENDING,
    HEAP_ROOT,
    HEAP_SIZE,
    KINDS,
    LIST,
    NEVER,
    PHASE,
    REGULAR,
    SHOCK_KIND,
    SHOCK_SCOPE,
    SHOCK_SIZE,
    SHOCK_UNTIL_NS,
    START_NS,
    STEP_NS,
    STUFFED,
    STUFFED_REFERENCE,
    Market,
)
from tools.exchange.market.orders import event_nb, expire_nb, look_nb, requote_nb, take_on_nb
from tools.exchange.market.plants import plant_nb
from tools.exchange.market.prices import move_factors_nb, move_relations_nb
from tools.exchange.market.rules import (
    ACTION_SHIFT,
    AFTER_CLOSE,
    action_nb,
    begin_shock_nb,
    drift_nb,
    list_nb,
    notice_nb,
    phase_nb,
    scope_symbol_nb,
    second_nb,
    watch_nb,
)
from tools.exchange.market.tables import ENTRIES
from tools.exchange.matching import enter_order_nb, has_free_slot_nb
from tools.exchange.rng import random_nb
from tools.exchange.stamps import restamp_nb

_NOTHING = np.int64(0)
_ONE = np.int64(1)
_MILLION = 1_000_000
_OF_ORDERS = (EXPIRY, PROVOKED, REACTION, REQUOTE, BACKGROUND, BURST)
"""What ends with system hours."""
_STUFFING = np.int64(KINDS.index("stuffing"))
_STUFFED_SHARES = np.int64(100)
_FAR_LEVELS = 40
"""How far from the end of its window a stuffed order stands."""


@kernel
def next_clock_nb(market: Market) -> int:
    """When the next message is due by the market's clock, or something that makes none."""
    if market.engine.state[SWEEP_QUANTITY] > 0 or market.words[LIST] or market.words[ENDING]:
        return market.engine.state[CLOCK_NS]
    return market.heap[HEAP_ROOT, 0]


@kernel
def end_early_nb(market: Market) -> None:
    """Let what is left of the closing events be the next messages, and the last ones."""
    state = market.engine.state
    if market.words[ENDING]:
        return
    market.words[ENDING] = 1
    state[TOTAL] = state[EMITTED]
    for event in range(len(OPENING_EVENTS), len(EVENT_CODES)):
        state[TOTAL] += 1 - ((state[SYSTEM_EVENTS] >> event) & 1)


@kernel
def _closing_nb(market: Market, out: Bytes, at: int) -> int:
    """The first of the closing events that did not come yet."""
    event = np.int64(len(OPENING_EVENTS))
    while (market.engine.state[SYSTEM_EVENTS] >> event) & 1:
        event += 1
    return system_event_nb(market.engine, out, at, event)


@outline_kernel
def emit_market_nb(market: Market, out: Bytes, at: int, until_ns: int) -> int:
    """Make the next message of the day and write it as a block to `out[at:]`, which has
    MAX_BLOCK_BYTES free. Returns the bytes written, 0 after the last message, or when the next one
    is due after `until_ns` of the market's clock.
    """
    engine = market.engine
    state = engine.state
    if state[EMITTED] >= state[TOTAL]:
        return _NOTHING
    size = _NOTHING
    while size == 0:
        if market.words[ENDING]:
            size = _closing_nb(market, out, at)
        elif state[SWEEP_QUANTITY] > 0:
            size = take_on_nb(market, out, at)
        elif market.words[LIST]:
            size = list_nb(market, out, at)
        elif market.words[HEAP_SIZE] == 0 or market.heap[HEAP_ROOT, 0] > until_ns:
            return _NOTHING
        else:
            size = _due_nb(market, out, at)
    restamp_nb(engine, out, at)
    engine.type_counts[out[at + itch.LENGTH_BYTES]] += 1
    state[EMITTED] += 1
    return size


@outline_kernel
def generate_market_nb(market: Market, out: Bytes, limit: int) -> tuple[int, int]:
    """Write up to `limit` messages as blocks, one after the other, while `out` has room.

    Returns: (messages, bytes); fewer than `limit` when the room or the day ended.
    """
    at = np.int64(0)
    count = np.int64(0)
    while count < limit and at + itch.MAX_BLOCK_BYTES <= out.shape[0]:
        size = emit_market_nb(market, out, at, np.int64(NEVER))
        if size == 0:
            break
        at += size
        count += 1
    return count, at


@kernel
def _due_nb(market: Market, out: Bytes, at: int) -> int:
    """Take what is due first and let it happen; a message, or 0."""
    due_ns = market.heap[HEAP_ROOT, 0]
    word = market.heap[HEAP_ROOT, 1]
    market.engine.state[CLOCK_NS] = due_ns
    pop_nb(market)
    kind = word & KIND_MASK
    place = (word >> KIND_BITS) & PLACE_MASK
    rest = word >> (KIND_BITS + PLACE_BITS)
    if market.words[PHASE] >= AFTER_CLOSE and kind in _OF_ORDERS:
        return _NOTHING
    if kind == EXPIRY:
        return expire_nb(market, out, at, place, rest)
    if kind in (PROVOKED, REACTION):
        return _event_nb(market, out, at, place, np.int64(kind == PROVOKED))
    if kind == REQUOTE:
        return requote_nb(market, out, at, place)
    if kind == BACKGROUND:
        return _background_nb(market, out, at)
    if kind == PLANT:
        return plant_nb(market, out, at, place, rest)
    return _rare_nb(market, out, at, kind, place)


@kernel
def _event_nb(market: Market, out: Bytes, at: int, symbol: int, is_first: int) -> int:
    """An event of a symbol; in market hours its price is watched."""
    if market.words[REGULAR]:
        watch_nb(market, symbol)
    return event_nb(market, out, at, symbol, is_first)


@kernel
def _wait_ns_nb(market: Market, mean_ns: int) -> int:
    """A waiting time of that mean at an activity of 1, at what the activity is now; -1 when nothing
    comes within a second, as the activity may be another then.
    """
    now_ns = market.engine.state[CLOCK_NS]
    second = min((now_ns - START_NS) // NS_PER_S, market.activity.shape[0] - 1)
    draw = market.draws.waits[random_nb(market.engine.state, RANDOM) & (ENTRIES - 1)]
    activity = market.activity[second]
    # Waiting times have no memory: one that is too long may be drawn again later.
    if activity == 0 or mean_ns * draw >= NS_PER_S * activity:
        return np.int64(-1)
    return mean_ns * draw // activity


@outline_kernel
def _background_nb(market: Market, out: Bytes, at: int) -> int:
    """An event that nothing provoked, and the next one scheduled."""
    now_ns = market.engine.state[CLOCK_NS]
    wait_ns = _wait_ns_nb(market, market.words[BACKGROUND_NS])
    word = word_nb(BACKGROUND, _NOTHING, _NOTHING)
    if wait_ns < 0:
        push_nb(market, now_ns + NS_PER_S, word)
        return _NOTHING
    push_nb(market, now_ns + wait_ns, word)
    return _event_nb(market, out, at, scope_symbol_nb(market, _NOTHING), _ONE)


@outline_kernel
def _rare_nb(market: Market, out: Bytes, at: int, kind: int, place: int) -> int:
    """All that is not the flow of orders."""
    now_ns = market.engine.state[CLOCK_NS]
    if kind == STEP_DUE:
        move_factors_nb(market)
        move_relations_nb(market)
        drift_nb(market)
        if market.words[REGULAR]:
            look_nb(market)
        push_nb(market, now_ns + STEP_NS, word_nb(STEP_DUE, _NOTHING, _NOTHING))
        return _NOTHING
    if kind == SECOND_DUE:
        return second_nb(market, out, at)
    if kind == PHASE_DUE:
        return phase_nb(market, out, at, place)
    if kind == ACTION:
        symbol = place & ((1 << ACTION_SHIFT) - 1)
        return action_nb(market, out, at, symbol, place >> ACTION_SHIFT)
    if kind == NOTICE:
        notice_nb(market, place)
    elif kind == SHOCK_DUE:
        begin_shock_nb(market, place)
    elif kind == BURST:
        return _burst_nb(market, out, at, place)
    return _NOTHING


@outline_kernel
def _burst_nb(market: Market, out: Bytes, at: int, index: int) -> int:
    """One more event of a shock that brings more of them than usual."""
    shock = market.shocks[index]
    now_ns = market.engine.state[CLOCK_NS]
    if now_ns >= shock[SHOCK_UNTIL_NS]:
        return _NOTHING
    word = word_nb(BURST, index, _NOTHING)
    if shock[SHOCK_KIND] == _STUFFING:
        push_nb(market, now_ns + shock[SHOCK_SIZE], word)
        return _stuff_nb(market, out, at, -1 - shock[SHOCK_SCOPE])
    mean_ns = max(market.words[BACKGROUND_NS] * shock[SHOCK_SIZE] // _MILLION, np.int64(1))
    wait_ns = _wait_ns_nb(market, mean_ns)
    if wait_ns < 0:
        push_nb(market, now_ns + NS_PER_S, word)
        return _NOTHING
    push_nb(market, now_ns + wait_ns, word)
    return _event_nb(market, out, at, scope_symbol_nb(market, shock[SHOCK_SCOPE]), _ONE)


@kernel
def _stuff_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """An order far away, and at the next call its end."""
    engine = market.engine
    own = market.own[symbol]
    slot = own[STUFFED]
    if slot > 0:
        own[STUFFED] = 0
        order = engine.orders[slot]
        if order[QUANTITY] and order[REFERENCE] == own[STUFFED_REFERENCE]:
            return delete_order_nb(engine, out, at, symbol, slot)
    if engine.symbols[symbol, HALTED] or has_free_slot_nb(engine, symbol) == 0:
        return _NOTHING
    if engine.symbols[symbol, ORDERS + SELL] == 0:
        return _NOTHING
    level = engine.symbols[symbol, LEVEL_COUNT] - _FAR_LEVELS
    slot = enter_order_nb(engine, symbol, SELL, level, _STUFFED_SHARES, 0)
    own[STUFFED] = slot
    own[STUFFED_REFERENCE] = engine.orders[slot, REFERENCE]
    return write_order_nb(engine, out, at, symbol, slot)
