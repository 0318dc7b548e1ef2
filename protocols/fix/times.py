"""UTCTimestamp (FIX 4.4 volume 6): `YYYYMMDD-HH:MM:SS` with none to nine decimals, to and from ns
since the epoch. Up to twelve decimals (FIX 5.0 SP2, picoseconds) are read; those below ns are cut.

Integers only; days by the proleptic Gregorian calendar, in eras of 400 years that start on 1 March.
"""

import re
from functools import lru_cache

NS_PER_S = 1_000_000_000
_S_PER_DAY = 86_400
_DAYS_PER_ERA = 146_097
_ERA_START_TO_EPOCH_DAYS = 719_468
_PATTERN = re.compile(
    rb"([0-9]{4})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
    rb"-([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]{1,12}))?"
)


def _day_of(year: int, month: int, day: int) -> int:
    """Days since 1 January 1970."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * _DAYS_PER_ERA + day_of_era - _ERA_START_TO_EPOCH_DAYS


def _date_of(epoch_day: int) -> tuple[int, int, int]:
    """(year, month, day) of a day since 1 January 1970: `_day_of` backwards."""
    era, day_of_era = divmod(epoch_day + _ERA_START_TO_EPOCH_DAYS, _DAYS_PER_ERA)
    leaps = day_of_era // 1460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leaps) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = (shifted_month + 2) % 12 + 1
    return era * 400 + year_of_era + (month <= 2), month, day


@lru_cache(maxsize=16)
def _second_text(epoch_second: int) -> bytes:
    """`YYYYMMDD-HH:MM:SS` of a second; neighbours in a stream share it."""
    epoch_day, second_of_day = divmod(epoch_second, _S_PER_DAY)
    minute_of_day, second = divmod(second_of_day, 60)
    return b"%04d%02d%02d-%02d:%02d:%02d" % (
        *_date_of(epoch_day), *divmod(minute_of_day, 60), second
    )  # fmt: skip


def format_utc_timestamp(time_ns: int, decimals: int = 3) -> bytes:
    """UTCTimestamp, with milliseconds unless asked otherwise: what every peer reads. `decimals` is
    0 to 9; digits below are cut off.
    """
    epoch_second, rest_ns = divmod(time_ns, NS_PER_S)
    if decimals == 0:
        return _second_text(epoch_second)
    return b"%b.%0*d" % (_second_text(epoch_second), decimals, rest_ns // 10 ** (9 - decimals))


@lru_cache(maxsize=64)
def parse_utc_timestamp(text: bytes) -> int | None:
    """ns since the epoch, or None when `text` is no UTCTimestamp.

    A leap second (60) is the first second of the next minute.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    epoch_day = _day_of(year, month, day)
    if _date_of(epoch_day) != (year, month, day):
        return None
    epoch_second = epoch_day * _S_PER_DAY + hour * 3600 + minute * 60 + second
    return epoch_second * NS_PER_S + int((match[7] or b"0")[:9].ljust(9, b"0"))
