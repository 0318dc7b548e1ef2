"""TCP streams: what begins and ends a connection, what is missing, and how much is remembered."""

import pytest

from protocols.pcap import spec
from protocols.pcap.flow import Chunk, Endpoint, FlowKey, Hole, Stream, reverse_key
from protocols.pcap.tcp import Segment, TcpAssembler, TcpLimits

SYN, FIN, RST, ACK = spec.TCP_SYN, spec.TCP_FIN, spec.TCP_RST, spec.TCP_ACK
KEY = (0, spec.IPV4_MAPPED | 0x0A000001, 0, spec.IPV4_MAPPED | 0x0A000002, 40_000 << 16 | 80)
BACK = reverse_key(KEY)
CLIENT, SERVER = Endpoint(0x0A000001, 40_000), Endpoint(0x0A000002, 80)
OTHER = (0, 1, 0, 2, 5 << 16 | 6)


class Talk:
    """An assembler, fed by (sequence number, data, flags) at times 1, 2, 3, ..."""

    def __init__(self, **limits: int) -> None:
        self.assembler = TcpAssembler(TcpLimits(**limits))
        self.now = 0
        self.chunks: list[Chunk] = []

    def add(
        self,
        sequence: int,
        data: bytes = b"",
        flags: int = ACK,
        *,
        cut: int = 0,
        key: FlowKey = KEY,
    ) -> list[bytes | Hole]:
        self.now += 1
        segment = Segment(self.now, sequence % 2**32, flags, data, cut)
        return self.keep(self.assembler.add(key, segment))

    def finish(self) -> list[bytes | Hole]:
        return self.keep(self.assembler.finish())

    def keep(self, chunks: list[Chunk]) -> list[bytes | Hole]:
        self.chunks += chunks
        return [chunk.data for chunk in chunks]

    @property
    def connections(self) -> list[int]:
        return [chunk.flow.connection for chunk in self.chunks]


def opened(isn: int = 99, **limits: int) -> Talk:
    talk = Talk(**limits)
    assert talk.add(isn, flags=SYN) == []
    return talk


def test_bytes_in_their_turn_come_at_once():
    talk = opened()
    assert talk.add(100, b"abc") == [b"abc"]
    assert talk.add(103, b"") == []
    assert talk.add(103, b"de") == [b"de"]
    assert talk.chunks[0] == Chunk(2, Stream(CLIENT, SERVER, 0), b"abc")
    assert talk.finish() == []


def test_bytes_behind_a_hole_come_when_it_is_filled_at_the_time_of_that():
    talk = opened()
    assert talk.add(103, b"def") == []
    assert talk.add(109, b"j") == []
    assert talk.add(100, b"abc") == [b"abc", b"def"]
    assert talk.add(106, b"ghi") == [b"ghi", b"j"]
    assert [chunk.ts_ns for chunk in talk.chunks] == [4, 4, 5, 5]
    assert talk.assembler.counts.holes == 0


def test_a_hole_that_nothing_fills_is_said_at_the_end_and_times_are_their_own():
    talk = opened()
    talk.add(105, b"fg")
    talk.add(110, b"k")
    assert talk.finish() == [Hole(5), b"fg", Hole(3), b"k"]
    assert [chunk.ts_ns for chunk in talk.chunks] == [2, 2, 3, 3]
    assert (talk.assembler.counts.holes, talk.assembler.counts.missing_bytes) == (2, 8)


def test_a_hole_is_given_up_when_more_is_kept_than_allowed():
    talk = opened(half_bytes=2_000)
    assert talk.add(105, bytes(900)) == []
    assert talk.add(2_000, bytes(900)) == [Hole(5), bytes(900)]
    assert talk.add(4_000, bytes(900)) == [Hole(995), bytes(900)]


def test_the_half_that_waits_longest_makes_room_for_the_others():
    talk = opened(total_bytes=1_200)
    talk.add(105, bytes(500))
    talk.add(1, flags=SYN, key=OTHER)
    assert talk.add(5, bytes(600), key=OTHER) == [Hole(5), bytes(500)]
    assert talk.connections == [0, 0]


def test_a_segment_may_repeat_overlap_and_cover_what_is_kept():
    talk = opened()
    talk.add(104, b"ef")
    talk.add(108, b"ij")
    assert talk.add(102, b"CDEFGHIJKL") == []
    assert talk.assembler.counts.contradictions == 2
    assert talk.add(100, b"ab") == [b"ab", b"CD", b"ef", b"GH", b"ij", b"KL"]
    assert talk.add(98, b"__ab__") == []
    assert talk.assembler.counts.repeated_bytes == 4 + 6
    assert talk.add(110, b"klmn") == [b"mn"]


