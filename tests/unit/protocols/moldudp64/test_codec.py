"""The cold MoldUDP64 codec."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError, Status
from protocols.moldudp64.codec import (
    Packet,
    Request,
    decode_packet,
    decode_request,
    encode_packet,
    encode_request,
)
from protocols.moldudp64.kernels import check_blocks_nb, packet_header_nb
from protocols.moldudp64.spec import END_OF_SESSION, MESSAGES_MAX, SEQUENCE_LIMIT, SEQUENCE_MAX

GOLDEN = b"SESS      " + bytes.fromhex("0000000000000007 0002 0001 78 0002 7979")
PACKET = Packet("SESS", 7, (b"x", b"yy"))


def test_a_packet_is_encoded_as_the_specification_says():
    assert encode_packet(PACKET) == GOLDEN
    assert decode_packet(GOLDEN) == PACKET


@given(
    sequence=st.integers(0, SEQUENCE_MAX - 9),
    messages=st.lists(st.binary(max_size=60), max_size=9).map(tuple),
)
def test_every_packet_comes_back(sequence: int, messages: tuple[bytes, ...]):
    packet = Packet("AB12", sequence, messages)
    assert decode_packet(encode_packet(packet)) == packet


def test_an_end_of_session_is_no_packet_of_messages():
    data = encode_packet(Packet("SESS", 9, ended=True))
    assert data[-2:] == b"\xff\xff"
    assert decode_packet(data) == Packet("SESS", 9, ended=True)
    with pytest.raises(LocalProtocolError, match="carries no messages"):
        encode_packet(Packet("SESS", 9, (b"x",), ended=True))


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_every_truncation_is_the_peers_fault(size: int):
    with pytest.raises(RemoteProtocolError):
        decode_packet(GOLDEN[:size])


def test_bytes_left_over_are_the_peers_fault():
    with pytest.raises(RemoteProtocolError, match="1 bytes left over after 2"):
        decode_packet(GOLDEN + b"x")


@given(st.binary(max_size=64))
def test_anything_parses_or_is_the_peers_fault(data: bytes):
    try:
        packet = decode_packet(data)
    except RemoteProtocolError:
        return
    assert len(encode_packet(packet)) == len(data)


def test_a_request_comes_back():
    request = Request("SESS", 12, 500)
    assert decode_request(encode_request(request)) == request
    with pytest.raises(RemoteProtocolError, match="19 bytes"):
        decode_request(encode_request(request)[:-1])
    last = Request("SESS", SEQUENCE_MAX, 0xFFFF)
    assert decode_request(encode_request(last)) == last


def test_what_does_not_fit_is_our_fault():
    with pytest.raises(LocalProtocolError, match="a block holds 65535"):
        encode_packet(Packet("S", 1, (bytes(65_536),)))
    with pytest.raises(LocalProtocolError, match="at most 65534"):
        encode_packet(Packet("S", 1, (b"",) * 65_535))
    for sequence in (-1, 1 << 64):
        with pytest.raises(LocalProtocolError, match="sequence_number"):
            encode_request(Request("S", sequence, 1))


def test_messages_are_numbered_up_to_the_last_64_bit_number_and_no_further():
    last = Packet("S", SEQUENCE_MAX - 1, (b"a", b"b"))
    assert decode_packet(encode_packet(last)) == last
    for header_only in (Packet("S", SEQUENCE_MAX), Packet("S", SEQUENCE_MAX, ended=True)):
        assert decode_packet(encode_packet(header_only)) == header_only
    with pytest.raises(LocalProtocolError, match=r"numbers end at 2\*\*64 - 1"):
        encode_packet(Packet("S", SEQUENCE_MAX, (b"a", b"b")))
    with pytest.raises(RemoteProtocolError, match=r"numbers end at 2\*\*64 - 1"):
        decode_packet(b"S" * 10 + b"\xff" * 8 + b"\0\2" + bytes(4))


def test_the_most_messages_that_a_packet_can_name_come_back():
    most = Packet("S", 1, (b"",) * MESSAGES_MAX)
    assert decode_packet(encode_packet(most)) == most


SAMPLES = [GOLDEN, encode_packet(Packet("SESS", 9)), encode_packet(Packet("SESS", 9, ended=True))]


def sequence_overflows(data: bytes) -> bool:
    """The last message of the packet would have a number beyond 2**64 - 1."""
    count = int.from_bytes(data[18:20], "big") % END_OF_SESSION
    return int.from_bytes(data[10:18], "big") + max(count - 1, 0) > SEQUENCE_MAX


@pytest.mark.parametrize("sample", SAMPLES, ids=["messages", "heartbeat", "end"])
def test_every_damaged_byte_is_read_as_it_stands_or_refused_and_the_kernels_agree(sample: bytes):
    for at in range(len(sample)):
        for value in range(256):
            damaged = sample[:at] + bytes((value,)) + sample[at + 1 :]
            buf = np.frombuffer(damaged, np.uint8)
            _, _, header = packet_header_nb(buf, 0, len(damaged))
            blocks = check_blocks_nb(buf, 0, len(damaged))
            if blocks != Status.OK or sequence_overflows(damaged):
                with pytest.raises(RemoteProtocolError, match=r"byte|left over|2\*\*64"):
                    decode_packet(damaged)
            else:
                packet = decode_packet(damaged)
                assert encode_packet(packet).ljust(len(sample)) == damaged
                assert (header == Status.OK) == (packet.sequence < SEQUENCE_LIMIT)


def test_every_damaged_byte_of_a_request_is_read_as_it_stands():
    sample = encode_request(Request("SESS", 12, 500))
    for at in range(len(sample)):
        for value in range(256):
            damaged = sample[:at] + bytes((value,)) + sample[at + 1 :]
            assert encode_request(decode_request(damaged)) == damaged
    for size in range(len(sample)):
        with pytest.raises(RemoteProtocolError, match=f"request of {size} bytes"):
            decode_request(sample[:size])


@pytest.mark.parametrize("sample", SAMPLES[1:], ids=["heartbeat", "end"])
def test_every_truncation_of_a_header_is_the_peers_fault(sample: bytes):
    for size in range(len(sample)):
        with pytest.raises(RemoteProtocolError, match=f"packet of {size} bytes"):
            decode_packet(sample[:size])
