"""The table of best prices of itch-book, as a NumPy file.

    python itch_book_peer.py SESSION OUT.npy

Runs in an environment of its own, which has itch-book and nothing of this project. Rows: sequence
number, locate, bid price in 1e-4, bid shares, ask price, ask shares; 0 for a side without orders.
"""

import sys

import numpy as np
from itch_book import Session

COLUMNS = ("seq", "locate", "bid_px", "bid_sz", "ask_px", "ask_sz")


def main(session_file: str, out: str) -> None:
    session = Session(tables=["bbo"], depth=0, symbols=[])
    session.feed(np.fromfile(session_file, np.uint8))
    table = session.take_bbo()
    np.save(out, np.stack([table[name].astype(np.int64) for name in COLUMNS], axis=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
