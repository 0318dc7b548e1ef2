"""Big-endian integers in a u8 array, as kernels.

Every read widens first: `buf[at] << 24` on a u8 overflows in the interpreter and not in the
compiler. LLVM turns each of these into one load and a byte swap. Values are returned as signed
64-bit integers.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel

Bytes = NDArray[np.uint8]


_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)


@kernel
def read_u16_nb(buf: Bytes, at: int) -> int:
    """u16 at byte `at`."""
    i = np.uint64(at)
    return (np.int64(buf[i]) << 8) | np.int64(buf[i + _1])


@kernel
def read_u32_nb(buf: Bytes, at: int) -> int:
    """u32 at byte `at`."""
    i = np.uint64(at)
    return (
        (np.int64(buf[i]) << 24)
        | (np.int64(buf[i + _1]) << 16)
        | (np.int64(buf[i + _2]) << 8)
        | np.int64(buf[i + _3])
    )


@kernel
def read_u48_nb(buf: Bytes, at: int) -> int:
    """u48 at byte `at` (an ITCH timestamp)."""
    return (read_u16_nb(buf, at) << 32) | read_u32_nb(buf, at + 2)


@kernel
def read_u64_nb(buf: Bytes, at: int) -> int:
    """u64 at byte `at` as a signed integer: values from 2**63 come out negative."""
    return (read_u32_nb(buf, at) << 32) | read_u32_nb(buf, at + 4)


@kernel
def write_u16_nb(buf: Bytes, at: int, value: int) -> None:
    """Low 16 bits of `value` at byte `at`."""
    buf[at] = (value >> 8) & 0xFF
    buf[at + 1] = value & 0xFF


@kernel
def write_u32_nb(buf: Bytes, at: int, value: int) -> None:
    """Low 32 bits of `value` at byte `at`."""
    buf[at] = (value >> 24) & 0xFF
    buf[at + 1] = (value >> 16) & 0xFF
    buf[at + 2] = (value >> 8) & 0xFF
    buf[at + 3] = value & 0xFF


@kernel
def write_u48_nb(buf: Bytes, at: int, value: int) -> None:
    """Low 48 bits of `value` at byte `at`."""
    write_u16_nb(buf, at, value >> 32)
    write_u32_nb(buf, at + 2, value)


@kernel
def write_u64_nb(buf: Bytes, at: int, value: int) -> None:
    """64 bits of `value` at byte `at`."""
    write_u32_nb(buf, at, value >> 32)
    write_u32_nb(buf, at + 4, value)
