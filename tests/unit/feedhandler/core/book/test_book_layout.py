import pytest

from feedhandler.core.book.layout import (
    LEVELS_FREE,
    PAGES_FREE,
    BookCapacity,
    allocate_book,
)

CAPACITY = BookCapacity(
    instruments=3, order_pages=5, overflow_orders=8, levels=7, arena=64, references=1_024
)


def test_every_array_has_the_configured_size():
    book = allocate_book(CAPACITY)
    assert len(book.directory) == 1_024 // 256
    assert len(book.words) == 5 * 256
    assert (len(book.rows), len(book.best)) == (6, 3)
    assert (len(book.keys), len(book.handles)) == (64, 64)


def test_everything_is_free_at_first():
    book = allocate_book(CAPACITY)
    assert (book.meta[LEVELS_FREE], book.meta[PAGES_FREE]) == (7, 5)
    assert sorted(book.free_levels) == list(range(7))
    assert sorted(book.free_pages) == list(range(5))
    assert set(book.rows["size_class"]) == {-1}


@pytest.mark.parametrize("name", ["overflow_orders", "references"])
@pytest.mark.parametrize("value", [0, 3, -4])
def test_size_that_is_masked_is_a_power_of_two(name: str, value: int):
    with pytest.raises(ValueError, match=f"{name} is a power of two, not {value}"):
        allocate_book(CAPACITY._replace(**{name: value}))
