"""How active and how volatile the market is in each second of the day: made once, before it begins,
so that over market hours the variance is what was asked for, and the activity too.

Variance over the day is a U times a random part, whose logarithm is the sum of a slow, a middling
and a fast mean-reverting walk: volatility that clusters, with a memory that decays slowly (Cont,
"Empirical properties of asset returns", Quantitative Finance 1 (2001), facts 6 and 8). Activity is
a U times the root of that part, so volume and volatility go together (fact 10).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.exchange.market.scenario import (
    AFTER_CLOSE_S,
    CLOSE_S,
    END_S,
    OPEN_S,
    PRE_OPEN_S,
    START_S,
    Scenario,
)
from tools.exchange.market.tables import ONE_16

SECONDS = END_S - START_S
_REGULAR = slice(OPEN_S - START_S, CLOSE_S - START_S)
_OFF_HOURS_ACTIVITY = 0.02
_OFF_HOURS_VARIANCE = 0.05
_WALKS = ((7_200, 0.4), (900, 0.35), (120, 0.25))
"""Seconds of memory, share of the variance of the logarithm."""
_VOLATILITY_STREAM = 0x766F6C
_SHAPE_S = 1_800
_MIDDLE = slice((CLOSE_S - OPEN_S - _SHAPE_S) // 2, (CLOSE_S - OPEN_S + _SHAPE_S) // 2)


STEPS_A_SECOND = 10
STEPS_A_MINUTE = 60 * STEPS_A_SECOND
FIRST_STEP = (OPEN_S - START_S) * STEPS_A_SECOND
"""Of market hours, in which paths are made before."""
STEPS = (CLOSE_S - OPEN_S) * STEPS_A_SECOND
MINUTES = STEPS // STEPS_A_MINUTE
_FACTOR_STREAM = 0x666163


class Paths(NamedTuple):
    """In ONE_16, a value for each second from START_S on: i64[SECONDS] both."""

    scale: NDArray[np.int64]
    """What a step of a price is multiplied by: the root of the variance, whose mean is 1."""
    activity: NDArray[np.int64]
    """What the rate of events is multiplied by; its mean is 1 in market hours."""


def make_paths(scenario: Scenario, seed: int) -> Paths:
    """Both, for a day of the scenario."""
    random = np.random.Generator(np.random.PCG64([seed, _VOLATILITY_STREAM]))
    walks = [_walk(random, memory_s) * np.sqrt(share) for memory_s, share in _WALKS]
    size = scenario.volatility_of_volatility
    u_shape = _u_shape(scenario.u_shape)
    variance = np.full(SECONDS, _OFF_HOURS_VARIANCE)
    variance[_REGULAR] = u_shape * np.exp(size * sum(walks)[_REGULAR])
    variance[_REGULAR] /= variance[_REGULAR].mean()
    activity = np.zeros(SECONDS)
    activity[PRE_OPEN_S - START_S : AFTER_CLOSE_S - START_S] = _OFF_HOURS_ACTIVITY
    # Without the slow walk, which would lie over the U and hide it.
    part = np.exp(size * sum(walks[1:])[_REGULAR] / 2).reshape(-1, _SHAPE_S)
    part /= part.mean(axis=1, keepdims=True)
    activity[_REGULAR] = u_shape * part.reshape(-1)
    activity[_REGULAR] /= activity[_REGULAR].mean()
    return Paths(_in_16(np.sqrt(variance)), _in_16(activity))


class FactorMoves(NamedTuple):
    """Steps of the factors, as normal numbers in ONE_16.

    Shapes:  steps i32[STEPS, factors], in market hours; seconds i32[SECONDS, factors], of whole
             seconds, outside of them; minutes f64[MINUTES, n], what the n independent numbers
             behind the factors move by in the minutes of market hours: orthonormal columns.
    """

    steps: NDArray[np.int32]
    seconds: NDArray[np.int32]
    minutes: NDArray[np.float64]


def make_factor_moves(scale: NDArray[np.int64], mix: NDArray[np.float64], seed: int) -> FactorMoves:
    """Factors that are `mix`, f64[factors, n], times n independent numbers, such that over the day
    the returns of a minute have the variance that was asked for in each of those, and no
    correlation: a single day of independent numbers would be off by a tenth.
    """
    random = np.random.Generator(np.random.PCG64([seed, _FACTOR_STREAM]))
    numbers = random.standard_normal((STEPS, mix.shape[1]))
    sizes = np.repeat(regular_scale(scale), STEPS_A_SECOND)
    minutes = (numbers * sizes[:, np.newaxis]).reshape(MINUTES, STEPS_A_MINUTE, -1).sum(axis=1)
    minutes /= np.sqrt((sizes**2).sum())
    # Cholesky: numbers that are mixed by the inverse have the unit matrix instead.
    unmixed = np.linalg.inv(np.linalg.cholesky(minutes.T @ minutes)).T
    outside = random.standard_normal((SECONDS, mix.shape[1])) * np.sqrt(STEPS_A_SECOND)
    return FactorMoves(
        _moves_in_16(numbers @ (unmixed @ mix.T)),
        _moves_in_16(outside @ mix.T),
        minutes @ unmixed,
    )


def regular_scale(scale: NDArray[np.int64]) -> NDArray[np.float64]:
    """The scale of each second of market hours, as a number: f64[STEPS / 10]."""
    return scale[_REGULAR] / ONE_16


def _moves_in_16(values: NDArray[np.float64]) -> NDArray[np.int32]:
    rounded: NDArray[np.int32] = np.rint(values * ONE_16).astype(np.int32)
    return rounded


def _u_shape(ratio: float) -> NDArray[np.float64]:
    """A parabola over market hours: the first half hour and the last have `ratio` times what the
    one in the middle has.
    """
    place = np.linspace(-1, 1, CLOSE_S - OPEN_S)
    square = place**2
    outer, middle = square[:_SHAPE_S].mean(), square[_MIDDLE].mean()
    shape: NDArray[np.float64] = 1 + (ratio - 1) / (outer - ratio * middle) * square
    return shape


def _walk(random: np.random.Generator, memory_s: int) -> NDArray[np.float64]:
    """A mean-reverting walk of variance 1 with that memory, a value a second."""
    keep = 1 - 1 / memory_s
    steps = random.standard_normal(SECONDS) * np.sqrt(1 - keep * keep)
    walk = np.empty(SECONDS)
    value = random.standard_normal()
    for second, step in enumerate(steps):
        value = keep * value + step
        walk[second] = value
    return walk


def _in_16(values: NDArray[np.float64]) -> NDArray[np.int64]:
    rounded: NDArray[np.int64] = np.rint(values * ONE_16).astype(np.int64)
    return rounded
