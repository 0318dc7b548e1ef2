"""The truth about a day: what was planted, what came of it, and the orders of its crosses; against
it what a detector found can be scored.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from tools.exchange.layout import CLOCK_NS, TICKER
from tools.exchange.market.correlations import structure_of
from tools.exchange.market.layout import CROSS_ORDERS, EVENTS_LOST, LOG_LOST, LOG_SIZE, Market
from tools.exchange.market.placing import placed_events
from tools.exchange.market.planted import direction_of, told_plants, told_relations
from tools.exchange.market.profiles import Profile
from tools.exchange.market.rules import LOG_NAMES
from tools.exchange.market.scenario import Event, Scenario
from tools.exchange.market.trouble import told_troubles
from tools.exchange.truth import summary

ZONE = ZoneInfo("America/New_York")
_SHOCK = LOG_NAMES.index("shock")
_CROSS = LOG_NAMES.index("cross")
_BREACH = LOG_NAMES.index("breach")


def market_truth(
    market: Market, scenario: Scenario, profiles: Sequence[Profile], seed: int
) -> dict[str, Any]:
    """As `truth.summary`, and title, seed and day, `asked`, `relations`, `happened` in the order of
    time, and `cross_orders`: match number, side (0 buys), price4 (-1: any) and shares of each.
    """
    orders = market.cross_orders[: market.words[CROSS_ORDERS]]
    events = placed_events(scenario, profiles, seed)
    rows = [_row(market, scenario, events, row) for row in market.log[: market.words[LOG_SIZE]]]
    told = told_troubles(scenario, int(market.engine.state[CLOCK_NS]))
    relations = told_relations(scenario, profiles)
    told += told_plants(market, events, relations)
    rows += [{**each, "utc": utc_of(scenario, each["ts_ns"])} for each in told]
    return {
        **summary(market.engine),
        "title": scenario.title,
        "seed": seed,
        "day": scenario.day.isoformat(),
        "happened": sorted(rows, key=itemgetter("ts_ns")),
        "rows_lost": int(market.words[LOG_LOST]),
        "events_lost": int(market.words[EVENTS_LOST]),
        "cross_orders": orders.tolist(),
        "relations": relations,
        "asked": _asked(scenario, profiles),
    }


def _asked(scenario: Scenario, profiles: Sequence[Profile]) -> dict[str, Any]:
    """What the tape is to show, apart from what the scenario's events do to it."""
    structure = structure_of(scenario, profiles)
    return {
        "u_shape": scenario.u_shape,
        "symbols": [[each.symbol, each.sector, each.volatility_percent] for each in profiles],
        "correlation": {
            "names": structure.names,
            "matrix": structure.matrix.tolist(),
            "rows": structure.rows.tolist(),
        },
    }


def _row(
    market: Market, scenario: Scenario, events: Sequence[Event], row: np.ndarray[Any, Any]
) -> dict[str, Any]:
    ts_ns, what, symbol, first, second = map(int, row)
    told: dict[str, Any] = {
        "ts_ns": ts_ns,
        "utc": utc_of(scenario, ts_ns),
        "what": LOG_NAMES[what],
    }
    if symbol >= 0:
        word = int(market.engine.symbols[symbol, TICKER])
        told |= {"locate": symbol + 1, "symbol": word.to_bytes(8, "big").decode().rstrip()}
    if what == _SHOCK:
        event = events[first]
        told |= {"kind": event.kind, "scope": event.scope, "percent": event.percent}
        told |= {"until_ns": event.until_ns, "direction": direction_of(event.percent)}
        told |= {"duration_s": event.duration_s, "recovery_percent": event.recovery_percent}
        told |= {"factor": event.factor}
    elif what == _CROSS:
        told |= {"shares": first, "cross_type": chr(second)}
    elif what == _BREACH:
        told |= {"level": first}
    return told


def utc_of(scenario: Scenario, ts_ns: int) -> str:
    """UTC of a stamp, which counts from midnight in New York: with or without summer time, as the
    day has it, to the microsecond.
    """
    # The offset of noon: the clock changes in the night of a Sunday, when nothing is traded.
    noon = datetime(scenario.day.year, scenario.day.month, scenario.day.day, 12, tzinfo=ZONE)
    midnight = noon.astimezone(UTC) - timedelta(hours=12)
    stamp = midnight + timedelta(microseconds=ts_ns // 1_000)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
