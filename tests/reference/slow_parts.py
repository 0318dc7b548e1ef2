"""A slow twin of a session of several parts: whole messages, decoded by the cold codec, sorted by
(clock, part), and numbered again by two dictionaries.

The parts' own messages come from the engines; what this holds against is the merge, its blocks and
its threads.
"""

import heapq
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np

from protocols.itch50.spec import BY_TYPE
from tests.reference.exchange_checker import blocks
from tools.exchange.flow import generate_nb, opening_count_nb
from tools.exchange.layout import (
    CLOCK_NS,
    CLOSING_COUNT,
    EMITTED,
    Engine,
    FlowSettings,
    allocate_engine,
)
from tools.exchange.parts import allocate_part, begin_part

Stamped = tuple[int, int, int, dict[str, Any]]


def slow_session(settings: FlowSettings) -> bytes:
    """All blocks of the session."""
    whole = allocate_engine(settings)
    opening = min(opening_count_nb(whole), settings.messages - CLOSING_COUNT)
    data = _made(whole, opening)
    flow = settings.messages - CLOSING_COUNT - opening
    for fields in islice(_numbered(_merged(settings, whole), settings.parts), flow):
        message = BY_TYPE[fields["message_type"]].encode(fields)
        data += len(message).to_bytes(2, "big") + message
        whole.state[CLOCK_NS] = fields["timestamp"]
        whole.state[EMITTED] += 1
    return data + _made(whole, CLOSING_COUNT)


def _made(engine: Engine, messages: int) -> bytes:
    buffer = np.zeros(messages * 64, np.uint8)
    made, size = generate_nb(engine, buffer, messages)
    assert made == messages
    return buffer[:size].tobytes()


def _merged(settings: FlowSettings, whole: Engine) -> Iterator[Stamped]:
    engines = [allocate_part(settings, whole, part) for part in range(settings.parts)]
    for engine in engines:
        begin_part(engine, whole)
    return heapq.merge(*(_messages(engine, part) for part, engine in enumerate(engines)))


def _messages(engine: Engine, part: int) -> Iterator[Stamped]:
    """(clock, part, number in it, fields): no two are equal before the fields."""
    for number in count():
        for message in blocks(_made(engine, 1)):
            fields = dict(BY_TYPE[chr(message[0])].decode(message))
            yield int(fields["timestamp"]), part, number, fields


def _numbered(messages: Iterator[Stamped], parts: int) -> Iterator[dict[str, Any]]:
    references: dict[tuple[int, int], int] = {}
    matches: dict[tuple[int, int], int] = {}
    for _, part, _, fields in messages:
        fields["stock_locate"] = (fields["stock_locate"] - 1) * parts + part + 1
        kind = fields["message_type"]
        new = {"A": "order_reference_number", "U": "new_order_reference_number"}
        if kind in "AFU":
            name = new["U" if kind == "U" else "A"]
            made = part, fields[name]
            references[made] = len(references) + 1
            fields[name] = references[made]
        if kind in "ECXDU":
            name = "original_order_reference_number" if kind == "U" else new["A"]
            fields[name] = references[part, fields[name]]
        if kind in "ECP":
            matches[part, fields["match_number"]] = len(matches) + 1
        if kind in "ECPB":
            fields["match_number"] = matches[part, fields["match_number"]]
        yield fields
