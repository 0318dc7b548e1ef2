"""The part of a price that is a symbol's own: what it moves by in each minute of market hours, and
its jumps, made before the day begins, so that over the day returns of a minute have exactly the
variance that was asked for, jumps included, and no correlation by chance with a factor or with
another symbol. A day of independent numbers would be off by a tenth and more.

Within a minute a symbol's part is a Brownian bridge to what the minute has to move by, made step by
step as it is asked for; how far a step is pulled there depends on the time alone.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.exchange.market.correlations import root_of
from tools.exchange.market.paths import (
    FIRST_STEP,
    MINUTES,
    STEPS_A_MINUTE,
    STEPS_A_SECOND,
    regular_scale,
)
from tools.exchange.market.scenario import Scenario
from tools.exchange.market.tables import LOG_BITS, ONE_16

MINUTE_BITS = 14
"""Moves of a minute are in 2**-26: coarse enough that no machine rounds another way."""
NEVER = 1 << 62
_MINUTE_UNITS = 1 << (LOG_BITS - MINUTE_BITS)
_STREAM = 0x6F776E
_BLOCK = 128
"""Symbols that have no correlation with each other; more would fill the 390 minutes of a day."""
_ROOM = 0.8
"""Of what is possible at most: with n symbols without any correlation, a minute has at most 1 / n
of each one's variance.
"""
_JUMPS_MAX = 0.8
"""Share of the own variance that jumps have at most: larger ones are made smaller."""
_JUMP_STEPS = STEPS_A_MINUTE - 5 * STEPS_A_SECOND
"""Of a minute, in which jumps come: quotes need a second to follow, and a jump that they follow in
two minutes has half of its variance.
"""

Floats = NDArray[np.float64]


class OwnPaths(NamedTuple):
    """Shapes:  minutes i32[symbols, MINUTES] in 2**-26; jumps i64[n, 2]: step that one comes with,
    and logarithm, each symbol's in the order of time and then one that never comes; first_jumps
    i64[symbols], where a symbol's begin; sizes f64[symbols], standard deviation over a day of
    what is no jump; steps i32[STEPS, 2] and seconds i32[STEPS / 10, 2], in 2**-16: part of what
    is left of the minute that a step, or a second, takes, and what its noise is multiplied by.
    """

    minutes: NDArray[np.int32]
    jumps: NDArray[np.int64]
    first_jumps: NDArray[np.int64]
    sizes: Floats
    steps: NDArray[np.int32]
    seconds: NDArray[np.int32]


class _Jumps(NamedTuple):
    """Of all symbols, in the order of symbols and time: symbol, step of market hours, and size for
    an own variance of 1.
    """

    symbols: NDArray[np.int64]
    steps: NDArray[np.int64]
    sizes: Floats


def make_own_paths(
    scenario: Scenario,
    scale: NDArray[np.int64],
    factors: Floats,
    own: Floats,
    volatilities: Floats,
    seed: int,
) -> OwnPaths:
    """Paths for a day with that scale (`paths`).

    Shapes:  factors f64[MINUTES, n], orthonormal moves of the factors; own as in
             `correlations.Structure`; volatilities f64[symbols], standard deviations over a day.
    """
    random = np.random.Generator(np.random.PCG64([seed, _STREAM]))
    count = len(volatilities)
    block = count if own.ndim > 1 else min(count, _BLOCK)
    variance = (regular_scale(scale) ** 2).reshape(MINUTES, -1).sum(axis=1)
    usual = variance / variance.sum()
    by_factors = (factors**2).sum(axis=1)
    profile = _within(usual, _ROOM * (1 - by_factors) / block)
    own_sizes = np.sqrt((own**2).sum(axis=0)) if own.ndim > 1 else own
    jumps = _make_jumps(random, scenario, own_sizes * volatilities)
    minutes = np.zeros((MINUTES, count))
    kept = np.zeros(count)
    # What a matrix without correlations leaves of a row is less the larger the row is.
    spread = np.sqrt(profile / (1 - block * profile - by_factors))
    for start in range(0, count, block):
        part = slice(start, min(start + block, count))
        minutes[:, part], kept[part] = _make_block(
            random.standard_normal((MINUTES, block))[:, : part.stop - start]
            * spread[:, np.newaxis],
            _jumps_by_minute(jumps, part),
            factors,
            own[part],
        )
    table, first_jumps = _table_of(jumps, kept * volatilities)
    rest = 1 - np.bincount(jumps.symbols, jumps.sizes**2, count)
    ratio = np.repeat(np.sqrt(profile / usual), STEPS_A_MINUTE // STEPS_A_SECOND)
    steps, seconds = _bridges(regular_scale(scale) * ratio)
    return OwnPaths(
        np.rint(minutes * volatilities * _MINUTE_UNITS).astype(np.int32).T.copy(),
        table,
        first_jumps,
        own_sizes * volatilities * np.sqrt(rest),
        steps,
        seconds,
    )


def _within(profile: Floats, room: Floats) -> Floats:
    """A profile, whose sum is 1, raised where it is within its room, and cut where it is not."""
    low, high = 1.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        if np.minimum(profile * middle, room).sum() < 1:
            low = middle
        else:
            high = middle
    return np.minimum(profile * high, room)


def _make_jumps(random: np.random.Generator, scenario: Scenario, sizes: Floats) -> _Jumps:
    counts = random.poisson(scenario.jumps_per_day, len(sizes))
    symbols = np.repeat(np.arange(len(sizes)), counts)
    minutes, inside = random.integers(0, (MINUTES, _JUMP_STEPS), (len(symbols), 2)).T
    steps = minutes * STEPS_A_MINUTE + inside
    order = np.lexsort((steps, symbols))
    numbers = random.standard_normal(len(symbols)) * scenario.jump_percent / 100
    of_own = np.divide(1, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    numbers *= of_own[symbols]
    found = np.bincount(symbols, numbers**2, len(sizes))
    cut = np.sqrt(np.minimum(1, _JUMPS_MAX / np.maximum(found, _JUMPS_MAX)))
    return _Jumps(symbols, steps[order], numbers * cut[symbols])


def _jumps_by_minute(jumps: _Jumps, part: slice) -> Floats:
    """f64[MINUTES, symbols of the part]."""
    moves = np.zeros((MINUTES, part.stop - part.start))
    inside = (jumps.symbols >= part.start) & (jumps.symbols < part.stop)
    minutes, columns = jumps.steps[inside] // STEPS_A_MINUTE, jumps.symbols[inside] - part.start
    np.add.at(moves, (minutes, columns), jumps.sizes[inside])
    return moves


def _make_block(
    numbers: Floats, jumps: Floats, factors: Floats, own: Floats
) -> tuple[Floats, Floats]:
    """(moves without the jumps, what is kept of the jumps), for symbols of a variance of 1."""
    moves = numbers * np.sqrt(1 - (jumps**2).sum(axis=0)) + jumps
    moves -= factors @ (factors.T @ moves)
    # Of all orthonormal columns those that are nearest to the moves: P.-O. Lowdin, "On the
    # non-orthogonality problem", Journal of Chemical Physics 18 (1950).
    nearest = root_of(moves.T @ moves, -0.5)
    mixed = nearest @ own if own.ndim > 1 else nearest * own
    kept = np.diag(mixed)
    return moves @ mixed - jumps * kept, kept


def _table_of(jumps: _Jumps, kept: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`jumps` and `first_jumps` of OwnPaths."""
    count = len(kept)
    numbers = np.bincount(jumps.symbols, minlength=count)
    ends = np.cumsum(numbers + 1)
    table = np.zeros((len(jumps.symbols) + count, 2), np.int64)
    table[ends - 1, 0] = NEVER
    rows = np.arange(len(jumps.symbols)) + jumps.symbols
    table[rows, 0] = FIRST_STEP + jumps.steps
    table[rows, 1] = np.rint(jumps.sizes * kept[jumps.symbols] * _MINUTE_UNITS).astype(np.int64)
    table[rows, 1] <<= MINUTE_BITS
    return table, ends - 1 - numbers


def _bridges(sizes: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`steps` and `seconds` of OwnPaths, for the size of a step in each second: of a bridge whose
    rest has the variance R, a step of variance v takes v / R, with noise of variance v (1 - v / R).
    """
    by_second = (sizes**2).reshape(MINUTES, -1)
    by_step = np.repeat(by_second, STEPS_A_SECOND, axis=1)
    return _bridge(by_step), _bridge(by_second * STEPS_A_SECOND)


def _bridge(variance: Floats) -> NDArray[np.int32]:
    left = variance[:, ::-1].cumsum(axis=1)[:, ::-1]
    pull = variance / left
    pull[:, -1] = 1
    noise = np.sqrt(variance * (1 - pull))
    table = np.stack((pull.reshape(-1), noise.reshape(-1)), axis=1) * ONE_16
    rounded: NDArray[np.int32] = np.rint(table).astype(np.int32)
    return rounded
