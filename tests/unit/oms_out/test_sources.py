"""Signals out of one ring as they are, out of several numbered in the order in which they come."""

import numpy as np

from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import Ring, allocate_ring, ring_commit_nb, ring_reserve_nb
from oms_out.sources import SignalSources


def put(ring: Ring, *seqs: int) -> None:
    """Signals of these messages, with numbers that their maker gave them."""
    for seq in seqs:
        at = ring_reserve_nb(ring)
        ring.cells[at]["seq"] = seq
        ring.cells[at]["signal_id"] = 1_000 + seq
        ring_commit_nb(ring)


def take(sources: SignalSources, most: int) -> list[tuple[int, int]]:
    """(signal id, message) of what comes next."""
    rows = np.zeros(most, SIGNAL)
    count = sources.take(rows)
    return [(int(row["signal_id"]), int(row["seq"])) for row in rows[:count]]


def rings(count: int) -> list[Ring]:
    return [allocate_ring(16, SIGNAL) for _ in range(count)]


def test_one_ring_keeps_its_numbers():
    (ring,) = rings(1)
    sources = SignalSources([ring])
    put(ring, 1, 2, 3)
    assert take(sources, 2) == [(1_001, 1), (1_002, 2)]
    assert take(sources, 2) == [(1_003, 3)]
    assert take(sources, 2) == []


def test_several_are_numbered_without_a_gap_behind_the_last_one():
    first, second = rings(2)
    sources = SignalSources([first, second])
    sources.last_id = 70
    put(first, 1, 2)
    put(second, 5)
    assert take(sources, 8) == [(71, 1), (72, 2), (73, 5)]
    assert take(sources, 8) == []
    put(first, 3)
    assert take(sources, 8) == [(74, 3)]
    assert sources.last_id == 74


def test_a_ring_that_is_always_full_keeps_no_other_waiting():
    made = rings(3)
    sources = SignalSources(made)
    for ring in made:
        put(ring, *range(10))
    found = [[seq for _id, seq in take(sources, 4)] for _ in range(3)]
    assert found == [[0, 1, 2, 3]] * 3


def test_each_ring_keeps_its_order_and_nothing_is_lost():
    made = rings(3)
    sources = SignalSources(made)
    for number, ring in enumerate(made):
        put(ring, *range(100 * number, 100 * number + 10))
    found = [each for _ in range(20) for each in take(sources, 3)]
    assert [signal_id for signal_id, _seq in found] == list(range(1, 31))
    for number in range(3):
        seqs = [seq for _id, seq in found if seq // 100 == number]
        assert seqs == list(range(100 * number, 100 * number + 10))
