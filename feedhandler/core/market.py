"""What is known of an instrument: the rows that a user's function reads, and the state that they
are made from (`features.py`). Memory only; all integers, 0 where nothing is known yet.

    state[instrument] ──► rows[slot], beside ticks[slot] ──► market[instrument]
    thread that receives, in sequence with the book          worker, which only moves forward

`docs/analytics.md` has the formula and the bounds of each field.
"""

import math
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.lines import zeros
from protocols.by_reference import by_reference

MARKET = np.dtype(
    [
        ("seq", "i8"),
        ("ts_exch_ns", "i8"),
        ("bid_price_e9", "i8"),
        ("bid_qty", "i8"),
        ("ask_price_e9", "i8"),
        ("ask_qty", "i8"),
        ("mid_e9", "i8"),
        ("last_price_e9", "i8"),
        ("last_qty", "i8"),
        ("last_side", "i8"),
        ("volume", "i8"),
        ("vwap_e9", "i8"),
        ("volatility_e9", "i8"),
        ("realised_e9", "i8"),
        ("imbalance_bps", "i8"),
        ("depth_imbalance_bps", "i8"),
        ("spread_z_e3", "i8"),
        ("mid_z_e3", "i8"),
        ("message_rate", "i8"),
        ("message_rate_z_e3", "i8"),
        ("trade_rate", "i8"),
        ("flags", "i8"),
        ("level", "i8"),
        ("epoch", "i8"),
    ]
)
"""An instrument after the tick `seq` of it, three cache lines.

seq, ts_exch_ns      of the tick; ns since midnight of the venue
bid_*, ask_*         best prices and what stands there; 0 and 0: that side is empty
mid_e9               their mean; 0 while one side is missing
last_*               newest printed trade; last_side +1: the buyer took, -1: the seller, 0: unknown
volume, vwap_e9      of all printed trades
volatility_e9        EWMA of squared returns of the mid, for each change, square root, as in TICK
realised_e9          square root of the sum of squared returns of the mid in the last window
imbalance_bps        (bid - ask) / (bid + ask) of the quantities at the touch, -10,000 .. 10,000
depth_imbalance_bps  the same of the best levels together
spread_z_e3, mid_z_e3, message_rate_z_e3
                     distance from its own EWMA mean, in standard deviations / 1,000
message_rate, trade_rate
                     a second, EWMA in event time
flags                bits, see MarketFlag
level                of the worst breaker, a BreakerLevel: the worker's own, no row brings it
epoch                how often the books were replaced as a whole by then; the engine's own"""


class Look(IntEnum):
    """How much of the rows is kept, by what the users' functions look at."""

    NOWHERE = 0
    PRICES = 1
    """What a tick tells by itself: PRICE_FIELDS."""
    ANALYTICS = 2
    """All of it."""


PRICE_FIELDS = frozenset(
    {
        *("seq", "ts_exch_ns", "bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty", "mid_e9"),
        *("vwap_e9", "volatility_e9", "flags", "level", "epoch"),
    }
)


class MarketFlag(IntEnum):
    """Bits of `flags` in a MARKET row."""

    IN_DOUBT = 1
    """The channel was not live: the book may be wrong."""
    HALTED = 2
    """The instrument is not trading."""


FEATURE_STATE = np.dtype(
    [
        *((name, "i8") for name in MARKET.names or ()),
        ("next_ns", "i8"),
        ("clock_ns", "i8"),
        ("message_sum_q16", "i8"),
        ("trade_sum_q16", "i8"),
        ("rate_q4", "i8"),
        ("rate_mean_q12", "i8"),
        ("rate_deviation_q4", "i8"),
        ("rate_samples", "i8"),
        ("twice_mid_e4", "i8"),
        ("mid_mean_q12", "i8"),
        ("mid_deviation_q4", "i8"),
        ("spread_mean_q12", "i8"),
        ("spread_deviation_q4", "i8"),
        ("quote_samples", "i8"),
        ("bucket_e18", "i8"),
        ("realised_e18", "i8"),
        ("bid_depth", "i8"),
        ("ask_depth", "i8"),
        ("bid_depth_price_e9", "i8"),
        ("ask_depth_price_e9", "i8"),
        ("decay_end_ns", "i8"),
        ("sample_end_ns", "i8"),
        ("bucket_end_ns", "i8"),
        ("rate_variance_q8", "i8"),
        ("mid_variance_q8", "i8"),
        ("spread_variance_q8", "i8"),
        ("spare_0", "i8"),
        ("spare_1", "i8"),
        ("spare_2", "i8"),
        ("spare_3", "i8"),
        ("spare_4", "i8"),
        ("spare_5", "i8"),
    ]
)
"""An instrument's row, then what it is made from, seven cache lines; `_q4` has 4 binary digits.

next_ns                earliest of the three ends
clock_ns               event time so far: it stands while stamps go back
*_sum_q16              messages and trades, decayed by half each half-life
rate_*, mid_*, spread_* EWMA mean, variance and standard deviation of what is sampled: messages a
                       second in sixteenths, twice the mid and the spread in 1e-4
*_samples              how many were taken
twice_mid_e4           bid + ask when both were last there
bucket_e18             squared returns of the present part of the window, realised_e18 of all parts
*_depth                quantity of the best levels together
*_depth_price_e9       price of the last of these levels; 0: there are fewer; DEPTH_UNKNOWN
decay_end_ns, sample_end_ns, bucket_end_ns
                       when the next of each is due"""

