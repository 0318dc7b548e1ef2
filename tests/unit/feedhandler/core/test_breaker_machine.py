"""The machine of a breaker's cell, tick by tick."""

import numpy as np
import pytest

from feedhandler.core.breaker_machine import (
    CELL,
    SPAN_MAX_NS,
    TRANSITIONS,
    TUNING_WORDS,
    BreakerEvent,
    BreakerState,
    Manual,
    level_of_cell_nb,
    reset_breaker_nb,
    step_breaker_nb,
    trip_breaker_nb,
)
from feedhandler.core.events import BreakerLevel
from tools.check.sources import ROOT

S = 10**9
NORMAL, TRIPPED, COOLING, PROBE = BreakerState
CAUTION, RESTRICTED, HALTED = (int(level) for level in list(BreakerLevel)[1:])
CALM, COOL, COOL_MAX, PROVE = 5 * S, 10 * S, 25 * S, 8 * S


class Cell:
    """A cell, and the time of its ticks in seconds."""

    def __init__(self) -> None:
        self.rows = np.zeros(3, CELL)
        self.tuning = np.array([CALM, COOL, COOL_MAX, PROVE], np.int64)
        assert len(self.tuning) == TUNING_WORDS
        self.step(0, 1_000)

    @property
    def row(self) -> np.void:
        return self.rows[1]

    @property
    def state(self) -> BreakerState:
        return BreakerState(int(self.row["state"]))

    def step(self, demand: int, second: float) -> int:
        """The level after a tick."""
        at_ns = int(second * S)
        level = int(step_breaker_nb(self.rows, 1, demand, at_ns, self.tuning))
        assert level == level_of_cell_nb(self.rows, 1)
        assert not any(self.rows[::2].tobytes()), "a neighbour was touched"
        return level

    def calm(self, first: int, last: int) -> list[BreakerState]:
        """States after ticks without demand, one a second."""
        found = []
        for second in range(first, last + 1):
            self.step(0, second)
            found.append(self.state)
        return found

    def trip(self, level: int, seconds: int = 0) -> int:
        return int(trip_breaker_nb(self.rows, 1, level, seconds * S, self.tuning))

    def reset(self) -> int:
        return int(reset_breaker_nb(self.rows, 1))


def test_a_demand_trips_at_once_and_calm_leads_back_by_way_of_cooling_and_probe():
    cell = Cell()
    assert cell.step(HALTED, 1_001) == HALTED
    states = cell.calm(1_002, 1_030)
    # 5 s of calm from the first tick without demand, 10 s, 8 s.
    assert states == [TRIPPED] * 5 + [COOLING] * 10 + [PROBE] * 8 + [NORMAL] * 6
    assert cell.row["trips"] == 1


def test_level_that_holds_is_that_of_the_trip_and_caution_in_the_probe():
    cell = Cell()
    cell.step(HALTED, 1_001)
    levels = [cell.step(0, second) for second in range(1_002, 1_030)]
    assert levels[0] == levels[14] == HALTED
    assert levels[15] == levels[22] == CAUTION
    assert levels[23] == 0


def test_a_higher_demand_escalates_and_a_lower_one_does_not_come_down():
    cell = Cell()
    assert cell.step(CAUTION, 1_001) == CAUTION
    assert cell.step(HALTED, 1_002) == HALTED
    assert cell.step(RESTRICTED, 1_003) == HALTED
    assert cell.step(CAUTION, 1_100) == HALTED
    assert cell.state is TRIPPED
    assert cell.row["trips"] == 1


def test_any_demand_starts_the_calm_anew():
    cell = Cell()
    cell.step(HALTED, 1_001)
    for second in range(1_002, 1_100, 4):
        assert cell.calm(second, second + 2) == [TRIPPED] * 3
        cell.step(CAUTION, second + 3)


def test_demand_while_cooling_trips_again_and_the_cooling_is_whole_but_no_longer():
    cell = Cell()
    cell.step(RESTRICTED, 1_001)
    assert cell.calm(1_002, 1_016)[-1] is COOLING
    assert cell.step(CAUTION, 1_017) == RESTRICTED
    assert cell.state is TRIPPED
    assert cell.calm(1_018, 1_033) == [TRIPPED] * 5 + [COOLING] * 10 + [PROBE]
    assert cell.row["relapses"] == 0


def test_each_relapse_doubles_the_cooling_up_to_its_limit_and_passing_forgets_it():
    cell = Cell()
    second = 1_001
    cell.step(RESTRICTED, second)
    for seconds in (10, 20, 25, 25):
        states = cell.calm(second + 1, second + 6 + seconds)
        assert states == [TRIPPED] * 5 + [COOLING] * seconds + [PROBE]
        second += 7 + seconds
        assert cell.step(CAUTION, second) == RESTRICTED
    assert (cell.row["relapses"], cell.row["trips"]) == (4, 5)
    cell.calm(second + 1, second + 60)
    assert cell.state is NORMAL
    assert cell.row["relapses"] == cell.row["wait_ns"] == 0
    cell.step(CAUTION, second + 61)
    assert cell.row["wait_ns"] == COOL


def test_a_trip_by_hand_holds_until_it_is_reset():
    cell = Cell()
    assert cell.trip(RESTRICTED) == RESTRICTED
    assert set(cell.calm(1_001, 1_200)) == {TRIPPED}
    assert cell.reset() == 0
    assert cell.calm(1_201, 1_210) == [NORMAL] * 10
    assert cell.row["trips"] == 1


