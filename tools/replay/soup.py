"""The messages of a capture of SoupBinTCP sessions, numbered, as packets for a replay.

A message's number is counted from the one that Login Accepted announced. Behind a hole nobody knows
how many messages went by, so what comes after it is used only where no other connection of the
session tells better, and is numbered as if one message were missing: a gap, of one at least. A
connection whose login was not captured is used when no other has one; its first message is 1.
Snapshots (GLIMPSE) come by SoupBinTCP as well, with numbers of their own; they are left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from protocols.errors import RemoteProtocolError, Status
from protocols.glimpse.spec import END_OF_SNAPSHOT, END_OF_SNAPSHOT_TYPE
from protocols.itch50.spec import LENGTHS
from protocols.moldudp64.spec import SEQUENCE_LIMIT, SESSION_BYTES
from protocols.pcap.flow import Chunk, Hole, Stream
from protocols.soupbintcp import spec
from protocols.soupbintcp.kernels import scan_sequenced_nb
from protocols.soupbintcp.kernels_find import find_packets_nb
from protocols.wire import Bytes
from tools.replay.soup_kernels import OVERHEAD_BYTES, pack_messages_nb

_BATCH = 65_536
_FIX_START = b"8=FIX"
_PACKETS_ENOUGH = 16
_JUDGE_BYTES = 4 * spec.PACKET_BYTES_MAX
"""A stream that shows no packet in so many bytes is something else, and is not kept."""
_MESSAGE_LENGTHS = np.array(LENGTHS, np.int64)
_MESSAGE_LENGTHS[END_OF_SNAPSHOT_TYPE] = END_OF_SNAPSHOT.length
_SKIPPED = (bytes((spec.UNSEQUENCED_DATA,)), spec.LOGIN_REJECTED.type.encode())
"""Packets of a server that are whole and mean nothing to the sequence."""


@dataclass(slots=True)
class SoupCounts:
    """What the streams held. `unused_messages` could not be numbered, or another connection has
    them; `other_session_messages` are of a session that is not replayed; `holes` and
    `missing_bytes` are those of the connections, `damaged` places where no packet follows the one
    before. `fix_streams` are directions of connections that begin with FIX.
    """

    connections: int = 0
    snapshots: int = 0
    messages: int = 0
    unused_messages: int = 0
    other_session_messages: int = 0
    holes: int = 0
    missing_bytes: int = 0
    damaged: int = 0
    fix_streams: int = 0

    def as_json(self) -> dict[str, int]:
        """The object under `streams` of a report."""
        return asdict(self)


@dataclass(slots=True)
class _Part:
    """Bytes of a stream without a hole; those up to `stops[i]` were there at `times_ns[i]`."""

    data: bytearray = field(default_factory=bytearray)
    stops: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)

    def add(self, ts_ns: int, data: bytes) -> None:
        self.data += data
        self.stops.append(len(self.data))
        self.times_ns.append(ts_ns)


@dataclass(slots=True)
class _Run:
    """Messages that follow one another: i64[3, n] of ts_ns, at, size in `buf`. `session` and `seq`
    (of the first one) are None where no login told them.
    """

    buf: Bytes
    messages: NDArray[np.int64]
    session: str | None
    seq: int | None

    @property
    def size(self) -> int:
        return self.messages.shape[1]

    def is_snapshot(self) -> bool:
        """Whether the message that ends a snapshot is among them."""
        _, at, size = self.messages
        ends = size == END_OF_SNAPSHOT.length
        return bool((self.buf[at[ends]] == END_OF_SNAPSHOT_TYPE).any())


class _Connection:
    """What one stream brought so far."""

    def __init__(self) -> None:
        self.parts = [_Part()]
        self.starts_inside = False
        self.is_other = False
        self.is_fix = False
        self.holes = 0
        self.missing_bytes = 0
        self._is_judged = False

    def add(self, chunk: Chunk) -> None:
        """Keep the next bytes, or begin anew behind a hole."""
        if self.is_other:
            return
        if isinstance(chunk.data, Hole):
            if chunk.data.size_bytes is None:
                self.starts_inside = True
                return
            self.holes += 1
            self.missing_bytes += chunk.data.size_bytes
            self.parts.append(_Part())
            return
        part = self.parts[-1]
        part.add(chunk.ts_ns, chunk.data)
        if len(self.parts) == 1 and part.data.startswith(_FIX_START):
            self.is_other = self.is_fix = True
            self.parts = []
            return
        if not self._is_judged and len(part.data) >= _JUDGE_BYTES:
            self._is_judged = True
            if _PartReader(part, None).find(0) < 0:
                self.is_other = True
                self.parts = []

    def runs(self, counts: SoupCounts) -> Iterator[_Run]:
        """The messages, a run after each login, hole and damage."""
        session: str | None = None
        for number, part in enumerate(self.parts):
            reader = _PartReader(part, session)
            if number or self.starts_inside:
                reader.at = reader.find(0)
            yield from reader.runs()
            session = reader.session
            counts.damaged += reader.damaged


class _PartReader:
    """Reads packets from `at` on; -1 is the end."""

    def __init__(self, part: _Part, session: str | None) -> None:
        self.at = 0
        self.session = session
        self.damaged = 0
        self._part = part
        self._buf = np.frombuffer(part.data or bytearray(1), np.uint8)
        self._stop = len(part.data)
        self._seq: int | None = None
        self._spans = [np.zeros((2, 0), np.int64)]

    def find(self, start: int) -> int:
        """Where the next packet stands for certain, from `start` on; -1 if nowhere."""
        return int(find_packets_nb(self._buf, start, self._stop, _MESSAGE_LENGTHS, _PACKETS_ENOUGH))

    def runs(self) -> Iterator[_Run]:
        """Messages up to each login and each damage, and those after the last of them."""
        span = np.zeros((2, _BATCH), np.int64)
        while self.at >= 0:
            found, used, status = scan_sequenced_nb(
                self._buf, self.at, self._stop, span[0], span[1], _BATCH
            )
            self._spans.append(span[:, :found].copy())
            self.at += int(used)
            if status == Status.OUTPUT_FULL:
                continue
            if status in (Status.OK, Status.END_OF_SESSION):
                break
            yield from self._take_other_packet()
        yield from self._take_run()

    def _take_other_packet(self) -> Iterator[_Run]:
        """At a packet that is no message: a login begins a new run, as damage does."""
        head = self._part.data[self.at : self.at + spec.FRAME_BYTES]
        packet_bytes = spec.LENGTH_BYTES + int.from_bytes(head[: spec.LENGTH_BYTES], "big")
        packet = self._part.data[self.at + spec.LENGTH_BYTES : self.at + packet_bytes]
        if packet[:1] == spec.LOGIN_ACCEPTED.type.encode():
            login = _read_login(bytes(packet))
            if login is not None:
                yield from self._take_run()
                self.session, self._seq = login
                self.at += packet_bytes
                return
        elif packet[:1] in _SKIPPED:
            self.at += packet_bytes
            return
        yield from self._take_run()
        self.damaged += 1
        self._seq = None
        self.at = self.find(self.at + 1)

    def _take_run(self) -> Iterator[_Run]:
        spans, self._spans = np.concatenate(self._spans, axis=1), [np.zeros((2, 0), np.int64)]
        if spans.shape[1]:
            whole_at = np.searchsorted(self._part.stops, spans[0] + spans[1])
            times_ns = np.array(self._part.times_ns, np.int64)[whole_at]
            messages = np.vstack((times_ns, spans))
            yield _Run(self._buf, messages, self.session, self._seq)


def _read_login(packet: bytes) -> tuple[str, int] | None:
    """Session and first sequence number of a Login Accepted; None when it is not well formed."""
    try:
        fields = spec.LOGIN_ACCEPTED.decode(packet)
    except RemoteProtocolError:
        return None
    digits = str(fields["sequence_number"]).strip()
    if not (digits.isascii() and digits.isdigit() and int(digits) < SEQUENCE_LIMIT):
        return None
    return str(fields["session"]).strip(), int(digits)


@dataclass(frozen=True, slots=True)
class SoupPackets:
    """Packets for `replay_datagrams_nb`: `packets` i64[4, n] of ts_ns, at, size, line in `buf`, by
    time. Lines are the connections: 0 the first that has messages, 1 the others.
    """

    buf: Bytes
    packets: NDArray[np.int64]
    counts: SoupCounts


def read_sessions(chunks: Iterable[Chunk], session: str = "") -> SoupPackets:
    """All messages of a session that SoupBinTCP servers sent in the streams of a capture: of
    `session`, or of the one that comes first where it is "".
    """
    connections: dict[Stream, _Connection] = {}
    for chunk in chunks:
        connections.setdefault(chunk.flow, _Connection()).add(chunk)
    counts = SoupCounts()
    lines: list[list[_Run]] = []
    for connection in connections.values():
        counts.fix_streams += connection.is_fix
        damaged = counts.damaged
        runs = list(connection.runs(counts))
        if not runs:
            # Damage in what shows no message is no damage: it is the client's side, or no session.
            counts.damaged = damaged
        elif any(run.is_snapshot() for run in runs):
            counts.snapshots += 1
        else:
            counts.connections += 1
            counts.holes += connection.holes
            counts.missing_bytes += connection.missing_bytes
            lines.append(runs)
    numbered = list(_number_runs(lines, counts))
    if not session and numbered:
        first = min((run for _, run in numbered), key=lambda run: int(run.messages[0, 0]))
        session = first.session or ""
    return _pack(_of_session(numbered, session, counts), session, counts)


def _number_runs(lines: list[list[_Run]], counts: SoupCounts) -> Iterator[tuple[int, _Run]]:
    """Each run that is used, with its connection's place; all of them have a number then."""
    owners = _owners(lines)
    unnumbered = -1
    if not owners and lines:
        unnumbered = max(range(len(lines)), key=lambda line: sum(run.size for run in lines[line]))
    for line, runs in enumerate(lines):
        next_seq = 0
        for run in runs:
            is_owner = line == unnumbered or (
                run.session is not None and owners.get(run.session, (0, -1))[1] == line
            )
            if run.seq is None and is_owner:
                run.seq = next_seq + 1
            if run.seq is None:
                counts.unused_messages += run.size
                continue
            next_seq = run.seq + run.size
            yield line, run


