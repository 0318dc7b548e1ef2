"""What was planted for patterns to find, as rows of the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.exchange.layout import CLOCK_NS, QUANTITY, TICK_PRICE4
from tools.exchange.market.layout import (
    ICEBERG_SLOT,
    PLANTED_BEGIN_NS,
    PLANTED_END_NS,
    PLANTED_LAST4,
    PLANTED_LAST_SEQ,
    PLANTED_MOVE,
    PLANTED_PART,
    PLANTED_PRICE4,
    PLANTED_REFERENCE,
    PLANTED_SEQ,
    PLANTED_SHARES,
    PLANTED_SHOCK,
    PLANTED_SIZE,
    PLANTED_TRADES,
    SHOCK_FOLLOWER,
    SHOCK_LEFT,
    SHOCK_SCOPE,
    WHOLE,
    Market,
)
from tools.exchange.market.profiles import Profile
from tools.exchange.market.scenario import Event, Scenario
from tools.exchange.market.tables import LOG_BITS

Row = NDArray[np.int64]


def direction_of(size: float) -> int:
    """1 up, -1 down, 0 neither."""
    return (size > 0) - (size < 0)


def told_plants(
    market: Market, events: Sequence[Event], relations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each that has begun, in the order of their beginnings; `relations` as told. What
    goes on has the clock for its end.
    """
    rows = market.planted[: market.words[PLANTED_SIZE]]
    wholes = rows[rows[:, PLANTED_PART] == WHOLE]
    parts = rows[rows[:, PLANTED_PART] != WHOLE]
    return [
        _told(market, events, row, parts[parts[:, PLANTED_SHOCK] == row[PLANTED_SHOCK]])
        | _symbols_of(events[int(row[PLANTED_SHOCK])], relations)
        for row in wholes
    ]


def _symbols_of(event: Event, relations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All symbols of a parting, the one that parts first."""
    if event.kind != "arbitrage":
        return {}
    relation = next(each for each in relations if each["symbols"][0] == event.scope)
    return {name: relation[name] for name in ("symbols", "locates")}


def told_relations(scenario: Scenario, profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """Each with its locates, weights, and the prices in 1e-4 that it holds from."""
    places = {profile.symbol: index for index, profile in enumerate(profiles)}
    return [
        {
            "kind": each.kind,
            "symbols": each.symbols,
            "locates": [places[name] + 1 for name in each.symbols],
            "weights": each.weights,
            "first_price4": [
                profiles[places[name]].price_ticks * TICK_PRICE4 for name in each.symbols
            ],
            "noise_percent": each.noise_percent,
        }
        for each in scenario.relation
    ]


def _told(market: Market, events: Sequence[Event], row: Row, parts: Row) -> dict[str, Any]:
    index = int(row[PLANTED_SHOCK])
    event, symbol = events[index], -1 - int(market.shocks[index, SHOCK_SCOPE])
    told: dict[str, Any] = {
        "ts_ns": int(row[PLANTED_BEGIN_NS]),
        "what": "planted",
        "kind": event.kind,
        "locate": symbol + 1,
        "symbol": event.scope,
        "until_ns": int(row[PLANTED_END_NS] or market.engine.state[CLOCK_NS]),
        "direction": {"buy": 1, "sell": -1}.get(event.side or "", 0),
    }
    if event.kind == "arbitrage":
        size = event.percent or event.ticks
        told |= {"direction": direction_of(size), "percent": event.percent, "ticks": event.ticks}
    elif event.kind == "lead_lag":
        told |= _lead_lag(market, event, index, parts)
    elif event.kind == "sweep":
        told |= {
            "side": event.side,
            "shares": int(row[PLANTED_SHARES]),
            "levels": event.levels,
            "executions": int(row[PLANTED_TRADES]),
            "price4": int(row[PLANTED_PRICE4]),
            "last_price4": int(row[PLANTED_LAST4]),
            "seq": int(row[PLANTED_SEQ]),
            "last_seq": int(row[PLANTED_LAST_SEQ]),
        }
    elif event.kind == "iceberg":
        told |= _iceberg(market, event, index, row, parts)
    else:
        told |= _momentum(event, row)
    return told


def _lead_lag(market: Market, event: Event, index: int, parts: Row) -> dict[str, Any]:
    """Moves that both have made, or the leader alone so far: follow_ns is 0 then."""
    return {
        "symbols": event.symbols,
        "locates": [
            -int(market.shocks[index, SHOCK_SCOPE]),
            int(market.shocks[index, SHOCK_FOLLOWER]) + 1,
        ],
        "percent": event.percent,
        "lag_ms": event.lag_ms,
        "moves": [
            {
                "lead_ns": int(part[PLANTED_BEGIN_NS]),
                "follow_ns": int(part[PLANTED_END_NS]),
                "direction": direction_of(int(part[PLANTED_MOVE])),
                "percent": round(float(np.expm1(part[PLANTED_MOVE] / 2**LOG_BITS)) * 100, 6),
            }
            for part in parts
        ],
    }


def _iceberg(market: Market, event: Event, index: int, row: Row, parts: Row) -> dict[str, Any]:
    slot = int(market.words[ICEBERG_SLOT]) + index
    left = int(market.shocks[index, SHOCK_LEFT] + market.engine.orders[slot, QUANTITY])
    return {
        "side": event.side,
        "price4": int(row[PLANTED_PRICE4]),
        "total": event.shares,
        "display": event.display,
        "executed": event.shares - left,
        "shown": [
            {
                "ts_ns": int(part[PLANTED_BEGIN_NS]),
                "reference": int(part[PLANTED_REFERENCE]),
                "shares": int(part[PLANTED_SHARES]),
            }
            for part in parts
        ],
    }


def _momentum(event: Event, row: Row) -> dict[str, Any]:
    """`moved_ticks` is of the middle price, in half ticks; None while it goes on."""
    is_over = bool(row[PLANTED_END_NS] and row[PLANTED_LAST4])
    moved4 = int(row[PLANTED_LAST4] - row[PLANTED_PRICE4])
    return {
        "side": event.side,
        "percent": event.percent,
        "ticks": event.ticks,
        "trades": int(row[PLANTED_TRADES]),
        "shares": int(row[PLANTED_SHARES]),
        "middle_price4": int(row[PLANTED_PRICE4]) // 2,
        "moved_ticks": moved4 / 2 / TICK_PRICE4 if is_over else None,
    }
