"""Where the bytes come from: files, gzip, standard input and captures, all as chunks of flows."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from protocols.binaryfile.reader import (
    GZIP_MAGIC,
    PIECE_BYTES,
    DataFileError,
    read_pieces,
    unzip,
)
from protocols.pcap.reader import Capture, open_capture
from protocols.pcap.sniff import PCAP_ORDERS, PCAPNG_MAGIC
from tools.decode.sniff import HEAD_BYTES

STANDARD_INPUT = Path("-")
_CAPTURE_MAGICS = {PCAPNG_MAGIC, *PCAP_ORDERS}


class Chunk(NamedTuple):
    """A whole datagram, or the next piece of a stream.

    `ts_ns` is when it was captured (ns since the epoch), None in a plain file; `flow` names where
    it went, "" in a plain file; `lost_bytes` of the stream are missing in front of it.
    """

    ts_ns: int | None
    flow: str
    data: bytes
    is_datagram: bool
    lost_bytes: int = 0


@dataclass(slots=True)
class Source:
    """What was opened: its first bytes, and its chunks, which end with DataFileError where the
    source is damaged; of a capture those that went to `port`, if it is not None. `counts` says what
    the source left out itself, and grows as chunks are taken.
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
    """A file, plain or gzip, or standard input for `-`; of a capture, what went to `port`.

    Raises:
        DataFileError: missing, unreadable, empty, or a capture that cannot be read at all.
    """
    is_standard_input = path == STANDARD_INPUT
    head, pieces = _peek(path, _standard_input() if is_standard_input else read_pieces(path))
    if head[:4] not in _CAPTURE_MAGICS:
        return Source(path, head, is_capture=False, chunks=_stream(pieces))
    # What is said of a capture from standard input must not name the file that it was spooled to.
    try:
        capture = _spool_capture(pieces) if is_standard_input else open_capture(path)
    except DataFileError as error:
        raise DataFileError(path, error.offset, error.reason) from None
    source = Source(path, head, is_capture=True, chunks=iter(()), port=port)
    source.counts.update({name: count for name, count in capture.skipped.items() if count})
    source.chunks = _datagrams(capture, source)
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
    raise fault


def _standard_input() -> Iterator[bytes]:
    with os.fdopen(sys.stdin.fileno(), "rb", closefd=False) as file:
        if file.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)] == GZIP_MAGIC:
            yield from unzip(STANDARD_INPUT, file, PIECE_BYTES)
        else:
            # read1 gives what is there: a pipe is shown as it is written.
            while piece := file.read1(PIECE_BYTES):
                yield piece


def _stream(pieces: Iterator[bytes]) -> Iterator[Chunk]:
    for piece in pieces:
        yield Chunk(None, "", piece, is_datagram=False)


def _spool_capture(pieces: Iterator[bytes]) -> Capture:
    """A capture from standard input by way of a file, as captures are read by position."""
    with NamedTemporaryFile(prefix="feedhandler-decode-") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        return open_capture(Path(file.name))


def _datagrams(capture: Capture, source: Source) -> Iterator[Chunk]:
    """The UDP datagrams of a capture, in its order."""
    port = source.port
    names = [f"{_address(ip)}:{number}" for ip, number in capture.flows]
    columns = zip(
        capture.ts_ns.tolist(),
        capture.flow.tolist(),
        capture.at.tolist(),
        capture.size.tolist(),
        strict=True,
    )
    for ts_ns, flow, at, size in columns:
        if port is not None and capture.flows[flow][1] != port:
            source.counts["other_port"] += 1
            continue
        yield Chunk(ts_ns, names[flow], capture.buf[at : at + size].tobytes(), is_datagram=True)
    if capture.fault is not None:
        raise DataFileError(source.path, capture.fault.offset, capture.fault.reason)


def _address(ip: int) -> str:
    return ".".join(str(ip >> shift & 0xFF) for shift in (24, 16, 8, 0))
