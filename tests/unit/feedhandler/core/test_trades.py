import pytest

from feedhandler.core.events import Flag, Kind
from feedhandler.core.trades import (
    PRICE_LIMIT_E4,
    QTY_LIMIT,
    SUM_LIMIT,
    price_e4_nb,
    printed_qty_nb,
    weighed_nb,
)
from tests.unit.feedhandler.core.support import blank_ticks

CASES = [
    (Kind.TRADE, 0, 5, 5),
    (Kind.EXECUTE, int(Flag.HALTED), 5, 5),
    (Kind.EXECUTE_AT_PRICE, int(Flag.NOT_PRINTABLE), 5, 0),
    (Kind.ADD, 0, 5, 0),
    (Kind.CROSS_TRADE, 0, 0, 0),
    (Kind.TRADE, 0, -5, 0),
    (Kind.TRADE, 0, 2**63 - 1, QTY_LIMIT),
]


@pytest.mark.parametrize(("kind", "flags", "qty", "counts"), CASES)
def test_printed_trades_count_within_bounds(kind: Kind, flags: int, qty: int, counts: int):
    assert printed_qty_nb(blank_ticks(kind=kind, flags=flags, qty=qty), 0) == counts


@pytest.mark.parametrize(
    ("price_e9", "price_e4"), [(-1, 0), (199_999, 1), (2**63 - 1, PRICE_LIMIT_E4)]
)
def test_a_price_counts_within_bounds(price_e9: int, price_e4: int):
    assert price_e4_nb(price_e9) == price_e4


def test_sums_are_halved_together_above_their_limit():
    assert weighed_nb(9, SUM_LIMIT) == (9, SUM_LIMIT)
    assert weighed_nb(9, SUM_LIMIT + 1) == (4, SUM_LIMIT >> 1)
    assert SUM_LIMIT + PRICE_LIMIT_E4 * QTY_LIMIT < 2**63
