"""Finding the packets of a SoupBinTCP server in a stream whose begin is missing."""

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.soupbintcp.kernels_find import find_packets_nb

LENGTHS = np.zeros(256, np.int64)
LENGTHS[ord("a")], LENGTHS[ord("b")] = 5, 9
A, B = b"\0\x06Sa1234", b"\0\x0aSb12345678"
ACCEPTED = b"\0\x1fA" + b"session   " + b"1".rjust(20)
OTHERS = [b"\0\x01H", b"\0\x01Z", b"\0\x02JA", b"\0\x03+hi", b"\0\x04Uxyz", ACCEPTED]


ENOUGH = 16


def find(data: bytes, start: int = 0, enough: int = ENOUGH) -> int:
    """The kernel, with bytes around that are not to be looked at."""
    buf = np.frombuffer(b"\0\x06Sa1234" + data + b"\0\x06Sa1234", np.uint8)
    found = int(find_packets_nb(buf, 8 + start, 8 + len(data), LENGTHS, enough))
    return found - 8 if found >= 0 else -1


def test_packets_at_the_start_are_found_there():
    assert find(A) == 0
    assert find(A + B) == 0
    assert find(A + B, start=1) == len(A)


@pytest.mark.parametrize("other", OTHERS)
def test_packets_that_are_no_messages_may_stand_between(other: bytes):
    assert find(other + A) == 0
    assert find(A + other + B) == 0
    assert find(other) == -1


@pytest.mark.parametrize(
    "broken",
    [b"\0\x02H!", b"\0\x03JAB", b"\0\0H", b"\0\x05A1234", b"\0\x03Q!!", b"\0\x07Sa12345"],
)
def test_what_is_no_packet_breaks_the_chain(broken: bytes):
    assert find(broken + A) == len(broken)
    assert find(A + broken + B) == len(A + broken)
    assert find(broken) == -1


@pytest.mark.parametrize("size", range(len(B)))
def test_the_last_packet_may_be_cut_but_is_no_proof(size: int):
    assert find(A + B[:size]) == 0
    assert find(B[:size]) == -1


def test_enough_packets_need_no_end():
    assert find(A * 4 + b"rubbish", enough=4) == 0
    assert find(A * 4 + b"rubbish", enough=5) == -1


@given(
    st.lists(st.sampled_from([A, B, *OTHERS]), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
@example([A, *[OTHERS[0]] * ENOUGH], random.Random(1))
def test_whatever_is_cut_off_in_front_the_next_packet_is_found(
    packets: list[bytes], chance: random.Random
):
    packets.append(A)
    starts = np.cumsum([0, *map(len, packets)]).tolist()
    stream = b"".join(packets)
    cut = chance.randrange(len(stream) - len(A) + 1)
    found = cut + find(stream[cut:])
    # A message is to be among the packets that are enough; and a shorter way to the same packets is
    # as good: text may hold what looks like one.
    good = (
        start
        for i, start in enumerate(starts[:-1])
        if start >= cut and not {A, B}.isdisjoint(packets[i : i + ENOUGH])
    )
    assert cut <= found <= next(good)


@given(st.binary(max_size=60), st.integers(1, 5))
def test_any_bytes_give_a_place_within_them_or_none(data: bytes, enough: int):
    assert -1 <= find(data, enough=enough) <= max(len(data) - 3, -1)
