"""FIX decoding kernels: golden messages, what is out of the ordinary, and the bounds."""

from decimal import Decimal

import numpy as np
import pytest

from protocols.errors import LocalProtocolError, Status
from protocols.fix import layout
from protocols.fix.kernels import decode_nb, pack_msg_type_nb
from protocols.fix.kernels_entries import allocate_scratch, entry_views, read_entries_nb
from protocols.fix.kernels_frame import next_frame_nb
from protocols.fix.kernels_views import read_message_nb, split_group_nb
from protocols.fix.lanes import LENGTH_TAG_RANGES
from protocols.fix.layout import BATCH_BYTES, Counter, allocate_decoder, pack_msg_type
from protocols.fix.spec import DATA_TAG_OF_LENGTH
from protocols.fix.views import VIEWS, allocate_rows
from tests.reference.fix_decoding import as_buffer, counted, decode_all, messages_of, small_decoder
from tools.bench.fix_corpus import incremental_refreshes


def pipes(text: str) -> bytes:
    return text.replace("|", "\x01").encode("latin-1")


def wire(body: str) -> bytes:
    """A message typed with | for the separator, with its length and sum."""
    head = pipes(f"8=FIX.4.4|9={len(body)}|{body}")
    return head + b"10=%03d\x01" % (sum(head) % 256)


# The Logon of a public example of the specification's layout; length and sum counted by hand.
LOGON = pipes(
    "8=FIX.4.2|9=65|35=A|49=SERVER|56=CLIENT|34=177|52=20090107-18:15:16|98=0|108=30|10=062|"
)
HEARTBEAT = wire("35=0|49=A|56=B|34=2|52=20261121-14:30:00|")


def values_of(data: bytes, fields: list[tuple[int, int, int]]) -> list[tuple[int, bytes]]:
    return [(tag, data[at:end]) for tag, at, end in fields]


def test_a_golden_message_is_framed_and_split():
    found, rest, status = decode_all(LOGON, small_decoder())
    assert (rest, status) == (len(LOGON), Status.OK)
    assert values_of(LOGON, found[0].fields) == [
        (8, b"FIX.4.2"), (9, b"65"), (35, b"A"), (49, b"SERVER"), (56, b"CLIENT"), (34, b"177"),
        (52, b"20090107-18:15:16"), (98, b"0"), (108, b"30"), (10, b"062"),
    ]  # fmt: skip
    assert found[0].msg_type == ord("A")


@pytest.mark.parametrize("at", range(len(LOGON)))
def test_every_single_byte_of_it_matters(at: int):
    """With one byte changed there is no message, or one whose sum was changed with it."""
    damaged = bytearray(LOGON)
    damaged[at] ^= 1
    decoder = small_decoder()
    found, _, status = decode_all(bytes(damaged), decoder)
    assert found == []
    assert sum(counted(decoder).values()) > 0 or status is Status.TRUNCATED


@pytest.mark.parametrize("length_tag", sorted(DATA_TAG_OF_LENGTH))
def test_data_fields_hold_separators_and_whole_messages(length_tag: int):
    data = HEARTBEAT.decode("latin-1").replace("\x01", "|") + "a=|=|"
    body = f"35=B|{length_tag}={len(data)}|{DATA_TAG_OF_LENGTH[length_tag]}={data}|58=after|"
    message = wire(body)
    found, _, _ = decode_all(message + HEARTBEAT, small_decoder())
    assert len(found) == 2
    fields = values_of(message, found[0].fields)
    assert fields[-3:-1] == [(DATA_TAG_OF_LENGTH[length_tag], pipes(data)), (58, b"after")]


@pytest.mark.parametrize("stated", [0, 1, 4, 6, 40, 999_999_999])
def test_data_that_end_elsewhere_are_a_fault_where_the_field_starts(stated: int):
    message = wire(f"35=B|95={stated}|96=hello|58=after|")
    (found,), _, _ = decode_all(message, small_decoder())
    assert found.status is Status.BAD_LENGTH
    assert message[found.fault_at :].startswith(b"96=")
    assert [tag for tag, _, _ in found.fields] == [8, 9, 35, 95]


