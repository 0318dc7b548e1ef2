"""Rows of i64 words that one thread writes and any other reads whole, nobody waiting for long: the
first word of a row is its version, odd while the row is being written (sequence lock).

The writer stores each word by `store_release`, so that none is seen before the odd version.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import load_acquire, spin_pause, store_release
from protocols.jit import kernel

VERSION = 0


@kernel
def open_row_nb(words: NDArray[np.int64], at: int) -> None:
    """From here on the row that begins at words[at] is being written."""
    store_release(words, at + VERSION, words[at + VERSION] + 1)


@kernel
def close_row_nb(words: NDArray[np.int64], at: int) -> None:
    """The row is whole again."""
    store_release(words, at + VERSION, words[at + VERSION] + 1)


@kernel
def read_row_nb(words: NDArray[np.int64], at: int, out: NDArray[np.int64]) -> None:
    """Copy words[at : at + len(out)] as they were at one moment."""
    while True:
        version = load_acquire(words, at + VERSION)
        for i in range(1, out.shape[0]):
            out[i] = load_acquire(words, at + i)
        out[VERSION] = load_acquire(words, at + VERSION)
        if out[VERSION] == version and version & 1 == 0:
            return
        spin_pause()
