"""A price band around a moving reference, after the Limit Up-Limit Down plan of the US market.

The reference is the first trade price, then the mean of the trade prices of the last `window_ns`:
it moves when that mean is `step_bps` away, and at most once in `hold_ns`. An auction's price is a
new reference at once. The band is that of the plan by `tier` and reference, doubled in the first
`opening_ns` and last `closing_ns` of the session, or `band_bps` where that is not 0. A trade that
is more than `caution_pct`, `restrict_pct` or `halt_pct` of the band away demands that level, until
a trade is nearer. A demand that lasts `window_ns` ends with a new reference: the next trade, as
the reopening price is after a pause.

Source: Plan to Address Extraordinary Market Volatility, sections I and V, Appendix A (Amendment 18
ended the doubling after the open, so `opening_ns` is 0 by default).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breaker_machine import BACK_NS
from feedhandler.core.breakers.common import (
    CAUTION,
    HALTED,
    NORMAL,
    RESTRICTED,
    in_session_nb,
    is_print_nb,
)
from feedhandler.core.events import E9_PER_E4, Kind
from protocols.jit import kernel

_TIER, _BAND_BPS, _CAUTION_PCT, _RESTRICT_PCT, _HALT_PCT = range(5)
_WINDOW, _HOLD, _STEP_BPS, _OPEN, _CLOSE, _OPENING, _CLOSING = range(5, 12)

_REFERENCE_E4, _REFERENCE_NS, _SEQ, _NOW_NS, _LEVEL, _OUTSIDE_NS = range(6)
_BUCKET, _SUM_E4, _COUNT = range(6, 9)
_SUMS = 16
_BUCKETS = 30
_COUNTS = _SUMS + _BUCKETS
_WORDS = _COUNTS + _BUCKETS

_BPS = 10_000
_PRICE_LIMIT_E4 = 1 << 36
# With the limit of the price 30 buckets stay below 2**61.
_BUCKET_TRADES_MAX = 1 << 20
_THREE_E4 = 30_000
_LOW_E4 = 7_500
_LOW_BAND_E4 = 1_500
# A trade counts in the mean as if it were at most so many bands away: one wild print moves nothing.
_BANDS_IN_MEAN = 2


@kernel
def band_e4_nb(reference_e4: int, now_ns: int, params: NDArray[np.int64]) -> int:
    """How far from the reference a trade may be, 1e-4, at least 1."""
    doubled = (
        now_ns < params[_OPEN] + params[_OPENING] or now_ns >= params[_CLOSE] - params[_CLOSING]
    )
    if params[_BAND_BPS] > 0:
        band_e4 = reference_e4 * params[_BAND_BPS] // _BPS
    elif reference_e4 > _THREE_E4:
        is_first = params[_TIER] == 1
        band_e4 = reference_e4 // 20 if is_first else reference_e4 // 10
        doubled = doubled and (is_first or now_ns < params[_OPEN] + params[_OPENING])
    elif reference_e4 >= _LOW_E4:
        band_e4 = reference_e4 // 5
    else:
        band_e4 = min(np.int64(_LOW_BAND_E4), reference_e4 * 3 // 4)
    return max(band_e4 * 2 if doubled else band_e4, np.int64(1))


@kernel
def _forget_trades_nb(state: NDArray[np.int64]) -> None:
    for at in range(_BUCKET, _WORDS):
        state[at] = 0


@kernel
def _anchor_nb(state: NDArray[np.int64], price_e4: int, now_ns: int) -> None:
    """A new reference that stands by itself; 0: the next trade's price."""
    _forget_trades_nb(state)
    state[_REFERENCE_E4] = price_e4
    state[_REFERENCE_NS] = now_ns
    state[_LEVEL] = NORMAL
    state[_OUTSIDE_NS] = 0


@kernel
def _add_trade_nb(state: NDArray[np.int64], price_e4: int, now_ns: int, window_ns: int) -> None:
    """Into the bucket of its time, when that is still in the window."""
    bucket = now_ns // max(window_ns // _BUCKETS, np.int64(1))
    newest = state[_BUCKET]
    for step in range(min(bucket - newest, np.int64(_BUCKETS))):
        place = (newest + 1 + step) % _BUCKETS
        state[_SUM_E4] -= state[_SUMS + place]
        state[_COUNT] -= state[_COUNTS + place]
        state[_SUMS + place] = 0
        state[_COUNTS + place] = 0
    state[_BUCKET] = max(newest, bucket)
    place = bucket % _BUCKETS
    if newest - bucket < _BUCKETS and state[_COUNTS + place] < _BUCKET_TRADES_MAX:
        state[_SUMS + place] += price_e4
        state[_COUNTS + place] += 1
        state[_SUM_E4] += price_e4
        state[_COUNT] += 1


