"""The lane of a tick: every rule gives an integer, their sum is looked up in a table of lanes.

    kind, touch ─┐
    move ────────┤
    large trade ─┼─► score ─► clamped to 0 .. SCORES - 1 ─► lane of that score
    size, symbol,│
    regime, phase┘                       override of the symbol ─► lane, whatever the score

The thread that receives owns all of it but `staged`, which the control plane fills, and `turns`,
which is the worker's. `newest` goes from the one to the other through atomics.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import is_trade_nb
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.counts import LANES_MAX
from feedhandler.core.event_time import FAR_BACK_NS, event_ns_nb
from feedhandler.core.events import E9_PER_E4, Flag, Kind
from feedhandler.core.lines import zeros
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

SCORES = 256
"""Scores are 0 to SCORES - 1; a sum outside counts as the nearest."""
KINDS = 32
MOVES = 1_024
"""Moves are told apart up to MOVES - 1 basis points."""
SIZES = 16
"""Sizes are told apart by powers of two, up to 2**(SIZES - 1) times the average."""
REGIMES = 4
PHASES = 5
WATCHED_MAX = 1_024
"""Symbols that have a score or a lane of their own."""
SAMPLES_MIN = 8
"""Trades after which an average says something."""

# With it a trade's quantity times any 32-bit price fits 63 bits, whatever a hostile message states.
_QTY_LIMIT = (1 << 29) - 1
_QTY_BITS = 8
_MEMORY_SHIFT = 6
_CAP_SHIFT = 4


class Phase(IntEnum):
    """Of the session, by its system events and by event time."""

    PRE_OPEN = 0
    OPENING = 1
    CONTINUOUS = 2
    CLOSING = 3
    AFTER = 4


class Extra(IntEnum):
    """Bits of rules[EXTRAS]: rules that look further than at the tick."""

    SYMBOL = 1
    SIZE = 2
    REGIME = 4
    PHASE = 8


class Rule(IntEnum):
    """Words of the rules; tables begin at the named one."""

    VERSION = 0
    """Counts the changes."""
    EXTRAS = 1
    LARGE_TRADE_QTY = 2
    LARGE_TRADE_NOTIONAL_E4 = 3
    LARGE_TRADE_SCORE = 4
    LANES = 5
    AGE_EVERY = 6
    """One of so many ticks that are taken may be a less urgent one; 0: none."""
    CONFLATE = 7
    """A bit for each lane whose quotes may give way to newer ones."""
    OVERLOAD = 8
    """They do while so many ticks wait in the lane behind them."""
    REGIMES = 9
    STAY_NS = 10
    OPEN_NS = 11
    CLOSE_NS = 12
    OPENING_NS = 13
    CLOSING_NS = 14
    WATCHED = 15
    """Rows of the table of symbols."""
    REGIME_UP = 16
    """Variance, 1e-18, from which on an instrument is in regime i + 1."""
    REGIME_DOWN = 20
    """Variance below which it leaves regime i + 1 again."""
    REGIME_SCORE = 24
    PHASE_SCORE = 32
    SIZE_SCORE = 40
    KIND_SCORE = 56
    """Of a message by its kind, where it changed the touch, and KINDS further where it did not."""
    MOVE_SCORE = 120
    LANE_OF = 1_144
    """Lane of each score, and then 0, 1, 2 ...: the lane of an override."""
    WATCH = 1_416
    """WATCHED_MAX rows of WATCH_WORDS words, by symbol."""


class Watch(IntEnum):
    """Words of a row of the table of symbols."""

    SYMBOL = 0
    SCORE = 1
    LANE = 2
    """One more than the lane that an override gives; 0: none."""
    UNTIL_NS = 3
    """When the override ends, the control plane's CLOCK_MONOTONIC; 0: it does not."""


WATCH_WORDS = len(Watch)
RULE_WORDS = Rule.WATCH + WATCHED_MAX * WATCH_WORDS

RANK = np.dtype(
    [
        ("symbol", "i8"),
        ("version", "i8"),
        ("score", "i8"),
        ("lane", "i8"),
        ("qty_q8", "i8"),
        ("trades", "i8"),
        ("regime", "i8"),
        ("since_ns", "i8"),
    ]
)
"""What the rules keep of an instrument, one cache line: the symbol that `score` and `lane` (as in
Watch) were looked up for, by the rules of which version; average quantity of a trade with 8 binary
digits, of how many; the regime, and since when, event time."""


class Session(IntEnum):
    """Words of `session`."""

    OPENED_NS = 0
    """When the market opened, event time; 0: its system event has not come."""
    CLOSED_NS = 1


class Turn(IntEnum):
    """Words of `turns`."""

    TICKS = 0
    """Ticks taken since the last turn of a less urgent lane."""
    BARRIER = 1
    """Position in lane 0 up to which ticks may have waited for a routine one; 0: not noted."""
    LANE = 2
    """The lane that had the last such turn."""


