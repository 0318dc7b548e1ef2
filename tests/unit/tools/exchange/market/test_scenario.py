"""Scenarios: those that come with the exchange, and how files are put together."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedhandler.server.errors import ConfigError, UserError
from tools.exchange import lines
from tools.exchange.day import NS_PER_S
from tools.exchange.market.layout import allocate_market
from tools.exchange.market.placing import placed_events
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.scenario import (
    Scenario,
    clock_ns_of,
    load_scenario,
    scenario_names,
)
from tools.exchange.market.trouble import clock_steps_of, told_troubles, windows_of
from tools.exchange.rng import CHANCE_ONE

LEAD = '[[event]]\nkind = "lead_lag"\npercent = 1.0\nevery_s = 2\n'
CLOCK = {"kind": "clock_step", "line": None, "chance": 0, "step_ms": 250}


def trouble_text(keys: dict[str, Any]) -> str:
    rows = (f"{key} = {json.dumps(value)}\n" for key, value in keys.items() if value is not None)
    return "[[trouble]]\n" + "".join(rows)


@pytest.mark.parametrize("name", scenario_names())
def test_each_that_comes_with_the_exchange_can_be_set_up(name: str):
    scenario = load_scenario(name)
    assert scenario.title
    market = allocate_market(scenario, load_profiles(100), 1)
    assert len(market.shocks) == len(placed_events(scenario, load_profiles(100), 1))
    assert len(market.relations) == len(scenario.relation)


def test_a_scenario_has_the_events_of_those_that_it_includes(tmp_path: Path):
    other, own = tmp_path / "other.toml", tmp_path / "own.toml"
    other.write_text('[[event]]\nkind = "jump"\nat = "11:00:00"\n')
    own.write_text(
        f'include = ["{other}", "sector-news"]\n[[event]]\nkind = "jump"\nat = "12:00:00"\n'
    )
    times = [event.at for event in load_scenario(str(own)).event]
    assert times == ["11:00:00", "11:15:00", "11:15:00", "12:00:00"]


def test_it_has_their_trouble_too(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text(
        'include = ["feed-trouble"]\n[[trouble]]\nkind = "delay"\nline = "b"\nat = "11:00:00.5"\n'
        "duration_s = 2.5\ndelay_us = 300\n"
    )
    scenario = load_scenario(str(path))
    assert len(scenario.event) == len(load_scenario("normal-day").event)
    kinds = [each.kind for each in scenario.trouble]
    assert kinds == [
        "loss",
        "loss",
        "clock_step",
        "reorder",
        "duplicate",
        "clock_step",
        "cut",
        "session_roll",
        "cut",
        "delay",
    ]
    half_past_ns = clock_ns_of("11:00:00.5")
    window = (lines.DELAY_NS, half_past_ns, half_past_ns + 2_500_000_000, 300_000)
    assert windows_of(scenario, "b")[-1] == window
    assert [row[0] for row in windows_of(scenario, "a")] == [
        lines.LOSS,
        lines.LOSS,
        lines.DUPLICATE,
        lines.CUT,
        lines.CUT,
    ]
    assert windows_of(scenario, "a")[0][3] == int(0.3 * CHANCE_ONE)
    assert windows_of(None, "a") == ()


def test_the_truth_tells_the_trouble_that_had_begun():
    scenario = load_scenario("feed-trouble")
    begun_ns = clock_ns_of("10:04:00")
    assert told_troubles(scenario, begun_ns - 1) == [
        {
            "ts_ns": clock_ns_of("10:01:00"),
            "what": "trouble",
            "kind": "loss",
            "line": "a",
            "until_ns": clock_ns_of("10:02:00"),
            "value": 0.3,
        }
    ]
    assert [row["line"] for row in told_troubles(scenario, begun_ns)] == ["a", "both"]
    assert len(told_troubles(scenario, scenario.trouble[-1].at_ns)) == len(scenario.trouble)


def test_a_clock_step_is_no_lines_and_is_told_in_milliseconds():
    scenario = load_scenario("feed-trouble")
    from_ns, until_ns = clock_ns_of("10:12:00"), clock_ns_of("10:12:30")
    assert clock_steps_of(scenario).tolist() == [
        [clock_ns_of("10:05:30"), clock_ns_of("10:06:00"), 250_000_000],
        [from_ns, until_ns, -250_000_000],
    ]
    assert told_troubles(scenario, from_ns)[-1] == {
        "ts_ns": from_ns,
        "what": "trouble",
        "kind": "clock_step",
        "until_ns": until_ns,
        "value": -250,
    }
    assert clock_steps_of(Scenario()).shape == (0, 3)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"kind": "lost"}, "lost"),
        ({"kind": "session_roll"}, "kind session_roll at 10:00:00: "),
        ({"line": "c"}, "'c'"),
        ({"at": "9:30"}, "at"),
        ({"chance": 1}, "chance"),
        ({"chance": 0}, "trouble of the kind loss at 10:00:00: chance above 0 is needed"),
        ({"delay_us": 5}, "kind loss at 10:00:00: delay_us says nothing there"),
        ({"kind": "cut"}, "kind cut at 10:00:00: chance says nothing there"),
        ({"kind": "delay", "chance": 0}, "kind delay at 10:00:00: delay_us above 0 is needed"),
        ({"duration_s": 0}, "kind loss at 10:00:00: duration_s above 0 is needed"),
        ({"durations": 5}, "durations"),
        ({"step_ms": 5}, "kind loss at 10:00:00: step_ms says nothing there"),
        ({"line": None}, 'kind loss at 10:00:00: line is needed: "a", "b" or "both"'),
        ({"line": None, "kind": "cut", "chance": 0}, "kind cut at 10:00:00: line is needed"),
        (CLOCK | {"line": "a"}, "kind clock_step at 10:00:00: line says nothing there"),
        (CLOCK | {"chance": 0.1}, "kind clock_step at 10:00:00: chance says nothing there"),
        (CLOCK | {"step_ms": 0}, "clock_step at 10:00:00: step_ms above or below 0 is needed"),
        (CLOCK | {"step_ms": 0.5}, "step_ms"),
        (CLOCK | {"step_ms": 3_600_001}, "step_ms"),
        (CLOCK | {"step_ms": -3_600_001}, "step_ms"),
        (
            CLOCK | {"at": "20:04:00"},
            "stamps would be wrong until 20:05:00.250000, and messages end at 20:05:00; let it",
        ),
        (CLOCK | {"duration_s": 86_400, "step_ms": -1}, "wrong until 1 day, 10:00:00"),
    ],
)
def test_what_is_wrong_in_trouble_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, Any], wrong: str
):
    usual = {"kind": "loss", "line": "a", "at": "10:00:00", "duration_s": 60, "chance": 0.3}
    path = tmp_path / "own.toml"
    path.write_text(trouble_text({**usual, **changes}))
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(path))
    told = str(caught.value)
    assert wrong in told
    assert str(path) in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        ("09:59:00.000001", True),
        ("09:59:00", False),
        ("10:00:30", True),
        ("10:01:00.249999", True),
        ("10:01:00.250", False),
    ],
)
def test_clocks_that_are_wrong_in_two_ways_are_refused(tmp_path: Path, at: str, wrong: bool):
    included, own = tmp_path / "included.toml", tmp_path / "own.toml"
    one = {"kind": "clock_step", "at": "10:00:00", "duration_s": 60, "step_ms": 250}
    other = one | {"at": at, "step_ms": -250}
    included.write_text(trouble_text(one))
    own.write_text(f'include = ["{included}"]\n' + trouble_text(other))
    both = tmp_path / "both.toml"
    both.write_text(trouble_text(one) + trouble_text(other))
    for path, where in ((own, "with what it includes: "), (both, "")):
        if not wrong:
            assert len(clock_steps_of(load_scenario(str(path)))) == 2
            continue
        with pytest.raises(ConfigError) as caught:
            load_scenario(str(path))
        told = str(caught.value)
        assert told.startswith(str(path))
        assert f"{where}trouble of the kind clock_step at " in told
        assert "; let it begin then or later" in told
        assert "\n" not in told


def test_a_scenario_that_includes_itself_is_refused(tmp_path: Path):
    path = tmp_path / "own.toml"
    path.write_text(f'include = ["{path}"]\n')
    with pytest.raises(UserError, match="includes itself"):
        load_scenario(str(path))


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are():
    with pytest.raises(UserError, match="momentum, normal-day, open-close-burst"):
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
        (
            '[[event]]\nkind = "jump"\n',
            "event of the kind jump: one of at, count and per_hour is needed",
        ),
        (
            '[[event]]\nkind = "jump"\nat = "11:00:00"\ncount = 2\n',
            "jump at 11:00:00: one of at, count and per_hour is needed",
        ),
        ('[[event]]\nkind = "ipo"\ncount = 2\n', "kind ipo: it happens once; at is needed"),
        (
            '[[event]]\nkind = "jump"\nat = "11:00:00"\nbetween = ["10:00:00", "11:00:00"]\n',
            "between says nothing there",
        ),
        (
            '[[event]]\nkind = "jump"\ncount = 1\nbetween = ["11:00:00", "10:00:00"]\n',
            "between 11:00:00 and 10:00:00 is no time",
        ),
        ('[[event]]\nkind = "sweep"\ncount = 2\n', "kind sweep: levels above 0 is needed"),
        ('[[event]]\nkind = "sweep"\ncount = 2\nlevels = 1\n', "levels above 1 are needed"),
        (
            '[[event]]\nkind = "jump"\nat = "11:00:00"\nlevels = 6\n',
            "kind jump at 11:00:00: levels says nothing there",
        ),
        (
            '[[event]]\nkind = "iceberg"\ncount = 2\nshares = 300\ndisplay = 300\n',
            "display 300 is to be below shares 300",
        ),
        (
            '[[event]]\nkind = "momentum"\ncount = 2\ntrades = 9\n',
            "percent or ticks is needed, one of the two",
        ),
        (
            '[[event]]\nkind = "momentum"\ncount = 2\ntrades = 9\npercent = -1.0\n',
            "give a size above 0",
        ),
        (LEAD + "count = 2\n", "lag_ms above 0 is needed"),
        (
            LEAD + 'at = "11:00:00"\nlag_ms = 100\nduration_s = 60\n',
            'symbols = ["LEADER", "FOLLOWER"] are needed',
        ),
        (
            '[[event]]\nkind = "lead_lag"\ncount = 1\npercent = 1.0\nevery_s = 2\nlag_ms = 1000\n',
            "duration_s is to be longer than lag_ms",
        ),
        (
            LEAD + 'count = 1\nlag_ms = 100\nduration_s = 60\nsymbols = ["ARLO", "ARLO"]\n',
            "ARLO can't follow itself",
        ),
        (
            '[[relation]]\nkind = "pair"\nsymbols = ["ARLO"]\n',
            "relation of the kind pair (ARLO): 2 symbols are needed, and no weights",
        ),
        (
            '[[relation]]\nkind = "pair"\nsymbols = ["ARLO", "ARLO"]\n',
            "(ARLO, ARLO): a symbol occurs twice",
        ),
        (
            '[[relation]]\nkind = "basket"\nsymbols = ["ARLO", "BEXA", "CIRQ"]\nweights = [1]\n',
            "2 symbols and 1 weights behind the first symbol",
        ),
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
