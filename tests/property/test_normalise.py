"""Wire to rows against the slow twin, and packets against the codec that was written apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.nasdaq_itch.normalise import normalise_nb
from feedhandler.core.api import Packet
from feedhandler.core.engine import BAD_LENGTH_STATUS
from feedhandler.core.events import TICK, Kind
from protocols.errors import RemoteProtocolError
from protocols.itch50.spec import BY_TYPE
from protocols.moldudp64.codec import Packet as Mold
from protocols.moldudp64.codec import decode_packet, encode_packet
from protocols.moldudp64.kernels import parse_packet_nb
from protocols.moldudp64.spec import SEQUENCE_LIMIT
from tests.reference import slow_itch
from tests.reference.itch_strategies import encoded_messages, message_values

SESSION = b"TEST000001"
SEQUENCE_AT, COUNT_AT, HEADER_BYTES = 10, 18, 20


def normalise(messages: list[bytes]):
    """Ticks of some messages, written over rows that are full of something else."""
    blocks = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    ticks = np.zeros(len(messages), TICK)
    ticks.view(np.uint8)[:] = 0xA5
    slots = np.arange(len(messages), dtype=np.int32)[::-1].copy()
    # A margin before and behind: nothing but the blocks may matter.
    buf = np.frombuffer(b"\xff" * 3 + blocks + b"\xff" * 3, np.uint8)
    assert normalise_nb(buf, 3, len(messages), ticks, slots) == 3 + len(blocks)
    return [ticks[slot] for slot in slots]


@given(st.lists(encoded_messages(), max_size=5))
def test_every_column_is_that_of_the_slow_twin(messages: list[bytes]):
    for message, tick in zip(messages, normalise(messages), strict=True):
        expected = slow_itch.normalise(message)
        assert {column: int(tick[column]) for column in expected} == expected


@pytest.mark.parametrize("message_type", sorted(BY_TYPE))
def test_every_type_has_a_kind_of_row(message_type: str):
    message = BY_TYPE[message_type]

    @given(message_values(message).map(message.encode))
    def check(data: bytes) -> None:
        (tick,) = normalise([data])
        assert tick["kind"] == slow_itch.TICK_COLUMNS[message_type][0]
        assert tick["code"] == ord(message_type)

    check()


@given(st.binary(max_size=60))
def test_row_is_of_kind_none_exactly_when_type_or_length_are_not_in_the_table(data: bytes):
    (tick,) = normalise([data])
    message = BY_TYPE.get(chr(data[0])) if data else None
    assert (tick["kind"] != Kind.NONE) == (message is not None and message.length == len(data))
    if tick["kind"] == Kind.NONE:
        assert tick["flags"] == 0
        assert tick["code"] == (data[0] if data else 0)
        assert (tick["status"] == BAD_LENGTH_STATUS) == (message is not None)


@given(encoded_messages(), st.integers(-3, 3).filter(bool))
def test_length_that_contradicts_the_type_is_told_from_an_unknown_type(data: bytes, change: int):
    wrong = data[:change] if change < 0 else data + bytes(change)
    (tick,) = normalise([wrong])
    assert (tick["kind"], tick["status"]) == (Kind.NONE, BAD_LENGTH_STATUS)


def parse(data: bytes, session: bytes = SESSION):
    buf = np.frombuffer(b"\xee" * 5 + data, np.uint8)
    known = np.frombuffer(session, np.uint8).copy()
    out = np.full(4, -1, np.int64)
    code = parse_packet_nb(buf, 5, len(data), known, out)
    return Packet(code), out.tolist(), known.tobytes()


packets = st.builds(
    Mold,
    st.just(SESSION.decode()),
    st.integers(0, SEQUENCE_LIMIT - 1),
    st.lists(st.binary(max_size=20), max_size=4).map(tuple),
)


@given(packets)
def test_whole_packet_is_data_or_heartbeat(mold: Mold):
    data = encode_packet(mold)
    code, out, _ = parse(data)
    assert code == (Packet.DATA if mold.messages else Packet.HEARTBEAT)
    assert out == [mold.sequence, len(mold.messages), 5 + HEADER_BYTES, 5 + len(data)]


def test_end_of_session_is_told_from_a_heartbeat():
    code, out, _ = parse(encode_packet(Mold(SESSION.decode(), 42, ended=True)))
    assert (code, out[0]) == (Packet.END_OF_SESSION, 42)


@given(packets, st.data())
def test_damaged_packet_is_malformed_exactly_when_the_codec_refuses_it(
    mold: Mold, data: st.DataObject
):
    raw = bytearray(encode_packet(mold))
    at = data.draw(st.integers(SEQUENCE_AT, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(raw)))
    damaged = bytes(raw[:size])
    try:
        # Rows hold no number from the limit on; the codec does.
        fits = decode_packet(damaged).sequence < SEQUENCE_LIMIT
        expected = Packet.DATA if fits else Packet.MALFORMED
    except RemoteProtocolError:
        expected = Packet.MALFORMED
    code, out, session = parse(damaged)
    assert (code == Packet.MALFORMED) == (expected == Packet.MALFORMED)
    assert session == SESSION
    if code == Packet.MALFORMED:
        assert out == [-1] * 4


def test_packet_of_another_session_is_refused():
    code, _, session = parse(encode_packet(Mold("OTHER", 1, (b"x",))))
    assert (code, session) == (Packet.WRONG_SESSION, SESSION)


def test_unknown_session_is_learnt_from_the_first_whole_packet():
    raw = encode_packet(Mold(SESSION.decode(), 1, (b"x",)))
    unknown = bytes(10)
    assert parse(raw[:-1], unknown) == (Packet.MALFORMED, [-1] * 4, unknown)
    code, _, session = parse(raw, unknown)
    assert (code, session) == (Packet.DATA, SESSION)


@pytest.mark.parametrize("sequence", [SEQUENCE_LIMIT, 2**63 - 1, 2**63, 2**64 - 2])
def test_a_packet_that_no_row_can_number_is_malformed_and_not_misread(sequence: int):
    highest = encode_packet(Mold(SESSION.decode(), SEQUENCE_LIMIT - 1, (b"x",)))
    assert parse(highest)[1][0] == SEQUENCE_LIMIT - 1
    beyond = encode_packet(Mold(SESSION.decode(), sequence, (b"x",)))
    assert parse(beyond) == (Packet.MALFORMED, [-1] * 4, SESSION)
