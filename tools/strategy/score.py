"""Detections against what was planted: which are right, what was found, and after how long."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import SignalKind
from tools.strategy.planted import Planted

_CALM_NS = 65_000_000_000
"""A breaker that demands anew so soon has not been away: its machine takes as long to normal."""


class Detection(NamedTuple):
    """A signal: when (ns since midnight, and its message), the instruments that it names, the one
    to trade first, whether it is of a breaker, side (0 where it has none: a notice), price (1e-9),
    the function's values, and confidence.
    """

    ts_ns: int
    seq: int
    instruments: tuple[int, ...]
    is_breaker: bool
    side: int
    price_e9: int
    level: int
    values: tuple[int, int, int]
    confidence_bps: int


class Score(NamedTuple):
    """`of` is, for each detection, the number of the planted thing that it is of, -1 of none;
    `first`, for each planted thing, the number of its first detection, -1 for one that was missed.
    """

    detections: Sequence[Detection]
    planted: Sequence[Planted]
    of: Sequence[int]
    first: Sequence[int]

    @property
    def right(self) -> int:
        """How many detections are of something planted."""
        return sum(each >= 0 for each in self.of)

    @property
    def precision(self) -> float | None:
        """None without a detection."""
        return self.right / len(self.of) if self.of else None

    def found(self, kind: str = "") -> tuple[int, int]:
        """How many were found, of how many; of one kind or of all."""
        firsts = [
            first
            for first, each in zip(self.first, self.planted, strict=True)
            if kind in {"", each.kind}
        ]
        return sum(each >= 0 for each in firsts), len(firsts)

    def recall(self, kind: str = "") -> float | None:
        """None where nothing was planted."""
        found, planted = self.found(kind)
        return found / planted if planted else None

    def delays_ns(self, kind: str = "") -> list[int]:
        """From the beginning to the first detection, of what was found."""
        return [
            self.detections[first].ts_ns - each.begin_ns
            for first, each in zip(self.first, self.planted, strict=True)
            if first >= 0 and kind in {"", each.kind}
        ]


def as_detections(signals: NDArray[np.void], *, is_whole: bool = False) -> list[Detection]:
    """Signals of one function, in their order. Of a breaker, only the first rise of each trip: what
    it demands goes to and fro, and the machine behind it makes one trip of that; one for all
    instruments together where `is_whole`.
    """
    found = []
    last: dict[int, tuple[int, int]] = {}
    for row in signals:
        if row["kind"] == SignalKind.CANCEL:
            continue
        legs = tuple(int(each) for each in row["legs"][: min(int(row["leg_count"]), 8)])
        is_breaker = bool(row["kind"] == SignalKind.BREAKER)
        if is_breaker:
            ts_ns = int(row["ts_exch_ns"])
            number = 0 if is_whole else int(row["instrument"])
            level = int(row["level"])
            before_ns, before = last.get(number, (ts_ns - _CALM_NS, 0))
            last[number] = ts_ns, level
            # Held to a level it may go to a lower one, as a probe after a halt, and not rise.
            if level == 0 or before > 0 or ts_ns - before_ns < _CALM_NS:
                continue
        values = (int(row["value_0"]), int(row["value_1"]), int(row["value_2"]))
        found.append(
            Detection(
                int(row["ts_exch_ns"]),
                int(row["seq"]),
                legs or (int(row["instrument"]),),
                is_breaker,
                int(row["side"]) if row["qty"] > 0 else 0,
                int(row["price_e9"]),
                int(row["level"]),
                values,
                int(row["confidence_bps"]),
            )
        )
    return found


def score(
    detections: Sequence[Detection], planted: Sequence[Planted], kinds: Collection[str]
) -> Score:
    """Hold detections, in the order of time, against what was planted of these kinds."""
    wanted = [each for each in planted if each.kind in kinds]
    longest_ns = max((each.until_ns - each.begin_ns for each in wanted), default=0)
    begins = [each.begin_ns for each in wanted]
    of = [-1] * len(detections)
    first = [-1] * len(wanted)
    for number, detection in enumerate(detections):
        # Latest beginning first: of two that overlap, the one that has just begun.
        for at in range(bisect_right(begins, detection.ts_ns) - 1, -1, -1):
            if begins[at] < detection.ts_ns - longest_ns:
                break
            if is_of(detection, wanted[at]):
                of[number] = at
                if first[at] < 0:
                    first[at] = number
                break
    return Score(detections, wanted, of, first)


def is_of(detection: Detection, planted: Planted) -> bool:
    """It comes in time, names what was planted, and goes the right way.

    A relation is found by who trades its first instrument, or, where two are named, the second one
    the other way round; anything else by who trades one of its instruments.
    """
    if not planted.begin_ns <= detection.ts_ns <= planted.until_ns:
        return False
    traded = detection.instruments[0]
    if not planted.is_relation:
        is_there = traded in planted.instruments
        if detection.is_breaker:
            # A level that holds for the market comes with any message, of no instrument as well.
            is_there = is_there or len(planted.instruments) > 1
        return is_there and planted.side * detection.side >= 0
    if len(detection.instruments) > 1 and not set(detection.instruments) <= set(
        planted.instruments
    ):
        return False
    side = planted.side
    if traded != planted.instruments[0]:
        is_pair = planted.kind == "arbitrage" and len(planted.instruments) == 2
        if not is_pair or traded != planted.instruments[1]:
            return False
        side = -side
    return side * detection.side >= 0


def watched(
    planted: Sequence[Planted], bindings: Sequence[Sequence[int]], kinds: Collection[str]
) -> list[Planted]:
    """What could be found by a function that looks at `bindings` (none: at every instrument)."""
    wanted = [each for each in planted if each.kind in kinds]
    if not bindings:
        return wanted
    alone = {legs[0] for legs in bindings if len(legs) == 1}
    several = [frozenset(legs) for legs in bindings if len(legs) > 1]
    anywhere = alone.union(*several)

    def can_be(each: Planted) -> bool:
        if not each.is_relation:
            return not anywhere.isdisjoint(each.instruments)
        is_together = any(legs <= set(each.instruments) for legs in several)
        return each.instruments[0] in alone or is_together

    return [each for each in wanted if can_be(each)]
