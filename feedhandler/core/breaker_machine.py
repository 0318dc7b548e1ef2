"""What becomes of a breaker's demands: trip, cooling, probe, normal.

            demand                  calm_ns without demand         cooling over
    NORMAL ────────► TRIPPED(level) ──────────────────────► COOLING ────────────► PROBE ──► NORMAL
                        ▲  ▲ higher demand: higher level       │ demand             │  probe_ns
                        │  └───────────────────────────────────┘                    │
                        └───────────────────── demand: a relapse, longer cooling ───┘

One cell for each breaker and each part of its scope (an instrument, a sector, the market, the
server). A level goes up at once and comes down only by way of COOLING, so no breaker flaps: between
two trips of a cell lie calm_ns + cooling_ns + probe_ns at least, and a relapse in PROBE doubles the
next cooling up to cooling_max_ns. In PROBE signals leave at CAUTION. A manual trip holds until it
is reset or its time is over; a manual reset leads to NORMAL from everywhere.

Time is event time, and is counted in spans: a late tick adds none, stamps that jump ahead count for
SPAN_MAX_NS at most, and stamps that fall back by BACK_NS begin anew from there. A tick makes one
transition at most.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import BreakerLevel
from protocols.jit import kernel


class BreakerState(IntEnum):
    """State of a cell."""

    NORMAL = 0
    TRIPPED = 1
    COOLING = 2
    PROBE = 3


class BreakerEvent(IntEnum):
    """What can change it."""

    DEMAND = 0
    """A level is demanded that is above the present one, or any outside TRIPPED."""
    CALM = 1
    """Nothing was demanded for `calm_ns`, and no manual trip holds."""
    COOLED = 2
    """The cooling is over."""
    PROVED = 3
    """The probe is over."""
    TRIP = 4
    """By hand."""
    RESET = 5
    """By hand."""


_N, _T, _C, _P = BreakerState
TRANSITIONS = {
    _N: {BreakerEvent.DEMAND: _T, BreakerEvent.TRIP: _T, BreakerEvent.RESET: _N},
    _T: {
        BreakerEvent.DEMAND: _T,
        BreakerEvent.CALM: _C,
        BreakerEvent.TRIP: _T,
        BreakerEvent.RESET: _N,
    },
    _C: {
        BreakerEvent.DEMAND: _T,
        BreakerEvent.COOLED: _P,
        BreakerEvent.TRIP: _T,
        BreakerEvent.RESET: _N,
    },
    _P: {
        BreakerEvent.DEMAND: _T,
        BreakerEvent.PROVED: _N,
        BreakerEvent.TRIP: _T,
        BreakerEvent.RESET: _N,
    },
}
"""Every transition there is; any other event changes nothing."""

_NEXT = np.array(
    [[TRANSITIONS[state].get(event, state) for event in BreakerEvent] for state in BreakerState],
    np.int64,
)


class Scope(IntEnum):
    """What the level of a cell holds for."""

    INSTRUMENT = 0
    SECTOR = 1
    MARKET = 2
    """The instruments of one feed."""
    SERVER = 3


class Manual(IntEnum):
    """Whether a trip by hand holds."""

    NONE = 0
    UNTIL_RESET = 1
    FOR_A_TIME = 2


class Tuning(IntEnum):
    """Words of a breaker's times, all in ns of event time."""

    CALM_NS = 0
    COOLING_NS = 1
    COOLING_MAX_NS = 2
    PROBE_NS = 3


TUNING_WORDS = 4

CELL = np.dtype(
    [
        ("state", "i8"),
        ("level", "i8"),
        ("demand", "i8"),
        ("manual", "i8"),
        ("last_ns", "i8"),
        ("spent_ns", "i8"),
        ("calm_ns", "i8"),
        ("manual_left_ns", "i8"),
        ("wait_ns", "i8"),
        ("relapses", "i8"),
        ("trips", "i8"),
        ("changes", "i8"),
        ("spare", "i8"),
        ("tripped_ns", "i8"),
        ("cooling_ns", "i8"),
        ("probe_ns", "i8"),
    ]
)
"""A cell, two cache lines; all zeros is one that never saw a tick. Its writer is the worker.

`level` is that of the trip, 0 in NORMAL; `demand` the newest; `last_ns` the newest event time, 0:
none; `spent_ns` in this state; `calm_ns` since something was demanded; `manual_left_ns` of a manual
trip for a time; `wait_ns` the length of this or the next cooling; `relapses` in a row. Counters:
`trips`, by demand or by hand, relapses among them; `changes` of state, level and `manual`; and the
time in each state but NORMAL, in which a cell need not be stepped."""

LEVEL_MAX = int(BreakerLevel.HALTED)
SPAN_MAX_NS = 60_000_000_000
"""Ticks whose stamps are further apart count as so far apart: a stamp that is wrong by hours ends
no cooling, and a cell that seldom has a tick is held a little longer."""
BACK_NS = 60_000_000_000
"""A stamp that is so much older than the newest is no late tick: it is another session, or a clock
that was wrong."""
_TIME_LIMIT_NS = 1 << 61

_CAUTION = int(BreakerLevel.CAUTION)
_CELL_BYTES = 128
if CELL.itemsize != _CELL_BYTES:
    raise AssertionError(f"size of a cell changed: {CELL.itemsize}")


@kernel
def level_of_cell_nb(cells: NDArray[Any], at: int) -> int:
    """The level that cells[at] holds its part of the scope to."""
    row = cells[at]
    if row["state"] == BreakerState.PROBE:
        return _CAUTION
    return np.int64(row["level"])


