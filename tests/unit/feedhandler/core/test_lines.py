"""Nothing that a shard writes lies on a cache line of anybody else."""

import numpy as np
import pytest

from feedhandler.core.lines import LINE_BYTES, carve, zeros
from feedhandler.core.receiver import allocate_receiver
from feedhandler.core.shard import allocate_shard
from feedhandler.server.assemble import scratch_tables
from feedhandler.server.memory import blocks
from tests.unit.feedhandler.core.support import CAPACITY


def lines_of(array: np.ndarray) -> range:
    first = array.ctypes.data
    if array.nbytes == 0:
        # Where it is said to begin others may be.
        return range(0)
    return range(first // LINE_BYTES, -(-(first + array.nbytes) // LINE_BYTES))


@pytest.mark.parametrize(("shape", "dtype"), [(1, np.int64), (3, np.uint8), ((5, 7), np.int32)])
def test_an_array_begins_a_line_and_is_zero(shape: int | tuple[int, ...], dtype: type):
    array = zeros(shape, dtype)
    assert array.ctypes.data % LINE_BYTES == 0
    assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
    assert array.dtype == dtype
    assert not array.any()
    assert array.flags.c_contiguous


def test_what_is_carved_from_one_stretch_shares_no_line():
    arrays = carve([(1, np.int64), (17, np.uint8), (200, np.int16)], 4_096)
    assert arrays[0].ctypes.data % 4_096 == 0
    lines = [line for array in arrays for line in lines_of(array)]
    assert len(lines) == len(set(lines))


def test_no_two_blocks_of_two_shards_and_their_receivers_share_a_line():
    shards = [
        allocate_shard(CAPACITY._replace(shard=i, shards=2), *scratch_tables()) for i in range(2)
    ]
    receivers = [allocate_receiver((-1, -1, -1), bytes(10), 64) for _ in range(2)]
    owners: dict[int, str] = {}
    for number, owner in enumerate((*shards, *receivers)):
        for name, array in blocks(owner):
            title = f"{number} {name}"
            for line in lines_of(array):
                assert owners.setdefault(line, title) == title
