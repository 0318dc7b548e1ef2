"""Memory of a market: what each array holds, and how it is set up from a scenario and a seed.

    heap      i64[n, 2]              what is due: time, and a word of kind, symbol and more (`heap`)
    own       i64[symbols, 24]       a symbol's part of the price, its rates, its state
    factors   i64[1 + n]             logarithm of the index, and of each factor of `correlations`
    loadings  i64[symbols, n]        of a symbol on its factors, in 2**-16
    shifts    i64[1 + sectors]       what shocks moved the market by, and each sector
    runs      i64[symbols, RUNS, 2]  intentions that orders come from: side, orders left
    auctions  i64[2, symbols, AUCTION, 3], auction_sizes i64[2, symbols]
                                     orders for the opening cross (and those after halts), and for
                                     the closing one: side, level, shares
    shocks    i64[n, 16]             the scenario's events
    relations i64[n, 48]             of prices: `relations`
    planted   i64[PLANTED_ROWS, 12]  what was planted for patterns to find: `plants`
    log       i64[LOG_ROWS, 5]       what happened: time, what, symbol, two values
    cross_orders i64[n, 4]           orders of the crosses that were made: match number, side,
                                     price4 (-1: any), shares

A fair value is exp(own part + loadings * factors + both shifts), all in units of 2**-40, times the
first price. All arithmetic is of integers, so that every machine makes the same bytes.
One thread owns it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.lines import zeros
from protocols.by_reference import by_reference
from tools.exchange.day import NS_PER_MS, NS_PER_S
from tools.exchange.layout import (
    BASE_TICK,
    BEST,
    BUY,
    CLOCK_NS,
    FIRST_ROW,
    HALTED,
    LEVEL_COUNT,
    LEVEL_WORDS,
    MATCH_SYMBOL,
    NEXT_MATCH,
    NEXT_REFERENCE,
    NO_ASK,
    NO_BID,
    NO_MATCH,
    RANDOM,
    SELL,
    STATE_WORDS,
    SYMBOL_WORDS,
    TARGET_LIVE,
    TICKER,
    TOTAL,
    UNLIMITED,
    Engine,
)
from tools.exchange.market import tables
from tools.exchange.market.correlations import Structure, structure_of
from tools.exchange.market.own_paths import OwnPaths, make_own_paths
from tools.exchange.market.paths import STEPS_A_SECOND, make_factor_moves, make_paths
from tools.exchange.market.placing import placed_events, scope_number, sectors_of
from tools.exchange.market.profiles import Profile
from tools.exchange.market.relations import FIRST, relation_rows
from tools.exchange.market.scenario import (
    CLOSE_S,
    OPEN_S,
    PLANT_KEYS,
    START_S,
    Event,
    Scenario,
)
from tools.exchange.market.trouble import clock_steps_of
from tools.exchange.rng import seed_state
from tools.exchange.symbols import share_table

STEP_NS = NS_PER_S // STEPS_A_SECOND
"""Fair values walk in steps of this."""
START_NS = START_S * NS_PER_S
RUNS = 4
AUCTION = 32
LOG_ROWS = 1 << 20
PLANTED_ROWS = 1 << 16
HEAP_SPARE = 1 << 17
HEAP_ROOT = 3
"""Row of the heap's first entry: `heap`."""
HEAP_EDGES = HEAP_ROOT + 4
NEVER = 1 << 62

# Words of `words`.
HEAP_SIZE = 0
STEP = 1
"""Steps of the factors that were made."""
LIST = 2
"""A list of messages, one for each symbol, that is being written: see `rules`; 0 for none."""
LIST_AT = 3
PHASE = 4
BACKGROUND_NS = 5
"""Mean time between events that nothing provoked, at an activity of 1."""
LOG_SIZE = 6
CROSS_ORDERS = 15
"""Rows of `cross_orders` in use."""
BREACHED = 7
"""Levels of the market's decline that were reached."""
LOG_LOST = 8
EVENTS_LOST = 9
"""Provoked events that found the heap full."""
REGULAR = 10
"""1 in market hours."""
ENDING = 16
"""1: the day ends with the next messages."""
LOOKED = 11
"""Symbol whose quotes are looked at next."""
LOOKS = 13
"""How many are looked at in a step of the factors, in 2**-16."""
LOOKS_DUE = 14
"""How many more it should have been so far."""
FACTOR_STEP = 12
"""Standard deviation of a step of a factor, in 2**-40."""
ICEBERG_SLOT = 17
"""Slot of the first shock's iceberg, if it is one; those of the others follow."""
PLANTED_SIZE = 18
"""Rows of `planted` in use."""
DRIFT_ROWS = 19
"""Rows of `shocks` up to the last drift."""
WORDS = 32

