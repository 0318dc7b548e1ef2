"""The analytics of an instrument by numbers that can be worked out by hand."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.events import Flag, Kind
from feedhandler.core.features import SAMPLES_MIN, features_nb, move_forward_nb
from feedhandler.core.market import (
    Features,
    FeatureSettings,
    MarketFlag,
    allocate_features,
    allocate_rows,
)
from tests.unit.feedhandler.core.support import blank_ticks

E9 = 100_000
MS = 1_000_000
SECOND = 1_000 * MS


class Feed:
    """Analytics of one instrument; its quote stays until another one comes."""

    def __init__(self, **settings: int) -> None:
        self.features: Features = allocate_features(1, FeatureSettings(**settings))
        self.rows = allocate_rows(2)
        self.seq = 0
        self.quote: dict[str, int] = {}

    def tick(self, ts_ns: int = 0, **values: int) -> Any:
        """The row after a tick."""
        self.seq += 1
        shown = {"kind": Kind.ADD, **self.quote, **values}
        ticks = blank_ticks(2, seq=self.seq, ts_exch_ns=ts_ns, **shown)
        features_nb(self.features, self.rows, ticks, 1)
        return self.rows[1]

    def show(self, bid_e4: int, ask_e4: int, ts_ns: int = 0, *, bid: int = 1, ask: int = 1) -> Any:
        """The row after a tick with these best prices."""
        self.quote = {
            "bid_price_e9": bid_e4 * E9,
            "bid_qty": bid,
            "ask_price_e9": ask_e4 * E9,
            "ask_qty": ask,
        }
        return self.tick(ts_ns)


def test_mid_and_imbalance_are_those_of_the_quote():
    row = Feed().show(10_001, 10_004, bid=300, ask=100)
    assert row["mid_e9"] == 1_000_250_000
    assert row["imbalance_bps"] == 5_000
    assert (row["bid_qty"], row["ask_price_e9"]) == (300, 10_004 * E9)


@pytest.mark.parametrize(("bid", "ask", "imbalance"), [(5, 0, 10_000), (0, 5, -10_000), (0, 0, 0)])
def test_without_a_side_there_is_no_mid(bid: int, ask: int, imbalance: int):
    feed = Feed()
    feed.show(10_000, 10_002)
    row = feed.show(10_000, 10_002, bid=bid, ask=ask)
    assert row["mid_e9"] == row["mid_z_e3"] == row["spread_z_e3"] == 0
    assert row["imbalance_bps"] == imbalance


QUOTE = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")


@pytest.mark.parametrize("name", QUOTE)
def test_a_quote_that_differs_in_one_number_is_a_new_one(name: str):
    feed = Feed()
    feed.show(10_000, 10_002, bid=100, ask=100)
    value = 2 * feed.quote[name]
    row = feed.tick(**{name: value})
    assert row[name] == value
    assert (row["imbalance_bps"] != 0) == name.endswith("qty")
    assert (row["mid_e9"] != 10_001 * E9) == name.endswith("e9")


SIDES = [(Kind.EXECUTE, 1), (Kind.EXECUTE_AT_PRICE, 1), (Kind.TRADE, 0), (Kind.CROSS_TRADE, 0)]


@pytest.mark.parametrize(("kind", "known"), SIDES)
@pytest.mark.parametrize("side", [1, -1])
def test_who_took_is_the_other_side_of_the_order_that_rested(kind: Kind, known: int, side: int):
    row = Feed().tick(kind=kind, side=side, price_e9=7, qty=40)
    assert (row["last_price_e9"], row["last_qty"], row["volume"]) == (7, 40, 40)
    assert row["last_side"] == -side * known


@pytest.mark.parametrize(("flags", "qty"), [(Flag.NOT_PRINTABLE, 9), (0, 0)])
def test_what_is_not_printed_is_no_trade(flags: int, qty: int):
    feed = Feed()
    feed.tick(kind=Kind.TRADE, price_e9=7, qty=40)
    row = feed.tick(kind=Kind.CROSS_TRADE, price_e9=8, qty=qty, flags=flags)
    assert (row["last_price_e9"], row["last_qty"], row["volume"]) == (7, 40, 40)


def test_what_the_tick_knows_is_in_the_row():
    row = Feed().tick(12, vwap_e9=5, volatility_e9=6, flags=Flag.IN_DOUBT | Flag.HALTED)
    assert (row["seq"], row["ts_exch_ns"], row["vwap_e9"], row["volatility_e9"]) == (1, 12, 5, 6)
    assert row["flags"] == MarketFlag.IN_DOUBT | MarketFlag.HALTED


def test_realised_variance_is_that_of_the_window():
    feed = Feed(realised_ns=80 * MS)
    feed.show(10_000, 10_000)
    assert feed.show(10_100, 10_100, 1 * MS)["realised_e9"] == 10_000_000
    # The square root of the sum of two squares: 1 % up, then 0.99 % down.
    row = feed.show(10_000, 10_000, 75 * MS)
    assert row["realised_e9"] == int((10_000_000**2 + 9_900_991**2) ** 0.5)
    # The window is of parts of 10 ms; the first of them is out of it.
    assert feed.tick(80 * MS)["realised_e9"] == 9_900_991
    assert feed.tick(149 * MS)["realised_e9"] == 9_900_991
    assert feed.tick(150 * MS)["realised_e9"] == 0


def test_a_rate_is_half_after_a_half_life_without_messages():
    feed = Feed(half_life_ns=64 * MS)
    for _ in range(1_000):
        row = feed.tick(64 * MS - 1, kind=Kind.TRADE, qty=1)
    full, trades = int(row["message_rate"]), int(row["trade_rate"])
    assert full == trades == pytest.approx(1_000 * 0.693147 / 0.064, rel=1e-3)
    row = feed.tick(128 * MS - 1)
    assert row["message_rate"] == pytest.approx(full / 2 + 0.693147 / 0.064, abs=2)
    assert row["trade_rate"] == pytest.approx(trades / 2, abs=2)
    assert feed.tick(128 * MS + 9_000 * SECOND)["trade_rate"] == 0


def test_scores_wait_for_their_samples_and_then_tell_what_is_unusual():
    feed = Feed(sample_ns=10 * MS, memory_shift=6)
    for i in range(SAMPLES_MIN):
        row = feed.show(10_000 + 100 * (i % 2), 10_200 + 100 * (i % 2), i * 10 * MS)
        assert row["mid_z_e3"] == row["spread_z_e3"] == row["message_rate_z_e3"] == 0
    now_ns = SAMPLES_MIN * 10 * MS
    usual = feed.show(10_050, 10_250, now_ns)
    assert abs(usual["mid_z_e3"]) < 500
    assert usual["spread_z_e3"] == 0
    high = feed.show(10_550, 10_750, now_ns + 1)
    assert 8_000 < high["mid_z_e3"] < 12_000
    assert high["spread_z_e3"] == 0
    wide = feed.show(9_800, 10_500, now_ns + 2)
    assert wide["spread_z_e3"] == 500 * 1_000 // 50
    burst = [int(feed.tick(now_ns + 3)["message_rate_z_e3"]) for _ in range(200)]
    assert burst == sorted(burst)
    assert burst[-1] > 3_000


def test_a_score_has_a_limit():
    feed = Feed(sample_ns=MS, spread_floor_e4=1)
    for i in range(SAMPLES_MIN + 1):
        feed.show(10_000, 10_001, i * MS)
    assert feed.show(1, 200_000_000, SAMPLES_MIN * MS)["spread_z_e3"] == 1_000_000
    assert feed.show(200_000_000, 1, SAMPLES_MIN * MS)["spread_z_e3"] == -1_000_000


def test_time_stands_while_stamps_go_back_and_begins_anew_far_back():
    feed = Feed(realised_ns=80 * MS, half_life_ns=64 * MS)
    feed.show(10_000, 10_000, 20 * SECOND)
    feed.show(10_100, 10_100, 20 * SECOND)
    back = feed.tick(11 * SECOND)
    assert back["realised_e9"] == 10_000_000
    assert back["ts_exch_ns"] == 11 * SECOND
    assert feed.features.state[0]["clock_ns"] == 20 * SECOND
    anew = feed.tick(10 * SECOND)
    assert anew["realised_e9"] == 0
    assert anew["message_rate"] > 40
    assert feed.tick(11 * SECOND)["message_rate"] < 12


def test_samples_go_on_after_time_began_anew():
    feed = Feed(sample_ns=MS)
    for ts_ns in (20 * SECOND, 20 * SECOND + MS, 5 * SECOND, 5 * SECOND + MS):
        feed.show(10_000, 10_002, ts_ns)
    assert feed.features.state[0]["quote_samples"] == 2


def test_more_messages_than_a_rate_can_tell_do_not_overflow_it():
    feed = Feed(half_life_ns=4 * MS)
    feed.tick()
    for name in ("message_sum_q16", "trade_sum_q16"):
        feed.features.state[0][name] = 2**42 - 1
    row = feed.tick(kind=Kind.TRADE, qty=1)
    limits = [int(feed.features.state[0][name]) for name in ("message_sum_q16", "trade_sum_q16")]
    assert limits == [2**42] * 2
    assert row["message_rate"] == 2**29
    assert row["trade_rate"] == pytest.approx(2**26 * 0.693147 / 0.004, rel=1e-5)


def test_a_row_in_the_market_only_moves_forward_and_keeps_its_level():
    market, rows = allocate_rows(2), allocate_rows(2)
    rows["seq"], rows["mid_e9"], rows["level"] = [5, 6], [50, 60], 3
    market["level"] = 1
    assert move_forward_nb(market, 1, rows, 1) == 1
    assert move_forward_nb(market, 1, rows, 0) == 0
    assert move_forward_nb(market, 1, rows, 1) == 0
    assert [int(market[1][name]) for name in ("seq", "mid_e9", "level")] == [6, 60, 1]
    assert int(market[0]["seq"]) == 0


def test_every_field_but_the_level_is_brought():
    market, rows = allocate_rows(1), allocate_rows(1)
    rows.view(np.int64)[:] = np.arange(1, 25)
    move_forward_nb(market, 0, rows, 0)
    assert market.view(np.int64).tolist() == [*range(1, 23), 0, 0]


def test_a_tick_leaves_all_other_rows_alone():
    feed = Feed()
    feed.rows["epoch"] = 9
    feed.tick(1)
    assert feed.rows[0]["seq"] == 0
    assert feed.rows["epoch"].tolist() == [9, 9]
