"""Instruments: those that come with the exchange, and files of the user's own."""

from pathlib import Path

import pytest

from feedhandler.server.errors import UserError
from tools.exchange.market.profiles import DEFAULT_FILE, load_profiles

HEADER = "symbol,sector,price,volatility_percent,volume_share,spread_ticks\n"
GOOD = "ABC,energy,12.34,30,10,2\n"


def test_a_hundred_symbols_of_ten_sectors_come_with_the_exchange():
    profiles = load_profiles(100)
    assert len({profile.symbol for profile in profiles}) == 100
    assert len({profile.sector for profile in profiles}) == 10
    assert profiles[0].volume_share > 10 * profiles[-1].volume_share


def test_ten_thousand_can_be_had_each_with_a_name_of_its_own():
    profiles = load_profiles(10_000)
    assert len({profile.symbol for profile in profiles}) == 10_000
    assert profiles[9_999].volume_share >= 1


def test_a_file_of_ones_own_is_read_to_the_tick(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text(HEADER + GOOD)
    (profile,) = load_profiles(1, path)
    assert profile == ("ABC", "energy", 1_234, 30, 10, 2)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("symbol,price\n", ":1: the columns are symbol,sector"),
        (HEADER, ": no symbol in it"),
        (HEADER + "ABC,energy,12.34,30\n", ":2: not 6 values"),
        (HEADER + GOOD + GOOD, ":3: symbol ABC a second time"),
        (HEADER + "abc,energy,12.34,30,10,2\n", ":2: symbol 'abc' is not"),
        (HEADER + "ABC,,12.34,30,10,2\n", ":2: sector is empty"),
        (HEADER + "ABC,energy,12.345,30,10,2\n", ":2: price '12.345' is not"),
        (HEADER + "ABC,energy,x,30,10,2\n", ":2: price 'x' is not"),
        (HEADER + "ABC,energy,12.34,0,10,2\n", ":2: volatility_percent '0' is not"),
        (HEADER + "ABC,energy,12.34,30,-1,2\n", ":2: volume_share '-1' is not"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, wrong: str):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_profiles(1, path)
    assert f"{path}{wrong}" in str(caught.value)


def test_more_symbols_than_a_file_has_and_no_file_are_refused(tmp_path: Path):
    path = tmp_path / "own.csv"
    path.write_text(HEADER + GOOD)
    with pytest.raises(UserError, match="1 symbols, but 2 are asked for"):
        load_profiles(2, path)
    with pytest.raises(UserError, match="No such file"):
        load_profiles(1, tmp_path / "none.csv")
    with pytest.raises(UserError, match="1 to 10000"):
        load_profiles(10_001, DEFAULT_FILE)
