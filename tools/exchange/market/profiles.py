"""What the instruments of a market are like: price, volatility, share of the flow, spread, sector.

A file is CSV with the columns of `symbols.csv` beside this module, which has the hundred symbols
of the default. More than a hundred come from those, with tickers of their own and less to do.
Everything in it is invented.
"""

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.symbols import SYMBOLS_MAX, ticker

DEFAULT_FILE = Path(__file__).with_name("symbols.csv")
COLUMNS = ("symbol", "sector", "price", "volatility_percent", "volume_share", "spread_ticks")
PRICE_MIN, PRICE_MAX = Decimal(1), Decimal(2_000)
_RANGES = {"volatility_percent": (1, 400), "volume_share": (1, 1_000_000), "spread_ticks": (1, 500)}
_TICKER_LETTERS = 8
_TICK = Decimal("0.01")


class Profile(NamedTuple):
    """One instrument; volatility is a year's, in percent, and prices are in ticks of one cent."""

    symbol: str
    sector: str
    price_ticks: int
    volatility_percent: int
    volume_share: int
    """Its part of the flow is this over the sum of all."""
    spread_ticks: int
    """What the spread is about."""


def load_profiles(count: int, path: Path = DEFAULT_FILE) -> list[Profile]:
    """The first `count` instruments of a file; of the default file any number up to SYMBOLS_MAX.

    UserError with file and line for what cannot be read or is not as it must be.
    """
    profiles = list(_read(path))
    if path != DEFAULT_FILE and count > len(profiles):
        raise UserError(
            f"{path}: {len(profiles)} symbols, but {count} are asked for", ExitCode.CONFIG
        )
    if not 1 <= count <= SYMBOLS_MAX:
        raise UserError(f"symbols is {count}: 1 to {SYMBOLS_MAX} are possible", ExitCode.USAGE)
    return [*profiles[:count], *(_further(profiles, i) for i in range(len(profiles), count))]


def _further(profiles: list[Profile], index: int) -> Profile:
    """Number `index` of the default, beyond the file: like one of it, with less to do."""
    like = profiles[index % len(profiles)]
    share = max(1, like.volume_share * len(profiles) // (8 * index))
    return like._replace(
        symbol=ticker(index), volume_share=share, spread_ticks=2 * like.spread_ticks
    )


def _read(path: Path) -> Iterator[Profile]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}", ExitCode.CONFIG) from None
    rows = csv.DictReader(lines)
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise UserError(f"{path}:1: the columns are {','.join(COLUMNS)}", ExitCode.CONFIG)
    seen: set[str] = set()
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if None in row or None in row.values():
            raise UserError(f"{where}: not {len(COLUMNS)} values", ExitCode.CONFIG)
        profile = _profile(row, where)
        if profile.symbol in seen:
            raise UserError(f"{where}: symbol {profile.symbol} a second time", ExitCode.CONFIG)
        seen.add(profile.symbol)
        yield profile
    if not seen:
        raise UserError(f"{path}: no symbol in it", ExitCode.CONFIG)


def _profile(row: dict[str, str], where: str) -> Profile:
    symbol = row["symbol"]
    if not symbol.isascii() or not symbol.isupper() or len(symbol) > _TICKER_LETTERS:
        raise UserError(
            f"{where}: symbol {symbol!r} is not 1 to {_TICKER_LETTERS} capital letters",
            ExitCode.CONFIG,
        )
    if not row["sector"]:
        raise UserError(f"{where}: sector is empty", ExitCode.CONFIG)
    return Profile(
        symbol,
        row["sector"],
        _price_ticks(row["price"], where),
        *(_whole_number(row[name], name, where) for name in _RANGES),
    )


def _price_ticks(text: str, where: str) -> int:
    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(0)
    if not PRICE_MIN <= price <= PRICE_MAX or price % _TICK:
        raise UserError(
            f"{where}: price {text!r} is not {PRICE_MIN} to {PRICE_MAX} in whole cents",
            ExitCode.CONFIG,
        )
    return int(price / _TICK)


def _whole_number(text: str, name: str, where: str) -> int:
    lowest, highest = _RANGES[name]
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise UserError(
            f"{where}: {name} {text!r} is not a whole number from {lowest} to {highest}",
            ExitCode.CONFIG,
        )
    return int(text)
