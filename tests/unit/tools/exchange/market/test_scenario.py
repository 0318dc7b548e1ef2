"""Scenarios: those that come with the exchange, and how files are put together."""

from pathlib import Path

import msgspec
import pytest

from feedhandler.server.errors import ConfigError, UserError
from tools.exchange.day import NS_PER_S
from tools.exchange.market.layout import allocate_market
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.scenario import (
    Scenario,
    clock_ns_of,
    load_scenario,
    scenario_names,
)


@pytest.mark.parametrize("name", scenario_names())
def test_each_that_comes_with_the_exchange_can_be_set_up(name: str):
    scenario = load_scenario(name)
    assert scenario.title
    market = allocate_market(scenario, load_profiles(100), 1)
    assert len(market.shocks) == len(scenario.event)


def test_a_scenario_has_the_events_of_those_that_it_includes(tmp_path: Path):
    other, own = tmp_path / "other.toml", tmp_path / "own.toml"
    other.write_text('[[event]]\nkind = "jump"\nat = "11:00:00"\n')
    own.write_text(
        f'include = ["{other}", "sector-news"]\n[[event]]\nkind = "jump"\nat = "12:00:00"\n'
    )
    times = [event.at for event in load_scenario(str(own)).event]
    assert times == ["11:00:00", "11:15:00", "11:15:00", "12:00:00"]


def test_a_scenario_that_includes_itself_is_refused(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text(f'include = ["{path}"]\n')
    with pytest.raises(UserError, match="includes itself"):
        load_scenario(str(path))


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are():
    with pytest.raises(UserError, match="flash-crash, normal-day, open-close-burst"):
        load_scenario("flash_crash")


def test_a_file_of_symbols_lies_beside_the_scenario(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text('symbols_file = "own.csv"\n')
    assert load_scenario(str(path)).symbols_file == str(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("sector_correlation = 0.1\n", "sector_correlation 0.1 is below market_correlation"),
        ("u_shap = 2.0\n", "did you mean 'u_shape'"),
        ('[[event]]\nkind = "crash"\nat = "11:00:00"\n', "crash"),
        ('[[event]]\nkind = "jump"\nat = "24:00:00"\n', "at"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path: Path, text: str, wrong: str):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(path))
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "scope", "wrong"),
    [
        ("jump", "NOBODY", "scope 'NOBODY' is neither"),
        ("news", "market", "scope 'market' is not a symbol"),
        ("stuffing", "energy", "scope 'energy' is not a symbol"),
    ],
)
def test_a_scope_that_there_is_not_is_refused(kind: str, scope: str, wrong: str):
    event = {"kind": kind, "at": "11:00:00", "scope": scope}
    scenario = msgspec.convert({"symbols": 3, "event": [event]}, Scenario)
    with pytest.raises(ValueError, match=wrong):
        allocate_market(scenario, load_profiles(3), 1)


def test_times_of_day_are_read_to_the_microsecond():
    assert clock_ns_of("09:30:00") == 34_200 * NS_PER_S
    assert clock_ns_of("00:00:01.5") == 1_500_000_000
    assert clock_ns_of("23:59:59.000001") == 86_399 * NS_PER_S + 1_000
