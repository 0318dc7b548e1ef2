"""The same panels as a PNG, by matplotlib."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.strategy.panels import Panel
from tools.strategy.report import clock_text

_INCHES = (10.0, 3.2)
_MARKERS = {1: "^", -1: "v", 0: "D"}


def write_png(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """One picture above the other."""
    rows = max(len(panels), 1)
    figure = Figure(figsize=(_INCHES[0], _INCHES[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for place, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, 1, place)
        seconds = panel.ts_ns / 1e9
        axes.set_title(panel.title, loc="left", fontsize=10)
        axes.step(seconds, panel.bid_e9 / 1e9, where="post", linewidth=0.8, label="bid")
        axes.step(seconds, panel.ask_e9 / 1e9, where="post", linewidth=0.8, label="ask")
        for each in panel.windows:
            colour = "gold" if each.is_found else "red"
            axes.axvspan(each.begin_ns / 1e9, each.end_ns / 1e9, color=colour, alpha=0.3)
        for mark in panel.marks:
            colour = "green" if mark.is_right else "red"
            at = mark.ts_ns / 1e9, mark.price_e9 / 1e9
            axes.plot(*at, _MARKERS[mark.side], color=colour, markersize=7)
        axes.xaxis.set_major_formatter(lambda at, _: clock_text(int(at * 1e9))[:-3])
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=100)
