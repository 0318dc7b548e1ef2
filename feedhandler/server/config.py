"""Configuration of a server: what `feedhandler serve --config FILE` reads. Unknown keys are errors;
see docs/configuration.md.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import chain, pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from feedhandler.core.counts import FUNCTIONS_MAX, LANES_MAX
from feedhandler.core.events import ONE_E9, BreakerLevel, Kind
from feedhandler.core.limits import FEEDS_MAX, SHARDS_MAX
from feedhandler.core.priority import MOVES, REGIMES, SCORES, SIZES, Phase
from feedhandler.server.definitions import Definition
from oms_out.config import OmsConfig, check_ipv4

Port = Annotated[int, Meta(ge=0, le=65_535)]
# With this bound a time in ms still fits 63 bits when it is counted in ns.
_LIMIT = 1_000_000_000_000
Positive = Annotated[int, Meta(ge=1, le=_LIMIT)]
NotNegative = Annotated[int, Meta(ge=0, le=_LIMIT)]
Word = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Topology = Literal["inline", "pipelined"]

_MOST_URGENT = dict.fromkeys(
    (
        *("system_event", "trading_status", "operational_halt", "market_decline_levels"),
        *("market_decline_status", "auction_collar"),
    ),
    100,
)
_TRADES = dict.fromkeys(
    ("broken_trade", "cross_trade", "execute", "execute_at_price", "trade", "imbalance"), 60
)
_TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d\Z"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: frozen, and an unknown key is an error."""


class Endpoint(_Table, frozen=True):
    """An address and a port."""

    port: Port
    address: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Refuse a name: nothing here may wait for a resolver."""
        check_ipv4("address", self.address)


class LineConfig(Endpoint, frozen=True):
    """Where one line arrives; a multicast address is joined on `interface`."""

    interface: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Refuse a name, of the interface as well."""
        super().__post_init__()
        check_ipv4("interface", self.interface)


class GlimpseConfig(Endpoint, frozen=True):
    """Snapshot service over SoupBinTCP, whose login has 6 characters for a name and 10 for a
    password.
    """

    username: Annotated[str, Meta(max_length=6, pattern="^[0-9A-Za-z]*$")] = ""
    password: Annotated[str, Meta(max_length=10, pattern="^[0-9A-Za-z]*$")] = ""
    timeout_s: Positive = 10


class SoupConfig(Endpoint, frozen=True):
    """A feed over SoupBinTCP, whose login has 6 characters for a name and 10 for a password."""

    username: Annotated[str, Meta(max_length=6, pattern="^[0-9A-Za-z]*$")] = ""
    password: Annotated[str, Meta(max_length=10, pattern="^[0-9A-Za-z]*$")] = ""


_FixText = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[!-~]+$")]


class FixConfig(Endpoint, frozen=True, kw_only=True):
    """A feed of FIX 4.4 market data: whose session it is, and what is subscribed to."""

    sender_comp_id: _FixText
    target_comp_id: _FixText
    symbols: Annotated[tuple[_FixText, ...], Meta(min_length=1)] = ("*",)
    heartbeat_s: Annotated[int, Meta(ge=1, le=3_600)] = 1

    def __post_init__(self) -> None:
        """Refuse what no exchange could make sense of."""
        super().__post_init__()
        name, count = Counter(self.symbols).most_common(1)[0]
        if count > 1:
            raise ValueError(f"symbols: {name!r} is named {count} times; name it once")
        if "*" in self.symbols and len(self.symbols) > 1:
            raise ValueError("symbols: '*' means all of them; name nothing besides")


class FeedConfig(_Table, frozen=True):
    """One feed: its venue, where it comes from (lines, or one TCP connection), and what helps after
    a loss.
    """

    line_a: LineConfig | None = None
    line_b: LineConfig | None = None
    soup: SoupConfig | None = None
    fix: FixConfig | None = None
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[!-?A-~]+$")] = "itch"
    adapter: str = "nasdaq_itch"
    session: Annotated[str, Meta(max_length=10, pattern="^[ -~]*$")] = ""
    rerequest: Endpoint | None = None
    glimpse: GlimpseConfig | None = None
    reorder_us: NotNegative = 1_000
    request_timeout_ms: Positive = 50
    request_tries: Positive = 5
    request_chunk: Positive = 40
    request_window: Positive = 2_000
    snapshot_above: Positive = 50_000
    stale_after_ms: Positive = 1_500
    receive_buffer_bytes: Annotated[int, Meta(ge=1, le=(1 << 30) - 1)] = 67_108_864

    def __post_init__(self) -> None:
        """Refuse a feed from nowhere, or from two places."""
        given = [name for name in ("line_a", "soup", "fix") if getattr(self, name) is not None]
        if not given:
            raise ValueError("no source; add [feed.line_a], [feed.soup] or [feed.fix]")
        if len(given) > 1:
            both = " and ".join(f"[feed.{name}]" for name in given)
            raise ValueError(f"{both}: a feed comes from one of them; remove the other")
        if self.line_a is None:
            for name in ("line_b", "rerequest", "glimpse"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{name}: only a feed with [feed.line_a] has one; remove [feed.{name}]"
                    )

    @property
    def connection(self) -> Endpoint | None:
        """Where to connect to, of a feed over TCP."""
        return self.soup or self.fix


