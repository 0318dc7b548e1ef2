"""Windows over the last samples, for a user's function to keep in its state: correlation and beta
of two instruments, and how far a value is from its mean. O(1) a sample, and without drift, as all
sums are exact.

    @pattern("entry_z_e3", "sample_ns", legs=2, state_words=WINDOW_HEAD + 256)
    def pair_spread(ticks, slot, market, legs, params, state, out):
        spread_e9 = market[legs[0]]["mid_e9"] - market[legs[1]]["mid_e9"]
        score = window_z_e3_nb(state, 0, spread_e9 // 100_000)
        if sample_due_nb(state, 0, ticks[slot]["ts_exch_ns"], params[1]):
            window_add_nb(state, 0, 256, spread_e9 // 100_000)

    state words:  WINDOW_HEAD + length for a window, PAIR_HEAD + length for a pair, from `at` on, 0
                  at start; several stand one behind the other. Length: 2 .. LENGTH_MAX samples.

Samples are taken by event time: with the first tick after the end of each period of sample_ns. A
longer silence counts once. Floats appear in the last step only, in a fixed order of operations.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.event_time import FAR_BACK_NS, event_ns_nb, period_end_nb
from protocols.jit import kernel

LENGTH_MAX = 1_024

NOT_DUE, DUE, ANEW = 0, 1, 2
"""What `sample_due_nb` says; ANEW: time went far back, so that no change can be told."""


class WindowWord(IntEnum):
    """Words before the samples of a window."""

    NEXT_NS = 0
    COUNT = 1
    PLACE = 2
    BASE = 3
    """The first value: samples are differences from it."""
    SUM = 4
    SQUARES = 5


class PairWord(IntEnum):
    """Words before the samples of a pair; prices in halves of 1e-4, returns in 1e-8."""

    NEXT_NS = 0
    COUNT = 1
    PLACE = 2
    PRICE_A = 3
    PRICE_B = 4
    SUM_A = 5
    SUM_B = 6
    SQUARES_A = 7
    SQUARES_B = 8
    PRODUCTS = 9


WINDOW_HEAD = len(WindowWord)
PAIR_HEAD = len(PairWord)

SAMPLE_LIMIT = (1 << 26) - 1
"""A sample further from 0 counts as this one: a return of 67 %, a difference of 6,710 dollars in
1e-4. With LENGTH_MAX it keeps every sum of two products below 2**63."""
VALUE_LIMIT = 1 << 50
_PRICE_LIMIT = 1 << 33
_E9_PER_HALF_E4 = 50_000
_ONE_E8 = 100_000_000
_ONE_E9 = 1e9
_BETA_LIMIT = 1e6
_Z_LIMIT = 1e3
_E3 = 1e3
_LOW_32_BITS = (1 << 32) - 1
_SIGN_32 = 1 << 31
_ROOT_MAX = 3_037_000_499


@kernel
def sample_due_nb(state: NDArray[np.int64], at: int, ts_exch_ns: int, sample_ns: int) -> int:
    """Whether a sample is due at this time: NOT_DUE, or DUE or ANEW, and then not again before the
    period's end.
    """
    now_ns = event_ns_nb(ts_exch_ns)
    next_ns = state[at]
    if next_ns - FAR_BACK_NS - sample_ns < now_ns < next_ns:
        return np.int64(NOT_DUE)
    state[at] = period_end_nb(now_ns, max(sample_ns, 1))
    return np.int64(DUE if now_ns >= next_ns else ANEW)


@kernel
def _limited_nb(value: int) -> int:
    return min(max(value, -SAMPLE_LIMIT), SAMPLE_LIMIT)


@kernel
def _next_cell_nb(state: NDArray[np.int64], at: int, head: int, length: int) -> int:
    """Where the next sample goes, counted; the oldest one is still there if COUNT was `length`."""
    place = state[at + WindowWord.PLACE]
    state[at + WindowWord.PLACE] = place + 1 if place + 1 < length else np.int64(0)
    state[at + WindowWord.COUNT] = min(state[at + WindowWord.COUNT] + 1, length)
    return at + head + place


@kernel
def _centred_nb(products: int, sum_a: int, sum_b: int, count: int) -> np.float64:
    """count * sum of (a - mean of a) * (b - mean of b).

    Whole means are taken off in integers, where nothing is lost; what is left of them is small.
    """
    mean_a = sum_a // count
    rest_a = sum_a - mean_a * count
    mean_b = sum_b // count
    rest_b = sum_b - mean_b * count
    whole = products - mean_a * sum_b - mean_b * rest_a
    return np.float64(count) * np.float64(whole) - np.float64(rest_a * rest_b)


@kernel
def window_sample_nb(state: NDArray[np.int64], at: int, length: int, sample: int) -> None:
    """A sample, within SAMPLE_LIMIT, as it is into the window at state[at] of the last `length`;
    of one window either all samples come so or all by `window_add_nb`.
    """
    count = state[at + WindowWord.COUNT]
    cell = _next_cell_nb(state, at, np.int64(WINDOW_HEAD), length)
    oldest = state[cell] if count >= length else np.int64(0)
    state[cell] = sample
    state[at + WindowWord.SUM] += sample - oldest
    state[at + WindowWord.SQUARES] += sample * sample - oldest * oldest


@kernel
def window_add_nb(state: NDArray[np.int64], at: int, length: int, value: int) -> None:
    """A sample into the window at state[at] of the last `length`, within VALUE_LIMIT."""
    limited = min(max(value, -VALUE_LIMIT), VALUE_LIMIT)
    count = state[at + WindowWord.COUNT]
    if count == 0:
        state[at + WindowWord.BASE] = limited
    window_sample_nb(state, at, length, _limited_nb(limited - state[at + WindowWord.BASE]))


@kernel
def window_clear_nb(state: NDArray[np.int64], at: int) -> None:
    """Forget every sample; when the next one is due stays."""
    for word in range(WindowWord.COUNT, WINDOW_HEAD):
        state[at + word] = 0


@kernel
def window_is_full_nb(state: NDArray[np.int64], at: int, length: int) -> int:
    """1 when there are `length` samples."""
    return np.int64(state[at + WindowWord.COUNT] >= length)


@kernel
def window_sum_of_samples_nb(state: NDArray[np.int64], at: int) -> int:
    """Sum of the samples of a window that came by `window_sample_nb`."""
    return state[at + WindowWord.SUM]


@kernel
def window_spread_nb(state: NDArray[np.int64], at: int, length: int) -> int:
    """`length` times the standard deviation of a full window, rounded down; exact while every
    |sample| * length is below 2**31.
    """
    total = state[at + WindowWord.SUM]
    return root_nb(length * state[at + WindowWord.SQUARES] - total * total)


@kernel
def root_nb(value: int) -> int:
    """Largest integer whose square is not above `value`, 0 to 2^63 - 1."""
    # The float is off by one at most, and the loops make up for it.
    root = min(np.int64(np.sqrt(np.float64(value))), np.int64(_ROOT_MAX))
    while root * root > value:
        root -= 1
    while root < _ROOT_MAX and (root + 1) * (root + 1) <= value:
        root += 1
    return root


@kernel
def _spread_nb(state: NDArray[np.int64], at: int) -> np.float64:
    """Standard deviation of a window, times its count."""
    total = state[at + WindowWord.SUM]
    count = max(state[at + WindowWord.COUNT], 1)
    return np.sqrt(_centred_nb(state[at + WindowWord.SQUARES], total, total, count))


@kernel
def window_z_e3_nb(state: NDArray[np.int64], at: int, value: int) -> int:
    """How far a value is from the mean of the window, in standard deviations / 1,000, rounded down,
    at most 1,000 of them; 0 with fewer than two samples, and where all are alike.
    """
    count = state[at + WindowWord.COUNT]
    spread = _spread_nb(state, at)
    if count < 2 or spread <= 0.0:
        return np.int64(0)
    limited = min(max(value, -VALUE_LIMIT), VALUE_LIMIT)
    off = _limited_nb(limited - state[at + WindowWord.BASE]) * count - state[at + WindowWord.SUM]
    score = np.float64(off) / spread
    return np.int64(np.floor(min(max(score, -_Z_LIMIT), _Z_LIMIT) * _E3))


@kernel
def window_mean_e3_nb(state: NDArray[np.int64], at: int) -> int:
    """Mean of the window, in 1/1,000 of the values' unit, rounded down; 0 without samples."""
    count = max(state[at + WindowWord.COUNT], 1)
    return state[at + WindowWord.BASE] * 1_000 + state[at + WindowWord.SUM] * 1_000 // count


