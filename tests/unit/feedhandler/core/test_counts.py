from feedhandler.core.counts import (
    COUNT_ROWS,
    FUNCTIONS_MAX,
    HISTOGRAM_ROWS,
    LANES_MAX,
    Count,
    Histogram,
    SnapshotFault,
)

LINES = 3
BLOCKS = {
    Count.PACKETS: LINES,
    Count.WINS: LINES,
    Count.LOST: LINES,
    Count.LANE_TICKS: LANES_MAX,
    Count.BREAKER_TRIPS: FUNCTIONS_MAX,
    Count.BREAKERS_TRIPPED: FUNCTIONS_MAX,
    Count.PATTERN_SIGNALS: FUNCTIONS_MAX,
    Count.PATTERN_REPEATS: FUNCTIONS_MAX,
    Count.FUNCTION_OVERRUNS: 2 * FUNCTIONS_MAX,
    Count.FUNCTION_OFF: 2 * FUNCTIONS_MAX,
    Count.STAGE_RESULTS_REFUSED: 2,
    Count.SNAPSHOT_DROPPED: SnapshotFault.CAPACITY,
    Count.LANE_CONFLATED: LANES_MAX,
    Count.LANE_AGED: LANES_MAX,
}


def test_rows_follow_one_another_without_gap_or_overlap():
    row = 0
    for count in sorted(Count):
        assert count == row
        row += BLOCKS.get(count, 1)
    assert row == COUNT_ROWS


def test_histograms_end_with_one_for_each_lane_and_function():
    single = [row for row in Histogram if row != Histogram.FUNCTION]
    assert sorted(single) == list(range(Histogram.LANE_LATENCY + 1))
    assert Histogram.FUNCTION == Histogram.LANE_LATENCY + LANES_MAX
    assert HISTOGRAM_ROWS == Histogram.FUNCTION + 2 * FUNCTIONS_MAX
