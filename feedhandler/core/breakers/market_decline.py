"""A decline of the whole market, after the market-wide circuit breakers of the US market.

The index is the mean, over the legs, of the last trade price in parts of the first one of the
session: it stands for the decline from the open, as nobody tells the close of the day before. A
decline of `level1_bps` or `level2_bps` (7 and 13 %) demands halt for `halt_ns` (15 minutes), each
once a day; from `late_ns` (15:25) on it demands caution instead, as trading goes on. One of
`level3_bps` (20 %) demands halt for the rest of the day. Before the first of them a decline of
`caution_bps` or `restrict_bps` demands that level. What the venue itself says
(MARKET_DECLINE_STATUS) counts as its level reached. No index is made of fewer than `quorum_pct` of
the legs.

Source: NYSE Rule 7.12, Nasdaq Rule 4121.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import breaker
from feedhandler.core.breakers.common import (
    CAUTION,
    DAY_NS,
    HALTED,
    NORMAL,
    RESTRICTED,
    in_session_nb,
    is_print_nb,
)
from feedhandler.core.events import E9_PER_E4, Kind
from protocols.jit import kernel

_LEVEL_1, _LEVEL_2, _LEVEL_3, _CAUTION_BPS, _RESTRICT_BPS = range(5)
_OPEN, _, _LATE, _HALT, _QUORUM_PCT = range(5, 10)

_SUM_E6, _KNOWN, _TAKEN, _DEMAND, _UNTIL_NS, _NOW_NS = range(6)
_REFERENCES = 8
LEGS_MAX = 60
"""Legs behind these are not in the index."""
_RATIOS = _REFERENCES + LEGS_MAX
_WORDS = _RATIOS + LEGS_MAX

_ONE_E6 = 1_000_000
_E6_PER_BPS = 100
# A leg counts for at most so many times its first price.
_RATIO_LIMIT_E6 = 4 * _ONE_E6
_PRICE_LIMIT_E4 = 1 << 40


@kernel
def _follow_leg_nb(
    state: NDArray[np.int64], legs: NDArray[np.int64], leg: int, price_e4: int
) -> None:
    """Take a trade of an instrument into the index, when it is one of the legs."""
    for at in range(min(len(legs), LEGS_MAX)):
        if legs[at] != leg:
            continue
        if state[_REFERENCES + at] == 0:
            state[_REFERENCES + at] = price_e4
            state[_KNOWN] += 1
        ratio_e6 = price_e4 * _ONE_E6 // state[_REFERENCES + at]
        ratio_e6 = min(ratio_e6, np.int64(_RATIO_LIMIT_E6))
        state[_SUM_E6] += ratio_e6 - state[_RATIOS + at]
        state[_RATIOS + at] = ratio_e6


@kernel
def _decline_bps_nb(state: NDArray[np.int64], count: int, quorum_pct: int) -> int:
    """How far the index is below its first value, 0 when too few legs have traded."""
    known = state[_KNOWN]
    if known == 0 or known * 100 < quorum_pct * count:
        return 0
    return max((_ONE_E6 - state[_SUM_E6] // known) // _E6_PER_BPS, np.int64(0))


@kernel
def _reached_nb(decline_bps: int, params: NDArray[np.int64]) -> int:
    """1, 2 or 3 by the decline, 0 below all of them; a threshold of 0 is never reached."""
    reached = np.int64(0)
    for level in range(3):
        if 0 < params[_LEVEL_1 + level] <= decline_bps:
            reached = np.int64(level + 1)
    return reached


@kernel
def _take_level_nb(
    state: NDArray[np.int64], reached: int, now_ns: int, params: NDArray[np.int64]
) -> None:
    """A level that is higher than any before begins to count."""
    if reached <= state[_TAKEN]:
        return
    state[_TAKEN] = reached
    state[_DEMAND] = HALTED
    state[_UNTIL_NS] = now_ns + params[_HALT]
    if reached == 3:
        state[_UNTIL_NS] = 2 * DAY_NS
    elif now_ns >= params[_LATE]:
        state[_DEMAND] = CAUTION


@kernel
def _early_level_nb(decline_bps: int, params: NDArray[np.int64]) -> int:
    """What a decline short of the first level demands."""
    if 0 < params[_RESTRICT_BPS] <= decline_bps:
        return RESTRICTED
    return CAUTION if 0 < params[_CAUTION_BPS] <= decline_bps else NORMAL


@breaker(
    "level1_bps",
    "level2_bps",
    "level3_bps",
    "caution_bps",
    "restrict_bps",
    "open_ns",
    "close_ns",
    "late_ns",
    "halt_ns",
    "quorum_pct",
    scope="market",
    legs=0,
    state_words=_WORDS,
)
def market_decline(
    ticks: Any,
    slot: int,
    market: Any,
    legs: Any,
    params: Any,
    state: Any,
    out: Any,
) -> int:
    """A level by the index; values: decline in basis points, the highest of the three levels so far
    today, legs that have traded. The price of a leg is that of its market row, so a late tick
    brings no old one.
    """
    tick = ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    # Only another day takes a level back: a venue's clock that steps does not.
    if now_ns < state[_NOW_NS] - DAY_NS // 2:
        for at in range(_WORDS):
            state[at] = 0
    state[_NOW_NS] = now_ns
    is_open = in_session_nb(now_ns, params, _OPEN)
    if tick["kind"] == Kind.MARKET_DECLINE_STATUS:
        told = np.int64(tick["status"]) - ord("0")
        if 1 <= told <= 3:
            _take_level_nb(state, told, now_ns, params)
    elif is_open and is_print_nb(ticks, slot):
        leg = np.int64(tick["instrument"])
        price_e4 = np.int64(market[leg]["last_price_e9"]) // E9_PER_E4
        if 0 < price_e4 <= _PRICE_LIMIT_E4:
            _follow_leg_nb(state, legs, leg, price_e4)
    decline_bps = _decline_bps_nb(state, min(len(legs), LEGS_MAX), params[_QUORUM_PCT])
    if is_open:
        _take_level_nb(state, _reached_nb(decline_bps, params), now_ns, params)
    out[2] = decline_bps
    out[3] = state[_TAKEN]
    out[4] = state[_KNOWN]
    if now_ns < state[_UNTIL_NS]:
        return state[_DEMAND]
    if state[_TAKEN] > 0 or not is_open:
        return NORMAL
    return _early_level_nb(decline_bps, params)
