"""Every message of every table, cut at every byte and with every byte wrong: it parses, or there is
one clear error that says where.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from protocols.errors import Status
from protocols.itch50.codec import CODEC as ITCH50
from protocols.message import Codec, Field, Message, MessageError
from protocols.ouch42.codec import INBOUND, OUTBOUND

GOLDEN = Path(__file__).parents[2] / "golden"


class Sample(NamedTuple):
    """One good message."""

    codec: Codec
    message: Message
    wire: bytes


def _samples() -> list[Sample]:
    found = []
    for name in ("itch50", "ouch42"):
        for typed in json.loads((GOLDEN / f"{name}_messages.json").read_text()):
            codec = {None: ITCH50, "inbound": INBOUND, "outbound": OUTBOUND}[typed.get("way")]
            wire = bytes.fromhex(typed["hex"])
            found.append(Sample(codec, codec.by_type[typed["type"]], wire))
    return found


BY_SAMPLE = pytest.mark.parametrize(
    "sample", _samples(), ids=lambda sample: f"{sample.codec.name}-{sample.message.type}"
)


def field_at(message: Message, at: int) -> Field:
    """The field that byte `at` belongs to."""
    return next(
        item for item in message.fields if item.offset <= at < item.offset + item.size_bytes
    )


def test_there_is_a_sample_of_each_of_the_43_messages():
    tables = {(codec.name, code) for codec in (ITCH50, INBOUND, OUTBOUND) for code in codec.by_type}
    assert {(sample.codec.name, sample.message.type) for sample in _samples()} == tables
    assert len(tables) == 43


@BY_SAMPLE
def test_cut_at_every_byte_the_error_names_the_type_the_offset_and_the_field(sample: Sample):
    for size in range(1, len(sample.wire)):
        with pytest.raises(MessageError) as caught:
            sample.codec.decode(sample.wire[:size])
        assert caught.value.status is Status.BAD_LENGTH
        assert caught.value.offset == size
        # The byte that is missing first belongs to the field that is named.
        field = field_at(sample.message, size)
        lacks = field.offset + field.size_bytes - size
        text = str(caught.value)
        assert text.startswith(f"{sample.message.type} {sample.message.name}: {size} bytes, ")
        assert text.endswith(
            f"it ends at byte {size}, where {field.name} lacks {lacks} of {field.size_bytes}"
        )


@BY_SAMPLE
def test_nothing_and_too_much_are_errors_that_say_where(sample: Sample):
    with pytest.raises(MessageError, match="0 bytes") as caught:
        sample.codec.decode(b"")
    assert (caught.value.status, caught.value.offset) == (Status.BAD_LENGTH, 0)
    length = len(sample.wire)
    with pytest.raises(MessageError, match=f"from byte {length} on") as caught:
        sample.codec.decode(sample.wire + b"\0")
    assert (caught.value.status, caught.value.offset) == (Status.BAD_LENGTH, length)


@BY_SAMPLE
def test_a_wrong_byte_behind_the_type_changes_the_one_field_that_it_is_in(sample: Sample):
    good = sample.message.render(sample.wire)
    for at in range(1, len(sample.wire)):
        name = field_at(sample.message, at).name
        for wrong in range(256):
            wire = bytearray(sample.wire)
            wire[at] = wrong
            message, values = sample.codec.decode(bytes(wire))
            assert message is sample.message
            changed = sample.message.render(bytes(wire))
            assert [key for key in good if good[key] != changed[key]] in ([], [name])
            # An alpha field may hold padding; an integer always shows a change.
            assert (changed[name] != good[name]) or (
                wrong == sample.wire[at] or sample.message.by_name[name].type == "alpha"
            )
            again = sample.message.encode(values)
            assert again == bytes(wire)


@BY_SAMPLE
def test_a_wrong_type_byte_is_another_message_or_an_error(sample: Sample):
    for wrong in range(256):
        wire = bytes([wrong]) + sample.wire[1:]
        other = sample.codec.by_type.get(chr(wrong))
        if other is not None and other.length == len(wire):
            assert sample.codec.decode(wire)[0] is other
            continue
        with pytest.raises(MessageError) as caught:
            sample.codec.decode(wire)
        if other is None:
            assert (caught.value.status, caught.value.offset) == (Status.UNKNOWN_TYPE, 0)
            assert repr(wire[:1]) in str(caught.value)
        else:
            assert caught.value.status is Status.BAD_LENGTH
            assert caught.value.offset == min(other.length, len(wire))
