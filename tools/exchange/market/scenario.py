"""A scenario: a trading day and what happens on it, as a TOML file. Those that come with the
exchange are in the folder `scenarios`, and are named by their file's name without the ending.

`include` names scenarios whose events, relations and trouble are added, so that they can be put
together.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, ExitCode, UserError
from tools.exchange.day import NS_PER_MS, NS_PER_S
from tools.exchange.lines import DELAY_US_MAX
from tools.exchange.symbols import SYMBOLS_MAX

FOLDER = Path(__file__).with_name("scenarios")
START_S, PRE_OPEN_S, OPEN_S, CLOSE_S, AFTER_CLOSE_S, END_S = (
    round(hours * 3600) for hours in (3.5, 4, 9.5, 16, 20, 20 + 1 / 12)
)
"""Seconds since midnight in New York: start of messages, of system hours, of market hours, end of
each.
"""
OPENING_NOTICE_S, CLOSING_NOTICE_S = OPEN_S - 120, CLOSE_S - 600
"""From when on imbalances are published: 9:28 and 15:50 (Nasdaq, opening and closing cross)."""

STEP_MS_MAX = 3_600_000
_KEYS = {
    "delay": ("line", "duration_s", "delay_us"),
    "cut": ("line", "duration_s"),
    "clock_step": ("duration_s", "step_ms"),
    "session_roll": tuple[str, ...](),
}
"""What kinds of trouble need besides their time; those that are not here, a chance on a line."""
_MISSING = {
    "duration_s": "duration_s above 0 is needed",
    "line": 'line is needed: "a", "b" or "both"',
    "chance": "chance above 0 is needed",
    "delay_us": "delay_us above 0 is needed",
    "step_ms": "step_ms above or below 0 is needed",
}

_ONCE = ("ipo", "listing", "gap")
PLANT_KEYS = {
    "arbitrage": ("ticks",),
    "lead_lag": ("symbols", "lag_ms", "every_s"),
    "sweep": ("side", "levels"),
    "iceberg": ("side", "shares", "display"),
    "momentum": ("side", "ticks", "trades"),
}
"""Kinds of events that patterns are to find, and the keys that belong to them alone."""
_OWN_KEYS = tuple(dict.fromkeys(key for keys in PLANT_KEYS.values() for key in keys))
_CHOSEN = ("side", "symbols")
"""What the seed chooses where it is not given."""
_SIZED = ("arbitrage", "momentum")
"""How far these move is given in percent or in ticks."""
_MEMBERS = {"pair": 1, "triangle": 2}
BASKET_MAX = 20

Percent = Annotated[float, Meta(ge=-60, le=60)]
Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?$")]
_Scope = Annotated[str, Meta(min_length=1)]


class Event(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that happens `at` a time; or several, `count` or so many `per_hour`, at times
    `between` two and to symbols of the scope that the seed chooses. Its scope is "market", a
    sector, or a symbol.

    jump      the fair value moves by `percent` at once
    drift     it does so little by little in `duration_s`, and comes back in as much again by
              `recovery_percent` of it
    activity  `factor` times the events in the scope, for `duration_s`
    stuffing  `rate` messages a second of orders that are cancelled at once, in one symbol, for
              `duration_s`
    news      the symbol is halted for `duration_s`, and the fair value moves by `percent` meanwhile
    outage    this market does not trade the symbol for `duration_s`
    ipo       the symbol is new: it opens by a cross at `at`
    listing   the same, as a direct listing
    gap       the fair value is `percent` from yesterday's close when the day begins; `at` says
              nothing
    arbitrage the first symbol of a relation parts from the others by `percent` or `ticks`, for
              `duration_s`; the scope names it, or "market" any of them
    lead_lag  for `duration_s` the first of two `symbols` makes moves of once to twice `percent`,
              one in about `every_s`, and the second makes the same ones `lag_ms` later
    sweep     an order takes all that stands at the best `levels` prices of one side, at once
    iceberg   an order for `shares` shows `display` of them at a time; others take them in about
              `duration_s`
    momentum  `trades` orders of one side, each of which takes all at the best price, and the fair
              value moves by `percent` or `ticks`, within `duration_s`
    """

    kind: Literal[
        "jump",
        "drift",
        "activity",
        "stuffing",
        "news",
        "outage",
        "ipo",
        "listing",
        "gap",
        "arbitrage",
        "lead_lag",
        "sweep",
        "iceberg",
        "momentum",
    ]
    at: Clock | None = None
    count: Annotated[int, Meta(ge=0, le=10_000)] = 0
    per_hour: Annotated[float, Meta(ge=0, le=3_600)] = 0.0
    between: tuple[Clock, Clock] | None = None
    scope: _Scope = "market"
    percent: Percent = 0.0
    duration_s: Annotated[float, Meta(gt=0, le=20_000)] = 1.0
    recovery_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    factor: Annotated[float, Meta(ge=1, le=1_000)] = 1.0
    rate: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    ticks: Annotated[int, Meta(ge=-10_000, le=10_000)] = 0
    side: Literal["buy", "sell"] | None = None
    """Of the order that is planted: of who takes, or of the iceberg. A momentum that buys rises."""
    symbols: tuple[_Scope, ...] = ()
    lag_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    every_s: Annotated[float, Meta(ge=0, le=3_600)] = 0.0
    levels: Annotated[int, Meta(ge=0, le=100)] = 0
    shares: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    display: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    trades: Annotated[int, Meta(ge=0, le=10_000)] = 0

    def __post_init__(self) -> None:
        """Refuse a kind without its keys, or with another's, and one that is at no time."""
        faults = chain(_faults_of_time(self), _faults_of_keys(self), _faults_of_sizes(self))
        wrong = next(faults, "")
        if wrong:
            at = f" at {self.at}" if self.at else ""
            raise ValueError(f"event of the kind {self.kind}{at}: {wrong}")

    @property
    def at_ns(self) -> int:
        """`at` in nanoseconds since midnight, -1 where the seed chooses."""
        return -1 if self.at is None else clock_ns_of(self.at)

    @property
    def until_ns(self) -> int:
        """When it is over as planned, likewise."""
        lasting = {"jump": 0, "sweep": 0, "drift": 2 if self.recovery_percent else 1}
        return self.at_ns + round(lasting.get(self.kind, 1) * self.duration_s * NS_PER_S)


