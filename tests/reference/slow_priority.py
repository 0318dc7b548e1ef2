"""The obvious way to a lane: the rules of a configuration one after the other, with plain integers
and dictionaries; and the obvious worker, which asks what each waiting tick has seen go before it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feedhandler.core.events import Flag, Kind
from feedhandler.server.config import PriorityConfig

TRADES = {Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE, Kind.CROSS_TRADE}
DEEP = {Kind.ADD, Kind.CANCEL, Kind.DELETE, Kind.REPLACE, Kind.SET_LEVEL}
QUOTES = DEEP | {Kind.CLEAR_LEVELS, Kind.SETTLE}
E9_PER_E4 = 100_000
QTY_LIMIT = 2**29 - 1
TIME_LIMIT_NS = 2**61
FAR_BACK_NS = 10 * 10**9
TRADES_MIN = 8


@dataclass
class Instrument:
    """What the rules remember of an instrument."""

    average_q8: int = 0
    trades: int = 0
    regime: int = 0
    since_ns: int = 0


@dataclass
class Tick:
    """What the rules look at."""

    kind: Kind
    instrument: int = 0
    flags: int = 0
    status: int = 0
    ts_exch_ns: int = 0
    price_e9: int = 0
    qty: int = 0


def _ns(text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return (hours * 3_600 + minutes * 60 + seconds) * 10**9


class SlowPriority:
    """Lanes by a configuration; `overrides` are lanes of symbols."""

    def __init__(self, config: PriorityConfig, groups: Mapping[str, Sequence[str]]) -> None:
        self.config = config
        self.groups = groups
        self.overrides: dict[str, int] = {}
        self.opened_ns = self.closed_ns = 0
        self.instruments: defaultdict[int, Instrument] = defaultdict(Instrument)

    def lane(self, tick: Tick, symbol: str, variance_e18: int, moved_bps: int) -> int:
        """The lane of a tick, which counts in what is remembered."""
        config = self.config
        now_ns = min(max(tick.ts_exch_ns, 0), TIME_LIMIT_NS)
        if tick.kind == Kind.SYSTEM_EVENT:
            self._track(chr(tick.status), max(now_ns, 1))
        score = config.kinds.get(tick.kind.name.lower(), config.default_score)
        if tick.kind in DEEP and not tick.flags & Flag.BBO_CHANGED:
            score += config.deep_quote_score
        score += max([(0, 0), *((m.bps, m.score) for m in config.moves if moved_bps >= m.bps)])[1]
        instrument = self.instruments[tick.instrument]
        if tick.kind in TRADES:
            score += self._of_trade(tick, instrument)
        score += self._of_symbol(symbol)
        regime = self._regime(instrument, variance_e18, now_ns)
        score += config.regimes[regime - 1].score if regime else 0
        score += config.phases.get(self.phase(now_ns), 0)  # type: ignore[call-overload]
        if symbol in self.overrides:
            return self.overrides[symbol]
        lanes = [lane for lane, least in enumerate(config.from_score) if min(score, 255) >= least]
        return lanes[0] if lanes else config.lanes - 1

    def _of_trade(self, tick: Tick, instrument: Instrument) -> int:
        config, score = self.config, 0
        qty = min(tick.qty, QTY_LIMIT)
        notional_e4 = qty * (tick.price_e9 // E9_PER_E4)
        if qty >= config.large_trade_qty or notional_e4 >= config.large_trade_notional * 10_000:
            score += config.large_trade_score
        if not config.sizes:
            return score
        if instrument.trades >= TRADES_MIN:
            times = qty * 256 // max(instrument.average_q8, 1)
            fits = [(step.times, step.score) for step in config.sizes if times >= step.times]
            fits += [(step.times, step.score) for step in config.sizes if step.times == 1]
            score += max(fits, default=(0, 0))[1]
        else:
            score += sum(step.score for step in config.sizes if step.times == 1)
        if instrument.trades == 0:
            instrument.average_q8 = qty * 256
        else:
            capped_q8 = min(qty * 256, max(instrument.average_q8, 256) * 16)
            instrument.average_q8 += (capped_q8 - instrument.average_q8) // 64
        instrument.trades += 1
        return score

    def _of_symbol(self, symbol: str) -> int:
        watch = self.config.watch
        if symbol in watch:
            return watch[symbol]
        found = 0
        for name, score in watch.items():
            if symbol in self.groups.get(name.removeprefix("group:"), ()):
                found = score
        return found

    def _regime(self, instrument: Instrument, variance_e18: int, now_ns: int) -> int:
        regimes = self.config.regimes
        if not regimes:
            return 0
        if now_ns < instrument.since_ns - FAR_BACK_NS:
            instrument.since_ns = now_ns
        up = max([i + 1 for i, each in enumerate(regimes) if variance_e18 >= each.up_e9**2] or [0])
        before = instrument.regime
        stayed_ns = now_ns - instrument.since_ns
        if up > before:
            instrument.regime = up
        elif before and variance_e18 < regimes[before - 1].down_e9 ** 2:
            instrument.regime -= stayed_ns >= self.config.regime_stay_ms * 10**6
        if instrument.regime != before:
            instrument.since_ns = now_ns
        return instrument.regime

    def _track(self, code: str, now_ns: int) -> None:
        if code == "O":
            self.opened_ns = self.closed_ns = 0
        elif code == "Q":
            self.opened_ns = now_ns
        elif code == "M":
            self.closed_ns = now_ns

    def phase(self, now_ns: int) -> str:
        """Name of the session's phase."""
        open_ns = self.opened_ns or _ns(self.config.open_at)
        close_ns = self.closed_ns or _ns(self.config.close_at)
        minute_ns = 60 * 10**9
        if now_ns >= close_ns:
            return "after"
        if now_ns < open_ns:
            return "pre_open"
        if now_ns >= close_ns - self.config.closing_minutes * minute_ns:
            return "closing"
        if now_ns < open_ns + self.config.opening_minutes * minute_ns:
            return "opening"
        return "continuous"