@kernel
def _change_nb(cells: NDArray[Any], at: int, event: int, level: int) -> None:
    """Make the transition of an event and hold `level` from then on."""
    row = cells[at]
    state = np.int64(row["state"])
    next_state = _NEXT[state, event]
    if next_state != state:
        row["spent_ns"] = 0
    row["state"] = next_state
    row["level"] = level
    row["changes"] += 1


@kernel
def _pass_time_nb(cells: NDArray[Any], at: int, now_ns: int) -> int:
    """Count the event time since the last tick; how long that was."""
    row = cells[at]
    last_ns = np.int64(row["last_ns"])
    if last_ns == 0 or now_ns < last_ns - BACK_NS:
        row["last_ns"] = max(now_ns, np.int64(1))
        return 0
    span_ns = min(max(now_ns - last_ns, np.int64(0)), np.int64(SPAN_MAX_NS))
    row["last_ns"] = max(last_ns, now_ns)
    row["spent_ns"] = min(row["spent_ns"] + span_ns, _TIME_LIMIT_NS)
    state = row["state"]
    if state == BreakerState.TRIPPED:
        row["tripped_ns"] += span_ns
    elif state == BreakerState.COOLING:
        row["cooling_ns"] += span_ns
    elif state == BreakerState.PROBE:
        row["probe_ns"] += span_ns
    if row["manual"] == Manual.FOR_A_TIME:
        row["manual_left_ns"] = max(row["manual_left_ns"] - span_ns, np.int64(0))
        if row["manual_left_ns"] == 0:
            row["manual"] = Manual.NONE
            row["changes"] += 1
    return span_ns


@kernel
def _trip_nb(cells: NDArray[Any], at: int, event: int, level: int, tuning: NDArray[Any]) -> None:
    """To TRIPPED, at `level` or the one before when that is higher."""
    row = cells[at]
    state = row["state"]
    if state == BreakerState.PROBE:
        row["relapses"] += 1
        row["wait_ns"] = min(2 * np.int64(row["wait_ns"]), tuning[Tuning.COOLING_MAX_NS])
    elif state == BreakerState.NORMAL:
        row["wait_ns"] = min(tuning[Tuning.COOLING_NS], tuning[Tuning.COOLING_MAX_NS])
    if state == BreakerState.PROBE or state == BreakerState.NORMAL:
        row["trips"] += 1
    _change_nb(cells, at, event, max(level, np.int64(row["level"])))


@kernel
def step_breaker_nb(
    cells: NDArray[Any], at: int, demand: int, now_ns: int, tuning: NDArray[Any]
) -> int:
    """One tick of cells[at], whose breaker demands the level `demand` at the event time `now_ns`;
    the level that holds now. A demand that is no level counts as the one before.

    Shapes: cells CELL[n], tuning i64[TUNING_WORDS].
    """
    row = cells[at]
    span_ns = _pass_time_nb(cells, at, now_ns)
    before = np.int64(row["demand"])
    if demand < 0 or demand > LEVEL_MAX:
        demand = before
    row["demand"] = demand
    state = row["state"]
    if demand > 0:
        row["calm_ns"] = 0
        if state != BreakerState.TRIPPED or demand > row["level"]:
            _trip_nb(cells, at, BreakerEvent.DEMAND, demand, tuning)
        return level_of_cell_nb(cells, at)
    # The span behind a tick that demanded something is not calm yet.
    if before == 0:
        row["calm_ns"] = min(row["calm_ns"] + span_ns, _TIME_LIMIT_NS)
    level = np.int64(row["level"])
    if state == BreakerState.TRIPPED:
        if row["manual"] == Manual.NONE and row["calm_ns"] >= tuning[Tuning.CALM_NS]:
            _change_nb(cells, at, BreakerEvent.CALM, level)
    elif state == BreakerState.COOLING:
        if row["spent_ns"] >= row["wait_ns"]:
            _change_nb(cells, at, BreakerEvent.COOLED, level)
    elif state == BreakerState.PROBE and row["spent_ns"] >= tuning[Tuning.PROBE_NS]:
        row["relapses"] = 0
        row["wait_ns"] = 0
        _change_nb(cells, at, BreakerEvent.PROVED, 0)
    return level_of_cell_nb(cells, at)


@kernel
def trip_breaker_nb(
    cells: NDArray[Any], at: int, level: int, for_ns: int, tuning: NDArray[Any]
) -> int:
    """Trip cells[at] by hand at `level`, for so long (0: until it is reset); the level that holds
    now. One that holds until reset is not shortened, a level that is already held is not lowered.
    A trip that is no level, or for less than no time, changes nothing.
    """
    row = cells[at]
    if 0 < level <= LEVEL_MAX and for_ns >= 0:
        if for_ns == 0 or row["manual"] == Manual.UNTIL_RESET:
            row["manual"] = Manual.UNTIL_RESET
            row["manual_left_ns"] = 0
        else:
            row["manual"] = Manual.FOR_A_TIME
            row["manual_left_ns"] = max(np.int64(row["manual_left_ns"]), for_ns)
        _trip_nb(cells, at, BreakerEvent.TRIP, level, tuning)
    return level_of_cell_nb(cells, at)


@kernel
def reset_breaker_nb(cells: NDArray[Any], at: int) -> int:
    """Back to NORMAL by hand, and the next cooling as long as the first; 0. What the breaker still
    demands trips it again with the next tick.
    """
    row = cells[at]
    row["manual"] = Manual.NONE
    row["manual_left_ns"] = 0
    row["relapses"] = 0
    row["wait_ns"] = 0
    row["calm_ns"] = 0
    _change_nb(cells, at, BreakerEvent.RESET, 0)
    return 0
