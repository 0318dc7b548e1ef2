"""Which function is named when a worker stands, and which silence is nobody's fault."""

from typing import Any

import pytest
import structlog

from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.functions import Fn, Off, Use
from feedhandler.core.shard import Sampling
from feedhandler.server.functions import Loaded
from feedhandler.server.watchdog import Hung, Watchdog, Worker
from tests.unit.feedhandler.core.support import Engine

MS = 1_000_000
LIMIT_MS = 100


def spins(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Never called here."""
    return 0


PLACE = f"{__file__}:{spins.__code__.co_firstlineno}"


class Rig:
    """A worker whose words and clocks the test sets."""

    def __init__(self, limit_ms: int = LIMIT_MS) -> None:
        self.engine = Engine()
        self.cpu_ns = 0
        self.now_ns = 1_000 * MS
        worker = Worker("itch inline", self.engine.shard, lambda: self.cpu_ns)
        loaded = Loaded("spread", "patterns[1] 'spread'", spins, [], Use())
        band = loaded._replace(name="band")
        self.watchdog = Watchdog([worker], lambda: ((band,), (None, loaded)), limit_ms)

    def stand(self, inside: int, ticks: int = 5) -> None:
        self.engine.shard.sampling[Sampling.INSIDE] = inside
        self.engine.shard.sampling[Sampling.TICKS] = ticks

    def after(self, wall_ms: int, cpu_ms: int | None = None) -> Hung | None:
        self.now_ns += wall_ms * MS
        self.cpu_ns += (wall_ms if cpu_ms is None else cpu_ms) * MS
        return self.watchdog.look(self.now_ns)


def test_a_call_that_lasts_is_named_with_its_place():
    rig = Rig()
    rig.stand(1 + FUNCTIONS_MAX + 1)
    assert rig.after(0) is None
    assert rig.after(99) is None
    assert rig.after(1) == Hung("itch inline", "pattern", "spread", PLACE, 100)


def test_a_breaker_that_lasts_is_named():
    rig = Rig()
    rig.stand(1)
    rig.after(0)
    hung = rig.after(100)
    assert hung is not None
    assert (hung.stage, hung.name) == ("breaker", "band")


@pytest.mark.parametrize("change", ["next tick", "next function", "between ticks"])
def test_a_worker_that_goes_on_is_well(change: str):
    rig = Rig()
    rig.stand(1)
    rig.after(0)
    for number in range(6, 26):
        if change == "next tick":
            rig.stand(1, number)
        elif change == "next function":
            rig.stand(1 + number % 2)
        else:
            rig.stand(0)
        assert rig.after(60) is None


def test_a_thread_that_gets_no_processor_is_nobodys_fault_for_long():
    rig = Rig()
    rig.stand(1)
    rig.after(0)
    assert rig.after(999, 1) is None
    assert rig.after(1, 0) is not None, "one that waits for ever does not come back either"


def test_with_a_limit_of_zero_nothing_hangs():
    rig = Rig(0)
    rig.stand(1)
    rig.after(0)
    assert rig.after(100_000) is None


def test_a_function_that_is_switched_off_is_logged_once_with_file_and_line():
    rig = Rig()
    row = rig.engine.shard.patterns.rows[1]
    with structlog.testing.capture_logs() as logged:
        rig.after(1)
        row[Fn.OFF] = Off.FAULT
        rig.after(1)
        rig.after(1)
        row[Fn.OFF] = Off.NO
        rig.after(1)
        row[Fn.OFF] = Off.OVERRUNS
        rig.after(1)
    assert [entry["event"] for entry in logged] == ["function_off", "function_off"]
    first, second = logged
    assert (first["function"], first["stage"], first["place"]) == ("spread", "pattern", PLACE)
    assert first["reason"] == "it used an index outside an array"
    assert second["reason"] == "it was over its budget again and again"
    assert (first["log_level"], "ctl enable spread" in first["remedy"]) == ("error", True)
