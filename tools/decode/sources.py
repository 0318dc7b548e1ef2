"""Where the bytes come from: files, packed or not, standard input and captures, all as chunks of
flows.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from protocols.binaryfile.reader import (
    PIECE_BYTES,
    ZSTD_MAGIC,
    DataFileError,
    packing_of,
    read_pieces,
    unpack,
)
from protocols.pcap.flow import Chunk as Stretch
from protocols.pcap.flow import Datagram, Endpoint, Hole, Stream
from protocols.pcap.reader import CaptureFile
from protocols.pcap.sniff import PCAP_ORDERS, PCAPNG_MAGIC
from tools.decode.sniff import HEAD_BYTES

STANDARD_INPUT = Path("-")
_CAPTURE_MAGICS = {PCAPNG_MAGIC, *PCAP_ORDERS}
_NAMES_KEPT = 1 << 16


class Chunk(NamedTuple):
    """A whole datagram, or the next piece of a stream, which may be empty behind a hole.

    `ts_ns` is when it was captured (ns since the epoch), None in a plain file; `flow` names where a
    datagram went, or one direction of a connection, and is "" in a plain file; `lost_bytes` of the
    stream are missing in front of it, None: nobody can say how many.
    """

    ts_ns: int | None
    flow: str
    data: bytes
    is_datagram: bool
    lost_bytes: int | None = 0


@dataclass(slots=True)
class Source:
    """What was opened: its first bytes, and its chunks, which end with DataFileError where the
    source is damaged; of a capture those that went to `port`, if it is not None, and of connections
    both sides. `counts` says what the source left out itself, and grows as chunks are taken.
    """

    path: Path
    head: bytes
    is_capture: bool
    chunks: Iterator[Chunk]
    port: int | None = None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_live(self) -> bool:
        """Somebody may be writing it while we read."""
        return self.path == STANDARD_INPUT


def open_source(path: Path, port: int | None = None) -> Source:
    """A file, plain, gzip or zstd, or standard input for `-`; of a capture, what went to `port`
    and came from it by TCP.

    Raises:
        DataFileError: missing, unreadable, empty, or a capture that cannot be read at all.
    """
    is_standard_input = path == STANDARD_INPUT
    head, pieces = _peek(path, _standard_input() if is_standard_input else read_pieces(path))
    if head[:4] not in _CAPTURE_MAGICS:
        return Source(path, head, is_capture=False, chunks=_stream(pieces))
    # What is said of a capture from standard input must not name the file that it was spooled to.
    try:
        capture = _spool_capture(pieces) if is_standard_input else CaptureFile(path)
    except DataFileError as error:
        raise DataFileError(path, error.offset, error.reason) from None
    source = Source(path, head, is_capture=True, chunks=iter(()), port=port)
    source.chunks = _chunks(capture, source)
    return source


def _peek(path: Path, pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first HEAD_BYTES, and all pieces again."""
    taken: list[bytes] = []
    fault: DataFileError | None = None
    try:
        for piece in pieces:
            taken.append(piece)
            if sum(map(len, taken)) >= HEAD_BYTES:
                break
    except DataFileError as error:
        fault = error
    if not taken:
        raise fault or DataFileError(path, 0, "it holds no data")
    return b"".join(taken)[:HEAD_BYTES], chain(taken, pieces if fault is None else _raise(fault))


def _raise(fault: DataFileError) -> Iterator[bytes]:
    """An iterator that ends with the fault."""
    yield from ()
    raise fault.again()


def _standard_input() -> Iterator[bytes]:
    with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as file:
        packing = packing_of(file.peek(len(ZSTD_MAGIC)))
        if packing != "plain":
            yield from unpack(STANDARD_INPUT, file, packing, PIECE_BYTES)
        else:
            # read1 gives what is there: a pipe is shown as it is written.
            while piece := file.read1(PIECE_BYTES):
                yield piece


def _stream(pieces: Iterator[bytes]) -> Iterator[Chunk]:
    for piece in pieces:
        yield Chunk(None, "", piece, is_datagram=False)


def _spool_capture(pieces: Iterator[bytes]) -> CaptureFile:
    """A capture from standard input by way of a file, as captures are read by position."""
    with NamedTemporaryFile(prefix="feedhandler-decode-") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        return CaptureFile(Path(file.name))


def _chunks(capture: CaptureFile, source: Source) -> Iterator[Chunk]:
    """Datagrams and streams of a capture, in its order; then the counts of what gave nothing."""
    try:
        for item in capture:
            if source.port is not None and not _is_of_port(item, source.port):
                source.counts["other_port"] += 1
            elif isinstance(item, Datagram):
                flow = _datagram_flow(item.flow.destination)
                yield Chunk(item.ts_ns, flow, item.payload, is_datagram=True)
            elif isinstance(item.data, Hole):
                flow, lost_bytes = _stream_flow(item.flow), item.data.size_bytes
                yield Chunk(item.ts_ns, flow, b"", is_datagram=False, lost_bytes=lost_bytes)
            else:
                yield Chunk(item.ts_ns, _stream_flow(item.flow), item.data, is_datagram=False)
    except DataFileError as error:
        raise DataFileError(source.path, error.offset, error.reason) from None
    finally:
        tcp = capture.tcp
        source.counts.update(capture.skipped)
        source.counts["tcp_strays"] = tcp.strays
        source.counts["tcp_contradictions"] = tcp.contradictions


def _is_of_port(item: Datagram | Stretch, port: int) -> bool:
    """Whether a datagram went to the port, or a stream has it on either side."""
    is_source = isinstance(item, Stretch) and item.flow.source.port == port
    return is_source or item.flow.destination.port == port


@lru_cache(maxsize=_NAMES_KEPT)
def _datagram_flow(destination: Endpoint) -> str:
    return str(destination)


@lru_cache(maxsize=_NAMES_KEPT)
def _stream_flow(stream: Stream) -> str:
    """Both ends, and the number of the connection in the capture: ports are used again."""
    return f"{stream.source}>{stream.destination}#{stream.connection}"
