"""A worker with twice as much to do as it can for five seconds: critical ticks must not feel it,
and every tick must be accounted for.
"""

from pathlib import Path

import pytest

from tools.bench.overload import COST_NS, EACH_NS, MESSAGES, Overload, overload
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone, pytest.mark.timeout(600)]

LIMIT_NS = 100_000
QUIET_NS = 50_000
"""A machine whose own stalls are longer says nothing of a p99.9 of 100 us."""
BACKLOG_NS = 1_000_000_000
ATTEMPTS = 4
"""What else runs on the machine only ever adds time."""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("overload") / "session.bin"
    generate_file(FlowSettings(1, messages=MESSAGES), path)
    return path


def check_every_tick_is_accounted_for(found: Overload) -> None:
    assert found.applied == found.ticks == found.messages
    assert found.critical_ns["count"] == found.critical
    # What no pattern saw was counted, and nothing else was.
    assert found.calls + found.conflated == found.ticks
    assert found.conflated > found.ticks // 4
    assert COST_NS == 2 * EACH_NS
    assert found.messages // 200 < found.critical < found.messages // 50


def test_critical_ticks_do_not_feel_an_overloaded_worker(session: Path):
    attempts: list[Overload] = []
    while len(attempts) < ATTEMPTS:
        found = overload(session)
        attempts.append(found)
        check_every_tick_is_accounted_for(found)
        assert found.backlog_ns <= BACKLOG_NS
        critical, hiccup = found.critical_ns["p999"], found.hiccup_ns["p999"]
        print(  # noqa: T201 - the figures belong beside the machine's own noise
            f"critical p99.9 {critical} ns, max {found.critical_ns['max']} ns;"
            f" routine p99.9 {found.routine_ns['p999']} ns; backlog {found.backlog_ns} ns;"
            f" hiccup p99.9 {hiccup} ns, max {found.hiccup_ns['max']} ns"
        )
        if critical <= LIMIT_NS:
            break
    best = min(attempts, key=lambda each: each.critical_ns["p999"])
    # In a queue behind the routine ones they would wait for milliseconds, each of them.
    assert best.critical_ns["p50"] <= LIMIT_NS
    if best.hiccup_ns["p999"] <= QUIET_NS:
        assert best.critical_ns["p999"] <= LIMIT_NS


def test_no_critical_tick_stands_behind_two_routine_ones(session: Path):
    found = overload(session, MESSAGES // 5, is_noted=True)
    check_every_tick_is_accounted_for(found)
    assert found.aged > 0
    assert 0 <= found.stood_behind <= 1
