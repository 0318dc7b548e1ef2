"""The plot of a strategy test: an HTML page that needs no network, or a PNG where matplotlib is."""

import html
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from feedhandler.server.configfile import check_writable
from feedhandler.server.errors import ExitCode, UserError
from tools.strategy.panels import Panel, Words, choose_panels
from tools.strategy.play import Played
from tools.strategy.report import clock_text
from tools.strategy.score import Score

WIDTH, HEIGHT = 860, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 14, 28, 26
_LINES = 5
_BID, _ASK, _GOOD, _BAD, _WINDOW = "#1f5fa8", "#b8732f", "#2f8f3f", "#c02f2f", "#e8dfa8"
_KEY = (
    "Best bid and ask. Shaded: planted, red edge where it was missed. Triangles: detections that"
    " buy or sell, diamonds: without a side; green is right, red is of nothing planted. The text of"
    " a mark comes when the pointer rests on it."
)


def check_plot(path: Path) -> None:
    """UserError for a file that could not be written, before anything takes time."""
    if path.suffix not in {".html", ".png"}:
        raise UserError(f"--plot {path}: name a file that ends in .html or .png", ExitCode.USAGE)
    check_writable(str(path), "--plot")
    if path.suffix == ".png" and importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            f"--plot {path}: a PNG needs matplotlib, which is not installed: pip install"
            " 'feedhandler[plot]', or name an .html file",
            ExitCode.USAGE,
        )


def write_plot(path: Path, result: Mapping[str, Any], played: Played, found: Score) -> None:
    """Write prices with what was planted and what was found."""
    names = {number: symbol for symbol, number in played.instruments.items()}
    panels = choose_panels(found, played.best, names)
    title = f"{result['function']} on {result['tape']}"
    if path.suffix == ".png":
        from tools.strategy.png import write_png  # noqa: PLC0415 - the only one that needs more

        write_png(path, title, panels)
        return
    path.write_text(_page(title, result, panels), encoding="utf-8")


def _page(title: str, result: Mapping[str, Any], panels: list[Panel]) -> str:
    shown = ("detections", "right", "wrong", "precision", "recall", "wrong_per_symbol_hour")
    facts = "  ".join(f"{name.replace('_', ' ')}: {result.get(name)}" for name in shown)
    pictures = "\n".join(_svg(each) for each in panels) or "<p>Nothing to show.</p>"
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title>"
        "<style>body{font:14px sans-serif;margin:24px}svg{display:block;margin:12px 0;"
        "font:11px sans-serif}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(facts)}</p><p>{_KEY}</p>\n{pictures}</html>\n"
    )


def _svg(panel: Panel) -> str:
    """A frame with scales, what was planted, both prices, and marks."""
    x_range = int(panel.ts_ns[0]), int(panel.ts_ns[-1])
    marked = [mark.price_e9 for mark in panel.marks]
    low = min([int(panel.bid_e9.min()), *marked])
    high = max([int(panel.ask_e9.max()), *marked])
    y_range = low - (high - low) // 20 - 1, high + (high - low) // 20 + 1
    body = [_windows(panel, x_range), _scales(x_range, y_range)]
    for prices, colour in ((panel.bid_e9, _BID), (panel.ask_e9, _ASK)):
        x, y = _across(panel.ts_ns, x_range), _up(prices, y_range)
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        body.append(f"<polyline fill='none' stroke='{colour}' points='{points}'/>")
    for mark in panel.marks:
        x = _across(np.array([mark.ts_ns]), x_range)[0]
        y = _up(np.array([mark.price_e9]), y_range)[0]
        colour = _GOOD if mark.is_right else _BAD
        text = f"<title>{html.escape(mark.text)}</title>"
        body.append(f"<path d='{_shape(x, y, mark.side)}' fill='{colour}'>{text}</path>")
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' role='img'>"
        f"<text x='{_LEFT}' y='18' font-weight='bold'>{html.escape(panel.title)}</text>"
        f"{''.join(body)}</svg>"
    )


def _shape(x: float, y: float, side: int) -> str:
    if side == 0:
        return f"M{x:.1f} {y - 6:.1f} l6 6 l-6 6 l-6 -6 z"
    return f"M{x:.1f} {y:.1f} l-5 {9 * side} l10 0 z"


def _windows(panel: Panel, x_range: tuple[int, int]) -> str:
    parts = []
    for each in panel.windows:
        ends = np.clip(np.array([each.begin_ns, each.end_ns]), *x_range)
        begin, end = _across(ends, x_range)
        edge = "" if each.is_found else f" stroke='{_BAD}'"
        parts.append(
            f"<rect x='{begin:.1f}' y='{_TOP}' width='{max(end - begin, 1.5):.1f}'"
            f" height='{HEIGHT - _TOP - _BOTTOM}' fill='{_WINDOW}'{edge}/>"
        )
    return "".join(parts)


def _scales(x_range: tuple[int, int], y_range: tuple[int, int]) -> str:
    parts = []
    for i in range(_LINES):
        share = i / (_LINES - 1)
        ts_ns = x_range[0] + int(share * (x_range[1] - x_range[0]))
        price_e9 = y_range[0] + share * (y_range[1] - y_range[0])
        x = _LEFT + share * (WIDTH - _LEFT - _RIGHT)
        y = HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
        anchor = ("start", "middle", "middle", "middle", "end")[i]
        parts.append(
            f"<text x='{x:.0f}' y='{HEIGHT - 8}' text-anchor='{anchor}'>{clock_text(ts_ns)[:-3]}"
            f"</text><text x='{_LEFT - 6}' y='{y + 4:.0f}' text-anchor='end'>{price_e9 / 1e9:.4f}"
            f"</text><line x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.0f}' y2='{y:.0f}'"
            " stroke='#ddd'/>"
        )
    return "".join(parts)


def _across(ts_ns: Words, x_range: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    share = (ts_ns - x_range[0]) / max(x_range[1] - x_range[0], 1)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _up(prices: Words, y_range: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    share = (prices - y_range[0]) / (y_range[1] - y_range[0])
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)
