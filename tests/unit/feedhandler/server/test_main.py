"""The `feedhandler` command as a process: help, subcommands, wrong usage."""

import subprocess
import sys
from pathlib import Path

import pytest

from feedhandler import __version__

GOOD = '[feed]\nline_a = { port = 0 }\n[oms]\nstore_dir = "s"\nallowed = ["OMS1"]\n'


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feedhandler.server", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_help_lists_own_commands_and_those_of_other_packages():
    done = run("--help")
    assert done.returncode == 0
    for command in ("serve", "check-config", "warmup", "demo", "replay", "top"):
        assert command in done.stdout


def test_the_version_is_that_of_the_package():
    assert run("--version").stdout.strip() == __version__


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
