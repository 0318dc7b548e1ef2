"""UTCTimestamp (FIX 4.4 volume 6): `YYYYMMDD-HH:MM:SS` with none to nine decimals, to and from ns
since the epoch. Up to twelve decimals (FIX 5.0 SP2, picoseconds) are read; those below ns are cut.

Integers only; days by the proleptic Gregorian calendar of `datetime`, years 1 to 9999.
"""

import re
from datetime import date
from functools import lru_cache

NS_PER_S = 1_000_000_000
_S_PER_DAY = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_PATTERN = re.compile(
    rb"([0-9]{4})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"
    rb"-([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)(?:\.([0-9]{1,12}))?"
)


@lru_cache(maxsize=16)
def _second_text(epoch_second: int) -> bytes:
    """`YYYYMMDD-HH:MM:SS` of a second; neighbours in a stream share it."""
    epoch_day, second_of_day = divmod(epoch_second, _S_PER_DAY)
    minute_of_day, second = divmod(second_of_day, 60)
    day = date.fromordinal(epoch_day + _EPOCH_DAY)
    return b"%04d%02d%02d-%02d:%02d:%02d" % (
        day.year, day.month, day.day, *divmod(minute_of_day, 60), second
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
    try:
        epoch_day = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    epoch_second = epoch_day * _S_PER_DAY + hour * 3600 + minute * 60 + second
    return epoch_second * NS_PER_S + int((match[7] or b"0")[:9].ljust(9, b"0"))
