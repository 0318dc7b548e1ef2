"""The FIX kernels against their slow twins: sound messages, damaged ones, any split, any bytes."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocols.errors import Status
from protocols.fix.framing import Framer
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import (
    allocate_scratch,
    entry_views,
    read_entries_nb,
)
from protocols.fix.kernels_values import (
    parse_date_nb,
    parse_decimal_nb,
    parse_integer_nb,
    parse_time_nb,
    parse_timestamp_nb,
)
from protocols.fix.layout import Counter, pack_msg_type
from protocols.fix.message import encode_fields
from protocols.fix.times import parse_utc_timestamp
from protocols.fix.views import HEADER_VIEW, VIEWS, View, allocate_rows
from tests.reference import slow_fix
from tests.reference.fix_decoding import (
    BODY_BYTES_MAX,
    as_buffer,
    assert_rows,
    counted,
    decode_all,
    messages_of,
    read_rows,
    row_of,
    small_decoder,
)

SOH = b"\x01"


def wire(body: bytes, begin: bytes = b"FIX.4.4") -> bytes:
    """A message with the right length and sum."""
    whole = b"8=%b\x019=%d\x01%b" % (begin, len(body), body)
    return b"%b10=%03d\x01" % (whole, sum(whole) % 256)


digits = st.integers(0, 10**9).map(lambda number: b"%d" % number)
numbers = st.one_of(
    digits,
    st.decimals(-(10**10), 10**10, places=4).map(lambda number: f"{number:f}".encode()),
    st.from_regex(rb"-?[0-9]{0,6}\.?[0-9]{0,12}", fullmatch=True).filter(bool),
    st.sampled_from([b"+1", b"1e5", b"1..2", b".", b"-", b"9" * 19, b"0.0000000001", b"5.", b".5"]),
)
texts = st.binary(min_size=1, max_size=12).map(lambda text: text.replace(SOH, b"?"))
values = st.one_of(texts, numbers, st.sampled_from([b"", b"Y", b"20261121-14:30:00.123", b"8=FIX"]))
MD_TAGS = (268, 269, 279, 270, 271, 55, 83, 273, 272, 278, 346, 290, 1023, 37)
tags = st.one_of(
    st.sampled_from(
        (*MD_TAGS, 8, 9, 10, 11, 34, 49, 52, 56, 58, 91, 96, 5001, 10_000, 123_456_789)
    ),
    st.integers(1, 9_999),
)
fields = st.tuples(tags, values).map(lambda pair: b"%d=%b\x01" % pair)


@st.composite
def data_fields(draw: st.DrawFn) -> bytes:
    """A length field and its data, which may hold separators; sometimes the length lies."""
    length_tag = draw(st.sampled_from(sorted(slow_fix.DATA_TAG_OF_LENGTH)))
    data = draw(st.one_of(st.binary(min_size=1, max_size=20), st.just(wire(b"35=0\x01"))))
    length = len(data) + draw(st.sampled_from([0, 0, 0, 0, -1, 1, 50]))
    return b"%d=%d\x01%d=%b\x01" % (
        length_tag, max(length, 0), slow_fix.DATA_TAG_OF_LENGTH[length_tag], data
    )  # fmt: skip


entry_values = {
    279: st.sampled_from([b"0", b"1", b"2"]),
    269: st.sampled_from([b"0", b"1", b"2"]),
    55: st.sampled_from([b"MSFT", b"F", b"EUR/USD", b""]),
    270: numbers,
    271: numbers,
    83: digits,
    273: st.sampled_from([b"14:30:00", b"14:30:00.123", b"25:00:00"]),
    272: st.sampled_from([b"20261121", b"20261301"]),
    346: digits,
}


@st.composite
def entry_of(draw: st.DrawFn, layout: tuple[int, ...]) -> bytes:
    """An entry with these fields."""
    return b"".join(b"%d=%b\x01" % (tag, draw(entry_values[tag])) for tag in layout)


@st.composite
def market_data(draw: st.DrawFn) -> bytes:
    """X or W; mostly the same fields an entry, sometimes other ones, sometimes one twice."""
    msg_type, first = draw(st.sampled_from([(b"X", 279), (b"W", 269)]))
    others = st.sampled_from([tag for tag in entry_values if tag != first])
    layout = draw(st.lists(others, max_size=6, unique=True))
    count = draw(st.integers(0, 6))
    entries = []
    for _ in range(count):
        chosen = draw(st.one_of(st.just(layout), st.just(layout), st.lists(others, max_size=18)))
        entries.append(draw(entry_of((first, *chosen))))
    ahead = draw(st.lists(st.sampled_from([b"55=AAPL\x01", b"262=R\x01", b"58=x\x01"]), max_size=2))
    ahead *= draw(st.sampled_from([1, 1, 1, 8]))
    stated = draw(st.sampled_from([count, count, count, count + 1]))
    counts = draw(
        st.sampled_from([b"268=%d\x01" % stated, b"268=%02d\x01" % stated, b"", b"268=x\x01"])
    )
    return wire(b"35=%b\x0134=7\x01%b%b%b" % (msg_type, b"".join(ahead), counts, b"".join(entries)))


@st.composite
def feeds(draw: st.DrawFn) -> list[bytes]:
    """Messages of a venue: all entries have the same fields, or now and then one has them in
    another order, or the count is wrong; up to more entries than a vector has lanes.
    """
    msg_type, first = draw(st.sampled_from([(b"X", 279), (b"W", 269)]))
    others = [tag for tag in entry_values if tag != first]
    layout = (first, *draw(st.lists(st.sampled_from(others), max_size=5, unique=True)))
    other = (first, *reversed(layout[1:]))
    chosen = draw(st.sampled_from([[layout], [layout], [layout, layout, other]]))
    found = []
    for _ in range(draw(st.integers(2, 6))):
        count = draw(st.sampled_from([0, 1, 2, 3, 4, 17]))
        entries = [draw(entry_of(draw(st.sampled_from(chosen)))) for _ in range(count)]
        stated = draw(st.sampled_from([count] * 7 + [count + 1, max(count - 1, 0)]))
        body = b"35=%b\x01268=%d\x01%b" % (msg_type, stated, b"".join(entries))
        found.append(wire(body))
    return found


plain = st.builds(
    lambda msg_type, body: wire(b"35=%b\x01%b" % (msg_type, b"".join(body))),
    st.sampled_from([b"0", b"D", b"8", b"AE", b"U12345678"]),
    st.lists(st.one_of(fields, fields, fields, data_fields()), max_size=12),
)
versions = st.sampled_from(
    [b"FIX.4.2", b"FIXT.1.1", b"FIX.4", b"FIX.", b"FIX.5.0SP2", b"FIX.4.4X9"]
)
messages = st.one_of(
    market_data(), market_data(), plain, versions.map(lambda begin: wire(b"35=0\x01", begin))
)
FRAGMENTS = [
    b"8=FIX", b"8=FIX.4.4\x01", b"9=5\x01", b"8=FIX.4.4\x019=", b"8=FIX.4.4\x019=1999999999\x01",
    b"10=000\x01", b"\x0110=abc\x01", b"35=A\x01", b"=", SOH, b"\x01\x01", b"8=FI", b"8", b"",
    b"8=FIX.4.4\x019=5000\x0135=0\x01", b"8=FIX.4.4\x019=12\x0135=0\x0110=5:0\x01",
]  # fmt: skip
junk = st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=30))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Messages, some damaged, with garbage between some."""
    parts = []
    for _ in range(draw(st.integers(1, 8))):
        message = bytearray(draw(messages))
        damage = draw(st.sampled_from(["none", "none", "none", "byte", "cut", "junk"]))
        at = draw(st.integers(0, len(message) - 1))
        if damage == "byte":
            message[at] = draw(st.one_of(st.sampled_from(b"\x01=0198F"), st.integers(0, 255)))
        elif damage == "cut":
            del message[at : at + draw(st.integers(1, 9))]
        elif damage == "junk":
            message += draw(junk)
        parts.append(bytes(message))
    return b"".join(parts)


