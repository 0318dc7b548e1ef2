"""Which of the recordings that can be replayed a file is, by its first bytes."""

from pathlib import Path
from typing import Literal

from protocols.binaryfile.reader import load_head
from protocols.pcap.sniff import PCAP_ORDERS, PCAPNG_MAGIC, FileFormat, sniff_format
from tools.decode.sniff import HEAD_BYTES, Framing, sniff

RecordingFormat = FileFormat | Literal["fix"]


def fix_framing(path: Path) -> Framing | None:
    """How FIX messages lie in a file, None when it is no FIX.

    Raises:
        DataFileError: missing, unreadable, empty, or damaged compression.
    """
    head = load_head(path, HEAD_BYTES)
    if head[:4] == PCAPNG_MAGIC or head[:4] in PCAP_ORDERS:
        return None
    found = sniff(head, None)
    return found[1] if found is not None and found[0] == "fix" else None


def sniff_recording(path: Path) -> RecordingFormat:
    """The format of a file; DataFileError as `fix_framing`, and when it is none of them."""
    return "fix" if fix_framing(path) else sniff_format(path)
