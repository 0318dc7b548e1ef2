"""Which messages of a file or capture a FIX replay takes, and in which order."""

from pathlib import Path

import pytest

from protocols.pcap.flow import Endpoint
from tests.unit.tools.decode.support import fix_message
from tests.unit.tools.replay.fix import (
    LOGON,
    expected,
    fix_capture,
    refresh,
    replay,
    replay_stream,
    snapshot,
    without_times,
)
from tests.unit.tools.replay.soup import CLIENT, SERVER, save
from tools.replay import fix

OTHER = Endpoint(0x0A000005, 51_000)
LEVELS = [f"279=0|269=0|55=A|270={price}|271=1" for price in range(1, 9)]
STREAM = [refresh(seq, entry) for seq, entry in enumerate(LEVELS, 1)]


def of_session(message: bytes, sender: bytes) -> bytes:
    """The message as from another sender, with a checksum that fits."""
    assert len(sender) == 1
    changed = message.replace(b"\x0149=A\x01", b"\x0149=%b\x01" % sender)
    body = changed[: changed.rindex(b"10=")]
    return body + b"10=%03d\x01" % (sum(body) % 256)


def bids(book: list[str]) -> list[str]:
    """The prices of a book of bids."""
    return [line.split(",")[2].rstrip("0").rstrip(".") for line in book]


def test_the_session_with_the_most_market_data_is_replayed(tmp_path: Path):
    other = [of_session(message, b"C") for message in STREAM[:3]]
    found = replay_stream(tmp_path / "a.fix", [*other, *STREAM])
    counts = found.outcome.fix
    assert (counts["session"], counts["session_messages"]) == ("A>B", 8)
    assert (counts["other_sessions"], counts["other_session_messages"]) == (1, 3)
    # Numbered by their place in the file, where the others are as well.
    assert [line.split(",")[0] for line in found.bbo] == [str(seq) for seq in range(4, 12)]


def test_a_session_goes_on_in_its_next_connection(tmp_path: Path):
    first = fix_capture([fix_message(1, "A", LOGON), *STREAM[1:4]])
    # Number 5 was sent when the first connection was gone, and is sent again.
    resent = [fix_message(6, "A", "98=0|"), *STREAM[4:5], *STREAM[6:8]]
    second = fix_capture(resent, client=OTHER)
    found = replay(save(tmp_path / "a.pcapng", [*first, *second]))
    counts = found.outcome.fix
    assert (counts["connections"], counts["session_messages"], counts["gaps"]) == (2, 8, 0)
    assert bids(found.book) == ["8", "7", "5", "4", "3", "2"]
    assert counts["books_in_doubt"] == 0


def test_a_logon_that_resets_the_numbers_begins_anew(tmp_path: Path):
    logon = fix_message(1, "A", LOGON)
    again = logon.replace(b"05.678", b"06.677")
    found = replay_stream(tmp_path / "a.fix", [logon, *STREAM[1:4], logon, again, *STREAM[1:3]])
    counts = found.outcome.fix
    assert (counts["duplicates"], counts["gaps"], found.outcome.messages) == (1, 0, 5)
    # Nobody says what went by between the two.
    assert counts["books_in_doubt"] == 1


@pytest.mark.parametrize(
    ("body", "gaps", "missing"), [("123=Y|36=5|", 0, 0), ("36=7|", 1, 5), ("123=N|36=2|", 0, 0)]
)
def test_sequence_resets(tmp_path: Path, body: str, gaps: int, missing: int):
    after = 5 if "Y" in body else int(body.split("36=")[1].strip("|"))
    stream = [STREAM[0], fix_message(2, "4", body), refresh(after, LEVELS[4])]
    found = replay_stream(tmp_path / "a.fix", stream)
    assert (found.outcome.gaps, found.outcome.missing_messages) == (gaps, missing)
    assert bids(found.book) == ["5", "1"]
    wanted = expected(stream)
    assert (wanted.session.gaps, wanted.session.missing) == (gaps, missing)


def test_messages_below_the_first_number_are_duplicates(tmp_path: Path):
    found = replay_stream(tmp_path / "a.fix", [STREAM[4], STREAM[0], STREAM[5]])
    assert (found.outcome.fix["duplicates"], bids(found.book)) == (1, ["6", "5"])


def test_lines_without_a_header_stay_where_they_are(tmp_path: Path):
    path = tmp_path / "a.log"
    lines = [f"35=X|268=1|{entry}|" for entry in LEVELS[:3]]
    path.write_text("\n".join([*lines, "35=d|55=A|", lines[0]]))
    found = replay(path)
    assert (found.outcome.messages, found.outcome.fix["session_messages"]) == (4, 5)
    assert bids(found.book) == ["3", "2", "1"]


