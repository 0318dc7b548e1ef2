"""Where signals come from: a ring of each thread that makes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.ring import Ring, ring_take_rows_nb


class SignalSources:
    """The rings, taken in turn. Of one alone the rows carry the numbers that their maker gave them;
    those of several are numbered here, behind `last_id`, as they are taken.
    """

    def __init__(self, rings: Sequence[Ring]) -> None:
        self.last_id = 0
        self._rings = tuple(rings)
        self._first = 0

    def take(self, rows: NDArray[np.void]) -> int:
        """Move up to len(rows) rows from the rings into `rows`; how many. Each ring's keep their
        order, and the ring that comes first is another one each time.
        """
        if len(self._rings) == 1:
            return int(ring_take_rows_nb(self._rings[0], rows))
        count = 0
        for step in range(len(self._rings)):
            ring = self._rings[(self._first + step) % len(self._rings)]
            count += int(ring_take_rows_nb(ring, rows[count:]))
        self._first = (self._first + 1) % len(self._rings)
        rows["signal_id"][:count] = np.arange(self.last_id + 1, self.last_id + 1 + count)
        self.last_id += count
        return count
