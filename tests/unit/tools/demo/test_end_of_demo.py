"""However a demo is ended, its children and its files go with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUBBORN = """\
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print(f"child {os.getpid()} ready", flush=True)
time.sleep(60)
"""
DEMO = """\
import sys
from pathlib import Path
from feedhandler.server.errors import run_cli
from tools.demo import command, processes
command.warm_up = lambda: None
processes._MODULES = {"server": "stubborn", "exchange": "stubborn"}
sys.exit(run_cli(lambda: command.demo(keep=Path(sys.argv[1]) if sys.argv[1:] else None)))
"""
WITHIN_S = 20


@pytest.fixture
def demo_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a demo whose server and exchange do not heed SIGTERM and never get ready."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return [sys.executable, "-c", DEMO]


def children_in(folder: Path) -> list[int]:
    """Process ids of both children, once both are ready."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        words = [log.read_text().split() for log in folder.rglob("*.log")]
        found = [int(line[1]) for line in words if line[-1:] == ["ready"]]
        if len(found) == 2:
            return found
        assert time.monotonic() < deadline, words
        time.sleep(0.02)


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_children_and_deletes_the_folder(
    tmp_path: Path, demo_program: list[str], number: signal.Signals
):
    with subprocess.Popen(demo_program, stderr=subprocess.PIPE, text=True) as demo:
        pids = children_in(tmp_path / "temporary")
        assert all(map(is_alive, pids))
        demo.send_signal(number)
        _out, said = demo.communicate(timeout=WITHIN_S)
    assert demo.returncode == 128 + number
    assert said == ""
    wait_until_gone(pids)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_children_of_a_demo_that_is_killed_do_not_outlive_it(
    tmp_path: Path, demo_program: list[str]
):
    kept = tmp_path / "kept"
    with subprocess.Popen([*demo_program, str(kept)]) as demo:
        pids = children_in(kept)
        demo.kill()
    wait_until_gone(pids)
