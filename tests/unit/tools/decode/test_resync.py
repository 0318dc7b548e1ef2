"""A SoupBinTCP connection joined at every byte."""

import pytest

from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    bytes_of,
    run,
    soup_packet,
    soup_stream,
)
from tools.decode import resync
from tools.decode.decoders import SoupDecoder
from tools.decode.resync import PacketFinder

STREAMS = {
    "itch": soup_stream(ITCH * 2),
    "ouch": soup_stream(OUCH_OUT),
    "client": b"".join(soup_packet("U", message) for message in OUCH_IN) + soup_packet("R"),
}
BY_STREAM = pytest.mark.parametrize("data", STREAMS.values(), ids=STREAMS)


def late() -> SoupDecoder:
    return SoupDecoder(None, PacketFinder())


@BY_STREAM
def test_joined_at_every_byte_the_first_packet_that_is_whole_is_found(data: bytes):
    whole = run(late(), [data])
    assert whole == run(SoupDecoder(), [data])
    last = max(at for _, at, _ in whole.entries) - 3
    for start in range(1, last):
        found = run(late(), [data[start:]])
        expected = [(at - start, raw) for _, at, raw in whole.entries if at - 3 >= start]
        sound = [
            (at, raw)
            for (_, at, raw), row in zip(found.entries, found.rows, strict=True)
            if not row.fault
        ]
        assert sound == expected
        assert found.incomplete is None
        assert {row.fault for row in found.rows} <= {"", "garbled"}


@BY_STREAM
def test_byte_by_byte_the_same_place_is_found(data: bytes):
    for start in (0, 1, 2, 5, 40, 100):
        assert run(late(), bytes_of(data[start:])) == run(late(), [data[start:]])


def test_bytes_without_any_packet_are_garbled_and_not_kept():
    finder = PacketFinder()
    for _ in range(100):
        assert finder.find(b"\xff" * 1_000) is None
    assert len(finder._data) < 10
    found = run(late(), [b"\xff" * 1_000])
    assert [row.text for row in found.rows] == ["1000 bytes without a packet"]
    assert found.incomplete is None
    assert not run(late(), []).entries


def test_what_shows_no_packet_for_long_is_not_searched_to_its_end(monkeypatch: pytest.MonkeyPatch):
    chain = soup_packet("H") * 4
    for limit in (1_000, 1_001):
        monkeypatch.setattr(resync, "SEARCHED_BYTES_MAX", limit)
        for pieces in ([b"\xff" * 1_000 + chain], [b"\xff" * 1_000, chain]):
            finder = PacketFinder()
            found = [finder.find(piece) for piece in pieces][-1]
            assert found == (chain if limit > 1_000 else None)
            assert finder.skipped_bytes == 1_000 + (0 if found else len(chain))


def test_at_the_end_one_whole_packet_is_enough_and_a_part_is_not():
    packet = soup_packet("S", ITCH[0])
    for data, found in ((packet, packet), (b"xx" + packet, packet), (packet[:-1], None)):
        finder = PacketFinder()
        assert finder.find(data) is None
        assert finder.find(b"", is_end=True) == found


@pytest.mark.parametrize(
    ("head", "skipped"),
    [
        (soup_packet("+", b"x" * 255), 0),
        (soup_packet("+", b"x" * 256), 259),
        (soup_packet("S", b"Zunknown"), 11),
        (soup_packet("S", ITCH[0] + b"!"), 16),
        (soup_packet("H", b"!"), 4),
        (b"\0\0", 2),
    ],
)
def test_only_packets_of_known_type_and_length_count(head: bytes, skipped: int):
    chain = soup_packet("H") * 4
    finder = PacketFinder()
    assert finder.find(head + chain) == (head + chain)[skipped:]
    assert finder.skipped_bytes == skipped
