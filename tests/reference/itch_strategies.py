"""Hypothesis strategies for ITCH messages, derived from the table of `protocols.itch50.spec`."""

from typing import Any

from hypothesis import strategies as st

from protocols.itch50.spec import MESSAGES
from protocols.message import Message
from tests.reference.table_strategies import message_values, table_bytes, table_values

__all__ = ["encoded_messages", "message_values", "typed_values"]


def typed_values() -> st.SearchStrategy[tuple[Message, dict[str, Any]]]:
    """Any of the 23 messages with values for its fields."""
    return table_values(MESSAGES)


def encoded_messages() -> st.SearchStrategy[bytes]:
    """Wire bytes of any message."""
    return table_bytes(MESSAGES)