# Columns of `own`.
PART = 0
SEEN = 1
"""Steps that `PART` has made."""
STEP_SIZE = 2
FIRST_FACTOR = 3
"""Row of `factors` that its loadings begin with."""
LEFT = 4
"""What its own part has still to move by in the minute."""
SECTOR = 5
FIRST_PRICE = 6
"""In 1/256 ticks."""
HALF_SPREAD = 7
"""In ticks, at least 1."""
LIFETIME_NS = 8
"""Mean lifetime of an order at an activity of 1."""
REFERENCE_LEVEL = 9
"""Price that the band of a pause is around, in 1/256 levels; 0: none yet."""
BAND = 10
"""Width of that band, in 2**-16 of the price."""
STATUS = 11
"""See `rules`."""
STUFFED = 12
"""Slot of the order that is to be cancelled at once, and its reference; 0: none."""
STUFFED_REFERENCE = 13
SHORT_RESTRICTED = 14
"""1 once short sales are restricted."""
SHOCK = 15
"""1 + the shock that a new symbol waits for, 0: none."""
WATCHED_S = 16
"""Second in which its price was last held against the band."""
NEXT_JUMP = 17
"""Row of `own_paths.jumps`."""
RELATION = 18
"""1 + the relation that the symbol follows others by, 0: none. Its own part is what it has parted
by then.
"""
OWN_WORDS = 24

# Columns of `shocks`.
SHOCK_KIND = 0
SHOCK_NS = 1
SHOCK_SCOPE = 2
"""0: the market; 1 + n: sector n; -1 - n: symbol n."""
SHOCK_SIZE = 3
"""Logarithm in 2**-40, or mean ns between the messages of a burst."""
SHOCK_UNTIL_NS = 4
SHOCK_BACK = 5
"""Logarithm of the way back."""
SHOCK_SIDE = 6
SHOCK_COUNT = 7
"""Levels of a sweep, trades of a momentum, shares of an iceberg."""
SHOCK_DISPLAY = 8
SHOCK_FOLLOWER = 9
SHOCK_LAG_NS = 10
SHOCK_EVERY_NS = 11
"""Between two moves of a leader, two orders that take from an iceberg, or two of a momentum."""
SHOCK_ROW = 12
"""Row of `planted` about the whole of it."""
SHOCK_LEFT = 13
"""Shares of an iceberg that were not shown yet, trades to come, or how far a leader has come."""
SHOCK_LEVEL = 14
"""Of an iceberg."""
SHOCK_NEXT_NS = 15
"""When an iceberg is taken from next; NEVER once it is over."""
SHOCK_WORDS = 16

KINDS = (
    "jump",
    "drift",
    "activity",
    "stuffing",
    "news",
    "outage",
    "ipo",
    "listing",
    "gap",
    *PLANT_KEYS,
)
"""Kinds of shocks, by number."""
FIRST_PLANT = len(KINDS) - len(PLANT_KEYS)

# Columns of `planted`.
PLANTED_SHOCK = 0
PLANTED_PART = 1
"""WHOLE, or a part of it: a move of a leader, or an order that an iceberg shows."""
PLANTED_BEGIN_NS = 2
PLANTED_END_NS = 3
"""0 until then."""
PLANTED_MOVE = 4
"""Of a move, in 2**-40."""
PLANTED_SHARES = 5
PLANTED_PRICE4 = 6
"""Of an iceberg; where a sweep begins; twice the middle price before a momentum."""
PLANTED_LAST4 = 7
"""Where a sweep ends; twice the middle price after a momentum."""
PLANTED_SEQ = 8
"""Number of its first message, from 1."""
PLANTED_LAST_SEQ = 9
PLANTED_REFERENCE = 10
PLANTED_TRADES = 11
PLANTED_WORDS = 12
WHOLE, PART_OF_IT = 0, 1