@by_reference
class Priority(NamedTuple):
    """Rules and state of the lanes.

    Shapes:  rules, staged i64[RULE_WORDS]; rows RANK[instruments]; session i64[2]; newest
             i64[instruments * LANES_MAX], position in its lane of the newest quote; turns i64[4].
    """

    rules: NDArray[np.int64]
    staged: NDArray[np.int64]
    rows: NDArray[np.void]
    session: NDArray[np.int64]
    newest: NDArray[np.int64]
    turns: NDArray[np.int64]


def allocate_priority(instruments: int) -> Priority:
    """Rules by which every tick goes to lane 0."""
    return Priority(
        rules=zeros(RULE_WORDS),
        staged=zeros(RULE_WORDS),
        rows=zeros(instruments, RANK),
        session=zeros(len(Session)),
        newest=zeros(instruments * LANES_MAX),
        turns=zeros(len(Turn)),
    )


# -- the thread that receives ---------------------------------------------------------------------


@kernel
def lane_of_nb(
    priority: Priority,
    instruments: NDArray[np.void],
    ticks: NDArray[np.void],
    slot: int,
    moved_bps: int,
) -> int:
    """The lane of ticks[slot], of an instrument whose row is up to date; `moved_bps` is how far the
    tick moved its mid price.
    """
    rules = priority.rules
    tick = ticks[slot]
    kind = np.int64(tick["kind"])
    deep = np.int64(tick["flags"] & Flag.BBO_CHANGED == 0)
    score = rules[Rule.KIND_SCORE + kind + KINDS * deep]
    score += rules[Rule.MOVE_SCORE + min(moved_bps, MOVES - 1)]
    if is_trade_nb(kind):
        qty = min(np.int64(tick["qty"]), _QTY_LIMIT)
        price_e4 = np.int64(tick["price_e9"]) // E9_PER_E4
        if qty >= rules[Rule.LARGE_TRADE_QTY] or (
            qty * price_e4 >= rules[Rule.LARGE_TRADE_NOTIONAL_E4]
        ):
            score += rules[Rule.LARGE_TRADE_SCORE]
    elif kind == Kind.SYSTEM_EVENT:
        track_session_nb(priority.session, ticks, slot)
    if rules[Rule.EXTRAS]:
        return _lane_by_extras_nb(priority, instruments, ticks, slot, score)
    return rules[Rule.LANE_OF + min(max(score, 0), SCORES - 1)]


@outline_kernel
def track_session_nb(session: NDArray[np.int64], ticks: NDArray[np.void], slot: int) -> None:
    """Take in what a system event says about when the market opened and closed. A new session (O)
    begins without either.
    """
    code = np.int64(ticks[slot]["status"])
    now_ns = max(event_ns_nb(np.int64(ticks[slot]["ts_exch_ns"])), np.int64(1))
    if code == np.int64(ord("O")):
        session[Session.OPENED_NS] = 0
        session[Session.CLOSED_NS] = 0
    elif code == np.int64(ord("Q")):
        session[Session.OPENED_NS] = now_ns
    elif code == np.int64(ord("M")):
        session[Session.CLOSED_NS] = now_ns


@outline_kernel
def _lane_by_extras_nb(
    priority: Priority,
    instruments: NDArray[np.void],
    ticks: NDArray[np.void],
    slot: int,
    score: int,
) -> int:
    """The lane of a tick that has `score` by itself, with the rules that look further."""
    rules, rows = priority.rules, priority.rows
    tick = ticks[slot]
    extras = rules[Rule.EXTRAS]
    number = np.int64(tick["instrument"])
    now_ns = event_ns_nb(np.int64(tick["ts_exch_ns"]))
    lane = np.int64(0)
    if extras & Extra.SYMBOL:
        symbol = np.int64(instruments[number]["symbol"])
        row = rows[number]
        if row["symbol"] != symbol or row["version"] != rules[Rule.VERSION]:
            _look_up_symbol_nb(rules, rows, number, symbol)
        score += row["score"]
        lane = np.int64(row["lane"])
    if extras & Extra.SIZE and is_trade_nb(np.int64(tick["kind"])):
        score += rules[Rule.SIZE_SCORE + size_nb(rows, number, np.int64(tick["qty"]))]
    if extras & Extra.REGIME:
        variance_e18 = np.int64(instruments[number]["variance_e18"])
        regime = regime_nb(rules, rows, number, variance_e18, now_ns)
        score += rules[Rule.REGIME_SCORE + regime]
    if extras & Extra.PHASE:
        score += rules[Rule.PHASE_SCORE + phase_nb(rules, priority.session, now_ns)]
    place = SCORES + lane - 1 if lane > 0 else min(max(score, np.int64(0)), np.int64(SCORES - 1))
    return rules[Rule.LANE_OF + place]


