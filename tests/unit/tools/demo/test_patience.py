"""How long a demo waits for a server that has not all messages yet."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feedhandler.core.states import State
from tools.demo import command
from tools.demo.setup import Options, make_plan

SECONDS = 5


class Clock:
    """Time that passes in sleeps alone, and a server that applies `per_s` messages a second until
    it has `last` of them.
    """

    def __init__(self, per_s: int, last: int) -> None:
        self.now_s = 0.0
        self._per_s = per_s
        self._last = last

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1_000_000_000)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds * 10

    def applied(self) -> int:
        return min(int(self.now_s * self._per_s), self._last)

    def state(self) -> State:
        return State.RECOVERING


def seconds_waited(monkeypatch: pytest.MonkeyPatch, folder: Path, clock: Clock) -> float:
    monkeypatch.setattr(command, "time", clock)
    processes: Any = SimpleNamespace(check=lambda *_names: None, is_running=lambda _name: False)
    table: Any = clock
    plan = make_plan(folder, Options(seconds=SECONDS))
    command._follow(plan, processes, table, lambda *_: None)
    return clock.now_s


@pytest.mark.parametrize(
    ("per_s", "last", "waited_s"),
    [
        pytest.param(0, 0, SECONDS + 30, id="nothing ever comes"),
        pytest.param(1000, 4000, SECONDS + 30, id="it ends before all were due"),
        pytest.param(100, 10_000, 100 + 30, id="it goes on for long"),
        pytest.param(1, 10_000, SECONDS + 300, id="it goes on for too long"),
    ],
)
def test_a_demo_waits_for_as_long_as_messages_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, per_s: int, last: int, waited_s: float
):
    found_s = seconds_waited(monkeypatch, tmp_path, Clock(per_s, last))
    assert waited_s <= found_s < waited_s + 2
