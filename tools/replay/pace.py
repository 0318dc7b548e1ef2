"""The pace of a replay: which events are due now, at a whole multiple of the recorded speed."""

import time
from collections.abc import Callable

from tools.replay.kernels import FOREVER_NS

SPEED_MAX = 1_000_000
_NS_PER_S = 1_000_000_000
_NAP_NS_MAX = 50_000_000
"""The longest single sleep: a clock that is set back, or a hole of hours in the recording, does not
make one that nobody can interrupt."""


class Pace:
    """Event time against the clock; the first event that is asked about is due at once."""

    def __init__(
        self,
        speed: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep_s: Callable[[float], None] = time.sleep,
    ) -> None:
        """`speed` times as fast as recorded, 1 to SPEED_MAX; `now_ns` and `sleep_s` are replaced in
        tests.
        """
        self._speed = speed
        self._now_ns = now_ns
        self._sleep_s = sleep_s
        self._started_ns: int | None = None
        self._first_event_ns = 0

    def wait_for(self, event_ns: int) -> int:
        """Sleep until the event at `event_ns` is due; the event time that is due by then.

        An event that is due already costs no sleep.
        """
        if self._started_ns is None:
            self._started_ns = self._now_ns()
            self._first_event_ns = event_ns
        while (due_ns := self._due_ns(self._started_ns)) < event_ns:
            # Rounded up, so that the last nap does not end just before the event.
            nap_ns = min(-(-(event_ns - due_ns) // self._speed), _NAP_NS_MAX)
            self._sleep_s(nap_ns / _NS_PER_S)
        return due_ns

    def _due_ns(self, started_ns: int) -> int:
        due_ns = self._first_event_ns + (self._now_ns() - started_ns) * self._speed
        # All events are below it, and the kernels' integers have 64 bits.
        return min(due_ns, FOREVER_NS - 1)
