"""Every row of the table of best prices against that of itch-book (C++), of the same session."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from adapters.nasdaq_itch.books import best_prices
from feedhandler.core.book.changes import allocate_work
from feedhandler.core.book.layout import BookCapacity, allocate_book
from tools.bench.books import session_file
from tools.bench.measure import Workload

PYTHON = Path(os.environ.get("FEEDHANDLER_PEERS", ".venv-peers")) / "bin" / "python"
PEER = Path(__file__).with_name("itch_book_peer.py")
MESSAGES = 300_000
E9_PER_E4 = 100_000

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs itch-book: make interop")


@pytest.mark.parametrize("kind", ["200", "deep"])
def test_best_prices_are_those_of_itch_book_after_every_message(tmp_path: Path, kind: str):
    path = session_file(kind)(Workload(tmp_path, tmp_path / "none", MESSAGES, 1))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([PYTHON, PEER, path, tmp_path / "peer.npy"], env=environment, check=True)
    theirs = np.load(tmp_path / "peer.npy")
    book, work = allocate_book(BookCapacity(instruments=1_024)), allocate_work(65_536)
    pieces = best_prices(book, work, np.fromfile(path, np.uint8))
    ours = np.concatenate([piece.copy() for piece in pieces])
    # They count messages from 0 or 1, whichever: what matters is which message it was.
    assert (ours["seq"] - theirs[:, 0] == ours["seq"][0] - theirs[0, 0]).all()
    assert (ours["instrument"] == theirs[:, 1]).all()
    for column, name in ((2, "bid_price_e9"), (4, "ask_price_e9")):
        assert (ours[name] == theirs[:, column] * E9_PER_E4).all()
    for column, name in ((3, "bid_qty"), (5, "ask_qty")):
        assert (ours[name] == theirs[:, column]).all()
    assert len(ours) > MESSAGES // 1_000
