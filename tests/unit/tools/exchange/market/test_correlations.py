"""Matrices of correlations: what a scenario may ask for, what is refused, and what it becomes."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from feedhandler.server.errors import ConfigError
from tools.exchange.market.correlations import Structure, structure_of
from tools.exchange.market.layout import FIRST_FACTOR, allocate_market
from tools.exchange.market.own_paths import MINUTE_BITS, NEVER
from tools.exchange.market.paths import (
    FIRST_STEP,
    MINUTES,
    STEPS_A_MINUTE,
    STEPS_A_SECOND,
    regular_scale,
)
from tools.exchange.market.profiles import Profile, load_profiles
from tools.exchange.market.scenario import Scenario, load_scenario
from tools.exchange.market.tables import LOG_BITS, ONE_16

NAMES = ("ARLO", "BEXA", "CIRQ", "DELV", "ESTO", "FYNN", "GRAV", "HOLT")


def asked(structure: Structure) -> np.ndarray:
    matrix = structure.matrix[np.ix_(structure.rows, structure.rows)]
    np.fill_diagonal(matrix, 1)
    return matrix


def given(structure: Structure) -> np.ndarray:
    """The correlations that factors, loadings and own parts come to."""
    count, wide = structure.loadings.shape
    moves = np.zeros((count, structure.mix.shape[1]))
    for place in range(wide):
        moves += structure.loadings[:, [place]] * structure.mix[structure.first + place]
    own = np.diag(structure.own) if structure.own.ndim == 1 else structure.own
    return moves @ moves.T + own @ own.T


def scenario_of(values: dict[str, Any]) -> Scenario:
    return msgspec.convert({"symbols": 8, "orders_per_symbol": 8, **values}, Scenario)


def matrix_file(path: Path, names: tuple[str, ...], matrix: np.ndarray) -> str:
    rows = [f"{name}," + ",".join(map(str, row)) for name, row in zip(names, matrix, strict=True)]
    path.write_text("\n".join([",".join(["name", *names]), *rows, ""]))
    return str(path)


def random_matrix(seed: int, count: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    loadings = chance.standard_normal((count, 3)) * 0.6
    matrix = loadings @ loadings.T + np.diag(chance.uniform(0.1, 1, count))
    scale = np.sqrt(np.diag(matrix))
    matrix /= np.outer(scale, scale)
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    return matrix


SECTORS = {
    "energy": [0.5, 0.1, -0.2],
    "health": [0.1, 0.6, 0.3],
    "technology": [-0.2, 0.3, 0.4],
}


def of_three_sectors() -> list[Profile]:
    names = list(SECTORS)
    return [each._replace(sector=names[i % 3]) for i, each in enumerate(load_profiles(8))]


def shown(scenario: Scenario, profiles: list[Profile]) -> tuple[np.ndarray, np.ndarray]:
    """(volatility by the profile's, correlations) of the minutes that a market will have."""
    market = allocate_market(scenario, profiles, 5)
    paths = market.own_paths
    units = 1 << LOG_BITS
    moves = paths.minutes.T.astype(float) * (1 << MINUTE_BITS) / units
    for symbol, first in enumerate(paths.first_jumps):
        for step, size in paths.jumps[first:]:
            if step == NEVER:
                break
            moves[(step - FIRST_STEP) // STEPS_A_MINUTE, symbol] += size / units
    sizes = np.repeat(regular_scale(market.scale), STEPS_A_SECOND)[:, np.newaxis]
    day = 0.2 / np.sqrt(252 * len(sizes))
    factors = (market.steps / ONE_16 * sizes).reshape(MINUTES, STEPS_A_MINUTE, -1).sum(axis=1) * day
    for place in range(market.loadings.shape[1]):
        rows = market.own[:, FIRST_FACTOR] + place
        moves += factors[:, rows] * market.loadings[:, place] / ONE_16
    found = moves.T @ moves
    wanted = np.array([each.volatility_percent for each in profiles]) / 100 / np.sqrt(252)
    scale = np.sqrt(np.diag(found))
    return scale / wanted, found / np.outer(scale, scale)


def test_two_numbers_are_a_matrix_of_sectors():
    structure = structure_of(scenario_of({}), load_profiles(8))
    assert structure.loadings.shape == (8, 1)
    assert np.allclose(given(structure), asked(structure))
    assert set(np.round(asked(structure).ravel(), 6)) <= {0.25, 0.4, 1.0}


def test_a_day_shows_a_matrix_of_sectors_to_the_fifth_digit():
    scenario = scenario_of({"correlation": SECTORS, "jumps_per_day": 3})
    profiles = of_three_sectors()
    structure = structure_of(scenario, profiles)
    assert np.allclose(given(structure), asked(structure))
    volatilities, found = shown(scenario, profiles)
    assert np.abs(volatilities - 1).max() < 1e-4
    assert np.abs(found - asked(structure)).max() < 1e-4


@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_shows_a_matrix_of_symbols_to_the_fifth_digit(seed: int, tmp_path: Path):
    matrix = random_matrix(seed, 8)
    file = matrix_file(tmp_path / "own.csv", NAMES, matrix)
    scenario = scenario_of({"correlation_file": file, "jumps_per_day": 3})
    structure = structure_of(scenario, load_profiles(8))
    assert structure.loadings.shape == (8, 2)
    assert np.allclose(asked(structure), matrix)
    assert np.allclose(given(structure), matrix)
    volatilities, found = shown(scenario, load_profiles(8))
    assert np.abs(volatilities - 1).max() < 1e-4
    assert np.abs(found - matrix).max() < 1e-4


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_equal_correlations_of_symbols_can_be_had_up_to_one(level: float, tmp_path: Path):
    matrix = np.full((8, 8), level)
    np.fill_diagonal(matrix, 1)
    file = matrix_file(tmp_path / "own.csv", NAMES, matrix)
    structure = structure_of(scenario_of({"correlation_file": file}), load_profiles(8))
    assert np.allclose(given(structure), matrix, atol=1e-7)


def test_a_matrix_may_have_more_names_than_are_used_in_any_order(tmp_path: Path):
    matrix = random_matrix(3, 8)
    file = matrix_file(tmp_path / "own.csv", NAMES[::-1], matrix)
    structure = structure_of(scenario_of({"correlation_file": file}), load_profiles(2))
    assert structure.names == NAMES[:2]
    assert structure.matrix[0, 1] == matrix[7, 6]


def test_a_file_lies_beside_the_scenario(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text('correlation_file = "own.csv"\n')
    assert load_scenario(str(path)).correlation_file == str(tmp_path / "own.csv")
    path.write_text('correlation_file = "own.csv"\n[correlation]\nenergy = [0.4]\n')
    with pytest.raises(ConfigError, match="a matrix comes from one of them"):
        load_scenario(str(path))


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        ({"a": [0.5]}, r"no row for symbol 'ARLO'|'a' with itself is 0.5, not 1"),
        ({"energy": [0.5, 0.1]}, "energy: 2 entries, but there are 1 names"),
        ({"energy": [0.5]}, "no row for sector 'health'"),
        ({"energy": [1.0]}, "'energy' with itself is 1, not 0 to 0.98"),
        (SECTORS | {"health": [0.2, 0.6, 0.3]}, "'energy' with 'health' is 0.1, the other way 0.2"),
        (
            {"energy": [0.5, 1.5], "health": [1.5, 0.5]},
            "'energy' with 'health' is 1.5, not -1 to 1",
        ),
        (
            {"energy": [0.5, 0.9], "health": [0.9, 0.5]},
            r"not positive semi-definite: eigenvalue -0.400000, .*'health'",
        ),
        ({"energy": [float("nan")]}, "'energy' with itself is nan"),
    ],
)
def test_what_is_no_matrix_is_refused_with_its_entry(rows: dict[str, list[float]], wrong: str):
    with pytest.raises(ValueError, match=wrong):
        structure_of(scenario_of({"correlation": rows}), of_three_sectors())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", ":1: no row of names"),
        ("name,ARLO,BEXA\nARLO,1,0\n", ": rows: 1 entries, but there are 2 names"),
        ("name,ARLO,BEXA\nBEXA,1,0\nARLO,0,1\n", ":2: row of 'BEXA', where the columns have"),
        ("name,ARLO,BEXA\nARLO,1\nBEXA,0,1\n", ":2: 1 entries"),
        ("name,ARLO,BEXA\nARLO,1,x\nBEXA,0,1\n", ":2: 'x' is not a number"),
        ("name,ARLO,ARLO\nARLO,1,0\nARLO,0,1\n", ": 'ARLO' a second time"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, wrong: str):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"own\.csv") as caught:
        structure_of(scenario_of({"correlation_file": str(path)}), load_profiles(2))
    assert wrong in str(caught.value)


def test_a_file_that_there_is_not_and_one_for_too_many_symbols_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="No such file"):
        structure_of(scenario_of({"correlation_file": "none.csv"}), load_profiles(2))
    names = tuple(profile.symbol for profile in load_profiles(201))
    file = matrix_file(tmp_path / "own.csv", names, np.eye(201))
    with pytest.raises(ValueError, match="a matrix of symbols for 201: 200 at most"):
        structure_of(scenario_of({"correlation_file": file}), load_profiles(201))
    many = [each._replace(sector=each.symbol) for each in load_profiles(201)]
    with pytest.raises(ValueError, match="201 sectors: 200 at most"):
        structure_of(scenario_of({}), many)
