"""Bars and price statistics from the list of all trades."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

FAR_BACK_NS = 10 * 10**9


class Trade(NamedTuple):
    """A printed trade; `qty` 0 is a tick that is none."""

    ts_ns: int
    price_e9: int
    qty: int


Row = tuple[int, ...]


def _row(number: int, start_ns: int, end_ns: int, trades: list[Trade]) -> Row:
    prices = [trade.price_e9 for trade in trades]
    volume = sum(trade.qty for trade in trades)
    notional_e4 = sum(trade.price_e9 // 100_000 * trade.qty for trade in trades)
    ohlc = (prices[0], max(prices), min(prices), prices[-1])
    vwap_e9 = notional_e4 // volume * 100_000
    return (number, start_ns, end_ns, *ohlc, volume, vwap_e9, len(trades))


def _periods(ticks: list[Trade], length_ns: int) -> Iterator[tuple[int, list[Trade]]]:
    """Ticks by period; those whose stamps go back stay in the present one, unless far back."""
    number, found = -1, list[Trade]()
    for tick in ticks:
        own = tick.ts_ns // length_ns
        is_far_back = number * length_ns - tick.ts_ns >= FAR_BACK_NS
        if own > number or is_far_back:
            if found:
                yield number, found
            number, found = own, []
        found.append(tick)
    if found:
        yield number, found


def time_bars(ticks: list[Trade], length_ns: int) -> tuple[list[Row], Row | None]:
    """Bars that are over, and the present one if it has trades."""
    rows = []
    for number, found in _periods(ticks, length_ns):
        trades = [trade for trade in found if trade.qty]
        start_ns = number * length_ns
        rows.append(_row(number, start_ns, start_ns + length_ns, trades) if trades else None)
    present = rows.pop() if rows else None
    return [row for row in rows if row], present


def volume_bars(ticks: list[Trade], size: int) -> tuple[list[Row], Row | None]:
    """The same of bars of `size`: every trade is laid behind those before it, and cut at each
    multiple of the size.
    """
    ends = [0]
    for tick in ticks:
        ends.append(ends[-1] + tick.qty)
    rows = []
    for number in range(-(-ends[-1] // size)):
        first, last = number * size, (number + 1) * size
        parts = [
            tick._replace(qty=min(end, last) - max(start, first))
            for tick, (start, end) in zip(ticks, pairwise(ends), strict=True)
            if tick.qty and start < last and end > first
        ]
        rows.append(_row(number, parts[0].ts_ns, parts[-1].ts_ns, parts))
    present = rows.pop() if ends[-1] % size else None
    return rows, present


def price_stats(ticks: list[Trade]) -> Row | None:
    """(least, highest, average, trades, duration) since time last went far back."""
    trades: list[Trade] = []
    for trade in ticks:
        if trade.qty:
            if trades and max(each.ts_ns for each in trades) - trade.ts_ns >= FAR_BACK_NS:
                trades.clear()
            trades.append(trade)
    if not trades:
        return None
    prices = [trade.price_e9 for trade in trades]
    average_e9 = sum(price // 100_000 for price in prices) * 100_000 // len(prices)
    duration_ns = max(trade.ts_ns for trade in trades) - trades[0].ts_ns
    return min(prices), max(prices), average_e9, len(prices), duration_ns
