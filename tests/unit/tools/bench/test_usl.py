"""The fit of the scalability law, against a grid of everything it could be."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.usl import Law, fit, misfit


def on(law: Law, counts: list[int]) -> list[tuple[int, float]]:
    return [(count, law.throughput(count)) for count in counts]


@pytest.mark.parametrize(
    "law", [Law(15e6), Law(15e6, 0.05), Law(15e6, 0.0, 0.002), Law(2.0, 0.3, 0.01)]
)
def test_points_of_a_law_give_that_law(law: Law):
    assert fit(on(law, [1, 2, 4, 8])) == pytest.approx(law, rel=1e-6, abs=1e-9)


@given(
    st.lists(st.floats(0.7, 1.3), min_size=5, max_size=5),
    st.floats(0, 0.3),
    st.floats(0, 0.02),
)
def test_no_law_of_a_fine_grid_fits_better(noise: list[float], contention: float, coherency: float):
    exact = Law(1.0, contention, coherency)
    points = [
        (count, exact.throughput(count) * each)
        for count, each in zip((1, 2, 3, 5, 8), noise, strict=True)
    ]
    found = fit(points)
    assert min(found) >= 0
    best = min(
        misfit(Law(*each), points)
        for each in itertools.product(
            np.linspace(0.5, 1.6, 23), np.linspace(0, 0.8, 17), np.linspace(0, 0.08, 17)
        )
    )
    assert misfit(found, points) <= best + 1e-12
    # Nor does one that is next to it.
    for step, i in itertools.product((0.999, 1.001), range(3)):
        near = found._replace(**{Law._fields[i]: found[i] * step})
        assert misfit(found, points) <= misfit(near, points) + 1e-12


def test_more_than_linear_is_taken_for_linear():
    law = fit([(1, 10.0), (2, 21.0), (3, 33.0), (4, 46.0)])
    assert (law.contention, law.coherency, law.peak()) == (0, 0, None)


def test_two_counts_tell_of_contention_alone():
    law = fit([(1, 10.0), (2, 18.0)])
    assert law.coherency == 0
    assert law.throughput(2) == pytest.approx(18)


def test_one_count_tells_the_rate():
    assert fit([(1, 10.0)]) == pytest.approx(Law(10.0))


def test_the_peak_is_where_one_more_does_not_help():
    law = Law(1.0, 0.02, 0.001)
    best = max(range(1, 200), key=law.throughput)
    assert law.peak() is not None
    assert abs((law.peak() or 0) - best) <= 1
