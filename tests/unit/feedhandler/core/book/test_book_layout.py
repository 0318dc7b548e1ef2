import numpy as np
import pytest

from feedhandler.core.book.layout import (
    BLOCK,
    BLOCKS_FREE,
    NO_LEVEL,
    ORDER,
    SIDE,
    BookCapacity,
    allocate_book,
)

CAPACITY = BookCapacity(instruments=3, orders=1_024, overflow_orders=8, level_blocks=7, arena=64)
LINE_BYTES = 64


def test_every_array_has_the_configured_size():
    book = allocate_book(CAPACITY)
    assert len(book.orders) == len(book.stamps) == 1_024 + 8
    assert (book.order_mask, book.overflow_mask) == (1_023, 7)
    assert (len(book.sides), len(book.ladders), len(book.near)) == (6, 12, 12 * 8)
    assert (len(book.blocks), len(book.levels)) == (8, 8 * 64)
    assert len(book.arena) == 64


def test_what_a_message_touches_lies_within_cache_lines():
    book = allocate_book(CAPACITY)
    arrays = [value for value in book if isinstance(value, np.ndarray)]
    assert all(array.ctypes.data % LINE_BYTES == 0 for array in arrays)
    assert LINE_BYTES % ORDER.itemsize == LINE_BYTES % BLOCK.itemsize == 0
    assert 2 * SIDE.itemsize == LINE_BYTES


def test_no_array_reaches_into_another():
    book = allocate_book(CAPACITY)
    arrays = [value for value in book if isinstance(value, np.ndarray)]
    places = sorted((array.ctypes.data, array.nbytes) for array in arrays)
    ends = [start + size for start, size in places]
    assert all(end <= start for end, (start, _) in zip(ends, places[1:], strict=False))


def test_everything_is_free_at_first():
    book = allocate_book(CAPACITY)
    assert book.meta[BLOCKS_FREE] == 7
    assert sorted(book.free_blocks) == list(range(1, 8))
    assert set(book.ladders["size_class"]) == {-1}
    assert set(book.sides["top"]) == set(book.sides["top_fine"]) == {NO_LEVEL}


@pytest.mark.parametrize("name", ["orders", "overflow_orders"])
@pytest.mark.parametrize("value", [0, 3, -4])
def test_size_that_is_masked_is_a_power_of_two(name: str, value: int):
    with pytest.raises(ValueError, match=f"{name} is a power of two, not {value}"):
        allocate_book(CAPACITY._replace(**{name: value}))