def assert_same(data: bytes, room: int = 64, **limits: int) -> None:
    """The kernels find what the twin finds: messages, fields, faults, counts."""
    decoder = small_decoder(**limits)
    found, rest, status = decode_all(data, decoder, room)
    twin = slow_fix.frames(data, BODY_BYTES_MAX)
    assert [(each.start, each.end) for each in found] == twin.found
    assert rest == twin.rest
    assert status is (Status.OK if rest == len(data) else Status.TRUNCATED)
    assert counted(decoder) == {name: getattr(twin, name) for name in counted(decoder)}
    assert decoder.counts[Counter.FRAMES] == len(found)
    for each in found:
        assert (each.fields, each.status, each.fault_at) == slow_fix.tokens(
            data, each.start, each.end
        )
        _, at, end = each.fields[2] if len(each.fields) > 2 else (35, 0, 0)
        if end:
            assert each.msg_type == pack_msg_type(data[at:end])


@given(streams(), st.sampled_from([0, 1, 63, 64]), st.sampled_from([1, 2, 256]))
@example(wire(b"35=0\x01"), 0, 1)
@example(b"", 0, 1)
def test_kernels_find_what_the_twin_finds(data: bytes, room: int, frame_limit: int):
    assert_same(data, room, frame_limit=frame_limit)


