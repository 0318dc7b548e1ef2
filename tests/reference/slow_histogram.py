"""The obvious histogram: every value kept, percentiles by sorting."""

HIGHEST_VALUE = 2**40 - 1


class SlowHistogram:
    """All values, clamped as the fast one says it does."""

    def __init__(self) -> None:
        self.values: list[int] = []

    def record(self, value: int) -> None:
        """Keep one value."""
        self.values.append(min(max(value, 0), HIGHEST_VALUE))

    def percentile(self, per_100000: int) -> int:
        """Nearest-rank percentile, exact; 0 when empty."""
        if not self.values:
            return 0
        ordered = sorted(self.values)
        rank = max(1, -(-len(ordered) * per_100000 // 100_000))
        return ordered[rank - 1]

    def at_most(self, bound: int) -> int:
        """How many values are at or below a bound."""
        return sum(value <= bound for value in self.values)
