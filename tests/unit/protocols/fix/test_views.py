"""Typed views: golden rows, and the tables themselves."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from protocols.errors import Status
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import (
    COUNT_COLUMN,
    EntryViews,
    allocate_scratch,
    entry_views,
    read_entries_nb,
)
from protocols.fix.kernels_views import read_message_nb
from protocols.fix.views import HEADER_VIEW, TAG_LIMIT, VIEWS, ColumnKind, View, allocate_rows
from tests.reference.fix_decoding import as_buffer, decode_all, read_rows, small_decoder

NS = 1_000_000_000


def wire(body: str) -> bytes:
    """A message typed with | for the separator, with its length and sum."""
    head = f"8=FIX.4.4|9={len(body)}|{body}".replace("|", "\x01").encode()
    return head + b"10=%03d\x01" % (sum(head) % 256)


def rows_of(message: bytes, view: View) -> list[np.void]:
    decoder = small_decoder()
    decode_all(message, decoder)
    rows, words = allocate_rows(view, 10)
    count, status = read_message_nb(as_buffer(message), decoder, 0, view.table(), words, 0)
    assert status == Status.OK
    return list(rows[:count])


def entries_of(message: bytes) -> list[np.void]:
    decoder, buf = small_decoder(), as_buffer(message)
    decode_nb(buf, 0, len(message), decoder)
    rows, words = allocate_rows(VIEWS[b"X"], 10)
    scratch = allocate_scratch(decoder)
    count, _, _ = read_entries_nb(buf, decoder, 0, 1, entry_views(), words, scratch)
    return list(rows[:count])


INCREMENTAL = wire(
    "35=X|34=12|262=R1|268=3"
    "|279=0|269=0|278=E1|55=MSFT|270=101.25|271=300|346=2|272=20261121|273=14:30:00.5|83=7|1023=1"
    "|279=1|269=1|278=E2|270=-0.000000001|271=0.5|290=3"
    "|279=2|269=1|278=E3|55=F|83=9|"
)


@pytest.mark.parametrize("read", [entries_of, lambda message: rows_of(message, VIEWS[b"X"])])
def test_entries_of_an_incremental_refresh(read: Callable[[bytes], list[np.void]]):
    first, second, third = read(INCREMENTAL)
    assert (first["update_action"], first["entry_type"]) == (ord("0"), ord("0"))
    assert (first["price_e9"], first["qty_e8"]) == (101_250_000_000, 30_000_000_000)
    assert (first["rpt_seq"], first["order_count"], first["price_level"]) == (7, 2, 1)
    assert (first["entry_date_days"], first["entry_time_ns"]) == (20_778, 52_200 * NS + NS // 2)
    assert (second["price_e9"], second["qty_e8"], second["position"]) == (-1, 50_000_000, 3)
    symbols = [INCREMENTAL[row["symbol_at"] : row["symbol_end"]] for row in (first, second, third)]
    assert symbols == [b"MSFT", b"MSFT", b"F"]
    ids = [INCREMENTAL[row["entry_id_at"] : row["entry_id_end"]] for row in (first, second, third)]
    assert ids == [b"E1", b"E2", b"E3"]
    assert {int(row["status"]) for row in (first, second, third)} == {Status.OK}
    columns = [column.name for column in VIEWS[b"X"].columns]
    has = [name for i, name in enumerate(columns) if third["present"] >> i & 1]
    assert has == ["update_action", "entry_type", "symbol", "rpt_seq", "entry_id"]


@pytest.mark.parametrize("read", [entries_of, lambda message: rows_of(message, VIEWS[b"W"])])
def test_entries_of_a_snapshot_have_the_symbol_ahead_of_them(
    read: Callable[[bytes], list[np.void]],
):
    message = wire("35=W|34=1|55=ES|268=2|269=0|270=5|271=1|269=1|270=5.25|271=2|")
    found = read(message)
    assert [int(row["price_e9"]) for row in found] == [5 * NS, 5_250_000_000]
    assert {message[row["symbol_at"] : row["symbol_end"]] for row in found} == {b"ES"}
    assert not any(row["update_action"] for row in found)


@pytest.mark.parametrize("read", [entries_of, lambda message: rows_of(message, VIEWS[b"X"])])
@pytest.mark.parametrize(
    ("price", "wrong"),
    [("1..2", 2), ("1e5", 1), ("+1", 0), ("", 0), ("-", 0), ("12345678901", 11),
     ("1.0000000001", 11), ("99999999999999999999", 18)],
)  # fmt: skip
def test_a_wrong_number_is_a_status_with_its_place(
    read: Callable[[bytes], list[np.void]], price: str, wrong: int
):
    message = wire(f"35=X|268=1|279=0|269=0|270={price}|271=5|")
    (row,) = read(message)
    assert row["status"] == Status.BAD_VALUE
    assert row["fault_at"] == message.index(b"270=") + 4 + wrong
    assert (row["price_e9"], row["qty_e8"]) == (0, 500_000_000)


@pytest.mark.parametrize("count", ["1", "3", "", "x", "-2"])
def test_a_group_that_is_not_as_long_as_it_says(count: str):
    message = wire(f"35=X|268={count}|279=0|270=1|279=1|270=2|")
    decoder, buf = small_decoder(), as_buffer(message)
    decode_nb(buf, 0, len(message), decoder)
    _, words = allocate_rows(VIEWS[b"X"], 10)
    read_entries_nb(buf, decoder, 0, 1, entry_views(), words, allocate_scratch(decoder))
    frame = decoder.frames[0]
    assert (frame["row_count"], frame["row_status"]) == (2, Status.BAD_LENGTH)
    assert frame["row_fault_at"] == message.index(b"268=") + 4


def test_a_view_of_prices_and_sizes_only():
    whole = VIEWS[b"X"]
    columns = tuple(each for each in whole.columns if each.name in {"price_e9", "qty_e8"})
    view = dataclasses.replace(whole, columns=columns)
    message = wire("35=X|268=8|" + "279=0|55=A|270=1.5|271=2|" * 8)
    decoder, buf = small_decoder(), as_buffer(message)
    decode_nb(buf, 0, len(message), decoder)
    rows, words = allocate_rows(view, 8)
    views = EntryViews(view.table(), view.table())
    assert read_entries_nb(buf, decoder, 0, 1, views, words, allocate_scratch(decoder)) == (
        8, 1, Status.OK
    )  # fmt: skip
    assert rows["price_e9"].tolist() == [1_500_000_000] * 8
    assert rows["qty_e8"].tolist() == [200_000_000] * 8


def test_entries_of_a_plain_frame():
    message = wire("35=X|268=1|279=0|55=A|270=1.5|271=2|358=3|359=a|b|")
    (row,) = entries_of(message)
    assert (row["price_e9"], row["qty_e8"]) == (1_500_000_000, 200_000_000)


def test_an_order_in_its_view():
    message = wire(
        "35=D|34=5|52=20261121-14:30:00.123|11=ID7|55=MSFT|54=1|38=100|40=2|44=101.25|59=0"
        "|60=20261121-14:30:00|1=ACC|"
    )
    (row,) = rows_of(message, VIEWS[b"D"])
    sent = 20_778 * 86_400 * NS + 52_200 * NS + 123_000_000
    assert (row["msg_seq_num"], row["sending_ts_ns"]) == (5, sent)
    assert row["transact_ts_ns"] == sent - 123_000_000
    assert (row["side"], row["ord_type"]) == (ord("1"), ord("2"))
    assert (row["order_qty_e8"], row["price_e9"]) == (100 * 10**8, 101_250_000_000)
    assert message[row["cl_ord_id_at"] : row["cl_ord_id_end"]] == b"ID7"
    assert message[row["account_at"] : row["account_end"]] == b"ACC"
    assert (row["status"], row["fault_at"]) == (Status.OK, -1)


@pytest.mark.parametrize(
    ("stamp", "wrong"),
    [
        ("20261121-24:00:00", 9), ("20261121-14:60:00", 11), ("20261121-14-30:00", 11),
        ("20261121-14:30:61", 14), ("20261121-14:30-00", 14), ("20261121-14:30:00,5", 17),
        ("20261121-14:30:00.", 17), ("20261121-14:30:00.1234567890", 17),
        ("20261121-14:30:00.12x", 20), ("20261121 14:30:00", 8), ("20261321-14:30:00", 4),
        ("20261132-14:30:00", 6), ("20260229-14:30:00", 6), ("16770101-14:30:00", 0),
        ("2x261121-14:30:00", 0), ("202x1121-14:30:00", 0), ("20261121", 0), ("20261121-14:30", 9),
    ],
)  # fmt: skip
def test_a_wrong_stamp_is_a_status_with_its_place(stamp: str, wrong: int):
    message = wire(f"35=D|60={stamp}|")
    (row,) = rows_of(message, VIEWS[b"D"])
    assert (row["status"], row["transact_ts_ns"]) == (Status.BAD_VALUE, 0)
    assert row["fault_at"] == message.index(b"60=2" if stamp[0] == "2" else b"60=1") + 3 + wrong


def test_the_header_of_any_message():
    (row,) = rows_of(INCREMENTAL, HEADER_VIEW)
    assert row["msg_seq_num"] == 12


def test_the_first_of_several_fields_counts():
    (row,) = rows_of(wire("35=D|11=A|11=B|54=12|54=2|54=1|"), VIEWS[b"D"])
    assert row["cl_ord_id_end"] - row["cl_ord_id_at"] == 1
    assert (row["side"], row["status"]) == (ord("2"), Status.BAD_VALUE)


def test_rows_that_do_not_fit_are_not_begun():
    decoder = small_decoder()
    decode_all(INCREMENTAL, decoder)
    found, status = read_rows(INCREMENTAL, decoder, 0, VIEWS[b"X"], limit=2)
    assert (found, status) == ([], Status.OUTPUT_FULL)


@pytest.mark.parametrize("view", [*VIEWS.values(), HEADER_VIEW], ids=lambda view: view.name)
def test_a_table_is_sound(view: View):
    tags = [column.tag for column in view.columns]
    assert len(set(tags)) == len(tags)
    assert max(tags) < TAG_LIMIT
    assert len(tags) < 63
    names = view.dtype.names
    assert names is not None
    assert len(set(names)) == len(names)
    assert {view.dtype[name] for name in names} == {np.dtype("i8")}
    suffixes = {ColumnKind.PRICE: "_e9", ColumnKind.QUANTITY: "_e8", ColumnKind.DATE: "_days"}
    suffixes |= {ColumnKind.TIMESTAMP: "_ts_ns", ColumnKind.TIME: "_time_ns"}
    for column in view.columns:
        assert column.name.endswith(suffixes.get(column.kind, ""))
    table = view.table()
    assert table.meta[0] == len(names)
    if view.delimiter:
        assert len(tags) <= COUNT_COLUMN
        assert 0 <= table.meta[3] < len(tags)


def test_both_views_of_entries_have_the_same_columns():
    assert VIEWS[b"W"].columns == VIEWS[b"X"].columns
    assert set(VIEWS) == {
        b"V",
        b"W",
        b"X",
        b"Y",
        b"d",
        b"f",
        b"h",
        b"D",
        b"F",
        b"G",
        b"8",
        b"9",
        b"j",
    }
