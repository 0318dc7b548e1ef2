"""Event time: what stamps of an instrument say, whatever they say.

Periods are counted from midnight of the venue. Time stands still while stamps go back; a stamp
that is far back (a new day, a clock that was wrong) begins anew.
"""

from protocols.jit import kernel

TIME_MAX_NS = 1 << 61
"""A later stamp counts as this one."""

FAR_BACK_NS = 10_000_000_000
"""From so far back on, time begins anew there."""


@kernel
def event_ns_nb(ts_exch_ns: int) -> int:
    """A stamp within 0 .. TIME_MAX_NS."""
    return min(max(ts_exch_ns, 0), TIME_MAX_NS)


@kernel
def period_end_nb(now_ns: int, length_ns: int) -> int:
    """End of the period that `now_ns` is in: the first moment that is not."""
    return (now_ns // length_ns + 1) * length_ns
