import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.fix.dictionary.check import check_message
from protocols.fix.dictionary.load import VERSIONS, load_dictionary
from protocols.fix.framing import Framer
from protocols.fix.message import (
    Fault,
    FixMessage,
    Identity,
    decode,
    encode,
    encode_again,
    encode_fields,
    join_fields,
    reverse_route,
)
from protocols.fix.spec import DATA_TAG_OF_LENGTH, SessionRejectReason, Tag

IDENTITY = Identity("US", "PEER")
TIME = b"20260921-12:00:00.000"
ORDER = encode_fields((11, 1), (55, "X"), (54, 1), (60, TIME), (38, 5), (40, 2), (44, "1.25"))


def frame_with(body: bytes, msg_type: bytes = b"0") -> bytes:
    return encode(IDENTITY, msg_type, 2, TIME, body)


def find_fault(message: FixMessage) -> Fault | None:
    dictionary = load_dictionary("FIX.4.4")
    return check_message(message, dictionary, dictionary)


def fault_of(body: bytes) -> tuple[int, int] | None:
    """What decoding alone finds."""
    fault = decode(frame_with(body)).fault
    return None if fault is None else (int(fault.reason), fault.tag)


def test_encode_writes_the_bytes_of_the_specification():
    wire = encode(IDENTITY, b"0", 7, TIME, b"112=T\x01")
    head = b"8=FIX.4.4\x019=55\x01"
    body = b"35=0\x0134=7\x0149=US\x0156=PEER\x0152=" + TIME + b"\x01112=T\x01"
    assert len(body) == 55
    assert wire == head + body + b"10=%03d\x01" % (sum(head + body) % 256)


def test_simplefix_reads_what_encode_writes():
    parser = simplefix.FixParser()
    parser.append_buffer(frame_with(ORDER, b"D"))
    message = parser.get_message()
    assert message.get(35) == b"D"
    assert message.get(44) == b"1.25"
    assert message.encode() == frame_with(ORDER, b"D")


def test_a_possible_duplicate_keeps_number_and_body_and_names_its_first_time():
    later = b"20260921-12:05:00.000"
    again = decode(encode_again(IDENTITY, frame_with(ORDER, b"D"), later))
    first = decode(frame_with(ORDER, b"D"))
    assert again.flag(Tag.POSS_DUP_FLAG)
    assert again.get(Tag.ORIG_SENDING_TIME) == TIME
    assert again.get(Tag.SENDING_TIME) == later
    assert again.number(Tag.MSG_SEQ_NUM) == 2
    assert again.fields[-8:-1] == first.fields[-8:-1]
    assert find_fault(again) is None


@given(st.binary(max_size=200))
def test_a_data_field_may_hold_any_byte(data: bytes):
    body = b"95=%d\x0196=%b\x01112=T\x01" % (len(data), data) if data else b"112=T\x01"
    framer = Framer()
    framer.feed(frame_with(body))
    message = decode(framer.next_frame() or b"")
    assert message.fault is None
    assert message.get(96) == data
    assert message.get(112) == b"T"


def test_a_data_field_full_of_separators_is_read_in_one_pass():
    data = b"\x01" * 60_000
    message = decode(frame_with(b"95=%d\x0196=%b\x01" % (len(data), data)))
    assert message.get(96) == data


def test_a_data_length_that_lies_is_a_fault():
    assert fault_of(b"95=3\x0196=ab\x01") is not None
    assert fault_of(b"95=1\x0196=ab\x01") == (SessionRejectReason.INCORRECT_DATA_FORMAT, 96)


@pytest.mark.parametrize(
    ("body", "reason", "tag"),
    [
        (b"112\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"0112=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"-1=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, -1),
        (b"0=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"-0=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"+1=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
        (b"1234567890=a\x01", SessionRejectReason.INVALID_TAG_NUMBER, 0),
    ],
)
def test_a_fault_names_reason_and_tag(body: bytes, reason: int, tag: int):
    assert fault_of(body) == (reason, tag)


def test_values_are_not_judged_by_decoding():
    assert fault_of(b"112=\x01112=a\x0144=much\x01") is None


def test_data_fields_are_those_of_all_dictionaries_together():
    found: dict[int, int] = {}
    for version in VERSIONS:
        found |= load_dictionary(version).data_tag_of_length
    assert found == DATA_TAG_OF_LENGTH


def test_data_fields_of_a_later_version_are_not_read_where_the_version_has_none():
    frame = frame_with(b"1184=3\x011185=a\x01b\x01112=T\x01")
    assert decode(frame).get(1185) == b"a\x01b"
    assert decode(frame, load_dictionary("FIX.5.0SP2").data_tag_of_length).get(1185) == b"a\x01b"
    assert decode(frame, load_dictionary("FIX.4.4").data_tag_of_length).get(1185) == b"a"


@given(st.binary(min_size=1, max_size=50))
def test_joined_fields_are_the_body_that_was_decoded(data: bytes):
    body = b"58=\x0195=%d\x0196=%b\x01112=T\x01" % (len(data), data)
    message = decode(frame_with(body))
    assert join_fields(message.fields[7:-1]) == body


def test_sub_ids_are_on_every_message_and_stay_once_on_a_repeat():
    identity = Identity("US", "PEER", sender_sub_id="DESK", target_location_id="LON")
    first = encode(identity, b"0", 2, TIME, b"112=T\x01")
    again = decode(encode_again(identity, first, TIME))
    assert [tag for tag, _ in again.fields] == [8, 9, 35, 34, 49, 56, 52, 43, 122, 50, 143, 112, 10]
    assert (again.get(50), again.get(143)) == (b"DESK", b"LON")


def test_the_way_back_swaps_from_and_to_and_leaves_out_what_is_empty_or_ours_anyway():
    body = b"115=A\x01116=\x01144=C\x01129=D\x0150=E\x0157=F\x01"
    message = decode(frame_with(body))
    assert reverse_route(message, IDENTITY) == [
        (128, b"A"), (145, b"C"), (116, b"D"), (57, b"E"), (50, b"F")
    ]  # fmt: skip
    own = Identity("US", "PEER", sender_sub_id="DESK")
    assert (50, b"F") not in reverse_route(message, own)
    assert (57, b"E") in reverse_route(message, own)


def test_a_repeated_tag_that_may_be_in_a_group_is_kept_in_order():
    message = decode(frame_with(b"386=2\x01336=A\x01336=B\x01"))
    assert message.fault is None
    assert [value for tag, value in message.fields if tag == 336] == [b"A", b"B"]


@pytest.mark.parametrize("value", ["", "a\x01b"])
def test_a_value_that_would_break_the_message_is_refused(value: str):
    with pytest.raises(LocalProtocolError, match="tag 58"):
        encode_fields((58, value))


@given(st.binary(max_size=300))
def test_decode_takes_any_frame_content_without_an_exception(content: bytes):
    message = decode(b"8=FIX.4.4\x019=1\x0135=0\x01" + content + b"\x0110=000\x01")
    find_fault(message)
    assert message.msg_type == b"0"
