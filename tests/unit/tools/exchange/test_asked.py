"""What was asked for is found in prices that have it, on the grid of ticks, around halts."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tools.exchange.asked import (
    ASKED_ROWS,
    Asked,
    Measured,
    asked_findings,
    describe,
    load_asked,
    measure_asked,
)
from tools.exchange.facts import Symbol
from tools.exchange.sampling import ADDED, SECONDS

DAY = 0.3 / np.sqrt(252)
COUNT = 12


def asked_of(u_shape: float = 1.0) -> Asked:
    names = [f"S{i}" for i in range(COUNT)]
    sectors = ["even" if i % 2 == 0 else "odd" for i in range(COUNT)]
    matrix = np.array([[0.5, 0.2], [0.2, 0.4]])
    rows = np.arange(COUNT) % 2
    return Asked(u_shape, names, sectors, np.full(COUNT, 30.0), matrix, rows)


def moves_of(asked: Asked, seed: int) -> np.ndarray:
    """Returns of a second with the matrix that is asked for, exactly so over minutes."""
    matrix = asked.matrix[np.ix_(asked.rows, asked.rows)]
    np.fill_diagonal(matrix, 1)
    numbers = np.random.default_rng(seed).standard_normal((SECONDS, COUNT))
    edges = np.concatenate(([0], np.arange(59, SECONDS, 60)))
    minutes = np.diff(np.cumsum(numbers, axis=0)[edges], axis=0)
    unmixed = np.linalg.inv(np.linalg.cholesky(minutes.T @ minutes)).T
    return numbers @ unmixed @ np.linalg.cholesky(matrix).T * DAY


def symbols_of(asked: Asked, price: float, seed: int = 1) -> list[Symbol]:
    """Rounded to the tick, as a book's middle prices are."""
    paths = price * np.exp(np.cumsum(moves_of(asked, seed), axis=0))
    logs = np.log((np.floor(paths * 100) + 0.5) * 100)
    always, one = np.ones(SECONDS, np.bool_), np.ones(1)
    counts = np.ones((SECONDS, 3), np.int64)
    none = np.zeros((0, 4), np.int64)
    return [Symbol(logs[:, i], one, one, counts, none, always, always, 1 + i) for i in range(COUNT)]


@pytest.mark.parametrize(("price", "ticks"), [(400.0, 38.2), (40.0, 3.82), (10.0, 0.96)])
def test_prices_that_have_what_is_asked_are_found_to_have_it(price: float, ticks: float):
    asked = asked_of()
    symbols = symbols_of(asked, price)
    measured = measure_asked(asked, symbols)
    tolerance = 0.002 + 0.06 / ticks
    assert np.abs(measured.volatilities - 1).max() < tolerance
    assert abs(measured.volatilities.mean() - 1) < 0.01
    assert np.abs(measured.errors[np.triu_indices(COUNT, 1)]).max() < 0.005 + 0.09 / ticks
    assert np.allclose(measured.ticks, ticks, rtol=0.1)


def test_rows_hold_where_prices_have_it_and_do_not_where_they_have_not():
    asked = asked_of()
    symbols = symbols_of(asked, 400.0)
    measured = measure_asked(asked, symbols)
    findings = asked_findings(asked, symbols, measured)
    assert len(findings) == ASKED_ROWS
    assert all(finding.holds for finding in findings)
    told = describe(asked, symbols, measured)
    assert told["left_out"] == told["coarse"] == []
    assert abs(told["in_sectors"]["measured"] - told["in_sectors"]["asked"]) < 0.01
    other = asked_of(2.0)._replace(
        volatilities_percent=np.full(COUNT, 33.0), matrix=np.array([[0.55, 0.3], [0.3, 0.55]])
    )
    found = asked_findings(other, symbols, measure_asked(other, symbols))
    failed = {finding.name for finding in found if not finding.holds}
    assert failed == {finding.name for finding in found}


def test_minutes_of_a_halt_do_not_count_and_a_symbol_with_few_others_is_left_out():
    asked = asked_of()
    symbols = symbols_of(asked, 400.0)
    jumped, halted = symbols[3].logs.copy(), symbols[3].trading.copy()
    jumped[9_000:] += 0.05
    halted[8_990:9_200] = False
    symbols[3] = symbols[3]._replace(logs=jumped, trading=halted)
    short = symbols[5].two_sided.copy()
    short[: SECONDS // 5] = False
    symbols[5] = symbols[5]._replace(two_sided=short)
    measured = measure_asked(asked, symbols)
    assert measured.places.tolist() == [i for i in range(COUNT) if i != 5]
    assert abs(measured.volatilities[3] - 1) < 0.03
    assert np.abs(measured.errors[3, :3]).max() < 0.05
    assert describe(asked, symbols, measured)["left_out"] == ["S5"]


def test_a_day_of_no_symbol_that_could_be_measured_holds_nothing_and_says_so():
    asked = asked_of()
    still = [each._replace(logs=np.full(SECONDS, 10.0)) for each in symbols_of(asked, 400.0)]
    measured = measure_asked(asked, still)
    findings = asked_findings(asked, still, measured)
    assert {finding.holds for finding in findings if "U" not in finding.name} == {False}
    assert describe(asked, still, measured)["left_out"] == sorted(asked.names)


def test_the_u_is_that_of_the_orders():
    asked = asked_of(3.0)
    symbols = symbols_of(asked, 400.0)
    counts = symbols[0].counts.copy()
    counts[:1_800, ADDED] = counts[-1_800:, ADDED] = 3
    symbols = [each._replace(counts=counts) for each in symbols]
    nothing = Measured(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 0)), np.zeros(0))
    shapes = [each for each in asked_findings(asked, symbols, nothing) if "U" in each.name]
    assert [(each.value, each.holds) for each in shapes] == [(1.0, True), (1.0, True)]


def test_a_session_without_a_truth_was_not_asked_for_anything(tmp_path: Path):
    path = tmp_path / "day.bin"
    assert load_asked(path) is None
    beside = Path(f"{path}.truth.json")
    for text in (b"{", msgspec.json.encode({"messages": 1})):
        beside.write_bytes(text)
        assert load_asked(path) is None
