"""Entries to records: one test a rule, and what happens to entries that break one."""

import numpy as np
import pytest

from adapters.fix_md.layout import Meta, Trouble
from adapters.fix_md.messages import convert_nb
from feedhandler.core.events import Clear, Flag
from protocols.errors import Status
from tests.unit.adapters.fix_md.support import Converter, Record
from tests.unit.tools.decode.support import fix_message
from tests.unit.tools.replay.fix import refresh, snapshot

E9 = 10**9
BUY, SELL = 1, 2
DEFINITION = Record("DEFINITION", 0, aux=int.from_bytes(b"A       ", "little"))
NEW_ORDER = "279=0|269=0|55=A|270=2|271=5|278=X"
NEW_LEVEL = "279=0|269=1|55=A|270=3|271=7|346=2"


def troubles(converter: Converter) -> dict[str, int]:
    """What was counted, by name."""
    return {
        each.name: int(converter.feed.counts[each])
        for each in Trouble
        if converter.feed.counts[each]
    }


def after(first: str, second: str) -> tuple[list[Record], Converter]:
    """The records of one entry after another one."""
    converter = Converter()
    converter.convert([refresh(1, first)])
    return converter.convert([refresh(2, second)]), converter


def test_a_new_symbol_is_defined_and_an_order_is_added():
    assert Converter().convert([refresh(1, NEW_ORDER)]) == [
        DEFINITION,
        Record("ADD", 0, BUY, 2 * E9, 5),
    ]


@pytest.mark.parametrize(
    ("entry", "record"),
    [
        ("279=1|55=A|278=X|271=3", Record("REPLACE", 0, BUY, 2 * E9, 3)),
        ("279=1|55=A|278=X|270=4", Record("REPLACE", 0, BUY, 4 * E9, 5)),
        ("279=1|55=A|280=X|278=Y|271=3", Record("REPLACE", 0, BUY, 2 * E9, 3)),
        ("279=5|269=0|55=A|278=X|270=1|271=9", Record("REPLACE", 0, BUY, E9, 9)),
        ("279=1|55=A|278=X|271=0", Record("DELETE", 0, BUY, 2 * E9, 5)),
        ("279=2|55=A|278=X", Record("DELETE", 0, BUY, 2 * E9, 5)),
        ("279=2|55=A|280=X", Record("DELETE", 0, BUY, 2 * E9, 5)),
        ("279=2|278=X", Record("DELETE", 0, BUY, 2 * E9, 5)),
        ("279=3|269=0|55=A|270=2|278=-", Record("DELETE", 0, BUY, 2 * E9, 5)),
        ("279=4|269=0|55=A|270=2.5|278=-", Record("DELETE", 0, BUY, 2 * E9, 5)),
    ],
)
def test_an_order_is_changed_and_deleted_by_its_id(entry: str, record: Record):
    records, converter = after(NEW_ORDER, entry)
    assert records == [record]
    assert troubles(converter) == {}


def test_an_order_that_changes_its_side_leaves_the_one_and_enters_the_other():
    records, _ = after(NEW_ORDER, "279=1|269=1|55=A|278=X|270=4|271=1")
    assert records == [Record("DELETE", 0, BUY, 2 * E9, 5), Record("ADD", 0, SELL, 4 * E9, 1)]


@pytest.mark.parametrize(
    ("entry", "record"),
    [
        ("279=1|269=1|55=A|270=3|271=4", Record("SET_LEVEL", 0, SELL, 3 * E9, 4, aux=1)),
        ("279=1|269=1|55=A|270=3|271=0|346=4", Record("SET_LEVEL", 0, SELL, 3 * E9)),
        ("279=2|269=1|55=A|270=3|271=7", Record("SET_LEVEL", 0, SELL, 3 * E9)),
        (
            "279=5|269=1|55=A|270=4|271=1|290=1",
            Record("SET_LEVEL", 0, SELL, 4 * E9, 1, aux=1, status=1),
        ),
        (
            "279=2|269=1|55=A|290=2",
            Record("CLEAR_LEVELS", 0, SELL, aux=2, status=Clear.PLACE),
        ),
        (
            "279=3|269=1|55=A|270=3",
            Record("CLEAR_LEVELS", 0, SELL, 3 * E9, status=Clear.THROUGH_PRICE),
        ),
        (
            "279=4|269=1|55=A|1023=3",
            Record("CLEAR_LEVELS", 0, SELL, aux=3, status=Clear.FROM_PLACE),
        ),
    ],
)
def test_an_entry_without_an_id_states_a_level(entry: str, record: Record):
    records, converter = after(NEW_LEVEL, entry)
    assert records == [record]
    assert troubles(converter) == {}


