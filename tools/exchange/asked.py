"""What a scenario asked for against what its tape shows: volatility of each symbol, correlation of
each pair, and the U of activity, measured as any reader of the tape can.

Volatility and correlation are those of the middle prices' returns over a minute, not less their
mean: a day's realised variance and covariance (Barndorff-Nielsen and Shephard, Econometrica 72
(2004)). A middle price is rounded to the tick, which makes the returns of a price of few ticks
larger; what is expected of that is taken off (`_without_rounding`). A minute in which a symbol was
halted, or the book had one side, does not count, nor does a symbol with few minutes.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tools.exchange.facts import Finding, Floats, Symbol, orders_u_shape
from tools.exchange.sampling import SECONDS

MINUTES = SECONDS // 60
VOLATILITY_WITHIN, CORRELATION_WITHIN, U_SHAPE_WITHIN = 0.05, 0.03, 0.1
_MINUTES_MIN = MINUTES * 9 // 10
_PAIRS_INSIDE, _SYMBOLS_INSIDE = 0.9, 0.95
TICKS_A_MINUTE = 3.0
"""A symbol that moves by fewer is coarse: rounding alone scatters its correlations by a hundredth.
"""
ASKED_ROWS = 10
"""Of the table."""
_SERIES = 8
_TICK = 0.01
_SOURCE = "the scenario"
_ROUNDING = "Gottlieb and Kalay, Journal of Finance 40 (1985): rounding"


class Asked(NamedTuple):
    """Shapes:  volatilities_percent f64[symbols], by locate; matrix f64[n, n], with `rows`
    i64[symbols], a symbol's row of it; sectors, the name of each symbol's.
    """

    u_shape: float
    names: list[str]
    sectors: list[str]
    volatilities_percent: Floats
    matrix: Floats
    rows: NDArray[np.int64]


class Measured(NamedTuple):
    """Of the symbols that could be measured, whose places in the list of symbols are `places`.

    Shapes:  volatilities f64[n], by what was asked; errors f64[n, n], correlations less what was
             asked; ticks f64[n], what a price moves by in a minute.
    """

    places: NDArray[np.int64]
    volatilities: Floats
    errors: Floats
    ticks: Floats


def load_asked(path: Path) -> Asked | None:
    """What the truth beside a session tells of it; None where it tells nothing."""
    try:
        truth = msgspec.json.decode(Path(f"{path}.truth.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        return None
    told = truth.get("asked")
    if told is None:
        return None
    names, sectors, volatilities = zip(*told["symbols"], strict=True)
    return Asked(
        told["u_shape"],
        list(names),
        list(sectors),
        np.array(volatilities, np.float64),
        np.array(told["correlation"]["matrix"]),
        np.array(told["correlation"]["rows"], np.int64),
    )


def measure_asked(asked: Asked, symbols: list[Symbol]) -> Measured:
    """Hold the symbols of a tape against what was asked for them."""
    returns, known = np.zeros((2, len(symbols), MINUTES))
    for row, symbol in enumerate(symbols):
        known[row] = _known_minutes(symbol)
        returns[row] = np.diff(symbol.logs[_edges()]) * known[row]
    places = np.flatnonzero((known.sum(axis=1) >= _MINUTES_MIN) & returns.any(axis=1))
    returns, known = returns[places], known[places]
    # A day's variance is spread over its minutes as that of all symbols is.
    sizes = returns**2 / np.maximum((returns**2).sum(axis=1, keepdims=True), 1e-30)
    profile = sizes.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    prices = np.array([np.exp(symbols[place].logs[_edges()[1:]]).mean() for place in places])
    ticks = _TICK / (prices / 10_000)
    found = (returns**2).sum(axis=1)
    shares = known * profile / profile.sum()
    whole = np.array([_without_rounding(*each) for each in zip(found, ticks, shares, strict=True)])
    locates = np.array([symbols[place].locate - 1 for place in places], np.int64)
    wanted = asked.volatilities_percent[locates] / 100 / np.sqrt(252)
    # Both symbols' minutes: what they have of the day's variance is that of neither alone.
    both = known * profile @ known.T / profile.sum()
    errors = returns @ returns.T / both / np.sqrt(np.outer(whole, whole))
    rows = asked.rows[locates]
    errors -= asked.matrix[np.ix_(rows, rows)]
    return Measured(places, np.sqrt(whole) / wanted, errors, np.sqrt(whole / MINUTES) / ticks)


def _edges() -> NDArray[np.int64]:
    """Seconds whose ends are the edges of minutes; the first one's is one late."""
    return np.concatenate(([0], np.arange(59, SECONDS, 60)))


def _known_minutes(symbol: Symbol) -> Floats:
    """1 for each minute in which the symbol traded throughout, and had both sides at its edges."""
    traded = symbol.trading.reshape(MINUTES, 60).min(axis=1)
    sided = symbol.two_sided[_edges()]
    known = np.array(traded & sided[1:] & sided[:-1], np.float64)
    # The return of the minute after a halt began in it.
    known[1:] *= traded[:-1]
    return known


