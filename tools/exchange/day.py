"""The day of a session, on its own clock."""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
OPEN_NS = (9 * 60 + 30) * 60 * NS_PER_S
"""09:30:00 as nanoseconds since midnight."""
MIDNIGHT_NS = 24 * 3600 * NS_PER_S
"""What a stamp of ITCH, nanoseconds since midnight, does not reach."""
SESSION_S_MAX = 50_000
"""Longest session on its own clock: until 23:23, as its steps are random and only their mean is
known beforehand.
"""


def fits_a_day(messages: int, simulated_rate: int) -> bool:
    """Whether a session of so many messages ends before the midnight of its own clock."""
    return messages <= SESSION_S_MAX * simulated_rate
