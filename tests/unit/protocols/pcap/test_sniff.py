"""Formats by first bytes."""

import gzip
import io
from pathlib import Path

import pytest

from protocols.binaryfile.reader import DataFileError
from protocols.pcap.sniff import FileFormat, sniff_format
from protocols.pcap.writer import PcapngWriter, PcapWriter


def sample(kind: str) -> bytes:
    data = io.BytesIO()
    if kind == "binaryfile":
        data.write(bytes.fromhex("000c 53") + bytes(11))
    elif kind == "pcapng":
        PcapngWriter(data)
    else:
        PcapWriter(data, nanoseconds="ns" in kind, little="little" in kind)
    return data.getvalue()


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("binaryfile", "binaryfile"),
        ("pcapng", "pcapng"),
        ("pcap ns little", "pcap"),
        ("pcap ns big", "pcap"),
        ("pcap us little", "pcap"),
        ("pcap us big", "pcap"),
    ],
)
def test_format_is_known_by_the_first_bytes(
    tmp_path: Path, kind: str, expected: FileFormat, packed: bool
):
    path = tmp_path / "file"
    data = sample(kind)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert sniff_format(path) == expected


def test_file_of_one_empty_session_is_a_binaryfile(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"\0\0")
    assert sniff_format(path) == "binaryfile"


@pytest.mark.parametrize("content", [b"seq,ts_ns,symbol\n", b"\0", b"\0\x0cS", b"\xff\xff" * 9])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="neither pcap nor pcapng"):
        sniff_format(path)


def test_empty_and_missing_files_are_refused(tmp_path: Path):
    path = tmp_path / "file"
    with pytest.raises(DataFileError, match="cannot be read"):
        sniff_format(path)
    path.touch()
    with pytest.raises(DataFileError, match="empty"):
        sniff_format(path)
