"""The Universal Scalability Law, fitted to measured throughput.

    X(n) = rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))

Source: N. J. Gunther, Guerrilla Capacity Planning (2007), chapter 4. `contention` is the share of
the work that only one can do at a time (or that each has to do again), `coherency` what each pair
costs by keeping one another up to date.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PARAMETERS = 3


class Law(NamedTuple):
    """Parameters, none of them negative; `rate` is the throughput of one."""

    rate: float
    contention: float = 0.0
    coherency: float = 0.0

    def throughput(self, count: int) -> float:
        """X of so many."""
        pairs = count * (count - 1)
        return self.rate * count / (1 + self.contention * (count - 1) + self.coherency * pairs)

    def peak(self) -> int | None:
        """How many do the most; None when more always do more, or no less."""
        if self.coherency == 0:
            return None
        return max(1, round(math.sqrt(max(1 - self.contention, 0) / self.coherency)))


def misfit(law: Law, points: Sequence[tuple[int, float]]) -> float:
    """What `fit` makes least: the sum of the squares of measured / X - 1."""
    return sum((measured / law.throughput(count) - 1) ** 2 for count, measured in points)


def fit(points: Sequence[tuple[int, float]]) -> Law:
    """The law with the least misfit to points (how many, throughput above 0).

    Not more parameters than there are different counts: from one comes the rate, from two the
    contention as well, since they cannot tell it from coherency. measured / X is linear in
    1/rate, contention/rate and coherency/rate; that none may be negative is met by trying each
    choice of those that are 0.
    """
    counts = np.array([count for count, _ in points], float)
    measured = np.array([each for _, each in points], float)
    columns = np.stack([np.ones_like(counts), counts - 1, counts * (counts - 1)])
    columns *= measured / counts
    known = min(len(set(counts.tolist())), PARAMETERS)
    found = []
    for chosen in itertools.product((False, True), repeat=known - 1):
        used = [0, *(i + 1 for i, is_used in enumerate(chosen) if is_used)]
        solution = np.linalg.lstsq(columns[used].T, np.ones_like(counts), rcond=None)[0]
        if solution[0] > 0 and (solution >= 0).all():
            values = np.zeros(PARAMETERS)
            values[used] = solution
            law = Law(*(float(each) for each in (1, values[1], values[2]) / values[0]))
            found.append((misfit(law, points), law))
    return min(found)[1]
