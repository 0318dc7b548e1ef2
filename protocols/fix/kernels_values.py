"""Values of fields to integers, exactly or not at all.

Every function gives (value, -1), or (0, index of the first byte that is wrong).

Source: FIX 4.4 volume 1 and 5.0 SP2 volume 1, data types (int, float, UTCTimestamp, UTCTimeOnly,
UTCDateOnly).
"""

import numpy as np

from protocols.fix.kernels_frame import POINT, ZERO, is_digit_nb
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

NS_PER_S = 1_000_000_000
_MINUS = ord("-")
_COLON = ord(":")
_VALUE_MAX = 2**63 - 1
_DIGITS_BEFORE_OVERFLOW = _VALUE_MAX // 10
_NS_DIGITS = 9
_S_PER_DAY = 86_400
_DAYS_PER_ERA = 146_097
_ERA_START_TO_EPOCH_DAYS = 719_468
_YEAR_MIN, _YEAR_MAX = 1678, 2261
"""Whole years whose nanoseconds since 1970 fit 64 bits."""


@kernel
def _append_digit_nb(value: int, digit: int) -> int:
    """10 * value + digit, or -1 beyond 64 bits."""
    if value > _DIGITS_BEFORE_OVERFLOW or (
        value == _DIGITS_BEFORE_OVERFLOW and digit > _VALUE_MAX % 10
    ):
        return -1
    return value * 10 + digit


@outline_kernel
def parse_decimal_nb(buf: Bytes, at: int, end: int, decimals: int) -> tuple[int, int]:
    """buf[at:end] in units of 10**-decimals: an optional minus, digits, at most one point with a
    digit beside it.

    Wrong are a plus, an exponent, a second point, a digit other than 0 after the last of
    `decimals`, and a value beyond 2**63 - 1 either way (at the digit that makes it so, or at `end`
    when the missing decimals do); an empty value at `at`.
    """
    i = at
    is_negative = i < end and buf[i] == _MINUS
    if is_negative:
        i += 1
    value = np.int64(0)
    digits = np.int64(0)
    left = np.int64(-1)  # decimals to come, -1 before the point
    while i < end:
        byte = np.int64(buf[i])
        if byte == POINT and left < 0:
            left = np.int64(decimals)
        elif not is_digit_nb(byte) or (left == 0 and byte != ZERO):
            return 0, i
        else:
            digits += 1
            if left != 0:
                value = _append_digit_nb(value, byte - ZERO)
                if value < 0:
                    return 0, i
                left -= np.int64(left > 0)
        i += 1
    if digits == 0:
        return 0, at
    for _ in range(left if left >= 0 else decimals):
        value = _append_digit_nb(value, np.int64(0))
        if value < 0:
            return 0, end
    return (-value if is_negative else value), -1


@outline_kernel
def parse_integer_nb(buf: Bytes, at: int, end: int) -> tuple[int, int]:
    """buf[at:end] as an integer: an optional minus, and digits."""
    for i in range(at, end):
        if buf[i] == POINT:
            return 0, i
    return parse_decimal_nb(buf, at, end, np.int64(0))


@kernel
def _two_digits_nb(buf: Bytes, at: int, last: int) -> int:
    """Number of two digits from 0 to `last`, else -1."""
    tens, ones = np.int64(buf[at]) - ZERO, np.int64(buf[at + 1]) - ZERO
    if tens < 0 or tens > 9 or ones < 0 or ones > 9 or tens * 10 + ones > last:
        return -1
    return tens * 10 + ones


@kernel
def _days_of_month_nb(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 + (month + month // 8) % 2


@outline_kernel
def parse_date_nb(buf: Bytes, at: int, end: int) -> tuple[int, int]:
    """UTCDateOnly `YYYYMMDD` as days since 1 January 1970, for years from 1678 to 2261. What is
    wrong is named by the first byte of the year, month or day.
    """
    if end - at != 8:
        return 0, at
    century, year = _two_digits_nb(buf, at, 99), _two_digits_nb(buf, at + 2, 99)
    if century < 0 or year < 0:
        return 0, at
    year += 100 * century
    if year < _YEAR_MIN or year > _YEAR_MAX:
        return 0, at
    month = _two_digits_nb(buf, at + 4, 12)
    if month < 1:
        return 0, at + 4
    day = _two_digits_nb(buf, at + 6, _days_of_month_nb(year, month))
    if day < 1:
        return 0, at + 6
    # Years that begin in March, in eras of 400, as in `times.py`.
    shifted = year - (1 if month <= 2 else 0)
    era = shifted // 400
    year_of_era = shifted - 400 * era
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_PER_ERA + day_of_era - _ERA_START_TO_EPOCH_DAYS, -1


@outline_kernel
def parse_time_nb(buf: Bytes, at: int, end: int) -> tuple[int, int]:
    """UTCTimeOnly `HH:MM:SS` with none to nine decimals as ns since midnight; second 60 is the
    first of the next minute. What is wrong is named by the first byte of its part.
    """
    if end - at < 8:
        return 0, at
    hour = _two_digits_nb(buf, at, 23)
    if hour < 0:
        return 0, at
    minute = _two_digits_nb(buf, at + 3, 59)
    if minute < 0 or buf[at + 2] != _COLON:
        return 0, at + 2
    second = _two_digits_nb(buf, at + 6, 60)
    if second < 0 or buf[at + 5] != _COLON:
        return 0, at + 5
    fraction_ns = np.int64(0)
    if end - at > 8:
        if buf[at + 8] != POINT or end - at < 10 or end - at > 9 + _NS_DIGITS:
            return 0, at + 8
        for i in range(at + 9, at + 9 + _NS_DIGITS):
            digit = np.int64(buf[i]) - ZERO if i < end else np.int64(0)
            if digit < 0 or digit > 9:
                return 0, i
            fraction_ns = fraction_ns * 10 + digit
    return ((hour * 60 + minute) * 60 + second) * NS_PER_S + fraction_ns, -1


@outline_kernel
def parse_timestamp_nb(buf: Bytes, at: int, end: int) -> tuple[int, int]:
    """UTCTimestamp `YYYYMMDD-HH:MM:SS` with none to nine decimals as ns since 1 January 1970."""
    if end - at < 9:
        return 0, at
    day, fault_at = parse_date_nb(buf, at, at + 8)
    if fault_at >= 0:
        return 0, fault_at
    if buf[at + 8] != _MINUS:
        return 0, at + 8
    time_ns, fault_at = parse_time_nb(buf, at + 9, end)
    if fault_at >= 0:
        return 0, fault_at
    return day * _S_PER_DAY * NS_PER_S + time_ns, -1