@dataclass(eq=False)
class Waiting:
    """A tick in a lane, and how many routine ones were taken since it came."""

    number: int
    lane: int
    instrument: int = 0
    is_quote: bool = True
    stood_behind: int = 0


@dataclass
class SlowLanes:
    """A worker that takes one tick after the other."""

    lanes: int
    age_every: int = 0
    conflating: frozenset[int] = frozenset()
    overload: int = 0
    waiting: list[list[Waiting]] = field(default_factory=list)
    since_turn: int = 0
    last_turn: int = 0
    at_work: int = 0
    is_due: bool = False
    marked: list[Waiting] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waiting = [[] for _ in range(self.lanes)]

    def push(self, tick: Waiting) -> None:
        """A tick comes, while the one that was taken last is still worked on."""
        tick.stood_behind = int(self.at_work > 0)
        self.waiting[tick.lane].append(tick)

    def take(self) -> tuple[Waiting, bool] | None:
        """The next tick, and whether it gives way to a newer one; None when none waits."""
        full = [lane for lane in range(self.lanes) if self.waiting[lane]]
        if not full:
            self.at_work = 0
            return None
        lane = full[0]
        self.since_turn += 1
        if self.age_every and self.since_turn >= self.age_every and self._may_turn():
            lane = self._turn(full)
        tick = self.waiting[lane].pop(0)
        self.at_work = lane
        if lane > 0:
            for other in self.waiting[0]:
                other.stood_behind += 1
        rest = self.waiting[lane]
        newer = [each for each in rest if each.is_quote and each.instrument == tick.instrument]
        overloaded = lane in self.conflating and len(rest) >= self.overload
        return tick, overloaded and tick.is_quote and bool(newer)

    def _may_turn(self) -> bool:
        """Whether none of the critical ticks that waited when the turn came due is left."""
        if not self.is_due:
            self.is_due, self.marked = True, list(self.waiting[0])
        return not any(each in self.waiting[0] for each in self.marked)

    def _turn(self, full: list[int]) -> int:
        self.since_turn, self.is_due, self.marked = 0, False, []
        others = full[1:]
        if not others:
            return full[0]
        lower = [lane for lane in others if lane < self.last_turn]
        self.last_turn = max(lower or others)
        return self.last_turn
