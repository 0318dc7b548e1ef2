"""The ticks that other people's engines get are those that ours see."""

from pathlib import Path

import numpy as np

from tests.reference.slow_book import SlowBook
from tests.reference.slow_itch import decode, messages_of_file
from tools.bench.measure import Workload
from tools.bench.ticks import COLUMNS, ticks_file
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

MESSAGES = 1_500


def test_each_tick_has_the_best_prices_after_its_message(tmp_path: Path):
    path = tmp_path / "session.bin"
    generate_file(FlowSettings(1, 5, messages=MESSAGES, orders_per_symbol=20), path)
    table = np.load(ticks_file(Workload(tmp_path, path, MESSAGES, 1)))
    found = [dict(zip(COLUMNS, row, strict=True)) for row in table.tolist()]
    twin = SlowBook()
    expected = []
    for message in messages_of_file(path.read_bytes()):
        kind, fields = decode(message)
        twin.apply(kind, fields)
        instrument = fields["stock_locate"]
        bid, bid_qty, ask, ask_qty = twin.best(instrument)
        is_trade = kind in {"E", "C", "P"}
        if is_trade or (bid_qty and ask_qty):
            expected.append((instrument, is_trade, bid, bid_qty, ask, ask_qty))
    names = ("instrument", "is_trade", "bid_price4", "bid_qty", "ask_price4", "ask_qty")
    assert [tuple(each[name] for name in names) for each in found] == expected
    trades = [each for each in found if each["is_trade"]]
    assert len(trades) > 10
    assert all(each["price4"] > 0 and each["qty"] > 0 for each in trades)
