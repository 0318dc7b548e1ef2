"""A pattern with its parameters and state, the ticks that it sees, and the market's rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from feedhandler.core.api import OUT_WORDS
from feedhandler.core.events import TICK, Flag, Kind
from feedhandler.core.market import MARKET
from feedhandler.core.patterns import DEFAULTS
from protocols.kernel_cache import JIT_ENABLED

TOUCH = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")
INSTRUMENTS = 32
CENT_E9 = 10_000_000
MS, SECOND = 1_000_000, 1_000_000_000
IN_DOUBT, HALTED = 1, 2
BUY, SELL, NOTHING = 1, -1, 0
PARAM_WORDS = 32

Event = Mapping[str, int]


class Signal(NamedTuple):
    """What a pattern proposes."""

    side: int
    price_e9: int
    qty: int
    values: tuple[int, int, int]
    confidence_bps: int


def machine_code(function: Callable[..., int]) -> Callable[..., int]:
    """The function as the engine compiles it; itself when the JIT is off."""
    if not JIT_ENABLED:
        return function
    compiled: Callable[..., int] = njit(error_model="numpy", _nrt=False, cache=True)(function)
    return compiled


class Desk:
    """One binding of a pattern; an event that is no tick field is a field of the market's row."""

    def __init__(
        self, pattern: Any, legs: Sequence[int] = (1,), *, code: Any = None, **params: int
    ) -> None:
        """`code` runs in place of the pattern."""
        values = {**DEFAULTS.get(pattern.__name__, {}), **params}
        assert set(values) == set(pattern.params)
        self.run = code or machine_code(pattern)
        self.params = np.zeros(PARAM_WORDS, np.int64)
        self.params[: len(values)] = [values[name] for name in pattern.params]
        self.state = np.zeros(pattern.state_words, np.int64)
        self.legs = np.array(legs, np.int64)
        self.market = np.zeros(INSTRUMENTS, MARKET)
        self.ticks = np.zeros(2, TICK)
        self.out = np.zeros(OUT_WORDS, np.int64)
        self.seq = 0

    def see(self, **event: int) -> Signal | None:
        """A tick, the next one unless it says its `seq`, and what the pattern makes of it."""
        self.seq += 1
        event = {"seq": self.seq, "instrument": int(self.legs[0]), "kind": Kind.ADD, **event}
        row = self.market[event["instrument"]]
        update_row(row, event)
        self.ticks[1] = 0
        tick = self.ticks[1]
        for name in TICK.names or ():
            tick[name] = event.get(name, row[name] if name in TOUCH else 0)
        self.out[:] = 0
        side = self.run(self.ticks, 1, self.market, self.legs, self.params, self.state, self.out)
        if side == 0:
            assert not self.out.any(), "values without a signal"
            return None
        out = [int(word) for word in self.out]
        return Signal(int(side), out[0], out[1], (out[2], out[3], out[4]), out[5])

    def quote(self, ts_ns: int, instrument: int, bid: int, ask: int, **more: int) -> Signal | None:
        """A quote in cents, 100 shares on either side unless `more` says otherwise."""
        prices = {"bid_price_e9": bid * CENT_E9, "ask_price_e9": ask * CENT_E9}
        event = {"bid_qty": 100, "ask_qty": 100, "flags": int(Flag.BBO_CHANGED), **prices}
        return self.see(ts_exch_ns=ts_ns, instrument=instrument, **{**event, **more})


def update_row(row: Any, event: Event) -> None:
    """What features do to the row of a tick's instrument, as far as patterns look: never back."""
    if event["seq"] < row["seq"]:
        return
    for name in MARKET.names or ():
        if name in event and name != "flags":
            row[name] = event[name]
    flags = event.get("flags", 0)
    row["flags"] = IN_DOUBT * bool(flags & Flag.IN_DOUBT) + HALTED * bool(flags & Flag.HALTED)
    is_two_sided = row["bid_qty"] > 0 and row["ask_qty"] > 0
    row["mid_e9"] = (row["bid_price_e9"] + row["ask_price_e9"]) // 2 if is_two_sided else 0
