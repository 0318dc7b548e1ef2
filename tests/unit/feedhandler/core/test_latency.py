import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core import latency
from feedhandler.core.latency import (
    BUCKETS,
    COUNT,
    HEADER_WORDS,
    HISTOGRAM_WORDS,
    MAX,
    MAX_VALUE_NS,
    SUM,
    allocate_histogram,
    bucket_bounds,
    cumulative_counts,
    format_ns,
    merged,
    percentile,
    since,
    summary,
)
from feedhandler.core.recording import bucket_of_nb, record_nb
from tests.reference.slow_histogram import SlowHistogram

values_ns = st.one_of(st.integers(-5, 100), st.integers(0, 2**41), st.integers(-(2**62), 2**62))
one_to_many = st.lists(values_ns, min_size=1, max_size=60)


def histogram_of(values: list[int]):
    histogram, twin = allocate_histogram(), SlowHistogram()
    for value in values:
        record_nb(histogram, value)
        twin.record(value)
    return histogram, twin


def test_the_layout_is_one_header_line_and_32_buckets_a_power_of_two():
    assert HEADER_WORDS == 8
    assert BUCKETS == 32 * 36
    assert HISTOGRAM_WORDS == 1160
    assert HISTOGRAM_WORDS * 8 % 64 == 0


def test_the_buckets_tile_the_whole_range_without_gap_or_overlap():
    lowest, highest = bucket_bounds()
    assert lowest[0] == 0
    assert highest[-1] == MAX_VALUE_NS
    assert (lowest[1:] == highest[:-1] + 1).all()


def test_each_bound_of_each_bucket_falls_into_that_bucket():
    lowest, highest = bucket_bounds()
    for index in range(0, BUCKETS, 7):
        assert bucket_of_nb(int(lowest[index])) == index
        assert bucket_of_nb(int(highest[index])) == index
    assert bucket_of_nb(MAX_VALUE_NS) == BUCKETS - 1


def test_no_bucket_is_wider_than_one_part_in_32_of_its_lowest_value():
    lowest, highest = bucket_bounds()
    assert ((highest - lowest) * 32 <= lowest)[32:].all()
    assert (highest == lowest)[:64].all()


def test_values_below_zero_count_as_zero_and_values_beyond_the_range_as_its_end():
    histogram, _ = histogram_of([-1, -(2**62), 2**40, 2**62])
    assert histogram[HEADER_WORDS] == 2
    assert histogram[-1] == 2
    assert histogram[MAX] == MAX_VALUE_NS
    assert histogram[SUM] == 2 * MAX_VALUE_NS


@given(one_to_many)
def test_count_sum_and_max_are_exact(values: list[int]):
    histogram, twin = histogram_of(values)
    assert histogram[COUNT] == len(twin.values) == histogram[HEADER_WORDS:].sum()
    assert histogram[SUM] == sum(twin.values)
    assert histogram[MAX] == max(twin.values)


@given(one_to_many, st.integers(0, 100_000))
def test_a_percentile_is_at_most_one_part_in_32_above_the_sorted_list(
    values: list[int], quantile: int
):
    histogram, twin = histogram_of(values)
    exact, found = twin.percentile(quantile), percentile(histogram, quantile)
    assert exact <= found <= exact + exact // 32
    assert found <= max(twin.values)


@given(one_to_many, one_to_many)
def test_what_was_recorded_since_a_copy_has_the_percentiles_of_the_newer_values(
    values: list[int], more: list[int]
):
    histogram, _ = histogram_of(values)
    before = histogram.copy()
    for value in more:
        record_nb(histogram, value)
    recent, twin = since(histogram, before), histogram_of(more)[1]
    assert recent[COUNT] == len(more)
    for quantile in (50_000, 99_900):
        exact = twin.percentile(quantile)
        assert exact <= percentile(recent, quantile) <= exact + exact // 32


def test_nothing_since_a_copy_leaves_an_empty_histogram():
    histogram, _ = histogram_of([5, 6])
    assert not since(histogram, histogram.copy()).any()


@given(st.lists(one_to_many, min_size=1, max_size=4))
def test_histograms_together_are_one_of_all_their_values(values: list[list[int]]):
    together = merged([histogram_of(each)[0] for each in values])
    assert (together == histogram_of([value for each in values for value in each])[0]).all()


@given(one_to_many, st.lists(st.integers(0, 2**41), min_size=1, max_size=5))
def test_cumulative_counts_never_claim_a_record_below_a_bound_that_it_exceeds(
    values: list[int], bounds: list[int]
):
    histogram, twin = histogram_of(values)
    bounds = sorted(bounds)
    for bound, count in zip(bounds, cumulative_counts(histogram, np.array(bounds)), strict=True):
        assert twin.at_most(bound - bound // 32) <= count <= twin.at_most(bound)


def test_an_empty_histogram_has_only_zeros():
    assert summary(allocate_histogram()) == {"count": 0, "p50": 0, "p99": 0, "p999": 0, "max": 0}
    assert percentile(allocate_histogram(), 50_000) == 0


def test_a_summary_holds_plain_integers():
    histogram, _ = histogram_of(range(1, 1001))
    figures = summary(histogram)
    assert figures == {"count": 1000, "p50": 503, "p99": 991, "p999": 1000, "max": 1000}
    assert all(type(value) is int for value in figures.values())


@pytest.mark.parametrize("quantile", [-1, 100_001])
def test_a_quantile_outside_the_range_is_refused(quantile: int):
    with pytest.raises(ValueError, match="100 000"):
        percentile(allocate_histogram(), quantile)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (4_449, "4.4 us"),
        (999_999, "999.9 us"),
        (2_500_000, "2.5 ms"),
        (12_000_000_000, "12.0 s"),
    ],
)
def test_durations_are_shown_in_a_short_unit(duration_ns: int, text: str):
    assert format_ns(duration_ns) == text


@given(st.integers(1, 2**40 - 1))
def test_the_highest_bit_is_the_same_compiled_and_interpreted(value: int):
    # bucket_of_nb is compiled or not, this formula never is.
    shift = max(value.bit_length() - 6, 0)
    assert bucket_of_nb(value) == latency.SUB_BUCKETS * shift + (value >> shift)
