"""The FIX market data of a capture or file as packets of records for a replay.

    streams, lines ──► messages with their headers ──► one session in its order ──► W and X, one
    behind the other ──► records (`adapters.fix_md`) ──► MoldUDP64 packets

A session is a pair of CompIDs in one direction, in as many connections as it took. The one with the
most W and X is replayed; market data of others is counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.fix_md.layout import NAME_BYTES, Feed, Meta, Trouble, allocate_feed, allocate_reading
from adapters.fix_md.messages import Column, Cursor, convert_nb, out_bytes
from adapters.fix_md.normalise import LENGTH_BYTES
from adapters.fix_md.records import BLOCK_BYTES
from adapters.fix_md.spec import RECORD_BYTES
from feedhandler.core.book.layout import BOOK_TICK_E9, KEY_MAX
from protocols.binaryfile.reader import DataFileError, load_readable_bytes
from protocols.errors import Status
from protocols.fix.framing import checksum
from protocols.fix.kernels import decode_nb
from protocols.fix.layout import Counter, Decoder, allocate_decoder
from protocols.moldudp64.spec import SESSION_BYTES
from protocols.pcap.flow import Chunk, Hole, Stream
from protocols.wire import Bytes
from tools.decode.entries import Fault
from tools.decode.fix import FixLinesDecoder, frame_problem
from tools.decode.streams import DECISIVE_BYTES, looks_like_fix
from tools.replay.fix_kernels import SESSION_VIEW, copy_messages_nb, read_headers_nb
from tools.replay.fix_session import HEADER, is_market_data, order_messages
from tools.replay.soup_kernels import OVERHEAD_BYTES, pack_messages_nb

SESSION = b"FIX".ljust(SESSION_BYTES)
"""The session of the packets."""
ORDERS_MAX = 1 << 20
_MESSAGE_BYTES_MAX = 1 << 20
_MARGIN = bytes(64)
_WINDOW_BYTES = 1 << 30
"""Positions of tokens have 31 bits."""
_SEQ_MAX = 1 << 62
"""What a message is numbered beyond counts as no number: nothing could follow it."""
_NS_PER_DAY = 86_400_000_000_000
_WIDTH = SESSION_VIEW.dtype.itemsize // 8
_START = b"8=FIX"
_STATED_VERSION = b"FIX.4.4"


@dataclass(slots=True)
class FixCounts:
    """What the FIX held. `session` is the pair of CompIDs that is replayed, `session_messages` are
    all of its messages, of which `duplicates` came twice and `resent` filled holes; `malformed` are
    stretches that are no message, `incomplete` messages that a hole or the end cuts,
    `other_lines` lines of a log without a message;
    `other_session_messages` are W and X of `other_sessions`. `holes` and `missing_bytes` are those
    of the connections. `price_ranges` are symbols with prices too fine and too high for one book,
    `entries` are by MDEntryType, `troubles` by reason, `books_in_doubt` those at the end.
    """

    session: str = ""
    connections: int = 0
    session_messages: int = 0
    duplicates: int = 0
    resent: int = 0
    gaps: int = 0
    missing_messages: int = 0
    malformed: int = 0
    incomplete: int = 0
    other_lines: int = 0
    other_sessions: int = 0
    other_session_messages: int = 0
    holes: int = 0
    missing_bytes: int = 0
    symbols: int = 0
    price_ranges: int = 0
    books_in_doubt: int = 0
    entries: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """The object under `fix` of a report."""
        return asdict(self)


@dataclass(slots=True)
class FixPart:
    """Bytes of a stream without a hole, or of a file; those up to `stops[i]` were there at
    `times_ns[i]`, which is empty where nobody noted the time.
    """

    data: bytearray = field(default_factory=bytearray)
    stops: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)


class _Connection:
    """What one stream brought so far, as long as it may be FIX."""

    def __init__(self) -> None:
        self.parts = [FixPart()]
        self.is_other = False
        self.holes = 0
        self.missing_bytes = 0

    def add(self, chunk: Chunk) -> None:
        if self.is_other:
            return
        if isinstance(chunk.data, Hole):
            if chunk.data.size_bytes is not None:
                self.holes += 1
                self.missing_bytes += chunk.data.size_bytes
                self.parts.append(FixPart())
            return
        part = self.parts[-1]
        part.data += chunk.data
        part.stops.append(len(part.data))
        part.times_ns.append(chunk.ts_ns)
        is_first = len(self.parts) == 1 and len(part.data) - len(chunk.data) < DECISIVE_BYTES
        if is_first and not looks_like_fix(part.data) and len(part.data) >= DECISIVE_BYTES:
            self.is_other = True
            self.parts = []


class FixStreams:
    """The streams of a capture that are FIX; chunks go through `watch` on their way elsewhere."""

    def __init__(self) -> None:
        self._connections: dict[Stream, _Connection] = {}

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """The chunks, unchanged."""
        for chunk in chunks:
            self._connections.setdefault(chunk.flow, _Connection()).add(chunk)
            yield chunk

    def records(self, instruments: int, orders: int) -> "FixRecords":
        """Records of the session with the most market data."""
        reader = _Reader()
        for connection in self._connections.values():
            found = [reader.read(part) for part in connection.parts]
            if any(found):
                reader.counts.holes += connection.holes
                reader.counts.missing_bytes += connection.missing_bytes
            reader.end_stream()
        return reader.records(instruments, orders)


def read_fix_file(
    path: Path, framing: str, instruments: int, orders: int
) -> tuple["FixRecords", DataFileError | None]:
    """Records of a FIX stream or log, and what is wrong with the file."""
    buf, fault = load_readable_bytes(path)
    reader = _Reader()
    if framing == "stream":
        reader.read(FixPart(bytearray(buf.data)))
        if reader.counts.incomplete and fault is None:
            fault = DataFileError(path, reader.incomplete_at, "the file ends within a message")
    else:
        reader.read(FixPart(_join_lines(buf, reader.counts)))
    reader.end_stream()
    return reader.records(instruments, orders), fault


def _join_lines(buf: Bytes, counts: FixCounts) -> bytearray:
    """The sound messages of a log, one behind the other; a line without header and trailer gets
    them.
    """
    lines, joined = FixLinesDecoder(), bytearray()
    entries = lines.feed(buf.tobytes())
    entries += lines.finish()[0]
    counts.other_lines = lines.counts["line_without_message"]
    for entry in entries:
        raw = entry.raw
        if not isinstance(entry.reader, Fault) and not raw.startswith(_START):
            raw = b"8=%b\x019=%d\x01%b" % (_STATED_VERSION, len(raw), raw)
            raw += b"10=%03d\x01" % checksum(raw)
        if isinstance(entry.reader, Fault) or frame_problem(raw):
            counts.malformed += 1
        else:
            joined += raw
    return joined


class _Messages(NamedTuple):
    """Messages of one stream: where they are in `buf`, when they came, and what is in them."""

    buf: Bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    ts_ns: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    keys: NDArray[np.int64]
    exchange_ns: NDArray[np.int64]
    headers: NDArray[np.void]
    names: dict[int, str]


@dataclass(slots=True)
class FixRecords:
    """Packets for `replay_datagrams_nb`: `packets` i64[4, n] of ts_ns, at, size, line in `buf`.

    `feed` is the state after the last record; `ordinals` i64[records] says which message of its
    stream each record is of, counted from 1; `types` counts the messages W and X.
    """

    buf: Bytes
    packets: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    feed: Feed
    types: dict[str, int]
    counts: FixCounts


class _Reader:
    """Reads streams, one after the other, and makes records of one of their sessions."""

    def __init__(self) -> None:
        self.counts = FixCounts()
        self._decoder: Decoder = allocate_decoder(_MESSAGE_BYTES_MAX)
        self._streams: list[list[_Messages]] = []
        self._stream: list[_Messages] = []
        self._ordinal = 0
        self.incomplete_at = 0

    def end_stream(self) -> None:
        """What is read from now on is another stream."""
        if self._stream:
            self._streams.append(self._stream)
        self._stream, self._ordinal = [], 0

    def read(self, part: FixPart) -> bool:
        """Find the messages of one stretch of a stream; whether there are any."""
        size = len(part.data)
        part.data += _MARGIN
        buf = np.frombuffer(part.data, np.uint8)
        base, is_any = 0, False
        while base < size:
            stop = min(size - base, _WINDOW_BYTES)
            messages, used = self._read_from(buf[base:], stop, is_last=base + stop == size)
            if len(messages.starts):
                self._stream.append(_with_times(messages, part, base))
                is_any = True
            base += used
        return is_any

    def _read_from(self, buf: Bytes, stop: int, *, is_last: bool) -> tuple[_Messages, int]:
        """Messages of buf[:stop], and how many bytes are done with; at the end of all bytes (and
        where a message is longer than the window), all of them.
        """
        decoder, table = self._decoder, SESSION_VIEW.table()
        limit = len(decoder.frames)
        words = np.zeros(limit * _WIDTH, np.int64)
        keys = np.zeros(limit, np.int64)
        tables: list[tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]] = []
        names: dict[int, str] = {}
        garbled = int(decoder.counts[Counter.GARBLED_RUNS])
        at = 0
        while at < stop:
            frames, used, status = decode_nb(buf, at, stop, decoder)
            at += int(used)
            if frames:
                read_headers_nb(buf, decoder, frames, table, words, keys)
                rows = words[: frames * _WIDTH].view(SESSION_VIEW.dtype)
                for key in set(keys[:frames].tolist()) - names.keys():
                    row = rows[int(np.flatnonzero(keys[:frames] == key)[0])]
                    names[key] = _session_name(buf, row)
                tables.append((decoder.frames[:frames].copy(), rows.copy(), keys[:frames].copy()))
            elif status == Status.TRUNCATED:
                if not is_last and at > 0:
                    break
                # The end, or a length that lies: messages may follow.
                rest = buf[at + 1 : stop].tobytes().find(_START)
                self.counts.incomplete += rest < 0
                self.counts.malformed += rest >= 0
                self.incomplete_at = at
                at = stop if rest < 0 else at + 1 + rest
                decoder.counts[Counter.GARBLED_IN_ROW] = decoder.counts[Counter.SEARCHED] = 0
        self.counts.malformed += int(decoder.counts[Counter.GARBLED_RUNS]) - garbled
        decoder.counts[Counter.GARBLED_IN_ROW] = decoder.counts[Counter.SEARCHED] = 0
        return self._messages(buf, tables, names), at

    def _messages(
        self,
        buf: Bytes,
        tables: list[tuple[NDArray[np.void], NDArray[np.void], NDArray[np.int64]]],
        names: dict[int, str],
    ) -> _Messages:
        empty = (
            self._decoder.frames[:0],
            np.zeros(0, SESSION_VIEW.dtype),
            np.zeros(0, np.int64),
        )
        frames, rows, keys = (np.concatenate(column) for column in zip(empty, *tables, strict=True))
        headers = np.zeros(len(frames), HEADER)
        for name, source in (
            ("seq", "msg_seq_num"),
            ("sending_ts_ns", "sending_ts_ns"),
            ("poss_dup", "poss_dup"),
            ("new_seq", "new_seq_no"),
            ("gap_fill", "gap_fill"),
            ("reset", "reset_seq_num"),
        ):
            headers[name] = rows[source]
        headers["msg_type"] = frames["msg_type"]
        for name in ("seq", "new_seq"):
            headers[name][headers[name] > _SEQ_MAX] = 0
        first = rows["orig_sending_ts_ns"]
        ordinals = self._ordinal + 1 + np.arange(len(frames))
        self._ordinal += len(frames)
        return _Messages(
            buf,
            frames["start"].astype(np.int64),
            frames["end"].astype(np.int64),
            np.zeros(len(frames), np.int64),
            ordinals,
            keys,
            np.where(first > 0, first, rows["sending_ts_ns"]),
            headers,
            names,
        )

    def records(self, instruments: int, orders: int) -> FixRecords:
        """Records of the session with the most W and X, of the first of several."""
        sizes: dict[int, int] = {}
        for messages in (messages for stream in self._streams for messages in stream):
            for key in messages.keys[is_market_data(messages.headers)].tolist():
                sizes[key] = sizes.get(key, 0) + 1
        feed = allocate_feed(instruments, orders)
        if not sizes:
            nothing = np.zeros((4, 0), np.int64)
            return FixRecords(
                np.zeros(1, np.uint8), nothing, np.zeros(0, np.int64), feed, {}, self.counts
            )
        chosen = max(sizes, key=lambda key: sizes[key])
        self.counts.other_sessions = len(sizes) - 1
        self.counts.other_session_messages = sum(sizes.values()) - sizes[chosen]
        return self._records_of(chosen, feed)

    def _records_of(self, key: int, feed: Feed) -> FixRecords:
        parts = [
            (messages, np.flatnonzero(messages.keys == key))
            for stream in sorted(self._streams, key=lambda stream: int(stream[0].ts_ns[0]))
            for messages in stream
        ]
        self.counts.connections = sum(
            any((messages.keys == key).any() for messages in stream) for stream in self._streams
        )
        self.counts.session = next(m.names[key] for m, _ in parts if key in m.names)
        headers = np.concatenate([messages.headers[which] for messages, which in parts])
        order = order_messages(headers)
        self._note(order.duplicates, order.resent, order.gaps, order.missing, len(headers))
        is_data = is_market_data(headers[order.places])
        places = order.places[is_data]
        losses = np.concatenate([[0], np.cumsum(order.is_after_loss)])[1:][is_data]
        table = np.zeros((len(Column), len(places)), np.int64)
        table[Column.IS_AFTER_LOSS] = np.diff(losses, prepend=0) > 0
        exchange_ns = np.concatenate([m.exchange_ns[which] for m, which in parts])[places]
        table[Column.TS_EXCH_NS] = _known(exchange_ns) % _NS_PER_DAY
        ts_ns = np.concatenate([m.ts_ns[which] for m, which in parts])[places]
        ordinals = np.concatenate([m.ordinals[which] for m, which in parts])[places]
        if not ts_ns.any():
            ts_ns = exchange_ns
        buf, longest = _copy(parts, places)
        records = _convert(buf, longest, table, feed)
        self._note_feed(feed)
        which = np.repeat(np.arange(len(places)), table[Column.RECORDS])
        out, packets = _pack(records, np.maximum.accumulate(ts_ns)[which])
        types = {name: int(count) for name, count in zip("WX", feed.messages, strict=True) if count}
        return FixRecords(out, packets, ordinals[which], feed, types, self.counts)

    def _note(self, duplicates: int, resent: int, gaps: int, missing: int, messages: int) -> None:
        self.counts.duplicates, self.counts.resent = duplicates, resent
        self.counts.gaps, self.counts.missing_messages = gaps, missing
        self.counts.session_messages = messages

    def _note_feed(self, feed: Feed) -> None:
        counts = self.counts
        rows = feed.instruments[: feed.meta[Meta.INSTRUMENTS]]
        counts.symbols = len(rows)
        counts.books_in_doubt = int((rows["sound_in"] != feed.meta[Meta.EPOCH]).sum())
        counts.entries = {
            chr(code) if code else "": int(feed.types[code]) for code in feed.types.nonzero()[0]
        }
        counts.troubles = {
            trouble.name.lower(): int(feed.counts[trouble])
            for trouble in Trouble
            if feed.counts[trouble]
        }


def _session_name(buf: Bytes, row: np.void) -> str:
    def text(name: str) -> str:
        at, end = int(row[f"{name}_at"]), int(row[f"{name}_end"])
        return buf[at:end].tobytes().decode("latin-1")

    return f"{text('sender_comp_id')}>{text('target_comp_id')}"


def _with_times(messages: _Messages, part: FixPart, base: int) -> _Messages:
    """When the last byte of each message was there."""
    if not part.stops:
        return messages
    whole_at = np.searchsorted(part.stops, messages.ends + base)
    ts_ns = np.maximum.accumulate(np.array(part.times_ns, np.int64))[whole_at]
    return messages._replace(ts_ns=ts_ns)


def _known(exchange_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """A message without SendingTime has that of the one before."""
    known = np.maximum.accumulate(np.where(exchange_ns > 0, np.arange(len(exchange_ns)), -1))
    return np.where(known >= 0, exchange_ns[np.maximum(known, 0)], 0)


def _copy(
    parts: list[tuple[_Messages, NDArray[np.int64]]], places: NDArray[np.int64]
) -> tuple[Bytes, int]:
    """The messages at `places` one behind the other, with a margin, and the size of the longest."""
    starts = np.concatenate([m.starts[which] for m, which in parts])
    ends = np.concatenate([m.ends[which] for m, which in parts])
    owners = np.repeat(np.arange(len(parts)), [len(which) for _, which in parts])[places]
    spans = np.ascontiguousarray(np.stack([starts[places], ends[places]]))
    sizes = spans[1] - spans[0]
    out = np.zeros(int(sizes.sum()) + len(_MARGIN), np.uint8)
    at, first = 0, 0
    # Messages of one part mostly follow one another.
    for stop in [*(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(places)]:
        run = np.ascontiguousarray(spans[:, first:stop])
        at = int(copy_messages_nb(parts[int(owners[first])][0].buf, run, at, out))
        first = stop
    return out, int(sizes.max(initial=1))


def _convert(buf: Bytes, longest: int, table: NDArray[np.int64], feed: Feed) -> Bytes:
    """Records of all messages, with their lengths before them."""
    reading = allocate_reading(longest)
    out = np.zeros(out_bytes(longest, len(feed.orders)), np.uint8)
    cursor = np.zeros(len(Cursor), np.int64)
    stop = len(buf) - len(_MARGIN)
    pieces = []
    status = int(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL:
        status = int(convert_nb(buf, stop, reading, feed, table, cursor, out))
        pieces.append(out[: feed.meta[Meta.OUT_AT]].copy())
        feed.meta[Meta.OUT_AT] = 0
    if status != Status.OK:
        raise AssertionError(f"a message of {longest} bytes was not read again: {cursor}")
    return np.concatenate(pieces)


def _pack(records: Bytes, ts_ns: NDArray[np.int64]) -> tuple[Bytes, NDArray[np.int64]]:
    """The records, each with the time it came, as packets."""
    count = len(ts_ns)
    at = LENGTH_BYTES + BLOCK_BYTES * np.arange(count)
    spans = np.stack([ts_ns, at, np.full(count, RECORD_BYTES, np.int64)])
    out = np.zeros(count * (RECORD_BYTES + OVERHEAD_BYTES) + 1, np.uint8)
    packets = np.zeros((4, count), np.int64)
    name = np.frombuffer(SESSION, np.uint8).copy()
    used = pack_messages_nb(records, spans, np.int64(1), name, out, packets)
    return out, np.ascontiguousarray(packets[:, :used])


def price_steps(feed: Feed) -> Iterator[tuple[int, int, bool]]:
    """(instrument, step in 1e-9, whether its highest price fits then) of each book whose prices do
    not fit the usual step: the coarsest that they have.
    """
    for instrument in range(int(feed.meta[Meta.INSTRUMENTS])):
        row = feed.instruments[instrument]
        fits = row["price_max_e9"] <= KEY_MAX * BOOK_TICK_E9 and row["step_e9"] % BOOK_TICK_E9 == 0
        if not fits:
            step_e9 = int(row["step_e9"])
            yield instrument, step_e9, bool(row["price_max_e9"] <= KEY_MAX * step_e9)


def name_table(feed: Feed) -> NDArray[np.uint8]:
    """u8[symbols, 1 + NAME_BYTES]: the length of each symbol, and the symbol."""
    count = int(feed.meta[Meta.INSTRUMENTS])
    names = np.zeros((count, 1 + NAME_BYTES), np.uint8)
    names[:, 0] = feed.instruments["name_bytes"][:count]
    names[:, 1:] = feed.names[:count]
    return names
