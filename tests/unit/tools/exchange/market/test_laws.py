"""The tables, paths, powers and the heap that a market draws on."""

import heapq
import math
import random

import numpy as np
import pytest

from tools.exchange.market import tables
from tools.exchange.market.heap import (
    KIND_BITS,
    KIND_MASK,
    PLACE_BITS,
    PLACE_MASK,
    pop_nb,
    push_nb,
    word_nb,
)
from tools.exchange.market.layout import (
    EVENTS_LOST,
    HEAP_EDGES,
    HEAP_ROOT,
    HEAP_SIZE,
    Market,
    allocate_market,
)
from tools.exchange.market.paths import SECONDS, make_paths
from tools.exchange.market.prices import power_nb
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.scenario import CLOSE_S, OPEN_S, START_S, Scenario

REGULAR = slice(OPEN_S - START_S, CLOSE_S - START_S)


@pytest.fixture(scope="module")
def market() -> Market:
    return allocate_market(Scenario(symbols=2, orders_per_symbol=8), load_profiles(2), 1)


def test_laws_have_the_means_that_they_say():
    one = tables.ONE_16
    normal = tables.normal_table()
    assert abs(normal.mean()) < 1
    assert abs(np.sqrt((normal.astype(float) ** 2).mean()) / one - 1) < 1e-6
    assert abs(tables.exponential_table().mean() / one - 1) < 1e-4
    assert abs(tables.lifetime_table().mean() / one - 1) < 1e-4
    assert abs(tables.children_table(70).mean() - 0.7) < 1e-3
    assert tables.children_table(0).max() == 0


def test_tails_are_heavy_and_sizes_are_those_of_a_market():
    sizes = tables.size_table()
    assert sizes.min() == 1
    assert 0.3 < (sizes < 100).mean() < 0.35
    assert 0.4 < (sizes == 100).mean() < 0.45
    assert (sizes[sizes > 100] % 100 == 0).all()
    assert sizes.max() > 5_000
    lifetimes = tables.lifetime_table()
    assert np.median(lifetimes) < lifetimes.mean() / 3
    distances = tables.distance_table()
    assert distances.min() == 0
    assert distances.max() > 100


@pytest.mark.parametrize("part", [-0.9, -0.5, -1e-6, 0.0, 1e-9, 0.123456, 0.9])
def test_powers_are_right_to_nine_digits(market: Market, part: float):
    logarithm = round(part * (1 << tables.LOG_BITS))
    found = power_nb(market, np.int64(logarithm)) / (1 << tables.EXP_BITS)
    assert math.isclose(found, math.exp(part), rel_tol=3e-9)


def test_a_logarithm_beyond_the_table_is_its_end(market: Market):
    for sign in (-1, 1):
        far, end = (sign * part << tables.LOG_BITS for part in (5, 1))
        assert power_nb(market, np.int64(far)) == power_nb(market, np.int64(end))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("ratio", [1.0, 3.0, 6.0])
def test_a_day_has_the_variance_and_the_u_that_were_asked_for(seed: int, ratio: float):
    paths = make_paths(Scenario(u_shape=ratio), seed)
    assert len(paths.scale) == len(paths.activity) == SECONDS
    scale = paths.scale[REGULAR].astype(float) / tables.ONE_16
    assert abs((scale**2).mean() - 1) < 1e-3
    half_hours = paths.activity[REGULAR].reshape(13, -1).mean(axis=1) / tables.ONE_16
    assert abs(half_hours.mean() - 1) < 1e-3
    assert abs((half_hours[0] + half_hours[-1]) / 2 / half_hours[6] / ratio - 1) < 0.02
    assert paths.activity[0] == 0
    assert 0 < paths.activity[OPEN_S - START_S - 60] < half_hours.min() * tables.ONE_16


def test_volatility_comes_in_clusters_unless_none_is_asked_for():
    scale = make_paths(Scenario(), 1).scale[REGULAR].astype(float)
    logs = np.log(scale)
    logs -= logs.mean()
    assert (logs[600:] * logs[:-600]).mean() / (logs**2).mean() > 0.3
    calm = make_paths(Scenario(volatility_of_volatility=0, u_shape=1), 1).scale[REGULAR]
    assert calm.min() == calm.max() == tables.ONE_16


def test_the_heap_gives_what_is_due_first_and_loses_only_what_it_counts(market: Market):
    chance = random.Random(5)
    twin: list[int] = []
    market.words[HEAP_SIZE] = 0
    market.heap[:, 0] = 1 << 62
    for _ in range(5_000):
        if chance.random() < 0.6 or not twin:
            due = chance.randrange(1_000)
            push_nb(market, due, word_nb(2, due, 7))
            heapq.heappush(twin, due)
        else:
            due, word = map(int, market.heap[HEAP_ROOT])
            assert due == heapq.heappop(twin)
            assert (word >> KIND_BITS) & PLACE_MASK == due
            assert word & KIND_MASK == 2
            assert word >> (KIND_BITS + PLACE_BITS) == 7
            pop_nb(market)
    while twin:
        assert int(market.heap[HEAP_ROOT, 0]) == heapq.heappop(twin)
        pop_nb(market)
    assert market.words[HEAP_SIZE] == 0
    market.words[HEAP_SIZE] = len(market.heap) - HEAP_EDGES
    push_nb(market, 1, 1)
    assert market.words[EVENTS_LOST] == 1
