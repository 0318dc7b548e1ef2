"""What the FIX kernels make of bytes, as plain Python to compare with `slow_fix`."""

from dataclasses import dataclass

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_views import read_message_nb
from protocols.fix.layout import Counter, Decoder, allocate_decoder
from protocols.fix.views import ROW_HEADER, ColumnKind, View, allocate_rows
from tests.reference.slow_fix import Field, Row

BODY_BYTES_MAX = 2_000
ROOM = 64
# Digits, separators and starts: what a kernel that reads beyond the end would take for more.
BEYOND = (b"\x0110=000\x018=FIX.4.4\x019=5\x0135=0\x01" * 4)[:ROOM]


@dataclass
class Decoded:
    """One message: where it is, how the kernels ended, and its fields."""

    start: int
    end: int
    msg_type: int
    fields: list[Field]
    status: Status
    fault_at: int


def as_buffer(data: bytes, room: int = ROOM) -> np.ndarray:
    """The bytes with `room` other bytes after them."""
    return np.frombuffer(data + BEYOND[:room], np.uint8).copy()


def messages_of(decoder: Decoder, count: int) -> list[Decoded]:
    """The messages of the last call."""
    found = []
    for frame in decoder.frames[:count]:
        span = range(frame["first"], frame["first"] + frame["count"])
        fields = [
            (int(decoder.tags[i]), int(decoder.starts[i]), int(decoder.ends[i])) for i in span
        ]
        status = Status(frame["status"])
        where = (int(frame[name]) for name in ("start", "end", "msg_type"))
        found.append(Decoded(*where, fields, status, int(frame["fault_at"])))
    return found


def decode_all(
    data: bytes, decoder: Decoder, room: int = ROOM, at: int = 0
) -> tuple[list[Decoded], int, Status]:
    """Every message from `at` on; where the rest begins, and the last status."""
    buf = as_buffer(data, room)
    found: list[Decoded] = []
    status = Status.OUTPUT_FULL
    while status is Status.OUTPUT_FULL:
        count, used, code = decode_nb(buf, at, len(data), decoder)
        status = Status(code)
        assert used > 0 or status is not Status.OUTPUT_FULL
        at += used
        found += messages_of(decoder, count)
    return found, at, status


def small_decoder(**settings: int) -> Decoder:
    """A decoder for short messages."""
    return allocate_decoder(**{"body_bytes_max": BODY_BYTES_MAX, **settings})


def counted(decoder: Decoder) -> dict[str, int]:
    """Counts by the names of `slow_fix.Frames`."""
    names = ("garbled_runs", "garbled_bytes", "bad_headers", "bad_lengths", "bad_checksums")
    return {name: int(decoder.counts[Counter[name.upper()]]) for name in names}


def row_of(row: np.void, view: View) -> Row:
    """A row of a view as the slow twin has it; `wrong` holds where the first fault is."""
    found = Row()
    for i, column in enumerate(view.columns):
        names = [column.name]
        if column.kind is ColumnKind.TEXT:
            names = [f"{column.name}_at", f"{column.name}_end"]
        held = tuple(int(row[name]) for name in names)
        if row["present"] >> i & 1:
            found.values[column.name] = held if len(held) > 1 else held[0]
        else:
            assert not any(held), "a column that is not there is 0"
    if row["status"] != Status.OK:
        assert row["status"] == Status.BAD_VALUE
        found.wrong.append((int(row["fault_at"]), int(row["fault_at"])))
    else:
        assert row["fault_at"] == -1
    assert not row["present"] >> len(view.columns)
    return found


def assert_rows(found: list[Row], expected: list[Row]) -> None:
    """The same values, and the first fault where the twin has one."""
    assert [row.values for row in found] == [row.values for row in expected]
    for row, twin in zip(found, expected, strict=True):
        assert bool(row.wrong) == bool(twin.wrong)
        if twin.wrong:
            first, last = min(twin.wrong)
            assert first <= row.wrong[0][0] <= last


def read_rows(
    data: bytes, decoder: Decoder, frame: int, view: View, limit: int = 64
) -> tuple[list[Row], Status]:
    """Rows of one frame of the last call, by `read_message_nb`."""
    rows, words = allocate_rows(view, limit)
    rows.view(np.uint8)[:] = 0xA5
    count, status = read_message_nb(as_buffer(data), decoder, frame, view.table(), words, 0)
    assert len(words) == limit * (len(rows.dtype) if rows.dtype.names else 0)
    assert rows.dtype.names is not None
    assert rows.dtype.names[: len(ROW_HEADER)] == tuple(name for name, _ in ROW_HEADER)
    assert all(row["frame"] == frame for row in rows[:count])
    return [row_of(row, view) for row in rows[:count]], Status(status)
