"""The cells of all breakers of a shard, and which of them an instrument belongs to.

    breaker   scope        cells
    0         INSTRUMENT   one for each instrument
    1         SECTOR       one for each sector
    2         MARKET       one
    3         SERVER       one            first[b] + key: the cell of breaker b

The level of an instrument is the highest of those of its cells.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import (
    CELL,
    TUNING_WORDS,
    BreakerState,
    Scope,
    level_of_cell_nb,
)
from feedhandler.core.lines import zeros
from feedhandler.core.lookup import place_of_nb
from protocols.by_reference import by_reference
from protocols.jit import kernel

NO_SECTOR = -1
_UNKNOWN_SECTOR = -2


class Held(IntEnum):
    """Words of `held`."""

    ACTIVE = 0
    """Cells that are not NORMAL."""
    LEFT = 1
    """Instruments that are still to be looked at, as a level changed that holds for many."""
    CURSOR = 2
    """The next of them."""
    AT_ONCE = 3
    """1: a command changed something, which waits for no tick."""
    FULL = 4
    """1: a signal of this tick did not fit the ring."""
    WIDE = 5
    """Cells that are not NORMAL of scopes wider than an instrument."""


@by_reference
class Cells(NamedTuple):
    """Memory of all cells: rows CELL[n]; by breaker first i64[b], scope i64[b], tuning
    i64[b, TUNING_WORDS], active i64[b] (cells that are not NORMAL); held i64[8], see `Held`. By
    instrument told i8, the level that was last told, told_by u8, the breaker that was named with
    it, due u8, 1 where another level may hold by now, awake u8, how many of its own cells are not
    NORMAL, shown_as i64, the symbol under which its level is shown to other feeds, 0 where that is
    NORMAL, sector_of i32, which is found by sector_symbols i64[s], ascending, and sectors i32[s].
    """

    rows: NDArray[np.void]
    first: NDArray[np.int64]
    scope: NDArray[np.int64]
    tuning: NDArray[np.int64]
    active: NDArray[np.int64]
    held: NDArray[np.int64]
    told: NDArray[np.int8]
    told_by: NDArray[np.uint8]
    due: NDArray[np.uint8]
    awake: NDArray[np.uint8]
    shown_as: NDArray[np.int64]
    sector_of: NDArray[np.int32]
    sector_symbols: NDArray[np.int64]
    sectors: NDArray[np.int32]


def cell_count(scope: int, instruments: int, sectors: int) -> int:
    """Cells of a breaker of this scope."""
    return {Scope.INSTRUMENT: instruments, Scope.SECTOR: sectors}.get(Scope(scope), 1)


def allocate_cells(
    scopes: Sequence[int], instruments: int, sectors: Sequence[Sequence[int]] = ()
) -> Cells:
    """Cells of breakers with these scopes, all NORMAL; `sectors` are the symbols of each (eight
    little-endian bytes). Tunings are 0 until they are set.
    """
    counts = [cell_count(scope, instruments, len(sectors)) for scope in scopes]
    breakers = max(len(scopes), 1)
    placed = sorted((symbol, number) for number, each in enumerate(sectors) for symbol in each)
    cells = Cells(
        rows=zeros(max(sum(counts), 1), CELL),
        first=zeros(breakers),
        scope=zeros(breakers),
        tuning=zeros((breakers, TUNING_WORDS)),
        active=zeros(breakers),
        held=zeros(8),
        told=zeros(instruments, np.int8),
        told_by=zeros(instruments, np.uint8),
        due=zeros(instruments, np.uint8),
        awake=zeros(instruments, np.uint8),
        shown_as=zeros(instruments),
        sector_of=zeros(instruments, np.int32),
        sector_symbols=zeros(len(placed)),
        sectors=zeros(len(placed), np.int32),
    )
    cells.first[: len(scopes)] = np.cumsum([0, *counts])[:-1]
    cells.scope[: len(scopes)] = scopes
    cells.sector_symbols[:] = [symbol for symbol, _ in placed]
    cells.sectors[:] = [number for _, number in placed]
    cells.sector_of[:] = _UNKNOWN_SECTOR if placed else NO_SECTOR
    return cells


@kernel
def find_sector_nb(cells: Cells, instrument: int, symbol: int) -> None:
    """Note the sector of an instrument, once its symbol is known."""
    if symbol == 0 or cells.sector_of[instrument] != _UNKNOWN_SECTOR:
        return
    at = place_of_nb(cells.sector_symbols, len(cells.sector_symbols), symbol)
    cells.sector_of[instrument] = cells.sectors[at] if at >= 0 else NO_SECTOR


@kernel
def forget_sector_nb(cells: Cells, instrument: int) -> None:
    """The instrument gets another symbol."""
    cells.sector_of[instrument] = _UNKNOWN_SECTOR


@kernel
def cell_of_nb(cells: Cells, breaker: int, instrument: int) -> int:
    """The row of a breaker's cell that an instrument belongs to, -1 when there is none."""
    scope = cells.scope[breaker]
    if scope == Scope.INSTRUMENT:
        return cells.first[breaker] + instrument
    if scope == Scope.SECTOR:
        sector = np.int64(cells.sector_of[instrument])
        return cells.first[breaker] + sector if sector >= 0 else -1
    return cells.first[breaker]


@kernel
def level_of_instrument_nb(cells: Cells, breakers: int, instrument: int) -> tuple[int, int]:
    """(level, breaker) of the highest level that holds for an instrument, the first breaker of
    several; (0, -1) when none holds.
    """
    worst, source = np.int64(0), np.int64(-1)
    if cells.held[Held.ACTIVE] == 0:
        return worst, source
    for breaker in range(breakers):
        if cells.active[breaker] > 0:
            at = cell_of_nb(cells, breaker, instrument)
            level = np.int64(level_of_cell_nb(cells.rows, at)) if at >= 0 else np.int64(0)
            if level > worst:
                worst, source = level, np.int64(breaker)
    return worst, source


@kernel
def is_awake_nb(cells: Cells, instrument: int) -> int:
    """1 where a cell that the instrument belongs to may not be NORMAL."""
    return int(cells.held[Held.WIDE] > 0 or cells.awake[instrument] > 0)


@kernel
def is_active_nb(cells: Cells, breaker: int, instrument: int) -> int:
    """1 when the breaker's cell of an instrument is not NORMAL."""
    if cells.active[breaker] == 0 or not is_awake_nb(cells, instrument):
        return 0
    at = cell_of_nb(cells, breaker, instrument)
    return int(at >= 0 and cells.rows[at]["state"] != BreakerState.NORMAL)


@kernel
def note_state_nb(cells: Cells, breaker: int, at: int, before: int) -> int:
    """The breaker's cell rows[at] was in the state `before`: by how much there are more of it that
    are not NORMAL.
    """
    after = cells.rows[at]["state"]
    change = np.int64(after != BreakerState.NORMAL) - np.int64(before != BreakerState.NORMAL)
    cells.active[breaker] += change
    cells.held[Held.ACTIVE] += change
    if cells.scope[breaker] == Scope.INSTRUMENT:
        cells.awake[at - cells.first[breaker]] += change
    else:
        cells.held[Held.WIDE] += change
    return change
