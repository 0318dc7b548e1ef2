"""SlowFeatures: the analytics of one instrument in Python's integers of any size, each value from a
list of all that happened where that says what it means.
"""

import math
from dataclasses import dataclass, field

TRADE_KINDS = (2, 3, 7, 8)
NOT_PRINTABLE, IN_DOUBT, HALTED = 16, 1, 8
FAR_BACK_NS = 10 * 10**9
TIME_MAX_NS = 2**61
PRICE_MAX_E4, QTY_MAX, LEVEL_QTY_MAX = 2**32 - 1, 2**29 - 1, 2**48 - 1
BUCKETS, DECAY_STEPS = 8, 64
SAMPLES_MIN, Z_MAX = 32, 1_000_000


@dataclass
class Score:
    """EWMA mean and variance of samples; `floor_q4` is the least standard deviation."""

    memory_shift: int
    floor_q4: int
    samples: int = 0
    mean_q12: int = 0
    variance_q8: int = 0

    def off_q4(self, value: int) -> int:
        """Distance from the mean, bounded."""
        return max(-(2**31), min((value * 2**12 - self.mean_q12) // 2**8, 2**31))

    def add(self, value: int) -> None:
        """One more sample."""
        if self.samples == 0:
            self.mean_q12 = value * 2**12
        else:
            shift = min(self.memory_shift, int(math.log2(self.samples + 1)))
            grown = self.variance_q8 + self.off_q4(value) ** 2 // 2**shift
            self.variance_q8 = grown - grown // 2**shift
            self.mean_q12 += (value * 2**12 - self.mean_q12) // 2**shift
        self.samples += 1

    def z_e3(self, value: int) -> int:
        """The z-score of a value."""
        if self.samples < SAMPLES_MIN:
            return 0
        deviation = max(int(math.sqrt(self.variance_q8)), self.floor_q4)
        return max(-Z_MAX, min(self.off_q4(value) * 1_000 // deviation, Z_MAX))


@dataclass
class Rate:
    """A decayed count: each step takes it times the 64th root of a half."""

    sum_q16: int = 0

    def decay(self, steps: int) -> None:
        """So many steps are over."""
        halves, rest = divmod(steps, DECAY_STEPS)
        factor = round(2**20 * 2 ** (-rest / DECAY_STEPS))
        self.sum_q16 = (self.sum_q16 >> halves) * factor // 2**20

    def add(self) -> None:
        """One more."""
        self.sum_q16 = min(self.sum_q16 + 2**16, 2**42)

    def a_second_q4(self, decay_ns: int) -> int:
        """Sixteenths a second."""
        factor = round(math.log(2) * 1e9 / (DECAY_STEPS * decay_ns) * 2**20)
        return self.sum_q16 // 2**8 * factor // 2**24


def price_e4(price_e9: int) -> int:
    """A bounded price in 1e-4."""
    return min(max(price_e9, 0) // 100_000, PRICE_MAX_E4)


def share_bps(bid: int, ask: int) -> int:
    """Imbalance of two quantities."""
    bid, ask = (min(max(qty, 0), LEVEL_QTY_MAX) for qty in (bid, ask))
    return bid * 20_000 // (bid + ask) - 10_000 if bid + ask else 0


@dataclass
class SlowFeatures:
    """One instrument; `tick` takes a tick as a dict and gives the row as a dict."""

    realised_ns: int
    half_life_ns: int
    sample_ns: int
    memory_shift: int
    mid_floor_e4: int
    spread_floor_e4: int
    rate_floor: int
    depth_levels: int = 5
    clock_ns: int = -1
    squares: list[tuple[int, int]] = field(default_factory=list)
    messages: Rate = field(default_factory=Rate)
    trades: Rate = field(default_factory=Rate)
    twice_mid_e4: int = 0
    row: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bucket_ns = self.realised_ns // BUCKETS
        self.decay_ns = self.half_life_ns // DECAY_STEPS
        self.mid = Score(self.memory_shift, self.mid_floor_e4 * 2 * 16)
        self.spread = Score(self.memory_shift, self.spread_floor_e4 * 16)
        self.rate = Score(self.memory_shift, self.rate_floor * 256)
        names = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty", "mid_e9", "last_price_e9")
        self.row = dict.fromkeys((*names, "last_qty", "last_side", "volume"), 0)

    def _advance(self, ts_ns: int) -> None:
        """Time goes on to a stamp, or begins anew there, or stands."""
        now_ns = min(max(ts_ns, 0), TIME_MAX_NS)
        before_ns = self.clock_ns
        if before_ns - now_ns >= FAR_BACK_NS:
            self.squares.clear()
            self.clock_ns = now_ns
            return
        self.clock_ns = max(before_ns, now_ns)
        steps = self.clock_ns // self.decay_ns - before_ns // self.decay_ns
        if before_ns < 0:
            return
        self.messages.decay(steps)
        self.trades.decay(steps)
        if self.clock_ns // self.sample_ns > before_ns // self.sample_ns:
            self.rate.add(self._rate_q4())
            if self.row["mid_e9"]:
                self.mid.add(self.twice_mid_e4)
                self.spread.add(self._spread_e4())

    def _rate_q4(self) -> int:
        return min(self.messages.a_second_q4(self.decay_ns), 2**33)

    def _spread_e4(self) -> int:
        return price_e4(self.row["ask_price_e9"]) - price_e4(self.row["bid_price_e9"])

    def _realised_e18(self) -> int:
        """Squares of the last BUCKETS periods, of which each has its limit."""
        last = self.clock_ns // self.bucket_ns
        total = 0
        for bucket in range(last - BUCKETS + 1, last + 1):
            total += min(sum(square for at, square in self.squares if at == bucket), 2**59)
        return total

    def _quote(self, tick: dict[str, int]) -> None:
        for name in ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty"):
            self.row[name] = tick[name]
        self.row["mid_e9"] = 0
        if tick["bid_qty"] <= 0 or tick["ask_qty"] <= 0:
            return
        twice_e4 = price_e4(tick["bid_price_e9"]) + price_e4(tick["ask_price_e9"])
        if twice_e4 == 0:
            return
        self.row["mid_e9"] = (tick["bid_price_e9"] + tick["ask_price_e9"]) // 2
        if self.twice_mid_e4:
            change_e9 = (twice_e4 - self.twice_mid_e4) * 10**9 // self.twice_mid_e4
            square = max(-(10**9), min(change_e9, 10**9)) ** 2
            self.squares.append((self.clock_ns // self.bucket_ns, square))
        self.twice_mid_e4 = twice_e4

    def _trade(self, tick: dict[str, int]) -> None:
        qty = min(tick["qty"], QTY_MAX)
        if tick["kind"] not in TRADE_KINDS or tick["flags"] & NOT_PRINTABLE or qty <= 0:
            return
        is_of_an_order = tick["kind"] in TRADE_KINDS[:2]
        self.row["last_price_e9"] = max(tick["price_e9"], 0)
        self.row["last_qty"] = qty
        self.row["last_side"] = -tick["side"] if is_of_an_order else 0
        self.row["volume"] = min(self.row["volume"] + qty, 2**61)
        self.trades.add()

    def tick(self, tick: dict[str, int]) -> dict[str, int]:
        """The row after one more tick; depth is not its own."""
        self._advance(tick["ts_exch_ns"])
        self._quote(tick)
        self._trade(tick)
        self.messages.add()
        rate_q4 = self._rate_q4()
        has_mid = self.row["mid_e9"] != 0
        copied = ("seq", "ts_exch_ns", "vwap_e9", "volatility_e9")
        return {
            **self.row,
            **{name: tick[name] for name in copied},
            "realised_e9": int(math.sqrt(self._realised_e18())),
            "imbalance_bps": share_bps(tick["bid_qty"], tick["ask_qty"]),
            "spread_z_e3": self.spread.z_e3(self._spread_e4()) if has_mid else 0,
            "mid_z_e3": self.mid.z_e3(self.twice_mid_e4) if has_mid else 0,
            "message_rate": rate_q4 // 16,
            "message_rate_z_e3": self.rate.z_e3(rate_q4),
            "trade_rate": self.trades.a_second_q4(self.decay_ns) // 16,
            "flags": bool(tick["flags"] & IN_DOUBT) + 2 * bool(tick["flags"] & HALTED),
        }
