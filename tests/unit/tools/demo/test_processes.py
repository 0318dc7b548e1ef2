"""Children of a demo: watched, stopped, killed; small programs stand where the big ones would."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedhandler.core.counters import CounterFile, CounterSpec
from feedhandler.server.errors import ExitCode, UserError
from tools.demo import processes
from tools.demo.processes import Processes, read_json
from tools.demo.setup import Options, make_plan

STUBBORN = """\
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
POLITE = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *details: sys.exit(7))
print("ready", flush=True)
time.sleep(60)
"""
BROKEN = """\
import sys
sys.stderr.write("feedhandler: error: the port is taken\\n\\n")
sys.exit(71)
"""


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    """Processes whose server is the program in child.py and whose exchange is in other.py."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(processes, "_MODULES", {"server": "child", "exchange": "other"})
    plan = make_plan(tmp_path, Options())
    with Processes(plan) as found:
        yield found


def wait_until_ready(tmp_path: Path, name: str = "server") -> None:
    deadline = time.monotonic() + 10
    while "ready" not in (tmp_path / f"{name}.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_child_that_ends_by_itself_is_reported_with_its_last_words(
    tmp_path: Path, children: Processes
):
    (tmp_path / "child.py").write_text(BROKEN)
    children.start_server()
    with pytest.raises(UserError) as caught:
        children.wait_for_server()
    assert str(caught.value) == (
        "server ended by itself with code 71: feedhandler: error: the port is taken"
    )
    assert not children.is_running("server")


def test_a_polite_child_is_stopped_with_its_own_exit_code(tmp_path: Path, children: Processes):
    (tmp_path / "child.py").write_text(POLITE)
    children.start_server()
    wait_until_ready(tmp_path)
    assert children.is_running("server")
    children.check("server", "exchange")
    code, took_ms = children.stop("server", 10)
    assert code == 7
    assert took_ms < 10_000
    assert children.stop("server", 10)[0] == 7


def test_a_stubborn_child_is_killed_when_its_time_is_over(tmp_path: Path, children: Processes):
    (tmp_path / "child.py").write_text(STUBBORN)
    children.start_server()
    wait_until_ready(tmp_path)
    code, took_ms = children.stop("server", 1)
    assert code == -9
    assert 1_000 <= took_ms < 5_000


def test_a_child_can_be_killed_and_started_again_with_its_log_kept(
    tmp_path: Path, children: Processes
):
    (tmp_path / "other.py").write_text(POLITE)
    for _ in range(2):
        children.start_exchange()
        wait_until_ready(tmp_path, "exchange")
        children.kill("exchange")
        assert not children.is_running("exchange")
    deadline = time.monotonic() + 10
    while (tmp_path / "exchange.log").read_text() != "ready\nready\n":
        children.start_exchange()
        assert time.monotonic() < deadline
        time.sleep(0.3)
        children.kill("exchange")


def test_a_waiting_exchange_is_told_to_begin_by_the_end_of_its_input(
    tmp_path: Path, children: Processes
):
    (tmp_path / "other.py").write_text(
        "import sys, time\n"
        'print(sys.argv[-1], sys.stdin.read() == "", "ready", flush=True)\n'
        "time.sleep(60)\n"
    )
    children.start_exchange(is_waiting=True)
    time.sleep(0.3)
    assert (tmp_path / "exchange.log").read_text() == ""
    children.begin()
    wait_until_ready(tmp_path, "exchange")
    assert (tmp_path / "exchange.log").read_text() == "--wait True ready\n"


def test_leaving_the_context_ends_whoever_still_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(processes, "_MODULES", {"server": "child"})
    plan = make_plan(tmp_path, Options())
    (tmp_path / "child.py").write_text(STUBBORN)
    with Processes(plan) as found:
        found.start_server()
        wait_until_ready(tmp_path)
    assert not found.is_running("server")


def test_the_counters_of_a_dead_server_are_not_taken_for_those_of_the_new_one(
    tmp_path: Path, children: Processes, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "child.py").write_text(POLITE)
    monkeypatch.setattr(processes, "_START_S", 0.3)
    spec = CounterSpec("agent_heartbeat", "ns", "x", "gauge", (("agent", "receiver"),))
    stale = CounterFile.create(tmp_path / "feedhandler.counters", (spec,))
    stale.values[0, 0] = 1
    children.start_server()
    with pytest.raises(UserError, match="were not up within") as caught:
        children.wait_for_server()
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


def test_the_counters_of_a_server_that_lives_are_found(tmp_path: Path, children: Processes):
    root = Path(processes.__file__).resolve().parents[2]
    (tmp_path / "child.py").write_text(
        f"import sys, time\nsys.path.insert(0, {str(root)!r})\n"
        "from feedhandler.core.counters import CounterFile, CounterSpec\n"
        'spec = CounterSpec("agent_heartbeat", "ns", "x", "gauge", (("agent", "receiver"),))\n'
        f"file = CounterFile.create({str(tmp_path / 'feedhandler.counters')!r}, (spec,))\n"
        "file.values[0, 0] = 5\n"
        "time.sleep(60)\n"
    )
    children.start_server()
    found = children.wait_for_server()
    assert found.value("agent_heartbeat", agent="receiver") == 5
    assert children.is_running("server")


def test_a_report_that_is_not_there_yet_is_empty(tmp_path: Path):
    assert read_json(tmp_path / "none.json") == {}
    (tmp_path / "some.json").write_text('{"sent": 3}\n')
    assert read_json(tmp_path / "some.json") == {"sent": 3}


def test_modules_of_the_demo_can_be_run():
    assert set(processes._MODULES) == {"server", "exchange", "oms-client", "garbage"}
    assert sys.executable
