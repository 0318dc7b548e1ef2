"""Capture files: as one table of UDP datagrams over the file's bytes (what a replay takes), or one
after another as datagrams and stretches of TCP streams.

A damaged file is no reason to lose what came before the damage: all up to it is given, and then the
fault says where it is and what it is. A file that cannot be read at all is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from protocols.binaryfile.reader import DataFileError
from protocols.pcap.flow import Chunk, Datagram, Endpoint, Flow, FlowKey, flow_of_key
from protocols.pcap.fragments import FragmentLimits
from protocols.pcap.kernels import DATAGRAM_COLUMNS, copy_datagrams_nb
from protocols.pcap.layout import Column, Kind
from protocols.pcap.source import Frames, FrameSource
from protocols.pcap.spec import Skip
from protocols.pcap.tcp import Segment, TcpAssembler, TcpCounts, TcpLimits
from protocols.wire import Bytes

_FLOWS_KEPT = 65_536
# Plain integers: an attribute of an enumeration costs as much as the rest of a row.
_TS_NS = int(Column.TS_NS)
_KIND = int(Column.KIND)
_NUMBER = int(Column.NUMBER)
_FLAGS = int(Column.FLAGS)
_CUT = int(Column.CUT)
_KEY = slice(int(Column.SOURCE_HIGH), int(Column.PORTS) + 1)
_TCP = int(Kind.TCP)


@dataclass(frozen=True, slots=True)
class Capture:
    """The UDP datagrams of a capture file, in its order; columns i64[datagrams].

    ts_ns       nanoseconds since the epoch, 0 where the file has no time (simple packet blocks)
    at, size    first byte and length of the payload in `buf`; from len(buf) on in `extra`, which
                holds what was put together from fragments
    flow        number of the destination in `flows`, which are in ascending order
    skipped     frames without a datagram by reason (all of them named, most of them 0)
    """

    buf: Bytes
    extra: Bytes
    ts_ns: NDArray[np.int64]
    at: NDArray[np.int64]
    size: NDArray[np.int64]
    flow: NDArray[np.int64]
    flows: tuple[Endpoint, ...]
    skipped: dict[str, int]
    fault: DataFileError | None

    def payload(self, index: int) -> bytes:
        """Bytes of the datagram in row `index`."""
        at, size = int(self.at[index]), int(self.size[index])
        source, start = (self.buf, at) if at < len(self.buf) else (self.extra, at - len(self.buf))
        return source[start : start + size].tobytes()


def open_capture(path: Path, fragments: FragmentLimits | None = None) -> Capture:
    """Index the datagrams of a pcap or pcapng file, plain (mapped), gzip or zstd (decompressed into
    memory).

    Raises:
        DataFileError: missing, unreadable, empty, no capture, damaged before its first record, or
            a classic file of a link type that is not supported. Later damage: see `Capture.fault`.
    """
    source = FrameSource(path, fragments)
    tables = []
    extra = bytearray()
    buf_bytes = len(source.buf)
    for frames in source.batches():
        table = np.empty((len(DATAGRAM_COLUMNS), len(frames.rows)), np.int64)
        count = copy_datagrams_nb(frames.rows, table)
        source.skipped[Skip.TCP] += len(frames.rows) - count
        if frames.extra:
            table[1, table[1] >= buf_bytes] += len(extra)
            extra += frames.extra
        tables.append(table[:, :count])
    ts_ns, at, size, high, low, ports = np.concatenate(tables, axis=1)
    flow, flows = _number_destinations(high, low, ports & 0xFFFF)
    return Capture(
        buf=source.buf,
        extra=np.frombuffer(extra or bytearray(1), np.uint8),
        ts_ns=ts_ns,
        at=at,
        size=size,
        flow=flow,
        flows=flows,
        skipped=named_reasons(source.skipped),
        fault=source.fault,
    )


def named_reasons(skipped: NDArray[np.int64]) -> dict[str, int]:
    """Counts of skipped frames, indexed by Skip, by the names of the reasons."""
    return {reason.name.lower(): int(skipped[reason]) for reason in Skip if reason is not Skip.NONE}


def _number_destinations(
    high: NDArray[np.int64], low: NDArray[np.int64], port: NDArray[np.int64]
) -> tuple[NDArray[np.int64], tuple[Endpoint, ...]]:
    """Number of each row's destination, and the destinations in ascending order."""
    # Ranks of the halves instead of the halves, so that one word holds all of a destination.
    highs, high_rank = _ranks(high)
    lows, low_rank = _ranks(low)
    words, flow = np.unique((high_rank * len(lows) + low_rank) << 16 | port, return_inverse=True)
    flows = []
    for word in words.tolist():
        first, second = divmod(word >> 16, len(lows))
        key = (0, 0, int(highs[first]), int(lows[second]), word & 0xFFFF)
        flows.append(flow_of_key(key).destination)
    return flow.astype(np.int64), tuple(flows)


