import pytest

from feedhandler.core.event_time import TIME_MAX_NS, event_ns_nb, period_end_nb


@pytest.mark.parametrize(
    ("stamp", "ns"), [(-1, 0), (0, 0), (7, 7), (2**63 - 1, TIME_MAX_NS), (-(2**63), 0)]
)
def test_a_stamp_counts_within_bounds(stamp: int, ns: int):
    assert event_ns_nb(stamp) == ns


@pytest.mark.parametrize(("now_ns", "end_ns"), [(0, 10), (9, 10), (10, 20), (TIME_MAX_NS, None)])
def test_a_period_ends_at_the_first_moment_that_is_not_in_it(now_ns: int, end_ns: int | None):
    assert period_end_nb(now_ns, 10) == (end_ns or (TIME_MAX_NS // 10 + 1) * 10)
