"""The page of best prices over all feeds, and where feeds did not agree."""

from typing import Any, Literal

import msgspec
import numpy as np

from feedhandler.core.events import symbol_text
from feedhandler.core.quotes import (
    CELL_WORDS,
    Best,
    FeedWord,
    Quotes,
    consolidate_nb,
)


def market_state(
    bid: int, bid_qty: int, ask: int, ask_qty: int
) -> Literal["", "locked", "crossed"]:
    """What two best prices of one unit are to each other."""
    if bid_qty == 0 or ask_qty == 0 or bid < ask:
        return ""
    return "crossed" if bid > ask else "locked"


class QuotePage:
    """Reads a table of best prices; `names` are those of the feeds."""

    def __init__(self, quotes: Quotes, names: list[str]) -> None:
        """Compile or load what reads it."""
        self._quotes = quotes
        self._names = names
        self._cell = np.zeros(CELL_WORDS, np.int64)
        self._best = np.zeros(len(Best), np.int64)
        self._places: dict[str, int] = {}
        if self.is_kept:
            consolidate_nb(quotes, 0, self._cell, self._best)

    @property
    def is_kept(self) -> bool:
        """Whether there is a table: a server of one feed without a hub's port has none."""
        return int(self._quotes.meta[0]) > 0

    def render(self) -> bytes:
        """The consolidated best bid and offer of every symbol, in 1e-9, as JSON."""
        rows = [self._row(int(place)) for place in np.flatnonzero(self._quotes.keys)]
        rows.sort(key=lambda row: str(row["symbol"]))
        return msgspec.json.encode({"feeds": self._names, "quotes": rows})

    def _row(self, place: int) -> dict[str, Any]:
        consolidate_nb(self._quotes, place, self._cell, self._best)
        best = dict(zip((word.name.lower() for word in Best), self._best.tolist(), strict=True))
        return {
            "symbol": self._symbol(place),
            **{name: best[name] for name in ("bid_e9", "bid_qty", "ask_e9", "ask_qty")},
            "bid_feeds": self._feeds(best["bid_feeds"]),
            "ask_feeds": self._feeds(best["ask_feeds"]),
            "state": market_state(best["bid_e9"], best["bid_qty"], best["ask_e9"], best["ask_qty"]),
            "ts_rx_ns": best["ts_rx_ns"],
        }

    @property
    def is_good(self) -> bool:
        """Whether the best prices of any feed hold."""
        return bool(self._quotes.states[FeedWord.IS_GOOD :: CELL_WORDS].any())

    def find(self, symbol: str) -> dict[str, Any] | None:
        """The row of one symbol; None where there is none, or no table."""
        place = self._places.get(symbol)
        if place is None and self.is_kept:
            keys = np.flatnonzero(self._quotes.keys)
            if len(keys) != len(self._places):
                self._places = {self._symbol(place): place for place in keys.tolist()}
                place = self._places.get(symbol)
        return None if place is None else self._row(place)

    def differences(self) -> dict[str, Any]:
        """How many symbols there are, how often their best prices changed on each feed, and the
        symbols whose best prices were not the same on all feeds after every event.
        """
        places = np.flatnonzero(self._quotes.keys)
        changes = dict.fromkeys(self._names, 0)
        different: list[str] = []
        for place in map(int, places):
            histories = self._quotes.histories[: len(self._names), place].tolist()
            for name, history in zip(self._names, histories, strict=True):
                changes[name] += history >> 32
            if len(set(histories)) > 1:
                different.append(self._symbol(place))
        return {"symbols": len(places), "changes": changes, "different": sorted(different)}

    def _symbol(self, place: int) -> str:
        return symbol_text(int(self._quotes.keys[place]), place)

    def _feeds(self, bits: int) -> list[str]:
        return [name for number, name in enumerate(self._names) if (bits >> number) & 1]
