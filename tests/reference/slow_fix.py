"""Slow, obvious twins of the FIX decoding kernels: bytes and lists, nothing clever.

frames(stream)              what a decoder finds in a stream, and what it counts
tokens(stream, start, end)  the fields of a frame
rows(stream, fields, view)  the rows of a view
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from protocols.errors import Status
from protocols.fix.spec import DATA_TAG_OF_LENGTH
from protocols.fix.views import ColumnKind, View

BAD = -1
HEADER = re.compile(rb"8=FIX[.0-9A-Z]{1,8}\x019=([0-9]{1,9})\x01")
# Every beginning of a header.
HEADER_PREFIX = re.compile(
    rb"8?|8=|8=F|8=FI|8=FIX[.0-9A-Z]{0,8}|8=FIX[.0-9A-Z]{1,8}\x01(9|9=[0-9]{0,9})?"
)
LATER_TRAILER = re.compile(rb"\x0110=[^\x01]{0,8}\x01")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGER_MAX = 2**63 - 1


@dataclass
class Frames:
    """What `frames` found: (start, end) of each message, where the rest begins, and counts."""

    found: list[tuple[int, int]] = field(default_factory=list)
    rest: int = 0
    garbled_runs: int = 0
    garbled_bytes: int = 0
    bad_headers: int = 0
    bad_lengths: int = 0
    bad_checksums: int = 0


def frames(stream: bytes, body_bytes_max: int = 65_536) -> Frames:
    """All messages of a stream, as far as it goes."""
    result = Frames()
    at, skipped_to = 0, -1

    def skip(size: int) -> int:
        nonlocal skipped_to
        if skipped_to != at:
            result.garbled_runs += 1
        result.garbled_bytes += size
        skipped_to = at + size
        return skipped_to

    while True:
        start = next(
            i for i in range(at, len(stream) + 1) if b"8=FIX".startswith(stream[i : i + 5])
        )
        if start > at:
            at = skip(start - at)
        result.rest = at
        header = HEADER.match(stream, at)
        if header is None and HEADER_PREFIX.fullmatch(stream, at):
            return result
        if header is None or int(header[1]) > body_bytes_max:
            result.bad_headers += 1
            at = skip(5)
            continue
        trailer_at = header.end() + int(header[1])
        end = trailer_at + 7
        if end > len(stream):
            return result
        trailer = re.fullmatch(rb"\x0110=([0-9]{3})\x01", stream[trailer_at - 1 : end])
        if trailer is None:
            window = at + body_bytes_max + 64
            later = LATER_TRAILER.search(stream, trailer_at - 1, window)
            if later is None and len(stream) < window:
                return result
            result.bad_lengths += 1
            at = skip(5 if later is None else later.end() - at)
        elif stream[header.end() : header.end() + 3] != b"35=" or sum(
            stream[at:trailer_at]
        ) % 256 != int(trailer[1]):
            result.bad_checksums += 1
            at = skip(end - at)
        else:
            result.found.append((at, end))
            at = result.rest = end


Field = tuple[int, int, int]


def tokens(stream: bytes, start: int, end: int) -> tuple[list[Field], Status, int]:
    """(tag, start of value, end of value) of each field, status, and where a fault is or -1."""
    found: list[Field] = []
    at, data_tag, data_bytes = start, 0, 0
    while at < end:
        tag_text = re.match(rb"([1-9][0-9]{0,8})=", stream[at:end])
        if tag_text is None:
            return found, Status.BAD_VALUE, at
        tag, value_at = int(tag_text[1]), at + len(tag_text[0])
        stop = stream.index(b"\x01", value_at)
        if tag == data_tag:
            stop = value_at + data_bytes
            if stop >= end - 7 or stream[stop : stop + 1] != b"\x01":
                return found, Status.BAD_LENGTH, at
        found.append((tag, value_at, stop))
        value = stream[value_at:stop]
        data_tag = 0
        if tag in DATA_TAG_OF_LENGTH and re.fullmatch(rb"[0-9]{1,9}", value):
            data_tag, data_bytes = DATA_TAG_OF_LENGTH[tag], int(value)
        at = stop + 1
    return found, Status.OK, -1


def decimal(text: bytes, decimals: int) -> int | None:
    """Value in units of 10**-decimals, None when it is none or does not fit."""
    if not re.fullmatch(rb"-?([0-9]+\.?[0-9]*|\.[0-9]+)", text):
        return None
    scaled = Decimal(text.decode()) * 10**decimals
    value = int(scaled)
    return value if value == scaled and abs(value) <= INTEGER_MAX else None


def timestamp(text: bytes) -> int | None:
    """ns since 1970 of a UTCTimestamp of the years 1678 to 2261."""
    match = re.fullmatch(rb"([0-9]{8})-(.*)", text, re.DOTALL)
    day = date(match[1]) if match else None
    time = time_of_day(match[2]) if match else None
    return None if day is None or time is None else day * 86_400 * 10**9 + time


def date(text: bytes) -> int | None:
    """Days since 1970."""
    if not re.fullmatch(rb"[0-9]{8}", text) or not 1678 <= int(text[:4]) <= 2261:
        return None
    try:
        day = datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=UTC)
    except ValueError:
        return None
    return (day - EPOCH) // timedelta(days=1)


def time_of_day(text: bytes) -> int | None:
    """ns since midnight."""
    match = re.fullmatch(rb"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?", text)
    if match is None:
        return None
    hour, minute, second = (int(match[i]) for i in (1, 2, 3))
    if hour > 23 or minute > 59 or second > 60:
        return None
    fraction = (match[4] or b"").ljust(9, b"0")
    return ((hour * 60 + minute) * 60 + second) * 10**9 + int(fraction)


def value(text: bytes, kind: ColumnKind) -> int | None:
    """A value as the views hold it."""
    if kind is ColumnKind.INTEGER:
        return None if b"." in text else decimal(text, 0)
    if kind is ColumnKind.CHARACTER:
        return text[0] if len(text) == 1 else None
    read = {
        ColumnKind.PRICE: lambda text: decimal(text, 9),
        ColumnKind.QUANTITY: lambda text: decimal(text, 8),
        ColumnKind.TIMESTAMP: timestamp,
        ColumnKind.TIME: time_of_day,
        ColumnKind.DATE: date,
    }
    return read[kind](text)


@dataclass
class Row:
    """One row: values by column name (a text as its span), and whether a value is wrong."""

    values: dict[str, int | tuple[int, int]] = field(default_factory=dict)
    wrong: list[tuple[int, int]] = field(default_factory=list)


def rows(stream: bytes, fields: list[Field], view: View) -> tuple[list[Row], bool]:
    """The rows of a message, and whether they are as many as it states."""
    columns = {column.tag: column for column in view.columns}
    groups: list[list[Field]] = [[]]
    for each in fields:
        if each[0] == view.delimiter:
            groups.append([])
        groups[-1].append(each)
    ahead, entries = groups[0], groups[1:] if view.delimiter else groups
    result, symbol = [], None
    if view.delimiter:
        symbol = next(((at, end) for tag, at, end in reversed(ahead) if tag == 55), None)
    for entry in entries:
        row = Row()
        for tag, at, end in entry:
            column = columns.get(tag)
            if column is None or column.name in row.values:
                continue
            text = stream[at:end]
            found = (at, end) if column.kind is ColumnKind.TEXT else value(text, column.kind)
            if found is None or not text:
                row.wrong.append((at, end))
            else:
                row.values[column.name] = found
        if view.delimiter and "symbol" in columns_by_name(view):
            symbol = row.values.get("symbol", symbol)
            if symbol is not None and symbol[0] < symbol[1]:
                row.values["symbol"] = symbol
        result.append(row)
    stated = next((stream[at:end] for tag, at, end in ahead if tag == view.count_tag), b"0")
    matches = not view.delimiter or value(stated, ColumnKind.INTEGER) == len(entries)
    return result, matches


def columns_by_name(view: View) -> set[str]:
    """Names of the columns."""
    return {column.name for column in view.columns}
