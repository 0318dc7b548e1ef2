"""`feedhandler decode` as a user calls it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard

from protocols.itch50.spec import MESSAGES
from protocols.moldudp64.codec import Packet, encode_packet
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.writer import PcapngWriter, PcapWriter
from tests.reference import slow_itch
from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    binary_file,
    call,
    fix_message,
    soup_packet,
    soup_stream,
)
from tools.decode import job

Run = Callable[..., tuple[int, list[str], str]]

ROOT = Path(__file__).resolve().parents[4]
SOURCE = Endpoint(0x0A000001, 40_000)
LINE = Endpoint(0xE0000001, 26_400)
OTHER = Endpoint(0xE0000002, 26_401)
START_NS = 1_700_000_000_000_000_001


def price_text(number: int, decimals: int) -> str:
    digits = str(number).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def decode(*words: object) -> tuple[int, list[str], str]:
        code = call(words)
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.strip()

    return decode


@pytest.fixture
def day(tmp_path: Path) -> Path:
    path = tmp_path / "day.bin"
    path.write_bytes(binary_file(ITCH))
    return path


def capture(
    path: Path, datagrams: Sequence[tuple[Endpoint, bytes]], *, pcapng: bool = False
) -> Path:
    with path.open("wb") as file:
        writer: PcapWriter | PcapngWriter = PcapngWriter(file) if pcapng else PcapWriter(file)
        if isinstance(writer, PcapngWriter):
            writer.add_interface()
        for number, (line, payload) in enumerate(datagrams):
            frame = build_ethernet_frame(build_datagram(payload, SOURCE, line))
            writer.write(START_NS + number, frame)
    return path


def test_every_message_of_a_file_is_an_object_with_the_fields_of_the_specification(
    run: Run, day: Path
):
    code, out, error = run(day, "--json")
    assert (code, error) == (0, "messages 23, shown 23, end_of_session 1")
    shown = [json.loads(line) for line in out]
    assert [item["seq"] for item in shown] == list(range(1, 24))
    for item, message, raw in zip(shown, MESSAGES, ITCH, strict=True):
        assert (item["type"], item["name"]) == (message.type, message.key)
        _, expected = slow_itch.decode(raw)
        assert set(item) == {"seq", "type", "name", "message_type", *expected}
        for name, value in expected.items():
            decimals = message.by_name[name].decimals
            assert item[name] == (price_text(value, decimals) if decimals else value)


def test_a_line_a_message_for_people(run: Run, day: Path):
    code, out, _ = run(day)
    assert code == 0
    assert [line.split()[0] for line in out] == [str(seq) for seq in range(1, 24)]
    assert [line.split()[3] for line in out] == [message.key for message in MESSAGES]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_files_are_read_as_well(run: Run, day: Path, pack: Callable[[bytes], bytes]):
    plain = run(day, "--json")
    packed = day.with_name("renamed")
    packed.write_bytes(pack(day.read_bytes()))
    assert run(packed, "--json") == plain


@pytest.mark.parametrize(
    ("options", "types"),
    [
        (["--type", "A"], "A"),
        (["--type", "A,F", "--type", "order_delete"], "AFD"),
        (["--locate", "0", "--type", "S"], "S"),
        (["--limit", "2"], "SR"),
        (["--limit", "1", "--type", "U"], "U"),
        (["--symbol", "NOSUCH"], ""),
    ],
)
def test_options_choose_what_is_shown(run: Run, day: Path, options: list[str], types: str):
    code, out, error = run(day, "--json", *options)
    assert code == 0
    assert [json.loads(line)["type"] for line in out] == list(types)
    assert f"shown {len(types)}" in error


def test_a_symbol_stands_for_its_locate(run: Run, day: Path):
    symbols = {json.loads(line).get("stock") for line in run(day, "--json")[1]}
    assert {"TEST", "ABCDEFGH"} <= symbols
    _, out, _ = run(day, "--json", "--symbol", "TEST")
    shown = [json.loads(line) for line in out]
    assert {item.get("stock", "TEST") for item in shown} == {"TEST"}
    assert any("stock" not in item for item in shown)


def test_the_limit_ends_the_reading_so_damage_behind_it_is_not_met(run: Run, day: Path):
    day.write_bytes(binary_file(ITCH) + b"\0")
    assert run(day, "--limit", 23)[0] == 0
    assert run(day, "--limit", 24)[0] == 65


def test_unknown_types_and_wrong_lengths_are_shown_and_counted_and_not_fatal(run: Run, day: Path):
    day.write_bytes(binary_file([ITCH[0], b"zz", ITCH[0][:-1], ITCH[0]]))
    code, out, error = run(day, "--json")
    assert code == 0
    faults = [json.loads(line).get("fault") for line in out]
    assert faults == [None, "unknown_type", "wrong_length", None]
    assert error == "messages 2, shown 4, end_of_session 1, unknown_type 1, wrong_length 1"


def test_a_file_cut_at_every_byte_shows_what_is_whole_and_says_where_it_ends(run: Run, day: Path):
    data = binary_file(ITCH[:3], end=False)
    ends = [len(binary_file(ITCH[:count], end=False)) for count in range(4)]
    for size in range(1, len(data)):
        day.write_bytes(data[:size])
        code, out, error = run(day, "--json", "--framing", "binaryfile")
        whole = max(count for count, end in enumerate(ends) if end <= size)
        assert len(out) == whole
        if size in ends:
            assert (code, len(error.splitlines())) == (0, 1)
        else:
            assert code == 65
            assert f"day.bin at byte {ends[whole]}: ends within a message" in error


def test_a_damaged_gzip_shows_what_comes_before_the_damage(run: Run, day: Path):
    day.write_bytes(gzip.compress(binary_file(ITCH))[:-9])
    code, out, error = run(day, "--json")
    assert code == 65
    assert len(out) >= 20
    assert "gzip data end early" in error


@pytest.mark.parametrize("pcapng", [False, True])
def test_a_capture_has_times_and_flows_and_counts_what_is_no_message(
    run: Run, tmp_path: Path, pcapng: bool
):
    datagrams = [
        (LINE, encode_packet(Packet("SESSION", 1, tuple(ITCH[:3])))),
        (OTHER, b"something else"),
        (LINE, encode_packet(Packet("SESSION", 4))),
        (LINE, encode_packet(Packet("SESSION", 4, (ITCH[3],)))),
        (LINE, encode_packet(Packet("SESSION", 5, ended=True))),
    ]
    path = capture(tmp_path / "capture", datagrams, pcapng=pcapng)
    code, out, error = run(path, "--json")
    assert code == 0
    shown = [json.loads(line) for line in out]
    assert [item["seq"] for item in shown] == [1, 2, 3, 4]
    assert {item["flow"] for item in shown} == {"224.0.0.1:26400"}
    assert shown[3]["ts_ns"] - shown[0]["ts_ns"] in {3, 3000}
    counts = "messages 4, shown 4, end_of_session 1, heartbeat 1, other_datagram 1"
    assert error == counts
    assert run(path, "--port", LINE.port)[2] == counts.replace("datagram", "port")
    code, out, error = run(path, "--port", OTHER.port, "--json")
    assert (code, error) == (0, "messages 0, shown 1, malformed_packet 1, other_port 4")
    assert json.loads(out[0])["fault"] == "malformed_packet"
    assert run(path, "--protocol", "fix")[2] == "messages 0, shown 0, other_datagram 5"


def test_a_damaged_capture_shows_what_comes_before_the_damage(run: Run, tmp_path: Path):
    packet = encode_packet(Packet("SESSION", 1, (ITCH[0],)))
    path = capture(tmp_path / "capture", [(LINE, packet), (LINE, packet)])
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    code, out, error = run(path)
    assert (code, len(out)) == (65, 1)
    assert "the file ends within a record" in error
    path.write_bytes(data[:30])
    code, out, error = run(path)
    assert (code, out) == (65, [])
    assert "capture at byte 24" in error


def test_soup_streams_carry_itch_or_ouch(run: Run, tmp_path: Path):
    path = tmp_path / "stream"
    for data, options, first in (
        (soup_stream(ITCH), [], "system_event"),
        (soup_stream(OUCH_OUT), [], "system_event"),
        (soup_stream(OUCH_OUT), ["--protocol", "ouch42"], "system_event"),
        (b"".join(soup_packet("U", message) for message in OUCH_IN), [], "enter_order"),
        (soup_stream(ITCH), ["--framing", "soupbintcp"], "system_event"),
    ):
        path.write_bytes(data)
        code, out, error = run(path, "--json", *options)
        assert code == 0, error
        assert json.loads(out[0])["name"] == first
        assert not [line for line in out if "fault" in json.loads(line)]


def test_ouch_messages_follow_their_order_token(run: Run, tmp_path: Path):
    accepted, replaced, executed = (
        next(raw for raw in OUCH_OUT if raw[:1] == code) for code in (b"A", b"U", b"E")
    )
    replaced = replaced.replace(b"ABCDEFGH", b"AAPL    ")
    executed_2 = executed.replace(b"00001", b"00002")
    others = [executed.replace(b"00001", b"00003"), OUCH_OUT[0]]
    path = tmp_path / "stream"
    path.write_bytes(soup_stream([executed_2, accepted, executed, *others, replaced, executed_2]))
    _, out, _ = run(path, "--json", "--symbol", "AAPL")
    assert [json.loads(line)["seq"] for line in out] == [2, 3, 6, 7]


@pytest.mark.parametrize("form", ["stream", "lines"])
def test_fix_is_read_from_streams_and_logs(run: Run, tmp_path: Path, form: str):
    messages = [fix_message(seq) for seq in (1, 2, 3)]
    end = b"\n" if form == "lines" else b""
    path = tmp_path / "log"
    path.write_bytes(b"".join(message + end for message in messages))
    code, out, error = run(path, "--json")
    assert (code, error) == (0, "messages 3, shown 3")
    shown = [json.loads(line) for line in out]
    assert [item["seq"] for item in shown] == [1, 2, 3]
    assert {item["name"] for item in shown} == {"NewOrderSingle"}
    assert shown[0]["Symbol"] == "AAPL"
    assert run(path, "--framing", form, "--json")[1] == out
    assert len(run(path, "--symbol", "AAPL", "--type", "D", "--limit", 2)[1]) == 2
    path.write_bytes(path.read_bytes()[:-20])
    assert run(path)[0] == (65 if form == "stream" else 0)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{day}", "--port", "5"], "is no capture"),
        (["{day}", "--port", "0"], "1 to 65535"),
        (["{day}", "--locate", "65536"], "0 to 65535"),
        (["{day}", "--limit", "0"], "from 1 on"),
        (["{day}", "--framing", "lines", "--protocol", "itch50"], "binaryfile, soupbintcp"),
        (["{capture}", "--framing", "lines"], "is a capture, which has its own"),
        (["{day}", "--protocol", "itch40"], "itch40"),
        (["--bogus"], "Unknown option: --bogus"),
        ([], "requires an argument"),
    ],
)
def test_wrong_usage_is_a_line_and_exit_code_2(
    run: Run, day: Path, tmp_path: Path, words: list[str], text: str
):
    path = capture(tmp_path / "capture", [(LINE, b"x")])
    code, out, error = run(*(word.format(day=day, capture=path) for word in words))
    assert (code, out) == (2, [])
    assert text in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "No such file"),
        (b"", "at byte 0: the file is empty"),
        (b"this is text, and nothing of ours", "at byte 0: no capture"),
        (gzip.compress(b"", mtime=0), "at byte 0: it holds no data"),
        (gzip.compress(b"", mtime=0)[:5], "at byte 0: gzip data end early"),
        (zstandard.compress(b"")[:5], "at byte 0: zstd data end early"),
    ],
)
def test_a_file_that_is_none_of_ours_is_a_line_and_exit_code_65(
    run: Run, tmp_path: Path, data: bytes | None, text: str
):
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    code, out, error = run(path)
    assert (code, out) == (65, [])
    assert text in error
    assert len(error.splitlines()) == 1


def test_many_messages_come_in_batches_and_all_of_them(
    run: Run, day: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "_BATCH_LINES", 50)
    day.write_bytes(binary_file(ITCH * 2_000))
    code, out, error = run(day, "--json")
    assert (code, len(out)) == (0, 46_000)
    assert [json.loads(line)["seq"] for line in out] == list(range(1, 46_001))
    assert error == "messages 46000, shown 46000, end_of_session 1"


PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.unit.tools.decode.support import call
sys.exit(call(sys.argv[1:]))
"""


