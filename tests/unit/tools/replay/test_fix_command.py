"""`feedhandler replay` of FIX market data as a user calls it: captures, streams and logs."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from tests.unit.tools.decode.support import fix_message
from tests.unit.tools.replay.fix import LOGON, fix_capture, refresh, snapshot
from tests.unit.tools.replay.soup import save
from tests.unit.tools.replay.support import Run
from tools.replay.replay import Replay

DAY = [
    fix_message(1, "A", LOGON),
    snapshot(2, "EURUSD.SPOT", "269=0|270=1.23456|271=100|346=3", "269=1|270=1.2346|271=200"),
    refresh(3, "279=0|269=0|55=MSFT|270=100|271=7|278=A1", "279=0|269=1|270=100.5|271=3|278=A2"),
    fix_message(4, "0", ""),
    refresh(
        5,
        # Until the offer that is above it has gone, the book is crossed.
        "279=0|269=0|55=EURUSD.SPOT|270=1.23461|271=5",
        "279=2|269=1|270=1.2346",
        "279=0|269=1|270=1.23465|271=9|346=2",
        "279=1|278=A2|55=MSFT|271=4",
    ),
    refresh(6, "279=0|269=2|55=MSFT|270=100|271=1", "279=1|280=A1|278=A3|271=6"),
    refresh(7, "279=2|278=A2|55=MSFT"),
]
TIME = 11_045_678_000_000
BBO = f"""\
seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty
2,{TIME},EURUSD.SPOT,1.23456,100,1.2346,200
3,{TIME},MSFT,100.0000,7,100.5000,3
5,{TIME},EURUSD.SPOT,1.23461,5,1.23465,9
5,{TIME},MSFT,100.0000,7,100.5000,4
6,{TIME},MSFT,100.0000,6,100.5000,4
7,{TIME},MSFT,100.0000,6,,
"""
BOOK = """\
symbol,side,price,qty,orders
EURUSD.SPOT,B,1.23461,5,1
EURUSD.SPOT,B,1.23456,100,3
EURUSD.SPOT,S,1.23465,9,2
MSFT,B,100.0000,6,1
"""
ENTRIES = {"": 3, "0": 3, "1": 4, "2": 1}
CONFIG = """
[feed.line_a]
port = 1
[oms]
store_dir = "unused"
allowed = ["OMS"]
[engine]
instruments = 8
level_blocks = 64
level_arena = 4096
orders = 1024
[[patterns]]
name = "quoted"
function = "{file}:quoted"
params = {{}}
"""
PATTERN = """
from feedhandler.core.api import pattern
from feedhandler.core.events import Flag


@pattern()
def quoted(ticks, slot, market, legs, params, state, out):
    tick = ticks[slot]
    if tick["flags"] & Flag.BBO_CHANGED == 0 or tick["bid_qty"] == 0 or tick["ask_qty"] == 0:
        return 0
    out[0], out[1] = tick["bid_price_e9"], tick["bid_qty"]
    return -1 if tick["bid_price_e9"] >= tick["ask_price_e9"] else 1
"""


def write_day(path: Path) -> Path:
    """The day as the kind of file that its name says."""
    if "pcap" in path.name:
        return save(path, fix_capture(DAY, segment_bytes=77))
    data = b"".join(DAY)
    if "log" in path.name:
        lines = [b"20240102-03:04:05.678 : " + message.replace(b"\x01", b"|") for message in DAY]
        data = b"started\n" + b"\n".join(lines) + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng.zst", "a.fix", "a.fix.gz", "a.log"])
def test_books_and_best_prices_of_a_day(run: Run, tmp_path: Path, name: str):
    bbo, book = tmp_path / "bbo.csv", tmp_path / "book.csv"
    day = write_day(tmp_path / name)
    code, out, error = run(day, "--bbo", bbo, "--book", book, "--json")
    assert (code, error) == (0, "")
    assert bbo.read_text() == BBO
    assert book.read_text() == BOOK
    result = json.loads(out.splitlines()[-1])
    assert (result["messages"], result["types"]) == (5, {"W": 1, "X": 4})
    assert (result["gaps"], result["malformed"], result["orders_live"]) == (0, 0, 1)
    fix = result["fix"]
    assert (fix["session"], fix["session_messages"], fix["entries"]) == ("A>B", 7, ENTRIES)
    assert (fix["symbols"], fix["books_in_doubt"], fix["troubles"]) == (2, 0, {})
    assert fix["other_lines"] == (1 if name == "a.log" else 0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a pattern that proposes to sell when it sees a crossed book."""
    (tmp_path / "quoted.py").write_text(PATTERN)
    path = tmp_path / "a.toml"
    path.write_text(CONFIG.format(file=tmp_path / "quoted.py"))
    return path


def test_patterns_never_see_a_book_that_is_half_changed(tmp_path: Path, config: Path):
    rows = []
    player = Replay(load_config(config, ServerConfig), on_signals=lambda r: rows.append(r.copy()))
    outcome = player.run(write_day(tmp_path / "a.fix"), "fix")
    signals = np.concatenate(rows)
    assert outcome.signals == len(signals) == 5
    assert signals["seq"].tolist() == [2, 3, 5, 5, 6]
    assert (signals["side"] == 1).all()


