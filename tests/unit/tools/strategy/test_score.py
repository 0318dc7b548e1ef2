"""Detections against what was planted."""

import numpy as np
import pytest

from feedhandler.core.events import SIGNAL, SignalKind
from tests.unit.tools.strategy.truth import (
    ARBITRAGE,
    CRASH,
    JUMP,
    LEAD_LAG,
    MS,
    SWEEP,
    A,
    B,
    C,
    D,
    S,
    seen,
    truth,
)
from tools.strategy.planted import KINDS, Planted, read_planted
from tools.strategy.score import Detection, Score, as_detections, is_of, score, watched

PARTED, LED, SWEPT = (
    read_planted(truth(row), is_whole=False)[0] for row in (ARBITRAGE, LEAD_LAG, SWEEP)
)
(CRASHED,) = read_planted(truth(CRASH), is_whole=True)


@pytest.mark.parametrize(
    ("detection", "planted", "right"),
    [
        (seen(100 * S, A, B, side=-1), PARTED, True),
        (seen(120 * S, A, B, side=-1), PARTED, True),
        (seen(100 * S - 1, A, B, side=-1), PARTED, False),
        (seen(120 * S + 1, A, B, side=-1), PARTED, False),
        (seen(110 * S, A, B, side=1), PARTED, False),
        (seen(110 * S, B, A, side=1), PARTED, True),
        (seen(110 * S, B, A, side=-1), PARTED, False),
        (seen(110 * S, A, C, side=-1), PARTED, False),
        (seen(110 * S, A, side=-1), PARTED, True),
        (seen(210 * S, D, C, side=-1), LED, True),
        (seen(210 * S, C, D, side=-1), LED, False),
        (seen(210 * S, D, side=0), LED, True),
        (seen(210 * S + 401 * MS, D, C, side=-1), LED, False),
        (seen(400 * S, C), SWEPT, True),
        (seen(400 * S, C, side=-1), SWEPT, False),
        (seen(400 * S, B), SWEPT, False),
        (seen(650 * S, 0, side=0, is_breaker=True), CRASHED, True),
        (seen(650 * S, 0, side=0), CRASHED, False),
    ],
)
def test_a_detection_is_right_in_time_about_it_and_to_the_right_side(
    detection: Detection, planted: Planted, right: bool
):
    assert is_of(detection, planted) is right


def scored(*detections: Detection) -> Score:
    planted = read_planted(truth(ARBITRAGE, LEAD_LAG, SWEEP), is_whole=False)
    return score(detections, planted, KINDS)


def test_precision_recall_and_delay_are_what_they_say():
    found = scored(
        seen(90 * S, A, B, side=-1),
        seen(101 * S, A, B, side=-1),
        seen(102 * S, A, B, side=-1),
        seen(210 * S + 5, D, C, side=-1),
    )
    assert (found.right, found.precision, found.recall()) == (3, 0.75, 0.5)
    assert found.found("arbitrage") == (1, 1)
    assert found.found("lead_lag") == (1, 2)
    assert found.recall("sweep") == 0
    assert found.delays_ns() == [S, 5]
    assert found.delays_ns("lead_lag") == [5]
    assert list(found.first) == [1, 3, -1, -1]


def test_nothing_has_no_precision_and_no_recall():
    found = score([], [], KINDS)
    assert (found.precision, found.recall()) == (None, None)


def test_kinds_that_are_not_asked_for_are_nothing():
    planted = read_planted(truth(SWEEP, JUMP), is_whole=False)
    found = score([seen(400 * S, C), seen(501 * S, A)], planted, ["jump"])
    assert (found.precision, found.recall()) == (0.5, 0.5)


def test_a_detection_is_of_the_thing_that_began_last():
    planted = [Planted("jump", at * S, at * S, 99 * S, (A,)) for at in (1, 2, 3)]
    found = score([seen(2 * S + 1, A)], planted, KINDS)
    assert list(found.of) == [1]


def test_only_what_a_function_looks_at_can_be_missed():
    planted = read_planted(truth(ARBITRAGE, LEAD_LAG, SWEEP), is_whole=False)

    def kinds(*bindings: tuple[int, ...]) -> list[str]:
        return [each.kind for each in watched(planted, bindings, KINDS)]

    assert kinds() == ["arbitrage", "lead_lag", "lead_lag", "sweep"]
    assert kinds((A, B)) == ["arbitrage"]
    assert kinds((A,)) == ["arbitrage"]
    assert kinds((B,)) == []
    assert kinds((D, C)) == ["lead_lag", "lead_lag", "sweep"]
    assert kinds((A, C)) == ["sweep"]


def level(ts_ns: int, instrument: int, to: int) -> np.void:
    row = np.zeros(1, SIGNAL)[0]
    row["kind"], row["level"], row["ts_exch_ns"] = SignalKind.BREAKER, to, ts_ns
    row["instrument"] = row["legs"][0] = instrument
    row["leg_count"] = 1
    return row


def test_a_breaker_that_goes_to_and_fro_has_tripped_once():
    levels = [(1, 1), (2, 0), (3, 2), (4, 0), (80, 1)]
    found = as_detections(np.array([level(at * S, A, to) for at, to in levels]))
    assert [each.ts_ns for each in found] == [S, 80 * S]
    assert all(each.is_breaker and each.side == 0 for each in found)


def test_a_breaker_trips_no_second_time_when_it_comes_down_from_a_halt():
    levels = [(1, 3), (901, 1), (931, 0), (1_000, 3)]
    found = as_detections(np.array([level(at * S, A, to) for at, to in levels]))
    assert [each.ts_ns for each in found] == [S, 1_000 * S]


def test_a_breaker_of_the_market_trips_once_for_all_instruments():
    rows = np.array([level(S, A, 1), level(2 * S, B, 1), level(3 * S, C, 1)])
    assert len(as_detections(rows)) == 3
    assert len(as_detections(rows, is_whole=True)) == 1


def test_a_signal_of_no_quantity_is_a_notice_without_a_side():
    row = np.zeros(2, SIGNAL)
    row["kind"], row["side"], row["qty"] = SignalKind.ORDER, -1, (0, 100)
    assert [each.side for each in as_detections(row)] == [0, -1]