DEPTH_UNKNOWN = -1
"""`*_depth_price_e9` where the book was replaced as a whole: the next tick looks it up."""

BUCKETS = 8
"""Parts of the window of the realised variance."""

DECAY_STEPS = 64
"""Steps of the decay of a rate in each half-life."""
DECAY_BITS = 20
RATE_BITS = 20

_LINE_BYTES = 64
_MARKET_BYTES = 192
if MARKET.itemsize != _MARKET_BYTES or FEATURE_STATE.itemsize % _LINE_BYTES:
    raise AssertionError(f"sizes changed: {MARKET.itemsize}, {FEATURE_STATE.itemsize} bytes")


class Span(IntEnum):
    """Words of `spans`: what `FeatureSettings` says, and what follows from it."""

    BUCKET_NS = 0
    DECAY_NS = 1
    SAMPLE_NS = 2
    MEMORY_SHIFT = 3
    MID_FLOOR_Q4 = 4
    SPREAD_FLOOR_Q4 = 5
    RATE_FLOOR_Q4 = 6
    DEPTH_LEVELS = 7
    RATE_FACTOR = 8
    """Messages a second for each in the decayed sum, RATE_BITS binary digits."""


SPAN_WORDS = 16


class FeatureSettings(NamedTuple):
    """Windows of the analytics; the same for all instruments."""

    realised_ns: int = 60_000_000_000
    """Window of `realised_e9`."""
    half_life_ns: int = 1_000_000_000
    """After so long without a message a rate is half of what it was."""
    sample_ns: int = 100_000_000
    """How often mean and variance of the z-scores take a sample."""
    memory_shift: int = 9
    """They remember 2**memory_shift samples."""
    mid_floor_e4: int = 50
    """A smaller standard deviation of the mid counts as this one."""
    spread_floor_e4: int = 50
    rate_floor: int = 1
    """The same of the messages a second."""
    depth_levels: int = 5


LIMITS = {
    "realised_ns": (1_000_000, 1 << 50),
    "half_life_ns": (4_000_000, 1 << 50),
    "sample_ns": (1_000, 1 << 50),
    "memory_shift": (1, 16),
    "mid_floor_e4": (1, 1 << 24),
    "spread_floor_e4": (1, 1 << 24),
    "rate_floor": (1, 1 << 20),
    "depth_levels": (1, 32),
}
"""Lowest and highest value of each of FeatureSettings: within them no kernel overflows."""


@by_reference
class Features(NamedTuple):
    """State of the analytics, of the thread that receives.

    Shapes:  state FEATURE_STATE[instruments], buckets i64[instruments, BUCKETS], the parts of each
             window that are over; spans i64[SPAN_WORDS]; decay i64[DECAY_STEPS], 2**-(i / 64) with
             DECAY_BITS binary digits.
    """

    state: NDArray[np.void]
    buckets: NDArray[np.int64]
    spans: NDArray[np.int64]
    decay: NDArray[np.int64]


DEFAULTS = FeatureSettings()


def allocate_features(instruments: int, settings: FeatureSettings = DEFAULTS) -> Features:
    """Analytics of instruments that nothing is known of. Raises ValueError for a setting that is
    out of its limits.
    """
    spans, decay = zeros(SPAN_WORDS), zeros(DECAY_STEPS)
    decay[:] = [round(2 ** (DECAY_BITS - step / DECAY_STEPS)) for step in range(DECAY_STEPS)]
    set_spans(spans, settings)
    return Features(zeros(instruments, FEATURE_STATE), zeros((instruments, BUCKETS)), spans, decay)


def set_spans(spans: NDArray[np.int64], settings: FeatureSettings) -> None:
    """Write what settings come to into `spans`; ValueError as above."""
    for name, (lowest, highest) in LIMITS.items():
        value = getattr(settings, name)
        if not lowest <= value <= highest:
            raise ValueError(f"{name} is {value}: it must be {lowest} to {highest}")
    spans[Span.BUCKET_NS] = settings.realised_ns // BUCKETS
    spans[Span.DECAY_NS] = settings.half_life_ns // DECAY_STEPS
    spans[Span.SAMPLE_NS] = settings.sample_ns
    spans[Span.MEMORY_SHIFT] = settings.memory_shift
    spans[Span.MID_FLOOR_Q4] = 2 * settings.mid_floor_e4 << 4
    spans[Span.SPREAD_FLOOR_Q4] = settings.spread_floor_e4 << 4
    spans[Span.RATE_FLOOR_Q4] = settings.rate_floor << 8
    spans[Span.DEPTH_LEVELS] = settings.depth_levels
    a_second = math.log(2) * 1e9 / (DECAY_STEPS * (settings.half_life_ns // DECAY_STEPS))
    spans[Span.RATE_FACTOR] = round(a_second * (1 << RATE_BITS))


def allocate_rows(count: int) -> NDArray[Any]:
    """MARKET[count], empty: one for each tick of the pool, or one for each instrument."""
    return zeros(count, MARKET)
