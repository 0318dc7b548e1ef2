"""`feedhandler bench scaling`: every message replayed, whoever has it; what two cores can tell."""

import json
from pathlib import Path

import pytest

from feedhandler.server.errors import UserError, run_cli
from tools.bench import command
from tools.bench.measure import Timing
from tools.bench.scaling import Measure, Sample, measure_scaling, measures, parse_shards, summarise
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings


def test_every_way_replays_every_message(tmp_path: Path):
    path = tmp_path / "session.bin"
    generate_file(FlowSettings(1, messages=5_000), path)
    ways = measures(path, tmp_path, 5_000, 2)
    counted = {(name, n): ways[name](n).clock.operations for name in ways for n in (1, 2)}
    assert counted == {
        ("one_feed", 1): 5_000,
        ("one_feed", 2): 5_000,
        ("own_feeds", 1): 1_000,
        ("own_feeds", 2): 2_000,
    }


def test_rounds_take_turns_and_the_first_does_not_count():
    calls: list[tuple[str, int]] = []

    def way(name: str) -> Measure:
        def measure(shards: int) -> Sample:
            calls.append((name, shards))
            slow = 10 if len(calls) <= 4 else 1
            return Sample(Timing(1_000 * shards, 1_000 * slow), Timing(1_000 * shards, 500 * slow))

        return measure

    found = measure_scaling({"a": way("a"), "b": way("b")}, most=2, cores=2, runs=5)
    assert calls == [("a", 1), ("a", 2), ("b", 1), ("b", 2)] * 6
    assert [step.median for step in found[0].steps] == [1_000_000_000, 2_000_000_000]
    names = ["a", "a_by_cpu_time", "b", "b_by_cpu_time"]
    assert [each.name for each in found] == names
    assert [step.lowest for step in found[3].steps] == [2_000_000_000, 4_000_000_000]


def test_ratios_are_taken_within_a_round():
    # The machine was half as fast in the second round, and shards gained the same in all of them.
    found = summarise("a", [[10.0, 5.0, 10.0], [18.0, 9.0, 18.0]], cores=8)
    assert found.steps[1].speed_up == pytest.approx(1.8)
    assert found.as_json()["steps"][1]["efficiency"] == 0.9
    assert "too few" in found.caution


def test_shards_without_a_core_are_shown_and_not_fitted():
    rates = [[10.0], [20.0], [20.0], [20.0], [20.0]]
    found = summarise("a", rates, cores=2)
    assert found.fitted == [1, 2]
    assert found.law.contention == pytest.approx(0, abs=1e-9)
    assert len(found.steps) == 5
    assert summarise("a", rates, cores=5).caution == ""


@pytest.mark.parametrize(("text", "most"), [(None, 3), ("1..4", 4), ("2", 2), ("64", 64)])
def test_numbers_of_shards(text: str | None, most: int):
    assert parse_shards(text, 3) == most


@pytest.mark.parametrize("text", ["0", "65", "2..4", "1..", "x", "-1", "1...3"])
def test_what_is_no_number_of_shards_is_refused(text: str):
    with pytest.raises(UserError, match=r"--shards is 1\.\.N"):
        parse_shards(text, 3)


def test_the_command_prints_and_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(command, "_MESSAGES_QUICK", 500)
    path = tmp_path / "scaling.json"
    words = ["scaling", "--shards", "1..2", "--quick", "--json", str(path)]
    assert (
        run_cli(lambda: command.app(words, result_action="return_value", exit_on_error=False)) == 0
    )
    shown = capsys.readouterr().out
    report = json.loads(path.read_text())
    names = [name + by for name in ("one_feed", "own_feeds") for by in ("", "_by_cpu_time")]
    assert [each["name"] for each in report["scaling"]] == names
    for each in report["scaling"]:
        assert [step["shards"] for step in each["steps"]] == [1, 2]
        assert each["steps"][0]["efficiency"] == 1
        assert each["predicted"]["shards"] == 64
        assert each["law"]["caution"]
    assert "too few for a law" in shown
    assert "hiccup meanwhile" in shown
