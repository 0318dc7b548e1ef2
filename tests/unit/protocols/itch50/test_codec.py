"""The ITCH table and codec against bytes typed by hand, a second set of layouts, and themselves."""

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.itch50.codec import decode, encode
from protocols.itch50.spec import BY_TYPE, LENGTHS, MESSAGES, PRICE4_MAX
from protocols.message import Message
from tests.reference import slow_itch
from tests.reference.itch_strategies import typed_values

GOLDEN = Path(__file__).parents[3] / "golden"
SAMPLES = json.loads((GOLDEN / "itch50_messages.json").read_text())
BY_SAMPLE = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["type"])

# Typed from the specification's own table of lengths.
SIZES = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21,
    "A": 36, "F": 40, "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19,
    "I": 50, "N": 20, "O": 48,
}  # fmt: skip

# Typed from the specification: sections, and offsets of the fields that books and ticks live on.
SECTIONS = {
    "S": "1.1", "R": "1.2.1", "H": "1.2.2", "Y": "1.2.3", "L": "1.2.4", "V": "1.2.5.1",
    "W": "1.2.5.2", "K": "1.2.6", "J": "1.2.7", "h": "1.2.8", "A": "1.3.1", "F": "1.3.2",
    "E": "1.4.1", "C": "1.4.2", "X": "1.4.3", "D": "1.4.4", "U": "1.4.5", "P": "1.5.1",
    "Q": "1.5.2", "B": "1.5.3", "I": "1.6", "N": "1.7", "O": "1.8",
}  # fmt: skip
OFFSETS = [
    ("A", "order_reference_number", 11), ("A", "buy_sell_indicator", 19), ("A", "shares", 20),
    ("A", "stock", 24), ("A", "price", 32), ("F", "attribution", 36), ("E", "executed_shares", 19),
    ("E", "match_number", 23), ("C", "printable", 31), ("C", "execution_price", 32),
    ("X", "cancelled_shares", 19), ("D", "order_reference_number", 11),
    ("U", "original_order_reference_number", 11), ("U", "new_order_reference_number", 19),
    ("U", "shares", 27), ("U", "price", 31), ("P", "match_number", 36), ("Q", "cross_price", 27),
    ("Q", "cross_type", 39), ("H", "trading_state", 19), ("H", "reason", 21),
    ("I", "far_price", 36),
    ("R", "round_lot_size", 21), ("R", "inverse_indicator", 38), ("O", "near_execution_time", 32),
]  # fmt: skip


def wire(sample: dict[str, Any]) -> bytes:
    return bytes.fromhex(sample["hex"])


def expected(sample: dict[str, Any]) -> dict[str, Any]:
    fields = BY_TYPE[sample["type"]].by_name
    values = {
        name: Decimal(value) if fields[name].decimals else value
        for name, value in sample["fields"].items()
    }
    return {"message_type": sample["type"], **values}


def test_golden_files_are_those_that_the_metadata_describe():
    metadata = json.loads((GOLDEN / "metadata.json").read_text())
    for name, entry in metadata.items():
        assert entry["source"]
        assert entry["licence"] == "Apache-2.0"
        assert hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest() == entry["sha256"]


def test_table_has_the_23_messages_with_the_lengths_and_sections_of_the_specification():
    assert {message.type: message.length for message in MESSAGES} == SIZES
    assert {message.type: message.section for message in MESSAGES} == SECTIONS
    assert [sample["type"] for sample in SAMPLES] == list(SIZES)
    assert {chr(code): length for code, length in enumerate(LENGTHS) if length} == SIZES
    assert len(LENGTHS) == 256


def test_highest_price_is_200000_dollars():
    assert PRICE4_MAX == 200_000 * 10_000


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_every_message_begins_with_the_same_eleven_bytes(message: Message):
    header = [(field.name, field.offset, field.size_bytes) for field in message.fields[:4]]
    assert header == [
        ("message_type", 0, 1),
        ("stock_locate", 1, 2),
        ("tracking_number", 3, 2),
        ("timestamp", 5, 6),
    ]


