"""Rules that remember: regimes with hysteresis, sizes by the average, phases by system events."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.events import Kind
from feedhandler.core.priority import (
    RANK,
    RULE_WORDS,
    Extra,
    Phase,
    Rule,
    Session,
    allocate_priority,
    phase_nb,
    regime_nb,
    size_nb,
    track_session_nb,
)
from feedhandler.server.config import PriorityConfig, RegimeStep
from feedhandler.server.priority import rules_of
from tests.unit.feedhandler.core.support import blank_ticks

S = 10**9
STAY_S = 10
UP, DOWN = 40_000, 25_000
STEPS = (
    RegimeStep(up_e9=UP, down_e9=DOWN, score=20),
    RegimeStep(up_e9=2 * UP, down_e9=2 * DOWN, score=40),
)
RULES = rules_of(PriorityConfig(regimes=STEPS, regime_stay_ms=1_000 * STAY_S), {}, is_live=True)


def regimes(moments: list[tuple[int, int]]) -> list[int]:
    """Regimes of an instrument with (volatility, second) one after the other."""
    rows = np.zeros(1, RANK)
    return [int(regime_nb(RULES, rows, 0, e9 * e9, s * S)) for e9, s in moments]


def test_volatility_lifts_an_instrument_at_once_and_lets_it_down_by_one_after_its_stay():
    assert regimes([(UP - 1, 1), (UP, 2), (DOWN, 3), (DOWN, 30)]) == [0, 1, 1, 1]
    assert regimes([(UP, 2), (DOWN - 1, 11), (DOWN - 1, 12)]) == [1, 1, 0]
    assert regimes([(3 * UP, 1), (0, 10), (0, 11), (0, 20), (0, 21)]) == [2, 2, 1, 1, 0]


def test_stamps_that_go_far_back_do_not_keep_an_instrument_up():
    assert regimes([(UP, 1_000), (0, 5), (0, 15)]) == [1, 1, 0]


@given(st.lists(st.integers(0, 3 * UP), min_size=50, max_size=200))
def test_an_instrument_changes_at_most_twice_in_each_stay_at_one_threshold(noise: list[int]):
    rules = rules_of(
        PriorityConfig(regimes=STEPS[:1], regime_stay_ms=1_000 * STAY_S), {}, is_live=True
    )
    rows = np.zeros(1, RANK)
    found = [int(regime_nb(rules, rows, 0, e9 * e9, s * S)) for s, e9 in enumerate(noise, STAY_S)]
    changes = [second for second, (one, other) in enumerate(pairwise(found)) if one != other]
    for first, third in zip(changes, changes[2:], strict=False):
        assert third - first >= STAY_S


def test_fewer_regimes_after_a_change_let_an_instrument_down():
    rows = np.zeros(1, RANK)
    assert regime_nb(RULES, rows, 0, (2 * UP) ** 2, S) == 2
    assert regime_nb(np.zeros(RULE_WORDS, np.int64), rows, 0, (2 * UP) ** 2, S) == 0
    assert rows[0]["regime"] == 0


def test_a_trade_is_large_by_the_trades_before_it():
    rows = np.zeros(1, RANK)
    sizes = [int(size_nb(rows, 0, qty)) for qty in [100] * 8 + [199, 200, 799, 801]]
    assert sizes == [0] * 8 + [0, 0, 2, 2]
    # One giant moves the average by a quarter of itself at most.
    before = int(rows[0]["qty_q8"])
    assert size_nb(rows, 0, 2**63 - 1) == 15
    assert before < rows[0]["qty_q8"] <= before + (16 * before >> 6)


def system_event(session: Any, code: str, second: int) -> None:
    ticks = blank_ticks(kind=Kind.SYSTEM_EVENT, status=ord(code), ts_exch_ns=second * S)
    track_session_nb(session, ticks, 0)


@pytest.mark.parametrize(
    ("second", "phase"),
    [
        (34_199, Phase.PRE_OPEN),
        (34_200, Phase.OPENING),
        (34_500, Phase.CONTINUOUS),
        (57_299, Phase.CONTINUOUS),
        (57_300, Phase.CLOSING),
        (57_600, Phase.AFTER),
    ],
)
def test_phases_follow_the_configured_times(second: int, phase: Phase):
    rules = rules_of(PriorityConfig(), {}, is_live=True)
    assert phase_nb(rules, np.zeros(len(Session), np.int64), second * S) == phase


def test_system_events_win_over_the_configured_times_until_the_next_session():
    rules, session = rules_of(PriorityConfig(), {}, is_live=True), allocate_priority(1).session
    system_event(session, "Q", 35_000)
    assert phase_nb(rules, session, 34_999 * S) == Phase.PRE_OPEN
    assert phase_nb(rules, session, 35_000 * S) == Phase.OPENING
    system_event(session, "M", 46_800)
    system_event(session, "E", 46_900)
    assert phase_nb(rules, session, 46_800 * S) == Phase.AFTER
    system_event(session, "O", 10_800)
    assert phase_nb(rules, session, 46_800 * S) == Phase.CONTINUOUS


def test_no_rule_looks_further_by_default():
    assert rules_of(PriorityConfig(), {}, is_live=True)[Rule.EXTRAS] == 0
    watch = PriorityConfig(watch={"AAPL": 1})
    assert rules_of(watch, {}, is_live=True)[Rule.EXTRAS] == Extra.SYMBOL
