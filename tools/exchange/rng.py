"""A small seeded generator of random numbers that gives the same numbers compiled and interpreted.

Multiply-with-carry with Marsaglia's multiplier of KISS (698769069 * 2**32 - 1 is a safe prime, so
the period is about 2**60). The state stays below 2**62, so no product overflows a signed 64-bit
integer and the interpreter needs no wrap-around.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel

MULTIPLIER = 698_769_069
MASK_32 = 0xFFFF_FFFF
CHANCE_ONE = 1 << 32
"""A chance of 1 for `happens_nb`: chances are integers in units of 2**-32."""
_CARRY_LIMIT = MULTIPLIER - 1
_WARM_UP = 16


def seed_state(seed: int, stream: int = 0) -> int:
    """First state of stream number `stream` of `seed`: any integers from 0; different streams of a
    seed are unrelated in practice.
    """
    if seed < 0 or stream < 0:
        raise ValueError(f"seed {seed}, stream {stream}: both are 0 or more")
    # Python's integers: the mixing (a splitmix64 step) may be as wide as it likes, and runs once.
    mixed = (seed + (stream + 1) * 0x9E3779B97F4A7C15) & 0xFFFF_FFFF_FFFF_FFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFF_FFFF_FFFF_FFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFF_FFFF_FFFF_FFFF
    mixed ^= mixed >> 31
    carry = 1 + (mixed >> 32) % _CARRY_LIMIT
    words = np.array([(carry << 32) | (mixed & MASK_32)], np.int64)
    for _ in range(_WARM_UP):
        random_nb(words, 0)
    return int(words[0])


@kernel
def random_nb(words: NDArray[np.int64], at: int) -> int:
    """Next 32 random bits of the generator whose state is `words[at]`."""
    state = words[at]
    words[at] = MULTIPLIER * (state & MASK_32) + (state >> 32)
    return (state & MASK_32) ^ (state >> 32)


@kernel
def happens_nb(words: NDArray[np.int64], at: int, chance: int) -> int:
    """1 with probability chance / 2**32, else 0; draws nothing for a chance of 0, so that an unused
    fault costs nothing.
    """
    if chance <= 0:
        return 0
    return 1 if random_nb(words, at) < chance else 0