@pytest.mark.parametrize("body", ["95=5|58=x|96=hello|", "95=x|96=hello|", "95=|96=hello|"])
def test_a_length_counts_only_for_the_field_right_after_it(body: str):
    (found,), _, _ = decode_all(wire(f"35=B|{body}"), small_decoder())
    assert found.status is Status.OK


@pytest.mark.parametrize("field", ["=x", "x", "", "055=x", "0=x", "5x=x", "-5=x", "1234567890=x"])
def test_a_field_without_a_tag_is_a_fault_where_it_starts(field: str):
    message = wire(f"35=0|58=a|{field}|58=b|")
    (found,), _, _ = decode_all(message, small_decoder())
    assert found.status is Status.BAD_VALUE
    assert message[found.fault_at :].startswith(pipes(f"{field}|58=b|"))
    assert [tag for tag, _, _ in found.fields] == [8, 9, 35, 58]


def test_long_tags_are_read_and_values_may_hold_anything_but_the_separator():
    message = wire("35=0|5001=a=b|20001=|123456789=\xff|")
    (found,), _, _ = decode_all(message, small_decoder())
    assert values_of(message, found.fields)[3:6] == [
        (5001, b"a=b"), (20_001, b""), (123_456_789, b"\xff")
    ]  # fmt: skip


def test_ordinary_messages_take_the_vectors_and_others_do_not():
    decoder = small_decoder()
    parts = [HEARTBEAT] * 5 + [wire("35=B|95=3|96=a|b|")] + [HEARTBEAT] * 5
    found, _, _ = decode_all(b"".join(parts), decoder)
    assert len(found) == 11
    assert decoder.counts[Counter.PLAIN_FRAMES] == 1


def test_the_last_message_of_a_buffer_without_room_is_read_plainly():
    decoder = small_decoder()
    assert len(decode_all(HEARTBEAT, decoder, room=0)[0]) == 1
    assert decoder.counts[Counter.PLAIN_FRAMES] == 1


def test_what_is_beyond_the_stop_is_not_read_into_a_message():
    data = HEARTBEAT * 3
    buf = as_buffer(data)
    for stop in range(len(data)):
        count, used, status = decode_nb(buf, 0, stop, small_decoder())
        assert count == stop // len(HEARTBEAT)
        assert used == count * len(HEARTBEAT)
        done = count > 0 and used < stop
        expected = Status.OUTPUT_FULL if done else Status.OK if used == stop else Status.TRUNCATED
        assert status == expected


def test_a_message_larger_than_a_batch_takes_the_vectors_too():
    decoder = allocate_decoder(body_bytes_max=100_000, batch_bytes=512)
    message = wire("35=0|" + "58=abc|" * 9_000)
    found, _, _ = decode_all(message * 2, decoder)
    assert [len(each.fields) for each in found] == [9_004, 9_004]
    assert decoder.counts[Counter.PLAIN_FRAMES] == 0


def test_the_batch_shrinks_where_it_is_in_vain_and_grows_again():
    decoder = allocate_decoder(batch_bytes=4_096)
    decode_all(wire("35=0|123456=x|") * 10, decoder)
    assert decoder.settings[BATCH_BYTES] == 512
    decode_all(HEARTBEAT * 400, decoder)
    assert decoder.settings[BATCH_BYTES] == 4_096


