"""`make check` and `make test` themselves: failures are seen, types told apart."""

import sys
from pathlib import Path

import pytest
from mypy import api

from tools.check import __main__ as check
from tools.check import suite
from tools.check.sources import ROOT
from tools.check.steps import Step, module


def python(code: str, **environment: str) -> Step:
    return Step("sample", [sys.executable, "-c", code], environment)


def test_a_good_step_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert python("print('chatter')").run_quietly()
    assert capsys.readouterr().out.startswith("ok ")


def test_a_failed_step_shows_what_it_printed(capsys: pytest.CaptureFixture[str]):
    step = python("import sys; print('to stdout'); sys.exit('to stderr')")
    assert not step.run_quietly()
    output = capsys.readouterr().out
    assert output.startswith("FAILED")
    assert "to stdout" in output
    assert "to stderr" in output


def test_a_step_sees_its_environment():
    code = "import os, sys; sys.exit(os.environ['NUMBA_DISABLE_JIT'] != '1')"
    assert python(code, NUMBA_DISABLE_JIT="1").run_openly()
    assert not python(code, NUMBA_DISABLE_JIT="0").run_openly()


@pytest.mark.parametrize("command", [check, suite])
def test_every_step_runs_and_one_failure_fails_the_command(
    command: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran: list[str] = []

    def second_fails(step: Step) -> bool:
        ran.append(step.name)
        return len(ran) != 2

    monkeypatch.setattr(Step, "run_quietly", second_fails)
    monkeypatch.setattr(Step, "run_openly", second_fails)
    assert command.main() == 1
    assert len(ran) >= 3
    assert ran[1] in capsys.readouterr().out
    monkeypatch.setattr(Step, "run_quietly", lambda _step: True)
    monkeypatch.setattr(Step, "run_openly", lambda _step: True)
    assert command.main() == 0


def test_a_module_runs_with_this_interpreter():
    assert module("pytest", "tests") == [sys.executable, "-m", "pytest", "tests"]


SAMPLE = """
import numpy as np

def takes(value: int) -> int:
    return value

def good(value: int) -> int:
    return takes(np.int64(value) << 8)

def also_good(value: int) -> np.int64:
    return takes(value)

def unsigned(value: int) -> int:
    return takes(np.uint64(value))

def floating(value: int) -> int:
    return takes(np.float64(value))
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("types") / "sample.py"
    plugin = ROOT / "tools" / "check" / "mypy_integers.py"
    path.with_name("mypy.ini").write_text(f"[mypy]\nplugins = {plugin}\nstrict = True\n")
    return path


@pytest.mark.parametrize("run", [1, 2], ids=["first run", "run from the cache"])
def test_signed_integers_and_int_stand_for_one_another_and_nothing_else_does(
    sample: Path, run: int
):
    sample.write_text(f"{SAMPLE}# run {run}\n")
    config, cache = sample.with_name("mypy.ini"), sample.with_name("cache")
    output, _, status = api.run(
        ["--config-file", str(config), "--cache-dir", str(cache), str(sample)]
    )
    assert status == 1
    errors = [line for line in output.splitlines() if " error: " in line]
    assert [error.split(":")[1] for error in errors] == ["14", "17"]
