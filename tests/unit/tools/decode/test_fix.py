"""FIX as a stream and as a log: however split or damaged, whatever stands before a message."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tools.decode.support import Outcome, bytes_of, fix_message, flipped, run
from tools.decode import fix
from tools.decode.entries import Decoder
from tools.decode.fix import FixLinesDecoder, FixReader, FixStreamDecoder

Make = Callable[[], Decoder]

MESSAGES = [
    fix_message(1, "A", "98=0|108=30|"),
    fix_message(2, "W", "55=AAPL|268=2|269=0|270=1.50|269=1|270=1.75|"),
    fix_message(3, "U7", "58=f\xfcr|95=3|96=a\x01b|"),
    fix_message(4),
]
STREAM = b"".join(MESSAGES)
LOG = b"".join(b"2024-01-02 IN : " + message + b"\r\n" for message in MESSAGES)


def stream() -> Decoder:
    return FixStreamDecoder()


def lines() -> Decoder:
    return FixLinesDecoder()


def sound(found: Outcome) -> list[bytes]:
    pairs = zip(found.entries, found.rows, strict=True)
    return [raw for (_, _, raw), row in pairs if not row.fault]


BY_FORM = pytest.mark.parametrize(
    ("make", "data"), [(stream, STREAM), (lines, LOG)], ids=["stream", "lines"]
)


@BY_FORM
def test_every_message_comes_with_its_number_and_offset(make: Make, data: bytes):
    found = run(make(), [data])
    assert sound(found) == [raw for _, _, raw in found.entries] == MESSAGES
    assert [seq for seq, _, _ in found.entries] == [1, 2, 3, 4]
    assert all(data[at : at + len(raw)] == raw for _, at, raw in found.entries)
    assert [row.name for row in found.rows] == [
        "Logon",
        "MarketDataSnapshotFullRefresh",
        "",
        "NewOrderSingle",
    ]
    assert [row.type for row in found.rows] == ["A", "W", "U7", "D"]
    assert found.incomplete is None


@BY_FORM
def test_byte_by_byte_and_split_anywhere_is_as_whole(make: Make, data: bytes):
    whole = run(make(), [data])
    assert run(make(), bytes_of(data)) == whole
    for at in range(len(data)):
        assert run(make(), [data[:at], data[at:]]) == whole


def test_a_stream_cut_at_every_byte_says_where_its_last_message_begins():
    starts = [at for _, at, _ in run(stream(), [STREAM]).entries] + [len(STREAM)]
    for size in range(len(STREAM)):
        found = run(stream(), [STREAM[:size]])
        assert [raw for _, _, raw in found.entries] == MESSAGES[: len(found.entries)]
        begun = max(at for at in starts if at <= size)
        if begun == size:
            assert found.incomplete is None
        else:
            assert found.incomplete is not None
            assert found.incomplete.offset == begun
            assert f"{size - begun} bytes of it" in found.incomplete.reason


def test_a_log_cut_at_every_byte_never_shows_a_cut_message_as_sound():
    for size in range(len(LOG)):
        found = run(lines(), [LOG[:size]])
        shown = sound(found)
        assert shown == MESSAGES[: len(shown)]
        for row in found.rows[len(shown) :]:
            assert row.fault == "invalid_fix"
            assert row.text


@BY_FORM
def test_with_any_byte_wrong_a_message_is_shown_as_it_is_or_with_a_fault(make: Make, data: bytes):
    for wrong in flipped(data):
        found = run(make(), [wrong])
        for raw in sound(found):
            # A sum over the bytes misses nothing that one wrong bit does.
            assert raw in MESSAGES
        assert len(sound(found)) >= len(MESSAGES) - 2 or found.incomplete is not None


def test_garbage_in_a_stream_is_shown_with_its_place_and_size():
    found = run(stream(), [b"junk" + MESSAGES[0] + b"8=FIX.4.4\x01x" + MESSAGES[1] + b"zz"])
    first, second = len(MESSAGES[0]), len(MESSAGES[1])
    assert [(at, row.fault) for (_, at, _), row in zip(found.entries, found.rows, strict=True)] == [
        (0, "garbled"),
        (4, ""),
        (4 + first, "garbled"),
        (15 + first, ""),
        (15 + first + second, "garbled"),
    ]
    assert found.rows[2].text.startswith("11 bytes are no FIX message")


@pytest.mark.parametrize("separator", ["|", "^A", "\x01"])
def test_a_log_separates_fields_in_any_customary_way(separator: str):
    log = LOG.replace(b"\x01", separator.encode())
    found = run(lines(), [log])
    if separator != "\x01":
        # The data field holds a separator of the log: its length is what tells.
        assert len(found.rows) == 4
    assert [row.type for row in found.rows] == ["A", "W", "U7", "D"]
    assert not any(row.fault for row in found.rows)


def test_a_log_without_the_last_separator_or_line_end_is_whole():
    found = run(lines(), [MESSAGES[0][:-1] + b"\n" + MESSAGES[3][:-1]])
    assert sound(found) == [MESSAGES[0], MESSAGES[3]]
    found = run(lines(), [MESSAGES[0] + b" sent\n"])
    assert sound(found) == [MESSAGES[0]]


def test_lines_without_a_message_are_counted():
    found = run(lines(), [b"started\n\n" + LOG + b"stopped"])
    assert found.counts == {"line_without_message": 3}
    assert sound(found) == MESSAGES


@pytest.mark.parametrize("separator", ["|", "^A", "\x01"])
def test_a_line_without_header_and_trailer_is_a_message_of_a_definition_file(separator: str):
    line = "35=d|48=736|55=ESM9|\r\n".replace("|", separator).encode()
    found = run(lines(), [line, b"x" + line])
    assert found.counts == {"line_without_message": 1}
    assert found.entries == [(None, 0, b"35=d\x0148=736\x0155=ESM9\x01")]
    assert found.rows[0].values == {"MsgType": "d", "SecurityID": "736", "Symbol": "ESM9"}
    assert (found.rows[0].type, found.rows[0].fault) == ("d", "")
    assert run(lines(), [b"35=d|55=|"]).rows[0].text == "Symbol (55) has no value"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"8=FIX.4.4|35=D|10=000|", "BodyLength (9) do not begin"),
        (b"8=FIX.4.4|9=5|35=D|", "CheckSum (10) does not end"),
        (b"8=FIX.4.4|9=6|35=D|10=000|", "BodyLength (9) is 6, the body has 5 bytes"),
        (b"8=FIX.4.4|9=5|35=D|10=000|", "CheckSum (10) is 000, the bytes make"),
        (b"8=FIX!", "do not begin"),
    ],
)
def test_what_contradicts_the_standard_is_said_beside_the_fields(line: bytes, text: str):
    found = run(lines(), [line])
    assert [row.fault for row in found.rows] == ["invalid_fix"]
    assert text in found.rows[0].text
    assert [seq for seq, _, _ in found.entries] == [None]


def test_a_sound_frame_with_a_field_without_value_says_so():
    row = FixReader().read(fix_message(1, "D", "55=|"))
    assert (row.fault, row.text) == ("invalid_fix", "Symbol (55) has no value")


@given(st.lists(st.integers(0, 60), max_size=6))
def test_a_line_too_long_for_a_message_is_left_out_however_it_comes(cuts: list[int]):
    long, limit = b"x" * 40 + b"\n", 30
    data = b"8=a\n" + long + b"8=b\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:stop] for start, stop in itertools.pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fix, "_LINE_BYTES_MAX", limit)
        found = run(lines(), pieces)
        assert found == run(lines(), [data])
        assert [(at, row.fault) for (_, at, _), row in zip(found.entries, found.rows, strict=True)]
    assert found.counts == {"line_without_message": 2}
    assert found.entries == [(None, 4, b"")]
    assert found.rows[0].text == "a line of more than 30 bytes"


def test_the_end_of_a_line_too_long_is_not_taken_for_a_line():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fix, "_LINE_BYTES_MAX", 8)
        found = run(lines(), bytes_of(b"x" * 20))
    assert found.entries == [(None, 0, b"")]
    assert not found.counts