def test_garbage_is_skipped_and_counted_by_reason():
    decoder = small_decoder()
    wrong_sum = HEARTBEAT[:-4] + (b"000\x01" if HEARTBEAT[-4:-1] != b"000" else b"001\x01")
    stream = b"".join(
        [b"noise", HEARTBEAT, b"8=FIX.4.4\x01x", wrong_sum, HEARTBEAT.replace(b"9=4", b"9=3", 1)]
    )
    found, rest, status = decode_all(stream + HEARTBEAT, decoder)
    assert (len(found), rest, status) == (2, len(stream) + len(HEARTBEAT), Status.OK)
    assert counted(decoder) == {
        "garbled_runs": 2,
        "garbled_bytes": len(stream) - len(HEARTBEAT),
        "bad_headers": 1,
        "bad_lengths": 1,
        "bad_checksums": 1,
    }
    assert decoder.counts[Counter.GARBLED_IN_ROW] == 0


def test_a_third_field_that_is_not_the_type_is_garbled():
    decoder = small_decoder()
    assert decode_all(wire("34=1|35=0|"), decoder)[0] == []
    assert counted(decoder)["bad_checksums"] == 1


@pytest.mark.parametrize("length", [2_001, 999_999_999])
def test_a_length_beyond_the_bound_is_not_waited_for(length: int):
    stream = pipes(f"8=FIX.4.4|9={length}|35=0|")
    found, rest, status = decode_all(stream + HEARTBEAT, small_decoder())
    assert [each.start for each in found] == [len(stream)]
    assert (rest, status) == (len(stream) + len(HEARTBEAT), Status.OK)


def test_a_lying_length_waits_no_longer_than_its_bound():
    stream = pipes("8=FIX.4.4|9=5|35=0|58=no end ") + b"x" * 3_000
    decoder = small_decoder()
    for size in (100, 1_000, 2_063):
        assert decode_all(stream[:size], decoder)[1:] == (0, Status.TRUNCATED)
    found, rest, _ = decode_all(stream + HEARTBEAT, decoder)
    assert len(found) == 1
    assert rest == len(stream) + len(HEARTBEAT)


def test_a_search_for_the_end_goes_on_where_it_stopped():
    """A garbled message that comes byte by byte is not searched from its start each time."""
    stream = pipes("8=FIX.4.4|9=5|35=0|58=") + b"x" * 1_500
    counts = np.zeros(len(Counter), np.int64)
    next_frame_nb(np.frombuffer(stream, np.uint8), 0, len(stream), 2_000, counts)
    assert len(stream) - 20 < counts[Counter.SEARCHED] < len(stream)


@pytest.mark.parametrize("second", [b"8=FIX.5\x01", b"8=FIX.4.4\x01", b"8=FIX.4\x01"])
def test_versions_may_change_from_message_to_message(second: bytes):
    def message(begin: bytes) -> bytes:
        whole = begin + b"9=5\x0135=0\x01"
        return whole + b"10=%03d\x01" % (sum(whole) % 256)

    found, _, _ = decode_all(message(b"8=FIX.4\x01") + message(second), small_decoder())
    assert len(found) == 2


@pytest.mark.parametrize("length", ["", "1234567890", "4x", "40", "999999999"])
def test_a_wrong_length_after_a_sound_message_is_garbled(length: str):
    head = pipes(f"8=FIX.4.4|9={length}|35=0|49=A|56=B|34=2|52=20261121-14:30:00|")
    damaged = head + b"10=%03d\x01" % (sum(head) % 256)
    decoder = small_decoder()
    found, _, _ = decode_all(HEARTBEAT + damaged + HEARTBEAT, decoder)
    assert [each.start for each in found] == [0, len(HEARTBEAT) + len(damaged)]
    assert decoder.counts[Counter.GARBLED_BYTES] == len(damaged)


@pytest.mark.parametrize("begin", ["8=FIX.4.4.4.44|", "8=FIX|", "8=FIX.4.4 |", "8=FIX.4.4|8=F"])
def test_what_is_no_header_is_passed_over(begin: str):
    decoder = small_decoder()
    found, _, _ = decode_all(pipes(begin) + HEARTBEAT, decoder)
    assert len(found) == 1
    assert counted(decoder)["bad_headers"] == 1


