"""Tuples of arrays behind words, and back."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import outline_kernel
from protocols.lasting import lay_out, reference_view


@by_reference
class Pair(NamedTuple):
    left: NDArray[np.int64]
    right: NDArray[np.uint8]


def pair(size: int) -> Pair:
    return Pair(np.zeros(size, np.int64), np.zeros(size + 1, np.uint8))


_pair_at = reference_view(pair(1))


@outline_kernel
def _write_nb(words: Any, at: int, value: int) -> int:
    found = _pair_at(words, at)
    found.left[2] = value
    found.right[0] = value
    return found.left.shape[0] * 100 + found.right.shape[0]


def test_each_tuple_is_found_again_at_its_place():
    first, second = pair(3), pair(5)
    words, places = lay_out(4, first, second)
    assert words[:4].tolist() == [0, 0, 0, 0]
    assert places[0] == 4
    assert _write_nb(words, places[0], 7) == 304
    assert _write_nb(words, places[1], 8) == 506
    assert (first.left.tolist(), first.right[0]) == ([0, 0, 7], 7)
    assert (second.left.tolist(), second.right[0]) == ([0, 0, 8, 0, 0], 8)
