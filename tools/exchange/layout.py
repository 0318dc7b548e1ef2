"""Memory of the matching engine: what each array holds, and how it is set up from a seed.

    orders   i64[1 + symbols * slots + own, 8] one cache line an order; slot 0 means "none"; the
                                               last ones, `own`, are for orders of clients
    members  i32[symbols, slots]               a permutation of the symbol's slots: the first LIVE
                                               of them hold live orders
    levels   i32[all levels, 4]                first and last order of the queue at each price, 0 =
                                               empty; shares and orders in it; a symbol's begin at
                                               row FIRST_ROW
    symbols  i64[symbols, 16]                  best prices, counts, fair value, halt
    state    i64[32]                           clock, counters, random numbers, the aggressive order
                                               that is being matched
    clock_steps i64[n, 3]                      when the venue's own clock is wrong: `stamps`

A level belongs to one side at a time, because a book is never crossed. Its number is a tick index:
price = (BASE_TICK + index) * 0.01. One thread owns all of this.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from tools.exchange.day import MIDNIGHT_NS, NS_PER_S, OPEN_NS
from tools.exchange.rng import seed_state
from tools.exchange.symbols import SYMBOLS_MAX, activity_table, first_price_ticks, ticker_word

CLOSING_COUNT = 3
"""System events that close a session."""
TICK_PRICE4 = 100
"""A tick is one cent."""
LEVELS = 4096
WINDOW_MARGIN = 300
"""The fair value stays this many levels inside the window: more than any order's distance from it.
"""
FAIR_SHIFT = 8
"""A fair value is held in 1/256 ticks."""
UNLIMITED = 1 << 62

BUY = 0
SELL = 1

# Columns of `orders`.
REFERENCE = 0
QUANTITY = 1
LEVEL = 2
SIDE = 3
NEXT = 4
PREVIOUS = 5
MEMBER = 6
ATTRIBUTION = 7
"""Who entered it, four letters; above those what its first reference was, where somebody asks."""
FIRST_REFERENCE_SHIFT = 32
ATTRIBUTION_MASK = (1 << FIRST_REFERENCE_SHIFT) - 1

# Columns of `levels`.
FIRST = 0
LAST = 1
LEVEL_QUANTITY = 2
LEVEL_ORDERS = 3
LEVEL_WORDS = 4

# Columns of `symbols`; the best prices and the counts are indexed by BEST + side and ORDERS + side.
BASE_TICK = 0
BEST = 1
ORDERS = 3
LIVE = 5
FAIR = 6
FAIR_STEP = 7
TREND = 8
HALTED = 9
RESUME_NS = 10
TICKER = 11
FIRST_ROW = 12
"""Row of `levels` where the symbol's begin."""
LEVEL_COUNT = 13
"""How many they are."""
SYMBOL_WORDS = 16

# Words of `state`.
RANDOM = 0
CLOCK_NS = 1
NEXT_REFERENCE = 2
NEXT_MATCH = 3
EMITTED = 4
TOTAL = 5
SYSTEM_EVENTS = 6
NEXT_HALT_NS = 7
HALT_INTERVAL_NS = 8
NEXT_BROKEN_NS = 9
TARGET_LIVE = 10
SWEEP_SYMBOL = 11
SWEEP_SIDE = 12
SWEEP_LEVEL = 13
SWEEP_QUANTITY = 14
SWEEP_POSTS = 15
MATCH_SYMBOL = 16
"""Symbol of the latest match, NO_MATCH before the first one, and where a client took part: what a
client was told is never taken back.
"""
CLOSING_NS = 17
"""When the closing events are due at the latest, so that they still come before midnight."""
IS_TAPE = 18
"""1: the messages come from a tape, and nothing is matched."""
FILLED_SLOT = 19
"""Slot of the client's order that the latest message executed against, 0: of none; whoever sees it
sets it to 0 before the next message.
"""
FILLED_SHARES = 20
SLOT_MASK = 21
"""Bits of a reference that say its order's slot, below those that count: 0, none, but in a part of
a session (`parts`).
"""
LEFT_LEVEL = 24
"""The level that an order left last, or has fewer shares at; 0 since somebody who asks set it so.
No message makes more than one order leave a level, and one enter a level."""
ENTERED_LEVEL = 25
"""The same for an order that entered a level."""
STATE_WORDS = 32

# Columns of `clock_steps`: from when on, until when, and how far it is ahead; none overlap.
STEP_FROM_NS = 0
STEP_UNTIL_NS = 1
STEP_BY_NS = 2
CLOCK_STEP_WORDS = 3

# LEFT_LEVEL and ENTERED_LEVEL: the row of `levels` and one more, side, and 1 when the level was
# empty before.
CHANGED_ROW_SHIFT = 2
CHANGED_SIDE_SHIFT = 1

NO_BID = -1
NO_ASK = 1 << 30
"""Levels outside of the window, so that "one better than the other side's best" needs no
special case.
"""

NO_MATCH = -1

_FAIR_STEP_DIVISOR = 20_000
_STEP_TABLE = 4096
_SLOTS_SPARE = 64