def _owners(lines: list[list[_Run]]) -> dict[str, tuple[int, int]]:
    """By session: the end of the highest run whose number is known, and the connection of it."""
    owners: dict[str, tuple[int, int]] = {}
    for line, runs in enumerate(lines):
        for run in runs:
            if run.session is not None and run.seq is not None:
                end = run.seq + run.size
                if end > owners.get(run.session, (-1, -1))[0]:
                    owners[run.session] = (end, line)
    return owners


def _of_session(
    runs: list[tuple[int, _Run]], session: str, counts: SoupCounts
) -> Iterator[tuple[int, _Run]]:
    """The runs of the session, or of none."""
    for line, run in runs:
        if run.session in (session, None):
            counts.messages += run.size
            yield line, run
        else:
            counts.other_session_messages += run.size


def _pack(runs: Iterable[tuple[int, _Run]], session: str, counts: SoupCounts) -> SoupPackets:
    name = np.frombuffer(bytearray(session.encode("latin-1").ljust(SESSION_BYTES)), np.uint8)
    bufs, tables = [np.zeros(1, np.uint8)], [np.zeros((4, 0), np.int64)]
    size_bytes = 1
    latest: dict[int, int] = {}
    for line, run in runs:
        messages = run.messages
        # Time goes back in some captures; the order of a stream is certain.
        messages[0] = np.maximum(np.maximum.accumulate(messages[0]), latest.get(line, 0))
        latest[line] = int(messages[0, -1])
        out = np.zeros(int(messages[2].sum()) + run.size * OVERHEAD_BYTES, np.uint8)
        packets = np.zeros((4, run.size), np.int64)
        count = pack_messages_nb(run.buf, messages, run.seq or 0, name, out, packets)
        packets = packets[:, :count]
        used = int(packets[1, -1] + packets[2, -1])
        packets[1] += size_bytes
        packets[3] = min(list(latest).index(line), 1)
        size_bytes += used
        bufs.append(out[:used])
        tables.append(packets)
    table = np.concatenate(tables, axis=1)
    by_time = np.argsort(table[0], kind="stable")
    return SoupPackets(np.concatenate(bufs), np.ascontiguousarray(table[:, by_time]), counts)