def test_a_segment_may_begin_within_what_is_kept_or_cut():
    talk = opened()
    talk.add(103, b"def")
    assert talk.add(105, b"fghi") == []
    assert talk.add(108, b"", cut=4) == []
    assert talk.add(110, b"klmn") == []
    assert talk.assembler.counts.contradictions == 0
    assert talk.assembler.counts.repeated_bytes == 1 + 1 + 2
    assert talk.add(100, b"abc") == [b"abc", b"def", b"ghi", Hole(3), b"mn"]


def test_a_byte_before_the_window_as_a_keepalive_sends_it_is_dropped():
    talk = opened()
    talk.add(100, b"abc")
    assert talk.add(102, b"\0") == []
    assert talk.add(103, b"d") == [b"d"]


def test_sequence_numbers_wrap():
    talk = opened(isn=2**32 - 3)
    assert talk.add(2**32 - 2, b"ab") == [b"ab"]
    assert talk.add(3, b"fg") == []
    assert talk.add(0, b"cde") == [b"cde", b"fg"]
    assert talk.add(2**32 - 2, b"abcd") == []


def test_bytes_that_the_capture_cut_off_are_a_hole_at_once():
    talk = opened()
    assert talk.add(100, b"ab", cut=8) == [b"ab", Hole(8)]
    assert talk.add(110, b"", cut=4) == [Hole(4)]
    assert talk.add(114, b"c") == [b"c"]
    assert talk.assembler.counts.missing_bytes == 12
    talk.add(117, b"", cut=2)
    assert talk.add(115, b"de", cut=0) == [b"de", Hole(2)]
    talk.add(121, b"", cut=2)
    assert talk.add(119, b"fghi") == [b"fg", Hole(2)]


def test_a_stream_without_syn_starts_at_the_lowest_of_its_first_segments():
    talk = Talk(start_segments=3)
    assert talk.add(103, b"b") == []
    assert talk.add(102, b"") == []
    assert talk.add(102, b"a") == []
    assert talk.add(104, b"c") == [Hole(None), b"a", b"b", b"c"]
    assert [chunk.ts_ns for chunk in talk.chunks] == [1, 3, 3, 4]
    assert talk.add(101, b"_") == []
    assert talk.add(105, b"d") == [b"d"]
    assert talk.assembler.counts.repeated_bytes == 1
    assert talk.assembler.counts.holes == 1


def test_a_stream_without_syn_starts_at_its_fin_or_at_the_end_of_the_capture():
    talk = Talk()
    talk.add(7, b"ab")
    assert talk.add(9, flags=FIN) == [Hole(None), b"ab"]
    late = Talk()
    late.add(7, b"ab")
    assert late.finish() == [Hole(None), b"ab"]


def test_a_syn_that_comes_late_says_where_the_stream_starts():
    talk = Talk()
    assert talk.add(102, b"b") == []
    assert talk.add(100, flags=SYN) == []
    assert talk.add(101, b"a") == [b"a", b"b"]
    assert talk.connections == [0, 0]


def test_a_syn_that_comes_when_its_stream_has_started_changes_nothing():
    talk = Talk(start_segments=2)
    talk.add(101, b"a")
    assert talk.add(102, b"b") == [Hole(None), b"a", b"b"]
    assert talk.add(100, flags=SYN) == []
    assert talk.add(100, flags=SYN) == []
    assert talk.add(103, b"c") == [b"c"]
    assert set(talk.connections) == {0}


def test_a_syn_may_carry_data():
    talk = Talk()
    assert talk.add(100, b"ab", SYN) == [b"ab"]
    assert talk.add(103, b"c") == [b"c"]


def test_a_syn_with_another_number_is_another_connection():
    talk = opened()
    talk.add(100, b"abc")
    talk.add(105, b"f")
    assert talk.add(7_000, flags=SYN) == [Hole(2), b"f"]
    assert talk.add(7_001, b"xyz") == [b"xyz"]
    assert talk.connections == [0, 0, 0, 1]
    assert talk.add(500, b"server", SYN | ACK, key=BACK) == [b"server"]
    assert talk.chunks[-1].flow == Stream(SERVER, CLIENT, 1)


def test_a_syn_far_from_the_segments_that_wait_is_another_connection():
    talk = Talk()
    talk.add(100, b"old")
    assert talk.add(2**31, flags=SYN) == [Hole(None), b"old"]
    assert talk.add(2**31 + 1, b"new") == [b"new"]
    assert talk.connections == [0, 0, 1]
    again = Talk(start_segments=1)
    again.add(100, b"old")
    again.add(5_000, flags=SYN)
    assert again.add(5_001, b"new") == [b"new"]


