"""Times to text, and the two fields that a FIX message closes with, written by kernels.

The slow obvious twins are `times.format_utc_timestamp` and `message.encode`. Source: FIX 4.4 volume
1 (BodyLength, CheckSum), volume 6 (UTCTimestamp).
"""

import numpy as np

from protocols.digits import write_padded_nb
from protocols.fix.kernels_frame import POINT, ZERO
from protocols.jit import kernel
from protocols.wire import Bytes

_NS_PER_S = 1_000_000_000
_NS_DIGITS = 9
_S_PER_DAY = 86_400
_DAYS_PER_ERA = 146_097
_ERA_START_TO_EPOCH_DAYS = 719_468
_DASH, _COLON = ord("-"), ord(":")
_EQUALS = ord("=")
_SOH = 1
TRAILER_BYTES = 7
"""`10=` and three digits, with the separator."""


@kernel
def _write_date_nb(out: Bytes, at: int, epoch_day: int) -> int:
    """`YYYYMMDD` of a day since 1 January 1970, by eras of 400 years that start on 1 March."""
    shifted = epoch_day + _ERA_START_TO_EPOCH_DAYS
    era = shifted // _DAYS_PER_ERA
    day_of_era = shifted - era * _DAYS_PER_ERA
    leaps = day_of_era // 1460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = (shifted_month + 2) % 12 + 1
    year = era * 400 + year_of_era + np.int64(month <= 2)
    return write_padded_nb(out, at, year * 10_000 + month * 100 + day, 8)


@kernel
def write_utc_timestamp_nb(out: Bytes, at: int, time_ns: int, decimals: int) -> int:
    """UTCTimestamp of `time_ns` (ns since the epoch) with 0 to 9 decimals, digits below cut off;
    where the next byte goes. 18 bytes more than `decimals` at most.
    """
    epoch_second = time_ns // _NS_PER_S
    epoch_day = epoch_second // _S_PER_DAY
    second = epoch_second % _S_PER_DAY
    at = _write_date_nb(out, at, epoch_day)
    out[at] = _DASH
    at = write_padded_nb(out, at + 1, second // 3600, 2)
    out[at] = _COLON
    at = write_padded_nb(out, at + 1, second // 60 % 60, 2)
    out[at] = _COLON
    at = write_padded_nb(out, at + 1, second % 60, 2)
    if decimals > 0:
        rest = time_ns % _NS_PER_S
        for _ in range(_NS_DIGITS - decimals):
            rest //= 10
        out[at] = POINT
        at = write_padded_nb(out, at + 1, rest, decimals)
    return at


@kernel
def write_trailer_nb(out: Bytes, start: int, at: int) -> int:
    """CheckSum of the message out[start:at] behind it; where the message ends."""
    total = np.int64(0)
    for i in range(start, at):
        total += out[i]
    out[at] = ZERO + 1
    out[at + 1] = ZERO
    out[at + 2] = _EQUALS
    at = write_padded_nb(out, at + 3, total & 0xFF, 3)
    out[at] = _SOH
    return at + 1
