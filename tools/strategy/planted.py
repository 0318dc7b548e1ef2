"""What a truth log says was planted, as windows of event time in which a detection is right."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

_MS = 1_000_000
_S = 1_000_000_000
MOVES = ("arbitrage", "lead_lag", "sweep", "iceberg", "momentum")
"""Kinds of rows that say `planted`."""
SHOCKS = ("stuffing", "drift", "jump", "activity", "news")
"""Kinds of rows that say `shock` and that a function could find."""
KINDS = MOVES + SHOCKS
AFTER_NS: Mapping[str, int] = {
    "sweep": 10 * _MS,
    "momentum": 1 * _S,
    "stuffing": 1 * _S,
    "jump": 60 * _S,
    "drift": 300 * _S,
    "news": 60 * _S,
}
"""How long after its end a detection of it still counts: a detector of drifts looks back over
minutes.
"""
FINDS: Mapping[str, tuple[str, ...]] = {
    "pair_spread": ("arbitrage",),
    "basket": ("arbitrage",),
    "triangle": ("arbitrage",),
    "lead_lag": ("lead_lag",),
    "sweep": ("sweep",),
    "iceberg": ("iceberg",),
    "momentum_burst": ("momentum",),
    "quote_stuffing": ("stuffing",),
    "price_band": ("drift", "jump", "news"),
    "market_decline": ("drift",),
    "message_rate": ("stuffing", "activity"),
    "volatility": ("drift", "jump", "news"),
}
"""What the built-in functions are for."""

_MARKET_LEGS_MAX = 60


class Planted(NamedTuple):
    """One thing to be found: its kind, when it begins and ends and until when a detection counts
    (ns), the instruments that it is about, the one to trade first, which side is right for that one
    (0: any), and `seq` of its first message (0: not told).
    """

    kind: str
    begin_ns: int
    end_ns: int
    until_ns: int
    instruments: tuple[int, ...]
    side: int = 0
    seq: int = 0

    @property
    def is_relation(self) -> bool:
        """It is about how prices of several instruments stand to each other."""
        return self.kind in {"arbitrage", "lead_lag"}


def read_planted(truth: Mapping[str, Any], *, is_whole: bool) -> list[Planted]:
    """All that was planted in the order of time. What happens to many instruments at a time is one
    thing for each of them, or one with all of them where `is_whole`.
    """
    found: list[Planted] = []
    for row in truth["happened"]:
        kind = row.get("kind")
        if row["what"] == "planted" and kind == "lead_lag":
            found += _moves(row)
        elif row["what"] == "planted":
            found.append(_planted(row))
        elif row["what"] == "shock" and kind in SHOCKS:
            found += _shocks(row, truth["asked"]["symbols"], is_whole=is_whole)
    return sorted(found, key=lambda each: (each.begin_ns, each.instruments))


def _moves(row: Mapping[str, Any]) -> Iterator[Planted]:
    """Each move of a leader: the follower is to be traded before it follows."""
    leader, follower = row["locates"]
    for move in row["moves"]:
        begin_ns, end_ns = move["lead_ns"], move["follow_ns"] or row["until_ns"]
        places = (follower, leader)
        yield Planted("lead_lag", begin_ns, end_ns, end_ns, places, move["direction"])


def _planted(row: Mapping[str, Any]) -> Planted:
    kind = row["kind"]
    side = row["direction"]
    instruments = (row["locate"],)
    if kind == "arbitrage":
        # What has become dear is to be sold.
        side = -side
        instruments = tuple(row["locates"])
    until_ns = row["until_ns"] + AFTER_NS.get(kind, 0)
    begin_ns, end_ns = row["ts_ns"], row["until_ns"]
    return Planted(kind, begin_ns, end_ns, until_ns, instruments, side, row.get("seq", 0))


def _shocks(
    row: Mapping[str, Any], symbols: Sequence[Sequence[Any]], *, is_whole: bool
) -> Iterator[Planted]:
    """What happens to a symbol, a sector or all of the market."""
    instruments = _scope(row, symbols)
    until_ns = row["until_ns"] + AFTER_NS.get(row["kind"], 0)
    for each in [instruments] if is_whole else [(number,) for number in instruments]:
        yield Planted(row["kind"], row["ts_ns"], row["until_ns"], until_ns, each)


def _scope(row: Mapping[str, Any], symbols: Sequence[Sequence[Any]]) -> tuple[int, ...]:
    if "locate" in row:
        return (row["locate"],)
    scope = row["scope"]
    numbers = enumerate(symbols, 1)
    return tuple(i for i, (_, sector, _) in numbers if scope in {"market", sector})


def natural_legs(truth: Mapping[str, Any], wanted: int) -> list[tuple[str, ...]]:
    """Instruments that were planted to be looked at together, for a function of `wanted` legs (0:
    any number), the one to trade first: relations, and followers with their leaders.
    """
    relations = [tuple(each["symbols"]) for each in truth["relations"]]
    rows = [each for each in truth["happened"] if each.get("kind") == "lead_lag"]
    pairs = [tuple(reversed(each["symbols"])) for each in rows]
    return list(dict.fromkeys(each for each in relations + pairs if wanted in {0, len(each)}))


def natural_feeds(truth: Mapping[str, Any], feeds: Sequence[str]) -> list[tuple[str, ...]]:
    """Every symbol of a day, on these feeds together."""
    symbols = [name for name, _, _ in truth["asked"]["symbols"]]
    return [tuple(f"{symbol}@{feed}" for feed in feeds) for symbol in symbols]


def natural_market(truth: Mapping[str, Any], wanted: int) -> list[tuple[str, ...]]:
    """The instruments of a breaker that looks at a market: a day's, as far as it takes them."""
    symbols = tuple(name for name, _, _ in truth["asked"]["symbols"])
    return [symbols[: wanted or _MARKET_LEGS_MAX]]


def natural_params(
    truth: Mapping[str, Any], legs: Sequence[str], names: Iterable[str]
) -> dict[str, int]:
    """Those parameters among `names` that follow from the relation of these symbols: `scale_e9` of
    a triangle; `weight_1`, `weight_2`, ... and `unit_shares` of a basket.
    """
    relation = next((r for r in truth["relations"] if tuple(r["symbols"]) == tuple(legs)), None)
    if relation is None:
        return {}
    first, *others = relation["first_price4"]
    values: dict[str, int] = {}
    if relation["kind"] == "triangle":
        values["scale_e9"] = round(first * 10_000 * 10**9 / (others[0] * others[1]))
    if relation["kind"] == "basket":
        # Whole shares: so many units that the rounding is a millionth.
        times = 10_000
        worth = sum(w * p for w, p in zip(relation["weights"], others, strict=True))
        values["unit_shares"] = round(times * worth / first)
        values |= {f"weight_{i}": times * w for i, w in enumerate(relation["weights"], 1)}
    return {name: value for name, value in values.items() if name in set(names)}
