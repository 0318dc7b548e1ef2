"""Real processes on loopback, and what the tests ask of them."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feedhandler.core.counters import CounterFile
from feedhandler.core.states import State
from oms_out.contract import SignalTag
from oms_out.store import FileStore
from protocols.fix.message import decode
from tests.programs import run_program
from tools.demo.processes import Processes, read_json
from tools.demo.setup import Options, Plan, free_ports, make_plan
from tools.demo.verdict import judge

STOP_S = 5
_POLL_S = 0.02


def run_demo(*words: object) -> dict[str, Any]:
    """The report of a demo that must be clean: the one line of its output. Its server sleeps when
    there is nothing to do, unless `words` say otherwise; another demo may run beside it.
    """
    idle = () if "--idle" in words else ("--idle", "backoff")
    port = ("--metrics-port", free_ports(1)[0])
    done = run_program("feedhandler.server", "demo", "--json", *port, *idle, *words)
    assert done.stdout.count("\n") == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (report["faults"], report["clean"]) == ([], True)
    assert done.returncode == 0
    return report


def wait_for(what: str, condition: Callable[[], object], within_s: float = 20) -> None:
    """Return as soon as `condition` holds; an assertion that names `what` when it never does."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {within_s} s"
        time.sleep(_POLL_S)


class Scene:
    """A plan, its processes, and what is seen of them from outside."""

    def __init__(self, plan: Plan, processes: Processes) -> None:
        self.plan = plan
        self.processes = processes
        self.counters: CounterFile | None = None

    def start_server(self) -> None:
        self.processes.start_server()
        self.counters = self.processes.wait_for_server()

    def start_all(self) -> None:
        """Server first, so that it hears the session from its first message."""
        self.start_server()
        self.processes.start_client()
        self.processes.start_exchange()

    def value(self, name: str, **labels: str) -> int:
        """A counter of the server; those of a channel go without its label."""
        assert self.counters is not None
        try:
            return self.counters.value(name, **labels)
        except KeyError:
            return self.counters.value(name, channel="itch", **labels)

    def state(self) -> State:
        return State(self.value("channel_state"))

    def wait_for_applied(self, count: int) -> None:
        wait_for(f"{count} messages applied", lambda: self.value("messages_applied") >= count)

    def wait_for_end(self) -> None:
        """Until the exchange has sent everything and the server knows the session's end."""

        def has_ended() -> bool:
            self.processes.check("server", "exchange")
            ended = read_json(self.plan.exchange_status).get("state") == "ended"
            return ended and self.state() == State.ENDED

        wait_for("the end of the session", has_ended, self.plan.options.seconds + 20)

    def stop_all(self) -> dict[str, Any]:
        """The verdict of the demo on this run."""
        names = ("server", "oms-client", "exchange")
        exits = {name: self.processes.stop(name, STOP_S)[0] for name in names}
        server, client, exchange = (self.report(name) for name in names)
        return judge(exchange, server, client, exits)

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.plan.report(name))
        assert found, f"{name} left no report"
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of the server."""
        url = f"http://127.0.0.1:{self.plan.ports['metrics']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stored_signals(self) -> list[tuple[int, int, int]]:
        """(FIX number, signal id, feed sequence number) of every signal kept; server stopped."""
        store = FileStore(self.plan.store / "session-OMS1")
        try:
            kept = [(seq, decode(raw)) for seq, raw in store.read(1, store.next_outgoing) if raw]
        finally:
            store.close()
        return [
            (seq, message.number(SignalTag.SIGNAL_ID) or 0, message.number(SignalTag.FEED_SEQ) or 0)
            for seq, message in kept
        ]


@contextmanager
def scene(folder: Path, **options: Any) -> Iterator[Scene]:
    """A run with these `Options` in `folder`; whatever still lives at its end is killed."""
    usual = {"idle": "backoff", "metrics_port": free_ports(1)[0]}
    plan = make_plan(folder, Options(**(usual | options)))
    with Processes(plan) as processes:
        yield Scene(plan, processes)
