"""Which cells an instrument belongs to, and the level that holds for it."""

import numpy as np
import pytest

from feedhandler.core.breaker_machine import (
    CELL,
    BreakerState,
    Scope,
    reset_breaker_nb,
    trip_breaker_nb,
)
from feedhandler.core.breaker_scopes import (
    NO_SECTOR,
    Cells,
    Held,
    allocate_cells,
    cell_count,
    cell_of_nb,
    find_sector_nb,
    is_active_nb,
    is_awake_nb,
    level_of_instrument_nb,
    note_state_nb,
)

INSTRUMENTS = 6
SECTORS = [(11, 7), (9,)]
SYMBOLS = (0, 7, 11, 9, 8, 10)
SCOPES = (Scope.SECTOR, Scope.INSTRUMENT, Scope.SERVER, Scope.MARKET)


def cells() -> Cells:
    """Four breakers; instruments 1 and 2 are of sector 0, 3 of sector 1, the others of none."""
    made = allocate_cells(SCOPES, INSTRUMENTS, SECTORS)
    for instrument, symbol in enumerate(SYMBOLS):
        find_sector_nb(made, instrument, symbol)
    made.sector_of[0] = NO_SECTOR
    return made


def trip(made: Cells, breaker: int, instrument: int, level: int) -> None:
    at = cell_of_nb(made, breaker, instrument)
    state = int(made.rows[at]["state"])
    trip_breaker_nb(made.rows, at, level, 0, made.tuning[breaker])
    note_state_nb(made, breaker, at, state)


def levels(made: Cells) -> list[int]:
    found = [level_of_instrument_nb(made, len(SCOPES), each) for each in range(INSTRUMENTS)]
    return [int(level) for level, _ in found]


def test_each_part_of_a_scope_has_a_cell_of_its_own():
    made = cells()
    assert len(made.rows) == sum(cell_count(scope, INSTRUMENTS, len(SECTORS)) for scope in SCOPES)
    assert made.first.tolist() == [0, 2, 8, 9]
    found = [[int(cell_of_nb(made, b, i)) for i in range(INSTRUMENTS)] for b in range(4)]
    assert found == [[-1, 0, 0, 1, -1, -1], [2, 3, 4, 5, 6, 7], [8] * 6, [9] * 6]


@pytest.mark.parametrize(
    ("breaker", "held"),
    [(0, [0, 2, 2, 0, 0, 0]), (1, [0, 2, 0, 0, 0, 0]), (2, [2] * 6), (3, [2] * 6)],
)
def test_a_cell_holds_what_belongs_to_it(breaker: int, held: list[int]):
    made = cells()
    trip(made, breaker, 1, 2)
    assert levels(made) == held


def test_the_highest_level_holds_and_the_first_breaker_with_it_is_named():
    made = cells()
    trip(made, 2, 0, 1)
    trip(made, 0, 3, 3)
    trip(made, 1, 3, 3)
    trip(made, 3, 0, 2)
    assert levels(made) == [2, 2, 2, 3, 2, 2]
    named = [int(level_of_instrument_nb(made, 4, each)[1]) for each in range(INSTRUMENTS)]
    assert named == [3, 3, 3, 0, 3, 3]


def test_without_breakers_nothing_holds():
    made = allocate_cells((), INSTRUMENTS)
    assert level_of_instrument_nb(made, 0, 1) == (0, -1)
    assert made.rows.dtype == CELL
    assert not np.any(made.tuning)


def test_an_instrument_without_a_symbol_waits_for_its_sector():
    made = allocate_cells(SCOPES, INSTRUMENTS, SECTORS)
    find_sector_nb(made, 2, 0)
    assert cell_of_nb(made, 0, 2) == -1
    find_sector_nb(made, 2, 9)
    find_sector_nb(made, 2, 7)
    assert cell_of_nb(made, 0, 2) == 1


def test_cells_that_are_not_normal_are_counted():
    made = cells()
    trip(made, 1, 2, 1)
    trip(made, 1, 2, 3)
    trip(made, 1, 3, 1)
    assert made.active.tolist() == [0, 2, 0, 0]
    assert made.awake.tolist() == [0, 0, 1, 1, 0, 0]
    assert is_active_nb(made, 1, 2)
    assert not is_active_nb(made, 1, 4)
    at = cell_of_nb(made, 1, 2)
    reset_breaker_nb(made.rows, at)
    assert note_state_nb(made, 1, at, BreakerState.TRIPPED) == -1
    assert made.held[Held.ACTIVE] == 1
    assert not is_active_nb(made, 1, 2)
    assert not is_awake_nb(made, 2)


def test_an_instrument_is_awake_while_a_wider_cell_is_not_normal():
    made = cells()
    trip(made, 3, 0, 1)
    assert [int(is_awake_nb(made, each)) for each in range(INSTRUMENTS)] == [1] * INSTRUMENTS
    assert not is_active_nb(made, 1, 2)
    assert is_active_nb(made, 3, 2)
