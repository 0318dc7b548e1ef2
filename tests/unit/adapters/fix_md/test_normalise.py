"""Records to ticks, and what is no record."""

import numpy as np
import pytest

from adapters.fix_md.adapter import ADAPTER
from adapters.fix_md.normalise import normalise_nb
from adapters.fix_md.spec import RECORD, RECORD_BYTES
from feedhandler.core.engine import BAD_LENGTH_STATUS
from feedhandler.core.events import TICK, Flag, Kind
from protocols.errors import Status

FIELDS = {
    "kind": int(Kind.SET_LEVEL),
    "side": 2,
    "flags": 0xFF,
    "instrument": 70_000,
    "code": ord("1"),
    "status": 513,
    "ts_exch": 86_399_999_999_999,
    "price": 1_234_560_000,
    "quantity": 2**32 - 1,
    "reference": 2**40 + 7,
    "aux": 3,
}


def tick_of(record: bytes) -> np.void:
    """The tick of one block."""
    block = np.frombuffer(bytearray(len(record).to_bytes(2, "big") + record), np.uint8)
    ticks = np.full(1, 255, np.uint8).repeat(TICK.itemsize).view(TICK)
    assert normalise_nb(block, 0, 1, ticks, np.zeros(1, np.int32)) == len(block)
    return ticks[0]


def test_every_field_of_a_record_is_in_the_tick():
    tick = tick_of(RECORD.encode(FIELDS))
    assert (tick["kind"], tick["side"], tick["code"]) == (Kind.SET_LEVEL, -1, ord("1"))
    assert tick["flags"] == Flag.IN_DOUBT | Flag.PART | Flag.SETTLES
    assert (tick["instrument"], tick["status"]) == (70_000, 513)
    assert (tick["price_e9"], tick["qty"]) == (1_234_560_000, 2**32 - 1)
    assert (tick["ts_exch_ns"], tick["order_ref"], tick["aux"]) == (
        86_399_999_999_999,
        2**40 + 7,
        3,
    )


@pytest.mark.parametrize("side", [(0, 0), (1, 1), (2, -1), (3, 0)])
def test_sides(side: tuple[int, int]):
    assert tick_of(RECORD.encode(FIELDS | {"side": side[0]}))["side"] == side[1]


@pytest.mark.parametrize("record", [b"", b"\0" * RECORD_BYTES, b"A"])
def test_what_is_no_record_is_of_an_unknown_type(record: bytes):
    tick = tick_of(record)
    assert (tick["kind"], tick["status"]) == (Kind.NONE, Status.UNKNOWN_TYPE)


@pytest.mark.parametrize("kind", [Kind.NONE, Kind.EXECUTE, Kind.SETTLE, 200])
def test_a_kind_that_no_record_has_is_of_an_unknown_type(kind: int):
    tick = tick_of(RECORD.encode(FIELDS | {"kind": int(kind)}))
    assert (tick["kind"], tick["status"]) == (Kind.NONE, Status.UNKNOWN_TYPE)


@pytest.mark.parametrize("size", [1, RECORD_BYTES - 1, RECORD_BYTES + 1])
def test_a_record_of_another_length_says_that_a_book_may_be_wrong(size: int):
    tick = tick_of((RECORD.encode(FIELDS) + b"\0")[:size])
    assert (tick["kind"], tick["status"], tick["aux"]) == (Kind.NONE, BAD_LENGTH_STATUS, Kind.ADD)


def test_adapter_names_itself_and_its_session():
    assert (ADAPTER.name, ADAPTER.block_bytes_min) == ("fix_md", RECORD_BYTES + 2)
    assert ADAPTER.session_bytes("FIX") == b"FIX       "
    assert ADAPTER.session_bytes("") == bytes(10)
    assert len(ADAPTER.venue()) == 5
