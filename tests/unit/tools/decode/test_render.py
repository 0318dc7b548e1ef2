"""Lines for programs and for people."""

import json

from tests.unit.tools.decode.support import ITCH
from tools.decode.decoders import ITCH_READER
from tools.decode.entries import Entry, Fault, Row, clock_text
from tools.decode.render import json_line, text_line

ADD = next(message for message in ITCH if message[:1] == b"A")
DAY_NS = 86_400_000_000_000


def test_an_object_has_the_number_the_type_the_name_and_the_fields():
    entry = Entry(12, 0, ADD, ITCH_READER)
    line = json_line(entry, ITCH_READER.read(ADD), None, "")
    assert line.endswith(b"}\n")
    shown = json.loads(line)
    assert list(shown)[:4] == ["seq", "type", "name", "message_type"]
    assert (shown["seq"], shown["type"], shown["name"]) == (12, "A", "add_order_no_mpid")
    assert isinstance(shown["price"], str)
    assert isinstance(shown["shares"], int)
    assert list(shown)[3:] == list(ITCH_READER.read(ADD).values)


def test_an_object_of_a_capture_has_time_and_flow_too():
    entry = Entry(12, 0, ADD, ITCH_READER)
    shown = json.loads(json_line(entry, ITCH_READER.read(ADD), 5, "1.2.3.4:5"))
    assert list(shown)[:3] == ["seq", "ts_ns", "flow"]
    assert (shown["ts_ns"], shown["flow"]) == (5, "1.2.3.4:5")


def test_what_cannot_be_read_has_the_reason_the_place_and_the_bytes():
    entry = Entry(3, 40, b"z\x01", ITCH_READER)
    shown = json.loads(json_line(entry, ITCH_READER.read(entry.raw), None, ""))
    assert shown == {
        "seq": 3, "type": "z", "name": "unknown_type", "fault": "unknown_type",
        "error": "message type b'z' at byte 0 is none of the 23 of ITCH 5.0", "offset": 40,
        "hex": "7a01",
    }  # fmt: skip


def test_a_line_has_columns_and_then_the_fields():
    entry = Entry(12, 0, ADD, ITCH_READER)
    row = ITCH_READER.read(ADD)
    line = text_line(entry, row, None, "").decode()
    time = clock_text(row.values["timestamp"])
    assert line.split()[:4] == ["12", time, "A", "add_order_no_mpid"]
    assert line.index(time) == 11
    assert line.endswith(f"price={row.values['price']}\n")
    assert "message_type=" not in line
    assert "timestamp=" not in line
    captured = text_line(entry, row, DAY_NS + 1, "1.2.3.4:5").decode()
    assert captured.split()[:3] == ["00:00:00.000000001", "1.2.3.4:5", "12"]


def test_text_cannot_write_on_the_terminal():
    row = Row(
        "\x1b",
        "name",
        {"a": "\x1b[2J", "b": "two words", "c": "\x9b", "d": ["x", "\n", {"e": "\x9b"}]},
    )
    line = text_line(Entry(None, 0, b"", Fault("", "")), row, None, "").decode()
    assert line.endswith(r"""a='\x1b[2J'  b='two words'  c='\x9b'  d=x,'\n',{e='\x9b'}""" + "\n")
    assert line.split()[:2] == ["-", r"'\x1b'"]


def test_a_line_shows_the_first_bytes_of_what_cannot_be_read():
    fault = Fault("malformed_packet", "broken")
    entry = Entry(None, 7, bytes(100), fault)
    line = text_line(entry, fault.read(b""), None, "").decode()
    assert line.endswith("! broken (offset 7) " + "00" * 64 + "...\n")
    assert not fault.time({})


def test_a_clock_goes_on_after_midnight():
    assert clock_text(0) == "00:00:00.000000000"
    assert clock_text(34_201_566_793_311) == "09:30:01.566793311"
    assert clock_text(2**48 - 1) == "78:11:14.976710655"
