"""Other implementations beside ours: benchmarks that run in the environment of `make peers`.

Each is a process of its own that decodes the same file when it is told to (`peer_programs.py`).
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from feedhandler.server.errors import ExitCode, UserError
from tools.bench.measure import NotInstalledError, Run, Timing, Workload

_PROGRAMS = Path(__file__).with_name("peer_programs.py")
_MESSAGES_A_RUN = 100_000
"""They take 1 to 100 µs a message: enough for a figure, and soon over."""


def peers_python() -> Path:
    """Interpreter of the environment that has the other implementations."""
    folder = os.environ.get("FEEDHANDLER_PEERS")
    root = Path(folder) if folder else Path(sys.prefix).parent / ".venv-peers"
    return root / "bin" / "python"


def peer(name: str, find_file: Callable[[Workload], Path]) -> Callable[[Workload], Run]:
    """The `prepare` of a benchmark: implementation `name` on the file that `find_file` gives."""

    def prepare(workload: Workload) -> Run:
        return _start(name, find_file(workload), min(workload.messages, _MESSAGES_A_RUN))

    return prepare


def _start(name: str, path: Path, messages: int) -> Run:
    """Start the process; NotInstalledError where it has not got what it needs."""
    command = [str(peers_python()), str(_PROGRAMS), name, str(path), str(messages)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ours must not be found there.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
    except OSError:
        raise NotInstalledError(name) from None
    orders, answers = process.stdin, process.stdout
    if orders is None or answers is None or answers.readline() != "ready\n":
        process.wait()
        raise NotInstalledError(name)

    def run() -> Timing:
        orders.write("run\n")
        orders.flush()
        words = answers.readline().split()
        if not words:
            raise UserError(f"{name} ended while it decoded {path}", ExitCode.UNEXPECTED)
        return Timing(int(words[0]), int(words[1]))

    return run
