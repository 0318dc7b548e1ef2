"""Capture files, classic pcap and pcapng, written frame by frame.

Everything is written as it is given, so that damaged and unusual files can be made too. Frames are
made in `frames.py`. Sources are named in `spec.py`.
"""

import gzip
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from protocols.errors import LocalProtocolError
from protocols.pcap import spec

_NS_PER_S = 1_000_000_000


class PcapWriter:
    """Writes a classic capture; `wire_bytes` larger than the frame says that the capture cut it."""

    def __init__(
        self,
        file: BinaryIO,
        *,
        little: bool = True,
        nanoseconds: bool = True,
        link: int = spec.LINK_ETHERNET,
    ) -> None:
        """Write the file header."""
        self._file = file
        self._order = "<" if little else ">"
        self._unit_ns = 1 if nanoseconds else 1000
        header = struct.pack(
            self._order + "IHHiIII",
            spec.PCAP_MAGIC_NS if nanoseconds else spec.PCAP_MAGIC_US,
            spec.PCAP_VERSION_MAJOR,
            spec.PCAP_VERSION_MINOR,
            0,
            0,
            spec.FRAME_BYTES_MAX,
            link,
        )
        file.write(header)

    def write(self, ts_ns: int, frame: bytes, *, wire_bytes: int | None = None) -> None:
        """Append a frame, captured at `ts_ns` since the epoch (rounded down to the file's unit)."""
        seconds, subsecond_ns = divmod(ts_ns, _NS_PER_S)
        subsecond = subsecond_ns // self._unit_ns
        wire = len(frame) if wire_bytes is None else wire_bytes
        self._file.write(
            struct.pack(self._order + "IIII", seconds, subsecond, len(frame), wire) + frame
        )


class PcapngWriter:
    """Writes a pcapng capture block by block; interfaces are numbered from 0 in each section."""

    def __init__(self, file: BinaryIO, *, little: bool = True) -> None:
        """Write the first section header."""
        self._file = file
        self.begin_section(little=little)

    def begin_section(self, *, little: bool) -> None:
        """Write a section header: byte order anew, no interfaces."""
        self._order = "<" if little else ">"
        self._clocks: list[tuple[int, int]] = []
        body = struct.pack(
            self._order + "IHHq", spec.BYTE_ORDER_MAGIC, spec.SECTION_VERSION_MAJOR, 0, -1
        )
        self.write_block(spec.BLOCK_SECTION, body)

    def write_block(self, block_type: int, body: bytes) -> None:
        """Write a block of any type; the body is padded to a multiple of 4."""
        padded = body + bytes(-len(body) % 4)
        length = spec.BLOCK_OVERHEAD_BYTES + len(padded)
        head = struct.pack(self._order + "II", block_type, length)
        self._file.write(head + padded + struct.pack(self._order + "I", length))

    def add_interface(
        self,
        *,
        link: int = spec.LINK_ETHERNET,
        resolution: int = spec.RESOLUTION_NS,
        offset_s: int = 0,
        snaplen: int = 0,
    ) -> int:
        """Describe an interface; its number. `resolution` is the if_tsresol byte."""
        options = self._option(spec.OPTION_NAME, b"line") + self._option(
            spec.OPTION_TIME_RESOLUTION, bytes([resolution])
        )
        if offset_s:
            options += self._option(
                spec.OPTION_TIME_OFFSET, struct.pack(self._order + "q", offset_s)
            )
        body = struct.pack(self._order + "HHI", link, 0, snaplen)
        self.write_block(spec.BLOCK_INTERFACE, body + options + self._option(spec.OPTION_END, b""))
        self._clocks.append((resolution, offset_s))
        return len(self._clocks) - 1

    def _option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self._order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def write(
        self, ts_ns: int, frame: bytes, *, interface: int = 0, wire_bytes: int | None = None
    ) -> None:
        """Append a frame in an enhanced packet block, with a comment that readers skip."""
        resolution, offset_s = self._clocks[interface]
        units = resolution & (spec.RESOLUTION_POWER_OF_TWO - 1)
        base = 2 if resolution & spec.RESOLUTION_POWER_OF_TWO else 10
        ticks = (ts_ns - offset_s * _NS_PER_S) * base**units // _NS_PER_S
        head = struct.pack(
            self._order + "IIIII",
            interface,
            ticks >> 32,
            ticks & 0xFFFF_FFFF,
            len(frame),
            len(frame) if wire_bytes is None else wire_bytes,
        )
        options = self._option(spec.OPTION_COMMENT, b"a comment") + self._option(
            spec.OPTION_END, b""
        )
        self.write_block(
            spec.BLOCK_ENHANCED_PACKET, head + frame + bytes(-len(frame) % 4) + options
        )

    def write_simple(self, frame: bytes, *, wire_bytes: int | None = None) -> None:
        """Append a frame in a simple packet block: first interface, no time."""
        wire = len(frame) if wire_bytes is None else wire_bytes
        self.write_block(spec.BLOCK_SIMPLE_PACKET, struct.pack(self._order + "I", wire) + frame)


CaptureWriter = PcapWriter | PcapngWriter


@contextmanager
def create_capture(
    path: Path,
    *,
    nanoseconds: bool = True,
    little: bool = True,
    link: int = spec.LINK_ETHERNET,
) -> Iterator[CaptureWriter]:
    """A new capture file; its name says what it is: `.pcap` or `.pcapng`, then maybe `.gz` or
    `.zst`. A pcapng file begins with one interface.

    Raises:
        LocalProtocolError: the name says nothing of the sort.
        OSError: the file cannot be written.
    """
    packing = path.suffix if path.suffix in (".gz", ".zst") else ""
    kind = Path(path.stem).suffix if packing else path.suffix
    if kind not in (".pcap", ".pcapng"):
        raise LocalProtocolError(f"{path}: a capture is named .pcap or .pcapng, then .gz or .zst")
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("wb"))
        if packing == ".gz":
            # Without a name and a time, so that the same frames give the same file.
            zipped = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)
            file = cast("BinaryIO", stack.enter_context(zipped))
        elif packing == ".zst":
            zipped_file = zstandard.ZstdCompressor(write_checksum=True).stream_writer(file)
            file = cast("BinaryIO", stack.enter_context(zipped_file))
        if kind == ".pcap":
            yield PcapWriter(file, little=little, nanoseconds=nanoseconds, link=link)
            return
        writer = PcapngWriter(file, little=little)
        resolution = spec.RESOLUTION_NS if nanoseconds else spec.RESOLUTION_US
        writer.add_interface(link=link, resolution=resolution)
        yield writer
