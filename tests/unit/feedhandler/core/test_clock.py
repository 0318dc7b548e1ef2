"""Stamps made of the processor's counter are those of the system's clock."""

import time
from pathlib import Path

import numpy as np
import pytest

from feedhandler.core import clock as clocks
from feedhandler.core.clock import (
    ANCHOR_NS,
    RATE,
    SPAN,
    allocate_clocks,
    has_steady_counter,
    now_ns_nb,
)
from feedhandler.core.libc import CLOCK_REALTIME, clock_ns
from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED

MS = 1_000_000
STEPS_PER_NS = 3
START_NS = 1_700_000_000_000_000_000


@kernel
def compare_nb(clock: np.ndarray, stamps: int, worst: np.ndarray) -> int:
    """How far, at most, stamps lie before and behind the system's clock; how many were made of the
    counter.
    """
    counted = 0
    for _ in range(stamps):
        before_ns = clock_ns(CLOCK_REALTIME)
        span = clock[SPAN]
        now_ns = now_ns_nb(clock)
        after_ns = clock_ns(CLOCK_REALTIME)
        counted += np.int64(span > 0)
        worst[0] = max(worst[0], before_ns - now_ns)
        worst[1] = max(worst[1], now_ns - after_ns)
    return counted


def test_stamps_are_those_of_the_systems_clock():
    clock, worst = allocate_clocks(1, is_steady=has_steady_counter())[0], np.zeros(2, np.int64)
    compare_nb(clock, 1, worst)
    stop = time.monotonic() + 0.5
    counted = made = 0
    while time.monotonic() < stop:
        counted += compare_nb(clock, 1_000, worst)
        made += 1_000
    # The clock may be slewed by up to 500 millionths, which an anchor corrects in a millisecond.
    assert worst.max() < 2_000
    if has_steady_counter() and JIT_ENABLED:
        assert counted > made * 9 // 10
        assert clock[RATE] > 0


def test_a_counter_that_is_not_steady_is_not_used():
    clock, worst = allocate_clocks(1, is_steady=False)[0], np.zeros(2, np.int64)
    assert compare_nb(clock, 1_000, worst) == 0
    assert worst.max() == 0
    assert not clock.any()


def test_the_kernels_own_clock_says_whether_the_counter_is_steady(tmp_path: Path):
    file = tmp_path / "current_clocksource"
    assert not has_steady_counter(file)
    file.write_text("hpet\n")
    assert not has_steady_counter(file)
    file.write_text("tsc\n")
    if clocks.platform.machine() == "x86_64":
        assert has_steady_counter(file)


class Machine:
    """A clock and a counter that do what a test wants; each look takes 20 ns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns, self.steps, self.looks, self.pauses_ns = START_NS, 10**12, 0, 0
        self.steps_per_ns = STEPS_PER_NS
        monkeypatch.setattr(clocks, "counter", self.counter)
        monkeypatch.setattr(clocks, "clock_ns", self.clock_ns)
        # Machine code would look at the real ones.
        for name in ("now_ns_nb", "anchor_nb", "_adopt_nb", "_begin_nb", "_fits_nb"):
            function = getattr(clocks, name)
            monkeypatch.setattr(clocks, name, getattr(function, "py_func", function))
        self.clock = allocate_clocks(1, is_steady=True)[0]

    def wait(self, ns: int) -> None:
        self.now_ns += ns
        self.steps += ns * self.steps_per_ns

    def counter(self) -> int:
        self.wait(20)
        return self.steps

    def clock_ns(self, _clock: int) -> int:
        self.looks += 1
        self.wait(20 + self.pauses_ns)
        return self.now_ns

    def stamp(self) -> int:
        """A stamp; asserts that it is right."""
        before = self.now_ns
        stamp: int = clocks.now_ns_nb(self.clock)
        assert before - 1_000 <= stamp <= self.now_ns + 1_000
        return stamp

    def learn(self) -> None:
        """Stamps until the rate is known."""
        for _ in range(4):
            self.stamp()
            self.wait(MS)
        assert self.clock[RATE] == (1 << 24) // STEPS_PER_NS
        self.looks = 0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_the_clock_itself_is_looked_at_once_a_millisecond(machine: Machine):
    machine.learn()
    for _ in range(1_000):
        machine.stamp()
        machine.wait(10_000)
    assert 9 <= machine.looks <= 12


def test_a_step_of_the_clock_is_seen_within_a_millisecond(machine: Machine):
    machine.learn()
    for step_ns in (-50 * MS, 3_600_000 * MS, -7_200_000 * MS):
        machine.stamp()
        machine.now_ns += step_ns
        machine.wait(MS)
        machine.stamp()
        for _ in range(300):
            machine.wait(MS)
            machine.stamp()
        assert machine.clock[RATE] == (1 << 24) // STEPS_PER_NS


@pytest.mark.parametrize("steps", [5, 10**12 + 10**9, 10**15])
def test_a_counter_of_another_rate_is_measured_anew(machine: Machine, steps: int):
    """As when a virtual machine goes on elsewhere."""
    machine.learn()
    machine.steps, machine.steps_per_ns = steps, 2
    # Until the next anchor, a millisecond at most, nobody can know.
    for _ in range(300):
        machine.wait(MS)
        machine.stamp()
    assert machine.clock[RATE] == (1 << 24) // 2


def test_an_interrupted_look_makes_no_anchor(machine: Machine):
    machine.learn()
    anchor_ns = machine.clock[ANCHOR_NS]
    machine.pauses_ns = 5 * MS
    machine.stamp()
    assert machine.clock[ANCHOR_NS] == anchor_ns
    assert machine.clock[SPAN] == 0
    machine.pauses_ns = 0
    machine.stamp()
    assert machine.clock[ANCHOR_NS] > anchor_ns
    assert machine.clock[SPAN] > 0


def test_after_minutes_without_a_stamp_the_rate_is_measured_anew(machine: Machine):
    machine.learn()
    machine.wait(10**12)
    machine.stamp()
    assert machine.clock[RATE] == 0
    machine.learn()