def test_a_snapshot_empties_its_book_before_it_makes_it_anew():
    converter = Converter()
    converter.convert([refresh(1, NEW_ORDER, NEW_ORDER.replace("278=X", "278=Y"))])
    records = converter.convert([snapshot(2, "A", "269=1|270=3|271=7")])
    assert [record.kind for record in records] == ["DELETE", "DELETE", "SET_LEVEL"]
    assert converter.feed.meta[Meta.ORDERS_LIVE] == 0
    records = converter.convert([snapshot(3, "A")])
    assert records == [Record("CLEAR_LEVELS", 0)]


def test_the_last_record_of_each_instrument_settles_its_message():
    converter = Converter()
    converter.convert([refresh(1, NEW_LEVEL, NEW_LEVEL.replace("55=A", "55=B"))])
    assert converter.flags == [Flag.PART, Flag.SETTLES, Flag.PART, Flag.SETTLES]
    first, second = NEW_LEVEL, NEW_LEVEL.replace("55=A", "55=B")
    converter.convert([refresh(2, first, second, first), refresh(3, first)])
    assert converter.flags == [Flag.PART, Flag.SETTLES, Flag.SETTLES, Flag.SETTLES]


def test_trades_and_statistics_change_no_book():
    records, converter = after(NEW_LEVEL, "279=0|269=2|55=A|270=2|271=5")
    assert records == [Record("TRADE", 0, price=2 * E9, quantity=5)]
    assert converter.convert([refresh(2, "279=2|269=2|55=A|270=2|271=5")])[0].kind == "BROKEN_TRADE"
    statistic = Record("STATISTIC", 0, price=9 * E9, status=ord("7"))
    assert converter.convert([refresh(3, "279=0|269=7|55=A|270=9")]) == [statistic]
    # The trade of a snapshot was told before.
    records = converter.convert([snapshot(4, "A", "269=2|270=2|271=5")])
    assert [record.kind for record in records] == ["CLEAR_LEVELS", "STATISTIC"]
    assert converter.feed.types.nonzero()[0].tolist() == [ord(code) for code in "127"]


def test_an_empty_book_clears_its_symbol():
    records, _ = after(NEW_LEVEL, "279=0|269=J|55=A")
    assert records == [Record("CLEAR_LEVELS", 0)]


@pytest.mark.parametrize(
    ("first", "second", "trouble"),
    [
        (NEW_ORDER, NEW_ORDER, "DUPLICATE_ID"),
        (NEW_ORDER, "279=1|55=A|278=Z|271=1", "UNKNOWN_ID"),
        (NEW_ORDER, "279=2|55=A|278=Z", "UNKNOWN_ID"),
        (NEW_ORDER, "279=1|55=A|280=X|278=" + 49 * "Z", "LONG_ID"),
        (NEW_ORDER, "279=0|269=0|55=A|270=1|271=1|278=" + 49 * "Z", "LONG_ID"),
        (NEW_ORDER, "279=0|269=0|55=A|270=1|271=0|278=Z", "BAD_QUANTITY"),
        (NEW_ORDER, "279=0|269=0|55=A|271=1|278=Z", "BAD_ENTRY"),
        (NEW_ORDER, "279=0|55=A|270=1|271=1|278=Z", "BAD_ENTRY"),
        (NEW_ORDER, "279=3|55=A|278=Z", "BAD_ENTRY"),
        (NEW_ORDER, NEW_LEVEL, "MIXED"),
        (NEW_LEVEL, NEW_ORDER, "MIXED"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=3|271=1.5", "BAD_QUANTITY"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=3|271=4294967296", "BAD_QUANTITY"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=3|271=-1", "BAD_QUANTITY"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=-3|271=1", "BAD_PRICE"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=x|271=1", "BAD_ENTRY"),
        (NEW_LEVEL, "279=0|269=1|55=A|270=3", "BAD_ENTRY"),
        (NEW_LEVEL, "279=2|269=1|55=A", "BAD_ENTRY"),
        (NEW_LEVEL, "279=2|269=1|55=A|290=0", "BAD_ENTRY"),
        (NEW_LEVEL, "279=6|269=1|55=A|270=3|271=1", "BAD_ACTION"),
    ],
)
def test_a_trouble_is_counted_and_leaves_the_book_in_doubt_until_it_is_made_anew(
    first: str, second: str, trouble: str
):
    _, converter = after(first, second)
    assert troubles(converter) == {trouble: 1}
    converter.convert([refresh(3, NEW_ORDER.replace("55=A", "55=B"))])
    assert not any(flags & Flag.IN_DOUBT for flags in converter.flags)
    converter.convert([refresh(4, "279=0|269=4|55=A|270=1")])
    assert converter.flags == [Flag.SETTLES | Flag.IN_DOUBT]
    converter.convert([snapshot(5, "A", "269=0|270=1|271=1")])
    assert not any(flags & Flag.IN_DOUBT for flags in converter.flags)


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        (refresh(2, "279=0|269=0|270=1|271=1"), "NO_SYMBOL"),
        (refresh(2, "279=0|269=0|55=[N/A]|270=1|271=1"), "NO_SYMBOL"),
        (fix_message(2, "W", "268=1|269=0|270=1|271=1|"), "NO_SYMBOL"),
        (refresh(2, "279=3|269=0|270=1|278=Z"), "BAD_ENTRY"),
        (refresh(2, "279=0|269=0|270=1|271=1|278=Z"), "BAD_ENTRY"),
        (refresh(2, "279=2|278=Z"), "UNKNOWN_ID"),
        (fix_message(2, "X", "268=2|279=0|269=4|55=A|270=1|"), "INCOMPLETE"),
    ],
)
def test_what_may_be_about_any_symbol_leaves_all_books_in_doubt(message: bytes, trouble: str):
    converter = Converter()
    converter.convert([refresh(1, NEW_ORDER)])
    converter.convert([message])
    assert troubles(converter) == {trouble: 1}
    converter.convert([refresh(3, "279=0|269=4|55=A|270=1")])
    assert converter.flags == [Flag.SETTLES | Flag.IN_DOUBT]


