"""Big-endian kernels against the interpreter's own integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import wire

READERS = [
    pytest.param(wire.read_u16_nb, 2, id="u16"),
    pytest.param(wire.read_u32_nb, 4, id="u32"),
    pytest.param(wire.read_u48_nb, 6, id="u48"),
    pytest.param(wire.read_u64_nb, 8, id="u64"),
]
WRITERS = [
    pytest.param(wire.write_u16_nb, 2, id="u16"),
    pytest.param(wire.write_u32_nb, 4, id="u32"),
    pytest.param(wire.write_u48_nb, 6, id="u48"),
    pytest.param(wire.write_u64_nb, 8, id="u64"),
]


@pytest.mark.parametrize(("read_nb", "width"), READERS)
@given(data=st.binary(min_size=8, max_size=8), at=st.integers(0, 3))
def test_read_gives_what_the_interpreter_reads(
    read_nb: Callable[..., int], width: int, data: bytes, at: int
):
    buf = np.frombuffer(bytes(at) + data, np.uint8)
    assert int(read_nb(buf, at)) == int.from_bytes(data[:width], "big", signed=width == 8)


@pytest.mark.parametrize(("write_nb", "width"), WRITERS)
@given(value=st.integers(-(2**63), 2**63 - 1), at=st.integers(0, 3))
def test_write_stores_the_low_bytes_and_nothing_beside_them(
    write_nb: Callable[..., Any], width: int, value: int, at: int
):
    buf = np.full(12, 0xAA, np.uint8)
    write_nb(buf, at, value)
    expected = bytearray(b"\xaa" * 12)
    expected[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "big")
    assert buf.tobytes() == bytes(expected)


@pytest.mark.parametrize(("read_nb", "width"), READERS)
def test_read_widens_before_it_shifts(read_nb: Callable[..., int], width: int):
    highest = np.full(width, 0xFF, np.uint8)
    assert int(read_nb(highest, 0)) == (-1 if width == 8 else (1 << 8 * width) - 1)
