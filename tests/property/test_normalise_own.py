"""What one of several shards decodes: the ticks of its own instruments, and no others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.fix_md.normalise import INSTRUMENT_AT
from adapters.fix_md.normalise import normalise_nb as normalise_records_nb
from adapters.fix_md.normalise import normalise_own_nb as normalise_own_records_nb
from adapters.fix_md.spec import RECORD_BYTES, RECORD_CODE
from adapters.nasdaq_itch.normalise import normalise_nb, normalise_own_nb
from feedhandler.core.events import TICK, Kind
from feedhandler.core.split import allocate_split, find_blocks_nb
from tests.reference.itch_strategies import encoded_messages

CHUNK = 16
LENGTH_BYTES = 2


def itch_instrument(message: bytes) -> int:
    return int.from_bytes(message[1:3], "big") if len(message) >= 3 else 0


def record_instrument(record: bytes) -> int:
    number = record[INSTRUMENT_AT : INSTRUMENT_AT + 4]
    return int.from_bytes(number, "big") if len(number) == 4 else 0


def records() -> st.SearchStrategy[bytes]:
    """Bytes of a record's length that begin as one does."""
    rest = st.binary(min_size=RECORD_BYTES - 1, max_size=RECORD_BYTES - 1)
    return rest.map(lambda tail: bytes([RECORD_CODE]) + tail)


def blocks_of(messages: list[bytes]) -> np.ndarray:
    data = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    return np.frombuffer(data + b"\xff" * 3, np.uint8)


def blank_ticks() -> np.ndarray:
    ticks = np.zeros(CHUNK, TICK)
    ticks.view(np.uint8)[:] = 0xA5
    return ticks


@pytest.mark.parametrize(
    ("normalise", "normalise_own", "whole_instrument_of", "whole"),
    [
        (normalise_nb, normalise_own_nb, itch_instrument, encoded_messages()),
        (normalise_records_nb, normalise_own_records_nb, record_instrument, records()),
    ],
    ids=["itch", "fix"],
)
def test_ticks_are_those_of_the_own_messages_alone(
    normalise: Any, normalise_own: Any, whole_instrument_of: Any, whole: st.SearchStrategy[bytes]
):
    def instrument_of(message: bytes) -> int:
        return whole_instrument_of(message) & 0xFFFF

    messages_any = st.lists(whole | st.binary(max_size=30), max_size=CHUNK)

    @given(messages=messages_any, shards=st.integers(2, 5), data=st.data())
    def check(messages: list[bytes], shards: int, data: st.DataObject) -> None:
        shard = data.draw(st.integers(0, shards - 1))
        split = allocate_split(shard, shards, CHUNK)
        buf = blocks_of(messages)
        slots = np.arange(CHUNK, dtype=np.int32)[::-1].copy()
        assert find_blocks_nb(buf, 0, len(messages), split.blocks) == len(buf) - 3
        found, expected = blank_ticks(), blank_ticks()
        own = normalise_own(
            buf, split.blocks, len(messages), split.owned, split.offsets, found, slots
        )
        places = [i for i, each in enumerate(messages) if instrument_of(each) % shards == shard]
        assert split.offsets[:own].tolist() == places
        mine = [messages[i] for i in places]
        normalise(blocks_of(mine), 0, len(mine), expected, slots)
        for slot, message in zip(slots, mine, strict=False):
            if expected[slot]["kind"] == Kind.NONE:
                expected[slot]["instrument"] = whole_instrument_of(message)
        assert (found == expected).all()

    check()
