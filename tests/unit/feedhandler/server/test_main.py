"""The `feedhandler` command: help, subcommands, wrong usage."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from feedhandler import __version__
from tests.programs import run_here

GOOD = '[feed]\nline_a = { port = 0 }\n[oms]\nstore_dir = "s"\nallowed = ["OMS1"]\n'


run = partial(run_here, "feedhandler.server")


def test_help_lists_own_commands_and_those_of_other_packages():
    done = run("--help")
    assert done.returncode == 0
    for command in ("serve", "check-config", "warmup", "demo", "replay", "top", "ctl"):
        assert command in done.stdout


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout.strip() == __version__


def test_the_version_loads_neither_numba_nor_commands():
    """Nobody waits a second to be told a number."""
    script = (
        "import sys; from feedhandler.server.__main__ import main; sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "finally: print([name for name in ('numba', 'tools') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{__version__}\n[]\n"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("sreve",), "serve"),
        (("serve",), "--config"),
        (("serve", "--confg", "x"), "--config"),
        (("check-config",), "--file requires an argument"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(words: tuple[str, ...], named: str):
    done = run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("feedhandler: error: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert done.stdout == ""


def test_a_good_configuration_is_called_good(tmp_path: Path):
    path = tmp_path / "server.toml"
    path.write_text(GOOD)
    done = run("check-config", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path}: good; 0 patterns, 0 breakers\n"


def test_an_override_from_the_environment_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "server.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("FEEDHANDLER_ENGINE__TOPOLOGY", "zigzag")
    done = run("check-config", path)
    assert done.returncode == 78
    assert "environment variable FEEDHANDLER_ENGINE__TOPOLOGY: [engine] topology" in done.stderr
