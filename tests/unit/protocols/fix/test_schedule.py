"""Opening times over time zones and daylight saving, against a twin that reads the wall clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.fix.schedule import Schedule, Window, parse_day, parse_time
from protocols.fix.times import NS_PER_S

NEW_YORK = ZoneInfo("America/New_York")
LONDON = ZoneInfo("Europe/London")
TOKYO = ZoneInfo("Asia/Tokyo")
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6
DAY = Schedule(time(9, 30), time(16), weekdays=frozenset(range(5)), zone=NEW_YORK)
WEEK = Schedule(time(18), time(17), start_day=SUNDAY, end_day=FRIDAY, zone=NEW_YORK)


def ns(text: str, zone: object = UTC) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone)  # type: ignore[arg-type]
    return int(moment.timestamp()) * NS_PER_S


def test_a_day_opens_and_closes_by_the_clock_of_its_zone_in_summer_and_winter():
    for day in ("2026-01-14", "2026-07-15"):
        assert not DAY.is_open(ns(f"{day} 09:29:59", NEW_YORK))
        assert DAY.is_open(ns(f"{day} 09:30:00", NEW_YORK))
        assert DAY.is_open(ns(f"{day} 15:59:59", NEW_YORK))
        assert not DAY.is_open(ns(f"{day} 16:00:00", NEW_YORK))
    assert DAY.is_open(ns("2026-01-14 14:30:00"))
    assert not DAY.is_open(ns("2026-01-14 14:29:59"))
    assert DAY.is_open(ns("2026-07-15 13:30:00"))


def test_no_window_starts_on_a_day_that_is_left_out():
    assert not DAY.is_open(ns("2026-07-18 12:00", NEW_YORK))
    assert DAY.next_change_ns(ns("2026-07-17 16:00", NEW_YORK)) == ns("2026-07-20 09:30", NEW_YORK)


def test_a_week_runs_from_sunday_evening_to_friday_afternoon():
    inside, outside = "2026-11-18 03:00", "2026-11-21 03:00"
    assert WEEK.is_open(ns(inside, NEW_YORK))
    assert not WEEK.is_open(ns(outside, NEW_YORK))
    assert WEEK.window_of(ns(inside, NEW_YORK)) == Window(
        ns("2026-11-15 18:00", NEW_YORK), ns("2026-11-20 17:00", NEW_YORK)
    )
    assert WEEK.next_change_ns(ns(outside, NEW_YORK)) == ns("2026-11-22 18:00", NEW_YORK)


def test_the_week_in_which_clocks_change_is_an_hour_longer_or_shorter():
    autumn = WEEK.window_of(ns("2026-11-03 12:00", NEW_YORK))
    spring = WEEK.window_of(ns("2026-03-10 12:00", NEW_YORK))
    assert autumn is not None
    assert spring is not None
    usual_ns = (4 * 24 + 23) * 3600 * NS_PER_S
    # Clocks change on the Sunday morning before the window starts, so these are of usual length.
    assert autumn.end_ns - autumn.start_ns == spring.end_ns - spring.start_ns == usual_ns
    whole = Schedule(time(0), time(0), start_day=SUNDAY, end_day=SUNDAY, zone=NEW_YORK)
    hour_ns = 3600 * NS_PER_S
    for day, hours in (("2026-11-03", 169), ("2026-03-10", 167), ("2026-06-10", 168)):
        window = whole.window_of(ns(f"{day} 12:00", NEW_YORK))
        assert window is not None
        assert window.end_ns - window.start_ns == hours * hour_ns


def test_a_time_that_occurs_twice_means_the_first_and_a_skipped_one_the_jump():
    early = Schedule(time(1, 30), time(4), zone=NEW_YORK)
    window = early.window_of(ns("2026-11-01 08:00"))
    assert window is not None
    assert window.start_ns == ns("2026-11-01 05:30")
    skipped = Schedule(time(2, 30), time(6), zone=NEW_YORK)
    window = skipped.window_of(ns("2026-03-08 08:00"))
    assert window is not None
    assert window.start_ns == ns("2026-03-08 07:30")


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts():
    night = Schedule(time(22), time(5), weekdays=frozenset({FRIDAY}), zone=LONDON)
    assert night.is_open(ns("2026-07-18 04:59:59", LONDON))
    assert not night.is_open(ns("2026-07-19 04:59:59", LONDON))


def test_equal_times_make_sessions_that_follow_each_other_without_a_pause():
    daily = Schedule(time(17), time(17), zone=TOKYO)
    before, after = ns("2026-05-05 16:59:59", TOKYO), ns("2026-05-05 17:00:00", TOKYO)
    assert daily.is_open(before)
    assert daily.is_open(after)
    assert not daily.is_same_session(before, after)
    assert daily.is_same_session(after, ns("2026-05-06 16:59:59", TOKYO))
    assert daily.next_change_ns(before) == after


def test_without_times_it_is_always_open_and_one_session():
    always = Schedule()
    assert always.is_open(0)
    assert always.is_same_session(0, ns("2026-05-05 17:00"))
    assert always.next_change_ns(0) is None
    assert always.window_of(0) is None


def test_closed_times_are_in_no_session():
    closed = ns("2026-07-18 12:00", NEW_YORK)
    assert not DAY.is_same_session(closed, closed)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"start": time(1)}, "StartTime and EndTime"),
        ({"start": time(1), "end": time(2), "end_day": 3}, "StartDay and EndDay"),
        ({"start_day": 1, "end_day": 3}, "need StartTime"),
        ({"weekdays": frozenset({1})}, "need StartTime"),
        (
            {
                "start": time(1),
                "end": time(2),
                "start_day": 1,
                "end_day": 2,
                "weekdays": frozenset({1}),
            },
            "not both",
        ),
        ({"start": time(1), "end": time(2), "weekdays": frozenset()}, "at least one"),
    ],
)
def test_what_has_no_meaning_is_refused(words: dict, named: str):
    with pytest.raises(LocalProtocolError, match=named):
        Schedule(**words)


def is_open_by_wall_clock(schedule: Schedule, now_ns: int) -> bool:
    """The twin: reads day and time off the zone's clock and compares them."""
    assert schedule.start is not None
    assert schedule.end is not None
    local = datetime.fromtimestamp(now_ns // NS_PER_S, schedule.zone)
    wall, day = local.time(), local.weekday()
    if schedule.start_day is not None and schedule.end_day is not None:
        week = [(day, wall), (schedule.start_day, schedule.start), (schedule.end_day, schedule.end)]
        now, start, end = week
        return start <= now < end if start < end else now >= start or now < end
    if schedule.start < schedule.end:
        return day in schedule.weekdays and schedule.start <= wall < schedule.end
    started_today = day in schedule.weekdays and wall >= schedule.start
    started_before = (day - 1) % 7 in schedule.weekdays and wall < schedule.end
    return started_today or started_before


times = st.builds(time, st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
zones = st.sampled_from([UTC, NEW_YORK, LONDON, TOKYO, ZoneInfo("Australia/Lord_Howe")])
daily = st.builds(
    Schedule, times, times, weekdays=st.frozensets(st.integers(0, 6), min_size=1), zone=zones
)
days = st.integers(0, 6)
weekly = st.builds(Schedule, times, times, days, days, zone=zones)
moments = st.integers(ns("2024-01-01 00:00") // NS_PER_S, ns("2028-01-01 00:00") // NS_PER_S)


def is_near_a_change_of_clocks(schedule: Schedule, now_ns: int) -> bool:
    """Within a week: a window that has begun then starts or ends at other wall-clock times."""
    moment = datetime.fromtimestamp(now_ns // NS_PER_S, schedule.zone)
    offsets = {(moment + timedelta(days=i)).utcoffset() for i in (-9, 0, 9)}
    return len(offsets) > 1


@given(st.one_of(daily, weekly), moments)
def test_it_is_open_when_the_wall_clock_says_so(schedule: Schedule, now_s: int):
    now_ns = now_s * NS_PER_S
    if not is_near_a_change_of_clocks(schedule, now_ns):
        assert schedule.is_open(now_ns) == is_open_by_wall_clock(schedule, now_ns)


@given(st.one_of(daily, weekly), moments)
def test_nothing_changes_before_the_next_change(schedule: Schedule, now_s: int):
    now_ns = now_s * NS_PER_S
    change_ns = schedule.next_change_ns(now_ns)
    assert change_ns is not None
    assert now_ns < change_ns <= now_ns + 8 * 24 * 3600 * NS_PER_S
    assert schedule.window_of(change_ns - 1) == schedule.window_of(now_ns)
    assert schedule.window_of(change_ns) != schedule.window_of(now_ns)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("09:30:00", time(9, 30)), ("23:59", time(23, 59)), ("00:00:01", time(0, 0, 1))],
)
def test_times_of_day_are_read(text: str, expected: time):
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text", ["", "9:30", "24:00:00", "12:60", "12:00:60", "1200", "12:00:00:00", "aa:bb"]
)
def test_what_is_no_time_of_day_is_refused(text: str):
    with pytest.raises(LocalProtocolError, match="no time of day"):
        parse_time(text)


def test_days_are_read_by_name_or_two_letters():
    assert [parse_day(text) for text in ("Mon", "tu", "Sunday", "sat")] == [0, 1, 6, 5]
    for text in ("M", "", "Mond ay", "Funday"):
        with pytest.raises(LocalProtocolError, match="no day of the week"):
            parse_day(text)