def _faults_of_time(event: Event) -> Iterator[str]:
    given = (event.at is not None) + (event.count > 0) + (event.per_hour > 0)
    if given != 1:
        yield "one of at, count and per_hour is needed"
    if event.at is None and event.kind in _ONCE:
        yield "it happens once; at is needed"
    if event.between is not None:
        if event.at is not None:
            yield "between says nothing there; it is for count and per_hour"
        elif event.between[0] >= event.between[1]:
            yield f"between {event.between[0]} and {event.between[1]} is no time"


def _faults_of_keys(event: Event) -> Iterator[str]:
    keys = PLANT_KEYS.get(event.kind, ())
    for key in _OWN_KEYS:
        given = bool(getattr(event, key))
        if given and key not in keys:
            yield f"{key} says nothing there"
        elif not given and key in keys and key not in _CHOSEN and key != "ticks":
            yield f"{key} above 0 is needed"
    if event.kind in _SIZED and bool(event.percent) == bool(event.ticks):
        yield "percent or ticks is needed, one of the two"


def _faults_of_sizes(event: Event) -> Iterator[str]:
    if event.kind in {"momentum", "lead_lag"} and (event.percent < 0 or event.ticks < 0):
        yield "it goes either way: give a size above 0, and of momentum a side"
    if event.kind == "lead_lag":
        if not event.percent:
            yield "percent above 0 is needed"
        if len(event.symbols) != 2 and (event.symbols or event.at is not None):
            yield 'symbols = ["LEADER", "FOLLOWER"] are needed'
        elif event.symbols and event.symbols[0] == event.symbols[1]:
            yield f"{event.symbols[0]} can't follow itself"
        if event.lag_ms * NS_PER_MS >= event.duration_s * NS_PER_S:
            yield "duration_s is to be longer than lag_ms"
    if event.kind == "sweep" and event.levels == 1:
        yield "levels above 1 are needed"
    if event.kind == "iceberg" and event.display >= event.shares:
        yield f"display {event.display} is to be below shares {event.shares}"