@pytest.mark.parametrize("trailer", [b"10=5:0\x01", b"10=0500", b"11=050\x01"])
def test_what_is_no_trailer_is_a_wrong_length(trailer: bytes):
    decoder = small_decoder()
    assert len(decode_all(HEARTBEAT[:-7] + trailer + HEARTBEAT, decoder)[0]) <= 1
    assert counted(decoder)["bad_lengths"] == 1


def test_frames_stop_at_their_limit_and_go_on():
    decoder = small_decoder(frame_limit=2)
    buf = as_buffer(HEARTBEAT * 5)
    stop = 5 * len(HEARTBEAT)
    assert decode_nb(buf, 0, stop, decoder) == (2, 2 * len(HEARTBEAT), Status.OUTPUT_FULL)
    assert decode_nb(buf, 4 * len(HEARTBEAT), stop, decoder) == (1, len(HEARTBEAT), Status.OK)


def test_a_buffer_beyond_the_reach_of_tokens_is_refused():
    found = decode_nb(as_buffer(HEARTBEAT), 0, layout.POSITION_MAX + 1, small_decoder())
    assert found == (0, 0, Status.BAD_LENGTH)


@pytest.mark.parametrize(
    "arguments", [{"body_bytes_max": 0}, {"frame_limit": 0}, {"batch_bytes": 0}]
)
def test_a_decoder_of_nothing_is_refused(arguments: dict[str, int]):
    with pytest.raises(LocalProtocolError):
        allocate_decoder(**arguments)


@pytest.mark.parametrize("msg_type", [b"0", b"AE", b"12345678", b"123456789", b"\xff" * 8])
def test_types_are_packed_alike(msg_type: bytes):
    packed = pack_msg_type_nb(np.frombuffer(msg_type, np.uint8), 0, len(msg_type))
    assert packed == pack_msg_type(msg_type)


def test_every_length_tag_of_up_to_four_digits_is_in_a_range():
    for tag in DATA_TAG_OF_LENGTH:
        inside = any(first <= tag <= last for first, last in LENGTH_TAG_RANGES)
        assert inside == (tag < 10_000)
    # What market data and orders are made of must not be: it would be read plainly.
    common = {8, 9, 34, 35, 49, 52, 56, 10, 268, 269, 270, 271, 272, 273, 278, 279, 55, 48, 22, 83}
    common |= {346, 290, 1023, 11, 37, 38, 40, 44, 54, 59, 60, 1180, 1181, 5001}
    for first, last in LENGTH_TAG_RANGES:
        assert not common & set(range(first, last + 1))


def group(body: str, limit: int = 10) -> tuple[list[int], Status]:
    """Numbers of the fields that begin an entry of the group after the first 146."""
    message = wire(f"35=V|{body}")
    decoder = small_decoder()
    (found,), _, _ = decode_all(message, decoder)
    first = int(decoder.frames[0]["first"])
    at = [tag for tag, _, _ in found.fields].index(146)
    out = np.zeros(limit, np.int32)
    count, status = split_group_nb(
        as_buffer(message), decoder, first + at, first + len(found.fields) - 1, out
    )
    return [int(token) - first - at for token in out[:count]], Status(status)


def test_entries_of_any_group_are_found():
    assert group("146=2|55=A|48=1|55=B|") == ([1, 3], Status.OK)
    assert group("146=0|58=x|") == ([], Status.OK)
    assert group("146=3|55=A|55=B|") == ([1, 2], Status.BAD_LENGTH)
    assert group("146=1|55=A|55=B|") == ([1, 2], Status.BAD_LENGTH)
    assert group("146=2|55=A|55=B|", limit=1) == ([1], Status.OUTPUT_FULL)
    assert group("146=x|55=A|") == ([], Status.BAD_VALUE)
    assert group("146=-1|55=A|") == ([], Status.BAD_VALUE)