def _without_rounding(found: float, tick: float, shares: Floats) -> float:
    """The day's variance of a price whose rounded returns have the squares' sum `found`; `tick` as
    a part of the price, `shares` of the variance that its minutes have.

    A return of variance s, in squared ticks, has on a grid one of
    s + 1/6 - sum over k of exp(-2 (pi k)**2 s) / (pi k)**2: at s = 0 nothing, soon s + 1/6.
    """
    squares = (np.pi * np.arange(1, _SERIES + 1)) ** 2
    low, high = 0.0, found / shares.sum()
    for _ in range(50):
        middle = (low + high) / 2
        sizes = middle * shares / tick**2
        rest = np.exp(-2 * np.outer(sizes, squares)) / squares
        at_zero = (1 / squares).sum()
        expected = tick**2 * (sizes + at_zero - rest.sum(axis=1)).sum()
        low, high = (middle, high) if expected < found else (low, middle)
    return (low + high) / 2


def asked_findings(asked: Asked, symbols: list[Symbol], measured: Measured) -> list[Finding]:
    """The rows of the table of facts about what was asked for."""
    ratios, errors = measured.volatilities, measured.errors
    pairs = np.triu_indices(len(ratios), 1)
    fine = measured.ticks >= TICKS_A_MINUTE
    inside = np.abs(ratios - 1) <= VOLATILITY_WITHIN
    shapes = [orders_u_shape(symbol) / asked.u_shape for symbol in symbols]
    size = max(1, len(symbols) // 5)
    volatility, correlation = "volatility, by what was asked", "correlation less what was asked"
    low, high = 1 - VOLATILITY_WITHIN, 1 + VOLATILITY_WITHIN
    findings = [
        Finding(volatility, _ROUNDING, "mean", _mean(ratios), low, high),
        Finding(volatility, _ROUNDING, "lowest", _ends(ratios[fine])[0], low, high),
        Finding(volatility, _ROUNDING, "highest", _ends(ratios[fine])[1], low, high),
        Finding("symbols within 5 % of it", _SOURCE, "all", _mean(inside), _SYMBOLS_INSIDE, 1),
    ]
    within = CORRELATION_WITHIN
    both_fine = np.outer(fine, fine)[pairs]
    for group, chosen in (("all", errors[pairs]), ("fine", errors[pairs][both_fine])):
        share = _mean(np.abs(chosen) <= within)
        findings += [
            Finding(correlation, _SOURCE, group, _mean(chosen), -within, within),
            Finding("pairs within 0.03 of it", _SOURCE, group, share, _PAIRS_INSIDE, 1),
        ]
    low, high = 1 - U_SHAPE_WITHIN, 1 + U_SHAPE_WITHIN
    for group, some in (("liquid", shapes[:size]), ("illiquid", shapes[-size:])):
        name = "U of activity, by what was asked"
        findings.append(Finding(name, _SOURCE, group, float(np.median(some)), low, high))
    return findings


def describe(asked: Asked, symbols: list[Symbol], measured: Measured) -> dict[str, Any]:
    """Figures about the symbols and pairs: worst ones, those that are coarse or left out, means of
    correlation asked and measured inside of sectors and across.
    """
    names = [asked.names[symbol.locate - 1] for symbol in symbols]
    chosen = [names[place] for place in measured.places]
    locates = np.array([symbols[place].locate - 1 for place in measured.places], np.int64)
    told: dict[str, Any] = {
        "left_out": sorted(set(names) - set(chosen)),
        "coarse": [
            name
            for name, ticks in zip(chosen, measured.ticks, strict=True)
            if ticks < TICKS_A_MINUTE
        ],
    }
    if len(chosen) < 2:
        return told
    rows, columns = np.triu_indices(len(chosen), 1)
    errors = measured.errors[rows, columns]
    away = np.abs(measured.volatilities - 1)
    told["worst_symbol"] = [chosen[away.argmax()], float(measured.volatilities[away.argmax()])]
    fine = measured.ticks >= TICKS_A_MINUTE
    both_fine = fine[rows] & fine[columns]
    for name, some in (("worst_pair", errors), ("worst_fine_pair", errors * both_fine)):
        worst = np.abs(some).argmax()
        told[name] = [chosen[rows[worst]], chosen[columns[worst]], float(some[worst])]
    matrix_rows = asked.rows[locates]
    wanted = asked.matrix[matrix_rows[rows], matrix_rows[columns]]
    sectors = np.array([asked.sectors[locate] for locate in locates])
    same = sectors[rows] == sectors[columns]
    for name, some in (("in_sectors", same), ("across_sectors", ~same)):
        told[name] = {
            "asked": _mean(wanted[some]),
            "measured": _mean((wanted + errors)[some]),
            "spread": float(errors[some].std()) if some.any() else float("nan"),
        }
    return told


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _ends(values: Floats) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (np.nan, np.nan)