class Relation(Struct, frozen=True, forbid_unknown_fields=True):
    """What prices are worth to each other, all day: the fair value of the first of `symbols`
    follows those of the others, from its first price on.

    pair      it moves as the second does
    basket    as the sum of all others, each times its weight
    triangle  as the product of the second and the third
    """

    kind: Literal["pair", "basket", "triangle"]
    symbols: tuple[_Scope, ...]
    weights: tuple[Annotated[int, Meta(ge=1, le=100)], ...] = ()
    """Of a basket: shares of each of its symbols."""
    noise_percent: Annotated[float, Meta(ge=0, le=1)] = 0.02
    """Standard deviation from the relation, with a memory of 51 s."""

    def __post_init__(self) -> None:
        """Refuse a wrong number of symbols or weights."""
        members = len(self.symbols) - 1
        where = f"relation of the kind {self.kind} ({', '.join(self.symbols)})"
        if len(set(self.symbols)) <= members:
            raise ValueError(f"{where}: a symbol occurs twice")
        if self.kind == "basket":
            if not 2 <= members <= BASKET_MAX or len(self.weights) != members:
                raise ValueError(
                    f"{where}: {members} symbols and {len(self.weights)} weights behind the first"
                    f" symbol; 2 to {BASKET_MAX} are possible, and a weight for each"
                )
        elif members != _MEMBERS[self.kind] or self.weights:
            raise ValueError(
                f"{where}: {_MEMBERS[self.kind] + 1} symbols are needed, and no weights"
            )


