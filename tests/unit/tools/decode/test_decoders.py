"""BinaryFILE, MoldUDP64 and SoupBinTCP: whole, in single bytes, cut and wrong at every byte."""

from collections import Counter
from collections.abc import Callable

import pytest

from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.itch50.spec import MESSAGES
from protocols.moldudp64.codec import Packet, encode_packet
from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    binary_file,
    bytes_of,
    flipped,
    login_accepted,
    run,
    soup_packet,
    soup_stream,
)
from tools.decode.decoders import BinaryFileDecoder, MoldDecoder, SoupDecoder
from tools.decode.entries import Decoder
from tools.decode.streams import DECODERS, ConnectionDecoder

Make = Callable[[], Decoder]

KEYS = [message.key for message in MESSAGES]


def test_binary_file_gives_every_message_with_number_and_offset():
    data = binary_file(ITCH)
    found = run(BinaryFileDecoder(), [data])
    assert [raw for _, _, raw in found.entries] == ITCH
    assert [seq for seq, _, _ in found.entries] == list(range(1, 24))
    assert all(data[at : at + len(raw)] == raw for _, at, raw in found.entries)
    assert [row.name for row in found.rows] == KEYS
    assert found.counts == {"end_of_session": 1}
    assert found.incomplete is None


@pytest.mark.parametrize("protocol", ["itch50", None])
def test_soup_gives_every_message_with_the_number_of_the_login(protocol: str | None):
    data = soup_stream(ITCH, seq=77) + soup_packet("Z")
    found = run(SoupDecoder("itch50" if protocol else None), [data])
    assert [raw for _, _, raw in found.entries] == ITCH
    assert [seq for seq, _, _ in found.entries] == list(range(77, 100))
    assert all(data[at : at + len(raw)] == raw for _, at, raw in found.entries)
    assert [row.name for row in found.rows] == KEYS
    assert found.counts == {"login_accepted": 1, "heartbeat": 1, "debug": 1, "end_of_session": 1}


@pytest.mark.parametrize("protocol", ["ouch42", None])
def test_soup_tells_the_two_ways_of_ouch_apart(protocol: str | None):
    client = b"".join(soup_packet("U", message) for message in OUCH_IN)
    for login in (b"", b" 5000"):
        start = soup_packet("L", b"user  password            " + b"1".rjust(20) + login)
        found = run(SoupDecoder("ouch42" if protocol else None), [start + client])
        names = [row.name for row in found.rows]
        assert names == [
            "enter_order", "replace_order", "cancel_order", "modify_order", "trade_now"
        ]  # fmt: skip
        assert [seq for seq, _, _ in found.entries] == [None] * 5
        assert found.counts == {"login_request": 1}
    found = run(SoupDecoder("ouch42" if protocol else None), [soup_stream(OUCH_OUT)])
    assert [raw for _, _, raw in found.entries] == OUCH_OUT
    assert not any(row.fault for row in found.rows)


def test_soup_that_is_joined_late_counts_from_1_and_takes_itch_for_granted():
    found = run(SoupDecoder(), [soup_packet("S", ITCH[0]) + soup_packet("U", ITCH[1])])
    assert [seq for seq, _, _ in found.entries] == [1, None]
    assert [row.name for row in found.rows] == KEYS[:2]


def test_a_snapshot_ends_with_the_message_that_glimpse_adds():
    found = run(SoupDecoder(), [soup_packet("S", encode_end_of_snapshot(12))])
    assert found.rows[0].values["sequence_number"] == "00000000000000000012"
    assert found.rows[0].name == "snapshot"


def test_mold_gives_every_message_with_its_sequence_number_and_offset():
    data = encode_packet(Packet("SESSION", 1000, tuple(ITCH)))
    found = run(MoldDecoder(certain=False), [data])
    assert [raw for _, _, raw in found.entries] == ITCH
    assert [seq for seq, _, _ in found.entries] == list(range(1000, 1023))
    assert all(data[at : at + len(raw)] == raw for _, at, raw in found.entries)


def test_mold_counts_what_carries_no_message():
    packets = [
        encode_packet(Packet("SESSION", 5)),
        encode_packet(Packet("SESSION", 5, (ITCH[0],))),
        encode_packet(Packet("SESSION", 6, ended=True)),
    ]
    found = run(MoldDecoder(certain=False), packets)
    assert len(found.entries) == 1
    assert found.counts == {"heartbeat": 1, "end_of_session": 1}


def test_datagrams_of_somebody_else_are_counted_until_the_flow_is_known():
    foreign = [b"", b"a DNS question or the like", bytes(20)]
    good = encode_packet(Packet("SESSION", 1, (ITCH[0],)))
    found = run(MoldDecoder(certain=False), [*foreign, good, foreign[1]])
    assert found.counts == {"other_datagram": 3}
    assert [row.name for row in found.rows] == ["system_event", "malformed_packet"]
    found = run(MoldDecoder(certain=True), foreign[:2])
    assert [row.fault for row in found.rows] == ["malformed_packet"] * 2


