"""Made-up ticks of a few instruments, with everything in them that some pattern looks for."""

import random
from collections.abc import Iterator, Sequence

from feedhandler.core.events import Flag, Kind
from tests.unit.feedhandler.core.patterns.desk import CENT_E9, MS, SECOND

SIZES = (100, 100, 200, 300)
STEPS_NS = (0, 1_000, 50_000, MS, 20 * MS, SECOND)
DOUBT = (Flag.IN_DOUBT, Flag.HALTED, Flag.UNKNOWN_REFERENCE, Flag.NOT_PRINTABLE)

Event = dict[str, int]


class MadeUp:
    """Quotes around a price of each instrument; `center` in cents."""

    def __init__(self, seed: int, legs: Sequence[int], centers: Sequence[int]) -> None:
        self.random = random.Random(seed)
        self.legs = list(legs)
        self.centers = dict(zip(legs, centers, strict=True))
        self.mids = dict(self.centers)
        self.now_ns = self.random.randrange(SECOND)
        self.seq = 100
        self.ref = 0

    def events(self, count: int) -> Iterator[Event]:
        """At least `count` ticks."""
        made = 0
        while made < count:
            for event in self._scene():
                made += 1
                yield event

    def _scene(self) -> Iterator[Event]:
        leg = self.random.choice(self.legs)
        scenes = (self._single, self._single, self._sweep, self._refills, self._flicker, self._jump)
        yield from self.random.choice(scenes)(leg)

    def _event(self, leg: int, kind: Kind, **more: int) -> Event:
        self.now_ns += self.random.choice(STEPS_NS)
        self.seq += 1
        flags = int(Flag.BBO_CHANGED) if self.random.random() < 0.7 else 0
        if self.random.random() < 0.04:
            flags |= int(self.random.choice(DOUBT))
        half = self.random.choice((0, 1, 1, 3))
        mid = self.mids[leg]
        quantities = (0, 1, 100, 100, 5_000) if self.random.random() < 0.2 else (100, 900)
        event = {
            "instrument": leg,
            "kind": int(kind),
            "seq": self.seq - (self.random.randrange(6) if self.random.random() < 0.05 else 0),
            "ts_exch_ns": self.now_ns,
            "flags": flags,
            "side": self.random.choice((1, -1)),
            "qty": self.random.choice(SIZES),
            "price_e9": mid * CENT_E9,
            "order_ref": self.random.randrange(8),
            "bid_price_e9": (mid - half) * CENT_E9,
            "ask_price_e9": (mid + self.random.choice((half, half, half + 1))) * CENT_E9,
            "bid_qty": self.random.choice(quantities),
            "ask_qty": self.random.choice(quantities),
        }
        return {**event, **more}

    def _single(self, leg: int) -> Iterator[Event]:
        self.mids[leg] += self.random.choice((-1, 0, 0, 1))
        yield self._event(leg, self.random.choice(list(Kind)[1:9]))

    def _sweep(self, leg: int) -> Iterator[Event]:
        side = self.random.choice((1, -1))
        for _ in range(self.random.randrange(2, 7)):
            is_other = self.mids[leg] % 5 == 0
            kind = Kind.EXECUTE_AT_PRICE if is_other else Kind.EXECUTE
            yield self._event(leg, kind, side=-side)
            self.mids[leg] += side * self.random.choice((0, 1, 1))

    def _refills(self, leg: int) -> Iterator[Event]:
        side, qty = self.random.choice((1, -1)), self.random.choice(SIZES)
        more = {"side": side, "price_e9": self.centers[leg] * CENT_E9}
        for _ in range(self.random.randrange(1, 6)):
            self.ref += 1
            part = self.random.choice((0, 50))
            ref = {"order_ref": 100 + self.ref}
            if part:
                kind = Kind.EXECUTE_AT_PRICE if self.ref % 4 == 0 else Kind.EXECUTE
                yield self._event(leg, kind, qty=part, **more, **ref)
            yield self._event(leg, Kind.EXECUTE, qty=qty - part, **more, **ref)
            ref = {"order_ref": 101 + self.ref}
            yield self._event(leg, Kind.ADD, qty=qty, **more, **ref)

    def _flicker(self, leg: int) -> Iterator[Event]:
        for _ in range(self.random.randrange(2, 12)):
            kinds = (Kind.ADD, Kind.DELETE, Kind.CANCEL, Kind.REPLACE)
            yield self._event(leg, self.random.choice(kinds))

    def _jump(self, leg: int) -> Iterator[Event]:
        back = self.random.random() < 0.5
        step = self.random.choice((-1, 1)) * self.random.choice((5, 20, 2_000))
        self.mids[leg] = self.centers[leg] if back else max(self.mids[leg] + step, 500)
        yield self._event(leg, Kind.ADD)