class EngineConfig(_Table, frozen=True):
    """Topology and the sizes of everything that is allocated at start."""

    topology: Topology = "inline"
    shards: Annotated[int, Meta(ge=1, le=SHARDS_MAX)] = 1
    idle: Literal["spin", "yield", "backoff"] = "backoff"
    instruments: Annotated[int, Meta(ge=1, le=65_536)] = 65_536
    ticks: Annotated[int, Meta(ge=131_072, le=_LIMIT)] = 131_072
    orders: Positive = 16_777_216
    overflow_orders: Positive = 1_048_576
    level_blocks: Positive = 262_144
    level_arena: Positive = 1_048_576
    window_packets: Positive = 32_768
    packet_bytes: Annotated[int, Meta(ge=64, le=65_536)] = 2_048
    snapshot_bytes: Positive = 67_108_864
    signal_ring: Positive = 65_536
    shard_ring: Positive = 1_024
    keep_market: Literal["nowhere", "prices", "analytics"] = "nowhere"
    reload_functions: Annotated[int, Meta(ge=0, le=FUNCTIONS_MAX)] = 4
    reload_bindings: Annotated[int, Meta(ge=0, le=1_048_576)] = 1_024
    watchdog_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 2_000
    receiver_cpu: Annotated[int, Meta(ge=-1, le=4_095)] = -1
    worker_cpu: Annotated[int, Meta(ge=-1, le=4_095)] = -1
    realtime_priority: Annotated[int, Meta(ge=0, le=98)] = 0
    lock_memory: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes with which a mask would not work, and a thread that would be stopped."""
        if self.realtime_priority and self.idle != "backoff":
            raise ValueError(
                f"realtime_priority: {self.realtime_priority} with idle = {self.idle!r}: the kernel"
                " stops a real-time thread that never sleeps for 50 ms of each second; say idle ="
                " 'backoff'"
            )
        for name in (
            "ticks",
            "orders",
            "overflow_orders",
            "window_packets",
            "signal_ring",
            "shard_ring",
        ):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name}: {value} is not a power of two")


class BudgetConfig(_Table, frozen=True):
    """How long a stage may take for one tick before it counts as an overrun."""

    book_ns: Positive = 10_000
    breakers_ns: Positive = 5_000
    patterns_ns: Positive = 5_000


Score = Annotated[int, Meta(ge=1 - SCORES, le=SCORES - 1)]
TimeOfDay = Annotated[str, Meta(pattern=_TIME_OF_DAY)]
Minutes = Annotated[int, Meta(ge=0, le=1_440)]
Policy = Literal["back-pressure", "conflate", "drop"]


class MoveStep(_Table, frozen=True):
    """A message that moves the mid price by `bps` or more has a score, up to the next step."""

    bps: Annotated[int, Meta(ge=1, le=MOVES - 1)]
    score: Score


class SizeStep(_Table, frozen=True):
    """So has a trade of `times` the instrument's average, a power of two, or more."""

    times: Annotated[int, Meta(ge=1, le=1 << (SIZES - 1))]
    score: Score

    def __post_init__(self) -> None:
        """Refuse what the table cannot tell apart."""
        if self.times & (self.times - 1):
            raise ValueError(f"times: {self.times} is not a power of two")


class RegimeStep(_Table, frozen=True):
    """And all messages of an instrument that is this volatile: from `up_e9` on, until it has come
    below `down_e9`.
    """

    up_e9: Annotated[int, Meta(ge=1, le=ONE_E9)]
    down_e9: Annotated[int, Meta(ge=1, le=ONE_E9)]
    score: Score


