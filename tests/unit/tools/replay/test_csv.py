"""The CSV files of a replay, row by row against the slow twin."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.analytics import INSTRUMENT
from feedhandler.core.events import BBO
from protocols.pcap.sniff import sniff_format
from tests.unit.tools.replay.support import (
    Datagram,
    make_session,
    packets_of,
    server_config,
    session_messages,
    shown_price,
    slow_best_prices,
    slow_levels,
    write_capture,
)
from tools.replay.csv_kernels import (
    NAME_BYTES_MAX,
    ROW_BYTES_MAX,
    format_bbo_nb,
    write_name_nb,
    write_price_nb,
)
from tools.replay.replay import Replay


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session") / "day.bin")


def best_prices(path: Path) -> list[str]:
    out = io.BytesIO()
    Replay(server_config(), out).run(path, sniff_format(path))
    return out.getvalue().decode().splitlines()


def test_best_prices_of_a_file_are_those_of_the_slow_twin(session: Path):
    lines = best_prices(session)
    assert lines[0] == "seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty"
    assert lines[1:] == list(slow_best_prices(session_messages(session)))
    assert len(lines) > 500


def test_best_prices_of_a_capture_are_those_of_its_stream(session: Path, tmp_path: Path):
    datagrams = [Datagram(0, packet) for packet in packets_of(session_messages(session))]
    capture = write_capture(tmp_path / "day.pcap", datagrams)
    assert best_prices(capture) == best_prices(session)


def test_the_final_books_are_those_of_the_slow_twin(session: Path):
    player = Replay(server_config())
    player.run(session, "binaryfile")
    out = io.BytesIO()
    player.write_book(out)
    lines = out.getvalue().decode().splitlines()
    assert lines[0] == "symbol,side,price,qty,orders"
    assert lines[1:] == list(slow_levels(session_messages(session)))
    assert len(lines) > 20


NO_NAMES = np.zeros((0, 1), np.uint8)


@pytest.mark.parametrize(
    ("price_e9", "shown"),
    [
        (0, b"0.0000"),
        (1_234_560_000, b"1.23456"),
        (1_234_500_000, b"1.2345"),
        (7, b"0.000000007"),
        (12_000_000_000_000, b"12000.0000"),
    ],
)
def test_a_price_has_four_decimals_or_as_many_more_as_it_needs(price_e9: int, shown: bytes):
    out = np.zeros(ROW_BYTES_MAX, np.uint8)
    assert out[: write_price_nb(out, 0, price_e9)].tobytes() == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"EURUSD.SPOT", b"EURUSD.SPOT"),
        (b'A B,"C', b"A?B??C"),
        (b"X" * 64, b"X" * 64),
        (b"", b"#1"),
    ],
)
def test_a_name_is_shown_in_full_where_there_is_one(name: bytes, shown: bytes):
    names = np.zeros((2, 65), np.uint8)
    names[1, 0] = len(name)
    names[1, 1 : 1 + len(name)] = np.frombuffer(name, np.uint8)
    out = np.zeros(NAME_BYTES_MAX, np.uint8)
    assert out[: write_name_nb(out, 0, 0, 1, names)].tobytes() == shown
    symbol = int.from_bytes(b"ZVZZT   ", "little")
    assert out[: write_name_nb(out, 0, symbol, 2, names)].tobytes() == b"ZVZZT"


SIDES = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))


@given(st.integers(1, 2**62), st.integers(0, 2**48 - 1), SIDES, SIDES)
def test_a_row_shows_its_numbers_in_full(
    seq: int, ts_ns: int, bid: tuple[int, int], ask: tuple[int, int]
):
    rows = np.zeros(1, BBO)
    (bid_e4, bid_qty), (ask_e4, ask_qty) = bid, ask
    rows[0] = (seq, ts_ns, 0, bid_e4 * 100_000, bid_qty, ask_e4 * 100_000, ask_qty)
    instruments = np.zeros(1, INSTRUMENT)
    instruments["symbol"] = int.from_bytes(b"ZVZZT   ", "little")
    out = np.zeros(ROW_BYTES_MAX, np.uint8)
    size = format_bbo_nb(rows, 1, instruments, NO_NAMES, out)
    shown = f"{seq},{ts_ns},ZVZZT,{shown_price(*bid)},{shown_price(*ask)}\n"
    assert out[:size].tobytes().decode() == shown
