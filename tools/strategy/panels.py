"""What a plot shows: the session of some symbols, then from near what is wrong, missed, right."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tools.strategy.report import CLOSE_NS, OPEN_NS, clock_text
from tools.strategy.score import Score

_SESSIONS = 4
_NEAR = 9
_POINTS = 1_500
_PAD_NS = 250_000_000
Words = NDArray[np.int64]
_Event = tuple[int, tuple[int, int], str]


class Window(NamedTuple):
    """Something planted: from when until when (ns), and whether it was found."""

    begin_ns: int
    end_ns: int
    is_found: bool


class Mark(NamedTuple):
    """A detection: its time, price (1e-9), side (0: none), whether it is right, and words."""

    ts_ns: int
    price_e9: int
    side: int
    is_right: bool
    text: str


class Panel(NamedTuple):
    """One picture: best prices (1e-9) from each time (ns) on, and what lies over them."""

    title: str
    ts_ns: Words
    bid_e9: Words
    ask_e9: Words
    windows: Sequence[Window]
    marks: Sequence[Mark]


def choose_panels(found: Score, best: NDArray[np.void], names: Mapping[int, str]) -> list[Panel]:
    """Sessions of the symbols with most to show, then some events from near: wrong detections,
    what was missed, and what was found.
    """
    busy = Counter(each.instruments[0] for each in found.planted)
    busy.update(each.instruments[0] for each in found.detections)
    first_ns, last_ns = (int(best["ts_exch_ns"][at]) for at in (0, -1)) if len(best) else (0, 0)
    day = max(min(first_ns, CLOSE_NS), OPEN_NS), max(min(last_ns, CLOSE_NS), OPEN_NS)
    sessions = [
        _panel(found, best, number, day, f"{names.get(number, number)}, all day")
        for number, _ in busy.most_common(_SESSIONS)
    ]
    near = [
        _panel(found, best, number, times, f"{names.get(number, number)}, {title}")
        for number, times, title in _events(found)[:_NEAR]
    ]
    return [each for each in sessions + near if len(each.ts_ns)]


def _events(found: Score) -> list[_Event]:
    """(instrument, from and until, what it is) of events worth a look: a third of each kind."""
    wrong: list[_Event] = []
    missed: list[_Event] = []
    right: list[_Event] = []
    for each, at in zip(found.detections, found.of, strict=True):
        if at < 0:
            times = (each.ts_ns - 2 * _PAD_NS, each.ts_ns + 2 * _PAD_NS)
            wrong.append((each.instruments[0], times, f"wrong, {clock_text(each.ts_ns)}"))
    for first, planted in zip(found.first, found.planted, strict=True):
        last_ns = planted.end_ns if first < 0 else found.detections[first].ts_ns
        pad_ns = max(_PAD_NS, (max(last_ns, planted.end_ns) - planted.begin_ns) // 2)
        times = (planted.begin_ns - pad_ns, max(last_ns, planted.end_ns) + pad_ns)
        number = planted.instruments[0]
        if first >= 0:
            number = found.detections[first].instruments[0]
        what = "missed" if first < 0 else "found"
        title = f"{planted.kind} {what}, {clock_text(planted.begin_ns)}"
        (missed if first < 0 else right).append((number, times, title))
    few = _NEAR // 3
    return wrong[:few] + missed[:few] + right[: _NEAR - len(wrong[:few]) - len(missed[:few])]


def _panel(
    found: Score, best: NDArray[np.void], number: int, times: tuple[int, int], title: str
) -> Panel:
    begin_ns, end_ns = times
    mine = best[(best["instrument"] == number) & (best["bid_qty"] > 0) & (best["ask_qty"] > 0)]
    # From the quote on that stands at the beginning.
    first = int(np.searchsorted(mine["ts_exch_ns"], begin_ns, side="right"))
    mine = mine[max(first - 1, 0) : int(np.searchsorted(mine["ts_exch_ns"], end_ns, side="right"))]
    # As many points as a screen has columns; what is planted lies over them as it is.
    mine = mine[:: max(len(mine) // _POINTS, 1)]
    windows = [
        Window(max(each.begin_ns, begin_ns), min(each.end_ns, end_ns), first >= 0)
        for first, each in zip(found.first, found.planted, strict=True)
        if number in each.instruments and each.begin_ns <= end_ns and each.end_ns >= begin_ns
    ]
    marks = [
        Mark(
            each.ts_ns,
            _price(each.price_e9, mine, each.ts_ns),
            each.side,
            at >= 0,
            f"{clock_text(each.ts_ns)} {found.planted[at].kind if at >= 0 else 'of nothing'}"
            f" {' '.join(map(str, each.values))}",
        )
        for each, at in zip(found.detections, found.of, strict=True)
        if each.instruments[0] == number and begin_ns <= each.ts_ns <= end_ns
    ]
    columns = ("ts_exch_ns", "bid_price_e9", "ask_price_e9")
    ts_ns, bid_e9, ask_e9 = (np.append(mine[name], mine[name][-1:]) for name in columns)
    ts_ns = np.clip(ts_ns, begin_ns, end_ns)
    ts_ns[-1:] = end_ns
    return Panel(title, ts_ns, bid_e9, ask_e9, windows, marks)


def _price(price_e9: int, mine: NDArray[np.void], ts_ns: int) -> int:
    """That of the detection, or, where it has none, the bid at its time."""
    if price_e9 > 0 or not len(mine):
        return price_e9
    at = int(np.searchsorted(mine["ts_exch_ns"], ts_ns, side="right")) - 1
    return int(mine["bid_price_e9"][max(at, 0)])
