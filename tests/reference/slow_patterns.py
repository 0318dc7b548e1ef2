"""The built-in patterns over plain lists of what happened, slowly and without words of state.

Each is made with its legs and its parameters and sees a tick with the rows of all instruments, as
dicts; it answers None or (side, price, quantity, three values, confidence).
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

ADD, EXECUTE, EXECUTE_AT_PRICE, CANCEL, DELETE, REPLACE = range(1, 7)
BBO_CHANGED, UNKNOWN_REFERENCE, NOT_PRINTABLE = 2, 4, 16

Tick = Mapping[str, int]
Rows = Mapping[int, Mapping[str, int]]
Found = tuple[int, int, int, tuple[int, int, int], int] | None


class Slow:
    """What all of them need."""

    def __init__(self, legs: Sequence[int], **params: int) -> None:
        self.legs = tuple(legs)
        self.params = params
        self.begin()

    def begin(self) -> None:
        """Set up what is remembered."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["params"][name]
        except KeyError:
            raise AttributeError(name) from None

    @staticmethod
    def late(tick: Tick, rows: Rows) -> bool:
        return tick["seq"] < rows[tick["instrument"]]["seq"]

    @staticmethod
    def is_open(row: Mapping[str, int]) -> bool:
        sides = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")
        return all(row[name] > 0 for name in sides) and row["flags"] == 0

    @staticmethod
    def sure(seen: int, threshold: int) -> int:
        threshold = max(threshold, 1)
        return min(seen * 5_000 // threshold, 10_000)

    waiting: tuple[int, int] | None = None
    """Side that is waited for, and since when."""

    def held(self, side: int, now: int) -> bool:
        """This side was seen at each look since `hold_ns` ago."""
        if self.waiting is None or self.waiting[0] != side:
            self.waiting = side, now
        return now - self.waiting[1] >= self.hold_ns

    def order(self, rows: Rows, side: int, qty: int, values: Sequence[int], sure: int) -> Found:
        row = rows[self.legs[0]]
        price = row["ask_price_e9"] if side > 0 else row["bid_price_e9"]
        first, second, third = values
        return side, price, qty, (first, second, third), sure


class SlowPairSpread(Slow):
    def begin(self) -> None:
        self.samples: list[int] = []
        self.anchor: tuple[int, int] | None = None
        self.side = 0
        self.next_ns = 0
        self.last = 0, 0

    def spread(self, price_a: int, price_b: int) -> int:
        assert self.anchor is not None
        dear = float(price_a) * float(self.anchor[1])
        ratio = min(dear / (float(price_b) * float(self.anchor[0])), 2.0)
        x = int(ratio * 1e8) - 10**8
        if not self.log_spread or abs(x) > 10**7:
            return x
        square = x * x // 10**8
        cube = square * x // 10**8
        return x - square // 2 + cube // 3 - square * square // 10**8 // 4

    def see(self, tick: Tick, rows: Rows) -> Found:
        a, b = rows[self.legs[0]], rows[self.legs[1]]
        if self.late(tick, rows):
            return None
        if not (self.is_open(a) and self.is_open(b)):
            self.waiting = None
            return None
        if self.anchor is None:
            self.anchor = a["mid_e9"], b["mid_e9"]
        mids = a["mid_e9"], b["mid_e9"]
        now = tick["ts_exch_ns"]
        if mids == self.last and now < self.next_ns and not self.waiting:
            return None
        self.last = mids
        spread = self.spread(*mids)
        if abs(spread) > 10**7:
            self.anchor = a["mid_e9"], b["mid_e9"]
            self.samples, self.side, self.waiting = [], 0, None
            return None
        found = self.judge(spread, rows, now)
        if now >= self.next_ns:
            self.next_ns = now + self.sample_ns
            self.samples.append(spread)
        return found

    def judge(self, spread: int, rows: Rows, now: int) -> Found:
        n = min(max(self.window_samples, 2), 240)
        window = self.samples[-n:]
        if len(window) < n:
            return None
        total = sum(window)
        variance_n = sum((n * sample - total) ** 2 for sample in window) // n
        deviation = max(isqrt(variance_n), 1)
        away = n * spread - total
        z_e2 = abs(away) * 100
        waiting, self.waiting = self.waiting, None
        if self.side:
            if away * self.side >= 0 or z_e2 <= self.exit_z_e2 * deviation:
                self.side = 0
            return None
        if z_e2 < self.entry_z_e2 * deviation:
            return None
        side = -1 if away > 0 else 1
        a, b = rows[self.legs[0]], rows[self.legs[1]]
        if side > 0:
            traded = self.spread(a["ask_price_e9"], b["bid_price_e9"])
        else:
            traded = self.spread(a["bid_price_e9"], b["ask_price_e9"])
        if (total - n * traded) * side < self.edge_bps * 10_000 * n:
            return None
        self.waiting = waiting
        if not self.held(side, now):
            return None
        self.side = side
        z_e2 = min(z_e2 // deviation, 100_000)
        values = (-z_e2 * side, spread, total // n)
        return self.order(rows, side, self.order_qty, values, self.sure(z_e2, self.entry_z_e2))


class SlowLeadLag(Slow):
    def begin(self) -> None:
        self.forget()
        self.unfollowed = 0

    def forget(self) -> None:
        self.quote: tuple[int, int] | None = None
        self.past: list[tuple[int, int, int, int]] = []
        self.led: tuple[int, int, int] | None = None

    def judge(self, now: int, mid: int) -> None:
        if self.led and now >= self.led[1]:
            side, _, there = self.led
            self.unfollowed = 0 if (mid - there) * side >= 0 else self.unfollowed + 1
            self.led = None

    def see(self, tick: Tick, rows: Rows) -> Found:
        follower, leader = rows[self.legs[0]], rows[self.legs[1]]
        if tick["instrument"] != self.legs[1] or self.late(tick, rows):
            return None
        if not self.is_open(leader):
            if leader["flags"]:
                self.forget()
            return None
        bid, ask = leader["bid_price_e9"], leader["ask_price_e9"]
        if (bid, ask) == self.quote:
            return None
        now = tick["ts_exch_ns"]
        self.judge(now, follower["mid_e9"])
        if self.quote:
            self.past.append((now, *self.quote, follower["mid_e9"]))
        self.quote = bid, ask
        best: tuple[int, ...] | None = None
        for order, (when, old_bid, old_ask, mid) in enumerate(self.past[-15:]):
            moves = sorted((bid - old_bid, ask - old_ask), key=abs)
            apart = moves[0] * moves[1] <= 0
            inside = all(at >= now - self.window_ns for at, *_ in self.past if at >= when)
            if not apart and inside and when >= now - self.window_ns:
                gap = max(ask - bid, old_ask - old_bid)
                best = max(best or (0,), (abs(moves[0]), order, when, moves[0], mid, gap))
        if best is None or not self.is_open(follower):
            return None
        _, _, when, moved, mid, gap = best
        side = 1 if moved > 0 else -1
        share = leader["mid_e9"] // 10_000 * self.leader_move_bps
        least = max(
            self.leader_move_ticks * self.tick_size_e9,
            self.leader_move_spreads * gap,
            share,
        )
        went = follower["mid_e9"] - mid
        if mid == 0 or abs(moved) < least:
            return None
        if went * side > self.follower_move_ticks * self.tick_size_e9:
            return None
        self.past = []
        half = follower["mid_e9"] // 20_000 * (abs(moved) * 10_000 // leader["mid_e9"])
        self.led = self.led or (side, now + self.follow_ns, follower["mid_e9"] + half * side)
        if 0 < self.unfollowed_max <= self.unfollowed:
            return None
        values = (moved, went, now - when)
        return self.order(rows, side, self.order_qty, values, self.sure(abs(moved), least))


class SlowBasket(Slow):
    def begin(self) -> None:
        self.side = 0

    def worth(self, price: int, weight: int) -> int:
        return min(price // 1_000, 2**37) * min(max(weight, 0), 2**20)

    def see(self, tick: Tick, rows: Rows) -> Found:
        fund, parts = rows[self.legs[0]], [rows[leg] for leg in self.legs[1:]]
        if self.late(tick, rows):
            return None
        if not all(self.is_open(row) for row in (fund, *parts)):
            self.waiting = None
            return None
        weights = [self.params[f"weight_{i}"] for i in range(1, len(parts) + 1)]
        pairs = list(zip(parts, weights, strict=True))
        bids = [self.worth(row["bid_price_e9"], weight) for row, weight in pairs]
        asks = [self.worth(row["ask_price_e9"], weight) for row, weight in pairs]
        if 0 in bids:
            self.waiting = None
            return None
        unit = max(self.unit_shares, 1)
        bought = sum(bids) - self.worth(fund["ask_price_e9"], unit)
        sold = self.worth(fund["bid_price_e9"], unit) - sum(asks)
        side, gap = (1, bought) if bought >= sold else (-1, sold)
        value = sum(bids) if side > 0 else sum(asks)
        cost = value // 10_000 * self.cost_bps
        if gap <= 0 or gap < cost:
            self.waiting = None
            if gap <= 0 or gap * 2 < cost:
                self.side = 0
            return None
        if side == self.side or not self.held(side, tick["ts_exch_ns"]):
            return None
        self.side = side
        price = fund["ask_price_e9"] if side > 0 else fund["bid_price_e9"]
        share = gap * 10**6 // value if gap < 2**43 else gap // (value // 10**6 + 1)
        values = (share, value // unit * 1_000, price)
        return self.order(rows, side, self.order_qty, values, self.sure(gap, cost))


class SlowTriangle(Slow):
    def begin(self) -> None:
        self.side = 0

    def see(self, tick: Tick, rows: Rows) -> Found:
        whole, first, second = (rows[leg] for leg in self.legs)
        if self.late(tick, rows):
            return None
        if not all(map(self.is_open, (whole, first, second))):
            self.waiting = None
            return None
        bid, ask = "bid_price_e9", "ask_price_e9"
        scale = float(max(self.scale_e9, 1))
        rich = float(first[bid]) * float(second[bid]) * scale / (float(whole[ask]) * 1e18)
        dear = float(whole[bid]) * 1e18 / (float(first[ask]) * float(second[ask]) * scale)
        bought, sold = (int((min(ratio, 2.0) - 1.0) * 1e6) for ratio in (rich, dear))
        side, gap = (1, bought) if bought >= sold else (-1, sold)
        if gap <= 0 or gap < self.cost_ppm:
            self.waiting = None
            if gap <= 0 or gap * 2 < self.cost_ppm:
                self.side = 0
            return None
        if side == self.side or not self.held(side, tick["ts_exch_ns"]):
            return None
        self.side = side
        name = bid if side > 0 else ask
        values = (gap, first[name], second[name])
        return self.order(rows, side, self.order_qty, values, self.sure(gap, self.cost_ppm))


class SlowCrossed(Slow):
    def begin(self) -> None:
        self.side, self.since_ns, self.told = 0, 0, False

    def see(self, tick: Tick, rows: Rows) -> Found:
        here, there = rows[self.legs[0]], rows[self.legs[1]]
        if self.late(tick, rows):
            return None
        bought = there["bid_price_e9"] - here["ask_price_e9"]
        sold = here["bid_price_e9"] - there["ask_price_e9"]
        side, edge = (1, bought) if bought >= sold else (-1, sold)
        both_open = self.is_open(here) and self.is_open(there)
        if not both_open or edge < max(self.edge_e9, 0):
            self.begin()
            return None
        now = tick["ts_exch_ns"]
        if side != self.side:
            self.side, self.since_ns, self.told = side, now, False
        if self.told or now - self.since_ns < self.hold_ns:
            return None
        self.told = True
        pair = ("ask_qty", "bid_qty") if side > 0 else ("bid_qty", "ask_qty")
        qty = min(here[pair[0]], there[pair[1]])
        values = (edge, qty, now - self.since_ns)
        sure = 10_000 if edge > 0 else 5_000
        return self.order(rows, side, min(self.order_qty, qty), values, sure)


class Eighths:
    """What happened, by eighths of a window."""

    def __init__(self, window_ns: int) -> None:
        self.part_ns = max(window_ns // 8, 1)
        self.number = -1
        self.events: list[tuple[int, Any]] = []

    def now(self, now_ns: int) -> range:
        """Go on to a time; the eighths that begin with it, eight at most."""
        before, number = self.number, max(now_ns // self.part_ns, self.number)
        self.number = number
        return range(max(before + 1, number - 7), number + 1)

    def add(self, event: Any) -> None:
        self.events.append((self.number, event))

    def live(self) -> list[Any]:
        return [event for number, event in self.events if number > self.number - 8]


class SlowMomentumBurst(Slow):
    def begin(self) -> None:
        self.window = Eighths(self.window_ns)
        self.mid = 0
        self.starts: dict[int, int] = {}

    def see(self, tick: Tick, rows: Rows) -> Found:
        row = rows[self.legs[0]]
        mid = row["mid_e9"]
        for number in self.window.now(tick["ts_exch_ns"]):
            self.starts[number] = self.mid or mid
        self.mid = mid or self.mid
        is_execution = tick["kind"] in {EXECUTE, EXECUTE_AT_PRICE}
        if is_execution and not tick["flags"] & (NOT_PRINTABLE | UNKNOWN_REFERENCE):
            self.window.add((-tick["side"], tick["qty"]))
        trades = self.window.live()
        signed = sum(side * qty for side, qty in trades)
        if len(trades) < self.trades_min or not self.is_open(row) or signed == 0:
            return None
        side = 1 if signed > 0 else -1
        qty = max(sum(qty for _, qty in trades), 1)
        share = (qty + abs(signed)) * 5_000 // qty
        last = range(self.window.number - 7, self.window.number + 1)
        starts = [self.starts[number] for number in last if self.starts.get(number)]
        move = max([0, *((mid - start) * side for start in starts)])
        least = max(mid // 10_000 * self.move_bps, row["ask_price_e9"] - row["bid_price_e9"])
        if share < self.one_sided_bps or move < least or move == 0:
            return None
        self.window.events = []
        self.starts = dict.fromkeys(last, mid)
        values = (move * side, len(trades), share)
        return self.order(rows, side, self.order_qty, values, self.sure(move, least))


class SlowImbalance(Slow):
    def begin(self) -> None:
        self.armed: tuple[int, int, int] | None = None
        self.fired: int | None = None

    def see(self, tick: Tick, rows: Rows) -> Found:
        if self.late(tick, rows):
            return None
        now, side = tick["ts_exch_ns"], -tick["side"]
        if tick["kind"] in {EXECUTE, EXECUTE_AT_PRICE} and self.armed and self.armed[0] == side:
            _, since, share = self.armed
            rested = not self.fired or now - self.fired >= self.cooldown_ns
            is_soon = 0 <= now - since <= self.window_ns
            is_large = tick["qty"] >= self.trade_qty_min
            if is_soon and is_large and rested and self.is_open(rows[self.legs[0]]):
                self.armed, self.fired = None, now
                values = (share, tick["qty"], tick["price_e9"])
                spare = 10_000 - self.imbalance_bps
                sure = self.sure(spare + share - self.imbalance_bps, spare)
                return self.order(rows, side, self.order_qty, values, sure)
        total = tick["bid_qty"] + tick["ask_qty"]
        if tick["flags"] & BBO_CHANGED and total:
            share = tick["bid_qty"] * 10_000 // total
            if share >= self.imbalance_bps:
                self.armed = 1, now, share
            elif 10_000 - share >= self.imbalance_bps:
                self.armed = -1, now, 10_000 - share
        return None


class SlowQuoteStuffing(Slow):
    def begin(self) -> None:
        self.window = Eighths(self.window_ns)
        self.told = False

    def see(self, tick: Tick, rows: Rows) -> Found:
        if not ADD <= tick["kind"] <= REPLACE or tick["flags"] & UNKNOWN_REFERENCE:
            return None
        self.window.now(tick["ts_exch_ns"])
        self.window.add((tick["kind"], tick["side"]))
        live = self.window.live()
        trades = [kind for kind, _ in live if kind in {EXECUTE, EXECUTE_AT_PRICE}]
        messages = [each for each in live if each[0] not in {EXECUTE, EXECUTE_AT_PRICE}]
        if len(messages) * 2 < self.messages_min:
            self.told = False
        if len(messages) < self.messages_min or not messages or self.told:
            return None
        removed = sum(kind != ADD for kind, _ in messages) * 10_000 // len(messages)
        is_open = self.is_open(rows[self.legs[0]])
        if len(trades) > self.trades_max or removed < self.removed_bps or not is_open:
            return None
        self.told = True
        bids = sum(side > 0 for _, side in messages)
        side = -1 if bids * 2 > len(messages) else 1
        values = (len(messages), removed, len(trades))
        return self.order(rows, side, 0, values, self.sure(len(messages), self.messages_min))


class SlowSweep(Slow):
    def begin(self) -> None:
        self.run: list[tuple[int, int, int]] = []
        self.side = 0
        self.told = False

    def see(self, tick: Tick, rows: Rows) -> Found:
        is_execution = tick["kind"] in {EXECUTE, EXECUTE_AT_PRICE}
        if not is_execution or tick["flags"] & UNKNOWN_REFERENCE or tick["side"] == 0:
            return None
        if self.late(tick, rows):
            return None
        now, price, side = tick["ts_exch_ns"], tick["price_e9"], -tick["side"]
        last_ns, last_price = self.run[-1][:2] if self.run else (now, price)
        back = (price - last_price) * side < 0
        if tick["kind"] == EXECUTE_AT_PRICE:
            # Its price may be better than its order's: it begins no run and ends none.
            if side != self.side or now - last_ns > self.window_ns or not self.run:
                return None
            price, back = last_price if back else price, False
        if side != self.side or back or now - last_ns > self.window_ns:
            self.run, self.side, self.told = [], side, False
        self.run.append((now, price, tick["qty"]))
        first_at = {}
        for when, at, _ in self.run:
            first_at.setdefault(at, when)
        times = list(first_at.values())
        needed = min(max(self.levels_min, 2), 16)
        qty = sum(qty for _, _, qty in self.run)
        if self.told or len(times) < needed or qty < self.qty_min:
            return None
        if now - times[-needed] > self.window_ns or not self.is_open(rows[self.legs[0]]):
            return None
        self.told = True
        values = (len(times), qty, self.run[0][1])
        return self.order(rows, side, self.order_qty, values, self.sure(len(times), needed))


class Chain:
    """Refills of one order: each (reference, shares executed of it)."""

    def __init__(self, price: int, size: int) -> None:
        self.price, self.size = price, size
        self.orders: list[list[int]] = []
        self.total = size
        self.last_ns = 0
        self.told = False


class SlowIceberg(Slow):
    def begin(self) -> None:
        self.chains: dict[int, Chain] = {}
        self.taken: dict[int, dict[str, int]] = {}

    def see(self, tick: Tick, rows: Rows) -> Found:
        side, now = tick["side"], tick["ts_exch_ns"]
        if (
            tick["kind"] not in {ADD, EXECUTE, EXECUTE_AT_PRICE}
            or side == 0
            or tick["order_ref"] == 0
        ):
            return None
        if tick["flags"] & UNKNOWN_REFERENCE or self.late(tick, rows):
            return None
        chain, taken = self.chains.get(side), self.taken.get(side)
        ref, price, qty = tick["order_ref"], tick["price_e9"], tick["qty"]
        if tick["kind"] != ADD:
            if chain and chain.orders[-1][0] == ref:
                chain.orders[-1][1] += qty
                chain.total += qty
                chain.last_ns = now
            elif taken and taken["ref"] == ref:
                taken["executed"] += qty
                taken["price"] = price if tick["kind"] == EXECUTE else taken["price"]
                taken["ns"] = now
            else:
                self.taken[side] = {"ref": ref, "price": price, "executed": qty, "ns": now}
            return None
        whole = chain and chain.orders[-1][1] == chain.size == qty and chain.price == price
        if chain and whole and now - chain.last_ns <= self.refill_ns:
            chain.orders.append([ref, 0])
        elif (
            taken
            and (taken["price"], taken["executed"]) == (price, qty)
            and now - taken["ns"] <= self.refill_ns
            and (not chain or len(chain.orders) < 2 or now - chain.last_ns > self.idle_ns)
        ):
            chain = self.chains[side] = Chain(price, qty)
            chain.orders.append([ref, 0])
            del self.taken[side]
        else:
            return None
        chain.last_ns = now
        refills = len(chain.orders)
        if refills < self.refills_min or chain.told or not self.is_open(rows[self.legs[0]]):
            return None
        chain.told = True
        values = (refills, chain.total, chain.price)
        return self.order(rows, side, self.order_qty, values, self.sure(refills, self.refills_min))


TWINS: dict[str, type[Slow]] = {
    "pair_spread": SlowPairSpread,
    "lead_lag": SlowLeadLag,
    "basket": SlowBasket,
    "triangle": SlowTriangle,
    "crossed": SlowCrossed,
    "momentum_burst": SlowMomentumBurst,
    "imbalance_with_trade": SlowImbalance,
    "quote_stuffing": SlowQuoteStuffing,
    "sweep": SlowSweep,
    "iceberg": SlowIceberg,
}
