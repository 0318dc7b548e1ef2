"""Other implementations beside ours: benchmarks that run in the environment of `make peers`.

Each run is a process of its own that decodes the same file and says how long that took, without
its start (`peer_programs.py`).
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
"""Most take 1 to 100 µs a message: enough for a figure, and soon over."""


def peers_python() -> Path:
    """Interpreter of the environment that has the other implementations."""
    folder = os.environ.get("FEEDHANDLER_PEERS")
    root = Path(folder) if folder else Path(sys.prefix).parent / ".venv-peers"
    return root / "bin" / "python"


def peer(
    name: str,
    find_file: Callable[[Workload], Path],
    messages_max: int | None = _MESSAGES_A_RUN,
) -> Callable[[Workload], Run]:
    """The `prepare` of a benchmark: implementation `name` on the file that `find_file` gives, or on
    its first `messages_max` messages.
    """

    def prepare(workload: Workload) -> Run:
        wanted = [workload.messages, *([messages_max] if messages_max else [])]
        return _start(name, find_file(workload), min(wanted))

    return prepare


def _start(name: str, path: Path, messages: int) -> Run:
    """The function that starts it; NotInstalledError where it has not got what it needs."""
    command = [str(peers_python()), str(_PROGRAMS), name, str(path), str(messages)]
    # What is ours must not be found there.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run() -> Timing:
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
        except OSError:
            raise NotInstalledError(name) from None
        if "ModuleNotFoundError" in done.stderr:
            raise NotInstalledError(name)
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise UserError(f"{name} failed on {path}: {last}", ExitCode.UNEXPECTED)
        operations, elapsed_ns = done.stdout.split()
        return Timing(int(operations), int(elapsed_ns))

    return run
