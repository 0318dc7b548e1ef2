"""index_messages_nb against the slow twin, at every cut, and where each status belongs."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import Status
from tests.reference.slow_itch import messages_of_file


def index_all(data: bytes, room: int = 4) -> tuple[list[bytes], int, Status]:
    """Every message of `data` by repeated calls, the bytes used, and the last status."""
    buf = np.frombuffer(data, np.uint8)
    out_at = np.zeros(room + 1, np.int64)
    found: list[bytes] = []
    start = 0
    while True:
        count, used, status = index_messages_nb(buf, start, len(data), out_at)
        for at, end in itertools.pairwise(out_at[: count + 1].tolist()):
            found.append(data[at + 2 : end])
        start += int(used)
        if status not in (Status.OUTPUT_FULL, Status.END_OF_SESSION):
            return found, start, Status(status)


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


@given(st.lists(st.binary(max_size=5)))
def test_every_message_of_every_session_is_found(messages: list[bytes]):
    data = framed(messages)
    assert index_all(data) == ([message for message in messages if message], len(data), Status.OK)


def test_file_cut_at_any_byte_gives_its_whole_messages_and_says_where_it_ends():
    messages = [b"A" * 3, b"", b"B", b"C" * 300]
    data = framed(messages)
    boundaries = {0, 5, 7, 10, 312}
    for size in range(len(data) + 1):
        found, used, status = index_all(data[:size])
        assert found == list(messages_of_file(data[:size]))
        assert used == max(boundary for boundary in boundaries if boundary <= size)
        assert status == (Status.OK if size in boundaries else Status.TRUNCATED)


@given(st.binary(max_size=200), st.integers(1, 3))
def test_random_bytes_give_what_the_slow_twin_gives(data: bytes, room: int):
    found, used, status = index_all(data, room)
    assert found == list(messages_of_file(data))
    assert (status == Status.OK) == (used == len(data))


def test_end_of_session_is_told_even_when_the_output_is_full():
    buf = np.frombuffer(bytes.fromhex("000141 0000 000142"), np.uint8)
    out_at = np.zeros(2, np.int64)
    first = index_messages_nb(buf, 0, len(buf), out_at)
    assert tuple(map(int, first)) == (1, 5, Status.END_OF_SESSION)
    second = index_messages_nb(buf, 5, len(buf), out_at)
    assert tuple(map(int, second)) == (1, 3, Status.OK)
    assert out_at.tolist() == [5, 8]


def test_full_output_says_where_to_go_on():
    buf = np.frombuffer(bytes.fromhex("000141 000142"), np.uint8)
    out_at = np.zeros(2, np.int64)
    result = index_messages_nb(buf, 0, len(buf), out_at)
    assert tuple(map(int, result)) == (1, 3, Status.OUTPUT_FULL)


def test_nothing_outside_of_start_and_stop_is_touched():
    buf = np.frombuffer(bytes.fromhex("ffff 000141 000142"), np.uint8)
    out_at = np.zeros(5, np.int64)
    result = index_messages_nb(buf, 2, 6, out_at)
    assert tuple(map(int, result)) == (1, 3, Status.TRUNCATED)
    assert out_at[:2].tolist() == [2, 5]
