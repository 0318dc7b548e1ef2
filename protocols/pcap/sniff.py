"""Which of the replayable formats a file is, by its first bytes, through gzip and zstd."""

from pathlib import Path
from typing import Literal

from protocols.binaryfile.kernels import LENGTH_BYTES
from protocols.binaryfile.reader import DataFileError, load_head
from protocols.pcap import spec

FileFormat = Literal["binaryfile", "pcap", "pcapng"]

PCAPNG_MAGIC = spec.BLOCK_SECTION.to_bytes(4, "big")
"""Type of the section header block: the same in both byte orders."""

PCAP_ORDERS = {
    spec.PCAP_MAGIC_US.to_bytes(4, "big"): (0, spec.RESOLUTION_US),
    spec.PCAP_MAGIC_US.to_bytes(4, "little"): (1, spec.RESOLUTION_US),
    spec.PCAP_MAGIC_NS.to_bytes(4, "big"): (0, spec.RESOLUTION_NS),
    spec.PCAP_MAGIC_NS.to_bytes(4, "little"): (1, spec.RESOLUTION_NS),
}
"""First four bytes of a classic capture: (1 for little-endian, decimals of its seconds)."""

_MESSAGE_BYTES_MAX = 0xFFFF


def sniff_format(path: Path) -> FileFormat:
    """The format of a file: a capture has a magic number; in a BinaryFILE the first length fits.

    Raises:
        DataFileError: missing, unreadable, empty, damaged compression, or none of the three.
    """
    head = load_head(path, LENGTH_BYTES + _MESSAGE_BYTES_MAX)
    if head[:4] == PCAPNG_MAGIC:
        return "pcapng"
    if head[:4] in PCAP_ORDERS:
        return "pcap"
    length = int.from_bytes(head[:LENGTH_BYTES], "big")
    if len(head) < LENGTH_BYTES + length or len(head) < LENGTH_BYTES:
        reason = (
            "neither pcap nor pcapng, and as a BinaryFILE it ends within its first message"
            f" ({max(len(head) - LENGTH_BYTES, 0)} bytes of {length})"
        )
        raise DataFileError(path, 0, reason)
    return "binaryfile"
