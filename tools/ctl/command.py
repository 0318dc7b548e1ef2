"""The command `feedhandler ctl`: one command to the hub of a running server, or what it says."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table

from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.hub_messages import TIMEOUT_MS, TIMEOUT_MS_MAX, WatchKind, What
from tools.ctl.client import HubClient, Line

PLAIN_WIDTH = 160

app = App(name="ctl", help="Commands to a running server, over its hub.")

_CODES = {
    "timeout": ExitCode.UNAVAILABLE,
    "draining": ExitCode.UNAVAILABLE,
    "forbidden": ExitCode.NO_PERMISSION,
    "failed": ExitCode.UNEXPECTED,
    "bad_config": ExitCode.CONFIG,
}
"""What a command ends with that was refused; every other refusal is wrong usage."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """The hub, and how long it may take."""

    port: Annotated[
        int,
        Parameter(
            help="Port of the hub, `[hub] port` of the server.",
            env_var="FEEDHANDLER_HUB__PORT",
            validator=Number(gte=1, lte=65_535),
        ),
    ]
    address: Annotated[str, Parameter(help="Its address.", env_var="FEEDHANDLER_HUB__ADDRESS")] = (
        "127.0.0.1"
    )
    timeout_ms: Annotated[
        int,
        Parameter(help="Deadline of the command.", validator=Number(gte=1, lte=TIMEOUT_MS_MAX)),
    ] = TIMEOUT_MS
    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Print what came as it came.")
    ] = False


@contextlib.contextmanager
def _connected(where: Where) -> Iterator[HubClient]:
    client = HubClient(where.address, where.port)
    try:
        yield client
    finally:
        client.close()


def _ask(client: HubClient, where: Where, cmd: str, arguments: Mapping[str, Any]) -> Any:
    """The result of a command; UserError with the hub's own words when it was refused."""
    given = {name: value for name, value in arguments.items() if value not in (None, ())}
    answer = client.call(cmd, where.timeout_ms, **given)
    if not answer["ok"]:
        error = answer["error"]
        code = _CODES.get(error["code"], ExitCode.USAGE)
        raise UserError(f"{error['text']} ({error['code']})", code)
    return answer.get("result")


def _do(where: Where, cmd: str, **arguments: Any) -> None:
    """Send a command and show its result."""
    with _connected(where) as client:
        show(_ask(client, where, cmd, arguments), as_json=where.as_json)


@app.command(name="list")
def list_(what: What, *, where: Where) -> None:
    """Show patterns, breakers, subscriptions, clients, feeds or groups.

    Parameters
    ----------
    what
        Which of them.
    """
    _do(where, "list", what=what)


@app.command
def stats(
    *symbols: str,
    counters: tuple[str, ...] = (),
    reset: Annotated[bool, Parameter(negative=())] = False,
    where: Where,
) -> None:
    """Show figures of the server; of symbols also those of their trades' prices, where `[analytics]
    price_stats` is set.

    Parameters
    ----------
    symbols
        Symbols to show besides; `*`, `?` and `[...]` stand for others.
    counters
        Names of counters to show besides, in the same way.
    reset
        Then have the price statistics of the symbols begin anew; of all without a symbol.
    """
    _do(where, "get_stats", symbols=symbols, counters=counters)
    if reset:
        _do(where, "reset_stats", symbols=symbols)


@app.command
def bars(*symbols: str, where: Where) -> None:
    """Show the last and the present bar of symbols, where `[analytics]` keeps bars.

    Parameters
    ----------
    symbols
        Which; `*`, `?` and `[...]` stand for others.
    """
    _do(where, "get_bars", symbols=symbols)


@app.command
def correlations(*names: str, symbols: tuple[str, ...] = (), where: Where) -> None:
    """Show correlation and beta of the pairs of `[[correlations]]`.

    Parameters
    ----------
    names
        Names in the configuration; none: all.
    symbols
        Pairs with one of these symbols only.
    """
    _do(where, "get_correlations", names=names, symbols=symbols)


@app.command
def watch(
    *symbols: str,
    kinds: tuple[WatchKind, ...] = (),
    groups: tuple[str, ...] = (),
    patterns: tuple[str, ...] = (),
    policy: Literal["conflate", "drop", "cut"] | None = None,
    share: str | None = None,
    where: Where,
) -> None:
    """Print what flows, a line each, until interrupted or the server ends.

    Parameters
    ----------
    symbols
        Which symbols; none: all.
    kinds
        Which kinds of messages; none: order, breaker and feed.
    groups
        Groups of symbols of the server's configuration.
    patterns
        Orders and breaker changes of these patterns and breakers only.
    policy
        What happens when this command is too slow; else what the server's configuration says.
    share
        Share the stream with others who name the same.
    """
    arguments = {
        "symbols": symbols,
        "kinds": kinds,
        "groups": groups,
        "patterns": patterns,
        "policy": policy,
        "share": share,
    }
    with _connected(where) as client:
        _ask(client, where, "subscribe", arguments)
        for line in client.watch():
            print(json.dumps(line) if where.as_json else plain(line), flush=True)


