"""Guards against a hot path that takes 15 % more instructions than it did,
or 15 % fewer and nobody noted it.

Instructions are counted by callgrind, of kernels alone, compiled for one processor (x86-64-v3):
neither what else the machine does nor which machine it is changes the code that runs. Input: a
session of 50,000 messages of the synthetic exchange, 100 symbols, seed 1; loops of a million. Four
runs differed by 0.0004 % at most.

What a count cannot see is what an instruction costs (a miss of the cache, a branch guessed wrong):
that is for `test_ratios.py`. `window_store` is not here: the C library chooses its memcpy by the
processor. After a change that was meant, write the new figures down here, and why in the commit;
`python -m tools.bench.instructions` prints them.

Not part of `make test`; run with `make perf`.
"""

from collections.abc import Callable

import pytest

from tools.bench.callgrind import why_not
from tools.bench.instructions import Count, count_instructions

pytestmark = pytest.mark.timeout(900)  # kernels may have to be compiled first

MARGIN_PERCENT = 15
PLANTED = "tests.perf.planted:itch_decode_and_a_fifth"

RECORDED_HUNDREDTHS = {
    "itch_frame": 2_590,
    "itch_fields": 7_253,
    "itch_decode": 10_731,
    "itch_decode_and_book": 40_178,
    "book_200": 32_518,
    "replay_with_stages": 121_667,
    "stage_line_b": 126_391,
    "ring_one_thread": 3_211,
    "histogram_record": 2_811,
    "counter_add": 635,
    "fix_tokenise": 223_668,
    "fix_decode": 309_049,
    "fix_entries": 410_836,
    "fix_signal": 565_675,
}
"""Hundredths of an instruction an operation; Numba 0.68.1, NumPy 2.4.6, Python 3.11.7."""


def verdict(name: str, hundredths: int) -> str:
    """What is wrong with a count, "" where nothing is."""
    recorded = RECORDED_HUNDREDTHS[name]
    change = f"{name}: {hundredths / 100} instructions an operation, recorded {recorded / 100}"
    if 100 * hundredths > (100 + MARGIN_PERCENT) * recorded:
        return f"{change}: more than {MARGIN_PERCENT} % worse"
    if 100 * hundredths < (100 - MARGIN_PERCENT) * recorded:
        return (
            f"{change}: more than {MARGIN_PERCENT} % better; record {hundredths}, or what is won"
            " may be lost again without a word"
        )
    return ""


@pytest.fixture(scope="module")
def counts(debian_program: Callable[[str, str], str]) -> dict[str, Count]:
    debian_program("valgrind", "valgrind")
    reason = why_not()
    if reason:
        pytest.skip(reason)
    return count_instructions([*RECORDED_HUNDREDTHS, PLANTED])


@pytest.mark.parametrize("name", RECORDED_HUNDREDTHS)
def test_a_hot_path_takes_the_instructions_that_it_took(name: str, counts: dict[str, Count]):
    assert verdict(name, counts[name].hundredths) == ""


def test_a_fifth_more_work_is_found(counts: dict[str, Count]):
    assert "more than 15 % worse" in verdict("itch_decode", counts[PLANTED].hundredths)


def test_the_margin_is_what_it_says_both_ways():
    name, recorded = "itch_decode", RECORDED_HUNDREDTHS["itch_decode"]
    assert verdict(name, recorded * 114 // 100) == ""
    assert "worse" in verdict(name, recorded * 116 // 100)
    assert verdict(name, recorded * 86 // 100) == ""
    assert "record" in verdict(name, recorded * 84 // 100).partition("better")[2]
