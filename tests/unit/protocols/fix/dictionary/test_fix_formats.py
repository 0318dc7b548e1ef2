"""What values of each type look like."""

import pytest

from protocols.fix.dictionary.formats import FORMATS
from protocols.fix.times import parse_utc_timestamp
from tests.reference.fix_messages import MALFORMED, SAMPLES

GOLDEN = {
    "BOOLEAN": ("Y N", "y YN 1"),
    "DAYOFMONTH": ("1 01 9 10 29 31", "0 32 001 -1"),
    "FLOAT": ("23 -23.23 0023.0 .5 5. 23.0000", "+1 1e5 1,5 . - -. 1.2.3 0x1 NaN"),
    "INT": ("0 -1 00023 123456789012345678901234567890", "+1 1.0 - 1-"),
    "LENGTH": ("0 8 999999999999999999", "-1 1.0 1000000000000000000"),
    "LOCALMKTDATE": ("20240229 20000229 19991231", "20230229 19000229 20241301 20240431 2024"),
    "LOCALMKTTIME": ("00:00:00 23:59:60 12:00:00.5", "24:00:00 12:00 12:60:00 12:00:61"),
    "MONTHYEAR": ("202402 20240229 202402w5", "202413 202402w6 20240230 2024"),
    "TAGNUM": ("1 5001", "0 01 -1 1234567890"),
    "TZTIMEONLY": ("07:39 07:39Z 07:39:01.5+05 07:39-08:30", "7:39 07:39+15 07:39z 07:39:1"),
    "TZTIMESTAMP": ("20060901-07:39 20060901-07:39:00Z", "20060901 20060931-07:39 07:39Z"),
    "UTCTIMESTAMP": (
        "20240229-23:59:60 20240101-00:00:00.1 20240101-00:00:00.123456789012",
        "20240101-00:00 20240101-00:00:00. 20240101-00:00:00.1234567890123 20240101T00:00:00",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name: str):
    sound, malformed = GOLDEN[name]
    for value in sound.split(" "):
        assert FORMATS[name](value.encode()), value
    for value in malformed.split(" "):
        assert not FORMATS[name](value.encode()), value


@pytest.mark.parametrize("name", FORMATS)
def test_each_type_takes_its_samples_and_refuses_what_is_malformed_or_empty(name: str):
    for value in SAMPLES[name]:
        assert FORMATS[name](value)
    assert not FORMATS[name](b"")
    if name in MALFORMED:
        assert not FORMATS[name](MALFORMED[name])


def test_separators_of_lines_are_text_like_any_other():
    for name in ("STRING", "DATA", "CHAR"):
        assert FORMATS[name](b"\n")
    assert not FORMATS["INT"](b"1\n")


def test_every_day_is_a_day_here_when_it_is_one_where_times_are_read():
    for year in (1900, 2000, 2023, 2024, 2100):
        for month in range(14):
            for day in range(33):
                text = b"%04d%02d%02d" % (year, month, day)
                is_day = parse_utc_timestamp(text + b"-00:00:00") is not None
                assert bool(FORMATS["UTCDATEONLY"](text)) is is_day, text
