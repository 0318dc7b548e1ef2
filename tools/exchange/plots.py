"""Plots as SVG text, as plain as they can be: a frame, its scales, and what is drawn in it."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 12, 28, 34
_TICKS = 5
_COLOURS = ("#1f5fa8", "#b8432f", "#3d7f3f", "#7a4ea3")

Floats = NDArray[np.float64]


class Series(NamedTuple):
    """One line of a plot."""

    name: str
    x: Floats
    y: Floats


def line_plot(
    title: str, x_label: str, series: Sequence[Series], *, log_y: bool = False, steps: bool = False
) -> str:
    """An SVG of lines with common scales; points that are not finite are left out, and with `log_y`
    those that are not above zero.
    """
    shown = [_known(each, log_y=log_y) for each in series]
    shown = [each for each in shown if len(each.x)]
    if not shown:
        return _frame(title, x_label, "<text x='80' y='120'>no data</text>")
    every_x = np.concatenate([each.x for each in shown])
    every_y = np.concatenate([each.y for each in shown])
    x_range = _range(every_x)
    y_range = _range(np.append(every_y, [] if log_y else [min(0.0, every_y.min())]))
    body = [_scales(x_range, y_range, log_y=log_y)]
    for i, each in enumerate(shown):
        colour = _COLOURS[i % len(_COLOURS)]
        x, y = _place(each, x_range, y_range)
        if steps:
            x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        body.append(f"<polyline fill='none' stroke='{colour}' points='{points}'/>")
        at = f"x='{WIDTH - _RIGHT - 6}' y='{_TOP + 14 + 14 * i}' text-anchor='end'"
        body.append(f"<text {at} fill='{colour}'>{html.escape(each.name)}</text>")
    return _frame(title, x_label, "".join(body))


def histogram(values: Floats, bins: int, lowest: float, highest: float) -> tuple[Floats, Floats]:
    """Middles of equal bins, and the density of `values` in each."""
    density, edges = np.histogram(values, bins, (lowest, highest), density=True)
    return (edges[1:] + edges[:-1]) / 2, density


def _known(series: Series, *, log_y: bool) -> Series:
    known = np.isfinite(series.x) & np.isfinite(series.y)
    if log_y:
        known &= series.y > 0
    y = series.y[known]
    return Series(series.name, series.x[known], np.log10(y) if log_y else y)


def _range(values: Floats) -> tuple[float, float]:
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return lowest - 0.5, highest + 0.5
    return lowest, highest


def _place(
    series: Series, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Floats, Floats]:
    across = (series.x - x_range[0]) / (x_range[1] - x_range[0])
    up = (series.y - y_range[0]) / (y_range[1] - y_range[0])
    return (
        _LEFT + across * (WIDTH - _LEFT - _RIGHT),
        HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM),
    )


def _scales(x_range: tuple[float, float], y_range: tuple[float, float], *, log_y: bool) -> str:
    parts = []
    for i in range(_TICKS):
        part = i / (_TICKS - 1)
        x = _LEFT + part * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM)
        at_x = x_range[0] + part * (x_range[1] - x_range[0])
        at_y = y_range[0] + part * (y_range[1] - y_range[0])
        number = f"{10**at_y:.3g}" if log_y else f"{at_y:.4g}"
        parts.append(
            f"<text x='{x:.0f}' y='{HEIGHT - 18}' text-anchor='middle'>{at_x:.4g}</text>"
            f"<text x='{_LEFT - 6}' y='{y + 4:.0f}' text-anchor='end'>{number}</text>"
            f"<line x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.0f}' y2='{y:.0f}' stroke='#ddd'/>"
        )
    return "".join(parts)


def _frame(title: str, x_label: str, body: str) -> str:
    under = f"x='{WIDTH // 2}' y='{HEIGHT - 4}' text-anchor='middle'"
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' role='img'>"
        f"<text x='{_LEFT}' y='18' font-weight='bold'>{html.escape(title)}</text>"
        f"<text {under}>{html.escape(x_label)}</text>{body}</svg>"
    )
