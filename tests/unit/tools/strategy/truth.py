"""Truth logs with one thing of each kind, and detections, made by hand."""

from collections.abc import Mapping
from typing import Any

from tools.strategy.score import Detection

S, MS = 1_000_000_000, 1_000_000
SYMBOLS = [
    ["AAA", "energy", 20],
    ["BBB", "energy", 20],
    ["CCC", "health", 20],
    ["DDD", "health", 20],
]
A, B, C, D = 1, 2, 3, 4

ARBITRAGE = {
    "ts_ns": 100 * S,
    "until_ns": 120 * S,
    "what": "planted",
    "kind": "arbitrage",
    "locate": A,
    "symbol": "AAA",
    "symbols": ["AAA", "BBB"],
    "locates": [A, B],
    "direction": 1,
    "percent": 0.6,
}
LEAD_LAG = {
    "ts_ns": 200 * S,
    "until_ns": 300 * S,
    "what": "planted",
    "kind": "lead_lag",
    "symbols": ["CCC", "DDD"],
    "locates": [C, D],
    "direction": 0,
    "moves": [
        {"lead_ns": 210 * S, "follow_ns": 210 * S + 400 * MS, "direction": -1, "percent": -0.2},
        {"lead_ns": 220 * S, "follow_ns": 0, "direction": 1, "percent": 0.3},
    ],
}
SWEEP = {
    "ts_ns": 400 * S,
    "until_ns": 400 * S,
    "what": "planted",
    "kind": "sweep",
    "locate": C,
    "direction": 1,
    "seq": 77,
}
JUMP = {
    "ts_ns": 500 * S,
    "until_ns": 500 * S,
    "what": "shock",
    "kind": "jump",
    "scope": "energy",
    "direction": 1,
}
CRASH = {
    "ts_ns": 600 * S,
    "until_ns": 700 * S,
    "what": "shock",
    "kind": "drift",
    "scope": "market",
    "direction": -1,
}
LISTING = {
    "ts_ns": 50 * S,
    "until_ns": 51 * S,
    "what": "shock",
    "kind": "listing",
    "scope": "DDD",
    "locate": D,
    "direction": 0,
}
HALT = {"ts_ns": 60 * S, "what": "halt", "locate": D}
RELATIONS = [
    {
        "kind": "pair",
        "symbols": ["AAA", "BBB"],
        "locates": [A, B],
        "weights": [],
        "first_price4": [100_000, 200_000],
    },
    {
        "kind": "triangle",
        "symbols": ["AAA", "BBB", "CCC"],
        "locates": [A, B, C],
        "weights": [],
        "first_price4": [500_000, 400_000, 250_000],
    },
    {
        "kind": "basket",
        "symbols": ["AAA", "BBB", "CCC", "DDD"],
        "locates": [A, B, C, D],
        "weights": [3, 2, 1],
        "first_price4": [300_000, 100_000, 200_000, 200_000],
    },
]


def truth(*rows: Mapping[str, Any]) -> dict[str, Any]:
    """A truth in which this happens."""
    return {"happened": rows, "relations": RELATIONS, "asked": {"symbols": SYMBOLS}}


def seen(ts_ns: int, *instruments: int, side: int = 1, is_breaker: bool = False) -> Detection:
    """A detection by a function that looks at these instruments."""
    return Detection(ts_ns, 1, instruments, is_breaker, side, 10, 0, (0, 0, 0), 10_000)