def test_unknown_types_and_wrong_lengths_are_shown_with_their_bytes():
    messages = [b"z unknown", ITCH[0][:-1], ITCH[0] + b"!", b"\0", ITCH[0]]
    soup = soup_stream(messages).replace(b"\0\1H", b"", 1)
    mold = encode_packet(Packet("SESSION", 1, (*messages, b"")))
    for found in (
        run(BinaryFileDecoder(), [binary_file(messages)]),
        run(SoupDecoder(), [soup]),
        run(MoldDecoder(certain=False), [mold]),
    ):
        faults = ["unknown_type", "wrong_length", "wrong_length", "unknown_type", ""]
        assert [row.fault for row in found.rows][:5] == faults
        assert [row.type for row in found.rows][:5] == ["z", "S", "S", "\0", "S"]
        assert [seq for seq, _, _ in found.entries][:5] == [1, 2, 3, 4, 5]
    assert found.rows[5].fault == "wrong_length"


def test_broken_soup_packets_are_shown_and_passed():
    packets = [
        (b"\0\0", "malformed_packet", "without a type"),
        (soup_packet("?", b"x"), "unknown_type", "packet type b'?'"),
        (soup_packet("H", b"x"), "malformed_packet", "heartbeat: 2 bytes, specification says 1"),
        (soup_packet("A", b"x"), "malformed_packet", "login_accepted: 2 bytes"),
        (soup_packet("L", b"x"), "malformed_packet", "2 bytes, specification says 47 or 52"),
        (login_accepted(1)[:-1] + b"x", "malformed_packet", "not made of decimal digits"),
        (login_accepted(1)[:-1] + b"\xb2", "malformed_packet", "not made of decimal digits"),
    ]
    for packet, fault, text in packets:
        found = run(SoupDecoder(), [packet + soup_packet("S", ITCH[0])])
        assert [row.fault for row in found.rows] == [fault, ""]
        assert text in found.rows[0].text
        assert found.entries[0] == (None, 2 if packet[2:] else 0, packet[2:])


STREAMS = [
    pytest.param(lambda: DECODERS["binaryfile"](None), binary_file(ITCH)),
    pytest.param(lambda: DECODERS["soupbintcp"](None), soup_stream(ITCH)),
    pytest.param(lambda: DECODERS["soupbintcp"]("ouch42"), soup_stream(OUCH_OUT)),
    pytest.param(lambda: ConnectionDecoder(is_whole=True), soup_stream(OUCH_OUT)),
]
BY_STREAM = pytest.mark.parametrize(
    ("make", "data"), STREAMS, ids=["binaryfile", "soup-itch", "soup-ouch", "connection"]
)


@BY_STREAM
def test_byte_by_byte_is_as_whole(make: Make, data: bytes):
    assert run(make(), bytes_of(data)) == run(make(), [data])


@BY_STREAM
def test_split_at_every_byte_is_as_whole(make: Make, data: bytes):
    whole = run(make(), [data])
    for at in range(len(data)):
        assert run(make(), [data[:at], data[at:]]) == whole


@BY_STREAM
def test_cut_at_every_byte_gives_what_is_whole_and_where_the_rest_begins(make: Make, data: bytes):
    whole = run(make(), [data])
    for size in range(len(data)):
        found = run(make(), [data[:size]])
        assert found.entries == whole.entries[: len(found.entries)]
        assert not any(row.fault for row in found.rows)
        done = [at + len(raw) for _, at, raw in whole.entries if at + len(raw) <= size]
        assert len(found.entries) == len(done)
        if found.incomplete is not None:
            assert max(done, default=0) <= found.incomplete.offset < size
            assert "ends within a" in found.incomplete.reason


@BY_STREAM
def test_with_any_byte_wrong_every_byte_is_still_accounted_for(make: Make, data: bytes):
    for wrong in flipped(data):
        found = run(make(), [wrong])
        for _, at, raw in found.entries:
            assert wrong[at : at + len(raw)] == raw
        pending = len(wrong) - found.incomplete.offset if found.incomplete else 0
        # Every byte is in a message, its length, a packet without message, or cut off at the end.
        shown = sum(len(raw) + 2 for _, _, raw in found.entries)
        if make is STREAMS[0].values[0]:
            assert shown + 2 * found.counts["end_of_session"] + pending == len(wrong)
        assert shown + pending <= len(wrong)


@pytest.mark.parametrize("certain", [False, True])
def test_a_datagram_cut_at_every_byte_or_with_any_byte_wrong_is_shown_or_counted(certain: bool):
    data = encode_packet(Packet("SESSION", 7, tuple(ITCH)))
    cuts = [data[:size] for size in range(len(data))]
    for wrong in (*cuts, *flipped(data)):
        found = run(MoldDecoder(certain=certain), [wrong])
        malformed = [row for row in found.rows if row.fault == "malformed_packet"]
        if len(wrong) < len(data):
            assert bool(malformed) == certain
            assert found.counts == (Counter() if certain else {"other_datagram": 1})
        elif not malformed and not found.counts:
            assert len(found.entries) == len(ITCH)
