import numpy as np
import pytest

from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import (
    HEAD,
    TAIL,
    allocate_ring,
    ring_commit_nb,
    ring_pop_nb,
    ring_push_nb,
    ring_reserve_nb,
    ring_size_nb,
    ring_take_rows_nb,
)


@pytest.mark.parametrize("capacity", [0, -1, 3, 12])
def test_a_capacity_that_is_no_power_of_two_is_refused(capacity: int):
    with pytest.raises(ValueError, match=f"not {capacity}"):
        allocate_ring(capacity)


def test_the_cursors_are_128_bytes_apart():
    assert (HEAD - TAIL) * allocate_ring(1).cursors.itemsize == 128


def test_an_empty_ring_gives_minus_one():
    assert ring_pop_nb(allocate_ring(4)) == -1


def test_items_come_out_in_the_order_they_went_in():
    ring = allocate_ring(4)
    assert [ring_push_nb(ring, value) for value in (7, 0, 9)] == [1, 1, 1]
    assert [ring_pop_nb(ring) for _ in range(4)] == [7, 0, 9, -1]


def test_a_full_ring_refuses_and_keeps_what_it_has():
    ring = allocate_ring(2)
    assert [ring_push_nb(ring, value) for value in (1, 2, 3)] == [1, 1, 0]
    assert ring_size_nb(ring) == 2
    assert [ring_pop_nb(ring), ring_pop_nb(ring)] == [1, 2]


def test_a_ring_of_one_cell_works():
    ring = allocate_ring(1)
    for value in range(5):
        assert ring_push_nb(ring, value) == 1
        assert ring_push_nb(ring, 99) == 0
        assert ring_pop_nb(ring) == value


def test_a_reserved_row_is_seen_only_after_the_commit():
    ring = allocate_ring(2, SIGNAL)
    out = np.zeros(2, SIGNAL)
    ring.cells[ring_reserve_nb(ring)]["signal_id"] = 5
    assert ring_take_rows_nb(ring, out) == 0
    ring_commit_nb(ring)
    assert ring_take_rows_nb(ring, out) == 1
    assert out[0]["signal_id"] == 5


def test_a_full_ring_has_no_row_to_reserve():
    ring = allocate_ring(1, SIGNAL)
    assert ring_reserve_nb(ring) == 0
    ring_commit_nb(ring)
    assert ring_reserve_nb(ring) == -1


def test_rows_are_taken_up_to_the_size_of_the_output_and_across_the_end_of_the_array():
    ring = allocate_ring(4, SIGNAL)
    out, taken = np.zeros(3, SIGNAL), []
    for signal_id in range(1, 11):
        ring.cells[ring_reserve_nb(ring)]["signal_id"] = signal_id
        ring_commit_nb(ring)
        if ring_size_nb(ring) == 4:
            count = ring_take_rows_nb(ring, out)
            taken += out["signal_id"][:count].tolist()
    while count := ring_take_rows_nb(ring, out):
        taken += out["signal_id"][:count].tolist()
    assert taken == list(range(1, 11))
