"""Hypothesis strategies for the messages of any table of `protocols.message`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

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


def table_values(
    messages: Sequence[Message],
) -> st.SearchStrategy[tuple[Message, dict[str, Any]]]:
    """Any of the messages with values for its fields."""
    return st.sampled_from(messages).flatmap(
        lambda message: message_values(message).map(lambda values: (message, values))
    )


def table_bytes(messages: Sequence[Message]) -> st.SearchStrategy[bytes]:
    """Wire bytes of any of the messages."""
    return table_values(messages).map(lambda pair: pair[0].encode(pair[1]))