@app.command
def trip(
    breaker: str,
    *,
    target: str = "*",
    level: Literal["caution", "restrict", "halt"] = "halt",
    for_ms: int = 0,
    reason: str = "",
    where: Where,
) -> None:
    """Put a breaker to a level by hand, for a time or until it is reset.

    Parameters
    ----------
    breaker
        Its name.
    target
        A symbol, sector or feed, as the breaker's scope is; `*`: all.
    level
        The level.
    for_ms
        For how long, event time; 0: until it is reset.
    reason
        For the log.
    """
    given = {"target": target, "level": level, "for_ms": for_ms, "reason": reason}
    _do(where, "trip", breaker=breaker, **given)


@app.command
def reset(breaker: str, *, target: str = "*", reason: str = "", where: Where) -> None:
    """Put a breaker back to normal by hand.

    Parameters
    ----------
    breaker
        Its name.
    target
        A symbol, sector or feed, as the breaker's scope is; `*`: all.
    reason
        For the log.
    """
    _do(where, "reset", breaker=breaker, target=target, reason=reason)


@app.command
def position(symbol: str, qty: int, *, where: Where) -> None:
    """Tell what is held of a symbol: while it is restricted, only orders that reduce it leave.

    Parameters
    ----------
    symbol
        The symbol.
    qty
        Shares; negative: short.
    """
    _do(where, "position", symbol=symbol, qty=qty)


@app.command
def priority(symbol: str, lane: int | None = None, *, for_ms: int = 0, where: Where) -> None:
    """Give all ticks of a symbol a lane; without a lane, what the rules give them again.

    Parameters
    ----------
    symbol
        The symbol.
    lane
        The lane, 0 the most urgent.
    for_ms
        For so long; 0: until it is said otherwise.
    """
    _do(where, "set_priority", symbol=symbol, lane=lane, for_ms=for_ms)


@app.command
def reload(*, where: Where) -> None:
    """Have the server read its configuration again; what it then compiles may take a minute."""
    if where.timeout_ms == TIMEOUT_MS:
        where = replace(where, timeout_ms=TIMEOUT_MS_MAX)
    _do(where, "reload")


@app.command
def enable(name: str, *, where: Where) -> None:
    """Have a pattern or breaker called again that is off: by a fault, its budget, or the off file.

    Parameters
    ----------
    name
        Its name.
    """
    _do(where, "enable", name=name)


@app.command
def shutdown(*, drain_s: int | None = None, where: Where) -> None:
    """End the server: finish every tick, hand over every signal, log out.

    Parameters
    ----------
    drain_s
        How long OMS sessions may take to log out; else what the server's configuration says.
    """
    _do(where, "shutdown", drain_s=drain_s)


def plain(line: Line) -> str:
    """A message for people: what it is, what it is about, and the rest as name=value."""
    known = ("type", "symbol", "feed", "source")
    words = [f"{line['type']:9}", *(str(line[name]) for name in known[1:] if name in line)]
    rest = (f"{name}={_cell(value)}" for name, value in line.items() if name not in known)
    return " ".join((*words, *rest))


def show(result: Any, *, as_json: bool) -> None:
    """A result: JSON, a table of rows that are alike, or a line for each figure."""
    if as_json:
        print(json.dumps(result))
    elif isinstance(result, list):
        _console().print(_table(result))
    else:
        for name, value in (result or {}).items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                _console().print(name, _table(value), sep="\n")
            elif isinstance(value, dict):
                for inner, figure in value.items():
                    print(f"{inner} {_cell(figure)}")
            else:
                print(f"{name} {_cell(value)}")


def _console() -> Console:
    """Plain text of a fixed width where nobody looks; `[...]` in a name is no markup."""
    if sys.stdout.isatty():
        return Console(markup=False, highlight=False)
    return Console(width=PLAIN_WIDTH, color_system=None, markup=False, highlight=False)


def _table(rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, box=None)
    for row in rows:
        table.add_row(*(_cell(row.get(name, "")) for name in names))
    return table


def _cell(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(_cell, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{name}={_cell(inner)}" for name, inner in value.items())
    return "-" if value in (None, "") else str(value)
