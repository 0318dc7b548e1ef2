"""`exchange generate`: a whole session in a BinaryFILE, and the truth about it.

BinaryFILE: a u16 length and the message, one after the other; a length of zero ends the session.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.day import SESSION_S_MAX, fits_a_day
from tools.exchange.flow import generate_nb
from tools.exchange.layout import CLOSING_COUNT, FlowSettings, allocate_engine
from tools.exchange.market.day import generate_market_nb
from tools.exchange.market.layout import Market, allocate_market
from tools.exchange.market.profiles import DEFAULT_FILE, Profile, load_profiles
from tools.exchange.market.rules import first_due_nb
from tools.exchange.market.scenario import Scenario
from tools.exchange.market.truth import market_truth
from tools.exchange.parts import PartedSession
from tools.exchange.truth import summary

_BUFFER_BYTES = 4 << 20
_BATCH_MESSAGES = 1 << 20
_END = bytes(2)
_IN_FILE_ALONE = ("happened", "cross_orders", "relations", "asked")
Fill = Callable[[NDArray[np.uint8]], tuple[int, int]]
"""Writes the next messages into a buffer: how many, and how many bytes."""
_COMPRESSION = 1
"""gzip's fastest: the files are for tests, and made more often than kept."""


def generate_file(settings: FlowSettings, path: Path, producers: int = 1) -> dict[str, Any]:
    """Write the session to `path`, gzipped when so named, and its truth beside it; returns that.
    Up to `producers` threads make its parts, where it has several.

    UserError when the session is too short to hold its own end, too long for a day, or of more
    parts than symbols, or when a producer failed; OSError from the disk.
    """
    if settings.messages < CLOSING_COUNT:
        raise UserError(
            f"--messages {settings.messages}: a session ends with {CLOSING_COUNT} messages, "
            f"so it has at least as many",
            ExitCode.USAGE,
        )
    if not fits_a_day(settings.messages, settings.simulated_rate):
        raise UserError(
            f"--messages {settings.messages}: at --simulated-rate {settings.simulated_rate} they"
            f" last beyond midnight; {SESSION_S_MAX * settings.simulated_rate} at most",
            ExitCode.USAGE,
        )
    if settings.parts > settings.symbols:
        raise UserError(
            f"--parts {settings.parts}: each has a symbol at least, and there are"
            f" {settings.symbols}; ask for fewer parts, or more --symbols",
            ExitCode.USAGE,
        )
    if settings.parts > 1:
        with PartedSession(settings, producers) as session:
            return _write(path, lambda out: session.generate(out, _BATCH_MESSAGES), session.truth)
    engine = allocate_engine(settings)
    return _write(
        path, lambda out: generate_nb(engine, out, _BATCH_MESSAGES), lambda: summary(engine)
    )


def generate_day(scenario: Scenario, seed: int, path: Path) -> dict[str, Any]:
    """Write a day of a market to `path`, as `generate_file` does; `happened`, `cross_orders`,
    `relations` and `asked` are in the file beside it alone.

    UserError for a scope or a file of symbols that there is not; OSError from the disk.
    """
    profiles = profiles_of(scenario)
    market = make_market(scenario, profiles, seed)
    truth = _write(
        path,
        lambda out: generate_market_nb(market, out, _BATCH_MESSAGES),
        lambda: market_truth(market, scenario, profiles, seed),
    )
    return {name: value for name, value in truth.items() if name not in _IN_FILE_ALONE}


def changed_scenario(
    scenario: Scenario, messages: int | None, symbols: int | None = None
) -> Scenario:
    """The scenario with these instead of its own, where they are given. UserError for what cannot
    be.
    """
    wanted = {"messages": messages, "symbols": symbols}
    changes = {name: value for name, value in wanted.items() if value is not None}
    values = {name: getattr(scenario, name) for name in scenario.__struct_fields__}
    try:
        return msgspec.convert(values | changes, Scenario, from_attributes=True)
    except msgspec.ValidationError as error:
        raise UserError(f"--messages or --symbols: {error}", ExitCode.USAGE) from None


def profiles_of(scenario: Scenario) -> list[Profile]:
    """The symbols of a scenario; UserError for a file of them that there is not."""
    file = Path(scenario.symbols_file) if scenario.symbols_file else DEFAULT_FILE
    return load_profiles(scenario.symbols, file)


def make_market(
    scenario: Scenario, profiles: Sequence[Profile], seed: int, own_orders: int = 0
) -> Market:
    """A market before its first message, with room for `own_orders` orders of clients. UserError
    for a scope that there is not.
    """
    try:
        market = allocate_market(scenario, profiles, seed, own_orders)
    except ValueError as error:
        raise UserError(f"scenario: {error}", ExitCode.CONFIG) from None
    first_due_nb(market)
    return market


def _write(path: Path, fill: Fill, truth_of: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            # No name and no time in the file, so that the same session is the same file.
            with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed:
                _write_session(packed, fill)
        else:
            _write_session(raw, fill)
    truth = truth_of()
    Path(f"{path}.truth.json").write_bytes(msgspec.json.encode(truth) + b"\n")
    return truth


def _write_session(file: BinaryIO | gzip.GzipFile, fill: Fill) -> None:
    buffer = np.zeros(_BUFFER_BYTES, np.uint8)
    while True:
        count, size = fill(buffer)
        if count == 0:
            break
        file.write(buffer[:size].data)
    file.write(_END)
