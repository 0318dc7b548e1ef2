"""Kernels read and pass on a large tuple as one pointer; Python sees an ordinary one."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numba.core.errors import TypingError
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.kernel_cache import JIT_ENABLED


class Pair(NamedTuple):
    low: NDArray[np.int64]
    high: NDArray[np.int64]


@by_reference
class Inner(NamedTuple):
    table: NDArray[np.int64]
    scale: int


@by_reference
class Outer(NamedTuple):
    words: NDArray[Any]
    inner: Inner
    pair: Pair
    rows: NDArray[np.void]


ROW = np.dtype([("at", np.int64), ("size", np.int32)])


@outline_kernel
def add_inner_nb(inner: Inner, amount: int) -> int:
    inner.table[1, 2] += amount * inner.scale
    return np.int64(inner.table[1, 2])


@outline_kernel
def add_outer_nb(outer: Outer, amount: int) -> int:
    outer.words[0] += amount
    outer.pair.high[0] = amount
    outer.rows[1]["size"] = amount
    return add_inner_nb(outer.inner, amount)


@kernel
def add_often_nb(outer: Outer, count: int) -> int:
    """The last sum; and the shapes in the pair's first array."""
    total = np.int64(0)
    for i in range(count):
        total = add_outer_nb(outer, i)
    outer.pair.low[0] = outer.inner.table.shape[0] * 10 + outer.inner.table.shape[1]
    outer.pair.low[1] = len(outer.words)
    return total


def make_outer(kind: Any = np.int64) -> Outer:
    inner = Inner(np.zeros((3, 4), np.int64), 10)
    pair = Pair(np.zeros(2, np.int64), np.zeros(1, np.int64))
    return Outer(np.zeros(7, kind), inner, pair, np.zeros(2, ROW))


def test_fields_of_all_depths_are_read_and_written():
    outer = make_outer()
    assert add_often_nb(outer, 4) == 60
    assert outer.words.tolist() == [6, 0, 0, 0, 0, 0, 0]
    assert outer.inner.table[1].tolist() == [0, 0, 60, 0]
    assert outer.pair.low.tolist() == [34, 7]
    assert outer.pair.high.tolist() == [3]
    assert outer.rows.tolist() == [(0, 0), (0, 3)]


def test_each_call_reads_the_tuple_that_it_is_given():
    first, second = make_outer(), make_outer()
    add_often_nb(first, 3)
    add_often_nb(second, 4)
    assert (first.words[0], second.words[0]) == (3, 6)
    other = second._replace(words=np.zeros(2, np.int64))
    add_often_nb(other, 2)
    assert other.words[0] == 1
    assert other.pair.low.tolist() == [34, 2]


def test_arrays_of_another_type_make_another_kernel():
    outer = make_outer(np.uint8)
    assert add_often_nb(outer, 3) == 30
    assert outer.words.dtype == np.uint8
    assert outer.words[0] == 3


@pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter takes a tuple as it is")
def test_a_field_that_no_kernel_can_have_is_refused():
    with pytest.raises(TypingError, match=r"[Cc]annot determine Numba type"):
        add_often_nb(make_outer()._replace(pair=object()), 1)


@pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter takes a tuple as it is")
def test_a_field_that_is_none_of_the_class_is_refused():
    @kernel
    def misspelt_nb(inner: Inner) -> int:
        return inner.tabel[0, 0]  # type: ignore[attr-defined]

    with pytest.raises(TypingError, match="Unknown attribute 'tabel'"):
        misspelt_nb(make_outer().inner)
