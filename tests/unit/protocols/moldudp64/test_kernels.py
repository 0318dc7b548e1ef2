"""MoldUDP64 kernels against golden bytes and against the cold codec."""

import numpy as np
import pytest

from protocols.errors import Status
from protocols.moldudp64 import kernels, spec
from protocols.moldudp64.codec import Packet, Request, encode_packet, encode_request

SESSION = np.frombuffer(b"000010059B", np.uint8)
# Session, sequence 14757701, two messages: "ab" and an empty one.
GOLDEN = b"000010059B" + bytes.fromhex("0000000000e12f45 0002 0002 6162 0000")
MARGIN = 7


def placed(data: bytes) -> np.ndarray:
    """The packet in the middle of other bytes, as in a batch of datagrams."""
    return np.frombuffer(b"\xff" * MARGIN + data + b"\xff" * MARGIN, np.uint8).copy()


def check(data: bytes) -> int:
    return kernels.check_blocks_nb(placed(data), MARGIN, len(data))


def test_the_header_of_a_real_packet_is_read_where_the_packet_lies():
    header = kernels.packet_header_nb(placed(GOLDEN), MARGIN, len(GOLDEN))
    assert header == (14757701, 2, Status.OK)


def test_a_session_is_compared_byte_by_byte():
    buf = placed(GOLDEN)
    assert kernels.session_matches_nb(buf, MARGIN, SESSION) == 1
    for index in range(spec.SESSION_BYTES):
        other = SESSION.copy()
        other[index] ^= 1
        assert kernels.session_matches_nb(buf, MARGIN, other) == 0


def test_blocks_that_end_with_the_packet_are_good():
    assert check(GOLDEN) == Status.OK
    assert check(encode_packet(Packet("S", 1, (b"",) * 300))) == Status.OK


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_every_shorter_packet_is_truncated(size: int):
    assert check(GOLDEN[:size]) == Status.TRUNCATED
    expected = Status.TRUNCATED if size < spec.HEADER_BYTES else Status.OK
    assert kernels.packet_header_nb(placed(GOLDEN), MARGIN, size)[2] == expected


def test_bytes_after_the_last_block_are_a_bad_length():
    assert check(GOLDEN + b"x") == Status.BAD_LENGTH


def test_a_heartbeat_and_an_end_of_session_have_no_blocks():
    heartbeat = encode_packet(Packet("S", 5))
    end = encode_packet(Packet("S", 5, ended=True))
    assert check(heartbeat) == check(end) == Status.OK
    assert check(heartbeat + b"\0\0") == check(end + b"\0\0") == Status.BAD_LENGTH
    assert kernels.packet_header_nb(placed(end), MARGIN, len(end))[1] == spec.END_OF_SESSION


@pytest.mark.parametrize("sequence", [spec.SEQUENCE_LIMIT, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_sequence_number_that_rows_could_not_count_on_from_is_a_bad_value(sequence: int):
    data = GOLDEN[:10] + sequence.to_bytes(8, "big") + b"\0\0"
    assert kernels.packet_header_nb(placed(data), MARGIN, len(data)) == (0, 0, Status.BAD_VALUE)


def test_the_highest_sequence_number_is_read_whole():
    highest = spec.SEQUENCE_LIMIT - 1
    data = GOLDEN[:10] + highest.to_bytes(8, "big") + b"\0\0"
    assert kernels.packet_header_nb(placed(data), MARGIN, len(data)) == (highest, 0, 0)
    assert highest + 0xFFFF * 0xFFFF < 1 << 63


def test_requests_and_headers_are_written_as_the_cold_codec_writes_them():
    request, header = np.zeros(20, np.uint8), np.zeros(25, np.uint8)
    kernels.write_request_nb(request, SESSION, 14757701, 77)
    assert request.tobytes() == encode_request(Request("000010059B", 14757701, 77))
    kernels.write_header_nb(header, 5, SESSION, 14757701, 2)
    assert header.tobytes() == bytes(5) + GOLDEN[:20]


def test_a_request_has_the_layout_of_a_downstream_header():
    layout = [(item.type, item.offset, item.size_bytes) for item in spec.REQUEST.fields]
    assert layout == [
        (item.type, item.offset, item.size_bytes) for item in spec.DOWNSTREAM_HEADER.fields
    ]
