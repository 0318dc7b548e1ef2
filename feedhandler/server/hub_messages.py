"""What is said at the hub: commands, answers, and what flows to those who watch. Without transport
and without engine: `feedhandler.server.hub_server` carries it as one JSON object a line, and others
may carry the same Structs.

A command names itself in `cmd`, and everything that the hub says names itself in `type`. Prices are
integers in 1e-9 (`price_e9`), times in ns since the epoch (`ts_ns`, `ts_rx_ns`, `ts_signal_ns`) or
since the venue's midnight (`ts_exch_ns`).
"""

import difflib
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

SYMBOLS_MAX = 256
"""Symbols, groups or patterns that one command may name."""
TIMEOUT_MS = 2_000
TIMEOUT_MS_MAX = 60_000
_ID_CHARACTERS = 64

Id = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | Annotated[str, Meta(max_length=_ID_CHARACTERS)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[!-~]+\Z")]
Names = Annotated[tuple[Name, ...], Meta(max_length=SYMBOLS_MAX)]
Words = Annotated[str, Meta(max_length=200)]
WatchKind = Literal["order", "breaker", "feed", "quote", "bar"]
Policy = Literal["conflate", "drop", "cut"]
Side = Literal["buy", "sell", "none"]
Deal = Literal["instrument", "message"]
What = Literal["patterns", "breakers", "subscriptions", "clients", "feeds", "groups"]

KINDS: tuple[WatchKind, ...] = get_args(WatchKind)
SIGNAL_KINDS: tuple[WatchKind, ...] = ("order", "breaker")


class Code(StrEnum):
    """What is wrong with a command, or with whoever sent it."""

    MALFORMED = "malformed"
    UNKNOWN_COMMAND = "unknown_command"
    BAD_ARGUMENT = "bad_argument"
    BAD_CONFIG = "bad_config"
    NOT_FOUND = "not_found"
    LIMIT = "limit"
    MISMATCH = "mismatch"
    FORBIDDEN = "forbidden"
    UNSUPPORTED = "unsupported"
    DRAINING = "draining"
    TIMEOUT = "timeout"
    FAILED = "failed"
    NOT_THE_PROTOCOL = "not_the_protocol"


class HubError(Exception):
    """A command that is refused: `code`, a text that says what was wrong and what to do, and the id
    where it could be read.
    """

    def __init__(self, code: Code, text: str, command_id: int | str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.command_id = command_id


# -- commands -------------------------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every command has: an id, which the answer repeats, and a deadline, which counts from
    when the command has come.
    """

    id: Id
    timeout_ms: Annotated[int, Meta(ge=1, le=TIMEOUT_MS_MAX)] = TIMEOUT_MS


class Ping(Command, tag_field="cmd", tag="ping", frozen=True):
    """Ask for nothing but an answer."""


class Subscribe(Command, tag_field="cmd", tag="subscribe", frozen=True):
    """Watch what fits all that is named: `kinds`; of orders, breakers and quotes those of `symbols`
    or `groups`; of orders and breakers those that `patterns` (patterns or breakers) made. `*`, `?`
    and `[...]` in symbols and patterns stand for others.
    """

    symbols: Names = ()
    groups: Names = ()
    kinds: Annotated[tuple[WatchKind, ...], Meta(max_length=len(KINDS))] = ()
    patterns: Names = ()
    policy: Policy | None = None
    queue: Annotated[int, Meta(ge=1)] | None = None
    share: Name | None = None
    deal: Deal = "instrument"


class Unsubscribe(Command, tag_field="cmd", tag="unsubscribe", frozen=True):
    """End a subscription of this client."""

    sub: int


class GetStats(Command, tag_field="cmd", tag="get_stats", frozen=True):
    """Figures of the server; those of the counters and symbols that are named."""

    counters: Names = ()
    symbols: Names = ()


class List(Command, tag_field="cmd", tag="list", frozen=True):
    """What there is."""

    what: What


class Trip(Command, tag_field="cmd", tag="trip", frozen=True):
    """Put a breaker to a level by hand, for a symbol or for another target that it knows; for a
    time or, with 0, until it is reset.
    """

    breaker: Name
    target: Name = "*"
    level: Literal["caution", "restrict", "halt"] = "halt"
    for_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    reason: Words = ""


class Reset(Command, tag_field="cmd", tag="reset", frozen=True):
    """Put a breaker back to normal by hand."""

    breaker: Name
    target: Name = "*"
    reason: Words = ""


class Position(Command, tag_field="cmd", tag="position", frozen=True):
    """Tell what is held of a symbol: what `restrict` lets leave reduces it."""

    symbol: Name
    qty: Annotated[int, Meta(ge=-(1 << 53), le=1 << 53)]


class SetPriority(Command, tag_field="cmd", tag="set_priority", frozen=True):
    """Give all ticks of a symbol a lane, for a time or, with 0, until it is said otherwise; without
    a lane they go again where the rules say.
    """

    symbol: Name
    lane: Annotated[int, Meta(ge=0, le=15)] | None = None
    for_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0


class GetBars(Command, tag_field="cmd", tag="get_bars", frozen=True):
    """Last and present bars of the symbols that are named."""

    symbols: Annotated[Names, Meta(min_length=1)]


class GetCorrelations(Command, tag_field="cmd", tag="get_correlations", frozen=True):
    """Correlation and beta of pairs: of the configured ones that are named, and of pairs with one
    of these symbols; all where nothing is named.
    """

    names: Names = ()
    symbols: Names = ()


class ResetStats(Command, tag_field="cmd", tag="reset_stats", frozen=True):
    """Have the price statistics of symbols begin anew; of all where none is named."""

    symbols: Names = ()


class Reload(Command, tag_field="cmd", tag="reload", frozen=True):
    """Read the configuration again."""


class Enable(Command, tag_field="cmd", tag="enable", frozen=True):
    """Have a pattern or breaker called again that is off."""

    name: Name


class Shutdown(Command, tag_field="cmd", tag="shutdown", frozen=True):
    """End the server as SIGTERM does: finish every tick, hand over every signal, log out."""

    drain_s: Annotated[int, Meta(ge=1, le=600)] | None = None


AnyCommand = (
    Ping
    | Subscribe
    | Unsubscribe
    | GetStats
    | List
    | Trip
    | Reset
    | Position
    | SetPriority
    | GetBars
    | GetCorrelations
    | ResetStats
    | Reload
    | Enable
    | Shutdown
)
COMMANDS: Mapping[str, type[Command]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyCommand)
}
"""Every command by its name."""


# -- answers --------------------------------------------------------------------------------------


class Fault(msgspec.Struct, frozen=True):
    """Why a command was refused: for programs, and for people."""

    code: Code
    text: str


class Answer(
    msgspec.Struct, tag_field="type", tag="answer", frozen=True, kw_only=True, omit_defaults=True
):
    """The acknowledgement of a command: `result` or `error`; `id` is null where none was read."""

    id: int | str | None
    ok: bool
    result: Any = None
    error: Fault | None = None


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a subscription became; `unknown_symbols` are those named as a whole that no message has
    named so far, `left_out` symbols for which there is no more room among the quotes.
    """

    sub: int
    kinds: tuple[WatchKind, ...]
    policy: Policy
    queue: int
    share: str | None = None
    members: int = 1
    unknown_symbols: tuple[str, ...] = ()
    left_out: int = 0


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages that were for a subscription: those that wait are the rest."""

    sub: int
    matched: int
    delivered: int
    conflated: int
    dropped: int


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as `list` shows it."""

    client: int
    kinds: tuple[WatchKind, ...]
    symbols: tuple[str, ...]
    patterns: tuple[str, ...]
    policy: Policy
    share: str | None
    queued: int
    queue: int
    totals: Totals


class ClientRow(msgspec.Struct, frozen=True, kw_only=True):
    """A client as `list` shows it."""

    client: int
    name: str
    connected_s: int
    subscriptions: int
    queued: int
    commands: int


class FunctionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pattern or breaker as `list` shows it: signals of the one, trips and tripped instruments of
    the other.
    """

    name: str
    function: str
    signals: int | None = None
    trips: int | None = None
    tripped: int | None = None


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group of symbols as `list` shows it."""

    group: str
    symbols: tuple[str, ...]


class SymbolRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the engine keeps of a symbol on one feed; `mid_e9` 0: a side is missing. `low_e9` to
    `duration_ns` are those of the printed trades since they began anew, where they are kept.
    """

    symbol: str
    feed: str
    messages: int
    halted: bool
    mid_e9: int
    vwap_e9: int
    volume: int
    volatility_e9: int
    low_e9: int | None = None
    high_e9: int | None = None
    average_e9: int | None = None
    trades: int | None = None
    duration_ns: int | None = None


class _Bar(msgspec.Struct, frozen=True, kw_only=True):
    """A bar of printed trades; `number` as docs/analytics.md says."""

    symbol: str
    feed: str
    by: Literal["time", "volume"]
    number: int
    start_ns: int
    end_ns: int
    open_e9: int
    high_e9: int
    low_e9: int
    close_e9: int
    volume: int
    vwap_e9: int
    trades: int


class BarRow(_Bar, frozen=True, kw_only=True):
    """A bar as `get_bars` shows it: the last one, or the present one, which goes on."""

    is_complete: bool


class CorrelationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pair: correlation, and beta of `symbol_a` on `symbol_b`, in 1e-9 over so many returns."""

    name: str
    feed: str
    symbol_a: str
    symbol_b: str
    samples: int
    correlation_e9: int
    beta_e9: int
    ts_exch_ns: int


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the server; `more` says that more symbols fit than are shown."""

    version: str
    uptime_s: int
    state: Literal["serving", "draining"]
    feeds: tuple["FeedState", ...]
    hub: dict[str, int]
    counters: dict[str, int]
    symbols: tuple[SymbolRow, ...]
    more: bool


# -- what flows -----------------------------------------------------------------------------------


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Over a wire every one of them begins with `sub` and `n`, see `Delivery`."""


class Leg(msgspec.Struct, frozen=True):
    """An instrument that a pattern looked at, and the feed that it is on."""

    symbol: str
    feed: str


class Order(_Message, tag_field="type", tag="order", frozen=True):
    """An order that a pattern proposes, with what it saw."""

    symbol: str
    feed: str
    source: str
    signal_id: int
    side: Side
    price_e9: int
    qty: int
    seq: int
    ts_exch_ns: int
    ts_rx_ns: int
    ts_signal_ns: int
    bid_price_e9: int
    bid_qty: int
    ask_price_e9: int
    ask_qty: int
    values: tuple[int, int, int]
    confidence_bps: int
    legs: tuple[Leg, ...]
    """Up to eight of those that the pattern looked at, that of the order first."""
    level: int = 0
    """Of the breakers, that it was marked with."""


class Breaker(_Message, tag_field="type", tag="breaker", frozen=True):
    """An instrument that breakers hold to another level now; `source` is the one that led."""

    symbol: str
    feed: str
    source: str
    signal_id: int
    level: int
    level_name: str
    price_e9: int
    seq: int
    ts_exch_ns: int
    ts_rx_ns: int
    ts_signal_ns: int


class Cancel(_Message, tag_field="type", tag="cancel", frozen=True):
    """The OMS was asked to take back its orders of an instrument that came of our signals; comes
    with the kind "breaker".
    """

    symbol: str
    feed: str
    source: str
    signal_id: int
    level: int
    price_e9: int
    seq: int
    ts_exch_ns: int
    ts_rx_ns: int
    ts_signal_ns: int


class FeedState(_Message, tag_field="type", tag="feed", frozen=True):
    """What a look found of a feed; `ts_ns` is when."""

    feed: str
    state: str
    in_doubt: bool
    next_seq: int
    ts_ns: int


class Quote(_Message, tag_field="type", tag="quote", frozen=True):
    """What a look found to be a symbol's best prices; a quantity of 0: there is none."""

    symbol: str
    bid_price_e9: int
    bid_qty: int
    ask_price_e9: int
    ask_qty: int
    ts_ns: int
    bid_feeds: tuple[str, ...] = ()
    ask_feeds: tuple[str, ...] = ()
    market: Literal["", "locked", "crossed"] = ""
    in_doubt: bool = False


class BarMessage(_Bar, tag_field="type", tag="bar", frozen=True, kw_only=True):
    """A bar that was completed; of several between two looks the last."""


Message = Order | Breaker | Cancel | FeedState | Quote | BarMessage


class Behind(msgspec.Struct, tag_field="type", tag="behind", frozen=True, kw_only=True):
    """A subscription fell behind: so many of its messages gave way to newer ones of the same
    instrument and kind (`conflated`) or were lost (`dropped`) since the last word about it; of
    `missed` signals nobody knows whether they were for it.
    """

    sub: int
    conflated: int
    dropped: int
    missed: int


class Cut(msgspec.Struct, tag_field="type", tag="cut", frozen=True, kw_only=True):
    """A subscription has ended as its queue was full: so many messages went to the others of its
    share (`given_on`), or were dropped.
    """

    sub: int
    queue: int
    undelivered: int
    given_on: bool


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", frozen=True):
    """Nothing happened; the connection lives."""

    ts_ns: int


class End(msgspec.Struct, tag_field="type", tag="end", frozen=True, kw_only=True):
    """The last word on a connection: why it ends."""

    reason: str
    text: str


Notice = Behind | Cut | Heartbeat | End


# -- to and from JSON -----------------------------------------------------------------------------

_REMEDY = "docs/hub.md has every command"


def decode_command(line: bytes | bytearray) -> Command:
    """The command on a line; HubError for everything else, whatever it is."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        text = f'no JSON: {reason}; send one object a line, such as {{"cmd":"ping","id":1}}'
        raise HubError(Code.MALFORMED, text) from None
    if not isinstance(found, dict):
        text = f'{type(found).__name__}: send one object a line, such as {{"cmd":"ping","id":1}}'
        raise HubError(Code.MALFORMED, text)
    command_id = _id_of(found)
    name = found.get("cmd")
    if not isinstance(name, str) or name not in COMMANDS:
        raise HubError(Code.UNKNOWN_COMMAND, _unknown(name), command_id)
    try:
        return msgspec.convert(found, COMMANDS[name])
    except msgspec.ValidationError as error:
        text = f"{name}: {error}; {_REMEDY}"
        raise HubError(Code.BAD_ARGUMENT, text, command_id) from None


def _id_of(found: dict[str, Any]) -> int | str | None:
    """The id where it is one, so that even a refusal can be told from others."""
    try:
        return msgspec.convert(found.get("id"), Id)
    except msgspec.ValidationError:
        return None


def _unknown(name: object) -> str:
    """What to say about a command that there is not."""
    known = ", ".join(COMMANDS)
    if not isinstance(name, str):
        return f'no "cmd"; there are {known}'
    near = difflib.get_close_matches(name[:_ID_CHARACTERS], COMMANDS, 1)
    guess = f", did you mean {near[0]!r}?" if near else f"; there are {known}"
    return f"unknown command {name[:_ID_CHARACTERS]!r}{guess}"


def refusal(error: HubError, command_id: int | str | None = None) -> Answer:
    """The answer that says why not."""
    known_id = error.command_id if command_id is None else command_id
    return Answer(id=known_id, ok=False, error=Fault(error.code, error.text))
