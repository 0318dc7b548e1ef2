"""Log-linear histograms of nanoseconds: rows of an int64 table, written by the kernels of
`recording.py`, read by all.

    histogram  i64[HISTOGRAM_WORDS]:
      [0] count   [1] sum   [2] max   [3..7] unused    the header fills one cache line
      [8 + b]     values seen in bucket b

    bucket of value v:   v < 32   b = v                   exact
                         v >= 32  b = 32 * (e - 4) + s    e: position of v's highest bit
                                                          s: the 5 bits below it

So each power of two has 32 buckets, and the upper bound of a bucket is at most 1/32 (3.1 %) above
any value in it. Values are clamped to 0 .. 2**40 - 1 (18 minutes), which also keeps `sum` from
wrapping.

One thread writes a row. A reader sees each word whole, though not all words of one instant: a count
may be ahead of a bucket by the records of a few nanoseconds. Quantiles are integers, in parts per
100 000: P99 is 99 000.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.lines import zeros

COUNT = 0
SUM = 1
MAX = 2
HEADER_WORDS = 8

SUB_BUCKET_BITS = 5
SUB_BUCKETS = 1 << SUB_BUCKET_BITS
RANGE_BITS = 40
MAX_VALUE_NS = (1 << RANGE_BITS) - 1
BUCKETS = SUB_BUCKETS * (RANGE_BITS - SUB_BUCKET_BITS + 1)
HISTOGRAM_WORDS = HEADER_WORDS + BUCKETS

QUANTILE_ONE = 100_000
P50 = 50_000
P99 = 99_000
P999 = 99_900

Histogram = NDArray[np.int64]


def allocate_histogram() -> Histogram:
    """An empty histogram of its own, for a thread or a tool that has no counter file."""
    return zeros(HISTOGRAM_WORDS)


def bucket_bounds() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest and highest value of each bucket, both inclusive, ns: two i64[BUCKETS]."""
    index = np.arange(BUCKETS, dtype=np.int64)
    shift = np.maximum((index >> SUB_BUCKET_BITS) - 1, 0)
    lowest = (index - SUB_BUCKETS * shift) << shift
    return lowest, lowest + (np.int64(1) << shift) - 1


def percentile(histogram: Histogram, per_100000: int) -> int:
    """The value at or below which `per_100000` of 100 000 records lie; 0 when there are none.

    The rank is rounded up (nearest-rank method). The answer is a bucket's upper bound, but never
    exceeds the largest value recorded.
    """
    if not 0 <= per_100000 <= QUANTILE_ONE:
        raise ValueError(f"a quantile is 0 to {QUANTILE_ONE} parts per 100 000, not {per_100000}")
    return _percentiles(histogram, (per_100000,))[0]


def summary(histogram: Histogram) -> dict[str, int]:
    """`count`, `p50`, `p99`, `p999` and `max` in the histogram's unit; all 0 when it is empty."""
    p50, p99, p999 = _percentiles(histogram, (P50, P99, P999))
    count, maximum = int(histogram[COUNT]), int(histogram[MAX])
    return {"count": count, "p50": p50, "p99": p99, "p999": p999, "max": maximum}


def since(histogram: Histogram, before: Histogram) -> Histogram:
    """Records made after the copy `before` was taken, as a histogram of its own.

    Its `max` is the upper bound of the highest bucket in use: at most 3.1 % high.
    """
    recent = histogram - before
    occupied = np.flatnonzero(recent[HEADER_WORDS:])
    highest = int(bucket_bounds()[1][occupied[-1]]) if occupied.size else 0
    recent[MAX] = min(highest, int(histogram[MAX]))
    return recent


def merged(histograms: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """All records of several histograms, or tables of histograms of one shape, as a copy."""
    together: NDArray[np.int64] = np.sum(histograms, axis=0)
    together[..., MAX] = np.max([each[..., MAX] for each in histograms], axis=0)
    return together


def cumulative_counts(histogram: Histogram, bounds_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Records known to be at or below each of the ascending `bounds_ns`.

    A bucket that a bound cuts through counts above it, so a latency is never reported better than
    it was.
    """
    running = np.concatenate(([0], np.cumsum(histogram[HEADER_WORDS:])))
    whole_buckets = np.searchsorted(bucket_bounds()[1], bounds_ns, side="right")
    result: NDArray[np.int64] = running[whole_buckets]
    return result


def format_ns(value_ns: int) -> str:
    """A duration with the unit that keeps its number short: `950 ns`, `4.4 us`, `12.0 s`."""
    if value_ns < 1_000:
        return f"{value_ns} ns"
    for unit, divisor in (("us", 1_000), ("ms", 1_000_000)):
        if value_ns < divisor * 1_000:
            return f"{value_ns // divisor}.{value_ns * 10 // divisor % 10} {unit}"
    return f"{value_ns // 1_000_000_000}.{value_ns // 100_000_000 % 10} s"


def _percentiles(histogram: Histogram, quantiles: tuple[int, ...]) -> list[int]:
    """Values at the given quantiles (parts per 100 000), all from one copy of the buckets."""
    running = np.cumsum(histogram[HEADER_WORDS:])
    total = int(running[-1])
    if total == 0:
        return [0] * len(quantiles)
    highest = bucket_bounds()[1]
    maximum = int(histogram[MAX])
    ranks = [max(1, -(-total * quantile // QUANTILE_ONE)) for quantile in quantiles]
    return [min(int(highest[np.searchsorted(running, rank)]), maximum) for rank in ranks]
