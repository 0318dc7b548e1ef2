"""Tables of messages: the checks at import, and what does not fit a field."""

from decimal import Decimal

import pytest

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.message import Field, Message, Value, index_by_type

MESSAGE = Message(
    "Z",
    "Sample",
    "9.9",
    24,
    (
        Field("message_type", "alpha", width=1),
        Field("small", "u8"),
        Field("price", "price4"),
        Field("amount", "price8"),
        Field("number", "u48"),
        Field("text", "alpha", width=4),
    ),
)
VALUES: dict[str, Value] = {
    "small": 255,
    "price": Decimal("1.5"),
    "amount": Decimal("0.00000001"),
    "number": 2**48 - 1,
    "text": "ab",
}


def test_offsets_follow_from_the_widths():
    assert [field.offset for field in MESSAGE.fields] == [0, 1, 2, 6, 14, 20]
    assert MESSAGE.offset("number") == 14


def test_values_lie_on_the_wire_as_the_types_say():
    data = MESSAGE.encode(VALUES)
    assert data.hex(" ", 2) == "5aff 0000 3a98 0000 0000 0000 0001 ffff ffff ffff 6162 2020"
    assert MESSAGE.decode(data) == {"message_type": "Z", **VALUES}


def test_rendered_prices_have_all_decimals_and_the_rest_is_as_decoded():
    data = MESSAGE.encode({**VALUES, "price": 8, "amount": "12345678901.5"})
    assert MESSAGE.render(data) == {
        "message_type": "Z", **VALUES, "price": "8.0000", "amount": "12345678901.50000000"
    }  # fmt: skip
    highest = MESSAGE.render(b"Z" + b"\xff" * 23)
    assert highest["price"] == "429496.7295"
    assert highest["amount"] == "184467440737.09551615"


def test_text_loses_its_padding_on_the_right_only_and_no_other_character():
    for raw in (b" ab ", b"\xa0b\x85 ", b"\0\0\0\0", b"    "):
        text = MESSAGE.decode(MESSAGE.encode(VALUES)[:-4] + raw)["text"]
        assert text == raw.decode("latin-1").rstrip(" ")
        assert MESSAGE.encode({**VALUES, "text": text})[-4:] == raw


def test_price_may_be_text_or_a_whole_number():
    assert MESSAGE.encode({**VALUES, "price": "1.5"}) == MESSAGE.encode(VALUES)
    assert MESSAGE.decode(MESSAGE.encode({**VALUES, "price": 2}))["price"] == Decimal(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("small", 256),
        ("small", -1),
        ("small", Decimal("0.5")),
        ("small", "one"),
        ("small", Decimal("NaN")),
        ("price", Decimal("0.00001")),
        ("price", Decimal("429496.7296")),
        ("price", Decimal("Infinity")),
        ("amount", Decimal(-1)),
        ("number", 2**48),
        ("text", "abcde"),
        ("text", "€"),
        ("message_type", "Y"),
    ],
)
def test_value_that_does_not_fit_is_our_fault_and_named(name: str, value: Value):
    with pytest.raises(LocalProtocolError, match=name):
        MESSAGE.encode({**VALUES, name: value})


def test_missing_and_unknown_fields_are_named():
    wrong = {name: value for name, value in VALUES.items() if name != "text"} | {"txet": "ab"}
    with pytest.raises(LocalProtocolError, match=r"\['text', 'txet'\]"):
        MESSAGE.encode(wrong)


@pytest.mark.parametrize("size", [0, 1, 23, 25])
def test_wrong_length_is_the_peers_fault(size: int):
    with pytest.raises(RemoteProtocolError, match=f"Z Sample: {size} bytes"):
        MESSAGE.decode(bytes(size))


def test_table_that_contradicts_its_stated_length_is_refused():
    with pytest.raises(ValueError, match="fields make 2 bytes, stated 3"):
        Message("A", "Short", "1", 3, (Field("number", "u16"),))


def test_table_with_a_field_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        Message("A", "Double", "1", 4, (Field("number", "u16"), Field("number", "u16")))


def test_type_that_occurs_twice_is_refused():
    assert index_by_type([MESSAGE])["Z"] is MESSAGE
    with pytest.raises(ValueError, match="type Z occurs twice"):
        index_by_type([MESSAGE, MESSAGE])