class Trouble(Struct, frozen=True, forbid_unknown_fields=True):
    """One spell of trouble of the two lines that carry the feed. Messages are what they are, and
    how they come is not; or their stamps are wrong.

    loss, duplicate, reorder  a packet is lost, comes twice, or behind the next one, by `chance`
    delay                     a packet leaves `delay_us` of real time late
    cut                       nothing comes, heartbeats neither
    session_roll              the session ends on both lines, and another one begins, which numbers
                              from 1
    clock_step                the venue's own clock is `step_ms` ahead, or behind: `stamps`
    """

    kind: Literal["loss", "duplicate", "reorder", "delay", "cut", "session_roll", "clock_step"]
    at: Clock
    duration_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """Of the market's time."""
    line: Literal["a", "b", "both"] | None = None
    """Of those kinds that are a line's."""
    chance: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    delay_us: Annotated[int, Meta(ge=0, le=DELAY_US_MAX)] = 0
    step_ms: Annotated[int, Meta(ge=-STEP_MS_MAX, le=STEP_MS_MAX)] = 0

    def __post_init__(self) -> None:
        """Refuse a kind without its keys, or with another's, and a clock that stays wrong."""
        needed = _KEYS.get(self.kind, ("line", "duration_s", "chance"))
        wrong = ""
        for key, missing in _MISSING.items():
            given = bool(getattr(self, key))
            if given != (key in needed):
                wrong = f"{key} says nothing there" if given else missing
        if self.kind == "clock_step" and self.settled_ns > END_S * NS_PER_S:
            wrong = (
                f"stamps would be wrong until {_clock_text(self.settled_ns)}, and messages end at"
                f" {_clock_text(END_S * NS_PER_S)}; let it begin sooner, or last for less time"
            )
        if wrong:
            raise ValueError(f"trouble of the kind {self.kind} at {self.at}: {wrong}")

    @property
    def at_ns(self) -> int:
        """`at` in nanoseconds since midnight."""
        return clock_ns_of(self.at)

    @property
    def until_ns(self) -> int:
        """Its end, likewise."""
        return self.at_ns + round(self.duration_s * NS_PER_S)

    @property
    def settled_ns(self) -> int:
        """From when on stamps are right again: a clock that was ahead waits for the right time."""
        return self.until_ns + max(self.step_ms, 0) * NS_PER_MS

    @property
    def value(self) -> float:
        """The chance, the delay in us, or the step in ms; 1 of a cut or a roll."""
        values = {"delay": self.delay_us, "cut": 1, "session_roll": 1, "clock_step": self.step_ms}
        return values.get(self.kind, self.chance)


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """A day. Shares of variance are of an average symbol's."""

    title: str = ""
    day: date = date(2026, 7, 1)
    """Decides what New York's clock is in UTC."""
    symbols: Annotated[int, Meta(ge=1, le=SYMBOLS_MAX)] = 100
    symbols_file: str = ""
    """CSV of instruments; "" for those of the exchange. Relative to the scenario's file."""
    messages: Annotated[int, Meta(ge=10_000, le=1_000_000_000)] = 2_000_000
    """About how many there are in the day."""
    orders_per_symbol: Annotated[int, Meta(ge=8, le=10_000)] = 200
    """About how many are live in market hours."""
    market_correlation: Annotated[float, Meta(ge=0, le=0.95)] = 0.25
    """Correlation of two symbols of different sectors."""
    sector_correlation: Annotated[float, Meta(ge=0, le=0.98)] = 0.40
    """Correlation of two symbols of one sector."""
    correlation: dict[str, tuple[float, ...]] = {}
    """Instead of those two a matrix: a row by the name of a sector, or of a symbol, the columns in
    the order of the rows.
    """
    correlation_file: str = ""
    """The same as CSV, with a row of names above and one before. Relative to the scenario's file.
    """
    volatility_of_volatility: Annotated[float, Meta(ge=0, le=1.5)] = 1.0
    """Standard deviation of the logarithm of variance over the day."""
    u_shape: Annotated[float, Meta(ge=1, le=10)] = 3.0
    """Activity at open and close over that at noon."""
    provoked_percent: Annotated[int, Meta(ge=0, le=90)] = 70
    """Share of events that others provoked: clustering."""
    jumps_per_day: Annotated[float, Meta(ge=0, le=100)] = 1.0
    """Jumps of a symbol's own in market hours."""
    jump_percent: Annotated[float, Meta(ge=0, le=20)] = 0.3
    """Their standard deviation."""
    event: tuple[Event, ...] = ()
    relation: tuple[Relation, ...] = ()
    trouble: tuple[Trouble, ...] = ()
    """Of the lines of `exchange run`, and of stamps."""
    include: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse correlations, and clocks, that cannot be had together."""
        if self.sector_correlation < self.market_correlation:
            raise ValueError(
                f"sector_correlation {self.sector_correlation} is below market_correlation"
                f" {self.market_correlation}: symbols of one sector share the market too"
            )
        if self.correlation and self.correlation_file:
            raise ValueError("correlation_file and [correlation]: a matrix comes from one of them")
        steps = [each for each in self.trouble if each.kind == "clock_step"]
        for one, two in pairwise(sorted(steps, key=lambda each: each.at_ns)):
            if two.at_ns < one.settled_ns:
                raise ValueError(
                    f"trouble of the kind clock_step at {two.at}: after that of {one.at} stamps are"
                    f" wrong until {_clock_text(one.settled_ns)}; let it begin then or later"
                )


def clock_ns_of(text: str) -> int:
    """Nanoseconds since midnight of HH:MM:SS, with up to six decimals."""
    whole, _, fraction = text.partition(".")
    hours, minutes, seconds = map(int, whole.split(":"))
    return ((hours * 60 + minutes) * 60 + seconds) * NS_PER_S + int(fraction.ljust(9, "0") or 0)


def text_of_clock(clock_ns: int) -> str:
    """The reverse of it, to the microsecond."""
    seconds, ns = divmod(clock_ns, NS_PER_S)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ns // 1_000:06}"


def _clock_text(clock_ns: int) -> str:
    return str(timedelta(microseconds=clock_ns // 1_000))


def scenario_names() -> list[str]:
    """Those that come with the exchange."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(name: str) -> Scenario:
    """The scenario of that name or file, with the events, relations and trouble of those that it
    includes.
    """
    return _load(name, ())


def _load(name: str, above: tuple[str, ...]) -> Scenario:
    if name in above:
        raise UserError(f"scenario {name} includes itself", ExitCode.CONFIG)
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if path.parent == FOLDER and not path.exists():
        raise UserError(
            f"no scenario {name!r}: there are {', '.join(scenario_names())}, or a file that ends"
            " in .toml",
            ExitCode.USAGE,
        )
    scenario = load_config(path, Scenario)
    files = {name: getattr(scenario, name) for name in ("symbols_file", "correlation_file")}
    beside = {name: str(path.parent / file) for name, file in files.items() if file}
    scenario = msgspec.structs.replace(scenario, **beside)
    parts = [*(_load(each, (*above, name)) for each in scenario.include), scenario]
    try:
        return msgspec.structs.replace(
            scenario,
            event=tuple(event for part in parts for event in part.event),
            relation=tuple(relation for part in parts for relation in part.relation),
            trouble=tuple(trouble for part in parts for trouble in part.trouble),
            include=(),
        )
    except ValueError as error:
        raise ConfigError(f"{path}: with what it includes: {error}") from None
