"""The rules of the day: phases and the lists of messages that come with them, halts and what ends
them, bands, the market's decline, and the scenario's shocks.

A list is one message for each symbol in turn, and nothing else comes between. A halted symbol goes
PAUSE → collar → cross → trading, HALT → quoting → cross → trading, or, new, directory → release →
quoting → cross → trading; an outage of this market ends by itself.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange import itch_writer as itch
from tools.exchange.day import NS_PER_S
from tools.exchange.flow import (
    ATTRIBUTIONS,
    system_event_nb,
    write_symbol_directory_nb,
    write_symbol_reg_sho_nb,
)
from tools.exchange.itch_writer_rare import (
    write_breach_nb,
    write_collar_nb,
    write_direct_listing_nb,
    write_ipo_nb,
    write_operational_halt_nb,
)
from tools.exchange.layout import (
    BASE_TICK,
    BEST,
    BUY,
    CLOCK_NS,
    EMITTED,
    HALTED,
    NO_ASK,
    NO_BID,
    RANDOM,
    SELL,
    TICK_PRICE4,
    TICKER,
    TOTAL,
)
from tools.exchange.market.auctions import (
    CLOSING,
    OPENING,
    cross_nb,
    enter_auction_nb,
    publish_imbalance_nb,
)
from tools.exchange.market.heap import (
    ACTION,
    BACKGROUND,
    BURST,
    NOTICE,
    PHASE_DUE,
    PLANT,
    SECOND_DUE,
    SHOCK_DUE,
    STEP_DUE,
    push_nb,
    word_nb,
)
from tools.exchange.market.layout import (
    AUCTION,
    BAND,
    BREACHED,
    DRIFT_ROWS,
    FIRST_PLANT,
    FIRST_PRICE,
    LIST,
    LIST_AT,
    LOG_LOST,
    LOG_SIZE,
    PHASE,
    REFERENCE_LEVEL,
    REGULAR,
    SHOCK,
    SHOCK_BACK,
    SHOCK_KIND,
    SHOCK_NS,
    SHOCK_SCOPE,
    SHOCK_SIZE,
    SHOCK_UNTIL_NS,
    SHORT_RESTRICTED,
    START_NS,
    STATUS,
    STEP_NS,
    WATCHED_S,
    Market,
)
from tools.exchange.market.prices import fair_value_nb, power_nb, shock_nb
from tools.exchange.market.scenario import (
    AFTER_CLOSE_S,
    CLOSE_S,
    CLOSING_NOTICE_S,
    END_S,
    OPEN_S,
    OPENING_NOTICE_S,
    PRE_OPEN_S,
    START_S,
)
from tools.exchange.market.tables import EXP_BITS
from tools.exchange.rng import random_nb

_NOTHING = np.int64(0)
_ONE = np.int64(1)
ACTION_SHIFT = 16
"""Bits of a symbol in the word of an action, which lies above them."""

PHASES_NS = tuple(
    seconds * NS_PER_S
    for seconds in (
        START_S,
        PRE_OPEN_S,
        OPENING_NOTICE_S,
        OPEN_S,
        CLOSING_NOTICE_S,
        CLOSE_S,
        AFTER_CLOSE_S,
        END_S,
    )
)
# Numbers of those.
_START, _PRE_OPEN, _OPENING_NOTICE, _OPEN, _CLOSING_NOTICE, _CLOSE, AFTER_CLOSE, _END = range(8)

# Lists.
_DIRECTORIES = np.int64(1)
_STATES = np.int64(2)
_SHORT_SALES = np.int64(3)
_PARTICIPANTS = np.int64(4)
_OPENING_IMBALANCES = np.int64(5)
_OPENING_CROSSES = np.int64(6)
_CLOSING_IMBALANCES = np.int64(7)
_CLOSING_CROSSES = np.int64(8)
_HALTS = np.int64(9)

# Actions on a symbol.
_HALT = np.int64(1)
_QUOTE = np.int64(2)
_CROSS = np.int64(3)
_TRADE = np.int64(4)
_PAUSE = np.int64(5)
_COLLAR = np.int64(6)
_OUTAGE = np.int64(7)
_BACK = np.int64(8)
_RELEASE = np.int64(9)
_RESTRICT = np.int64(10)

LOG_NAMES = (
    "shock",
    "halt",
    "quoting",
    "cross",
    "trading",
    "pause",
    "collar",
    "outage",
    "back",
    "release",
    "short_sale",
    "breach",
)
"""What a row of the log tells: actions by their number, and others."""
LOG_BREACH = np.int64(11)

_STATE_TRADING = np.int64(ord("T"))
_STATE_HALTED = np.int64(ord("H"))
_STATE_PAUSED = np.int64(ord("P"))
_STATE_QUOTING = np.int64(ord("Q"))
_CODE_OPENING = np.int64(ord("O"))
_CODE_CLOSING = np.int64(ord("C"))
_CODE_HALT = np.int64(ord("H"))
_REASON_NONE = np.int64(int.from_bytes(b"    ", "big"))
_REASON_NEWS = np.int64(int.from_bytes(b"T1  ", "big"))
_REASON_NEWS_OUT = np.int64(int.from_bytes(b"T3  ", "big"))
_REASON_BAND = np.int64(int.from_bytes(b"LUDP", "big"))
_REASON_NEW = np.int64(int.from_bytes(b"IPO1", "big"))
_REASON_NEW_QUOTES = np.int64(int.from_bytes(b"IPOQ", "big"))
_REASON_DECLINE = np.int64(int.from_bytes(b"MWC1", "big"))
_IN_EFFECT = np.int64(ord("1"))

_NOTICE_NS = 5 * NS_PER_S
_PAUSE_NS = 300 * NS_PER_S
_COLLAR_NS = 10 * NS_PER_S
_QUOTE_NS = 60 * NS_PER_S
_RELEASE_NS = 600 * NS_PER_S
_BREACH_NS = 900 * NS_PER_S
_CALM_NS = 900 * NS_PER_S
"""Bands are twice as wide so long after the open and before the close."""
_REFERENCE_S = 300
"""Seconds that the price is averaged over, which a band is around."""
_PARTICIPANTS_A_SYMBOL = 2
_INDEX8 = 4_000_00000000
_DECLINES = (7, 13, 20)
_LEVEL_1, _LEVEL_2, _LEVEL_3 = (np.int64(_INDEX8 * (100 - each) // 100) for each in _DECLINES)
_LAST_BREACH_NS = (CLOSE_S - 2_100) * NS_PER_S
"""15:25: a breach of the first two levels after it halts nothing."""

_JUMP, _DRIFT, _ACTIVITY, _STUFFING, _NEWS, _OUTAGES, _IPO, _LISTING, _GAP = range(FIRST_PLANT)
DIRECT = np.int64(_LISTING)


@outline_kernel
def log_nb(market: Market, what: int, symbol: int, first: int, second: int) -> None:
    """Note that something happened; symbol -1 for the market."""
    row = market.words[LOG_SIZE]
    if row == market.log.shape[0]:
        market.words[LOG_LOST] += 1
        return
    market.words[LOG_SIZE] = row + 1
    entry = market.log[row]
    entry[0] = market.engine.state[CLOCK_NS]
    entry[1] = what
    entry[2] = symbol
    entry[3] = first
    entry[4] = second


@kernel
def _act_later_nb(market: Market, delay_ns: int, symbol: int, action: int) -> None:
    due_ns = market.engine.state[CLOCK_NS] + delay_ns
    push_nb(market, due_ns, word_nb(ACTION, symbol | (action << ACTION_SHIFT), _NOTHING))


@kernel
def _begin_list_nb(market: Market, which: int) -> None:
    market.words[LIST] = which
    market.words[LIST_AT] = 0


@outline_kernel
def phase_nb(market: Market, out: Bytes, at: int, phase: int) -> int:
    """What comes with a phase of the day: a message, or 0 and something else first."""
    words = market.words
    words[PHASE] = phase
    now_ns = market.engine.state[CLOCK_NS]
    if phase == _START:
        _begin_list_nb(market, _DIRECTORIES)
        return system_event_nb(market.engine, out, at, _NOTHING)
    if phase == _PRE_OPEN:
        push_nb(market, now_ns, word_nb(BACKGROUND, _NOTHING, _NOTHING))
        return system_event_nb(market.engine, out, at, _ONE)
    if phase in (_OPENING_NOTICE, _CLOSING_NOTICE):
        push_nb(market, now_ns, word_nb(NOTICE, np.int64(phase == _CLOSING_NOTICE), _NOTHING))
        return _NOTHING
    if phase == _OPEN:
        words[REGULAR] = 1
        _begin_list_nb(market, _OPENING_CROSSES)
        return system_event_nb(market.engine, out, at, np.int64(2))
    if phase == _CLOSE:
        words[REGULAR] = 0
        _begin_list_nb(market, _CLOSING_CROSSES)
        return system_event_nb(market.engine, out, at, np.int64(3))
    if phase == AFTER_CLOSE:
        return system_event_nb(market.engine, out, at, np.int64(4))
    market.engine.state[TOTAL] = market.engine.state[EMITTED] + 1
    return system_event_nb(market.engine, out, at, np.int64(5))


@outline_kernel
def notice_nb(market: Market, closing: int) -> None:
    """Publish the imbalances of all symbols, and again, until the cross."""
    words = market.words
    if closing:
        if words[PHASE] != _CLOSING_NOTICE:
            return
        _begin_list_nb(market, _CLOSING_IMBALANCES)
    else:
        if words[PHASE] != _OPENING_NOTICE:
            return
        _begin_list_nb(market, _OPENING_IMBALANCES)
    due_ns = market.engine.state[CLOCK_NS] + _NOTICE_NS
    push_nb(market, due_ns, word_nb(NOTICE, closing, _NOTHING))


@outline_kernel
def list_nb(market: Market, out: Bytes, at: int) -> int:
    """The next message of the list, 0 where a symbol has none."""
    words = market.words
    which = words[LIST]
    place = words[LIST_AT]
    symbols = market.engine.symbols.shape[0]
    if which == _PARTICIPANTS:
        if place == _PARTICIPANTS_A_SYMBOL * symbols:
            words[LIST] = 0
            return _decline_levels_nb(market, out, at)
    elif place == symbols:
        words[LIST] = which + 1 if which < _PARTICIPANTS else 0
        words[LIST_AT] = 0
        return _NOTHING
    words[LIST_AT] = place + 1
    if which <= _PARTICIPANTS:
        return _static_nb(market, out, at, which, place)
    return _trading_list_nb(market, out, at, which, place)


@kernel
def _decline_levels_nb(market: Market, out: Bytes, at: int) -> int:
    clock_ns = market.engine.state[CLOCK_NS]
    return itch.write_decline_levels_nb(out, at, clock_ns, _LEVEL_1, _LEVEL_2, _LEVEL_3)


@outline_kernel
def _static_nb(market: Market, out: Bytes, at: int, which: int, place: int) -> int:
    """A message of the lists before the session."""
    engine = market.engine
    if which == _DIRECTORIES:
        return write_symbol_directory_nb(engine, out, at, place)
    if which == _STATES:
        if market.own[place, SHOCK]:
            return _state_nb(market, out, at, place, (_STATE_HALTED, _REASON_NEW))
        return _state_nb(market, out, at, place, (_STATE_TRADING, _REASON_NONE))
    if which == _SHORT_SALES:
        return write_symbol_reg_sho_nb(engine, out, at, place)
    symbol = place // _PARTICIPANTS_A_SYMBOL
    mpid = ATTRIBUTIONS[(place + symbol) & 7]
    stock = engine.symbols[symbol, TICKER]
    ts_ns = engine.state[CLOCK_NS]
    return itch.write_participant_nb(out, at, symbol + 1, ts_ns, stock, mpid)


@outline_kernel
def _trading_list_nb(market: Market, out: Bytes, at: int, which: int, symbol: int) -> int:
    """A message of the lists around crosses, and of the halt of the whole market."""
    if market.engine.symbols[symbol, HALTED]:
        return _NOTHING
    if which == _OPENING_IMBALANCES:
        return publish_imbalance_nb(market, out, at, OPENING, symbol, _CODE_OPENING)
    if which == _CLOSING_IMBALANCES:
        return publish_imbalance_nb(market, out, at, CLOSING, symbol, _CODE_CLOSING)
    if which == _HALTS:
        _act_later_nb(market, _BREACH_NS, symbol, _CROSS)
        return _state_nb(market, out, at, symbol, (_STATE_HALTED, _REASON_DECLINE))
    auction, code = OPENING, _CODE_OPENING
    if which == _CLOSING_CROSSES:
        auction, code = CLOSING, _CODE_CLOSING
    size, shares = cross_nb(market, out, at, auction, symbol, code)
    log_nb(market, _CROSS, symbol, shares, code)
    return size


@outline_kernel
def _state_nb(market: Market, out: Bytes, at: int, symbol: int, state: tuple[int, int]) -> int:
    """H with a state and a reason, which the symbol has from now on."""
    engine = market.engine
    engine.symbols[symbol, HALTED] = np.int64(state[0] != _STATE_TRADING)
    market.own[symbol, STATUS] = state[0]
    stock = engine.symbols[symbol, TICKER]
    ts_ns = engine.state[CLOCK_NS]
    return itch.write_trading_action_nb(out, at, symbol + 1, ts_ns, stock, state[0], state[1])


@outline_kernel
def action_nb(market: Market, out: Bytes, at: int, symbol: int, action: int) -> int:
    """Do something to a symbol: a message, or 0."""
    engine = market.engine
    status = market.own[symbol, STATUS]
    if not _is_possible_nb(market, symbol, action, status):
        return _NOTHING
    if action == _CROSS:
        return _cross_after_halt_nb(market, out, at, symbol)
    log_nb(market, action, symbol, _NOTHING, _NOTHING)
    if action == _COLLAR:
        _act_later_nb(market, _COLLAR_NS, symbol, _CROSS)
        return _collar_nb(market, out, at, symbol)
    if action == _RELEASE:
        return _release_nb(market, out, at, symbol)
    if action < _OUTAGE:
        return _change_state_nb(market, out, at, symbol, action)
    stock = engine.symbols[symbol, TICKER]
    ts_ns = engine.state[CLOCK_NS]
    if action == _RESTRICT:
        return itch.write_reg_sho_nb(out, at, symbol + 1, ts_ns, stock, _IN_EFFECT)
    engine.symbols[symbol, HALTED] = np.int64(action == _OUTAGE)
    code = _STATE_HALTED if action == _OUTAGE else _STATE_TRADING
    return write_operational_halt_nb(out, at, symbol + 1, ts_ns, stock, code)


@kernel
def _change_state_nb(market: Market, out: Bytes, at: int, symbol: int, action: int) -> int:
    """The actions whose message is H."""
    if action == _QUOTE:
        reason = _REASON_NEW_QUOTES if market.own[symbol, SHOCK] else _REASON_NEWS_OUT
        _act_later_nb(market, _QUOTE_NS, symbol, _CROSS)
        return _state_nb(market, out, at, symbol, (_STATE_QUOTING, reason))
    if action == _TRADE:
        market.own[symbol, SHOCK] = 0
        market.own[symbol, REFERENCE_LEVEL] = 0
        return _state_nb(market, out, at, symbol, (_STATE_TRADING, _REASON_NONE))
    if action == _PAUSE:
        _act_later_nb(market, _PAUSE_NS, symbol, _COLLAR)
        return _state_nb(market, out, at, symbol, (_STATE_PAUSED, _REASON_BAND))
    return _state_nb(market, out, at, symbol, (_STATE_HALTED, _REASON_NEWS))


@kernel
def _is_possible_nb(market: Market, symbol: int, action: int, status: int) -> int:
    """1 while the symbol is still in the state that the action is for: meanwhile another halt may
    have begun, or ended.
    """
    if action == _QUOTE:
        return np.int64(status == _STATE_HALTED)
    if action == _COLLAR:
        return np.int64(status == _STATE_PAUSED)
    if action in (_CROSS, _TRADE):
        return np.int64(status != _STATE_TRADING)
    if action == _RELEASE:
        return np.int64(market.own[symbol, SHOCK] > 0)
    if action == _RESTRICT:
        return _ONE
    halted = market.engine.symbols[symbol, HALTED]
    if action == _BACK:
        return np.int64(status == _STATE_TRADING and halted != 0)
    # PAUSE, HALT, OUTAGE
    return np.int64(status == _STATE_TRADING and halted == 0)


@outline_kernel
def _cross_after_halt_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """Q of a cross that ends a halt; trading follows."""
    market.auction_sizes[OPENING, symbol] = 0
    enter_auction_nb(market, OPENING, symbol, np.int64(AUCTION))
    _act_later_nb(market, _NOTHING, symbol, _TRADE)
    size, shares = cross_nb(market, out, at, OPENING, symbol, _CODE_HALT)
    log_nb(market, _CROSS, symbol, shares, _CODE_HALT)
    return size


@kernel
def _collar_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    engine = market.engine
    price4 = (fair_value_nb(market, symbol) >> 8) * TICK_PRICE4
    width4 = (price4 // 20) // TICK_PRICE4 * TICK_PRICE4
    stock = engine.symbols[symbol, TICKER]
    collar = (price4, price4 + width4, price4 - width4)
    return write_collar_nb(out, at, symbol + 1, engine.state[CLOCK_NS], stock, collar)


@kernel
def _release_nb(market: Market, out: Bytes, at: int, symbol: int) -> int:
    """K, or O of a direct listing: the symbol is quoted from then on."""
    engine = market.engine
    ts_ns = engine.state[CLOCK_NS]
    stock = engine.symbols[symbol, TICKER]
    price4 = (market.own[symbol, FIRST_PRICE] >> 8) * TICK_PRICE4
    _act_later_nb(market, _RELEASE_NS, symbol, _QUOTE)
    if market.shocks[market.own[symbol, SHOCK] - 1, SHOCK_KIND] == DIRECT:
        fifth = price4 // 5 // TICK_PRICE4 * TICK_PRICE4
        prices = (price4, price4 - fifth, price4 + 4 * fifth)
        return write_direct_listing_nb(out, at, symbol + 1, ts_ns, stock, prices)
    release = ((ts_ns + _RELEASE_NS) // NS_PER_S, price4)
    return write_ipo_nb(out, at, symbol + 1, ts_ns, stock, release)


@outline_kernel
def second_nb(market: Market, out: Bytes, at: int) -> int:
    """Once a second in market hours: the market's decline."""
    now_ns = market.engine.state[CLOCK_NS]
    push_nb(market, now_ns + NS_PER_S, word_nb(SECOND_DUE, _NOTHING, _NOTHING))
    if market.words[REGULAR] == 0:
        return _NOTHING
    return _breach_nb(market, out, at)


