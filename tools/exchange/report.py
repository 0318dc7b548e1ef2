"""`exchange report`: a page with plots of a session, and the table of its stylised facts."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.asked import (
    TICKS_A_MINUTE,
    Measured,
    asked_findings,
    describe,
    load_asked,
    measure_asked,
)
from tools.exchange.facts import (
    Finding,
    Floats,
    Symbol,
    autocorrelation,
    correlation,
    measure,
    read_samples,
    sides,
    symbols_of,
    volatility_percent,
)
from tools.exchange.plots import Series, histogram, line_plot
from tools.exchange.sampling import ADDED, SECONDS, TRADED

_SHOWN = 4
"""Symbols in the plots of prices: one of each quarter by activity."""
_HOUR_S = 3_600
_OPEN_H = 9.5
_LAGS = np.array([1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 90, 120, 180, 240, 360])
_HORIZONS_S = np.array([1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 300])
_STYLE = (
    "body{font:14px sans-serif;max-width:1160px;margin:24px auto;padding:0 12px}"
    "svg{font-size:11px;margin:6px}table{border-collapse:collapse}"
    "td,th{padding:3px 10px;border-bottom:1px solid #ddd;text-align:left}"
    "td.n{text-align:right}.no{color:#b8432f;font-weight:bold}"
)


def report_file(path: Path, page: Path) -> dict[str, Any]:
    """Measure the session in `path` and write a page about it to `page`; what was found. Where the
    truth beside it tells what was asked for, it is held against that too.

    UserError when one cannot be read or the other cannot be written.
    """
    symbols = symbols_of(read_samples(path))
    findings = measure(symbols)
    told: dict[str, Any] = {}
    asked, measured = load_asked(path), None
    if asked is not None:
        measured = measure_asked(asked, symbols)
        findings += asked_findings(asked, symbols, measured)
        told = {"asked": describe(asked, symbols, measured)}
    try:
        page.write_text(_page(path.name, symbols, findings, measured), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{page}: {error.strerror}", ExitCode.CANNOT_WRITE) from None
    return {
        "symbols": len(symbols),
        "facts": [finding._asdict() | {"holds": finding.holds} for finding in findings],
        "facts_that_hold": sum(finding.holds for finding in findings),
        **told,
    }


def format_finding(finding: dict[str, Any]) -> str:
    """One line of the table on the terminal."""
    verdict = "holds" if finding["holds"] else "DOES NOT HOLD"
    limits = f"{_number(finding['lowest'])} to {_number(finding['highest'])}"
    return (
        f"{finding['name']:54}{finding['group']:10}{finding['value']:>9.3f}  {limits:16}{verdict}"
    )


def _number(value: float) -> str:
    return "any" if value >= 1e9 else f"{value:g}"


def _page(
    name: str, symbols: list[Symbol], findings: list[Finding], measured: Measured | None
) -> str:
    size = max(1, len(symbols) // 5)
    liquid, illiquid = symbols[:size], symbols[-size:]
    title = f"Session {html.escape(name)}"
    plots = "".join(
        (
            _prices(symbols),
            _activity(symbols),
            _spreads(symbols),
            _returns(liquid),
            _correlograms(liquid, illiquid),
            _sides(liquid),
            _signature(liquid, illiquid),
            _correlations(symbols),
            _asked(measured) if measured is not None else "",
        )
    )
    return (
        f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>Market hours of {len(symbols)} symbols; liquid and illiquid are the"
        f" fifths with the most and the fewest orders, and figures are medians over them.</p>"
        f"{_table(findings)}{plots}"
    )


def _table(findings: list[Finding]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(finding.name)}</td><td>{finding.group}</td>"
        f"<td class='n'>{finding.value:.3f}</td>"
        f"<td>{_number(finding.lowest)} to {_number(finding.highest)}</td>"
        f"<td{'' if finding.holds else ' class=no'}>{'holds' if finding.holds else 'does not'}</td>"
        f"<td>{html.escape(finding.source)}</td></tr>"
        for finding in findings
    )
    head = "".join(
        f"<th>{each}</th>" for each in ("fact", "group", "value", "limits", "", "source")
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _hours(seconds: NDArray[np.int64]) -> Floats:
    return np.asarray(_OPEN_H + seconds / _HOUR_S, np.float64)


def _prices(symbols: list[Symbol]) -> str:
    at = np.arange(0, SECONDS, 60)
    series = []
    for rank in range(0, len(symbols), max(1, -(-len(symbols) // _SHOWN))):
        logs = symbols[rank].logs
        series.append(Series(f"rank {rank + 1}", _hours(at), np.exp(logs[at] - logs[0])))
    return line_plot("Middle prices, by the first one", "hour of the day", series)


def _activity(symbols: list[Symbol]) -> str:
    counts = np.sum([each.counts for each in symbols], axis=0).reshape(-1, 300, 3).sum(axis=1)
    hours = _hours(np.arange(len(counts)) * 300)
    shapes = [(name, counts[:, kind].astype(float)) for name, kind in _KINDS]
    series = [Series(name, hours, count / max(count.mean(), 1e-9)) for name, count in shapes]
    return line_plot("Activity in five minutes, by its mean", "hour", series, steps=True)


_KINDS = (("orders", ADDED), ("executions", TRADED))


def _spreads(symbols: list[Symbol]) -> str:
    size = max(1, len(symbols) // 5)
    series = []
    for name, group in (("liquid", symbols[:size]), ("illiquid", symbols[-size:])):
        values = np.concatenate([each.spreads_ticks for each in group])
        x, y = histogram(values, 30, 0.5, 30.5)
        series.append(Series(name, x, y))
    return line_plot("Spread", "ticks", series, log_y=True, steps=True)


def _returns(symbols: list[Symbol]) -> str:
    series = []
    for seconds in (1, 60, 300):
        scaled = [each.returns(seconds) for each in symbols]
        moving = [each / each.std() for each in scaled if each.std()]
        values = np.concatenate(moving or [np.zeros(1)])
        x, y = histogram(values, 60, -8, 8)
        series.append(Series(f"{seconds} s", x, y))
    x = np.linspace(-4.5, 4.5, 61)
    series.append(Series("normal", x, np.exp(-x * x / 2) / np.sqrt(2 * np.pi)))
    return line_plot("Returns, by their standard deviation", "deviations", series, log_y=True)


def _median_of(symbols: list[Symbol], measured: Callable[[Symbol], list[float]]) -> Floats:
    values = np.array([measured(each) for each in symbols])
    known: Floats = np.nanmedian(np.where(np.isfinite(values), values, np.nan), axis=0)
    return known


def _correlograms(liquid: list[Symbol], illiquid: list[Symbol]) -> str:
    lags = _LAGS.astype(float) * 10
    plain = _median_of(liquid, lambda s: [autocorrelation(s.returns(10), int(i)) for i in _LAGS])
    series = [Series("returns, liquid", lags, plain)]
    for name, group in (("absolute, liquid", liquid), ("absolute, illiquid", illiquid)):
        moves = _median_of(
            group, lambda s: [autocorrelation(np.abs(s.returns(10)), int(i)) for i in _LAGS]
        )
        series.append(Series(name, lags, moves))
    return line_plot("Autocorrelation of 10 s returns", "lag, s", series)


def _sides(liquid: list[Symbol]) -> str:
    def memory(symbol: Symbol) -> list[float]:
        signs = sides(symbol)
        return [autocorrelation(signs, int(lag)) for lag in _LAGS[:13]]

    series = [Series("liquid", _LAGS[:13].astype(float), _median_of(liquid, memory))]
    return line_plot("Autocorrelation of the sides of trades", "lag, trades", series)


def _signature(liquid: list[Symbol], illiquid: list[Symbol]) -> str:
    series = []
    for name, group in (("liquid", liquid), ("illiquid", illiquid)):
        values = _median_of(
            group,
            lambda s: [
                volatility_percent(s, int(h)) / max(volatility_percent(s, 300), 1e-9)
                for h in _HORIZONS_S
            ],
        )
        series.append(Series(name, _HORIZONS_S.astype(float), values))
    return line_plot("Signature: volatility by that of 300 s", "horizon, s", series)


def _correlations(symbols: list[Symbol]) -> str:
    found = correlation(symbols)
    if found.ndim < 2 or len(found) < 2:
        return ""
    values = found[np.triu_indices(len(found), 1)]
    x, y = histogram(values, 40, -0.2, 1.0)
    series = [Series("pairs", x, y)]
    return line_plot("Correlations of 60 s returns", "correlation", series, steps=True)


def _asked(measured: Measured) -> str:
    """How far pairs are from the correlation that was asked for."""
    count = len(measured.places)
    if count < 2:
        return ""
    rows, columns = np.triu_indices(count, 1)
    errors = measured.errors[rows, columns]
    is_fine = (measured.ticks >= TICKS_A_MINUTE)[rows] & (measured.ticks >= TICKS_A_MINUTE)[columns]
    series = []
    for name, some in (("all pairs", errors), ("both move 3 ticks a minute", errors[is_fine])):
        if len(some):
            x, y = histogram(some, 41, -0.1025, 0.1025)
            series.append(Series(name, x, y))
    title = "Correlations of 60 s returns, less what was asked"
    return line_plot(title, "correlation", series, steps=True)
