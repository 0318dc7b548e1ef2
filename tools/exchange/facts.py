"""Stylised facts: what is known of prices and order flow on real markets, measured on a session.

Each has a threshold, and the paper that it is from. It is measured for every symbol by itself, and
the median over a group counts: the most active fifth of the symbols, and the least active one.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.checker import open_session
from tools.exchange.checker_kernels import HIGHEST
from tools.exchange.sampling import (
    ADDED,
    REMOVED,
    SECONDS,
    TRADED,
    Samples,
    allocate_samples,
    sample_nb,
)

SYMBOLS_MAX = 400
_GROUP = 5
_SLICE = 1 << 20
_TRADES_MIN = 200
"""A symbol with fewer trades says nothing about trades."""
_HALF_HOUR = 1_800
_CONT = "Cont, Quantitative Finance 1 (2001)"

Floats = NDArray[np.float64]


class Fact(NamedTuple):
    """A fact: what is measured of one symbol, and between which limits the median is to lie."""

    name: str
    source: str
    lowest: float
    highest: float
    measure: Callable[["Symbol"], float]


class Finding(NamedTuple):
    """A fact in one group of a session."""

    name: str
    source: str
    group: str
    value: float
    lowest: float
    highest: float

    @property
    def holds(self) -> bool:
        """Whether the value lies within the limits; no value does not."""
        return self.lowest <= self.value <= self.highest


class Symbol(NamedTuple):
    """One symbol in market hours.

    Shapes:  logs f64[SECONDS], logarithm of the middle price; spreads_ticks f64[n], where there is
             one; touch_shares f64[n]; counts i64[SECONDS, 3]; trades i64[m, 4]; two_sided,
             trading bool[SECONDS]: whether there are both best prices, and it is not halted.
    """

    logs: Floats
    spreads_ticks: Floats
    touch_shares: Floats
    counts: NDArray[np.int64]
    trades: NDArray[np.int64]
    two_sided: NDArray[np.bool_]
    trading: NDArray[np.bool_]
    locate: int

    def returns(self, seconds: int) -> Floats:
        """Logarithmic returns over so many seconds."""
        return np.diff(self.logs[::seconds])


def read_samples(path: Path) -> Samples:
    """Market hours of the session in `path`, of up to SYMBOLS_MAX symbols, evenly chosen.

    UserError when it cannot be read, or has no orders.
    """
    session, buf, messages = open_session(path)
    locates = np.flatnonzero(session.symbols[:, HIGHEST])
    if not len(locates):
        raise UserError(f"{path}: no orders in it", ExitCode.DATA)
    chosen = locates[:: -(-len(locates) // SYMBOLS_MAX)]
    samples = allocate_samples(chosen, messages)
    while sample_nb(session, samples, buf, _SLICE):
        pass
    return samples


def symbols_of(samples: Samples) -> list[Symbol]:
    """The symbols that were sampled, those with the most orders first."""
    order = np.argsort(-samples.counts[:, :, ADDED].sum(axis=0), kind="stable")
    trades = samples.trades[: samples.size[0]]
    return [_symbol(samples, column, trades[trades[:, 1] == column]) for column in order.tolist()]


def _symbol(samples: Samples, column: int, trades: NDArray[np.int64]) -> Symbol:
    bids, asks = samples.bids[:, column], samples.asks[:, column]
    two_sided = (bids > 0) & (asks > 0)
    middles = np.where(two_sided, (bids + asks) / 2, np.nan)
    places = np.where(two_sided, np.arange(SECONDS), 0)
    filled = middles[np.maximum.accumulate(places)]
    first = np.argmax(~np.isnan(filled))
    filled[:first] = filled[first]
    shares = (samples.bid_shares[:, column] + samples.ask_shares[:, column])[two_sided] / 2
    spreads = (asks - bids)[two_sided] / 100
    trading = samples.trading[:, column] > 0
    counts, locate = samples.counts[:, column], int(samples.locates[column])
    return Symbol(np.log(filled), spreads, shares, counts, trades, two_sided, trading, locate)


def kurtosis(values: Floats) -> float:
    """Fourth moment over the squared second; 3 for the normal law, nan without variance."""
    away = values - values.mean()
    variance = float((away**2).mean())
    return float((away**4).mean()) / variance**2 if variance else float("nan")


def autocorrelation(values: Floats, lag: int) -> float:
    """Correlation of a series with itself `lag` places on; nan where there is none."""
    if len(values) <= lag + 1:
        return float("nan")
    away = values - values.mean()
    variance = float((away**2).mean())
    return float((away[lag:] * away[:-lag]).mean()) / variance if variance else float("nan")


def sides(symbol: Symbol) -> Floats:
    """Who took, 1 a buyer and -1 a seller, in the order of time. Executions of one order that takes
    are one decision: they have one time.
    """
    _, first = np.unique(symbol.trades[:, 0], return_index=True)
    signs: Floats = np.sign(symbol.trades[first, 3]).astype(float)
    return signs


def _signs(symbol: Symbol, lag: int) -> float:
    signs = sides(symbol)
    return autocorrelation(signs, lag) if len(signs) >= _TRADES_MIN else float("nan")


def _bounce(symbol: Symbol) -> float:
    if len(symbol.trades) < _TRADES_MIN:
        return float("nan")
    return autocorrelation(np.diff(np.log(symbol.trades[:, 2].astype(float))), 1)


def _clusters(symbol: Symbol) -> float:
    waits = np.diff(np.unique(symbol.trades[:, 0])).astype(float)
    return float(waits.std() / waits.mean()) if len(waits) >= _TRADES_MIN else float("nan")


def _volume_and_volatility(symbol: Symbol) -> float:
    moves = np.abs(symbol.returns(60))
    trades = symbol.counts[:, TRADED].reshape(-1, 60).sum(axis=1)[: len(moves)]
    if not trades.std() or not moves.std():
        return float("nan")
    return float(np.corrcoef(moves, trades)[0, 1])


def _memory_of_signs(symbol: Symbol) -> float:
    return float(np.mean([_signs(symbol, lag) for lag in (5, 10, 20)]))


def _memory_of_moves(symbol: Symbol) -> float:
    moves = np.abs(symbol.returns(10))
    return float(np.mean([autocorrelation(moves, lag) for lag in range(20, 61)]))


def _linear(symbol: Symbol) -> float:
    returns = symbol.returns(60)
    return float(np.mean([autocorrelation(returns, lag) for lag in range(1, 11)]))


def orders_u_shape(symbol: Symbol) -> float:
    """Orders in the first and the last half hour, by those in the one at noon."""
    counts = symbol.counts[:, ADDED].reshape(-1, _HALF_HOUR).sum(axis=1)
    return float((counts[0] + counts[-1]) / 2 / counts[len(counts) // 2])


def _ratio(kind: int) -> Callable[[Symbol], float]:
    return lambda symbol: float(symbol.counts[:, kind].sum() / symbol.counts[:, ADDED].sum())


FACTS = (
    Fact(
        "kurtosis of returns over 1 s", f"{_CONT}, fact 2", 5, 1e9, lambda s: kurtosis(s.returns(1))
    ),
    Fact(
        "kurtosis over 300 s, by that over 1 s",
        f"{_CONT}, fact 4",
        0,
        0.9,
        lambda s: kurtosis(s.returns(300)) / kurtosis(s.returns(1)),
    ),
    Fact("autocorrelation of 60 s returns, lags 1 to 10", f"{_CONT}, fact 1", -0.1, 0.1, _linear),
    Fact(
        "autocorrelation of changes from trade to trade",
        "Roll, Journal of Finance 39 (1984): the bounce between bid and ask",
        -0.6,
        -0.02,
        _bounce,
    ),
    Fact(
        "autocorrelation of absolute 10 s returns, lag 1",
        f"{_CONT}, fact 6",
        0.02,
        0.7,
        lambda s: autocorrelation(np.abs(s.returns(10)), 1),
    ),
    Fact("the same, 200 s to 600 s later", f"{_CONT}, fact 8", 0.005, 0.7, _memory_of_moves),
    Fact(
        "correlation of volume and absolute return, 60 s",
        f"{_CONT}, fact 10",
        0.02,
        0.9,
        _volume_and_volatility,
    ),
    Fact(
        "orders in the outer half hours, by those at noon",
        "Jain and Joh, Journal of Financial and Quantitative Analysis 23 (1988)",
        1.5,
        8,
        orders_u_shape,
    ),
    Fact(
        "autocorrelation of trades' sides, lags 5 to 20",
        "Lillo and Farmer, Studies in Nonlinear Dynamics and Econometrics 8 (2004)",
        0.02,
        0.8,
        _memory_of_signs,
    ),
    Fact(
        "variation of times between trades (1: no clusters)",
        "Engle and Russell, Econometrica 66 (1998)",
        1.1,
        50,
        _clusters,
    ),
    Fact(
        "median spread in ticks",
        "Bouchaud, Mezard and Potters, Quantitative Finance 2 (2002)",
        1,
        20,
        lambda s: float(np.median(s.spreads_ticks)),
    ),
    Fact(
        "variation of the shares at the best prices",
        "Bouchaud, Mezard and Potters, Quantitative Finance 2 (2002)",
        0.4,
        10,
        lambda s: float(s.touch_shares.std() / s.touch_shares.mean()),
    ),
    Fact(
        "deletes by adds",
        "0.96 in Nasdaq's sample of TotalView-ITCH, 30 January 2019",
        0.85,
        1,
        _ratio(REMOVED),
    ),
    Fact("executions by adds", "0.05 in the same sample", 0.02, 0.15, _ratio(TRADED)),
)


def measure(symbols: list[Symbol]) -> list[Finding]:
    """Every fact in both groups."""
    size = max(1, len(symbols) // _GROUP)
    groups = (("liquid", symbols[:size]), ("illiquid", symbols[-size:]))
    return [
        Finding(
            fact.name,
            fact.source,
            group,
            _median([fact.measure(symbol) for symbol in members]),
            fact.lowest,
            fact.highest,
        )
        for fact in FACTS
        for group, members in groups
    ]


def _median(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def correlation(symbols: list[Symbol], seconds: int = 60) -> Floats:
    """Correlations of the symbols' returns, f64[n, n]."""
    returns = np.array([symbol.returns(seconds) for symbol in symbols])
    moving = returns[returns.std(axis=1) > 0]
    found: Floats = np.corrcoef(moving)
    return found


def volatility_percent(symbol: Symbol, seconds: int = 60) -> float:
    """A year's volatility in percent, from one day's returns."""
    returns = symbol.returns(seconds)
    return float(np.sqrt((returns**2).sum() * 252)) * 100