def test_a_trip_by_hand_for_a_time_cools_when_it_is_over():
    cell = Cell()
    cell.trip(HALTED, 20)
    assert cell.calm(1_001, 1_030) == [TRIPPED] * 19 + [COOLING] * 10 + [PROBE]
    assert cell.row["manual"] == Manual.NONE


def test_the_longer_and_higher_of_two_trips_by_hand_holds():
    cell = Cell()
    cell.trip(HALTED, 20)
    assert cell.trip(CAUTION, 5) == HALTED
    assert cell.row["manual_left_ns"] == 20 * S
    cell.trip(CAUTION)
    cell.trip(CAUTION, 5)
    assert cell.row["manual"] == Manual.UNTIL_RESET
    assert set(cell.calm(1_001, 1_100)) == {TRIPPED}


def test_a_trip_by_hand_takes_a_cooling_and_a_probe_back():
    cell = Cell()
    cell.step(CAUTION, 1_001)
    assert cell.calm(1_002, 1_010)[-1] is COOLING
    assert cell.trip(HALTED, 1) == HALTED
    assert cell.calm(1_011, 1_020)[-1] is COOLING
    assert cell.calm(1_021, 1_022)[-1] is PROBE
    cell.trip(CAUTION)
    assert (cell.state, cell.row["relapses"], cell.row["trips"]) == (TRIPPED, 1, 2)


@pytest.mark.parametrize(("level", "seconds"), [(0, 0), (-1, 0), (4, 0), (3, -1)])
def test_a_trip_that_is_none_changes_nothing(level: int, seconds: int):
    cell = Cell()
    before = cell.rows.copy()
    assert cell.trip(level, seconds) == 0
    assert (cell.rows == before).all()


@pytest.mark.parametrize("state", BreakerState)
def test_a_reset_leads_to_normal_from_everywhere(state: BreakerState):
    cell = Cell()
    if state is not NORMAL:
        cell.step(HALTED, 1_001)
        second = 1_002
        while cell.state is not state:
            cell.step(0, second)
            second += 1
    assert cell.reset() == 0
    assert cell.state is NORMAL
    assert cell.step(RESTRICTED, 1_100) == RESTRICTED
    assert cell.row["wait_ns"] == COOL


def test_what_is_still_demanded_trips_again_after_a_reset():
    cell = Cell()
    cell.step(HALTED, 1_001)
    cell.reset()
    assert cell.step(HALTED, 1_002) == HALTED
    assert cell.row["trips"] == 2


@pytest.mark.parametrize("demand", [-1, 4, 1 << 40, -(1 << 63)])
def test_a_demand_that_is_no_level_counts_as_the_one_before(demand: int):
    cell = Cell()
    assert cell.step(demand, 1_001) == 0
    cell.step(RESTRICTED, 1_002)
    assert cell.step(demand, 1_050) == RESTRICTED
    assert cell.state is TRIPPED
    cell.step(0, 1_051)
    cell.step(demand, 1_056)
    assert cell.state is COOLING


def test_a_late_tick_adds_no_time_but_may_trip():
    cell = Cell()
    cell.step(CAUTION, 1_010)
    cell.step(0, 1_011)
    for second in range(1_010, 1_000, -1):
        cell.step(0, second)
    assert cell.row["calm_ns"] == 0
    assert cell.step(HALTED, 1_005) == HALTED


def test_a_stamp_far_ahead_counts_for_a_minute_and_one_far_back_for_nothing():
    cell = Cell()
    cell.trip(HALTED, 100)
    cell.step(0, 50_000)
    assert cell.row["manual_left_ns"] == 100 * S - SPAN_MAX_NS
    cell.step(0, 1_001)
    cell.step(0, 1_041)
    assert cell.state is COOLING
    assert cell.row["tripped_ns"] == SPAN_MAX_NS + 40 * S


def test_time_in_each_state_but_normal_is_counted():
    cell = Cell()
    cell.step(HALTED, 1_001)
    cell.calm(1_002, 1_030)
    names = ("tripped_ns", "cooling_ns", "probe_ns")
    assert [int(cell.row[name]) // S for name in names] == [6, 10, 8]


def test_changes_are_counted_and_quiet_ticks_are_none():
    cell = Cell()
    cell.calm(1_001, 1_010)
    assert cell.row["changes"] == 0
    cell.step(CAUTION, 1_011)
    cell.step(CAUTION, 1_012)
    assert cell.row["changes"] == 1
    cell.trip(CAUTION, 1)
    assert cell.row["changes"] == 2
    cell.step(CAUTION, 1_020)
    assert cell.row["changes"] == 3


def test_the_table_says_of_every_state_what_trips_and_resets_it():
    assert set(TRANSITIONS) == set(BreakerState)
    for events in TRANSITIONS.values():
        assert events[BreakerEvent.TRIP] is events[BreakerEvent.DEMAND] is TRIPPED
        assert events[BreakerEvent.RESET] is NORMAL


def test_the_document_shows_every_transition():
    text = (ROOT / "docs" / "breakers.md").read_text(encoding="utf-8")
    for state, events in TRANSITIONS.items():
        for event, target in events.items():
            assert f"| {state.name} | {event.name} | {target.name} |" in text
