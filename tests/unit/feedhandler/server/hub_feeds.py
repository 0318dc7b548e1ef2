"""Feeds of two shards each, with rows that a test writes by hand, and the view of them."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from feedhandler.core.analytics import INSTRUMENT
from feedhandler.core.events import symbol_text
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import Use
from feedhandler.core.summaries import SummarySettings, allocate_summaries
from feedhandler.server.config import BreakerConfig
from feedhandler.server.hub_view import EngineView

INSTRUMENTS = 32
KEPT = SummarySettings(bar_ns=10, bar_shares=100, price_stats=True)


def word(symbol: str) -> int:
    return int.from_bytes(symbol.encode().ljust(8), "little")


PAIRS = Use(40, bindings=((word("A"), word("B")), (word("C"), word("A"))))


class FakeFeed:
    """A feed of two shards."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        shards = [
            SimpleNamespace(
                instruments=np.zeros(INSTRUMENTS, INSTRUMENT),
                summaries=allocate_summaries(INSTRUMENTS, KEPT),
                control=np.zeros(96, np.int64),
                patterns=allocate_functions((Use(), PAIRS), INSTRUMENTS),
            )
            for _ in range(2)
        ]
        self.engines = SimpleNamespace(
            shards=shards, owner_of=lambda instrument: shards[instrument % 2]
        )

    def set(self, instrument: int, **words: int) -> None:
        row = self.engines.owner_of(instrument).instruments
        for name, value in words.items():
            row[name][instrument] = value

    def symbol_of(self, instrument: int) -> str:
        row = self.engines.owner_of(instrument).instruments[instrument]
        return symbol_text(int(row["symbol"]), instrument)


def two_feeds() -> list[FakeFeed]:
    return [FakeFeed("a", 0), FakeFeed("b", 1)]


def view_of(feeds: Sequence[FakeFeed]) -> EngineView:
    """With a pattern `sweep`, the correlation `pairs` and a breaker `band`."""
    stages = [BreakerConfig(name=name, function="m:f") for name in ("sweep", "band")]
    config = SimpleNamespace(
        patterns=stages[:1],
        breakers=stages[1:],
        definitions=(),
        correlations=(SimpleNamespace(name="pairs"),),
        pattern_names=["sweep", "pairs"],
    )
    return EngineView(cast("Any", config), cast("Any", feeds), cast("Any", None))