def _ranks(column: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values, ascending as unsigned, and the rank of each row's value."""
    if (column == column[:1]).all():
        return column[:1], np.zeros(len(column), np.int64)
    values, rank = np.unique(column.view(np.uint64), return_inverse=True)
    return values.view(np.int64), rank.astype(np.int64)


class CaptureFile:
    """A capture file, one item after another.

    Iterating takes a whole pass over the file, and may be done again. After a pass `skipped` counts
    the frames that gave nothing, by reason, and `tcp` tells how the streams fared.
    """

    def __init__(
        self,
        path: Path,
        fragments: FragmentLimits | None = None,
        tcp: TcpLimits | None = None,
    ) -> None:
        """Open `path`; DataFileError as for `open_capture`."""
        self._source = FrameSource(path, fragments)
        self._limits = tcp
        self._flows: dict[FlowKey, Flow] = {}
        self.skipped: dict[str, int] = named_reasons(self._source.skipped)
        self.tcp = TcpCounts()

    def __iter__(self) -> Iterator[Datagram | Chunk]:
        """Datagrams and stretches of streams, in the order of the capture as far as it goes: what
        waited for a hole to be filled, or the end of the capture, comes when that is decided.

        Raises:
            DataFileError: after the last item, where the file is damaged; it says where and how.
        """
        return self._items(with_datagrams=True, with_streams=True)

    def datagrams(self) -> Iterator[Datagram]:
        """The datagrams alone; raises as iterating over the file does."""
        return cast("Iterator[Datagram]", self._items(with_datagrams=True, with_streams=False))

    def streams(self) -> Iterator[Chunk]:
        """The streams alone; raises as iterating over the file does."""
        return cast("Iterator[Chunk]", self._items(with_datagrams=False, with_streams=True))

    def _items(self, *, with_datagrams: bool, with_streams: bool) -> Iterator[Datagram | Chunk]:
        assembler = TcpAssembler(self._limits)
        self.tcp = assembler.counts
        for frames in self._source.batches():
            for row in frames.rows.tolist():
                key: FlowKey = tuple(row[_KEY])
                if row[_KIND] == _TCP:
                    if with_streams:
                        yield from assembler.add(key, _segment(frames, row))
                elif with_datagrams:
                    yield Datagram(row[_TS_NS], self._flow(key), frames.payload(row))
        yield from assembler.finish()
        self.skipped = named_reasons(self._source.skipped)
        if self._source.fault is not None:
            raise self._source.fault.again()

    def _flow(self, key: FlowKey) -> Flow:
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= _FLOWS_KEPT:
                self._flows.clear()
            flow = self._flows[key] = flow_of_key(key)
        return flow


def _segment(frames: Frames, row: list[int]) -> Segment:
    return Segment(row[_TS_NS], row[_NUMBER], row[_FLAGS], frames.payload(row), row[_CUT])