@kernel
def window_deviation_e3_nb(state: NDArray[np.int64], at: int) -> int:
    """Standard deviation (of the whole, not of a sample) in 1/1,000 of the values' unit."""
    count = max(state[at + WindowWord.COUNT], 1)
    return np.int64(_spread_nb(state, at) * _E3 / np.float64(count))


@kernel
def _half_e4_nb(price_e9: int) -> int:
    return min(max(price_e9, 0) // _E9_PER_HALF_E4, _PRICE_LIMIT)


@kernel
def _return_e8_nb(before: int, price: int) -> int:
    return _limited_nb((price - before) * _ONE_E8 // max(before, 1))


@kernel
def _second_of_nb(packed: int) -> int:
    """The lower one of two signed halves of a word."""
    return ((packed & _LOW_32_BITS) ^ _SIGN_32) - _SIGN_32


@kernel
def pair_add_nb(
    state: NDArray[np.int64], at: int, length: int, return_a: int, return_b: int
) -> None:
    """Returns of both, 1e-8, into the pair at state[at] of the last `length`."""
    count = state[at + PairWord.COUNT]
    a, b = _limited_nb(return_a), _limited_nb(return_b)
    cell = _next_cell_nb(state, at, np.int64(PAIR_HEAD), length)
    packed = state[cell] if count >= length else np.int64(0)
    old_b = _second_of_nb(packed)
    old_a = (packed - old_b) >> 32
    state[cell] = (a << 32) + b
    state[at + PairWord.SUM_A] += a - old_a
    state[at + PairWord.SUM_B] += b - old_b
    state[at + PairWord.SQUARES_A] += a * a - old_a * old_a
    state[at + PairWord.SQUARES_B] += b * b - old_b * old_b
    state[at + PairWord.PRODUCTS] += a * b - old_a * old_b


@kernel
def pair_nb(
    state: NDArray[np.int64],
    at: int,
    length: int,
    sample_ns: int,
    ts_exch_ns: int,
    price_a_e9: int,
    price_b_e9: int,
) -> int:
    """Sample the prices of two instruments, as `mid_e9` in MARKET, when that is due; 1 when a pair
    of returns was taken, else 0. A price of 0 is none: the next return is from the one before.
    """
    due = sample_due_nb(state, at, ts_exch_ns, sample_ns)
    if due == NOT_DUE or price_a_e9 <= 0 or price_b_e9 <= 0:
        return np.int64(0)
    before_a, before_b = state[at + PairWord.PRICE_A], state[at + PairWord.PRICE_B]
    price_a, price_b = _half_e4_nb(price_a_e9), _half_e4_nb(price_b_e9)
    state[at + PairWord.PRICE_A] = price_a
    state[at + PairWord.PRICE_B] = price_b
    if due == ANEW or before_a == 0 or before_b == 0:
        return np.int64(0)
    pair_add_nb(
        state, at, length, _return_e8_nb(before_a, price_a), _return_e8_nb(before_b, price_b)
    )
    return np.int64(1)


@kernel
def _variance_nb(state: NDArray[np.int64], at: int, total: int, squares: int) -> np.float64:
    """count * sum of squared distances from the mean, of one side of a pair."""
    count = max(state[at + PairWord.COUNT], 1)
    return _centred_nb(state[at + squares], state[at + total], state[at + total], count)


@kernel
def _covariance_nb(state: NDArray[np.int64], at: int) -> np.float64:
    sum_a, sum_b = state[at + PairWord.SUM_A], state[at + PairWord.SUM_B]
    count = max(state[at + PairWord.COUNT], 1)
    return _centred_nb(state[at + PairWord.PRODUCTS], sum_a, sum_b, count)


@kernel
def _variance_b_nb(state: NDArray[np.int64], at: int) -> np.float64:
    return _variance_nb(state, at, np.int64(PairWord.SUM_B), np.int64(PairWord.SQUARES_B))


@kernel
def correlation_e9_nb(state: NDArray[np.int64], at: int) -> int:
    """Correlation of the returns in the window, 1e-9; 0 where one of both did not move."""
    a = _variance_nb(state, at, np.int64(PairWord.SUM_A), np.int64(PairWord.SQUARES_A))
    b = _variance_b_nb(state, at)
    if a <= 0.0 or b <= 0.0:
        return np.int64(0)
    correlation = _covariance_nb(state, at) / np.sqrt(a) / np.sqrt(b)
    return np.int64(np.rint(min(max(correlation, -1.0), 1.0) * _ONE_E9))


@kernel
def beta_e9_nb(state: NDArray[np.int64], at: int) -> int:
    """Beta of the first on the second, 1e-9, at most a million; 0 where the second did not move."""
    b = _variance_b_nb(state, at)
    if b <= 0.0:
        return np.int64(0)
    beta = _covariance_nb(state, at) / b
    return np.int64(np.rint(min(max(beta, -_BETA_LIMIT), _BETA_LIMIT) * _ONE_E9))
