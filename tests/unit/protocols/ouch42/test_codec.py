"""The OUCH tables and codecs against bytes typed by hand and themselves."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Codec, Message
from protocols.ouch42 import codec, spec
from tests.reference.table_strategies import table_values

GOLDEN = Path(__file__).parents[3] / "golden"
SAMPLES = json.loads((GOLDEN / "ouch42_messages.json").read_text())
BY_SAMPLE = pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda sample: f"{sample['way']}-{sample['type']}"
)
CODECS = {"inbound": codec.INBOUND, "outbound": codec.OUTBOUND}

# Typed from the specification's own lengths.
SIZES = {
    "inbound": {"O": 49, "U": 47, "X": 19, "M": 20, "N": 15},
    "outbound": {
        "S": 10, "A": 66, "U": 80, "C": 28, "D": 37, "E": 40, "B": 32, "G": 45, "F": 41, "J": 24,
        "P": 23, "I": 23, "T": 36, "M": 28, "N": 23,
    },
}  # fmt: skip
OFFSETS = [
    ("inbound", "O", "stock", 20), ("inbound", "O", "price", 28),
    ("inbound", "O", "minimum_quantity", 43), ("inbound", "O", "customer_type", 48),
    ("inbound", "U", "replacement_order_token", 15), ("inbound", "U", "minimum_quantity", 43),
    ("inbound", "X", "shares", 15), ("outbound", "S", "event_code", 9),
    ("outbound", "A", "order_reference_number", 49), ("outbound", "A", "bbo_weight_indicator", 65),
    ("outbound", "U", "previous_order_token", 65), ("outbound", "U", "bbo_weight_indicator", 79),
    ("outbound", "D", "execution_price", 32), ("outbound", "E", "match_number", 32),
    ("outbound", "B", "match_number", 23), ("outbound", "G", "reference_price", 40),
    ("outbound", "F", "reason", 40), ("outbound", "T", "order_reference_number", 28),
]  # fmt: skip


def wire(sample: dict[str, Any]) -> bytes:
    return bytes.fromhex(sample["hex"])


def entry(sample: dict[str, Any]) -> tuple[Codec, Message]:
    found = CODECS[sample["way"]]
    return found, found.by_type[sample["type"]]


def expected(sample: dict[str, Any]) -> dict[str, Any]:
    """The typed values, prices as Decimals."""
    fields = entry(sample)[1].by_name
    values = {
        name: Decimal(value) if fields[name].decimals else value
        for name, value in sample["fields"].items()
    }
    return {"message_type": sample["type"], **values}


def test_tables_have_the_messages_with_the_lengths_of_the_specification():
    ways = {"inbound": spec.INBOUND, "outbound": spec.OUTBOUND}
    for way, messages in ways.items():
        assert {message.type: message.length for message in messages} == SIZES[way]
        samples = [sample["type"] for sample in SAMPLES if sample["way"] == way]
        assert samples == list(SIZES[way])


@pytest.mark.parametrize(("way", "message_type", "name", "offset"), OFFSETS)
def test_field_lies_where_the_specification_says(
    way: str, message_type: str, name: str, offset: int
):
    assert CODECS[way].by_type[message_type].offset(name) == offset


@BY_SAMPLE
def test_every_field_is_as_wide_as_its_group_of_typed_bytes(sample: dict[str, Any]):
    widths = [len(group) // 2 for group in sample["hex"].split()]
    assert [field.size_bytes for field in entry(sample)[1].fields] == widths


@BY_SAMPLE
def test_typed_bytes_decode_to_the_typed_values_and_back(sample: dict[str, Any]):
    found, message = entry(sample)
    assert found.decode(wire(sample)) == (message, expected(sample))
    assert found.encode(sample["type"], sample["fields"]) == wire(sample)


@BY_SAMPLE
def test_rendering_is_the_typed_text_with_all_decimals(sample: dict[str, Any]):
    _, message = entry(sample)
    rendered = message.render(wire(sample))
    assert rendered == {"message_type": sample["type"], **sample["fields"]}
    assert list(rendered) == [field.name for field in message.fields]


@given(table_values(spec.INBOUND + spec.OUTBOUND))
def test_values_survive_the_wire(pair: tuple[Message, dict[str, Any]]):
    message, values = pair
    assert message.decode(message.encode(values)) == values


@pytest.mark.parametrize("found", CODECS.values(), ids=CODECS)
@given(data=st.binary(max_size=90))
def test_random_bytes_decode_or_are_refused_with_one_error(found: Codec, data: bytes):
    lengths = {message.type: message.length for message in found.by_type.values()}
    is_sound = lengths.get(data[:1].decode("latin-1")) == len(data)
    try:
        message, values = found.decode(data)
    except RemoteProtocolError:
        assert not is_sound
    else:
        assert is_sound
        assert values["message_type"] == message.type


def test_a_letter_of_the_other_way_is_not_taken():
    with pytest.raises(RemoteProtocolError, match=r"b'O' at byte 0 is none of the 15 of OUCH"):
        codec.OUTBOUND.decode(bytes(49).replace(b"\0", b"O", 1))
    with pytest.raises(LocalProtocolError, match=r"'A' is none of the 5 of OUCH 4\.2 to"):
        codec.INBOUND.encode("A", {})
