"""Slow, obvious twin of a breaker's cell: one clock that only runs forward, and the moments on it
at which things happened.
"""

from math import inf

CAUTION = 1
SPAN_MAX_NS = BACK_NS = 60 * 10**9


class SlowBreaker:
    """One cell. `state` is a word, `level` what the trip was for."""

    def __init__(self, calm_ns: int, cooling_ns: int, cooling_max_ns: int, probe_ns: int) -> None:
        self.state = "NORMAL"
        self.level = 0
        self.trips = 0
        self.time_in = {"NORMAL": 0, "TRIPPED": 0, "COOLING": 0, "PROBE": 0}
        self._calm_ns, self._probe_ns = calm_ns, probe_ns
        self._first_cooling_ns, self._cooling_max_ns = cooling_ns, cooling_max_ns
        self._cooling_ns = 0
        self._stamp: int | None = None
        self._clock = 0
        self._entered = 0
        self._demand = 0
        # The moment since which nothing is demanded.
        self._calm_since = 0.0
        # The moment until which a trip by hand holds.
        self._held_until = -inf

    def step(self, demand: int, stamp: int) -> int:
        """A tick; the level that holds."""
        self._run_clock(stamp)
        if demand not in range(4):
            demand = self._demand
        if demand == 0 and self._demand > 0:
            self._calm_since = self._clock
        self._demand = demand
        if demand > 0:
            self._calm_since = inf
            if self.state != "TRIPPED" or demand > self.level:
                self._trip(demand)
        elif self.state == "TRIPPED":
            is_held = self._clock < self._held_until
            if not is_held and self._clock - self._calm_since >= self._calm_ns:
                self._enter("COOLING", self.level)
        elif self.state == "COOLING":
            if self._clock - self._entered >= self._cooling_ns:
                self._enter("PROBE", self.level)
        elif self.state == "PROBE" and self._clock - self._entered >= self._probe_ns:
            self._enter("NORMAL", 0)
        return self.effective

    def trip(self, level: int, for_ns: int) -> int:
        """By hand."""
        if level in (1, 2, 3) and for_ns >= 0:
            until = self._clock + for_ns if for_ns else inf
            self._held_until = max(self._held_until, until)
            self._trip(level)
        return self.effective

    def reset(self) -> int:
        """By hand."""
        self._held_until = -inf
        if self._demand == 0:
            self._calm_since = self._clock
        self._enter("NORMAL", 0)
        return 0

    @property
    def effective(self) -> int:
        """The level that holds."""
        return CAUTION if self.state == "PROBE" else self.level

    @property
    def cooling_ns(self) -> int:
        """How long this cooling, or the next one, is; 0 in NORMAL."""
        return 0 if self.state == "NORMAL" else self._cooling_ns

    @property
    def calm_ns(self) -> int:
        """For how long nothing was demanded."""
        return 0 if self._demand else int(self._clock - self._calm_since)

    def _run_clock(self, stamp: int) -> None:
        if self._stamp is None or stamp < self._stamp - BACK_NS:
            self._stamp = max(stamp, 1)
            return
        passed = min(max(stamp - self._stamp, 0), SPAN_MAX_NS)
        self._stamp = max(self._stamp, stamp)
        self._clock += passed
        self.time_in[self.state] += passed

    def _trip(self, level: int) -> None:
        if self.state == "NORMAL":
            self._cooling_ns = min(self._first_cooling_ns, self._cooling_max_ns)
        if self.state == "PROBE":
            self._cooling_ns = min(2 * self._cooling_ns, self._cooling_max_ns)
        if self.state in {"NORMAL", "PROBE"}:
            self.trips += 1
        self._enter("TRIPPED", max(level, self.level))

    def _enter(self, state: str, level: int) -> None:
        if state != self.state:
            self._entered = self._clock
        self.state, self.level = state, level
