"""The processes of a demo: started, watched, ended. Nothing else is ever signalled, and none
outlives the demo, whatever ends that.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from feedhandler.core.counters import CounterFile
from feedhandler.core.errors import CounterFileError
from feedhandler.server.errors import ExitCode, UserError
from tools.demo.setup import Plan

_POLL_S = 0.02
_START_S = 60
_MODULES = {
    "server": "feedhandler.server",
    "exchange": "tools.exchange",
    "oms-client": "tools.oms_client",
    "garbage": "tools.demo.garbage",
}


class Processes:
    """Children of one run; leaving the context ends whichever still lives."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._asked: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        for child in self._children.values():
            if child.poll() is None:
                child.kill()
                child.wait()

    def start_server(self) -> None:
        """Start the server."""
        self._start("server", "serve", "--config", str(self._plan.server_config))

    def start_exchange(self, *, is_waiting: bool = False) -> None:
        """Start the exchange, which sends by itself, or from `begin` on when it `is_waiting`."""
        more = ["--wait"] if is_waiting else []
        if self._plan.options.tape is not None:
            more += ["--tape", str(self._plan.options.tape)]
        config = str(self._plan.exchange_config)
        self._start("exchange", "run", "--config", config, *more, has_input=is_waiting)

    def begin(self) -> None:
        """Let a waiting exchange send: the end of its input says so."""
        pipe = self._children["exchange"].stdin
        if pipe is not None:
            pipe.close()

    def start_client(self, *more: str) -> None:
        """Start the OMS client, quiet unless `more` gives other arguments."""
        report = str(self._plan.report("oms-client"))
        port = str(self._plan.ports["oms"])
        more = more or ("--quiet",)
        if self._plan.options.trade:
            more += ("--exchange-port", str(self._plan.ports["order_entry"]))
        self._start("oms-client", "--port", port, "--report", report, *more)

    def start_garbage(self, count: int) -> None:
        """Start to throw `count` pieces of garbage at every port."""
        ports = self._plan.ports
        targets = [f"--udp={ports[name]}" for name in ("line_a", "line_b", "rerequest")]
        targets += [f"--tcp={ports[name]}" for name in ("glimpse", "oms", "metrics")]
        self._start("garbage", f"--count={count}", *targets)

    def _start(self, name: str, *arguments: str, has_input: bool = False) -> None:
        tied = ["tools.demo.child", str(os.getpid())]
        command = [sys.executable, "-m", *tied, _MODULES[name], *arguments]
        given = subprocess.PIPE if has_input else subprocess.DEVNULL
        with self._plan.log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(command, stdin=given, stdout=log, stderr=log)
        self._asked.discard(name)

    def wait_for_server(self) -> CounterFile:
        """The server's counters, once its engine runs."""
        return self._wait_until(
            lambda counters: counters.value("agent_heartbeat", agent="receiver") > 0
        )

    def wait_for_client(self) -> CounterFile:
        """The server's counters, once an OMS is logged on."""
        return self._wait_until(lambda counters: counters.value("fix_sessions_up") > 0)

    def _wait_until(self, is_there: Callable[[CounterFile], bool]) -> CounterFile:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            self.check("server", "exchange", "oms-client")
            counters = self._counters_of_server()
            if counters is not None and is_there(counters):
                return counters
            time.sleep(_POLL_S)
        raise UserError(f"server and client were not up within {_START_S} s", ExitCode.UNAVAILABLE)

    def _counters_of_server(self) -> CounterFile | None:
        """The counters of the server that was started last, never of one before it."""
        try:
            counters = CounterFile.open(self._plan.counters)
        except CounterFileError:
            return None
        return counters if counters.pid == self._children["server"].pid else None

    def check(self, *names: str) -> None:
        """UserError when one of these has ended; its last words are shown."""
        for name in names:
            child = self._children.get(name)
            if child is not None and child.poll() is not None:
                words = _last_line(self._plan.log(name))
                raise UserError(
                    f"{name} ended by itself with code {child.returncode}: {words}",
                    ExitCode.UNEXPECTED,
                )

    def is_running(self, name: str) -> bool:
        """Whether a started process still lives."""
        child = self._children.get(name)
        return child is not None and child.poll() is None

    def kill(self, name: str) -> None:
        """End a process as a crash would."""
        self._children[name].kill()
        self._children[name].wait()

    def ask_to_stop(self, name: str) -> subprocess.Popen[bytes]:
        """SIGTERM to a process that still runs, once: in its last steps nothing catches a second
        one.
        """
        child = self._children[name]
        if child.poll() is None and name not in self._asked:
            child.send_signal(signal.SIGTERM)
            self._asked.add(name)
        return child

    def stop(self, name: str, within_s: int) -> tuple[int, int]:
        """SIGTERM, and wait: exit code and how long it took in ms; killed, and code -9, when it
        takes longer.
        """
        started_ns = time.monotonic_ns()
        child = self.ask_to_stop(name)
        try:
            code = child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        return code, (time.monotonic_ns() - started_ns) // 1_000_000


def read_json(path: Path) -> dict[str, object]:
    """A report or status file, empty while it is not there; writers replace it as a whole."""
    try:
        found: dict[str, object] = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
