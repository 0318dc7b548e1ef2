"""What the hub asks of others: to look (`View`) and to act (`Actions`). Narrow, so that what is
still to come need only be filled in.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from feedhandler.server.breakers import BreakerDesk, NoSuchTargetError
from feedhandler.server.errors import ConfigError, UnavailableError, UserError
from feedhandler.server.hub_messages import (
    BarRow,
    Code,
    CorrelationRow,
    Enable,
    FeedState,
    FunctionRow,
    HubError,
    Message,
    Position,
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

    async def position(self, command: Position) -> Any:
        """Note what is held of a symbol."""

    async def set_priority(self, command: SetPriority) -> Any:
        """Give a symbol's ticks a lane, or their own again."""

    async def reload(self, command: Reload) -> Any:
        """Read the configuration again."""

    async def enable(self, command: Enable) -> Any:
        """Have a function called again that is off."""

    async def shutdown(self, command: Shutdown) -> Any:
        """Begin to drain; the answer leaves before the end."""


class ServerActions:
    """Actions of a server; those that are still to come say what is missing."""

    def __init__(
        self,
        shut_down: Callable[[int | None], int],
        reload: Callable[[], Awaitable[dict[str, Any]]],
        enable: Callable[[str], Awaitable[None]],
        breakers: BreakerDesk | None = None,
    ) -> None:
        """`shut_down` begins the drain, with a limit in s instead of the configured one, and gives
        the limit that holds. `reload` and `enable` raise UserError. Without `breakers` none are
        configured.
        """
        self._shut_down = shut_down
        self._reload = reload
        self._enable = enable
        self._breakers = breakers

    async def trip(self, command: Trip) -> Any:
        """Trip a breaker by hand."""
        if self._breakers is None:
            _missing("trip", "no breakers are configured", "add [[breakers]] and restart")
        with _explained():
            count = await self._breakers.trip(
                command.breaker, command.target, command.level, command.for_ms, command.reason
            )
        return {"level": command.level, "cells": count}

    async def reset(self, command: Reset) -> Any:
        """Reset it by hand; what it still demands trips it again."""
        if self._breakers is None:
            _missing("reset", "no breakers are configured", "add [[breakers]] and restart")
        with _explained():
            count = await self._breakers.reset(command.breaker, command.target, command.reason)
        return {"level": "normal", "cells": count}

    async def position(self, command: Position) -> Any:
        """Tell the response to `restrict`."""
        if self._breakers is None:
            _missing("position", "no breakers are configured", "add [[breakers]] and restart")
        with _explained():
            await self._breakers.tell_position(command.symbol, command.qty)
        return {"symbol": command.symbol, "qty": command.qty}

    async def set_priority(self, command: SetPriority) -> Any:
        """Not yet."""
        del command
        _missing("set_priority", "no engine is behind this hub", "restart it with one")

    async def reload(self, command: Reload) -> Any:
        """Read the configuration again; what has changed."""
        del command
        return await _told(self._reload())

    async def enable(self, command: Enable) -> Any:
        """Have a function called again that is off."""
        await _told(self._enable(command.name))
        return {"name": command.name, "state": "called"}

    async def shutdown(self, command: Shutdown) -> Any:
        """Begin to drain."""
        return {"state": "draining", "drain_s": self._shut_down(command.drain_s)}


async def _told(done: Awaitable[Any]) -> Any:
    """What becomes of it, with the faults of whoever asked as the hub tells them."""
    try:
        return await done
    except ConfigError as error:
        raise HubError(Code.BAD_CONFIG, str(error)) from None
    except UnavailableError as error:
        raise HubError(Code.TIMEOUT, str(error)) from None
    except UserError as error:
        raise HubError(Code.FAILED, str(error)) from None


@contextmanager
def _explained() -> Iterator[None]:
    """What a breaker's command may fail for, as the hub says it."""
    try:
        yield
    except NoSuchTargetError as error:
        raise HubError(Code.NOT_FOUND, str(error)) from None
    except TimeoutError:
        raise HubError(
            Code.TIMEOUT, "the engine did not take the command, and now will not; try again"
        ) from None


def _missing(name: str, why: str, remedy: str) -> NoReturn:
    raise HubError(Code.UNSUPPORTED, f"{name}: {why}; {remedy}")


def known_names(names: Iterable[str]) -> str:
    """The first few of what there is, for a text that says what to name instead."""
    found = sorted(names)
    shown = ", ".join(found[:10]) or "none"
    return f"{shown}, ..." if len(found) > 10 else shown
