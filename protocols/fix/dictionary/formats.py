"""The data types of FIX fields: what each looks like on the wire.

Source: FIX 4.2 and FIX 4.4 volume 1, field data types; FIX 5.0 SP2 volume 1, data types. A value
without bytes is no value of any type.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

_COUNT_DIGITS_MAX = 18
"""Digits of a LENGTH, SEQNUM or NUMINGROUP: what fits 64 bits, leading zeros included."""

_FRACTION_DIGITS_MAX = 12
"""Decimals of a second: picoseconds, the finest that FIX 5.0 SP2 knows."""

_YEAR = "[0-9]{4}"
_LEAP_YEAR = (
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  # not 1900
)
_MONTH = "(?:0[1-9]|1[0-2])"
_DAY = (
    f"(?:{_YEAR}(?:(?:0[13578]|1[02])(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)(?:0[1-9]|[12][0-9]|30)"
    f"|02(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}0229)"
)
_FRACTION = f"(?:\\.[0-9]{{1,{_FRACTION_DIGITS_MAX}}})?"
_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = "(?:[0-5][0-9]|60)"
_ZONE = "(?:Z|[+-](?:0[0-9]|1[0-4])(?::[0-5][0-9])?)?"
_FLOAT = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_COUNT = f"[0-9]{{1,{_COUNT_DIGITS_MAX}}}"
_ANY = "(?s:.+)"

_PATTERNS = {
    "AMT": _FLOAT,
    "BOOLEAN": "[NY]",
    "CHAR": "(?s:.)",
    "COUNTRY": _ANY,
    "CURRENCY": _ANY,
    "DATA": _ANY,
    "DAYOFMONTH": "0?[1-9]|[12][0-9]|3[01]",
    "EXCHANGE": _ANY,
    "FLOAT": _FLOAT,
    "INT": "-?[0-9]+",
    "LANGUAGE": _ANY,
    "LENGTH": _COUNT,
    "LOCALMKTDATE": _DAY,
    "LOCALMKTTIME": f"{_MINUTE}:{_SECOND}{_FRACTION}",
    "MONTHYEAR": f"{_YEAR}{_MONTH}(?:w[1-5])?|{_DAY}",
    "MULTIPLECHARVALUE": "[^ ](?: [^ ])*",
    "MULTIPLESTRINGVALUE": "[^ ]+(?: [^ ]+)*",
    "MULTIPLEVALUESTRING": "[^ ]+(?: [^ ]+)*",
    "NUMINGROUP": _COUNT,
    "PERCENTAGE": _FLOAT,
    "PRICE": _FLOAT,
    "PRICEOFFSET": _FLOAT,
    "QTY": _FLOAT,
    "SEQNUM": _COUNT,
    "STRING": _ANY,
    "TAGNUM": "[1-9][0-9]{0,8}",
    "TZTIMEONLY": f"{_MINUTE}(?::{_SECOND}{_FRACTION})?{_ZONE}",
    "TZTIMESTAMP": f"{_DAY}-{_MINUTE}(?::{_SECOND}{_FRACTION})?{_ZONE}",
    "UTCDATE": _DAY,
    "UTCDATEONLY": _DAY,
    "UTCTIMEONLY": f"{_MINUTE}:{_SECOND}{_FRACTION}",
    "UTCTIMESTAMP": f"{_DAY}-{_MINUTE}:{_SECOND}{_FRACTION}",
    "XID": _ANY,
    "XIDREF": _ANY,
    "XMLDATA": _ANY,
}

Check = Callable[[bytes], object]
"""True for a value that is sound; any object that is true serves."""

FORMATS: Mapping[str, Check] = MappingProxyType(
    {
        # Any text that has bytes: `len` says so sooner than a pattern.
        name: len if pattern == _ANY else re.compile(pattern.encode()).fullmatch
        for name, pattern in _PATTERNS.items()
    }
)
"""Check by type. Codes of currencies, countries, exchanges and languages are text: peers use codes
that no ISO list has.
"""

MULTIPLE_TYPES = frozenset({"MULTIPLECHARVALUE", "MULTIPLESTRINGVALUE", "MULTIPLEVALUESTRING"})
"""Types whose values are separated by a space, each of them to be looked up by itself."""

DATA_TYPES = frozenset({"DATA", "XMLDATA"})
"""Types that may hold the separator; the length field before them says where they end."""