def test_no_signal_leaves_a_book_in_doubt(run: Run, tmp_path: Path, config: Path):
    path = tmp_path / "a.fix"
    again = snapshot(8, "EURUSD.SPOT", "269=0|270=1|271=1", "269=1|270=2|271=1")
    path.write_bytes(b"".join([*DAY[:2], *DAY[3:], again]))
    first, second = (run(path, "--config", config, "--json")[1] for _ in range(2))
    result = json.loads(first)
    # One before the hole, and one after the book was made anew.
    assert (result["signals"], result["gaps"], result["missing_messages"]) == (2, 1, 1)
    assert result["fix"]["books_in_doubt"] == 1
    assert result["fix"]["troubles"] == {"unknown_id": 3}
    assert json.loads(second)["signals_digest"] == result["signals_digest"]


@pytest.mark.parametrize("name", ["a.fix", "a.log", "a.pcap"])
def test_fix_without_market_data_is_one_line_and_65(run: Run, tmp_path: Path, name: str):
    if name == "a.pcap":
        path = save(tmp_path / name, fix_capture(DAY[:1]))
    else:
        path = tmp_path / name
        path.write_bytes(DAY[0] if name == "a.fix" else DAY[0] + b"\n")
    code, _, error = run(path, "--json")
    assert (code, len(error.splitlines())) == (65, 1)
    assert "market data (W or X)" in error


def test_a_stream_that_ends_within_a_message_is_damaged(run: Run, tmp_path: Path):
    path = tmp_path / "a.fix"
    path.write_bytes(b"".join(DAY)[:-3])
    code, out, error = run(path, "--json")
    assert code == 65
    assert "the file ends within a message; what came before it was replayed" in error
    assert json.loads(out)["types"] == {"W": 1, "X": 3}


def test_prices_that_fit_no_book_are_counted(run: Run, tmp_path: Path):
    path = tmp_path / "a.fix"
    entries = ("269=0|270=0.000000001|271=1", "269=1|270=100000|271=1")
    path.write_bytes(snapshot(1, "ODD", *entries))
    code, out, error = run(path, "--json", "--bbo", tmp_path / "bbo.csv")
    result = json.loads(out)
    assert (code, result["malformed"], result["not_stored"]) == (65, 1, 0)
    # The last entry is refused, but what the one before it did is seen.
    rows = (tmp_path / "bbo.csv").read_text().splitlines()[1:]
    assert rows == [f"1,{TIME},ODD,0.000000001,1,,"]
    assert (result["fix"]["price_ranges"], result["fix"]["books_in_doubt"]) == (1, 1)
    assert "too fine and too high for one book" in error


def test_prices_above_the_usual_range_have_a_coarser_step(run: Run, tmp_path: Path):
    path, book = tmp_path / "a.fix", tmp_path / "book.csv"
    path.write_bytes(snapshot(1, "BRK.A", "269=0|270=712000.5|271=3", "269=1|270=712001|271=4"))
    assert run(path, "--book", book)[0] == 0
    assert book.read_text().splitlines()[1:] == [
        "BRK.A,B,712000.5000,3,1",
        "BRK.A,S,712001.0000,4,1",
    ]


@pytest.mark.parametrize(
    ("instruments", "reason"), [(1, "symbols_full"), (8, "ids_full")], ids=["symbols", "orders"]
)
def test_what_does_not_fit_is_one_line_and_78(
    run: Run, tmp_path: Path, config: Path, instruments: int, reason: str
):
    text = config.read_text().replace("instruments = 8", f"instruments = {instruments}")
    config.write_text(text.replace("orders = 1024", "orders = 256"))
    entries = [f"279=0|269=0|55={name}|270=1|271=1|278={name}" for name in range(257)]
    symbols = [entry.replace("55=", "55=A") for entry in entries[:2]]
    same = [entry.replace("|55=", "|55=X|58=") for entry in entries]
    path = tmp_path / "a.fix"
    path.write_bytes(refresh(1, *(symbols if reason == "symbols_full" else same)))
    code, _, error = run(path, "--config", config)
    assert (code, len(error.splitlines())) == (78, 1)
    assert f"1 entries found no room ({reason})" in error


def test_without_json_a_table_shows_what_was_found(run: Run, tmp_path: Path):
    code, out, error = run(write_day(tmp_path / "a.fix"))
    assert (code, error) == (0, "")
    assert all(text in out for text in ("A>B", "books in doubt", "W 1  X 4", "session messages"))


def test_the_speed_changes_no_book(run: Run, tmp_path: Path):
    day = write_day(tmp_path / "a.pcap")
    results = [json.loads(run(day, "--json", "--speed", speed)[1]) for speed in ("max", "1000000")]
    assert results[0]["books_digest"] == results[1]["books_digest"]
    assert results[0]["fix"] == results[1]["fix"]
