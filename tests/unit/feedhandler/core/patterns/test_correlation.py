"""The correlation of a pair, sampled by hand."""

import numpy as np
import pytest

from feedhandler.core.events import Flag
from feedhandler.core.patterns.correlation import correlation, correlation_of
from tests.unit.feedhandler.core.patterns.desk import SECOND, Desk

A, B = 1, 2
MOVES = np.array([[3, 2], [-5, -1], [4, 4], [1, -2], [-2, -3], [6, 1], [-4, 2]])


def moved(desk: Desk, moves: np.ndarray, first: int = 0) -> np.ndarray:
    """Both mids, a cent each, by so many steps of a cent a second; where they come to."""
    mids = 10_000 + np.concatenate(([[0, 0]], np.cumsum(moves, axis=0)))
    for second, (a, b) in enumerate(mids.tolist(), first):
        assert desk.quote(second * SECOND, B, b - 1, b + 1) is None
        assert desk.quote(second * SECOND + 1, A, a - 1, a + 1) is None
    return mids


def returns(mids: np.ndarray) -> np.ndarray:
    """In 1e-8, as they are sampled: with B's quote, before A's of the same second."""
    seen = np.column_stack((np.concatenate(([0], mids[:-1, 0])), mids[:, 1]))[1:]
    return (seen[1:] - seen[:-1]) * 10**8 // seen[:-1]


def test_it_is_that_of_numpy_over_the_last_returns():
    desk = Desk(correlation, (A, B), window=4, sample_ns=SECOND)
    window = returns(moved(desk, MOVES))[-4:]
    shown = correlation_of(desk.state, 0)
    expected = np.corrcoef(window[:, 0], window[:, 1])[0, 1]
    assert shown.correlation_e9 == pytest.approx(1e9 * expected, abs=1)
    beta = np.cov(window.T)[0, 1] / np.var(window[:, 1], ddof=1)
    assert shown.beta_e9 == pytest.approx(1e9 * beta, abs=1)
    assert (shown.samples, shown.ts_exch_ns) == (4, 7 * SECOND)


def test_nothing_is_told_before_two_samples():
    desk = Desk(correlation, (A, B), window=4, sample_ns=SECOND)
    moved(desk, MOVES[:1])
    assert correlation_of(desk.state, 0) == (0, 0, 0, 0)


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_no_sample_is_taken_while_a_book_is_in_doubt_or_halted(flag: Flag):
    desk = Desk(correlation, (A, B), window=4, sample_ns=SECOND)
    moved(desk, MOVES[:3])
    before = correlation_of(desk.state, 0)
    assert before.samples == 2
    desk.quote(3 * SECOND + 2, A, 9_999, 10_001, flags=int(flag))
    desk.quote(4 * SECOND, B, 9_999, 10_001)
    assert correlation_of(desk.state, 0) == before
