"""Where a word stands in a sorted table."""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel


@kernel
def place_of_nb(words: NDArray[np.int64], count: int, word: int) -> int:
    """Place of a word among the first `count`, which ascend; -1 when it is not there."""
    low, high = np.int64(0), np.int64(count)
    while low < high:
        middle = (low + high) >> 1
        if words[middle] < word:
            low = middle + 1
        else:
            high = middle
    return low if low < count and words[low] == word else np.int64(-1)