def test_an_id_that_several_symbols_have_names_no_order_without_a_symbol():
    converter = Converter()
    converter.convert([refresh(1, NEW_ORDER, NEW_ORDER.replace("55=A", "55=B"))])
    assert converter.convert([refresh(2, "279=2|278=X")]) == []
    assert troubles(converter) == {"UNKNOWN_ID": 1}


def test_messages_after_a_loss_are_in_doubt_until_a_snapshot():
    converter = Converter()
    converter.convert([refresh(1, NEW_LEVEL)])
    converter.convert([refresh(3, NEW_LEVEL)], after_loss=True)
    assert converter.flags == [Flag.SETTLES | Flag.IN_DOUBT]
    converter.convert([snapshot(4, "A", "269=0|270=1|271=1"), refresh(5, NEW_LEVEL)])
    assert not any(flags & Flag.IN_DOUBT for flags in converter.flags)


def test_a_trade_of_no_symbol_or_without_its_values_is_counted():
    converter = Converter()
    trades = ("279=0|269=2|270=1|271=1", "279=0|269=2|55=A|270=1", "279=0|269=2|55=A|271=1.5")
    assert [each.kind for each in converter.convert([refresh(1, *trades)])] == ["DEFINITION"]
    assert troubles(converter) == {"NO_SYMBOL": 1, "BAD_ENTRY": 1, "BAD_QUANTITY": 1}
    assert converter.flags == [Flag.SETTLES]


def test_messages_of_other_types_make_no_records():
    converter = Converter()
    assert converter.convert([fix_message(1, "0", ""), refresh(2, NEW_LEVEL)])[1:] == [
        Record("SET_LEVEL", 0, SELL, 3 * E9, 7, aux=2)
    ]
    assert converter.feed.messages.tolist() == [0, 1]


def test_what_is_no_whole_message_ends_the_conversion():
    converter = Converter()
    buf = np.frombuffer(bytearray(refresh(1, NEW_LEVEL)[:-1] + bytes(64)), np.uint8)
    table, cursor = np.zeros((3, 1), np.int64), np.zeros(2, np.int64)
    stop = len(buf) - 64
    status = convert_nb(buf, stop, converter.reading, converter.feed, table, cursor, converter.out)
    assert (status, cursor.tolist()) == (Status.TRUNCATED, [0, 0])


def test_what_does_not_fit_is_counted():
    converter = Converter(instruments=1, orders=1)
    assert len(converter.convert([refresh(1, NEW_ORDER.replace("55=A", f"55={65 * 'A'}"))])) == 0
    assert troubles(converter) == {"LONG_SYMBOL": 1}
    converter.convert([refresh(2, NEW_ORDER, NEW_ORDER.replace("278=X", "278=Y"))])
    assert troubles(converter) == {"LONG_SYMBOL": 1, "IDS_FULL": 1}
    converter.convert([refresh(3, NEW_ORDER.replace("55=A", "55=B"))])
    assert troubles(converter) == {"LONG_SYMBOL": 1, "IDS_FULL": 1, "SYMBOLS_FULL": 1}


def test_a_full_output_is_emptied_between_two_messages():
    converter = Converter(orders=2)
    levels = [NEW_LEVEL.replace("270=3", f"270={price}") for price in range(20)]
    messages = [refresh(seq, *levels) for seq in range(1, 40)]
    assert len(converter.convert(messages)) == 1 + 20 * 39


def test_prices_tell_the_step_and_the_highest_of_their_symbol():
    converter = Converter()
    row = converter.feed.instruments[0]
    for price, step_e9 in (("100", E9), ("100.25", E9 // 100), ("1.23456", 10_000), ("7", 10_000)):
        converter.convert([refresh(1, f"279=0|269=0|55=A|270={price}|271=1")])
        assert (row["step_e9"], row["price_max_e9"] >= E9) == (step_e9, True)