def decode_process(words: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        input=data,
        capture_output=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_standard_input_is_read_for_a_dash(run: Run, day: Path, pack: Callable[[bytes], bytes]):
    done = decode_process(["-", "--json"], pack(day.read_bytes()))
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == run(day, "--json")[1]


def test_a_capture_comes_from_standard_input_as_well(run: Run, tmp_path: Path):
    packet = encode_packet(Packet("SESSION", 1, tuple(ITCH)))
    path = capture(tmp_path / "capture", [(LINE, packet)])
    done = decode_process(["-", "--json"], path.read_bytes())
    assert (done.returncode, done.stdout.decode().splitlines()) == (0, run(path, "--json")[1])
    done = decode_process(["-"], path.read_bytes()[:30])
    assert done.returncode == 65
    assert b"feedhandler: error: - at byte 24: the file ends within" in done.stderr


def test_nothing_on_standard_input_is_an_error():
    done = decode_process(["-"], b"")
    assert (done.returncode, done.stdout) == (65, b"")
    assert done.stderr == b"feedhandler: error: - at byte 0: it holds no data\n"


def test_a_reader_that_goes_away_ends_it_without_a_word(day: Path):
    day.write_bytes(binary_file(ITCH * 5_000))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(day)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().split()[0] == b"1"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=100) == 0
