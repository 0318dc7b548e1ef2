"""The slow normaliser on the cases whose rule is worth seeing."""

from typing import Any

import pytest
from hypothesis import given

from feedhandler.core.events import TICK, Flag, Kind
from protocols.itch50.codec import encode
from tests.reference import slow_itch
from tests.reference.itch_strategies import encoded_messages

HEADER = {"stock_locate": 7, "tracking_number": 0, "timestamp": 34_200_000_000_001}


def tick_of(message_type: str, **fields: Any) -> dict[str, int]:
    return slow_itch.normalise(encode(message_type, HEADER | fields))


def test_add_becomes_a_row_with_side_and_price_in_nanodollars():
    tick = tick_of(
        "A",
        order_reference_number=2**64 - 1,
        buy_sell_indicator="S",
        shares=300,
        stock="TEST",
        price="12.3456",
    )
    assert tick == {
        "kind": Kind.ADD,
        "code": ord("A"),
        "instrument": 7,
        "ts_exch_ns": 34_200_000_000_001,
        "flags": 0,
        "side": -1,
        "status": 0,
        "price_e9": 12_345_600_000,
        "qty": 300,
        "order_ref": -1,
        "aux": int.from_bytes(b"TEST    ", "little"),
    }


@pytest.mark.parametrize(("printable", "flags"), [("Y", 0), ("N", Flag.NOT_PRINTABLE)])
def test_execution_that_is_not_printable_is_flagged(printable: str, flags: int):
    tick = tick_of(
        "C",
        order_reference_number=1,
        executed_shares=5,
        match_number=9,
        printable=printable,
        execution_price="1.0000",
    )
    assert (tick["flags"], tick["aux"], tick["price_e9"]) == (flags, 9, 10**9)


def test_market_decline_level_keeps_its_eight_decimals():
    tick = tick_of("V", level_1="4000.12345678", level_2="3000", level_3="2000")
    assert (tick["price_e9"], tick["aux"]) == (0, 400_012_345_678)


def test_status_is_ascii_and_a_symbol_a_number_with_its_first_letter_lowest():
    tick = tick_of("H", stock="AB", trading_state="T", reserved="", reason="")
    assert tick["status"] == ord("T")
    assert tick["aux"].to_bytes(8, "little") == b"AB      "


@given(encoded_messages())
def test_every_message_becomes_a_row_that_a_tick_can_hold(data: bytes):
    tick = slow_itch.normalise(data)
    assert tick["kind"] != Kind.NONE
    for column, value in tick.items():
        stored = TICK[column].type(value)
        assert int(stored) == value


def test_file_of_two_sessions_gives_its_whole_messages():
    data = bytes.fromhex("0001 41 0000 0002 4142 0000 0003 4142")
    assert list(slow_itch.messages_of_file(data)) == [b"A", b"AB"]