def _check_names(key: str, what: str, names: Iterable[str], members: Sequence[IntEnum]) -> None:
    known = [member.name.lower() for member in members]
    for name in names:
        if name not in known:
            raise ValueError(f"{key}: no {what} is named {name!r}; there is {', '.join(known)}")


class PriorityConfig(_Table, frozen=True):
    """Lanes, 0 the most urgent, and the rules whose scores are added up for each message."""

    from_score: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=SCORES - 1)], ...],
        Meta(min_length=1, max_length=LANES_MAX - 1),
    ] = (90, 60, 30)
    kinds: dict[str, Score] = msgspec.field(default_factory=lambda: {**_MOST_URGENT, **_TRADES})
    default_score: Score = 30
    deep_quote_score: Score = -30
    large_trade_qty: Positive = 10_000
    large_trade_notional: Positive = 1_000_000
    large_trade_score: Score = 100
    moves: tuple[MoveStep, ...] = (MoveStep(bps=100, score=100),)
    sizes: tuple[SizeStep, ...] = ()
    regimes: Annotated[tuple[RegimeStep, ...], Meta(max_length=REGIMES)] = ()
    regime_stay_ms: NotNegative = 10_000
    watch: dict[str, Score] = {}
    phases: dict[str, Score] = {}
    open_at: TimeOfDay = "09:30:00"
    close_at: TimeOfDay = "16:00:00"
    opening_minutes: Minutes = 5
    closing_minutes: Minutes = 5
    age_every: NotNegative = 64
    policies: tuple[Policy, ...] = ()
    overload_ticks: NotNegative = 256

    def __post_init__(self) -> None:
        """Refuse what no table can be made of."""
        if any(low >= high for high, low in pairwise(self.from_score)):
            raise ValueError(
                f"from_score: {list(self.from_score)} does not go down from lane to lane"
            )
        _check_names("kinds", "kind of message", self.kinds, [kind for kind in Kind if kind])
        _check_names("phases", "phase", self.phases, list(Phase))
        for name, steps in (
            ("moves", [each.bps for each in self.moves]),
            ("sizes", [each.times for each in self.sizes]),
            ("regimes up_e9", [each.up_e9 for each in self.regimes]),
            ("regimes down_e9", [each.down_e9 for each in self.regimes]),
        ):
            if any(one >= other for one, other in pairwise(steps)):
                raise ValueError(f"{name}: {steps} does not rise from step to step")
        for each in self.regimes:
            if each.down_e9 >= each.up_e9:
                raise ValueError(
                    f"regimes: down_e9 = {each.down_e9} is not below up_e9 = {each.up_e9}: at that"
                    " volatility the instrument would go up and down"
                )
        if self.open_at >= self.close_at:
            raise ValueError(f"open_at: {self.open_at} is not before close_at = {self.close_at}")
        self._check_policies()

    def _check_policies(self) -> None:
        if len(self.policies) > self.lanes:
            raise ValueError(
                f"policies: {len(self.policies)} of them, but from_score makes {self.lanes} lanes"
            )
        if "drop" in self.policies:
            raise ValueError(
                "policies: 'drop' is for watchers: of the engine's ticks none is dropped; say"
                " 'conflate' here, and policy = 'drop' in [hub]"
            )

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self.from_score) + 1


_Ms = Annotated[int, Meta(ge=1, le=1_000_000_000)]
_FloorE4 = Annotated[int, Meta(ge=1, le=1 << 24)]


class AnalyticsConfig(_Table, frozen=True):
    """Windows of what is known of each instrument, and what is kept of it for those who ask."""

    realised_ms: _Ms = 60_000
    half_life_ms: Annotated[int, Meta(ge=4, le=1_000_000_000)] = 1_000
    sample_ms: _Ms = 100
    memory_shift: Annotated[int, Meta(ge=1, le=16)] = 9
    mid_floor_e4: _FloorE4 = 50
    spread_floor_e4: _FloorE4 = 50
    rate_floor: Annotated[int, Meta(ge=1, le=1 << 20)] = 1
    depth_levels: Annotated[int, Meta(ge=1, le=32)] = 5
    bar_ms: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    bar_shares: NotNegative = 0
    price_stats: bool = False


class StageConfig(_Table, frozen=True):
    """A breaker or a pattern: a function, `module:name` or `path/file.py:name`, and its parameters
    in the order of its list.
    """

    name: Annotated[str, Meta(max_length=64, pattern="^[!-~]+$")]
    function: str
    params: dict[str, Word] = {}
    budget_ns: Positive = 5_000


BREAKERS_MAX = FUNCTIONS_MAX - len(BreakerLevel)
"""The responses are functions of the breakers' kind, too."""

