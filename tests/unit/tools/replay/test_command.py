"""`feedhandler replay` as a user calls it: what it prints, and what it says to what is wrong."""

import json
import os
from pathlib import Path

import pytest

from protocols.pcap.frames import build_datagram
from tests.programs import run_program
from tests.unit.tools.replay.soup import Connection, logged_in_stream, save
from tests.unit.tools.replay.support import (
    LINES,
    SOURCE,
    Run,
    make_session,
    session_messages,
    slow_book,
)

CONFIG = """
[feed.line_a]
port = 1
[oms]
store_dir = "unused"
allowed = ["OMS"]
[engine]
instruments = 64
[[patterns]]
name = "imbalance"
function = "feedhandler.core.patterns:imbalance_with_trade"
[patterns.params]
imbalance_bps = 6000
window_ns = 1000000000
cooldown_ns = 1000000
order_qty = 100
trade_qty_min = 1

[[breakers]]
name = "band"
function = "feedhandler.core.breakers:price_band"
params = { band_bps = 50, open_ns = 0, close_ns = 86400000000000 }
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session") / "day.bin")


def test_the_object_on_the_last_line_has_the_promised_keys(run: Run, session: Path):
    code, out, error = run(session, "--json")
    result = json.loads(out.splitlines()[-1])
    assert (code, error) == (0, "")
    promised = (
        "messages types orders_live unknown_references malformed gaps messages_per_second"
        " ns_per_message books_digest"
    )
    assert set(promised.split()) <= result.keys()
    assert result["messages"] == sum(result["types"].values()) == 2_000
    assert result["books_digest"] == slow_book(session_messages(session)).digest()
    assert result["ns_per_message"] > 0
    rate = 1_000_000_000 / result["messages_per_second"]
    # Both are rounded: the one to tenths, the other to integers.
    rounding = 1 / result["messages_per_second"]
    assert rate == pytest.approx(result["ns_per_message"], abs=0.2, rel=rounding)


@pytest.mark.alone
@pytest.mark.compiled_only
def test_the_time_is_that_of_the_kernels_alone(session: Path):
    # A round that compiled or loaded machine code would take milliseconds, in every process anew:
    # one process of ten that does not is enough, as the machine may stop for as long.
    def measure_ns() -> float:
        done = run_program("feedhandler.server", "replay", session, "--json")
        found: float = json.loads(done.stdout.splitlines()[-1])["ns_per_message"]
        return found

    assert any(measure_ns() < 2_000 for _ in range(10))


def test_without_json_there_is_a_table(run: Run, session: Path):
    code, out, _ = run(session)
    assert code == 0
    assert "books digest" in out
    assert "2,000" in out


def test_a_configuration_gives_the_same_signals_every_time(run: Run, session: Path, tmp_path: Path):
    config = tmp_path / "server.toml"
    config.write_text(CONFIG)
    results = [
        json.loads(run(session, "--config", config, "--speed", speed, "--json")[1])
        for speed in ("max", "max", "1000000")
    ]
    assert results[0]["signals"] > 0
    assert results[0]["signals_dropped"] == 0
    for key in ("signals", "signals_digest", "books_digest"):
        assert len({result[key] for result in results}) == 1


def test_both_csv_files_are_written(run: Run, session: Path, tmp_path: Path):
    bbo, book = tmp_path / "bbo.csv", tmp_path / "book.csv"
    assert run(session, "--bbo", bbo, "--book", book)[0] == 0
    assert bbo.read_text().startswith("seq,ts_ns,symbol,")
    assert book.read_text().startswith("symbol,side,price,")


def test_a_cut_file_is_reported_and_then_exits_with_65(run: Run, session: Path, tmp_path: Path):
    cut = tmp_path / "cut.bin"
    cut.write_bytes(session.read_bytes()[:-7])
    book = tmp_path / "book.csv"
    code, out, error = run(cut, "--json", "--book", book)
    assert code == 65
    assert json.loads(out)["messages"] == 1_999
    assert "ends within a message; what came before it was replayed" in error
    assert error.count("\n") == 1
    assert book.read_text().count("\n") > 1


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "the file is empty"),
        (b"\0", "ends within its first message"),
        (b"GIF89a" * 100, "neither pcap nor pcapng"),
        (b"\x1f\x8b\x08junk that is no gzip stream", "gzip"),
        (b"\xa1\xb2\xc3\xd4short", "pcap file header"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "byte order"),
        (b"\0\x05hello\0\x05world", "not one of 2 messages is known"),
    ],
)
def test_what_is_no_recording_is_one_line_and_65(run: Run, tmp_path: Path, data: bytes, named: str):
    path = tmp_path / "what.bin"
    path.write_bytes(data)
    code, _, error = run(path)
    assert code == 65
    assert named in error
    assert str(path) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "named"), [("none.bin", "No such file"), (".", "is a directory"), ("pipe", "regular")]
)
def test_what_cannot_be_read_is_one_line_and_65(run: Run, tmp_path: Path, name: str, named: str):
    os.mkfifo(tmp_path / "pipe")
    code, out, error = run(tmp_path / name, "--bbo", tmp_path / "bbo.csv")
    assert (code, out) == (65, "")
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "bbo.csv").exists()


@pytest.mark.parametrize(
    "speed",
    [
        "0",
        "-1",
        "1.5",
        "fast",
        "",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "1000001",
        "1000000000000000000",
        "7" * 5_000,
    ],
)
def test_a_speed_that_is_no_whole_number_is_wrong_usage(run: Run, session: Path, speed: str):
    code, _, error = run(session, f"--speed={speed}")
    assert code == 2
    assert "--speed is 'max' or a whole number from 1 to 1000000" in error
    assert len(error) < 200


def test_an_output_never_overwrites_the_input_or_the_other_output(
    run: Run, session: Path, tmp_path: Path
):
    before = session.read_bytes()
    link = tmp_path / "link.bin"
    link.symlink_to(session)
    one = tmp_path / "one.csv"
    for arguments in (("--bbo", link), ("--book", session), ("--bbo", one, "--book", one)):
        code, _, error = run(session, *arguments)
        assert code == 2
        assert "choose another file" in error
    assert session.read_bytes() == before


def test_an_output_that_cannot_be_written_is_found_before_the_work(
    run: Run, session: Path, tmp_path: Path
):
    code, out, error = run(session, "--book", tmp_path / "none" / "book.csv")
    assert (code, out) == (73, "")
    assert "cannot be written: No such file or directory" in error


def test_books_that_are_too_small_say_which_keys_to_raise(run: Run, session: Path, tmp_path: Path):
    config = tmp_path / "server.toml"
    config.write_text(CONFIG.replace("instruments = 64", "level_blocks = 4"))
    code, out, error = run(session, "--config", config, "--json")
    assert code == 78
    assert json.loads(out)["not_stored"] > 0
    assert "engine.orders, overflow_orders, level_blocks" in error


def test_a_misspelt_key_of_the_configuration_is_one_line_and_78(
    run: Run, session: Path, tmp_path: Path
):
    config = tmp_path / "server.toml"
    config.write_text(CONFIG.replace("instruments", "instrumens"))
    code, _, error = run(session, "--config", config)
    assert code == 78
    assert "instrumens" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng.zst"])
def test_a_capture_of_soupbintcp_gives_the_books_of_the_file(
    run: Run, session: Path, tmp_path: Path, name: str
):
    capture = save(tmp_path / name, logged_in_stream(session_messages(session)))
    code, out, error = run(capture, "--json")
    assert (code, error) == (0, "")
    result = json.loads(out.splitlines()[-1])
    expected = json.loads(run(session, "--json")[1].splitlines()[-1])
    assert result["books_digest"] == expected["books_digest"]
    assert (result["messages"], result["gaps"], result["types"]) == (2_000, 0, expected["types"])
    assert result["streams"]["connections"] == 1


@pytest.mark.parametrize("datagrams", [[], [build_datagram(b"a question", SOURCE, LINES[0])]])
def test_a_capture_of_fix_without_market_data_says_so(
    run: Run, tmp_path: Path, datagrams: list[bytes]
):
    fix = Connection()
    said = [*fix.open(), *fix.client(b"8=FIX.4.4\x01"), *fix.server(b"8=FI"), *fix.server(b"X.4")]
    capture = save(tmp_path / "a.pcap", [*said, *datagrams])
    code, _, error = run(capture, "--json")
    assert code == 65
    assert len(error.splitlines()) == 1
    assert error.endswith(
        "the FIX in it has no market data (W or X), feedhandler decode shows it\n"
    )
