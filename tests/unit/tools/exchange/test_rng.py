"""The random numbers of the exchange."""

import numpy as np
import pytest

from tools.exchange.rng import CHANCE_ONE, happens_nb, random_nb, seed_state


def test_the_generator_is_the_stated_multiply_with_carry():
    state = seed_state(42)
    words = np.array([state], np.int64)
    for _ in range(1000):
        expected = (state & 0xFFFF_FFFF) ^ (state >> 32)
        state = 698_769_069 * (state & 0xFFFF_FFFF) + (state >> 32)
        assert random_nb(words, 0) == expected
        assert int(words[0]) == state < 1 << 62


def test_seeds_and_streams_differ():
    states = {seed_state(seed, stream) for seed in range(50) for stream in range(3)}
    assert len(states) == 150
    with pytest.raises(ValueError, match="0 or more"):
        seed_state(-1)


def test_every_bit_is_set_half_of_the_time():
    words = np.array([seed_state(1)], np.int64)
    draws = np.array([random_nb(words, 0) for _ in range(4000)])
    for bit in range(32):
        assert 1800 < ((draws >> bit) & 1).sum() < 2200


def test_a_chance_happens_as_often_as_it_says():
    words = np.array([seed_state(1)], np.int64)
    hits = sum(happens_nb(words, 0, CHANCE_ONE // 10) for _ in range(10_000))
    assert 850 < hits < 1150
    before = int(words[0])
    assert happens_nb(words, 0, 0) == 0
    assert words[0] == before
