"""The cells of all breakers of a shard, and which of them an instrument belongs to.

    breaker   scope        cells
    0         INSTRUMENT   one for each instrument
    1         SECTOR       one for each sector
    2         MARKET       one
    3         SERVER       one            first[b] + key: the cell of breaker b

The level of an instrument is the highest of those of its cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import CELL, TUNING_WORDS, Scope, level_of_cell_nb
from feedhandler.core.lines import zeros
from protocols.jit import kernel


class Cells(NamedTuple):
    """Memory of all cells: rows CELL[n]; by breaker first i64[b], scope i64[b], tuning
    i64[b, TUNING_WORDS]; sector_of i32[instruments], -1: of none.
    """

    rows: NDArray[np.void]
    first: NDArray[np.int64]
    scope: NDArray[np.int64]
    tuning: NDArray[np.int64]
    sector_of: NDArray[np.int32]


def cell_count(scope: int, instruments: int, sectors: int) -> int:
    """Cells of a breaker of this scope."""
    return {Scope.INSTRUMENT: instruments, Scope.SECTOR: sectors}.get(Scope(scope), 1)


def allocate_cells(scopes: Sequence[int], instruments: int, sectors: int = 0) -> Cells:
    """Cells of breakers with these scopes, all NORMAL; tunings are 0 until they are set."""
    counts = [cell_count(scope, instruments, sectors) for scope in scopes]
    cells = Cells(
        rows=zeros(max(sum(counts), 1), CELL),
        first=zeros(max(len(scopes), 1)),
        scope=zeros(max(len(scopes), 1)),
        tuning=zeros((max(len(scopes), 1), TUNING_WORDS)),
        sector_of=zeros(instruments, np.int32),
    )
    cells.first[: len(scopes)] = np.cumsum([0, *counts])[:-1]
    cells.scope[: len(scopes)] = scopes
    cells.sector_of[:] = -1
    return cells


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
    for breaker in range(breakers):
        at = cell_of_nb(cells, breaker, instrument)
        if at >= 0:
            level = np.int64(level_of_cell_nb(cells.rows, at))
            if level > worst:
                worst, source = level, np.int64(breaker)
    return worst, source
