"""One detector with its state, fed tick by tick."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from feedhandler.core.breakers import BUILT_IN, DEFAULTS
from feedhandler.core.events import TICK, Kind

MARKET = np.dtype(
    [
        (name, "i8")
        for name in (
            "seq",
            "ts_exch_ns",
            "bid_price_e9",
            "bid_qty",
            "ask_price_e9",
            "ask_qty",
            "mid_e9",
            "last_price_e9",
            "last_qty",
            "last_side",
            "volume",
            "vwap_e9",
            "volatility_e9",
            "realised_e9",
            "imbalance_bps",
            "depth_imbalance_bps",
            "spread_z_e3",
            "mid_z_e3",
            "message_rate",
            "message_rate_z_e3",
            "trade_rate",
            "flags",
            "level",
            "reserve",
        )
    ]
)
"""What is known of an instrument, as the contract of the strategy layer lists it."""

INSTRUMENTS = 8
PARAM_WORDS = 32
OUT_WORDS = 8
MS, S, MINUTE, HOUR = 10**6, 10**9, 60 * 10**9, 3_600 * 10**9
OPEN = 9 * HOUR + 30 * MINUTE
E9 = 100_000


class Detector:
    """A built-in breaker bound to `legs`; `params` replace single defaults."""

    def __init__(self, name: str, legs: Sequence[int] = (1,), **params: int) -> None:
        unknown = params.keys() - DEFAULTS[name].keys()
        assert not unknown
        self.function: Any = BUILT_IN[name]
        self.legs = np.array(legs, np.int64)
        self.params = np.zeros(PARAM_WORDS, np.int64)
        values = [(DEFAULTS[name] | params)[each] for each in self.function.params]
        self.params[: len(values)] = values
        self.state = np.zeros(self.function.state_words, np.int64)
        self.market = np.zeros(INSTRUMENTS, MARKET)
        self.ticks = np.zeros(1, TICK)
        self.out = np.zeros(OUT_WORDS, np.int64)
        self.seq = 0

    @property
    def values(self) -> list[int]:
        """The function's own values of the last call."""
        return [int(value) for value in self.out[2:5]]

    @property
    def named(self) -> int:
        """The instrument whose cell the last call named, -1: none."""
        return int(self.out[6]) - 1

    def know(self, instrument: int = 1, **row: int) -> None:
        """Set words of the market row of an instrument."""
        for name, value in row.items():
            self.market[instrument][name] = value

    def see(self, ts_ns: int, kind: Kind = Kind.ADD, now_ns: int = 0, **fields: int) -> int:
        """The level after a tick with these fields; the market row has its time, and the price of
        a trade. A `seq` of its own makes it a late one, and the row is left as it is.
        """
        self.ticks[0] = np.zeros((), TICK)
        tick = self.ticks[0]
        is_late = "seq" in fields
        if not is_late:
            self.seq += 1
        fields = {"instrument": 1, "seq": self.seq, "kind": kind, "ts_exch_ns": ts_ns} | fields
        for name, value in fields.items():
            tick[name] = value
        if not is_late:
            row = self.market[fields["instrument"]]
            row["seq"], row["ts_exch_ns"] = self.seq, ts_ns
            if fields.get("price_e9") and kind in (Kind.EXECUTE, Kind.TRADE):
                row["last_price_e9"] = fields["price_e9"]
        self.out[:] = 0
        self.out[7] = now_ns
        return int(
            self.function(self.ticks, 0, self.market, self.legs, self.params, self.state, self.out)
        )

    def trade(self, ts_ns: int, price_e4: int, **fields: int) -> int:
        """The level after a trade at this price."""
        return self.see(ts_ns, Kind.TRADE, price_e9=price_e4 * E9, qty=100, **fields)