@given(st.binary(max_size=300) | st.lists(junk, max_size=20).map(b"".join))
def test_any_bytes_have_a_defined_result(data: bytes):
    assert_same(data)


@given(streams(), st.data())
def test_a_stream_in_pieces_is_the_stream_in_one(data: bytes, chance: st.DataObject):
    """Every byte is offered again until it is used, as a receive buffer would."""
    cuts = chance.draw(st.lists(st.integers(0, len(data)), max_size=4).map(sorted))
    decoder, whole = small_decoder(), small_decoder()
    found, at = [], 0
    for stop in (*cuts, len(data)):
        part, at, _ = decode_all(data[:stop], decoder, at=at)
        found += part
    expected, rest, _ = decode_all(data, whole)
    assert (found, at) == (expected, rest)
    assert counted(decoder) == counted(whole)


@given(streams())
def test_the_session_frames_the_same_messages(data: bytes):
    """`Framer` is what a session reads with. With less than its bound they agree on every count."""
    framer = Framer(BODY_BYTES_MAX)
    framer.feed(data)
    found = list(iter(framer.next_frame, None))
    decoder = small_decoder()
    expected, _, _ = decode_all(data, decoder)
    if len(data) < BODY_BYTES_MAX:
        assert found == [data[each.start : each.end] for each in expected]
        assert framer.garbled_bytes == decoder.counts[Counter.GARBLED_BYTES]
        assert framer.garbled_count == decoder.counts[Counter.GARBLED_RUNS]