@outline_kernel
def watch_nb(market: Market, symbol: int) -> None:
    """Hold the middle of the best prices against the band around its average, once in each second
    in which the symbol has an event; in the others it does not move.
    """
    now_ns = market.engine.state[CLOCK_NS]
    own = market.own[symbol]
    passed_s = now_ns // NS_PER_S - own[WATCHED_S]
    symbols = market.engine.symbols
    bid, ask = symbols[symbol, BEST + BUY], symbols[symbol, BEST + SELL]
    if passed_s == 0 or symbols[symbol, HALTED] or bid == NO_BID or ask == NO_ASK:
        return
    own[WATCHED_S] = now_ns // NS_PER_S
    price = (2 * symbols[symbol, BASE_TICK] + bid + ask) << 7
    if own[REFERENCE_LEVEL] == 0:
        own[REFERENCE_LEVEL] = price
    wide = now_ns < OPEN_S * NS_PER_S + _CALM_NS or now_ns > CLOSE_S * NS_PER_S - _CALM_NS
    widths = 1 + np.int64(wide)
    away = price - own[REFERENCE_LEVEL]
    if abs(away) > ((own[REFERENCE_LEVEL] >> 8) * own[BAND] * widths) >> 8:
        _act_later_nb(market, _NOTHING, symbol, _PAUSE)
    own[REFERENCE_LEVEL] += away * min(passed_s, _REFERENCE_S) // _REFERENCE_S
    if own[SHORT_RESTRICTED] == 0 and 10 * price < 9 * own[FIRST_PRICE]:
        own[SHORT_RESTRICTED] = 1
        _act_later_nb(market, _NOTHING, symbol, _RESTRICT)


