"""What the tests of this venue share: messages converted to records, and these as tuples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adapters.fix_md.layout import Feed, Meta, allocate_feed, allocate_reading
from adapters.fix_md.messages import Column, Cursor, convert_nb, out_bytes
from adapters.fix_md.normalise import LENGTH_BYTES
from adapters.fix_md.records import BLOCK_BYTES
from adapters.fix_md.spec import RECORD
from feedhandler.core.events import Kind
from protocols.errors import Status

BODY_BYTES = 1_024
MARGIN = bytes(64)


class Record(NamedTuple):
    """The fields of a record that tests look at; the kind by its name."""

    kind: str
    instrument: int
    side: int = 0
    price: int = 0
    quantity: int = 0
    reference: int = 0
    aux: int = 0
    status: int = 0


class Converter:
    """A feed that messages are given to."""

    def __init__(self, instruments: int = 8, orders: int = 8) -> None:
        self.feed: Feed = allocate_feed(instruments, orders)
        self.reading = allocate_reading(BODY_BYTES)
        self.out = np.zeros(out_bytes(BODY_BYTES, orders), np.uint8)
        self.flags: list[int] = []

    def convert(self, messages: Sequence[bytes], *, after_loss: bool = False) -> list[Record]:
        """The records of the messages; `flags` are theirs."""
        buf = np.frombuffer(bytearray(b"".join(messages) + MARGIN), np.uint8)
        table = np.zeros((len(Column), len(messages)), np.int64)
        table[Column.IS_AFTER_LOSS, 0] = after_loss
        cursor = np.zeros(len(Cursor), np.int64)
        blocks = bytearray()
        status, stop = Status.OUTPUT_FULL, len(buf) - len(MARGIN)
        while status == Status.OUTPUT_FULL:
            status = Status(
                int(convert_nb(buf, stop, self.reading, self.feed, table, cursor, self.out))
            )
            blocks += self.out[: self.feed.meta[Meta.OUT_AT]].tobytes()
            self.feed.meta[Meta.OUT_AT] = 0
        assert status == Status.OK
        rows = [
            RECORD.decode(bytes(blocks[at + LENGTH_BYTES : at + BLOCK_BYTES]))
            for at in range(0, len(blocks), BLOCK_BYTES)
        ]
        assert int(table[Column.RECORDS].sum()) == len(rows)
        self.flags = [int(row["flags"]) for row in rows]
        return [_record(row) for row in rows]


def _record(row: Any) -> Record:
    names = ("instrument", "side", "price", "quantity", "reference", "aux", "status")
    return Record(Kind(row["kind"]).name, *(int(row[name]) for name in names))