# Each example is as many as its messages have bytes.
@settings(max_examples=settings.default.max_examples // 4)
@given(market_data(), market_data())
def test_every_truncation_waits_for_the_rest(first: bytes, second: bytes):
    data = first + second
    for size in range(len(data)):
        found, rest, status = decode_all(data[:size], small_decoder())
        whole = [end for end in (len(first), len(data)) if end <= size]
        assert [each.end for each in found] == whole
        assert rest == (whole[-1] if whole else 0)
        assert status is (Status.OK if rest == size else Status.TRUNCATED)


def incremental(*entries: bytes, count: int | None = None, ahead: bytes = b"") -> bytes:
    """X of these entries, `|` for separators; without a count it states none."""
    stated = b"" if count is None else b"268=%d\x01" % count
    body = b"35=X\x01%b%b%b" % (ahead, stated, b"".join(entries))
    return wire(body.replace(b"|", SOH))


BID, ASK = b"279=0|269=0|270=1.5|", b"279=0|269=1|270=1.6|"
TWICE = b"279=0|269=0|270=1|270=2|"
# Branches that random messages take only now and then.
PLANTED = (
    ([incremental(BID, ASK, count=2)], 1),
    ([incremental(TWICE, TWICE, count=2)] * 2, 64),
    ([incremental(BID, ASK)] * 2, 64),
    ([incremental(b"279=0|55=|", count=2)], 64),
    ([incremental(BID, count=1, ahead=b"270=7|"), incremental(count=0, ahead=b"270=7|")], 64),
    ([incremental(count=1, ahead=b"270=7|")], 64),
)


@given(
    st.lists(st.one_of(market_data(), market_data(), market_data(), plain), max_size=8) | feeds(),
    st.sampled_from([64, 64, 7, 1]),
)
@example(*PLANTED[0])
@example(*PLANTED[1])
@example(*PLANTED[2])
@example(*PLANTED[3])
@example(*PLANTED[4])
@example(*PLANTED[5])
def test_entries_of_a_batch_are_those_of_its_messages(parts: list[bytes], limit: int):
    data = b"".join(parts)
    decoder, buf = small_decoder(), as_buffer(data)
    scratch, views = allocate_scratch(decoder), entry_views()
    rows, words = allocate_rows(VIEWS[b"X"], limit)
    at, status = 0, Status.OUTPUT_FULL
    while status is Status.OUTPUT_FULL:
        count, used, code = decode_nb(buf, at, len(data), decoder)
        at, status = at + used, Status(code)
        frame = 0
        while frame < count:
            rows.view(np.uint8)[:] = 0xA5
            written, done, code = read_entries_nb(buf, decoder, frame, count, views, words, scratch)
            place = 0
            for i, each in enumerate(messages_of(decoder, count)[frame : frame + done], frame):
                place += assert_entries(data, each.fields, decoder.frames[i], rows, place, i)
            assert place == written
            frame += done
            if Status(code) is Status.OUTPUT_FULL:
                # What fits no row at all is passed over.
                frame += int(done == 0)
            else:
                assert frame == count


def assert_entries(
    data: bytes,
    fields: list[slow_fix.Field],
    head: np.void,
    rows: np.ndarray,
    place: int,
    frame: int,
) -> int:
    """Rows of one frame from `place` on, if it is W or X; how many."""
    view = next(
        (VIEWS[each] for each in (b"W", b"X") if head["msg_type"] == pack_msg_type(each)), None
    )
    if view is None:
        return 0
    expected, matches = slow_fix.rows(data, fields, view)
    assert (head["row_first"], head["row_count"]) == (place, len(expected))
    assert head["row_status"] == (Status.OK if matches else Status.BAD_LENGTH)
    found = rows[place : place + len(expected)]
    assert (found["frame"] == frame).all()
    assert_rows([row_of(row, view) for row in found], expected)
    return len(expected)


@given(plain | market_data(), st.sampled_from([*VIEWS.values(), HEADER_VIEW]))
@example(incremental(count=1, ahead=b"270=7|"), VIEWS[b"X"])
@example(incremental(BID, count=1, ahead=b"270=7|"), VIEWS[b"X"])
@example(incremental(b"279=0|270=x|271=y|", count=1), VIEWS[b"X"])
def test_any_message_in_any_view_has_the_rows_of_the_twin(message: bytes, view: View):
    decoder = small_decoder()
    found, _, _ = decode_all(message, decoder)
    for i, each in enumerate(found):
        expected, matches = slow_fix.rows(message, each.fields, view)
        assert_rows(read_rows(message, decoder, i, view)[0], expected)
        head = decoder.frames[i]
        assert (head["row_first"], head["row_count"]) == (0, len(expected))
        assert head["row_status"] == (Status.OK if matches else Status.BAD_LENGTH)


column_values = {
    "price": numbers, "qty": numbers, "text": texts, "type": st.sampled_from([b"0", b"A", b"AB"])
}  # fmt: skip


@pytest.mark.parametrize("view", [*VIEWS.values(), HEADER_VIEW], ids=lambda view: view.name)
@given(st.data())
def test_a_message_of_a_view_has_every_column(view: View, chance: st.DataObject):
    """Every column is in the message, with a value of its own kind or another."""
    stamps = st.sampled_from([b"20261121-14:30:00.5", b"20261121", b"14:30:00", b"Y", b"12"])
    body = [(column.tag, chance.draw(numbers | texts | stamps)) for column in view.columns]
    body = [(tag, value or b"0") for tag, value in body if tag not in {34, 35}]
    message = wire(b"35=%b\x0134=9\x01" % (view.msg_type or b"0") + encode_fields(*body))
    decoder = small_decoder()
    (each,), _, _ = decode_all(message, decoder)
    expected, _ = slow_fix.rows(message, each.fields, view)
    assert_rows(read_rows(message, decoder, 0, view)[0], expected)


def parsed(kernel: Callable[..., tuple[int, int]], text: bytes, *args: int) -> int | None:
    """Value of the whole text in the middle of others, None for a fault, which must lie in it."""
    buf = np.frombuffer(b"1.5" + text + b"5.1", np.uint8)
    number, fault_at = kernel(buf, 3, 3 + len(text), *args)
    if fault_at < 0:
        return int(number)
    assert number == 0
    assert 3 <= fault_at <= 3 + len(text)
    return None


@given(numbers | st.binary(max_size=20), st.sampled_from([0, 8, 9]))
@example(b"9223372036854775807", 0)
@example(b"9223372036854775808", 0)
@example(b"-9223372036854775807", 0)
@example(b"9223372036.854775807", 9)
@example(b"9223372036.854775808", 9)
@example(b"1.0000000000000", 9)
@example(b"1.50", 0)
@example(b"1.00", 0)
def test_decimals_are_exact_or_faults(text: bytes, decimals: int):
    assert parsed(parse_decimal_nb, text, decimals) == slow_fix.decimal(text, decimals)


@given(numbers | st.binary(max_size=20))
@example(b"5.")
def test_integers_have_no_point(text: bytes):
    expected = None if b"." in text else slow_fix.decimal(text, 0)
    assert parsed(parse_integer_nb, text) == expected


clock = st.from_regex(rb"[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,10})?", fullmatch=True)
days = st.one_of(
    st.dates().map(lambda day: day.strftime("%Y%m%d").zfill(8).encode()),
    st.from_regex(rb"(16|17|19|20|22)[0-9]{2}[01][0-9][0-3][0-9]", fullmatch=True),
)


def damaged(text: bytes, at: int, byte: int) -> bytes:
    """The text with one byte replaced when `at` is in it."""
    return text[:at] + bytes([byte]) + text[at + 1 :] if at < len(text) else text


@given(st.builds(damaged, clock, st.integers(0, 40), st.integers(0, 255)) | st.binary(max_size=20))
def test_times_of_day(text: bytes):
    assert parsed(parse_time_nb, text) == slow_fix.time_of_day(text)


@given(st.builds(damaged, days, st.integers(0, 20), st.integers(0, 255)) | st.binary(max_size=9))
@example(b"2026112")
def test_dates(text: bytes):
    assert parsed(parse_date_nb, text) == slow_fix.date(text)


@given(
    st.builds(
        lambda day, sign, time, at, byte: damaged(day + sign + time, at, byte),
        days, st.sampled_from([b"-", b"-", b" "]), clock, st.integers(0, 60), st.integers(0, 255),
    )
    | st.binary(max_size=20)
)  # fmt: skip
def test_timestamps(text: bytes):
    found = parsed(parse_timestamp_nb, text)
    assert found == slow_fix.timestamp(text)
    if found is not None:
        assert found == parse_utc_timestamp(text)