def test_a_message_without_a_number_follows_the_one_before(tmp_path: Path):
    bare = fix_message(9, "X", f"268=1|{LEVELS[0].replace('271=1', '271=9')}|")
    bare = bare.replace(b"\x0134=9\x01", b"\x01", 1)
    begin, rest = bare.split(b"\x019=", 1)
    body = rest.split(b"\x01", 1)[1]
    body = body[: body.rindex(b"10=")]
    bare = begin + b"\x019=%d\x01" % len(body) + body
    bare += b"10=%03d\x01" % (sum(bare) % 256)
    found = replay_stream(tmp_path / "a.fix", [STREAM[0], STREAM[2], bare, STREAM[1], STREAM[0]])
    assert (found.outcome.fix["duplicates"], found.outcome.gaps) == (1, 0)
    assert [line.split(",")[0] for line in found.bbo] == ["1", "4", "2"]
    assert found.book[-1] == "A,B,1.0000,9,1"


def test_a_length_that_lies_costs_its_message_only(tmp_path: Path):
    liar = STREAM[2].replace(b"\x019=", b"\x019=90")
    found = replay_stream(tmp_path / "a.fix", [*STREAM[:2], liar, *STREAM[3:]])
    counts = found.outcome.fix
    assert (found.outcome.messages, counts["malformed"], found.outcome.gaps) == (7, 1, 1)
    assert found.outcome.malformed == 1


def test_a_log_has_both_directions(tmp_path: Path):
    path = tmp_path / "a.log"
    ours = of_session(fix_message(1, "V", "262=1|"), b"B")
    lines = [ours, *STREAM, ours.replace(b"10=", b"10=9")]
    path.write_bytes(b"".join(line.replace(b"\x01", b"^A") + b"\r\n" for line in lines) + b"text\n")
    found = replay(path)
    counts = found.outcome.fix
    assert (counts["session_messages"], counts["malformed"], counts["other_lines"]) == (8, 1, 1)
    assert without_times(found.bbo)[0] == ["2,A,1.0000,1,,"]


@pytest.mark.parametrize("lost", [3, 6])
def test_a_hole_in_a_capture_costs_the_messages_that_it_touches(tmp_path: Path, lost: int):
    segments = fix_capture(STREAM, segment_bytes=len(STREAM[0]))
    data = [place for place, segment in enumerate(segments) if b"35=X" in segment]
    del segments[data[lost]]
    found = replay(save(tmp_path / "a.pcapng", segments))
    counts = found.outcome.fix
    assert (counts["holes"], counts["missing_bytes"]) == (1, len(STREAM[0]))
    assert found.outcome.messages == 7
    assert (counts["gaps"], counts["missing_messages"], counts["books_in_doubt"]) == (1, 1, 1)


def test_a_capture_from_the_middle_of_a_connection(tmp_path: Path):
    segments = fix_capture(STREAM, segment_bytes=70)
    first = next(place for place, segment in enumerate(segments) if b"35=X" in segment)
    found = replay(save(tmp_path / "a.pcapng", segments[first + 1 :]))
    assert found.outcome.messages == 7
    assert (found.outcome.gaps, found.outcome.fix["books_in_doubt"]) == (0, 0)


def test_other_streams_of_a_capture_are_left_alone(tmp_path: Path):
    web = fix_capture([b"GET / HTTP/1.1\r\n" + bytes(200)], client=OTHER, server=CLIENT)
    found = replay(save(tmp_path / "a.pcapng", [*web, *fix_capture(STREAM, server=SERVER)]))
    assert (found.outcome.messages, found.outcome.fix["connections"]) == (8, 1)
    assert found.outcome.skipped_frames == {}


def test_symbols_that_begin_alike_are_kept_apart(tmp_path: Path):
    names = ["EURUSD.SPOT", "EURUSD.SWAP", "EURUSD.S", "A" * 64, "A" * 63]
    stream = [
        snapshot(seq, name, f"269=0|270={seq}|271={seq}") for seq, name in enumerate(names, 1)
    ]
    found = replay_stream(tmp_path / "a.fix", stream)
    wanted = [f"{name},B,{seq}.0000,{seq},1" for seq, name in enumerate(names, 1)]
    assert found.book == wanted
    assert [line.split(",")[2] for line in found.bbo] == names


def test_a_long_stream_is_read_window_by_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = replay_stream(tmp_path / "a.fix", STREAM)
    monkeypatch.setattr(fix, "_WINDOW_BYTES", 2 * len(STREAM[0]) + 7)
    found = replay_stream(tmp_path / "a.fix", STREAM)
    assert (found.bbo, found.outcome.fix) == (whole.bbo, whole.outcome.fix)
