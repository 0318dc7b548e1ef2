"""Clocks of captures in exact arithmetic, and reading in either byte order."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.pcap.kernels_time import (
    TIME_NS_MAX,
    read_ordered_u16_nb,
    read_ordered_u32_nb,
    ticks_to_ns_nb,
)

EXACT_BITS = 42
EXACT_DECIMALS = 27


def exact_ns(ticks: int, resolution: int) -> int:
    """Rounded down, in exact arithmetic."""
    base, power = (2, resolution - 128) if resolution >= 128 else (10, resolution)
    return int(Fraction(ticks, base**power) * 10**9)


def signed(ticks: int) -> int:
    return ticks - (1 << 64) if ticks >= 1 << 63 else ticks


@given(ticks=st.integers(0, 2**64 - 1), resolution=st.integers(0, 255))
@example(ticks=2**64 - 1, resolution=9)
@example(ticks=2**63 - 1, resolution=8)
@example(ticks=2**64 - 1, resolution=10)
@example(ticks=2**64 - 1, resolution=128 + 33)
@example(ticks=2**63, resolution=27)
@example(ticks=2**64 - 1, resolution=28)
@example(ticks=2**64 - 1, resolution=128 + 63)
@example(ticks=2**64 - 1, resolution=128 + 64)
@example(ticks=2**64 - 1, resolution=128 + 106)
@example(ticks=12345, resolution=128)
@example(ticks=20, resolution=10)
@example(ticks=2**64 - 1, resolution=128 + 2)
def test_time_is_exact_or_the_largest_there_is(ticks: int, resolution: int):
    expected = exact_ns(ticks, resolution)
    got = int(ticks_to_ns_nb(np.int64(signed(ticks)), np.int64(resolution), np.int64(0)))
    if resolution > 128 + EXACT_BITS or EXACT_DECIMALS < resolution < 128:
        assert expected - 1 <= got <= expected
    elif expected // 10**9 >= TIME_NS_MAX // 10**9:
        assert got in (TIME_NS_MAX, expected)
    else:
        assert got == expected


@pytest.mark.parametrize(
    ("offset_s", "expected"),
    [
        (0, 5_000_000_000),
        (3, 8_000_000_000),
        (-6, -1_000_000_000),
        (2**63 - 1, TIME_NS_MAX),
        (-(2**63), 5_000_000_000 - (TIME_NS_MAX // 10**9 - 1) * 10**9),
    ],
)
def test_offset_of_the_interface_is_added_within_bounds(offset_s: int, expected: int):
    got = ticks_to_ns_nb(np.int64(5_000_000), np.int64(6), np.int64(offset_s))
    assert int(got) == expected


@given(st.binary(min_size=4, max_size=4))
def test_words_read_in_either_byte_order(data: bytes):
    buf = np.frombuffer(data, np.uint8)
    for little, order in ((0, "big"), (1, "little")):
        assert int(read_ordered_u16_nb(buf, 0, little)) == int.from_bytes(data[:2], order)
        assert int(read_ordered_u32_nb(buf, 0, little)) == int.from_bytes(data, order)
