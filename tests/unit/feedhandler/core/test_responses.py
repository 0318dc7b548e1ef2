"""What the levels do to signals."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.events import TICK, BreakerLevel
from feedhandler.core.responses import (
    QTY_WORD,
    RESPONSES,
    Action,
    caution,
    halt,
    is_cut_nb,
    normal,
    percent_nb,
    restrict,
    tell_position_nb,
)

SEND, MARK, TELL, CANCEL = Action.SEND, Action.MARK, Action.TELL, Action.CANCEL
LEFT = 2


class Desk:
    """An instrument, and a pattern that proposes 1,000 shares of it."""

    def __init__(self, response: Any, *params: int) -> None:
        self.response = response
        self.params = np.zeros(32, np.int64)
        self.params[: len(params)] = params
        self.state = np.zeros(16, np.int64)
        self.out = np.zeros(8, np.int64)

    def ask(self, side: int, qty: int = 1_000, level: int = 1) -> int:
        """The action on a proposal, or with no side on a change of the level."""
        self.out[:] = 10_000_000_000, qty, 7, 8, 9, 10_000, side, level
        ticks, legs = np.zeros(1, TICK), np.zeros(1, np.int64)
        arguments = (ticks, 0, ticks, legs, self.params, self.state, self.out)
        return int(self.response(*arguments))

    def left(self, side: int, qty: int = 1_000, level: int = 1) -> tuple[int, int, int]:
        """Side, quantity and mark of the order when it leaves; zeros when it does not."""
        action = self.ask(side, qty, level)
        if not action & SEND:
            return 0, 0, 0
        assert is_cut_nb(qty, int(self.out[QTY_WORD]))
        return side, int(self.out[QTY_WORD]), level if action & MARK else 0


def test_there_is_a_response_for_each_level():
    assert [*RESPONSES] == [normal, caution, restrict, halt]
    assert len(RESPONSES) == len(BreakerLevel)


@pytest.mark.parametrize(
    ("response", "action"),
    [(normal, TELL), (caution, TELL), (restrict, TELL), (halt, TELL | CANCEL)],
)
def test_a_change_is_told_and_a_halt_asks_for_cancels(response: Any, action: int):
    assert Desk(response).ask(side=0) == action


def test_at_normal_a_signal_leaves_as_it_is():
    assert Desk(normal).left(-1) == (-1, 1_000, 0)


@pytest.mark.parametrize(
    ("size_pct", "lot_qty", "qty", "leaves"),
    [
        (25, 1, 1_000, 250),
        (25, 100, 1_000, 200),
        (25, 0, 1_003, 250),
        (1, 1, 99, 0),
        (0, 1, 1_000, 0),
        (100, 1, 1_000, 1_000),
        (500, 1, 1_000, 1_000),
        (-5, 1, 1_000, 0),
        (99, 1, 1 << 62, ((1 << 62) * 99) // 100),
    ],
)
def test_at_caution_a_signal_is_cut_and_marked(size_pct: int, lot_qty: int, qty: int, leaves: int):
    expected = (1, leaves, 1) if leaves else (0, 0, 0)
    assert Desk(caution, size_pct, lot_qty).left(1, qty) == expected


def test_when_restricted_nothing_leaves_without_a_position():
    desk = Desk(restrict)
    assert desk.left(1) == desk.left(-1) == (0, 0, 0)
    tell_position_nb(desk.state, 0)
    assert desk.left(1) == desk.left(-1) == (0, 0, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_when_restricted_only_what_reduces_the_position_leaves(sign: int):
    desk = Desk(restrict)
    tell_position_nb(desk.state, sign * 1_500)
    assert desk.left(sign) == (0, 0, 0)
    assert desk.left(-sign, level=2) == (-sign, 1_000, 2)
    assert desk.left(-sign, level=2) == (-sign, 500, 2)
    assert desk.left(-sign) == (0, 0, 0)
    tell_position_nb(desk.state, sign * 200)
    assert desk.state[LEFT] == 0
    assert desk.left(-sign, level=2) == (-sign, 200, 2)


def test_at_halt_nothing_leaves():
    assert Desk(halt).left(1) == Desk(halt).left(-1) == (0, 0, 0)


@pytest.mark.parametrize(("qty", "is_cut"), [(1_001, 0), (1_000, 1), (1, 1), (0, 0), (-1, 0)])
def test_a_response_may_lower_a_quantity_but_neither_raise_nor_void_it(qty: int, is_cut: int):
    assert is_cut_nb(1_000, qty) == is_cut


def test_a_pattern_without_a_quantity_is_let_be():
    assert is_cut_nb(0, 0)
    assert not is_cut_nb(0, 1)


def test_percent_rounds_down():
    assert [int(percent_nb(qty, 33)) for qty in (0, 1, 3, 4, 100, 101)] == [0, 0, 0, 1, 33, 33]