@kernel
def _breach_nb(market: Market, out: Bytes, at: int) -> int:
    """W when the whole market has lost enough, and then a halt of all; 0 otherwise."""
    words = market.words
    level = words[BREACHED]
    if level == len(_DECLINES):
        return _NOTHING
    left = power_nb(market, market.factors[0] + market.shifts[0])
    if left * 100 > (100 - np.int64(_DECLINES[level])) << EXP_BITS:
        return _NOTHING
    words[BREACHED] = level + 1
    log_nb(market, LOG_BREACH, np.int64(-1), level + 1, _NOTHING)
    if market.engine.state[CLOCK_NS] < _LAST_BREACH_NS:
        _begin_list_nb(market, _HALTS)
    return write_breach_nb(out, at, market.engine.state[CLOCK_NS], level + 1)


@outline_kernel
def begin_shock_nb(market: Market, index: int) -> None:
    """A shock of the scenario begins; what it does to quotes and trades comes by itself."""
    shock = market.shocks[index]
    kind = shock[SHOCK_KIND]
    scope = shock[SHOCK_SCOPE]
    log_nb(market, _NOTHING, -1 - scope if scope < 0 else np.int64(-1), index, kind)
    if kind == _JUMP:
        shock_nb(market, scope, shock[SHOCK_SIZE])
    elif kind in (_ACTIVITY, _STUFFING):
        push_nb(market, shock[SHOCK_NS], word_nb(BURST, index, _NOTHING))
    elif kind in (_IPO, _LISTING):
        _act_later_nb(market, _NOTHING, -1 - scope, _RELEASE)
    elif kind == _OUTAGES:
        _act_later_nb(market, _NOTHING, -1 - scope, _OUTAGE)
        _act_later_nb(market, shock[SHOCK_UNTIL_NS] - shock[SHOCK_NS], -1 - scope, _BACK)
    elif kind == _NEWS:
        shock_nb(market, scope, shock[SHOCK_SIZE])
        _act_later_nb(market, _NOTHING, -1 - scope, _HALT)
        _act_later_nb(market, shock[SHOCK_UNTIL_NS] - shock[SHOCK_NS], -1 - scope, _QUOTE)


