"""A capture's numbers in either byte order, and its clock to nanoseconds, as kernels.

Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng (if_tsresol, if_tsoffset).
"""

import numpy as np

from protocols.jit import kernel
from protocols.pcap import spec
from protocols.wire import Bytes, read_u16_nb, read_u32_nb

NS_PER_S = 1_000_000_000
TIME_NS_MAX = 0x7FFF_FFFF_FFFF_FFFF
_SECONDS_MAX = TIME_NS_MAX // NS_PER_S - 1
_POWER_MAX = 18
_EXACT_BITS = 42
_FIVE_TO_9 = 5**9


@kernel
def read_ordered_u16_nb(buf: Bytes, at: int, little: int) -> int:
    """u16 at byte `at`, little-endian if `little` is not 0."""
    if little:
        return (np.int64(buf[at + 1]) << 8) | np.int64(buf[at])
    return read_u16_nb(buf, at)


@kernel
def read_ordered_u32_nb(buf: Bytes, at: int, little: int) -> int:
    """u32 at byte `at`, little-endian if `little` is not 0."""
    if little:
        low = (np.int64(buf[at + 1]) << 8) | np.int64(buf[at])
        return (np.int64(buf[at + 3]) << 24) | (np.int64(buf[at + 2]) << 16) | low
    return read_u32_nb(buf, at)


@kernel
def _power_of_ten_nb(exponent: int) -> int:
    power = np.int64(1)
    for _ in range(exponent):
        power *= 10
    return power


@kernel
def _decimal_ns_nb(ticks: int, exponent: int) -> int:
    if exponent <= spec.RESOLUTION_NS:
        factor = _power_of_ten_nb(spec.RESOLUTION_NS - exponent)
        if ticks < 0 or ticks > TIME_NS_MAX // factor:
            return TIME_NS_MAX
        return ticks * factor
    power = exponent - spec.RESOLUTION_NS
    if power > _POWER_MAX:
        return 0
    divisor = _power_of_ten_nb(power)
    # From 2**63 on the number is negative here: divide its unsigned half, then add the last bit.
    half = (ticks >> 1) & TIME_NS_MAX
    quotient = half // divisor
    rest = ((half - quotient * divisor) << 1) | (ticks & 1)
    quotient <<= 1
    if rest >= divisor:
        quotient += 1
    return quotient


@kernel
def _binary_ns_nb(ticks: int, bits: int) -> int:
    seconds = np.int64(ticks)
    fraction = np.int64(0)
    kept = np.int64(bits)
    if bits >= 64:
        seconds = np.int64(0)
        fraction = np.int64(ticks)
    elif bits > 0:
        seconds = (np.int64(ticks) >> bits) & (TIME_NS_MAX >> (bits - 1))
        fraction = np.int64(ticks) & (TIME_NS_MAX >> (63 - bits))
    if seconds < 0 or seconds > _SECONDS_MAX:
        return TIME_NS_MAX
    if bits > _EXACT_BITS:
        dropped = bits - _EXACT_BITS
        if dropped > 63:
            return seconds * NS_PER_S
        fraction = (fraction >> dropped) & (TIME_NS_MAX >> (dropped - 1))
        kept = np.int64(_EXACT_BITS)
    # 10**9 / 2**k is 5**9 / 2**(k - 9): 42 bits times 21 bits fit, times 10**9 they would not.
    scaled = fraction * _FIVE_TO_9
    if kept >= spec.RESOLUTION_NS:
        return seconds * NS_PER_S + (scaled >> (kept - spec.RESOLUTION_NS))
    return seconds * NS_PER_S + (scaled << (spec.RESOLUTION_NS - kept))


@kernel
def ticks_to_ns_nb(ticks: int, resolution: int, offset_s: int) -> int:
    """Nanoseconds since the epoch of a 64-bit pcapng time stamp, rounded down.

    `ticks` is read as unsigned; `resolution` is the if_tsresol byte, 10**-n or, with bit 7 set,
    2**-n; `offset_s` is if_tsoffset. Exact, but a clock finer than 2**-42 s or 10**-27 s may come
    out 1 ns low. Times after the year 2262 come out as TIME_NS_MAX.
    """
    if resolution & spec.RESOLUTION_POWER_OF_TWO:
        time_ns = _binary_ns_nb(ticks, resolution & (spec.RESOLUTION_POWER_OF_TWO - 1))
    else:
        time_ns = _decimal_ns_nb(ticks, resolution)
    shift_ns = min(max(offset_s, -_SECONDS_MAX), _SECONDS_MAX) * NS_PER_S
    if time_ns > TIME_NS_MAX - max(shift_ns, 0):
        return TIME_NS_MAX
    return time_ns + shift_ns