_DAYS_A_YEAR = 252
_STEPS_A_DAY = (CLOSE_S - OPEN_S) * (NS_PER_S // STEP_NS)
_ONE_LOG = 1 << tables.LOG_BITS
_BAND_TIER_1 = (tables.ONE_16 * 5) // 100
_BAND_TIER_2 = (tables.ONE_16 * 10) // 100
_TIER_1_SYMBOLS = 50
_WINDOW_MIN = 2_048
_SLOTS_A_TARGET = 4
_SLOTS_SPARE = 64
_CROSS_SPARE = 1 << 16
_LOOKS_A_SECOND_MAX = 128
_MESSAGES_AN_EVENT = 2.15
"""Messages that an event of the flow leads to, deletes of its orders included: measured."""
_CORRECTIONS = 17_500
_HALF_CORRECTIONS = 15_000
"""Messages that correct quotes of a symbol on a day of any number of events, and the number of
events that has half of those: measured.
"""
_ADDS_AN_EVENT = 0.70
_TAKES_A_DISPLAY = 1.7
"""Orders that it takes to take all that an iceberg shows, about."""


class Draws(NamedTuple):
    """Tables of `tables`, i64[ENTRIES] each but the last, the powers."""

    normal: tables.Table
    waits: tables.Table
    delays: tables.Table
    children: tables.Table
    lifetimes: tables.Table
    sizes: tables.Table
    distances: tables.Table
    runs: tables.Table
    powers: tables.Table


@by_reference
class Market(NamedTuple):
    """All memory of a market; see the top of this file."""

    engine: Engine
    words: NDArray[np.int64]
    heap: NDArray[np.int64]
    own: NDArray[np.int64]
    factors: NDArray[np.int64]
    loadings: NDArray[np.int64]
    shifts: NDArray[np.int64]
    steps: NDArray[np.int32]
    seconds: NDArray[np.int32]
    """i32[STEPS, factors] and i32[SECONDS, factors]: what each factor's step is: `paths`."""
    own_paths: OwnPaths
    scale: NDArray[np.int64]
    activity: NDArray[np.int64]
    runs: NDArray[np.int64]
    auctions: NDArray[np.int64]
    auction_sizes: NDArray[np.int64]
    sectors: NDArray[np.int64]
    """i64[sectors + 1 + symbols]: where each sector's symbols begin behind it, then the symbols."""
    shocks: NDArray[np.int64]
    relations: NDArray[np.int64]
    planted: NDArray[np.int64]
    log: NDArray[np.int64]
    cross_orders: NDArray[np.int64]
    draws: Draws


def allocate_market(
    scenario: Scenario, profiles: Sequence[Profile], seed: int, own_orders: int = 0
) -> Market:
    """A market before its first message, with room for `own_orders` orders of clients. ValueError
    names a scope that there is not, or what is wrong in a matrix of correlations, a relation or a
    time.
    """
    names = sectors_of(profiles)
    count = len(profiles)
    structure = structure_of(scenario, profiles)
    paths = make_paths(scenario, seed)
    betas = np.array([each.volatility_percent for each in profiles]) / _FACTOR_PERCENT
    moves = make_factor_moves(paths.scale, _with_index(structure, betas), seed)
    own_paths = make_own_paths(
        scenario, paths.scale, moves.minutes, structure.own, betas * _FACTOR_DAY, seed
    )
    shocks = _shocks(placed_events(scenario, profiles, seed), profiles, names)
    icebergs = len(shocks) if (shocks[:, SHOCK_KIND] == KINDS.index("iceberg")).any() else 0
    engine = _engine(scenario, profiles, seed, own_orders + icebergs)
    own = np.zeros((count, OWN_WORDS), np.int64)
    shares = sum(profile.volume_share for profile in profiles)
    events = _events(scenario.messages, count)
    regular_s = CLOSE_S - OPEN_S
    own[:, FIRST_FACTOR] = 1 + structure.first
    own[:, NEXT_JUMP] = own_paths.first_jumps
    own[:, STEP_SIZE] = np.rint(own_paths.sizes / _STEPS_A_DAY**0.5 * _ONE_LOG)
    for row, profile in zip(own, profiles, strict=True):
        _fill(row, profile, names)
        adds_a_s = _ADDS_AN_EVENT * events * profile.volume_share / shares / regular_s
        row[LIFETIME_NS] = round(scenario.orders_per_symbol / adds_a_s * NS_PER_S)
    own[:_TIER_1_SYMBOLS, BAND] = _BAND_TIER_1
    words = _first_words(scenario, events, count, shocks)
    words[ICEBERG_SLOT] = len(engine.orders) - icebergs
    heap = zeros((len(engine.orders) * 2 + HEAP_SPARE, 2))
    heap[:, 0] = NEVER
    for index, row in enumerate(shocks):
        if KINDS[row[SHOCK_KIND]] in ("ipo", "listing"):
            own[-1 - row[SHOCK_SCOPE], SHOCK] = 1 + index
    relations = relation_rows(scenario, profiles)
    own[relations[:, FIRST], RELATION] = 1 + np.arange(len(relations))
    return Market(
        engine=engine,
        words=words,
        heap=heap,
        own=own,
        factors=np.zeros(1 + len(structure.mix), np.int64),
        loadings=np.rint(structure.loadings * betas[:, np.newaxis] * tables.ONE_16).astype(
            np.int64
        ),
        shifts=np.zeros(1 + len(names), np.int64),
        steps=moves.steps,
        seconds=moves.seconds,
        own_paths=own_paths,
        scale=paths.scale,
        activity=paths.activity,
        runs=np.zeros((count, RUNS, 2), np.int64),
        auctions=np.zeros((2, count, AUCTION, 3), np.int64),
        auction_sizes=np.zeros((2, count), np.int64),
        sectors=_members(profiles, names),
        shocks=shocks,
        relations=relations,
        planted=np.zeros((PLANTED_ROWS, PLANTED_WORDS), np.int64),
        log=np.zeros((LOG_ROWS, 5), np.int64),
        cross_orders=np.zeros((4 * count * AUCTION + _CROSS_SPARE, 4), np.int64),
        draws=_draws(scenario),
    )


def _first_words(
    scenario: Scenario, events: float, count: int, shocks: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`words` of `count` symbols with so many events in market hours."""
    words = np.zeros(WORDS, np.int64)
    regular_s = CLOSE_S - OPEN_S
    provoked = scenario.provoked_percent / 100
    words[BACKGROUND_NS] = round(regular_s * NS_PER_S / (events * (1 - provoked)))
    looks_a_s = min(_LOOKS_A_SECOND_MAX, count, events / regular_s)
    words[LOOKS] = round(looks_a_s / STEPS_A_SECOND * tables.ONE_16)
    words[FACTOR_STEP] = round(_FACTOR_DAY / _STEPS_A_DAY**0.5 * _ONE_LOG)
    drifts = np.flatnonzero(shocks[:, SHOCK_KIND] == KINDS.index("drift"))
    words[DRIFT_ROWS] = 1 + max(drifts, default=-1)
    return words


def _draws(scenario: Scenario) -> Draws:
    return Draws(
        normal=tables.normal_table(),
        waits=tables.exponential_table(),
        delays=tables.delay_table(),
        children=tables.children_table(scenario.provoked_percent),
        lifetimes=tables.lifetime_table(),
        sizes=tables.size_table(),
        distances=tables.distance_table(),
        runs=tables.run_table(),
        powers=tables.exp_table(),
    )


_FACTOR_PERCENT = 20.0
"""A year's volatility of each factor before a symbol's loading."""
_FACTOR_DAY = _FACTOR_PERCENT / 100 / _DAYS_A_YEAR**0.5
"""A day's."""


def _events(messages: int, symbols: int) -> float:
    """Events of the flow that lead to so many messages."""
    most, half = _CORRECTIONS * symbols, _HALF_CORRECTIONS * symbols
    # messages = events * _MESSAGES_AN_EVENT + most * events / (events + half)
    middle = (_MESSAGES_AN_EVENT * half + most - messages) / 2
    root: float = (middle**2 + _MESSAGES_AN_EVENT * messages * half) ** 0.5
    return (root - middle) / _MESSAGES_AN_EVENT


def _with_index(structure: Structure, betas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factors' mixture, and before it that of the index: the mean of what symbols have of
    them.
    """
    weights = np.zeros(len(structure.mix))
    for place in range(structure.loadings.shape[1]):
        np.add.at(weights, structure.first + place, structure.loadings[:, place] * betas)
    return np.vstack((weights / len(betas) @ structure.mix, structure.mix))


def _fill(row: NDArray[np.int64], profile: Profile, sectors: list[str]) -> None:
    row[SECTOR] = sectors.index(profile.sector)
    row[FIRST_PRICE] = profile.price_ticks << 8
    row[HALF_SPREAD] = max(1, profile.spread_ticks // 2)
    row[BAND] = _BAND_TIER_2


def _engine(scenario: Scenario, profiles: Sequence[Profile], seed: int, own_orders: int) -> Engine:
    count = len(profiles)
    slots = _SLOTS_A_TARGET * scenario.orders_per_symbol + _SLOTS_SPARE
    symbols = np.zeros((count, SYMBOL_WORDS), np.int64)
    rows = 0
    for row, profile in zip(symbols, profiles, strict=True):
        levels = max(_WINDOW_MIN, profile.price_ticks * 6 // 5)
        row[BASE_TICK] = max(1, profile.price_ticks - levels // 2)
        row[BEST + BUY], row[BEST + SELL] = NO_BID, NO_ASK
        row[TICKER] = int.from_bytes(profile.symbol.encode().ljust(8), "big")
        row[FIRST_ROW], row[LEVEL_COUNT] = rows, levels
        row[HALTED] = 1
        rows += levels
    state = np.zeros(STATE_WORDS, np.int64)
    state[RANDOM] = seed_state(seed)
    state[CLOCK_NS] = START_NS
    state[NEXT_REFERENCE] = state[NEXT_MATCH] = 1
    state[MATCH_SYMBOL] = NO_MATCH
    state[TOTAL] = UNLIMITED
    state[TARGET_LIVE] = scenario.orders_per_symbol
    first_slots = 1 + np.arange(count, dtype=np.int32)[:, np.newaxis] * np.int32(slots)
    return Engine(
        orders=np.zeros((1 + count * slots + own_orders, 8), np.int64),
        members=first_slots + np.arange(slots, dtype=np.int32),
        levels=np.zeros((rows, LEVEL_WORDS), np.int32),
        symbols=symbols,
        state=state,
        activity=share_table([profile.volume_share for profile in profiles]),
        step_ns=np.zeros(1, np.int64),
        type_counts=np.zeros(256, np.int64),
        clock_steps=clock_steps_of(scenario),
    )


def _members(profiles: Sequence[Profile], names: list[str]) -> NDArray[np.int64]:
    members = [
        [i for i, profile in enumerate(profiles) if profile.sector == name] for name in names
    ]
    begins = len(names) + 1 + np.cumsum([0, *map(len, members)])
    return np.concatenate([begins, *members]).astype(np.int64)


def _shocks(
    events: Sequence[Event], profiles: Sequence[Profile], sectors: list[str]
) -> NDArray[np.int64]:
    rows = np.zeros((len(events), SHOCK_WORDS), np.int64)
    shares = sum(profile.volume_share for profile in profiles)
    for row, event in zip(rows, events, strict=True):
        row[SHOCK_KIND] = KINDS.index(event.kind)
        row[SHOCK_NS] = event.at_ns
        row[SHOCK_SCOPE] = scope_number(event.scope, profiles, sectors)
        row[SHOCK_UNTIL_NS] = event.at_ns + round(event.duration_s * NS_PER_S)
        size = np.log1p(event.percent / 100) * _ONE_LOG
        row[SHOCK_SIZE] = round(size)
        row[SHOCK_BACK] = round(-size * event.recovery_percent / 100)
        if event.kind == "stuffing":
            row[SHOCK_SIZE] = NS_PER_S // event.rate
        if event.kind == "activity":
            # A part of what the scope has at an activity of 1.
            inside = _share(int(row[SHOCK_SCOPE]), profiles, sectors) / shares
            row[SHOCK_SIZE] = round(1e6 / (event.factor * inside))
        if event.kind in PLANT_KEYS:
            _fill_plant(row, event, profiles)
    return rows


def _fill_plant(row: NDArray[np.int64], event: Event, profiles: Sequence[Profile]) -> None:
    """What only events have that patterns are to find."""
    row[SHOCK_SIDE] = SELL if event.side == "sell" else BUY
    part = event.percent / 100
    if event.ticks:
        part = event.ticks / profiles[-1 - row[SHOCK_SCOPE]].price_ticks
    if event.kind == "momentum" and event.side == "sell":
        part = -part
    if part <= -1:
        raise ValueError(f"{event.kind} at {event.at}: that leaves nothing of a price")
    row[SHOCK_SIZE] = round(np.log1p(part) * _ONE_LOG)
    row[SHOCK_COUNT] = event.levels or event.trades or event.shares
    row[SHOCK_DISPLAY] = event.display
    row[SHOCK_LAG_NS] = event.lag_ms * NS_PER_MS
    row[SHOCK_EVERY_NS] = round(event.every_s * NS_PER_S)
    lasts_ns = row[SHOCK_UNTIL_NS] - row[SHOCK_NS]
    if event.kind == "momentum":
        row[SHOCK_EVERY_NS] = lasts_ns // event.trades
    elif event.kind == "iceberg":
        takes = _TAKES_A_DISPLAY * event.shares / event.display
        row[SHOCK_EVERY_NS] = max(1, round(lasts_ns / takes))
    elif event.kind == "lead_lag":
        names = [profile.symbol for profile in profiles]
        row[SHOCK_FOLLOWER] = names.index(event.symbols[1])


def _share(scope: int, profiles: Sequence[Profile], sectors: list[str]) -> int:
    if scope == 0:
        return sum(profile.volume_share for profile in profiles)
    if scope < 0:
        return profiles[-1 - scope].volume_share
    return sum(each.volume_share for each in profiles if each.sector == sectors[scope - 1])