@kernel
def drift_nb(market: Market) -> None:
    """One step of every drift that goes on: there, and back in as much time again."""
    now_ns = market.engine.state[CLOCK_NS]
    for index in range(market.words[DRIFT_ROWS]):
        shock = market.shocks[index]
        if shock[SHOCK_KIND] != _DRIFT or now_ns < shock[SHOCK_NS]:
            continue
        length_ns = shock[SHOCK_UNTIL_NS] - shock[SHOCK_NS]
        steps = max(length_ns // STEP_NS, _ONE)
        if now_ns < shock[SHOCK_UNTIL_NS]:
            shock_nb(market, shock[SHOCK_SCOPE], shock[SHOCK_SIZE] // steps)
        elif now_ns < shock[SHOCK_UNTIL_NS] + length_ns:
            shock_nb(market, shock[SHOCK_SCOPE], shock[SHOCK_BACK] // steps)


@outline_kernel
def first_due_nb(market: Market) -> None:
    """Schedule the day."""
    for phase in range(len(PHASES_NS)):
        push_nb(market, np.int64(PHASES_NS[phase]), word_nb(PHASE_DUE, np.int64(phase), _NOTHING))
    push_nb(market, np.int64(START_NS), word_nb(STEP_DUE, _NOTHING, _NOTHING))
    push_nb(market, np.int64(START_NS), word_nb(SECOND_DUE, _NOTHING, _NOTHING))
    for index in range(market.shocks.shape[0]):
        kind = market.shocks[index, SHOCK_KIND]
        if kind == _GAP:
            shock_nb(market, market.shocks[index, SHOCK_SCOPE], market.shocks[index, SHOCK_SIZE])
        else:
            due_ns = market.shocks[index, SHOCK_NS]
            due = PLANT if kind >= FIRST_PLANT else SHOCK_DUE
            push_nb(market, due_ns, word_nb(due, np.int64(index), _NOTHING))


@kernel
def scope_symbol_nb(market: Market, scope: int) -> int:
    """A symbol of a scope: of the market by its share of the flow, of a sector any."""
    engine = market.engine
    if scope < 0:
        return -1 - scope
    draw = random_nb(engine.state, RANDOM)
    if scope == 0:
        return np.int64(engine.activity[draw & (engine.activity.shape[0] - 1)])
    first = market.sectors[scope - 1]
    size = market.sectors[scope] - first
    return market.sectors[first + ((draw * size) >> 32)]