@kernel
def _move_reference_nb(state: NDArray[np.int64], now_ns: int, params: NDArray[np.int64]) -> None:
    if state[_COUNT] == 0 or now_ns - state[_REFERENCE_NS] < params[_HOLD]:
        return
    mean_e4 = state[_SUM_E4] // state[_COUNT]
    reference_e4 = state[_REFERENCE_E4]
    moved = abs(mean_e4 - reference_e4)
    if moved > 0 and moved * _BPS >= params[_STEP_BPS] * reference_e4:
        state[_REFERENCE_E4] = max(mean_e4, np.int64(1))
        state[_REFERENCE_NS] = now_ns


@kernel
def _see_trade_nb(
    state: NDArray[np.int64], price_e4: int, now_ns: int, params: NDArray[np.int64]
) -> int:
    """The level that a trade demands by the reference before it, which it may move."""
    reference_e4 = state[_REFERENCE_E4]
    if reference_e4 == 0:
        _anchor_nb(state, price_e4, now_ns)
        _add_trade_nb(state, price_e4, now_ns, params[_WINDOW])
        return NORMAL
    band_e4 = band_e4_nb(reference_e4, now_ns, params)
    away = abs(price_e4 - reference_e4) * 100
    level = NORMAL
    if 0 < params[_HALT_PCT] * band_e4 < away:
        level = HALTED
    elif 0 < params[_RESTRICT_PCT] * band_e4 < away:
        level = RESTRICTED
    elif 0 < params[_CAUTION_PCT] * band_e4 < away:
        level = CAUTION
    reach_e4 = band_e4 * _BANDS_IN_MEAN
    counted_e4 = min(max(price_e4, reference_e4 - reach_e4), reference_e4 + reach_e4)
    _add_trade_nb(state, counted_e4, now_ns, params[_WINDOW])
    _move_reference_nb(state, now_ns, params)
    return level


@breaker(
    "tier",
    "band_bps",
    "caution_pct",
    "restrict_pct",
    "halt_pct",
    "window_ns",
    "hold_ns",
    "step_bps",
    "open_ns",
    "close_ns",
    "opening_ns",
    "closing_ns",
    scope="instrument",
    state_words=_WORDS,
    kinds=("execute", "execute_at_price", "trade", "cross_trade"),
    begins_anew=("window_ns",),
)
def price_band(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the newest trade's distance from the reference; values: trade price, reference
    before it (both 1e-9), distance in basis points.

    A trade that comes late is judged too, but only adds to the demand.
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    if now_ns < state[_NOW_NS] - BACK_NS:
        _anchor_nb(state, 0, 0)
        state[_SEQ] = 0
        state[_NOW_NS] = 0
    is_late = np.int64(tick["seq"]) < state[_SEQ]
    state[_SEQ] = max(state[_SEQ], np.int64(tick["seq"]))
    state[_NOW_NS] = max(state[_NOW_NS], now_ns)
    if not in_session_nb(now_ns, params, _OPEN):
        _anchor_nb(state, 0, 0)
        return NORMAL
    if state[_OUTSIDE_NS] > 0 and state[_NOW_NS] - state[_OUTSIDE_NS] >= params[_WINDOW]:
        _anchor_nb(state, 0, 0)
    price_e4 = np.int64(tick["price_e9"]) // E9_PER_E4
    if price_e4 <= 0 or price_e4 > _PRICE_LIMIT_E4:
        return state[_LEVEL]
    if tick["kind"] == Kind.CROSS_TRADE and tick["qty"] > 0:
        _anchor_nb(state, price_e4, now_ns)
    elif is_print_nb(ticks, slot):
        reference_e4 = state[_REFERENCE_E4]
        level = _see_trade_nb(state, price_e4, now_ns, params)
        state[_LEVEL] = max(level, state[_LEVEL]) if is_late else level
        if state[_LEVEL] == NORMAL:
            state[_OUTSIDE_NS] = 0
        elif state[_OUTSIDE_NS] == 0:
            state[_OUTSIDE_NS] = max(now_ns, np.int64(1))
        out[2] = price_e4 * E9_PER_E4
        out[3] = reference_e4 * E9_PER_E4
        out[4] = abs(price_e4 - reference_e4) * _BPS // max(reference_e4, np.int64(1))
    return state[_LEVEL]
