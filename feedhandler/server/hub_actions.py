"""What the hub asks of others: to look (`View`) and to act (`Actions`). Narrow, so that what is
still to come need only be filled in.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, Protocol

from feedhandler.server.hub_messages import (
    BarRow,
    Code,
    CorrelationRow,
    FeedState,
    FunctionRow,
    HubError,
    Message,
    Quote,
    Reload,
    Reset,
    SetPriority,
    Shutdown,
    SymbolRow,
    Trip,
)
from feedhandler.server.hub_watchers import Matcher

SignalRow = tuple[Any, ...]
"""A row of SIGNAL as `ndarray.tolist` gives it."""


class View(Protocol):
    """What may be seen of the engine; nothing here touches what a kernel writes, and only
    `clear_stats` waits.
    """

    sources: Sequence[str]
    """Names of the patterns, then of the breakers."""

    def patterns(self) -> list[FunctionRow]:
        """Every pattern."""

    def breakers(self) -> list[FunctionRow]:
        """Every breaker."""

    def feeds(self) -> list[FeedState]:
        """Every feed as it is now."""

    def counters(self, names: Matcher) -> dict[str, int]:
        """Counters whose names fit, as `name{label=value}`."""

    def symbols(self, names: Matcher, limit: int) -> list[SymbolRow]:
        """Up to `limit` symbols that fit, a row for each feed that has named them."""

    def bars(self, names: Matcher, limit: int) -> list[BarRow]:
        """Last and present bars of up to `limit` symbols that fit; HubError where none are kept."""

    def check_bars(self) -> None:
        """HubError where no bars are kept."""

    async def clear_stats(self, names: Matcher) -> list[str]:
        """Have the price statistics of symbols that fit begin anew; which those are. HubError where
        none are kept.
        """

    def correlations(self, names: Matcher, symbols: Matcher) -> list[CorrelationRow]:
        """Pairs of the configured correlations that fit, with a symbol that fits."""

    def learn(self, limit: int) -> list[str]:
        """Up to `limit` symbols that messages have named since the last time."""

    def names(self, names: Matcher) -> list[str]:
        """Symbols that fit among those that `learn` gave, sorted."""

    def message_of(self, row: SignalRow) -> Message | None:
        """What a signal says; None for a kind that there is not."""


class QuoteSource(Protocol):
    """Where best prices are looked at."""

    async def read(self, symbol: str) -> Quote | None:
        """Those of a symbol; None where there are none. TimeoutError when the engine that knows
        them does not answer.
        """


class Actions(Protocol):
    """What a command changes. Each gives what its answer shows, or raises HubError; it may be
    cancelled at its deadline, and must then have done all or nothing.
    """

    async def trip(self, command: Trip) -> Any:
        """Put a breaker to a level."""

    async def reset(self, command: Reset) -> Any:
        """Put a breaker back to normal."""

    async def set_priority(self, command: SetPriority) -> Any:
        """Give a symbol's ticks a lane."""

    async def reload(self, command: Reload) -> Any:
        """Read the configuration again."""

    async def shutdown(self, command: Shutdown) -> Any:
        """Begin to drain; the answer leaves before the end."""


class BaseActions:
    """Actions of a server that can only be ended: the others say what is missing."""

    def __init__(self, shut_down: Callable[[int | None], int]) -> None:
        """`shut_down` begins the drain, with a limit in s instead of the configured one, and gives
        the limit that holds.
        """
        self._shut_down = shut_down

    async def trip(self, command: Trip) -> Any:
        """Not yet."""
        del command
        _missing("trip", "breakers change by ticks only", "set the breaker's params and restart")

    async def reset(self, command: Reset) -> Any:
        """Not yet."""
        del command
        _missing("reset", "breakers change by ticks only", "wait for its cool-down, or restart")

    async def set_priority(self, command: SetPriority) -> Any:
        """Not yet."""
        del command
        _missing("set_priority", "lanes are fixed at start", "change [priority] and restart")

    async def reload(self, command: Reload) -> Any:
        """Not yet."""
        del command
        _missing("reload", "the configuration is read at start only", "restart")

    async def shutdown(self, command: Shutdown) -> Any:
        """Begin to drain."""
        return {"state": "draining", "drain_s": self._shut_down(command.drain_s)}


def _missing(name: str, why: str, remedy: str) -> NoReturn:
    raise HubError(Code.UNSUPPORTED, f"{name}: {why} in this release; {remedy}")


def known_names(names: Iterable[str]) -> str:
    """The first few of what there is, for a text that says what to name instead."""
    found = sorted(names)
    shown = ", ".join(found[:10]) or "none"
    return f"{shown}, ..." if len(found) > 10 else shown