Symbols = tuple[Annotated[str, Meta(max_length=64, pattern="^[!-~]+$")], ...]


class BoundConfig(StageConfig, frozen=True):
    """A function and its instruments. Without `instruments`, `legs` and `pairs_of` it looks at each
    instrument alone; `instruments` are those that it looks at alone, `legs` several at a time, and
    `pairs_of` names a group of [groups] or a sector, of which it looks at every pair. "group:NAME"
    stands for the members of either.
    """

    instruments: Symbols = ()
    legs: tuple[Symbols, ...] = ()
    pairs_of: str = ""


class PatternConfig(BoundConfig, frozen=True):
    """A pattern; a choice of instruments that gave a signal is quiet for `cooldown_ms`. A symbol
    may say which feed it is on, "SPY@nasdaq"; with `across`, names of feeds, each of `instruments`
    is looked at on these together.
    """

    cooldown_ms: NotNegative = 0
    across: Symbols = ()


class BreakerConfig(BoundConfig, frozen=True):
    """A circuit breaker: what its level holds for (that of the function where nothing is said), and
    the times of its machine, see `feedhandler.core.breaker_machine`.
    """

    scope: Literal["", "instrument", "sector", "market", "server"] = ""
    calm_ms: Positive = 5_000
    cooling_ms: Positive = 30_000
    cooling_max_ms: Positive = 600_000
    probe_ms: Positive = 30_000

    def __post_init__(self) -> None:
        """Refuse a longest cooling that is shorter than the first."""
        if self.cooling_max_ms < self.cooling_ms:
            raise ValueError(
                f"cooling_max_ms: {self.cooling_max_ms} is less than cooling_ms ="
                f" {self.cooling_ms}; set {self.cooling_ms} or more"
            )


class ResponseConfig(_Table, frozen=True):
    """What a level does to signals: a function, see `feedhandler.core.responses`."""

    function: str
    params: dict[str, Word] = {}
    budget_ns: Positive = 5_000


RESPONSE_NAMES = ("normal", "caution", "restrict", "halt")
"""Fields of `ResponsesConfig`, by level."""
RESPONSE_LABEL = "response:"
"""What stands before them where functions are named."""


class ResponsesConfig(_Table, frozen=True):
    """The response of each level that is not the built-in one."""

    normal: ResponseConfig | None = None
    caution: ResponseConfig = ResponseConfig("feedhandler.core.responses:caution")
    restrict: ResponseConfig = ResponseConfig("feedhandler.core.responses:restrict")
    halt: ResponseConfig = ResponseConfig("feedhandler.core.responses:halt")


class DefinedConfig(Definition, frozen=True):
    """A pattern without a function of its own, see `feedhandler.server.definitions`; `choices` are
    what `legs` are of a pattern, the symbols for its legs in their order.
    """

    instruments: Symbols = ()
    choices: tuple[Symbols, ...] = ()
    pairs_of: str = ""
    cooldown_ms: NotNegative = 0
    budget_ns: Positive = 5_000
    across: Symbols = ()


class CorrelationConfig(_Table, frozen=True):
    """Pairs of instruments whose correlation and beta are kept: `legs` names each pair, or
    `pairs_of` a group of [groups], of which it is every pair.
    """

    name: Annotated[str, Meta(max_length=64, pattern="^[!-~]+$")]
    legs: tuple[Symbols, ...] = ()
    pairs_of: str = ""
    window: Annotated[int, Meta(ge=2, le=1_024)] = 300
    sample_ms: _Ms = 1_000


class MetricsConfig(Endpoint, frozen=True):
    """Where /metrics, /livez and /readyz are served."""

    port: Port = 9464


_HubName = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[!-~]+$")]
_HubSeconds = Annotated[int, Meta(ge=1, le=3_600)]


