"""Data files in memory: plain, gzip, zstd, and every way in which a file can be no good."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import zstandard

from protocols.binaryfile import reader
from protocols.binaryfile.reader import (
    DataFileError,
    load_bytes,
    load_head,
    load_readable_bytes,
    read_pieces,
)

DATA = bytes(range(256)) * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.bin"


def test_plain_file_is_mapped_and_never_written_back(path: Path):
    path.write_bytes(DATA)
    buf = load_bytes(path)
    assert buf.dtype == np.uint8
    assert buf.tobytes() == DATA
    buf[0] ^= 0xFF
    assert load_bytes(path).tobytes() == DATA


@pytest.mark.parametrize("name", ["data.gz", "renamed"])
def test_gzip_is_known_by_its_first_bytes_and_never_written_back(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes(gzip.compress(DATA))
    buf = load_bytes(path)
    assert buf.tobytes() == DATA
    buf[0] ^= 0xFF
    assert load_bytes(path).tobytes() == DATA


def test_gzip_of_several_members_is_one_file(path: Path):
    path.write_bytes(gzip.compress(DATA) + gzip.compress(b"more"))
    assert load_bytes(path).tobytes() == DATA + b"more"


def test_gzip_cut_at_any_byte_is_an_error_and_keeps_the_good_part(path: Path):
    packed = gzip.compress(os.urandom(200) + DATA)
    whole = gzip.decompress(packed)
    for size in range(3, len(packed)):
        path.write_bytes(packed[:size])
        with pytest.raises(DataFileError, match="gzip data end early") as caught:
            load_bytes(path)
        assert caught.value.path == path
        try:
            buf, fault = load_readable_bytes(path)
        except DataFileError:
            assert caught.value.offset == 0
        else:
            assert fault is not None
            assert fault.offset == len(buf) > 0
            assert whole.startswith(buf.tobytes())


def test_gzip_with_a_flipped_byte_is_an_error(path: Path):
    packed = bytearray(gzip.compress(DATA))
    packed[-6] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataFileError, match="damaged") as caught:
        load_bytes(path)
    assert caught.value.offset == len(DATA)


def test_empty_file_is_an_error(path: Path):
    path.touch()
    with pytest.raises(DataFileError, match=r"data\.bin at byte 0: the file is empty"):
        load_bytes(path)


def test_gzip_of_nothing_is_an_error(path: Path):
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataFileError, match="holds no data"):
        load_bytes(path)


def test_missing_file_is_an_error_without_an_offset(path: Path):
    with pytest.raises(DataFileError, match=r"data\.bin: cannot be read: No such file") as caught:
        load_bytes(path)
    assert caught.value.offset is None


def test_directory_is_an_error(tmp_path: Path):
    with pytest.raises(DataFileError, match="cannot be read"):
        load_bytes(tmp_path)


def test_file_that_is_only_named_gz_is_an_error(tmp_path: Path):
    path = tmp_path / "data.gz"
    path.write_bytes(DATA)
    with pytest.raises(DataFileError, match=r"named \.gz, but"):
        load_bytes(path)


def test_file_that_does_not_fit_in_memory_is_an_error_that_helps(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    path.write_bytes(gzip.compress(DATA))
    monkeypatch.setattr(reader.gzip.GzipFile, "read1", refuse)
    with pytest.raises(DataFileError, match="unpack it first"):
        load_bytes(path)


@pytest.mark.parametrize("packed", [False, True])
def test_head_is_as_much_as_asked_for_or_all_there_is(path: Path, packed: bool):
    path.write_bytes(gzip.compress(DATA) if packed else DATA)
    assert load_head(path, 10) == DATA[:10]
    assert load_head(path, 1 << 20) == DATA


@pytest.mark.parametrize("packed", [False, True])
def test_pieces_make_the_file_and_are_small(path: Path, packed: bool):
    data = os.urandom(reader.PIECE_BYTES * 3 + 1)
    path.write_bytes(gzip.compress(data) if packed else data)
    pieces = list(read_pieces(path))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= reader.PIECE_BYTES


def test_pieces_of_a_gzip_that_is_cut_come_before_the_error(path: Path):
    data = os.urandom(reader.PIECE_BYTES * 3)
    path.write_bytes(gzip.compress(data)[:-1000])
    pieces = []
    with pytest.raises(DataFileError, match="gzip data end early") as caught:
        pieces.extend(read_pieces(path))
    assert caught.value.offset == sum(map(len, pieces)) > 0
    assert data.startswith(b"".join(pieces))


def test_pieces_of_what_cannot_be_read_are_one_error(path: Path):
    with pytest.raises(DataFileError, match="No such file"):
        next(read_pieces(path))


def test_zstd_of_several_frames_is_one_file_and_never_written_back(path: Path):
    path.write_bytes(zstandard.compress(DATA) + zstandard.compress(b"") + zstandard.compress(b"x"))
    buf = load_bytes(path)
    assert buf.tobytes() == DATA + b"x"
    buf[0] ^= 0xFF
    assert load_bytes(path).tobytes() == DATA + b"x"


def test_zstd_larger_than_any_chunk_is_read_whole(path: Path):
    data = os.urandom(50_000) + bytes(3_000_000)
    path.write_bytes(zstandard.compress(data) * 2)
    assert load_bytes(path).tobytes() == data * 2
    assert load_head(path, 60_000) == data[:60_000]


def test_zstd_cut_at_any_byte_is_an_error_and_keeps_the_good_part(path: Path):
    whole = os.urandom(200) + DATA
    packed = zstandard.compress(whole[:300]) + zstandard.compress(whole[300:])
    first = len(zstandard.compress(whole[:300]))
    for size in {*range(4, len(packed))} - {first}:
        path.write_bytes(packed[:size])
        with pytest.raises(DataFileError, match="zstd data end early") as caught:
            load_bytes(path)
        try:
            buf, fault = load_readable_bytes(path)
        except DataFileError:
            assert caught.value.offset == 0
        else:
            assert fault is not None
            assert fault.offset == len(buf) > 0
            assert whole.startswith(buf.tobytes())


def test_zstd_with_a_flipped_byte_is_an_error(path: Path):
    packer = zstandard.ZstdCompressor(write_checksum=True)
    packed = bytearray(packer.compress(DATA))
    packed[-2] ^= 1
    path.write_bytes(packed)
    with pytest.raises(DataFileError, match="zstd data end early or are damaged"):
        load_bytes(path)


def test_zstd_of_nothing_and_files_only_named_zst_are_errors(tmp_path: Path):
    path = tmp_path / "data.zst"
    path.write_bytes(zstandard.compress(b""))
    with pytest.raises(DataFileError, match="zstd file holds no data"):
        load_bytes(path)
    path.write_bytes(DATA)
    with pytest.raises(DataFileError, match=r"named \.zst, but"):
        load_bytes(path)
