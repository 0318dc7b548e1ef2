"""Rolling correlation and beta of two instruments, for those who ask from outside: a pattern that
never fires, bound to the pairs of [[correlations]], with the samples in its state.

    state[0 .. 7]  what others read whole, see `Shown`
    state[8 ..]    the pair, PAIR_HEAD + `window` words of `feedhandler.core.rolling`
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import pattern
from feedhandler.core.atomics import store_release
from feedhandler.core.rolling import (
    LENGTH_MAX,
    PAIR_HEAD,
    PairWord,
    beta_e9_nb,
    correlation_e9_nb,
    pair_nb,
)
from feedhandler.core.versioned import close_row_nb, open_row_nb, read_row_nb

SHOWN_WORDS = 8


class Shown(IntEnum):
    """Words that others read."""

    VERSION = 0
    SAMPLES = 1
    """Pairs of returns in the window."""
    CORRELATION_E9 = 2
    BETA_E9 = 3
    """Of the first on the second."""
    TS_EXCH_NS = 4
    """Of the newest sample."""


class Correlation(NamedTuple):
    """What is told of a pair; units as in `Shown`."""

    samples: int
    correlation_e9: int
    beta_e9: int
    ts_exch_ns: int


def correlation_of(state: NDArray[np.int64], at: int) -> Correlation:
    """That of the pair whose state begins at state[at], from any thread."""
    row = np.zeros(len(Shown), np.int64)
    read_row_nb(state, at, row)
    return Correlation(*row[Shown.SAMPLES :].tolist())


@pattern(
    "window",
    "sample_ns",
    legs=2,
    state_words=SHOWN_WORDS + PAIR_HEAD + LENGTH_MAX,
    begins_anew=("window", "sample_ns"),
)
def correlation(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Never a side: a sample of both middle prices when it is due, and what the window comes to.
    None is taken while a side is missing, the book is in doubt or an instrument is halted.
    """
    ts_exch_ns = np.int64(ticks[slot]["ts_exch_ns"])
    a, b = market[legs[0]], market[legs[1]]
    is_good = np.int64((a["flags"] == 0) & (b["flags"] == 0))
    price_a_e9, price_b_e9 = a["mid_e9"] * is_good, b["mid_e9"] * is_good
    at = np.int64(SHOWN_WORDS)
    if pair_nb(state, at, params[0], params[1], ts_exch_ns, price_a_e9, price_b_e9):
        value_e9, beta_e9 = correlation_e9_nb(state, at), beta_e9_nb(state, at)
        open_row_nb(state, 0)
        store_release(state, Shown.SAMPLES, state[at + PairWord.COUNT])
        store_release(state, Shown.CORRELATION_E9, value_e9)
        store_release(state, Shown.BETA_E9, beta_e9)
        store_release(state, Shown.TS_EXCH_NS, ts_exch_ns)
        close_row_nb(state, 0)
    return 0
