"""Directions of TCP connections: which protocol they speak, from their begin, their middle, or
behind a hole.
"""

from random import Random

import pytest

from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    Outcome,
    bytes_of,
    fix_message,
    run,
    soup_packet,
    soup_stream,
)
from tools.decode import resync
from tools.decode.entries import Incomplete
from tools.decode.sniff import Protocol
from tools.decode.streams import ConnectionDecoder

FIX = fix_message(1) + fix_message(2)
CLIENT = soup_packet("L", bytes(46)) + b"".join(soup_packet("U", message) for message in OUCH_IN)
WEB = b"GET / HTTP/1.1\r\nHost: example\r\nUser-Agent: something\r\nAccept: */*\r\n\r\n"


def sound(found: Outcome) -> list[bytes]:
    pairs = zip(found.entries, found.rows, strict=True)
    return [raw for (_, _, raw), row in pairs if not row.fault]


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (soup_stream(ITCH), ITCH),
        (soup_stream(OUCH_OUT), OUCH_OUT),
        (CLIENT, OUCH_IN),
        (FIX, [fix_message(1), fix_message(2)]),
        (soup_packet("S", ITCH[0]), ITCH[:1]),
        (soup_packet("H"), []),
    ],
)
def test_the_first_bytes_tell_the_protocol(is_whole: bool, data: bytes, messages: list[bytes]):
    for pieces in ([data], bytes_of(data)):
        found = run(ConnectionDecoder(is_whole=is_whole), pieces)
        assert sound(found) == [raw for _, _, raw in found.entries] == messages
        assert found.incomplete is None
        assert "other_stream_bytes" not in found.counts


def test_from_its_begin_on_a_message_comes_as_soon_as_it_is_whole():
    for data in (soup_stream(ITCH), CLIENT, FIX):
        decoder = ConnectionDecoder(is_whole=True)
        seen = [entry for byte in bytes_of(data) for entry in decoder.feed(byte)]
        assert len(seen) == len(run(ConnectionDecoder(is_whole=True), [data]).entries)
    decoder = ConnectionDecoder(is_whole=True)
    assert len(decoder.feed(soup_packet("S", ITCH[0]))) == 1
    decoder = ConnectionDecoder(is_whole=True)
    assert len(decoder.feed(fix_message(1))) == 1


@pytest.mark.parametrize("data", [WEB, WEB[:3], WEB * 20_000, Random(1).randbytes(3_000)])
@pytest.mark.parametrize("protocol", [None, "itch50", "ouch42", "fix"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_another_protocol_is_counted_and_not_shown(
    data: bytes, protocol: Protocol | None, is_whole: bool
):
    found = run(ConnectionDecoder(protocol, is_whole=is_whole), [data])
    assert not found.entries
    assert found.incomplete is None
    assert found.counts == {"other_stream_bytes": len(data)}


@pytest.mark.parametrize("data", [soup_stream(ITCH), CLIENT])
def test_a_protocol_that_the_user_did_not_ask_for_is_another(data: bytes):
    assert run(ConnectionDecoder("fix", is_whole=True), [data]).counts == {
        "other_stream_bytes": len(data)
    }
    for protocol in ("itch50", "ouch42"):
        found = run(ConnectionDecoder(protocol, is_whole=True), [FIX])  # type: ignore[arg-type]
        assert found.counts == {"other_stream_bytes": len(FIX)}


def test_fix_without_a_sound_message_is_damaged_fix_and_no_other_protocol():
    wrong = FIX.replace(b"\x0110=", b"\x0110=9")
    for protocol in (None, "fix"):
        found = run(ConnectionDecoder(protocol), [wrong])  # type: ignore[arg-type]
        assert {row.fault for row in found.rows} == {"garbled"}
    found = run(ConnectionDecoder(is_whole=True), [FIX[:30]])
    assert found.incomplete == Incomplete(0, "ends within a message, 30 bytes of it")


def test_a_connection_without_bytes_has_nothing_to_say():
    found = run(ConnectionDecoder(), [])
    assert (found.entries, found.incomplete, found.counts) == ([], None, {})


def test_a_connection_joined_within_a_fix_message_goes_on_with_the_next():
    for start in range(1, len(fix_message(1)) - 7):
        found = run(ConnectionDecoder(), [FIX[start:]])
        assert [row.fault for row in found.rows] == ["garbled", ""]
        assert found.entries[1][2] == fix_message(2)


def test_messages_behind_a_hole_have_no_number_before_a_login():
    decoder = ConnectionDecoder(is_whole=True)
    before = run(decoder, [soup_stream(ITCH[:4], 10)])
    assert [seq for seq, _, _ in before.entries] == [10, 11, 12, 13]
    behind = decoder.behind_hole()
    rest = b"".join(soup_packet("S", message) for message in ITCH[6:])
    found = run(behind, [b"tail" + rest + soup_stream(ITCH[:2], 90)])
    assert [row.text for row in found.rows[:1]] == ["4 bytes before the first packet"]
    assert [seq for seq, _, _ in found.entries] == [None] * (1 + len(ITCH[6:])) + [90, 91]


def test_what_shows_no_message_behind_a_hole_is_damage_where_there_were_some_before():
    for data, text in ((soup_stream(ITCH), "70 bytes without a packet"), (FIX, "70 bytes are no")):
        decoder = ConnectionDecoder(is_whole=True)
        run(decoder, [data])
        again = decoder.behind_hole()
        found = run(again, [b"\xff" * 70])
        assert [row.fault for row in found.rows] == ["garbled"]
        assert found.rows[0].text.startswith(text)
        # What it was is not forgotten.
        assert sound(run(again.behind_hole(), [data])) == sound(run(ConnectionDecoder(), [data]))


def test_what_was_another_protocol_before_a_hole_may_be_one_of_ours_behind_it():
    decoder = ConnectionDecoder(is_whole=True)
    run(decoder, [b"\xff" * 70])
    behind = decoder.behind_hole()
    assert sound(run(behind, [FIX])) == [fix_message(1), fix_message(2)]


def test_a_connection_of_another_protocol_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resync, "SEARCHED_BYTES_MAX", 1_000)
    decoder = ConnectionDecoder()
    for _ in range(50):
        assert decoder.feed(b"\xff" * 100) == []
    found = run(decoder, [soup_stream(ITCH)])
    assert found.counts == {"other_stream_bytes": 5_000 + len(soup_stream(ITCH))}