@pytest.mark.parametrize(("message_type", "name", "offset"), OFFSETS)
def test_field_lies_where_the_specification_says(message_type: str, name: str, offset: int):
    assert BY_TYPE[message_type].offset(name) == offset


@BY_SAMPLE
def test_every_field_is_as_wide_as_its_group_of_typed_bytes(sample: dict[str, Any]):
    widths = [len(group) // 2 for group in sample["hex"].split()]
    assert [field.size_bytes for field in BY_TYPE[sample["type"]].fields] == widths


@BY_SAMPLE
def test_typed_bytes_decode_to_the_typed_values(sample: dict[str, Any]):
    message, values = decode(wire(sample))
    assert message is BY_TYPE[sample["type"]]
    assert values == expected(sample)
    assert list(values) == [field.name for field in message.fields]


@BY_SAMPLE
def test_rendering_has_every_field_and_prices_as_text_with_all_their_decimals(
    sample: dict[str, Any],
):
    message = BY_TYPE[sample["type"]]
    rendered = message.render(wire(sample))
    as_text = {
        name: f"{value:.{message.by_name[name].decimals}f}" if isinstance(value, Decimal) else value
        for name, value in expected(sample).items()
    }
    assert rendered == as_text
    assert list(rendered) == [field.name for field in message.fields]


def test_names_in_lower_case_with_underscores():
    keys = {message.type: message.key for message in MESSAGES}
    assert len(set(keys.values())) == 23
    assert keys["A"] == "add_order_no_mpid"
    assert keys["X"] == "order_cancel_partial"
    assert keys["B"] == "broken_trade_order_execution"
    assert keys["W"] == "mwcb_status"


@BY_SAMPLE
def test_typed_values_encode_to_the_typed_bytes(sample: dict[str, Any]):
    assert encode(sample["type"], expected(sample)) == wire(sample)


@BY_SAMPLE
def test_every_truncation_and_one_byte_too_many_is_an_error_that_names_the_type(
    sample: dict[str, Any],
):
    whole = wire(sample)
    for size in range(1, len(whole)):
        with pytest.raises(RemoteProtocolError, match=f"^{sample['type']} .*: {size} bytes"):
            decode(whole[:size])
    with pytest.raises(RemoteProtocolError, match=f"{len(whole) + 1} bytes"):
        decode(whole + b"\0")


@BY_SAMPLE
def test_slow_twin_reads_the_typed_values_too(sample: dict[str, Any]):
    message_type, values = slow_itch.decode(wire(sample))
    table = BY_TYPE[sample["type"]].by_name
    as_integers = {
        name: int(value.scaleb(table[name].decimals)) if isinstance(value, Decimal) else value
        for name, value in expected(sample).items()
        if name != "message_type"
    }
    assert (message_type, values) == (sample["type"], as_integers)


@given(typed_values())
def test_values_survive_the_wire(pair: tuple[Message, dict[str, Any]]):
    message, values = pair
    data = encode(message.type, values)
    assert len(data) == message.length
    assert decode(data) == (message, values)


@given(typed_values())
def test_slow_twin_agrees_on_every_message(pair: tuple[Message, dict[str, Any]]):
    message, values = pair
    message_type, slow = slow_itch.decode(encode(message.type, values))
    assert message_type == message.type
    for name, value in slow.items():
        field = message.by_name[name]
        fast = values[name]
        assert value == (int(fast.scaleb(field.decimals)) if field.decimals else fast)


@given(st.binary(max_size=60))
def test_random_bytes_decode_or_are_refused_with_one_error(data: bytes):
    try:
        message, values = decode(data)
    except RemoteProtocolError:
        assert not data or LENGTHS[data[0]] != len(data)
    else:
        assert LENGTHS[data[0]] == len(data)
        assert values["message_type"] == message.type


def test_empty_message_is_refused():
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        decode(b"")


@pytest.mark.parametrize("data", [b"Z", b"\x00" * 12, b"\xff" * 36])
def test_unknown_type_is_refused_and_named(data: bytes):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data)
    assert repr(data[:1]) in str(caught.value)


def test_unknown_type_cannot_be_encoded():
    with pytest.raises(LocalProtocolError, match="'Z'"):
        encode("Z", {})
