"""Bars and price statistics of every instrument, for those who ask from outside: what is kept of
them, brought up to date with each tick by the thread that receives, in sequence with the book.

Nothing is kept that was not configured, and each row is read whole by any thread (`bars_of`,
`price_stats_of`).
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.bars import BAR_WORDS, allocate_bars, time_bar_nb, volume_bar_nb
from feedhandler.core.lines import zeros
from feedhandler.core.price_stats import (
    STATS_WORDS,
    allocate_price_stats,
    clear_price_stats_nb,
    price_stats_nb,
)
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

EVERY_INSTRUMENT = -1


class SummarySettings(NamedTuple):
    """What is kept: length of time bars, size of volume bars (0: none), price statistics."""

    bar_ns: int = 0
    bar_shares: int = 0
    price_stats: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether anything is."""
        return self.bar_ns > 0 or self.bar_shares > 0 or self.price_stats


class Length(IntEnum):
    """Words of `lengths`, as in SummarySettings; 0: not kept."""

    BAR_NS = 0
    BAR_SHARES = 1
    PRICE_STATS = 2


@by_reference
class Summaries(NamedTuple):
    """Rows of every instrument, one behind the other, or one row where nothing is kept: time_bars
    and volume_bars i64[instruments * BAR_WORDS], price_stats i64[instruments * STATS_WORDS];
    lengths i64[8].
    """

    lengths: NDArray[np.int64]
    time_bars: NDArray[np.int64]
    volume_bars: NDArray[np.int64]
    price_stats: NDArray[np.int64]


NOTHING_KEPT = SummarySettings()


def allocate_summaries(instruments: int, settings: SummarySettings = NOTHING_KEPT) -> Summaries:
    """Empty rows of what is to be kept."""
    lengths = zeros(8)
    lengths[: len(Length)] = settings
    rows = [instruments if length else 1 for length in lengths[: len(Length)]]
    return Summaries(
        lengths,
        allocate_bars(rows[Length.BAR_NS]),
        allocate_bars(rows[Length.BAR_SHARES]),
        allocate_price_stats(rows[Length.PRICE_STATS]),
    )


@outline_kernel
def summarise_nb(summaries: Summaries, ticks: NDArray[np.void], slot: int) -> None:
    """Take ticks[slot] into what is kept of its instrument."""
    number = np.int64(ticks[np.uint64(slot)]["instrument"])
    lengths = summaries.lengths
    if lengths[Length.BAR_NS] > 0:
        at = number * BAR_WORDS
        time_bar_nb(summaries.time_bars, at, lengths[Length.BAR_NS], ticks, slot)
    if lengths[Length.BAR_SHARES] > 0:
        at = number * BAR_WORDS
        volume_bar_nb(summaries.volume_bars, at, lengths[Length.BAR_SHARES], ticks, slot)
    if lengths[Length.PRICE_STATS] > 0:
        price_stats_nb(summaries.price_stats, number * STATS_WORDS, ticks, slot)


@kernel
def clear_stats_nb(summaries: Summaries, instrument: int) -> None:
    """Begin anew with the price statistics of an instrument, or EVERY_INSTRUMENT."""
    rows = summaries.price_stats.shape[0] // STATS_WORDS
    first = np.int64(0) if instrument == EVERY_INSTRUMENT else instrument
    last = rows if instrument == EVERY_INSTRUMENT else min(instrument + 1, rows)
    for number in range(first, last):
        clear_price_stats_nb(summaries.price_stats, number * STATS_WORDS)