@kernel
def _look_up_symbol_nb(
    rules: NDArray[np.int64], rows: NDArray[np.void], number: int, symbol: int
) -> None:
    """Have score and lane of the symbol in rows[number]: by halves through the table of symbols."""
    row = rows[number]
    row["symbol"] = symbol
    row["version"] = rules[Rule.VERSION]
    row["score"] = 0
    row["lane"] = 0
    low = np.int64(0)
    high = rules[Rule.WATCHED]
    while low < high:
        middle = (low + high) >> 1
        if rules[Rule.WATCH + middle * WATCH_WORDS + Watch.SYMBOL] < symbol:
            low = middle + 1
        else:
            high = middle
    at = Rule.WATCH + low * WATCH_WORDS
    if low < rules[Rule.WATCHED] and rules[at + Watch.SYMBOL] == symbol:
        row["score"] = rules[at + Watch.SCORE]
        row["lane"] = rules[at + Watch.LANE]


@kernel
def size_nb(rows: NDArray[np.void], number: int, qty: int) -> int:
    """Which power of two a trade is of its instrument's average so far, 0 to SIZES - 1; then it is
    part of the average itself, as 16 times that at most. 0 while few trades were seen.
    """
    row = rows[number]
    qty = min(max(qty, 0), _QTY_LIMIT)
    average_q8 = np.int64(row["qty_q8"])
    size = np.int64(0)
    if row["trades"] >= SAMPLES_MIN:
        times = (qty << _QTY_BITS) // max(average_q8, np.int64(1))
        while times > 1 and size < SIZES - 1:
            times >>= 1
            size += 1
    if row["trades"] == 0:
        row["qty_q8"] = qty << _QTY_BITS
    else:
        capped_q8 = min(qty << _QTY_BITS, max(average_q8, np.int64(1) << _QTY_BITS) << _CAP_SHIFT)
        row["qty_q8"] = average_q8 + ((capped_q8 - average_q8) >> _MEMORY_SHIFT)
    row["trades"] += 1
    return size


@kernel
def regime_nb(
    rules: NDArray[np.int64],
    rows: NDArray[np.void],
    number: int,
    variance_e18: int,
    now_ns: int,
) -> int:
    """The regime of an instrument with this variance: up at once, as far as it has to go; down by
    one when it has stayed for long enough. So there are at most two changes for each such stay.
    """
    row = rows[number]
    before = np.int64(row["regime"])
    regime = min(before, rules[Rule.REGIMES])
    # Stamps that go far back begin anew, or an instrument would stay for a day.
    if now_ns < row["since_ns"] - FAR_BACK_NS:
        row["since_ns"] = now_ns
    while regime < rules[Rule.REGIMES] and variance_e18 >= rules[Rule.REGIME_UP + regime]:
        regime += 1
    if (
        regime == before
        and regime > 0
        and variance_e18 < rules[Rule.REGIME_DOWN + regime - 1]
        and now_ns - row["since_ns"] >= rules[Rule.STAY_NS]
    ):
        regime -= 1
    if regime != before:
        row["regime"] = regime
        row["since_ns"] = now_ns
    return regime


@kernel
def phase_nb(rules: NDArray[np.int64], session: NDArray[np.int64], now_ns: int) -> int:
    """The Phase of a moment: by the system events of the session as far as they came, else by the
    times of the rules.
    """
    opened_ns = session[Session.OPENED_NS]
    closed_ns = session[Session.CLOSED_NS]
    open_ns = opened_ns if opened_ns > 0 else rules[Rule.OPEN_NS]
    close_ns = closed_ns if closed_ns > 0 else rules[Rule.CLOSE_NS]
    if now_ns >= close_ns:
        return np.int64(Phase.AFTER)
    if now_ns < open_ns:
        return np.int64(Phase.PRE_OPEN)
    if now_ns >= close_ns - rules[Rule.CLOSING_NS]:
        return np.int64(Phase.CLOSING)
    if now_ns < open_ns + rules[Rule.OPENING_NS]:
        return np.int64(Phase.OPENING)
    return np.int64(Phase.CONTINUOUS)


@kernel
def is_quote_nb(kind: int) -> int:
    """1 for the kinds after which only orders that rest are others: what conflation is for."""
    changes_orders = kind in (Kind.ADD, Kind.CANCEL, Kind.DELETE, Kind.REPLACE)
    changes_levels = kind in (Kind.SET_LEVEL, Kind.CLEAR_LEVELS, Kind.SETTLE)
    return int(changes_orders or changes_levels)


@kernel
def note_newest_nb(priority: Priority, ticks: NDArray[np.void], slot: int, position: int) -> None:
    """ticks[slot] is about to go to `position` of its lane, whose quotes may give way."""
    tick = ticks[slot]
    if is_quote_nb(np.int64(tick["kind"])):
        place = np.int64(tick["instrument"]) * LANES_MAX + np.int64(tick["priority"])
        store_release(priority.newest, place, position)


# -- the worker -----------------------------------------------------------------------------------


@kernel
def gives_way_nb(priority: Priority, ticks: NDArray[np.void], slot: int, position: int) -> int:
    """1 when ticks[slot], from `position` of its lane, is a quote and a newer one of its instrument
    waits in the same lane.
    """
    tick = ticks[slot]
    if not is_quote_nb(np.int64(tick["kind"])):
        return 0
    place = np.int64(tick["instrument"]) * LANES_MAX + np.int64(tick["priority"])
    return int(load_acquire(priority.newest, place) > position)
