"""What the machine itself does to a loop while others use it: three loops that never change.

A neighbour on the same physical core slows code by how much of the core's units and caches the code
wants, so one reference loop cannot stand for all. `chain` is one multiplication
after the other, which hardly any neighbour can slow; `wide` keeps every unit of the core busy;
`walk` touches 1 MiB in no order. How much longer `wide` and `walk` take, by `chain`, than they do
when nobody disturbs, is what the others do at that moment: `disturbance_thousandths`.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel
from tools.bench.measure import Run, timed

PROCESSOR = ("AuthenticAMD", "26", "2")
"""Vendor, family and model of the processor that the figures were measured on."""

CHAIN_LOOPS, WIDE_LOOPS, WALK_LOOPS = 1_000_000, 1_000_000, 500_000
QUIET_WIDE_THOUSANDTHS = 1_250
QUIET_WALK_THOUSANDTHS = 1_050
_WORDS = 1 << 17


@kernel
def chain_nb(count: int) -> int:
    """`count` multiplications, each of the result of the one before."""
    value = np.int64(0x811C9DC5)
    for i in range(count):
        value = ((value ^ i) * np.int64(0x01000193)) & np.int64(0xFFFFFFFF)
    return value


@kernel
def wide_nb(count: int) -> int:
    """`count` rounds of eight chains of additions and shifts that do not wait for one another."""
    a = b = c = d = e = f = g = h = np.int64(1)
    for i in range(count):
        a, b, c, d = a + (b >> 1) + i, b ^ (a + i), c + (d >> 3), d ^ (c + i)
        e, f, g, h = e + (f >> 5) + i, f ^ (e + i), g + (h >> 7), h ^ (g + i)
    return a + b + c + d + e + f + g + h


@kernel
def walk_nb(words: NDArray[np.int64], count: int) -> int:
    """Add one to `count` of words i64[2^17], chosen by a linear congruence."""
    place = np.int64(1)
    for _ in range(count):
        place = (place * np.int64(25_214_903_917) + np.int64(11)) & np.int64((1 << 48) - 1)
        words[place >> 31] += 1
    return place


class Probes:
    """The three loops, ready to be timed beside something else."""

    def __init__(self) -> None:
        words = np.zeros(_WORDS, np.int64)
        self.runs: list[Run] = [
            lambda: timed(CHAIN_LOOPS, partial(chain_nb, CHAIN_LOOPS)),
            lambda: timed(WIDE_LOOPS, partial(wide_nb, WIDE_LOOPS)),
            lambda: timed(WALK_LOOPS, partial(walk_nb, words, WALK_LOOPS)),
        ]
        self.start()
        self.take()

    def start(self) -> None:
        """Forget what was measured."""
        self.fastest_ps: list[int] = [1 << 62] * len(self.runs)

    def take(self) -> None:
        """Time each loop once, after a round of it that brings its memory back to the cache."""
        for i, run in enumerate(self.runs):
            run()
            timing = run()
            picoseconds = 1_000 * timing.elapsed_ns // timing.operations
            self.fastest_ps[i] = min(self.fastest_ps[i], picoseconds)

    def ratios_thousandths(self) -> tuple[int, int]:
        """What a round of `wide` and of `walk` take by one of `chain`."""
        chain, wide, walk = self.fastest_ps
        return 1_000 * wide // chain, 1_000 * walk // chain

    def disturbance_thousandths(self) -> int:
        """How much longer the worse of `wide` and `walk` took; 1,000: no longer."""
        wide, walk = self.ratios_thousandths()
        worse = max(1_000 * wide // QUIET_WIDE_THOUSANDTHS, 1_000 * walk // QUIET_WALK_THOUSANDTHS)
        return max(1_000, worse)


def is_the_measured_processor(path: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this is the kind of processor that the figures belong to."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return False
    found: dict[str, Any] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return tuple(found.get(key) for key in ("vendor_id", "cpu family", "model")) == PROCESSOR
