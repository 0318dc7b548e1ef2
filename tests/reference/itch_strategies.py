"""Hypothesis strategies for ITCH messages, derived from the table of `protocols.itch50.spec`."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from protocols.itch50.spec import MESSAGES
from protocols.message import Field, Message

_PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def field_values(field: Field) -> st.SearchStrategy[Any]:
    """Every value that fits the field: stated codes where there are any, else all of its type."""
    if field.values:
        return st.sampled_from(field.values)
    if field.type == "alpha":
        return st.text(_PRINTABLE, max_size=field.width).map(lambda text: text.rstrip(" "))
    numbers = st.integers(0, (1 << 8 * field.size_bytes) - 1)
    if field.decimals:
        return numbers.map(lambda number: Decimal(number).scaleb(-field.decimals))
    return numbers


def message_values(message: Message) -> st.SearchStrategy[dict[str, Any]]:
    """Values of all fields of one message, the type byte among them."""
    fixed = {"message_type": st.just(message.type)}
    return st.fixed_dictionaries(
        {field.name: field_values(field) for field in message.fields} | fixed
    )


def typed_values() -> st.SearchStrategy[tuple[Message, dict[str, Any]]]:
    """Any of the 23 messages with values for its fields."""
    return st.sampled_from(MESSAGES).flatmap(
        lambda message: message_values(message).map(lambda values: (message, values))
    )


def encoded_messages() -> st.SearchStrategy[bytes]:
    """Wire bytes of any message."""
    return typed_values().map(lambda pair: pair[0].encode(pair[1]))
