"""A peer is a process that decodes a file; here a small program stands for the library."""

import sys
from pathlib import Path

import pytest

from feedhandler.server.errors import UserError
from tools.bench import peers
from tools.bench.measure import NotInstalledError, Workload

GOOD = "import sys\nprint(sys.argv[3], 1500)\n"
FAILS = "raise ValueError('cannot read that')\n"
LACKS = "import no_such_library\n"


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    return Workload(tmp_path, tmp_path / "session.bin", 70, 1)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "program.py"
    monkeypatch.setattr(peers, "_PROGRAMS", path)
    monkeypatch.setattr(peers, "peers_python", lambda: Path(sys.executable))
    return path


def test_each_run_is_what_the_process_says_of_it(program: Path, workload: Workload):
    program.write_text(GOOD)
    run = peers.peer("some", lambda found: found.path)(workload)
    assert [tuple(run()), tuple(run())] == [(70, 1500), (70, 1500)]


def test_a_library_that_is_not_there_is_said(program: Path, workload: Workload):
    program.write_text(LACKS)
    run = peers.peer("some", lambda found: found.path)(workload)
    with pytest.raises(NotInstalledError):
        run()


def test_an_environment_that_is_not_there_is_said(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FEEDHANDLER_PEERS", str(tmp_path / "none"))
    run = peers.peer("some", lambda found: found.path)(workload)
    with pytest.raises(NotInstalledError):
        run()


def test_a_library_that_fails_is_an_error_that_names_it(program: Path, workload: Workload):
    program.write_text(FAILS)
    run = peers.peer("some", lambda found: found.path)(workload)
    with pytest.raises(UserError, match=r"some failed on .*: ValueError: cannot read that"):
        run()


def test_the_environment_lies_beside_our_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FEEDHANDLER_PEERS", raising=False)
    monkeypatch.setattr(sys, "prefix", "/somewhere/.venv")
    assert peers.peers_python() == Path("/somewhere/.venv-peers/bin/python")
