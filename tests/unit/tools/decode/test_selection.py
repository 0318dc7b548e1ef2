"""Which messages are shown, and how locate codes and tokens follow from symbols."""

from typing import Any

import pytest

from tools.decode.entries import Row, SymbolFields
from tools.decode.selection import Selection, Wanted

FIELDS = SymbolFields("stock", ("stock_locate", "order_token"))


def row(code: str, **values: Any) -> Row:
    return Row(code, f"name_{code}", values)


def shown(wanted: Wanted, rows: list[Row], fields: SymbolFields = FIELDS) -> list[bool]:
    selection = Selection(wanted)
    return [selection.is_open or selection.accepts(item, fields) for item in rows]


def test_without_a_wish_everything_is_shown():
    assert Selection(Wanted()).is_open
    assert not Selection(Wanted(locate=0)).is_open


def test_types_are_letters_or_names():
    rows = [row("A"), row("B"), row("C")]
    assert shown(Wanted(frozenset({"A", "name_C"})), rows) == [True, False, True]


def test_a_locate_is_compared_as_it_is():
    rows = [row("A", stock_locate=7), row("A", stock_locate=8), row("A")]
    assert shown(Wanted(locate=7), rows) == [True, False, False]


def test_messages_without_a_symbol_follow_the_locate_that_it_had_last():
    rows = [
        row("E", stock_locate=7),
        row("R", stock_locate=7, stock="AAPL"),
        row("E", stock_locate=7),
        row("E", stock_locate=8),
        row("R", stock_locate=7, stock="MSFT"),
        row("E", stock_locate=7),
    ]
    assert shown(Wanted(symbol="AAPL"), rows) == [False, True, True, False, False, False]


def test_locate_0_is_no_instrument():
    rows = [row("K", stock_locate=0, stock="AAPL"), row("S", stock_locate=0)]
    assert shown(Wanted(symbol="AAPL"), rows) == [True, False]


def test_a_token_may_pass_its_symbol_on():
    fields = SymbolFields("stock", ("old", "new"))
    rows = [row("O", new="T1", stock="AAPL"), row("U", old="T1", new="T2"), row("E", old="T2")]
    assert shown(Wanted(symbol="AAPL"), rows, fields) == [True, True, True]


def test_what_is_not_shown_for_its_type_teaches_nevertheless():
    rows = [row("R", stock_locate=7, stock="AAPL"), row("E", stock_locate=7)]
    assert shown(Wanted(frozenset("E"), "AAPL"), rows) == [False, True]


@pytest.mark.parametrize(
    "values",
    [
        {"Symbol": "AAPL"},
        {"Symbol": ["MSFT", "AAPL"]},
        {"NoEntries": [{"Symbol": "MSFT"}, {"Price": "1", "NoLegs": [{"Symbol": "AAPL"}]}]},
    ],
)
def test_a_symbol_is_looked_for_in_every_group_and_repetition(values: dict[str, Any]):
    rows = [row("W", **values), row("W", Symbol="MSFT", Text="AAPL"), row("0")]
    assert shown(Wanted(symbol="AAPL"), rows, SymbolFields("Symbol")) == [True, False, False]
