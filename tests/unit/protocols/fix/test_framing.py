import itertools
import random

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from protocols.fix.framing import Framer, checksum

# Body counted by hand: 35=0| 5, 34=2| 5, 49=A| 5, 56=B| 5, 52=20260921-12:00:00.000| 25 bytes.
HEARTBEAT = b"8=FIX.4.4\x019=45\x0135=0\x0134=2\x0149=A\x0156=B\x0152=20260921-12:00:00.000\x01"
HEARTBEAT += b"10=%03d\x01" % (sum(HEARTBEAT) % 256)


def make(body: bytes, begin: bytes = b"FIX.4.4") -> bytes:
    whole = b"8=%b\x019=%d\x01%b" % (begin, len(body), body)
    return whole + b"10=%03d\x01" % (sum(whole) % 256)


OTHER = make(b"35=1\x0134=3\x01112=HELLO\x01")


def frames_of(framer: Framer) -> list[bytes]:
    frames = []
    while (frame := framer.next_frame()) is not None:
        frames.append(frame)
    return frames


def split_feed(data: bytes, cuts: list[int]) -> tuple[list[bytes], Framer]:
    framer, frames = Framer(), []
    edges = [0, *sorted(cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        framer.feed(data[start:stop])
        frames += frames_of(framer)
    return frames, framer


@given(st.binary(max_size=2000))
def test_checksum_is_the_sum_of_all_bytes_modulo_256(data: bytes):
    assert checksum(data) == sum(data) % 256


def test_checksum_of_the_largest_blocks_is_exact():
    assert checksum(b"\xff" * 4096) == 4096 * 255 % 256


def test_a_message_split_at_any_byte_comes_out_whole():
    for cut in range(len(HEARTBEAT) + len(OTHER) + 1):
        frames, framer = split_feed(HEARTBEAT + OTHER, [cut])
        assert frames == [HEARTBEAT, OTHER]
        assert framer.garbled_count == 0


def test_what_is_behind_the_last_frame_can_be_taken_by_another_reader():
    whole = b"8=FIX.4.4\x019=5\x0135=0\x01"
    whole += b"10=%03d\x01" % checksum(whole)
    framer = Framer()
    framer.feed(whole + whole[:9])
    assert framer.next_frame() == whole
    assert framer.take_unread() == whole[:9]
    assert framer.take_unread() == b""
    framer.feed(whole)
    assert frames_of(framer) == [whole]


def test_byte_by_byte_gives_the_same_as_at_once():
    data = HEARTBEAT + b"noise" + OTHER + HEARTBEAT[:-3] + OTHER + HEARTBEAT
    whole, framer = split_feed(data, [])
    single, slow = split_feed(data, list(range(1, len(data))))
    assert single == whole
    assert slow.garbled_bytes == framer.garbled_bytes


@pytest.mark.parametrize("size", range(len(HEARTBEAT)))
def test_a_truncated_message_waits_for_its_rest(size: int):
    framer = Framer()
    framer.feed(HEARTBEAT[:size])
    assert framer.next_frame() is None
    assert framer.garbled_count == 0
    assert framer.buffered_bytes == size


@pytest.mark.parametrize("at", range(len(HEARTBEAT)))
def test_one_wrong_byte_never_passes_and_later_messages_do(at: int):
    bad = bytearray(HEARTBEAT)
    bad[at] ^= 0x10
    frames, framer = split_feed(bytes(bad) + OTHER * 3, [])
    assert bytes(bad) not in frames
    assert frames[-1] == OTHER
    assert framer.garbled_count >= 1


def test_a_wrong_checksum_leaves_the_message_out_and_counts_it():
    framer = Framer()
    framer.feed(HEARTBEAT[:-4] + b"000\x01" + OTHER)
    assert frames_of(framer) == [OTHER]
    assert framer.garbled_count == 1
    assert framer.garbled_bytes == len(HEARTBEAT)
    assert framer.garbled_bytes_in_row == 0


def test_a_third_field_that_is_no_message_type_is_garbled():
    framer = Framer()
    framer.feed(make(b"34=2\x0135=0\x01") + OTHER)
    assert frames_of(framer) == [OTHER]
    assert framer.garbled_count == 1


def test_a_message_inside_the_data_of_a_garbled_one_is_not_run():
    outer = make(b"35=B\x01212=%d\x01213=%b\x01" % (len(OTHER), OTHER))
    framer = Framer()
    framer.feed(outer[:-4] + b"xxx\x01" + HEARTBEAT)
    assert OTHER not in frames_of(framer)


def test_a_length_that_is_too_short_loses_that_message_only():
    framer = Framer()
    framer.feed(HEARTBEAT.replace(b"9=45", b"9=30") + OTHER)
    assert frames_of(framer) == [OTHER]


def test_a_length_that_is_too_long_takes_the_message_it_reaches_into_and_no_more():
    framer = Framer()
    framer.feed(HEARTBEAT.replace(b"9=45", b"9=70") + OTHER + HEARTBEAT)
    assert frames_of(framer) == [HEARTBEAT]


def test_a_length_over_the_cap_is_garbage_at_once():
    framer = Framer(message_bytes_max=100)
    framer.feed(b"8=FIX.4.4\x019=101\x0135=0\x01" + OTHER)
    assert frames_of(framer) == [OTHER]
    assert framer.garbled_count == 1


def test_a_lying_length_without_any_trailer_cannot_hold_the_buffer_beyond_the_cap():
    framer = Framer(message_bytes_max=200)
    framer.feed(b"8=FIX.4.4\x019=30\x0135=0\x01")
    for _ in range(100):
        framer.feed(b"x" * 50)
        assert framer.next_frame() is None
        assert framer.buffered_bytes <= 200 + 64 + 50
    framer.feed(OTHER)
    assert frames_of(framer) == [OTHER]


def test_a_header_without_end_is_given_up_inside_its_window():
    framer = Framer()
    framer.feed(b"8=FIX.4.4" + b"4" * 60)
    assert framer.next_frame() is None
    assert framer.buffered_bytes == 0
    assert framer.garbled_bytes == 69


def test_garbage_in_a_row_is_measured_until_a_message_passes():
    framer = Framer()
    for _ in range(10):
        framer.feed(b"\x00" * 100)
        assert framer.next_frame() is None
    assert framer.garbled_bytes_in_row == 1000
    assert framer.garbled_count == 1
    framer.feed(OTHER)
    assert framer.next_frame() == OTHER
    assert framer.garbled_bytes_in_row == 0


def test_the_start_of_a_message_at_the_end_of_garbage_is_kept():
    for kept in range(6):
        framer = Framer()
        framer.feed(b"garbage " + OTHER[:kept])
        assert framer.next_frame() is None
        framer.feed(OTHER[kept:])
        assert frames_of(framer) == [OTHER]


def test_clear_forgets_what_waits_and_keeps_the_counts():
    framer = Framer()
    framer.feed(b"xx" + HEARTBEAT[:20])
    assert framer.next_frame() is None
    framer.clear()
    framer.feed(OTHER)
    assert frames_of(framer) == [OTHER]
    assert framer.garbled_count == 1


def test_random_bytes_never_hang_raise_or_grow_the_buffer():
    rng = random.Random(7)
    framer = Framer(message_bytes_max=500)
    pieces = [b"8=FIX.4.4\x01", b"9=12\x01", b"10=000\x01", b"35=0\x01", OTHER, b"\x01", b"8=FIX"]
    good = 0
    for _ in range(5000):
        piece = rng.choice(pieces) if rng.random() < 0.7 else rng.randbytes(rng.randrange(20))
        framer.feed(piece)
        frames = frames_of(framer)
        assert all(frame == OTHER for frame in frames)
        good += len(frames)
        assert framer.buffered_bytes <= 500 + 64 + len(OTHER)
    assert good > 100


@given(st.lists(st.binary(min_size=1, max_size=30).filter(lambda raw: b"\x01" not in raw)))
def test_what_simplefix_encodes_passes_unchanged(values: list[bytes]):
    message = simplefix.FixMessage()
    message.append_pair(8, b"FIX.4.4")
    message.append_pair(35, b"B")
    for value in values:
        message.append_pair(58, value)
    wire = message.encode()
    frames, framer = split_feed(wire * 2, [len(wire) // 2])
    assert frames == [wire, wire]
    assert framer.garbled_count == 0
