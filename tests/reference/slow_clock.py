"""The venue's clock, case by case: what a message that is due at a time bears."""

from collections.abc import Iterable

Step = tuple[int, int, int]
"""From when on, until when, and how far the clock is ahead, in ns."""


def slow_stamp(steps: Iterable[Step], clock_ns: int) -> int:
    """The stamp of a message that is due at `clock_ns`; no two steps overlap."""
    for from_ns, until_ns, step_ns in steps:
        if step_ns > 0:
            if from_ns <= clock_ns < until_ns:
                return clock_ns + step_ns
            if until_ns <= clock_ns < until_ns + step_ns:
                return until_ns + step_ns
        else:
            behind_ns = -step_ns
            still_ns = min(behind_ns, until_ns - from_ns)
            if from_ns <= clock_ns < from_ns + still_ns:
                return from_ns
            if from_ns + still_ns <= clock_ns < until_ns:
                return clock_ns - behind_ns
    return clock_ns
