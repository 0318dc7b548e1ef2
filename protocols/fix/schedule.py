"""When a FIX session is open: daily or weekly windows of wall-clock time in a time zone.

A window is stated in local time, so its length in seconds changes with daylight saving; everything
that is asked and answered here is in ns since the epoch, without a clock. A local time that occurs
twice (clocks set back) means its first occurrence; one that is skipped (clocks set forward) means
the moment to which the clocks jump, as far behind it as it was behind the last valid time.

Sequence numbers belong to one window: `window_of` tells which, and two moments in different
windows are in different sessions. Source: the session times of QuickFIX's configuration
(StartTime, EndTime, StartDay, EndDay, Weekdays, TimeZone, NonStopSession).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from protocols.errors import LocalProtocolError
from protocols.fix.times import NS_PER_S

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ONE_DAY = timedelta(days=1)
_DAYS_A_WEEK = 7
_UTC = ZoneInfo("UTC")
_ALL_DAYS = frozenset(range(_DAYS_A_WEEK))
_ABBREVIATION = 2


@dataclass(frozen=True, slots=True)
class Window:
    """One opening: from `start_ns`, which is in it, to `end_ns`, which is not."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Opening times, by default always open.

    Daily: from `start` to `end` (the next day when `end` is not later) on each of `weekdays` (0 is
    Monday, of the day on which the window starts). Weekly, when `start_day` and `end_day` are
    given: from the one at `start` to the other at `end`. Equal times make windows that follow each
    other without a pause. `zone` says whose clocks are meant.
    """

    start: time | None = None
    end: time | None = None
    start_day: int | None = None
    end_day: int | None = None
    weekdays: frozenset[int] = _ALL_DAYS
    zone: tzinfo = _UTC

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if (self.start is None) != (self.end is None):
            raise LocalProtocolError("StartTime and EndTime: both or neither")
        if (self.start_day is None) != (self.end_day is None):
            raise LocalProtocolError("StartDay and EndDay: both or neither")
        if self.start is None and (self.start_day is not None or self.weekdays != _ALL_DAYS):
            raise LocalProtocolError("StartDay, EndDay and Weekdays need StartTime and EndTime")
        if self.start_day is not None and self.weekdays != _ALL_DAYS:
            raise LocalProtocolError("StartDay and EndDay, or Weekdays: not both")
        if not self.weekdays:
            raise LocalProtocolError("Weekdays: at least one day")

    @property
    def is_always_open(self) -> bool:
        """True when there are no windows."""
        return self.start is None

    def window_of(self, now_ns: int) -> Window | None:
        """The window that holds `now_ns`; None when the session is closed then, or always open."""
        for window in self._windows_near(now_ns):
            if window.start_ns <= now_ns < window.end_ns:
                return window
        return None

    def is_open(self, now_ns: int) -> bool:
        """Whether a session may be logged on at `now_ns`."""
        return self.is_always_open or self.window_of(now_ns) is not None

    def is_same_session(self, first_ns: int, second_ns: int) -> bool:
        """Whether sequence numbers of the one moment go on at the other: both in one window."""
        if self.is_always_open:
            return True
        window = self.window_of(first_ns)
        return window is not None and window == self.window_of(second_ns)

    def next_change_ns(self, now_ns: int) -> int | None:
        """When, after `now_ns`, a window starts or ends next; None when always open."""
        edges = (
            edge_ns
            for window in self._windows_near(now_ns)
            for edge_ns in (window.start_ns, window.end_ns)
            if edge_ns > now_ns
        )
        return min(edges, default=None)

    def _windows_near(self, now_ns: int) -> Iterator[Window]:
        """Windows that may hold or follow `now_ns`: those that start within a week of it, and a day
        more, as the zone's date may differ.
        """
        if self.start is None or self.end is None:
            return
        today = datetime.fromtimestamp(now_ns // NS_PER_S, self.zone).date()
        for days in range(-_DAYS_A_WEEK - 1, _DAYS_A_WEEK + 2):
            day = today + timedelta(days=days)
            last = self._last_day(day, is_overnight=self.end <= self.start)
            if last is not None:
                yield Window(self._moment_ns(day, self.start), self._moment_ns(last, self.end))

    def _last_day(self, day: date, *, is_overnight: bool) -> date | None:
        """The day on which the window that starts on `day` ends; None when none starts then."""
        if self.start_day is None or self.end_day is None:
            if day.weekday() not in self.weekdays:
                return None
            return day + _ONE_DAY if is_overnight else day
        if day.weekday() != self.start_day:
            return None
        days = (self.end_day - self.start_day) % _DAYS_A_WEEK
        if days == 0 and is_overnight:
            days = _DAYS_A_WEEK
        return day + timedelta(days=days)

    def _moment_ns(self, day: date, wall: time) -> int:
        """The moment at which the zone's clocks show this time for the first time."""
        moment = datetime.combine(day, wall, self.zone)
        return int(moment.timestamp()) * NS_PER_S


def parse_time(text: str) -> time:
    """Time of day from text such as 09:30:00 or 09:30; LocalProtocolError for anything else."""
    parts = text.split(":")
    if len(parts) in {2, 3} and all(
        len(part) == _ABBREVIATION and part.isdecimal() for part in parts
    ):
        numbers = [int(part) for part in parts]
        hour, minute, second = (*numbers, 0)[:3]
        if hour < 24 and minute < 60 and second < 60:
            return time(hour, minute, second)
    raise LocalProtocolError(f"{text!r} is no time of day HH:MM:SS")


def parse_day(text: str) -> int:
    """Day of the week by its English name or at least two letters of it, 0 is Monday."""
    wanted = text.strip().lower()
    found = [number for number, day in enumerate(DAYS) if day.startswith(wanted)]
    if len(wanted) < _ABBREVIATION or not found:
        raise LocalProtocolError(f"{text!r} is no day of the week")
    return found[0]
