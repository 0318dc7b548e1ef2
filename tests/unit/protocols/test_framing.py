"""Blocks behind their lengths, however the stream is split."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import Status
from protocols.framing import LENGTH_BYTES, BlockFramer

BLOCKS = st.lists(st.binary(max_size=40), max_size=12)


def framed(blocks: list[bytes]) -> bytes:
    return b"".join(len(block).to_bytes(LENGTH_BYTES, "big") + block for block in blocks)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


@example([b"one", b"", b"three"], b"\0", [1, 2, 6])
@given(BLOCKS, st.binary(max_size=1), st.lists(st.integers(0, 500), max_size=8))
def test_every_split_gives_the_blocks_and_their_offsets(
    blocks: list[bytes], tail: bytes, cuts: list[int]
):
    data = framed(blocks) + tail
    framer = BlockFramer()
    found = [item for piece in pieces_of(data, cuts) for item in framer.feed(piece)]
    assert [block for _, block in found] == blocks
    assert [data[at : at + 2] for at, _ in found] == [
        len(block).to_bytes(2, "big") for block in blocks
    ]
    assert (framer.offset, framer.pending_bytes) == (len(data) - len(tail), len(tail))


@given(BLOCKS)
def test_byte_by_byte_is_as_whole(blocks: list[bytes]):
    data = framed(blocks)
    framer = BlockFramer()
    found = [item for at in range(len(data)) for item in framer.feed(data[at : at + 1])]
    assert found == BlockFramer().feed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_cut_as_the_kernel_of_the_hot_path_cuts_them(data: bytes):
    framer = BlockFramer()
    found = framer.feed(data)
    expected: list[tuple[int, bytes]] = []
    buf, used = np.frombuffer(data, np.uint8).copy(), 0
    out = np.zeros(257, np.int64)
    status = Status.END_OF_SESSION
    while status == Status.END_OF_SESSION:
        count, step, status = index_messages_nb(buf, used, len(data), out)
        blocks = itertools.pairwise(out[: count + 1].tolist())
        expected += [(start, data[start + 2 : end]) for start, end in blocks]
        used += step
        if status == Status.END_OF_SESSION:
            expected.append((used - 2, b""))
    assert found == expected
    assert framer.offset == used
    assert framer.pending_bytes == len(data) - used
    assert (status == Status.TRUNCATED) == bool(framer.pending_bytes)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_what_is_missing_is_said(size: int):
    framer = BlockFramer()
    assert framer.feed(b"\x00\x06abcdef"[:size]) == []
    assert framer.missing_bytes == (1 if size == 1 else 8 - size)
    assert framer.feed(b"\x00\x06abcdef"[size:]) == [(0, b"abcdef")]
    assert framer.pending_bytes == 0
    assert framer.missing_bytes == LENGTH_BYTES


def test_a_longest_block_in_single_bytes_costs_time_in_proportion():
    data = framed([bytes(0xFFFF)])
    framer = BlockFramer()
    for at in range(len(data) - 1):
        assert not framer.feed(data[at : at + 1])
    assert framer.feed(data[-1:]) == [(0, bytes(0xFFFF))]
