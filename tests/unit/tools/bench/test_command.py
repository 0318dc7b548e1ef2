"""`feedhandler bench`: the table, the JSON file, and wrong names."""

import json
from pathlib import Path

import pytest

from feedhandler.server.errors import run_cli
from tools.bench import command
from tools.bench.measure import RUNS


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_MESSAGES", 1_000)
    monkeypatch.setattr(command, "_MESSAGES_QUICK", 500)
    monkeypatch.setattr(command, "_LOOPS", 2_000)
    monkeypatch.setattr(command, "_LOOPS_QUICK", 1_000)


def run(*words: str) -> int:
    return run_cli(
        lambda: command.app(list(words), result_action="return_value", exit_on_error=False)
    )


def test_the_table_has_the_chosen_rows_in_its_own_order_and_the_hiccup(
    capsys: pytest.CaptureFixture[str],
):
    assert run("counter_add", "itch_decode") == 0
    out = capsys.readouterr().out
    assert out.index("itch_decode") < out.index("counter_add")
    assert "replay_file" not in out
    assert "hiccup meanwhile: p99.9" in out
    assert "1,000 messages" in out


def test_all_benchmarks_run_without_a_name(capsys: pytest.CaptureFixture[str]):
    assert run("--quick") == 0
    out = capsys.readouterr().out
    assert all(benchmark.name in out for benchmark in command.BENCHMARKS)
    assert "500 messages" in out


def test_what_is_not_installed_is_a_row_without_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    only = command.BENCHMARKS[0]._replace(needs="no_such_module")
    monkeypatch.setattr(command, "BENCHMARKS", (only,))
    assert run() == 0
    assert "not installed" in capsys.readouterr().out


def test_the_json_file_has_the_same(tmp_path: Path):
    path = tmp_path / "bench.json"
    assert run("ring_one_thread", "--json", str(path)) == 0
    report = json.loads(path.read_text())
    assert report["runs"] == RUNS
    assert report["messages"] == 1_000
    assert set(report["hiccup_ns"]) == {"p999", "max"}
    assert report["machine"]["cores"] >= 1
    (only,) = report["benchmarks"]
    assert only["name"] == "ring_one_thread"
    assert only["lowest_ns"] <= only["median_ns"] <= only["highest_ns"]


def test_an_unknown_name_is_one_line_that_lists_the_known_ones(
    capsys: pytest.CaptureFixture[str],
):
    assert run("replay_fil") == 2
    error = capsys.readouterr().err
    assert "'replay_fil'" in error
    assert "replay_file" in error
    assert error.count("\n") == 1


def test_a_json_file_that_cannot_be_written_is_found_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run("counter_add", "--json", str(tmp_path / "none" / "bench.json")) == 73
    printed = capsys.readouterr()
    assert "cannot be written" in printed.err
    assert printed.out == ""
