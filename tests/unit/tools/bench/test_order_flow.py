"""The order flow of the deep and the crowded books: a session that the slow twin accepts whole."""

from pathlib import Path

import pytest

from tests.reference.exchange_checker import blocks
from tests.reference.slow_book import SlowBook
from tests.reference.slow_itch import decode
from tools.bench.order_flow import DEEP, MILLION, Profile, write_flow

SMALL = Profile(symbols=2, levels=60, orders=300)


def books_of(path: Path) -> tuple[SlowBook, list[bytes]]:
    messages = list(blocks(path.read_bytes()))
    twin = SlowBook()
    for message in messages:
        twin.apply(*decode(message))
    return twin, messages


@pytest.mark.parametrize("profile", [SMALL, Profile(1, 1, 1)])
def test_every_message_can_be_applied(tmp_path: Path, profile: Profile):
    write_flow(profile, 4_000, tmp_path / "flow.bin")
    twin, messages = books_of(tmp_path / "flow.bin")
    assert len(messages) == 4_000
    assert twin.unknown_references == 0
    assert not twin.malformed
    assert {message[:1] for message in messages} == {b"R", b"A", b"D", b"X", b"E", b"U"}
    assert path_ends_the_session(tmp_path / "flow.bin")


def path_ends_the_session(path: Path) -> bool:
    return path.read_bytes()[-2:] == b"\0\0"


def test_books_are_deep_full_and_never_crossed(tmp_path: Path):
    write_flow(SMALL, 4_000, tmp_path / "flow.bin")
    twin, _ = books_of(tmp_path / "flow.bin")
    assert len(twin.orders()) > 0.9 * SMALL.orders
    for locate in (1, 2):
        bids, asks = twin.levels(locate, "B"), twin.levels(locate, "S")
        assert min(len(bids), len(asks)) > 30
        assert bids[0][0] < asks[0][0]


def test_the_same_profile_gives_the_same_bytes(tmp_path: Path):
    for name in ("first", "second"):
        write_flow(SMALL, 1_000, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_profiles_are_what_their_names_say():
    orders_a_level = DEEP.orders / (2 * DEEP.symbols * DEEP.levels)
    assert orders_a_level > 1  # so that at least 63 % of 400 levels are taken: 1 - 1/e
    assert DEEP.levels * 0.63 > 200
    assert MILLION.orders == 1_000_000
