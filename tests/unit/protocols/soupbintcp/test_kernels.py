"""The scan of sequenced payloads against golden bytes and against the session."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import Status
from protocols.soupbintcp.kernels import scan_sequenced_nb

STREAM = b"\x00\x04Sone\x00\x01H\x00\x03+hi\x00\x01S\x00\x04Stwo"
PAYLOADS = [b"one", b"", b"two"]
MARGIN = 3


def scan(data: bytes, limit: int = 100):
    buf = np.frombuffer(b"\xff" * MARGIN + data + b"\xff" * MARGIN, np.uint8)
    out_at, out_len = np.zeros(limit, np.int64), np.zeros(limit, np.int64)
    stop = MARGIN + len(data)
    count, used, status = scan_sequenced_nb(buf, MARGIN, stop, out_at, out_len, limit)
    found = [buf[at : at + size].tobytes() for at, size in zip(out_at, out_len, strict=True)][
        :count
    ]
    return found, used, Status(status)


def test_payloads_are_found_between_heartbeats_and_debug_text():
    assert scan(STREAM) == (PAYLOADS, len(STREAM), Status.OK)


def test_the_end_of_the_session_stops_the_scan():
    assert scan(STREAM + b"\x00\x01Z" + STREAM) == (
        PAYLOADS,
        len(STREAM) + 3,
        Status.END_OF_SESSION,
    )


@pytest.mark.parametrize("size", range(len(STREAM)))
def test_every_truncation_gives_whole_packets_and_the_rest_later(size: int):
    first, used, status = scan(STREAM[:size])
    rest, _, _ = scan(STREAM[used:])
    assert status is Status.OK
    assert first + rest == PAYLOADS


@pytest.mark.parametrize(("limit", "found"), [(1, 1), (2, 2), (3, 3)])
def test_a_full_output_stops_before_the_packet_that_does_not_fit(limit: int, found: int):
    payloads, used, status = scan(STREAM, limit)
    assert payloads == PAYLOADS[:found]
    assert status is (Status.OK if limit == 3 else Status.OUTPUT_FULL)
    assert scan(STREAM[used:])[0] == PAYLOADS[found:]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (b"\x00\x00", Status.BAD_LENGTH),
        (b"\x00\x00S", Status.BAD_LENGTH),
        (b"\x00\x01R", Status.UNKNOWN_TYPE),
        (b"\x00\x02JA", Status.UNKNOWN_TYPE),
    ],
)
def test_a_fault_leaves_what_came_before_it(fault: bytes, status: Status):
    assert scan(STREAM + fault) == (PAYLOADS, len(STREAM), status)


@given(st.binary(max_size=200))
def test_any_bytes_are_scanned_inside_their_bounds(data: bytes):
    found, used, _ = scan(data)
    assert 0 <= used <= len(data)
    assert sum(map(len, found)) <= used
