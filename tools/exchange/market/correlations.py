"""How symbols move together: the matrix of correlations that a scenario asks for, and the factors
that give it.

A matrix is between sectors, where the diagonal is what two symbols of one sector have, or between
symbols. The simple form, a number for the market and one for a sector, is a matrix of sectors.

A matrix of sectors needs a factor a sector: their paths are made with those correlations, so that a
symbol has one loading. One of symbols is taken apart into its largest eigenvectors, on which
symbols have a loading each, and what is left: the returns of whole minutes have that too, shorter
ones do not.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.exchange.market.profiles import Profile
from tools.exchange.market.scenario import Scenario

SECTORS_MAX = 200
SYMBOLS_MAX = 200
"""In a matrix of symbols."""
_EIGENVECTORS_MAX = 16
_SYMBOLS_A_VECTOR = 4
_SECTOR_MAX = 0.98
_SAME = 1e-9
"""Entries that differ by no more are equal, and eigenvalues above minus that are not negative."""

Floats = NDArray[np.float64]


class Structure(NamedTuple):
    """Shapes:  matrix f64[n, n], what was asked for between the n names; rows i64[symbols], a
    symbol's row of it.

    A symbol's return is, for a variance of 1, the sum of its loadings times the factors
    first[symbol], first[symbol] + 1, ..., and a part of its own. Shapes:  mix f64[factors, n],
    a factor of n independent numbers; loadings f64[symbols, n]; own f64[symbols, symbols], a
    symmetric root of the covariance of the own parts, or its diagonal f64[symbols].
    """

    names: tuple[str, ...]
    matrix: Floats
    rows: NDArray[np.int64]
    mix: Floats
    first: NDArray[np.int64]
    loadings: Floats
    own: Floats


def structure_of(scenario: Scenario, profiles: Sequence[Profile]) -> Structure:
    """What a scenario asks of those symbols. ValueError names an entry, name or eigenvalue."""
    sectors = list(dict.fromkeys(profile.sector for profile in profiles))
    if len(sectors) > SECTORS_MAX:
        raise ValueError(f"{len(sectors)} sectors: {SECTORS_MAX} at most")
    where, names, matrix = _asked(scenario, sectors)
    is_of_sectors = not set(names).isdisjoint(sectors)
    _check(where, names, matrix, is_of_sectors=is_of_sectors)
    wanted = sectors if is_of_sectors else [profile.symbol for profile in profiles]
    for name in wanted:
        if name not in names:
            kind = "sector" if is_of_sectors else "symbol"
            raise ValueError(f"{where}: no row for {kind} {name!r}")
    places = [names.index(name) for name in wanted]
    chosen = matrix[np.ix_(places, places)]
    if is_of_sectors:
        return _of_sectors(sectors, chosen, profiles)
    if len(profiles) > SYMBOLS_MAX:
        raise ValueError(
            f"{where}: a matrix of symbols for {len(profiles)}: {SYMBOLS_MAX} at most, or sectors"
        )
    return _of_symbols(wanted, chosen)


def _of_sectors(names: list[str], matrix: Floats, profiles: Sequence[Profile]) -> Structure:
    rows = np.array([names.index(profile.sector) for profile in profiles], np.int64)
    own = np.sqrt(1 - np.diag(matrix)[rows])
    return Structure(
        tuple(names), matrix, rows, root_of(matrix), rows, np.ones((len(rows), 1)), own
    )


def _of_symbols(names: list[str], matrix: Floats) -> Structure:
    count = len(names)
    vectors = min(_EIGENVECTORS_MAX, max(1, count // _SYMBOLS_A_VECTOR))
    # Weights that differ keep two eigenvalues from being equal, as then any mixture of their
    # vectors would do, and machines would differ.
    weights = (1 + np.arange(count) / (100 * count))[:, np.newaxis]
    values, found = np.linalg.eigh(weights * matrix * weights.T)
    loadings = found[:, ::-1][:, :vectors] * np.sqrt(np.maximum(values[::-1][:vectors], 0))
    loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(vectors)]) / weights
    own = root_of(matrix - loadings @ loadings.T)
    rows = np.arange(count)
    first = np.zeros(count, np.int64)
    return Structure(tuple(names), matrix, rows, np.eye(vectors), first, loadings, own)


def root_of(matrix: Floats, power: float = 0.5) -> Floats:
    """The symmetric root of a matrix that is not negative, or another power of it."""
    values, vectors = np.linalg.eigh(matrix)
    root: Floats = (vectors * np.maximum(values, 0) ** power) @ vectors.T
    return root


def _asked(scenario: Scenario, sectors: list[str]) -> tuple[str, list[str], Floats]:
    """(where it is from, names of rows, matrix)."""
    if scenario.correlation_file:
        return _read(Path(scenario.correlation_file))
    if scenario.correlation:
        names, where = list(scenario.correlation), "[correlation]"
        for name, row in scenario.correlation.items():
            _check_length(f"{where} {name}", len(row), names)
        return where, names, np.array(list(scenario.correlation.values()), np.float64)
    matrix = np.full((len(sectors), len(sectors)), scenario.market_correlation)
    np.fill_diagonal(matrix, scenario.sector_correlation)
    return "market_correlation", sectors, matrix


def _read(path: Path) -> tuple[str, list[str], Floats]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            (_, *names), *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    except ValueError:
        raise ValueError(f"{path}:1: no row of names") from None
    _check_length(f"{path}: rows", len(rows), names)
    matrix = np.zeros((len(names), len(names)))
    for place, (name, *entries) in enumerate(rows):
        where = f"{path}:{place + 2}"
        if name != names[place]:
            raise ValueError(f"{where}: row of {name!r}, where the columns have {names[place]!r}")
        _check_length(where, len(entries), names)
        for column, entry in enumerate(entries):
            try:
                matrix[place, column] = float(entry)
            except ValueError:
                raise ValueError(f"{where}: {entry!r} is not a number") from None
    return str(path), names, matrix


def _check_length(where: str, found: int, names: list[str]) -> None:
    if found != len(names):
        raise ValueError(f"{where}: {found} entries, but there are {len(names)} names")


def _check(where: str, names: list[str], matrix: Floats, *, is_of_sectors: bool) -> None:
    """Refuse what is no matrix of correlations."""
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ValueError(f"{where}: {double!r} a second time")
    for place, name in enumerate(names):
        lowest, highest = (0.0, _SECTOR_MAX) if is_of_sectors else (1.0, 1.0)
        entry = matrix[place, place]
        if not lowest - _SAME <= entry <= highest + _SAME:
            limits = f"{lowest:g} to {highest:g}, as of two symbols of one sector"
            raise ValueError(
                f"{where}: {name!r} with itself is {entry:g}, not "
                + (limits if is_of_sectors else "1")
            )
    for row, column in zip(*np.triu_indices(len(names), 1), strict=True):
        pair = f"{names[row]!r} with {names[column]!r}"
        entry, back = matrix[row, column], matrix[column, row]
        if not abs(entry - back) <= _SAME:
            raise ValueError(f"{where}: not symmetric: {pair} is {entry:g}, the other way {back:g}")
        if not abs(entry) <= 1:
            raise ValueError(f"{where}: {pair} is {entry:g}, not -1 to 1")
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -_SAME:
        most = np.argsort(-np.abs(vectors[:, 0]), kind="stable")[:3]
        part = ", ".join(f"{names[place]!r} {vectors[place, 0]:+.2f}" for place in most)
        raise ValueError(
            f"{where}: not positive semi-definite: eigenvalue {values[0]:.6f}, of which"
            f" most is {part}: correlations between those cannot be had together"
        )
