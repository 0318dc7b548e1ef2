"""Instructions an operation: the program that is counted, and what is made of the counts."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.bench import instructions as module
from tools.bench.instructions import COUNTED, Count, count_instructions
from tools.bench.measure import Run, Surroundings, Workload, timed

BEFORE = Surroundings.context


def prepare_sample(workload: Workload) -> Run:
    """A benchmark of this file; each run leaves a byte in a file."""

    def work() -> None:
        with (workload.folder / "runs").open("ab") as file:
            file.write(b"c" if Surroundings.context is not BEFORE else b"u")

    return lambda: timed(workload.messages, work)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MESSAGES", 1_000)
    monkeypatch.setattr(module, "LOOPS", 1_000)


def test_all_that_can_be_counted_runs(tmp_path: Path):
    module.main(["--into", str(tmp_path), *COUNTED])
    operations = json.loads((tmp_path / "operations.json").read_text())
    assert list(operations) == list(COUNTED)
    assert all(operations.values())


def test_each_runs_once_uncounted_and_once_counted(tmp_path: Path):
    module.main(["--into", str(tmp_path), f"{__name__}:prepare_sample"])
    assert (tmp_path / "runs").read_bytes() == b"uc"
    assert Surroundings.context is BEFORE


def test_counts_are_put_beside_their_operations(monkeypatch: pytest.MonkeyPatch):
    def run_counted(name: str, words: Sequence[str], folder: Path) -> dict[str, int]:
        assert name == "tools.bench.instructions"
        assert words == ["--into", str(folder), "itch_frame", "counter_add"]
        (folder / "operations.json").write_text('{"itch_frame": 200, "counter_add": 3}')
        return {"itch_frame": 5_001, "counter_add": 20}

    monkeypatch.setattr(module, "run_counted", run_counted)
    found = count_instructions(["itch_frame", "counter_add"])
    assert found == {"itch_frame": Count(200, 5_001), "counter_add": Count(3, 20)}
    assert [count.hundredths for count in found.values()] == [2_500, 666]


def test_the_program_prints_lines_for_the_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(module, "why_not", lambda: "")
    monkeypatch.setattr(
        module, "count_instructions", lambda names: dict.fromkeys(names, Count(100, 2_589_00))
    )
    assert module.main(["itch_frame"]) == 0
    assert capsys.readouterr().out == '"itch_frame": 258_900,\n'
    assert module.main([]) == 0
    assert capsys.readouterr().out.count("\n") == len(COUNTED)


def test_where_nothing_can_be_counted_the_reason_is_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "why_not", lambda: "valgrind is missing")
    with pytest.raises(SystemExit, match="valgrind is missing"):
        module.main([])