def test_a_fin_ends_the_stream_and_its_own_number_is_no_byte():
    talk = opened()
    talk.add(100, b"ab", FIN | ACK)
    assert talk.add(103) == []
    assert talk.add(100, b"ab", FIN | ACK) == []
    assert talk.finish() == []


def test_what_is_missing_before_a_fin_a_reset_or_an_acknowledgement_is_said():
    for flags, sequence in ((FIN, 105), (RST, 105), (ACK, 105)):
        talk = opened()
        talk.add(100, b"ab")
        assert talk.add(sequence, flags=flags) == []
        assert talk.finish() == [Hole(3)]
        assert talk.chunks[-1].ts_ns == 3
    filled = opened()
    filled.add(102, flags=FIN)
    assert filled.add(100, b"ab") == [b"ab"]
    assert filled.finish() == []


def test_one_number_that_only_an_acknowledgement_tells_of_is_a_fin_that_was_missed():
    talk = opened()
    talk.add(100, b"ab")
    talk.add(103)
    assert talk.finish() == []
    ended = opened()
    ended.add(100, b"ab")
    ended.add(103, flags=FIN)
    assert ended.finish() == [Hole(1)]


def test_a_reset_from_before_the_window_ends_nothing():
    talk = opened()
    talk.add(100, b"abc")
    talk.add(101, flags=RST)
    assert talk.add(103, b"d") == [b"d"]
    assert talk.add(104, b"e") == [b"e"]


def test_a_reset_of_a_connection_that_never_was_is_nothing():
    talk = Talk()
    assert talk.add(0, flags=RST) == []
    assert talk.finish() == []


def test_strays_are_counted_and_several_in_a_row_are_a_connection_whose_syn_was_missed():
    talk = opened(start_segments=1)
    talk.add(100, b"abc")
    far = 100 + 2**31
    assert talk.add(far, b"?") == []
    assert talk.add(103, b"d") == [b"d"]
    for number in range(3):
        assert talk.add(far + number, b"?") == []
    assert talk.assembler.counts.strays == 4
    assert talk.add(far + 3, b"new") == [Hole(None), b"new"]
    assert talk.assembler.counts.strays == 4
    assert talk.connections == [0, 0, 1, 1]


def test_strays_from_all_over_are_no_connection():
    talk = opened()
    talk.add(100, b"abc")
    for number in range(12):
        assert talk.add(2**31 + (number % 2) * 2**30 * 3 // 2, b"?") == []
    assert talk.add(103, b"d") == [b"d"]
    assert set(talk.connections) == {0}


def test_data_behind_the_end_are_strays_and_then_another_connection():
    talk = opened(start_segments=1)
    talk.add(100, b"abc", FIN | ACK)
    for number in range(3):
        assert talk.add(200 + number, b"x") == []
    assert talk.add(203, b"y") == [Hole(None), b"y"]
    assert talk.connections[-1] == 1


def test_segments_that_wait_too_far_from_each_other_are_strays():
    talk = Talk(start_segments=3)
    talk.add(100, b"a")
    talk.add(101, b"b")
    assert talk.add(100 + 2**31 - 5, b"?") == [Hole(None), b"a", b"b"]
    assert talk.assembler.counts.strays == 1


def test_the_connection_that_was_silent_longest_is_forgotten_first():
    talk = opened(connections=2)
    talk.add(103, b"d")
    talk.add(1, flags=SYN, key=OTHER)
    talk.add(2, b"x", key=OTHER)
    talk.add(105, b"f")
    assert talk.add(1, flags=SYN, key=(0, 8, 0, 9, 1)) == []
    assert talk.assembler.counts.forgotten_connections == 1
    assert talk.add(50, flags=SYN, key=(0, 8, 0, 9, 2)) == [Hole(3), b"d", Hole(1), b"f"]
    assert talk.assembler.counts.connections == 4


def test_waiting_segments_make_room_too():
    talk = Talk(total_bytes=1_000)
    talk.add(100, bytes(400))
    assert talk.add(1, bytes(600), key=OTHER) == [Hole(None), bytes(400)]
    assert talk.finish() == [Hole(None), bytes(600)]


@pytest.mark.parametrize("size", [1, 2])
def test_segments_larger_than_the_limits_go_straight_through(size: int):
    talk = opened(half_bytes=size, total_bytes=size)
    assert talk.add(105, b"large") == [Hole(5), b"large"]
