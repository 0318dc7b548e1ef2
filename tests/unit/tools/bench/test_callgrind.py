"""Counting instructions: what is asked of valgrind, what it writes, and machines that cannot."""

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.bench import callgrind
from tools.bench.callgrind import COMPILED_FOR, Counter, Request, read_counts, run_counted, why_not

DUMP = """# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  python -m program
part: {part}

desc: Timerange: Basic block 0 - 1000
desc: Trigger: {trigger}

positions: line
events: Ir
summary: {total}

fn=(1) ???
0 {total}
"""


def test_without_valgrind_a_counter_gets_no_answer_and_does_no_harm():
    counter = Counter()
    assert counter.request(Request.RUNNING_ON_VALGRIND) == 0
    with counter as entered:
        assert entered is counter


def test_on_another_machine_nothing_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with Counter() as counter:
        assert counter.request(Request.RUNNING_ON_VALGRIND) == 0
    assert "x86-64 only, this is aarch64" in why_not()


def test_the_numbers_are_those_of_the_headers():
    # VG_USERREQ_TOOL_BASE('C', 'T') of valgrind.h, and the order of callgrind.h.
    assert Request.ZERO_STATS == 0x43540001
    assert Request.STOP_INSTRUMENTATION == 0x43540005


def test_a_processor_that_lacks_something_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(callgrind, "_cpu_flags", lambda: ["avx2", "bmi1", "bmi2", "fma", "f16c"])
    assert why_not() == "this processor is no x86-64-v3: it lacks movbe"
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2\nprocessor\t: 1\nflags\t\t: fpu\n")
    monkeypatch.undo()
    assert callgrind._cpu_flags(path) == ["flags", ":", "fpu", "avx2"]


def test_a_missing_valgrind_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(callgrind, "_cpu_flags", lambda: sorted(callgrind._NEEDED))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "Debian package valgrind" in why_not()
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert why_not() == ""


def test_counts_are_read_by_title_and_the_rest_of_the_run_is_none(tmp_path: Path):
    for part, (trigger, total) in enumerate(
        [("Client Request: one", 120), ("Client Request: two:three", 7), ("Program termination", 5)]
    ):
        text = DUMP.format(part=part, trigger=trigger, total=total)
        (tmp_path / f"callgrind.out.{part}").write_text(text)
    (tmp_path / "other.out").write_text(DUMP.format(part=9, trigger="Client Request: x", total=1))
    assert read_counts(tmp_path) == {"one": 120, "two:three": 7}


def test_a_program_runs_compiled_for_one_processor_first_alone_then_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, cwd: Path, env: dict[str, str], check: bool) -> Any:
        assert (cwd / "pyproject.toml").exists()
        assert check
        calls.append((command, env))

    monkeypatch.setattr(subprocess, "run", run)
    assert run_counted("some.module", ["a", "b"], tmp_path) == {}
    (alone, first), (counted, second) = calls
    assert alone[1:] == ["-m", "some.module", "a", "b"]
    assert counted[0] == "valgrind"
    assert counted[-len(alone) :] == alone
    assert f"--callgrind-out-file={tmp_path}/callgrind.out" in counted
    assert first == second
    assert COMPILED_FOR.items() <= first.items()
    assert Path(first["NUMBA_CACHE_DIR"]).name == callgrind.COUNTED_FOLDER