def test_the_corpus_is_what_it_says():
    messages = list(incremental_refreshes(2_000))
    assert b"".join(messages) == b"".join(incremental_refreshes(2_000))
    assert 295 <= sum(map(len, messages)) // len(messages) <= 305
    decoder = allocate_decoder()
    data = b"".join(messages)
    found, rest, _ = decode_all(data, decoder)
    assert (len(found), rest) == (2_000, len(data))
    assert decoder.counts[Counter.PLAIN_FRAMES] == 0
    assert messages_of(decoder, 1)[0].msg_type == ord("X")


def other_order(message: bytes) -> bytes:
    """The same message, with size before price in its first entry."""
    head, _, body = message.partition(b"35=X")
    price, size = (body[body.index(tag) :].split(b"\x01", 1)[0] for tag in (b"270=", b"271="))
    body = body.replace(b"%b\x01%b" % (price, size), b"%b\x01%b" % (size, price), 1)
    return head + b"35=X" + body


@pytest.mark.parametrize("odd", [(), (0,), (20,), (59,), tuple(range(0, 60, 2))])
def test_entries_that_are_alike_are_read_as_any_others(odd: tuple[int, ...]):
    """Whether a batch's entries all have the fields of the last one seen, or one has not."""
    messages = [
        other_order(message) if number in odd else message
        for number, message in enumerate(incremental_refreshes(60))
    ]
    data = b"".join(messages)
    decoder, buf, view = allocate_decoder(), as_buffer(data), VIEWS[b"X"]
    scratch, views = allocate_scratch(decoder), entry_views()
    found, words = allocate_rows(view, 600)
    each_alone, words_alone = allocate_rows(view, 600)
    entries, at, status = [], 0, Status.OUTPUT_FULL
    while status is Status.OUTPUT_FULL:
        count, used, code = decode_nb(buf, at, len(data), decoder)
        at, status = at + used, Status(code)
        rows, done, _ = read_entries_nb(buf, decoder, 0, count, views, words, scratch)
        assert done == count
        place = 0
        for frame in range(count):
            more, _ = read_message_nb(buf, decoder, frame, view.table(), words_alone, place)
            place += more
        assert found[:rows].tolist() == each_alone[:place].tolist()
        entries += found[:rows]["price_e9"].tolist()
    prices = [
        int(Decimal(field[4:].decode()) * 10**9)
        for message in messages
        for field in message.split(b"\x01")
        if field.startswith(b"270=")
    ]
    assert entries == prices


@pytest.mark.parametrize(("ahead", "inside"), [(0, 0), (20, 0), (0, 20), (20, 20)])
def test_entries_and_heads_of_many_fields_are_read_as_any_others(ahead: int, inside: int):
    """More than are compared at once: before the entries, or in one of them."""
    more = "".join(f"{tag}=x|" for tag in range(9001, 9001 + 20))
    body = f"35=X|49=A|56=B|34=2|52=20261121-14:30:00|{more if ahead else ''}268=2|"
    body += f"279=0|269=0|270=10.5|271=3|{more if inside else ''}279=1|269=1|270=11|271=4|"
    data = wire(body)
    decoder, view = allocate_decoder(), VIEWS[b"X"]
    (_,), _, _ = decode_all(data, decoder)
    found, words = allocate_rows(view, 8)
    alone, words_alone = allocate_rows(view, 8)
    scratch = allocate_scratch(decoder)
    rows, done, _ = read_entries_nb(as_buffer(data), decoder, 0, 1, entry_views(), words, scratch)
    expected, _ = read_message_nb(as_buffer(data), decoder, 0, view.table(), words_alone, 0)
    assert (rows, done, expected) == (2, 1, 2)
    assert found[:rows].tolist() == alone[:rows].tolist()
    assert found[:rows]["price_e9"].tolist() == [10_500_000_000, 11_000_000_000]
