"""Slow, obvious twins of detectors: lists of everything that was seen, searched anew each time."""

from collections import Counter
from collections.abc import Mapping, Sequence

S, MINUTE, HOUR = 10**9, 60 * 10**9, 3_600 * 10**9
OPEN, LATE, CLOSE = 9 * HOUR + 30 * MINUTE, 15 * HOUR + 25 * MINUTE, 16 * HOUR


class SlowBand:
    """The price band; times are within one session."""

    def __init__(self, params: Mapping[str, int]) -> None:
        self.params = params
        self.level = 0
        self.reference = 0
        self._moved_at = 0
        self._trades: list[tuple[int, int]] = []
        self._outside_since: int | None = None
        self._newest_seq = 0
        self._newest_ns = 0

    def band(self, now_ns: int) -> int:
        """How far a trade may be from the reference, 1e-4."""
        params, reference = self.params, self.reference
        opening = now_ns < params["open_ns"] + params["opening_ns"]
        closing = now_ns >= params["close_ns"] - params["closing_ns"]
        if params["band_bps"]:
            band = reference * params["band_bps"] // 10_000
        elif reference > 30_000:
            band = reference * (5 if params["tier"] == 1 else 10) // 100
            closing = closing and params["tier"] == 1
        elif reference >= 7_500:
            band = reference * 20 // 100
        else:
            band = min(1_500, reference * 75 // 100)
        return max(1, band * 2 if opening or closing else band)

    def see(self, ts_ns: int, seq: int, price: int = 0, *, is_auction: bool = False) -> int:
        """A tick, a trade when it has a price; the level."""
        is_late = seq < self._newest_seq
        self._newest_seq = max(self._newest_seq, seq)
        self._newest_ns = max(self._newest_ns, ts_ns)
        since = self._outside_since
        if since is not None and self._newest_ns - since >= self.params["window_ns"]:
            self._anchor(0, 0)
        if is_auction:
            self._anchor(price, ts_ns)
        elif price:
            level = self._judge(ts_ns, price)
            self.level = max(level, self.level) if is_late else level
            if self.level == 0:
                self._outside_since = None
            elif self._outside_since is None:
                self._outside_since = ts_ns
        return self.level

    def _anchor(self, price: int, ts_ns: int) -> None:
        self.reference, self._moved_at = price, ts_ns
        self._trades, self.level, self._outside_since = [], 0, None

    def _judge(self, ts_ns: int, price: int) -> int:
        if not self.reference:
            self._anchor(price, ts_ns)
            self._trades = [(ts_ns, price)]
            return 0
        band, reference = self.band(ts_ns), self.reference
        distance = abs(price - reference)
        level = 0
        for number, name in enumerate(("caution_pct", "restrict_pct", "halt_pct"), 1):
            share = self.params[name]
            if share and distance * 100 > share * band:
                level = number
        counted = min(max(price, reference - 2 * band), reference + 2 * band)
        self._trades.append((ts_ns, counted))
        mean = self._mean()
        is_due = ts_ns - self._moved_at >= self.params["hold_ns"]
        moved = abs(mean - reference)
        if is_due and moved and moved * 10_000 >= self.params["step_bps"] * reference:
            self.reference, self._moved_at = max(mean, 1), ts_ns
        return level

    def _mean(self) -> int:
        width = max(self.params["window_ns"] // 30, 1)
        newest = max(ts_ns // width for ts_ns, _ in self._trades)
        prices = [price for ts_ns, price in self._trades if newest - ts_ns // width < 30]
        return sum(prices) // len(prices)


class SlowDecline:
    """The market-wide breaker, within one day."""

    def __init__(self, params: Mapping[str, int], legs: Sequence[int]) -> None:
        self.params = params
        self._legs = legs
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        # (level reached, when)
        self._reached: list[tuple[int, int]] = []

    def see(self, ts_ns: int, leg: int, price: int) -> int:
        """A trade; the level."""
        if not OPEN <= ts_ns < CLOSE:
            return self._held(ts_ns)
        if leg in self._legs:
            self._first.setdefault(leg, price)
            self._last[leg] = price
        decline = self.decline
        for number in (3, 2, 1):
            if decline >= self.params[f"level{number}_bps"]:
                if number > self.highest:
                    self._reached.append((number, ts_ns))
                break
        held = self._held(ts_ns)
        if held or self._reached:
            return held
        if decline >= self.params["restrict_bps"]:
            return 2
        return int(decline >= self.params["caution_bps"])

    @property
    def highest(self) -> int:
        """The highest level so far."""
        return max((number for number, _ in self._reached), default=0)

    @property
    def decline(self) -> int:
        """In basis points."""
        known = len(self._first)
        if not known or known * 100 < self.params["quorum_pct"] * len(self._legs):
            return 0
        parts = [
            min(self._last[leg] * 1_000_000 // first, 4_000_000)
            for leg, first in self._first.items()
        ]
        return max((1_000_000 - sum(parts) // known) // 100, 0)

    def _held(self, ts_ns: int) -> int:
        if not self._reached:
            return 0
        number, at_ns = self._reached[-1]
        if number == 3:
            return 3
        if ts_ns >= at_ns + self.params["halt_ns"]:
            return 0
        return 1 if at_ns >= LATE else 3


class SlowRate:
    """Messages a second of the present bucket and the one before it, whichever has more."""

    def __init__(self, bucket_ns: int) -> None:
        self._bucket_ns = bucket_ns
        self._first: int | None = None
        self._newest = 0
        self._counts: Counter[int] = Counter()

    def see(self, ts_ns: int) -> int:
        """A message; the rate."""
        if self._first is None:
            self._first = ts_ns
        self._newest = max(self._newest, (ts_ns - self._first) // self._bucket_ns)
        self._counts[self._newest] += 1
        most = max(self._counts[self._newest], self._counts[self._newest - 1])
        return most * S // self._bucket_ns
