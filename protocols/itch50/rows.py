"""All fields of all messages as rows of native numbers: a table a type.

    bytes ──► blocks ──► starts by type ──► rows of A, rows of D, …      (one load, one permutation
              index      sort               write                         and one store a message)

A row holds the fields of its message under the specification's names, widest first, as native
integers: prices as they stand on the wire (1e-4, 1e-8 of a dollar), times in nanoseconds since
midnight, text as bytes with its padding. The type byte is the name of the table. Rows of
a type are in the order of the feed; `starts` gives the order between types.
Source: TotalView-ITCH 5.0; every layout derives from `spec.py`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.binaryfile.kernels import LENGTH_BYTES, index_many_nb
from protocols.errors import Status
from protocols.itch50.spec import LENGTHS, MESSAGES
from protocols.jit import kernel, outline_kernel
from protocols.message import Field, Message
from protocols.permute import VECTOR_BYTES, Layout, row_writer
from protocols.wire import Bytes

_ROW_ALIGNMENT = 8
_INTEGERS = {1: "u1", 2: "u2", 4: "u4", 6: "u8", 8: "u8"}


def _native_type(item: Field) -> str:
    return f"S{item.width}" if item.type == "alpha" else _INTEGERS[item.size_bytes]


def row_dtype(message: Message) -> np.dtype[np.void]:
    """Row of a message: every field but the type byte, widest integers first and text last."""
    fields = [(item.name, _native_type(item)) for item in message.fields[1:]]
    fields.sort(key=lambda field: (field[1][0] == "S", -np.dtype(field[1]).itemsize))
    offsets = np.cumsum([0] + [np.dtype(kind).itemsize for _, kind in fields]).tolist()
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [kind for _, kind in fields],
            "offsets": offsets[:-1],
            "itemsize": -(-offsets[-1] // _ROW_ALIGNMENT) * _ROW_ALIGNMENT,
        }
    )


def _row_offset(row: np.dtype[np.void], name: str) -> int:
    """Where a field begins in its row."""
    columns: Any = row.fields
    offset: int = columns[name][1]
    return offset


def _layout(message: Message, row: np.dtype[np.void]) -> Layout:
    """The byte of the message that each byte of its row is: integers turned round, text not."""
    sources = [-1] * row.itemsize
    for item in message.fields[1:]:
        to = _row_offset(row, item.name)
        for i in range(item.size_bytes):
            # The host is little-endian, as every host that Numba supports.
            at = i if item.type == "alpha" else item.size_bytes - 1 - i
            sources[to + i] = item.offset + at
    return Layout(tuple(sources))


ROWS = {message.type: row_dtype(message) for message in MESSAGES}
"""Row of each message, by type byte."""

OTHER = len(MESSAGES)
"""Where `sort_by_type_nb` puts what is no message of the table, or not of its length."""

_LAYOUTS = tuple(_layout(message, ROWS[message.type]) for message in MESSAGES)
_LENGTHS = np.array(LENGTHS, np.int64)
_PLACES = np.full(256, OTHER, np.int64)
for _place, _message in enumerate(MESSAGES):
    _PLACES[ord(_message.type)] = _place
_ROW_BYTES = np.array([len(layout.sources) for layout in _LAYOUTS], np.int64)
_SOURCES = np.full((OTHER, VECTOR_BYTES), -1, np.int64)
for _place, _found in enumerate(_LAYOUTS):
    _SOURCES[_place, : len(_found.sources)] = _found.sources

_write_rows = row_writer(_LAYOUTS)


class Scratch(NamedTuple):
    """Memory of a decoder that takes `m` messages at a time: blocks i64[m + 1], starts
    i64[OTHER + 1, m], counts i64[OTHER + 1].
    """

    blocks: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]


def allocate_scratch(messages: int) -> Scratch:
    """Scratch memory for `messages` messages at a time."""
    return Scratch(
        np.zeros(messages + 1, np.int64),
        np.zeros((OTHER + 1, messages), np.int64),
        np.zeros(OTHER + 1, np.int64),
    )


@kernel
def sort_by_type_nb(buf: Bytes, count: int, scratch: Scratch) -> None:
    """Deal the messages of `count` blocks to `starts`, by their places in the table, and count
    them.

    No branch depends on the type: which one follows, no processor can foretell.
    """
    counts = scratch.counts
    counts[:] = 0
    for i in range(count):
        start = scratch.blocks[i] + LENGTH_BYTES
        code = buf[np.uint64(start)]
        length = scratch.blocks[i + 1] - start
        place = _PLACES[code] if _LENGTHS[code] == length else np.int64(OTHER)
        scratch.starts[place, counts[place]] = start
        counts[place] += 1


@kernel
def _write_row_nb(buf: Bytes, start: int, out: Bytes, out_at: int, place: int) -> None:
    """One row, byte by byte: for messages so near the end of `buf` that no vector can be read."""
    for i in range(_ROW_BYTES[place]):
        source = _SOURCES[place, i]
        out[out_at + i] = buf[start + source] if source >= 0 else 0


@outline_kernel
def write_tables_nb(buf: Bytes, scratch: Scratch, out: Bytes, table_at: NDArray[np.int64]) -> None:
    """Append the sorted messages to their tables.

    Shapes:  out u8[k]; table_at i64[OTHER], where in `out` the next row of each table goes: moved
             on; behind each table VECTOR_BYTES are free.
    """
    last_safe = buf.shape[0] - VECTOR_BYTES
    for place in range(OTHER):
        count = scratch.counts[place]
        whole = count
        while whole > 0 and scratch.starts[place, whole - 1] > last_safe:
            whole -= 1
        at = table_at[place]
        _write_rows(buf, scratch.starts[place], whole, out, at, np.int64(place))
        for i in range(whole, count):
            start = scratch.starts[place, i]
            _write_row_nb(buf, start, out, at + i * _ROW_BYTES[place], place)
        table_at[place] = at + count * _ROW_BYTES[place]


@outline_kernel
def count_types_nb(
    buf: Bytes, start: int, scratch: Scratch, totals: NDArray[np.int64]
) -> tuple[int, int]:
    """Count the messages of a BinaryFILE from buf[start] by place in the table, to the end of the
    session or the first byte that is no whole message; (where that is, status).
    """
    at = np.int64(start)
    while True:
        count, used, status = index_many_nb(buf, at, buf.shape[0], _LENGTHS, scratch.blocks)
        sort_by_type_nb(buf, count, scratch)
        for place in range(OTHER + 1):
            totals[place] += scratch.counts[place]
        at += used
        if status != Status.OUTPUT_FULL:
            return at, status


@outline_kernel
def decode_tables_nb(
    buf: Bytes, start: int, scratch: Scratch, out: Bytes, table_at: NDArray[np.int64]
) -> tuple[int, int, int]:
    """The next messages of a BinaryFILE from buf[start], as many as `scratch` takes, to their
    tables: (messages, bytes used, status) as `index_messages_nb` of a BinaryFILE gives them.
    """
    count, used, status = index_many_nb(buf, start, buf.shape[0], _LENGTHS, scratch.blocks)
    sort_by_type_nb(buf, count, scratch)
    write_tables_nb(buf, scratch, out, table_at)
    return count, used, status


_MESSAGES_AT_ONCE = 4_096
"""What lies between the steps then stays in the cache: 4.7 ns a message; 5.2 ns with 65,536 (AMD
EPYC, 2 cores, Numba 0.68.1)."""


class Tables(NamedTuple):
    """A session: by type its rows and where in the bytes each message begins (i64, ascending), the
    same of what is no message of the table, where the session ends, and what ended it.
    """

    rows: dict[str, NDArray[np.void]]
    starts: dict[str, NDArray[np.int64]]
    other_starts: NDArray[np.int64]
    end: int
    status: Status


def decode_session(buf: Bytes, start: int = 0) -> Tables:
    """All messages of the session of a BinaryFILE that begins at buf[start].

    Status: OK at the end of the bytes, END_OF_SESSION (another one may begin at `end`), or
    TRUNCATED: what is left at `end` is no whole message.
    """
    scratch = allocate_scratch(_MESSAGES_AT_ONCE)
    totals = np.zeros(OTHER + 1, np.int64)
    end, status = count_types_nb(buf, start, scratch, totals)
    sizes = totals[:OTHER] * _ROW_BYTES + VECTOR_BYTES
    first_at = np.cumsum(sizes) - sizes
    out, table_at = np.empty(int(sizes.sum()), np.uint8), first_at.copy()
    starts: list[list[NDArray[np.int64]]] = [[] for _ in range(OTHER + 1)]
    at = start
    while True:
        _, used, last = decode_tables_nb(buf, at, scratch, out, table_at)
        for place, count in enumerate(scratch.counts.tolist()):
            if count:
                starts[place].append(scratch.starts[place, :count].copy())
        at += used
        if last != Status.OUTPUT_FULL:
            break
    merged = [np.concatenate(found) if found else np.zeros(0, np.int64) for found in starts]
    rows, starts_of = {}, {}
    for place, message in enumerate(MESSAGES):
        table = out[first_at[place] : table_at[place]]
        rows[message.type] = table.view(ROWS[message.type])
        starts_of[message.type] = merged[place]
    return Tables(rows, starts_of, merged[OTHER], int(end), Status(status))
