from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.times import format_utc_timestamp, parse_utc_timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = st.integers(-25_000, 2_900_000)
SECONDS = st.integers(0, 86_399_999)
MOMENTS = st.builds(lambda day, ms: EPOCH + timedelta(days=day, milliseconds=ms), DAYS, SECONDS)


@given(MOMENTS)
def test_format_agrees_with_the_calendar_of_the_standard_library(moment: datetime):
    time_ns = (moment - EPOCH) // timedelta(microseconds=1) * 1000
    text = moment.strftime("%m%d-%H:%M:%S.%f")[:-3]
    assert format_utc_timestamp(time_ns) == f"{moment.year:04d}{text}".encode()


@given(st.integers(-2_000_000_000_000, 10_000_000_000_000))
def test_parse_undoes_format_at_a_millisecond(time_ms: int):
    assert parse_utc_timestamp(format_utc_timestamp(time_ms * 1_000_000)) == time_ms * 1_000_000


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        (b"19700101-00:00:00", 0),
        (b"20000229-23:59:59.9", 951_868_799_900_000_000),
        (b"20260921-12:00:00.123456789", 1_789_992_000_123_456_789),
        (b"20161231-23:59:60", 1_483_228_800_000_000_000),
    ],
)
def test_known_moments_are_read_with_any_number_of_decimals(text: bytes, time_ns: int):
    assert parse_utc_timestamp(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"20260921",
        b"20260921-12:00",
        b"20260931-12:00:00",
        b"20250229-00:00:00",
        b"20261301-00:00:00",
        b"20260921-24:00:00",
        b"20260921-12:60:00",
        b"20260921-12:00:61",
        b"20260921-12:00:00.",
        b"20260921-12:00:00.1234567890123",
        b"20260921 12:00:00",
        b"2026092a-12:00:00",
    ],
)
def test_what_is_no_moment_is_none(text: bytes):
    assert parse_utc_timestamp(text) is None


def test_milliseconds_are_cut_off_never_rounded_into_the_next_second():
    assert format_utc_timestamp(1_789_992_000_999_999_999) == b"20260921-12:00:00.999"


@pytest.mark.parametrize(
    ("decimals", "text"),
    [
        (0, b"20260921-12:00:00"),
        (3, b"20260921-12:00:00.012"),
        (6, b"20260921-12:00:00.012345"),
        (9, b"20260921-12:00:00.012345678"),
    ],
)
def test_a_moment_is_written_with_as_many_decimals_as_asked(decimals: int, text: bytes):
    time_ns = parse_utc_timestamp(b"20260921-12:00:00.012345678")
    assert time_ns is not None
    assert format_utc_timestamp(time_ns, decimals) == text


def test_picoseconds_are_read_and_cut():
    ps = parse_utc_timestamp(b"20260921-12:00:00.123456789999")
    assert ps == parse_utc_timestamp(b"20260921-12:00:00.123456789")
