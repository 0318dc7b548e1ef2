"""The laws that sizes, distances, lifetimes and times are drawn from, each as a table of ENTRIES
equally likely values: a random number picks one, with no logarithm at run time.

Heavy tails and their exponents: sizes of orders and lifetimes, Gould and others, "Limit order
books", Quantitative Finance 13 (2013); distances from the touch, Zovko and
Farmer, "The power of patience", Quantitative Finance 2 (2002): exponent about 1.5 of the cumulated
law; lengths of runs of one side, Lillo, Mike and Farmer, "Theory for long memory in supply and
demand", Physical Review E 71 (2005): an exponent of 1.5 gives signs a memory that falls with the
root of the lag.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

ENTRIES = 4_096
ONE_16 = 1 << 16
"""1 in tables of multiples."""

LOG_BITS = 40
"""Logarithms of prices are in units of 2**-40."""
EXP_STEP_BITS = 30
"""Steps of the table of powers: 2**-10."""
EXP_STEPS = 1_024
"""It reaches from -1 to 1."""
EXP_BITS = 30
"""Its values are in units of 2**-30."""

Table = NDArray[np.int64]


def _table(quantile: Callable[[float], float]) -> Table:
    """`quantile` at the middle of each of ENTRIES equal parts of 0 to 1, rounded: what one
    machine's logarithm has in its last bit is gone by that.
    """
    return np.array([round(quantile((i + 0.5) / ENTRIES)) for i in range(ENTRIES)], np.int64)


def normal_table() -> Table:
    """The normal law, in ONE_16; scaled so that the table's own variance is 1."""
    law = NormalDist()
    values = [law.inv_cdf((i + 0.5) / ENTRIES) for i in range(ENTRIES)]
    scale = ONE_16 / math.sqrt(math.fsum(value * value for value in values) / ENTRIES)
    return np.array([round(value * scale) for value in values], np.int64)


def exponential_table() -> Table:
    """Waiting times of mean 1, in ONE_16."""
    values = [-math.log(1 - (i + 0.5) / ENTRIES) for i in range(ENTRIES)]
    scale = ONE_16 * ENTRIES / math.fsum(values)
    return np.array([round(value * scale) for value in values], np.int64)


def _pareto(exponent: float, lowest: float, highest: float) -> Callable[[float], float]:
    """Quantiles of a power law of that exponent, cut off at `highest`."""
    cut = 1 - (lowest / highest) ** exponent
    return lambda part: lowest * (1 - part * cut) ** (-1 / exponent)


def delay_table() -> Table:
    """Times from an event to one that it provokes, ns: 50 us to a minute, by a power law."""
    return _table(_pareto(0.6, 50_000, 60_000_000_000))


def lifetime_table() -> Table:
    """Lifetimes of orders, in ONE_16, of mean 1: many are short, some last."""
    law = _pareto(1.1, 0.02, 200.0)
    values = [law((i + 0.5) / ENTRIES) for i in range(ENTRIES)]
    scale = ONE_16 * ENTRIES / math.fsum(values)
    return np.array([round(value * scale) for value in values], np.int64)


def size_table() -> Table:
    """Shares of an order: a third odd lots, most often 100, and a tail of round lots."""
    table = np.zeros(ENTRIES, np.int64)
    odd, hundred = ENTRIES * 32 // 100, ENTRIES * 42 // 100
    small = _pareto(0.6, 1, 100)
    large = _pareto(1.5, 200, 20_000)
    rest = ENTRIES - odd - hundred
    table[:odd] = [min(99, int(small((i + 0.5) / odd))) for i in range(odd)]
    table[odd : odd + hundred] = 100
    table[odd + hundred :] = [int(large((i + 0.5) / rest)) // 100 * 100 for i in range(rest)]
    return table


def distance_table() -> Table:
    """Ticks behind the best place that a new order stands at."""
    law = _pareto(1.5, 1, 500)
    return _table(lambda part: law(part) - 1.5)


def run_table() -> Table:
    """How many orders of one side belong to one intention."""
    return _table(_pareto(1.4, 2, 5_000))


def children_table(mean_percent: int) -> Table:
    """How many events an event provokes, by the law of Poisson."""
    mean = mean_percent / 100
    counts: list[int] = []
    chance, number, cumulated = math.exp(-mean), 0, 0.0
    while len(counts) < ENTRIES:
        cumulated += chance
        counts += [number] * (min(ENTRIES, round(cumulated * ENTRIES)) - len(counts))
        number += 1
        chance *= mean / number
        if chance * ENTRIES < 0.01:
            counts += [number] * (ENTRIES - len(counts))
    return np.array(counts, np.int64)


def exp_table() -> Table:
    """exp(i / 2**10) for i = -1024 to 1025, in 2**-30, every digit of it right."""
    step = Decimal(1) / (1 << (LOG_BITS - EXP_STEP_BITS))
    powers = ((step * i).exp() * (1 << EXP_BITS) for i in range(-EXP_STEPS, EXP_STEPS + 2))
    return np.array([int(power.to_integral_value()) for power in powers], np.int64)