class HubConfig(Endpoint, frozen=True):
    """Where watchers and operators connect, and what they may take; without a port nobody can."""

    port: Port = 0
    insecure_lan: bool = False
    read_only: bool = False
    clients: Annotated[int, Meta(ge=1, le=1_024)] = 64
    subscriptions: Annotated[int, Meta(ge=1, le=256)] = 16
    queue: Annotated[int, Meta(ge=1, le=65_536)] = 1_024
    policy: Literal["conflate", "drop", "cut"] = "conflate"
    line_bytes: Annotated[int, Meta(ge=256, le=1_048_576)] = 16_384
    line_s: _HubSeconds = 5
    idle_s: _HubSeconds = 60
    stall_s: _HubSeconds = 10
    heartbeat_s: _HubSeconds = 10
    quote_ms: Annotated[int, Meta(ge=10, le=60_000)] = 100
    quote_symbols: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    groups: dict[_HubName, Annotated[tuple[_HubName, ...], Meta(min_length=1, max_length=256)]] = {}

    def __post_init__(self) -> None:
        """Refuse an address that others reach: whoever connects may end the server."""
        super().__post_init__()
        if not self.insecure_lan and not ipaddress.IPv4Address(self.address).is_loopback:
            raise ValueError(
                f"address: {self.address} is not of this machine alone, and the hub asks nobody who"
                " they are; use 127.0.0.1 and a tunnel, or say insecure_lan = true"
            )


class ServerConfig(_Table, frozen=True):
    """The whole file."""

    feed: FeedConfig
    oms: OmsConfig
    feeds: Annotated[tuple[FeedConfig, ...], Meta(max_length=FEEDS_MAX - 1)] = ()
    engine: EngineConfig = EngineConfig()
    budgets: BudgetConfig = BudgetConfig()
    priority: PriorityConfig = PriorityConfig()
    breakers: Annotated[tuple[BreakerConfig, ...], Meta(max_length=BREAKERS_MAX)] = ()
    responses: ResponsesConfig = ResponsesConfig()
    patterns: Annotated[tuple[PatternConfig, ...], Meta(max_length=FUNCTIONS_MAX)] = ()
    definitions: Annotated[tuple[DefinedConfig, ...], Meta(max_length=FUNCTIONS_MAX)] = ()
    analytics: AnalyticsConfig = AnalyticsConfig()
    correlations: Annotated[tuple[CorrelationConfig, ...], Meta(max_length=FUNCTIONS_MAX)] = ()
    groups: dict[str, Symbols] = {}
    sectors: dict[str, Symbols] = {}
    metrics: MetricsConfig = MetricsConfig()
    hub: HubConfig = HubConfig()
    breakers_file: str = ""
    counters_file: str = ""
    off_file: str = ""
    watch_symbol: Annotated[str, Meta(max_length=8, pattern="^[ -~]*$")] = ""
    report_file: str = ""
    drain_s: Positive = 4

    def __post_init__(self) -> None:
        """Refuse a name that two feeds or functions share: counters and signals carry it."""
        for title, names in (
            ("feeds", self.feed_names),
            ("breakers", [each.name for each in self.breakers]),
            ("patterns", self.pattern_names),
        ):
            name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
            if count > 1:
                raise ValueError(f"{title}: {count} of them are named {name!r}; rename one")
        symbols = Counter(symbol for each in self.sectors.values() for symbol in each)
        symbol, count = max(symbols.items(), key=lambda item: item[1], default=("", 0))
        if count > 1:
            raise ValueError(f"sectors: {symbol!r} is in {count} of them; leave it in one")
        if shared := sorted(self.sectors.keys() & self.groups.keys()):
            raise ValueError(
                f"sectors: {shared[0]!r} is a group as well, and a sector can be named as one;"
                " rename it"
            )
        if len(self.pattern_names) > FUNCTIONS_MAX:
            raise ValueError(
                f"patterns: {len(self.pattern_names)} with those of [[definitions]] and"
                f" [[correlations]]; at most {FUNCTIONS_MAX} are possible"
            )
        self._check_no_feeds()

    def _check_no_feeds(self) -> None:
        """Refuse a feed where a symbol means the one on all of them."""
        watched = [
            (name, *self.groups.get(name.removeprefix("group:"), ()))
            if name.startswith("group:")
            else (name,)
            for name in self.priority.watch
        ]
        for title, lists in (("sectors", self.sectors.values()), ("priority.watch", watched)):
            for each in chain.from_iterable(lists):
                symbol, at, feed = each.rpartition("@")
                if at and feed in self.feed_names:
                    raise ValueError(
                        f"{title}: {each!r}: a symbol is that of every feed here; say {symbol!r}"
                    )

    @property
    def feed_names(self) -> list[str]:
        """Names of all feeds in the order of their numbers."""
        return [each.name for each in (self.feed, *self.feeds)]

    @property
    def pattern_names(self) -> list[str]:
        """Names of all patterns in the order of their numbers: those with a function, those by
        definition, and correlations, which never fire.
        """
        written = [each.name for each in self.patterns]
        defined = [each.name for each in self.definitions]
        return [*written, *defined, *(each.name for each in self.correlations)]