@by_reference
class Engine(NamedTuple):
    """All memory of the matching engine and its order flow; see the top of this file."""

    orders: NDArray[np.int64]
    members: NDArray[np.int32]
    levels: NDArray[np.int32]
    symbols: NDArray[np.int64]
    state: NDArray[np.int64]
    activity: NDArray[np.int32]
    step_ns: NDArray[np.int64]
    type_counts: NDArray[np.int64]
    clock_steps: NDArray[np.int64]


class FlowSettings(NamedTuple):
    """What decides every byte of a session: same settings, same messages, at any pace."""

    seed: int
    symbols: int = 100
    simulated_rate: int = 100_000
    """Messages in a second of the simulated clock."""
    messages: int = 0
    """Total, the administrative ones included; 0 means until told to stop."""
    orders_per_symbol: int = 200
    """Live orders that the flow of each symbol steers to."""
    halt_interval_ms: int = 2000
    """Simulated time between halts, over all symbols."""
    parts: int = 1
    """Engines that the symbols are dealt out to; see `parts`."""


def allocate_engine(settings: FlowSettings, own_orders: int = 0) -> Engine:
    """An engine before its first message, with room for `own_orders` orders of clients."""
    if not 1 <= settings.symbols <= SYMBOLS_MAX:
        raise ValueError(f"symbols is {settings.symbols}: 1 to {SYMBOLS_MAX} are possible")
    count, slots = settings.symbols, 2 * settings.orders_per_symbol + _SLOTS_SPARE
    random_words = np.array([seed_state(settings.seed)], np.int64)
    symbols = np.zeros((count, SYMBOL_WORDS), np.int64)
    for index in range(count):
        price_ticks = first_price_ticks(random_words)
        base = max(1, price_ticks - LEVELS // 2)
        symbols[index, BASE_TICK] = base
        symbols[index, BEST + BUY] = NO_BID
        symbols[index, BEST + SELL] = NO_ASK
        # A price so low that its window starts at one cent may lie in the margin: the fair value
        # starts at the margin then.
        symbols[index, FAIR] = max(price_ticks - base, WINDOW_MARGIN) << FAIR_SHIFT
        symbols[index, FAIR_STEP] = max(1, (price_ticks << FAIR_SHIFT) // _FAIR_STEP_DIVISOR)
        symbols[index, TREND] = 1
        symbols[index, TICKER] = ticker_word(index)
        symbols[index, FIRST_ROW] = index * LEVELS
        symbols[index, LEVEL_COUNT] = LEVELS
    first_slots = 1 + np.arange(count, dtype=np.int32)[:, np.newaxis] * np.int32(slots)
    step_ns = _step_table(settings.simulated_rate)
    return Engine(
        orders=np.zeros((1 + count * slots + own_orders, 8), np.int64),
        members=first_slots + np.arange(slots, dtype=np.int32),
        levels=np.zeros((count * LEVELS, LEVEL_WORDS), np.int32),
        symbols=symbols,
        state=_first_state(settings, int(random_words[0]), int(step_ns.max())),
        activity=activity_table(count),
        step_ns=step_ns,
        type_counts=np.zeros(256, np.int64),
        clock_steps=np.zeros((0, CLOCK_STEP_WORDS), np.int64),
    )


def _first_state(settings: FlowSettings, random_state: int, step_ns_max: int) -> NDArray[np.int64]:
    state = np.zeros(STATE_WORDS, np.int64)
    state[RANDOM] = random_state
    state[CLOCK_NS] = OPEN_NS
    state[NEXT_REFERENCE] = 1
    state[NEXT_MATCH] = 1
    state[MATCH_SYMBOL] = NO_MATCH
    state[TOTAL] = settings.messages or UNLIMITED
    state[HALT_INTERVAL_NS] = settings.halt_interval_ms * (NS_PER_S // 1000)
    state[NEXT_HALT_NS] = OPEN_NS + state[HALT_INTERVAL_NS]
    state[NEXT_BROKEN_NS] = OPEN_NS + state[HALT_INTERVAL_NS] // 2
    state[TARGET_LIVE] = settings.orders_per_symbol
    # The message that passes this time takes a step more, then each of the closing ones.
    state[CLOSING_NS] = MIDNIGHT_NS - (1 + CLOSING_COUNT) * step_ns_max
    return state


def _step_table(simulated_rate: int) -> NDArray[np.int64]:
    """Steps of the simulated clock in ns, mean 1e9 / rate: the pieces of an exponential, halved in
    height over each equal width.

    Integers alone, so that no machine's logarithm has a say in the bytes of a session.
    """
    if not 1 <= simulated_rate <= NS_PER_S:
        raise ValueError(
            f"simulated_rate is {simulated_rate}: 1 to {NS_PER_S} messages a second are possible"
        )
    weights = []
    for slot in range(_STEP_TABLE):
        piece = ((slot & 0xFF) | 0x100) & -((slot & 0xFF) | 0x100)
        weights.append(((piece.bit_length() - 1) << 5) + 2 * (slot >> 8) + 1)
    total = sum(weights)
    steps = [weight * NS_PER_S * _STEP_TABLE // (simulated_rate * total) for weight in weights]
    return np.array(steps, np.int64)
