"""Events at their times and of their symbols: what a scenario leaves to the seed is chosen here,
before the day begins.

Times are spread over the session, one in each of as many equal parts of it. A symbol has no two
events at a time, and those of a relation have only what is planned for them by name.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from tools.exchange.day import NS_PER_S
from tools.exchange.market.profiles import Profile
from tools.exchange.market.scenario import (
    CLOSE_S,
    OPEN_S,
    PLANT_KEYS,
    Event,
    Scenario,
    clock_ns_of,
    text_of_clock,
)

OF_A_SYMBOL = frozenset(
    ("stuffing", "news", "outage", "ipo", "listing", "sweep", "iceberg", "momentum")
)
"""Kinds whose scope is a symbol once they are placed."""
_MOVING = frozenset(("jump", "drift", "news", "gap", "iceberg", "momentum", "lead_lag"))
"""Kinds that move a fair value."""
_BETWEEN = ("09:45:00", "15:45:00")
_APART_NS = 60 * NS_PER_S
"""From the end of one event of a symbol to the next one."""
_SETTLING_NS = {"news": 180 * NS_PER_S}
"""How much longer than `duration_s` some need."""
_STREAM = 0x706C61
_TRIES = 1_000
_MOMENTS = 50


def scope_number(scope: str, profiles: Sequence[Profile], sectors: list[str]) -> int:
    """SHOCK_SCOPE of a name; a symbol's name counts before a sector's."""
    if scope == "market":
        return 0
    for index, profile in enumerate(profiles):
        if profile.symbol == scope:
            return -1 - index
    if scope in sectors:
        return 1 + sectors.index(scope)
    raise ValueError(
        f'scope {scope!r} is neither "market" nor a sector nor one of the {len(profiles)} symbols'
    )


def sectors_of(profiles: Sequence[Profile]) -> list[str]:
    """Their names, in the order of the symbols."""
    return list(dict.fromkeys(profile.sector for profile in profiles))


def placed_events(scenario: Scenario, profiles: Sequence[Profile], seed: int) -> tuple[Event, ...]:
    """Every event with its time, symbols and side, in the order of the scenario. ValueError for
    symbols that there are not, a time that is none of market hours, and no room for all.
    """
    place = _Place(scenario, profiles)
    events: list[Event] = []
    for number, event in enumerate(scenario.event):
        random = np.random.Generator(np.random.PCG64([seed, _STREAM, number]))
        for each in place.events_of(event, random):
            place.check(each)
            events.append(each)
    return tuple(events)


class _Place:
    """Which symbols there are, and when something happens to them."""

    def __init__(self, scenario: Scenario, profiles: Sequence[Profile]) -> None:
        self._profiles = profiles
        self._sectors = sectors_of(profiles)
        self._firsts = [each.symbols[0] for each in scenario.relation]
        self._related = {name for each in scenario.relation for name in each.symbols}
        self._partings: Counter[str] = Counter()
        fixed = [event for event in scenario.event if event.at is not None]
        self._new = {each.scope for each in fixed if each.kind in {"ipo", "listing"}}
        self._busy = [
            (name, each.at_ns - _APART_NS, _end_ns(each) + _APART_NS)
            for each in fixed
            for name in _names_of(each)
        ]

    def events_of(self, event: Event, random: np.random.Generator) -> Iterator[Event]:
        """The events that one of the scenario becomes."""
        if event.at is not None:
            symbols = {"scope": event.symbols[0]} if event.symbols else {}
            yield msgspec.structs.replace(event, side=_side(event, random), **symbols)
            return
        begin_ns, end_ns = (clock_ns_of(each) for each in event.between or _BETWEEN)
        count = event.count or max(1, round(event.per_hour * (end_ns - begin_ns) / 3_600e9))
        room_ns = end_ns - begin_ns - (_end_ns(event) - event.at_ns)
        if room_ns <= 0:
            raise ValueError(
                f"{event.kind}: between {text_of_clock(begin_ns)} and {text_of_clock(end_ns)} there"
                f" is no room for {event.duration_s} s"
            )
        for place in range(count):
            # Of some seeds the moment that was drawn first has everybody busy.
            for _ in range(_MOMENTS):
                at = text_of_clock(begin_ns + int((place + random.random()) * room_ns / count))
                chosen = self._chosen(event, at, random)
                if chosen is not None:
                    yield chosen
                    break
            else:
                raise ValueError(
                    f"{event.kind}: no symbols of {event.scope!r} are free at {at}; ask for fewer"
                    " events, shorter ones, or a wider scope"
                )

    def _chosen(self, event: Event, at: str, random: np.random.Generator) -> Event | None:
        """One of several, of symbols that nothing else happens to then; None where all have."""
        once = {"at": at, "count": 0, "per_hour": 0.0, "between": None}
        for _ in range(_TRIES):
            chosen = msgspec.structs.replace(event, **once, **self._drawn(event, random))
            names = _names_of(chosen)
            from_ns, until_ns = chosen.at_ns, _end_ns(chosen)
            if not any(
                name in names and begin_ns < until_ns and from_ns < end_ns
                for name, begin_ns, end_ns in self._busy
            ):
                break
        else:
            return None
        if event.kind in PLANT_KEYS or event.kind in OF_A_SYMBOL:
            self._busy += [(name, from_ns - _APART_NS, until_ns + _APART_NS) for name in names]
        self._partings[chosen.scope] += chosen.kind == "arbitrage"
        return chosen

    def _drawn(self, event: Event, random: np.random.Generator) -> dict[str, Any]:
        """What is chosen of it."""
        if event.kind == "arbitrage":
            names = self._firsts if event.scope == "market" else [event.scope]
            if not names:
                raise ValueError("arbitrage: the scenario has no [[relation]] to part from")
            sign = 1 if random.random() < 0.5 else -1
            fewest = min(self._partings[name] for name in names)
            scope = _one_of([name for name in names if self._partings[name] == fewest], random)
            return {
                "scope": scope,
                "percent": sign * event.percent,
                "ticks": sign * event.ticks,
            }
        if event.kind == "lead_lag":
            pair = event.symbols or _two_of(self._symbols_in(event), random)
            return {"scope": pair[0], "symbols": pair}
        if event.kind not in OF_A_SYMBOL:
            return {}
        names = self._symbols_in(event)
        return {"scope": _one_of(names, random), "side": _side(event, random)}

    def _symbols_in(self, event: Event) -> list[str]:
        """Those of the scope that something may happen to by chance."""
        number = scope_number(event.scope, self._profiles, self._sectors)
        if number < 0 and event.kind != "lead_lag":
            return [event.scope]
        names = [
            each.symbol
            for each in self._profiles
            if each.symbol not in self._related | self._new
            and (number == 0 or each.sector == event.scope)
        ]
        if len(names) < (2 if event.kind == "lead_lag" else 1):
            raise ValueError(f"{event.kind}: scope {event.scope!r} has no symbols to choose from")
        return names

    def check(self, event: Event) -> None:
        """ValueError for an event that can't be."""
        where = f"{event.kind} at {event.at}"
        for name in event.symbols or (event.scope,):
            number = scope_number(name, self._profiles, self._sectors)
            if number >= 0 and (event.kind in OF_A_SYMBOL or event.symbols):
                raise ValueError(f"{where}: scope {name!r} is not a symbol")
            if name in self._firsts and event.kind in _MOVING:
                raise ValueError(
                    f"{where}: {name} follows others by a relation; let it happen to those"
                )
        if event.kind == "arbitrage" and event.scope not in self._firsts:
            raise ValueError(
                f"{where}: scope {event.scope!r} is not the first symbol of a relation; there are"
                f" {', '.join(self._firsts) or 'none'}"
            )
        is_inside = event.at_ns >= OPEN_S * NS_PER_S and event.until_ns <= CLOSE_S * NS_PER_S
        if event.kind in PLANT_KEYS and not is_inside:
            raise ValueError(f"{where}: it is to begin and end in market hours, 09:30 to 16:00")


def _names_of(event: Event) -> tuple[str, ...]:
    return event.symbols or (event.scope,)


def _end_ns(event: Event) -> int:
    return event.until_ns + _SETTLING_NS.get(event.kind, 0)


def _one_of(names: Sequence[str], random: np.random.Generator) -> str:
    return names[int(random.random() * len(names))]


def _two_of(names: Sequence[str], random: np.random.Generator) -> tuple[str, str]:
    first = _one_of(names, random)
    return first, _one_of([name for name in names if name != first], random)


def _side(event: Event, random: np.random.Generator) -> str | None:
    """The side of an event that has one."""
    if event.side is None and "side" in PLANT_KEYS.get(event.kind, ()):
        return "buy" if random.random() < 0.5 else "sell"
    return event.side
