"""Any steps of the venue's clock: stamps as the plain rules have them, and never back."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.slow_clock import Step, slow_stamp
from tools.exchange.layout import CLOCK_STEP_WORDS
from tools.exchange.stamps import stamp_nb

SPANS = st.integers(1, 60)


@st.composite
def clocks(draw: st.DrawFn) -> list[Step]:
    """Steps that may touch, in any order, within the first few hundred ns."""
    steps, clock_ns = [], 0
    for _ in range(draw(st.integers(0, 4))):
        from_ns = clock_ns + draw(st.integers(0, 20))
        until_ns = from_ns + draw(SPANS)
        step_ns = draw(SPANS) * draw(st.sampled_from((-1, 1)))
        steps.append((from_ns, until_ns, step_ns))
        clock_ns = until_ns + max(step_ns, 0)
    return draw(st.permutations(steps))


@given(clocks())
def test_stamps_are_those_of_the_rules_and_never_go_back(steps: list[Step]):
    rows = np.array(steps, np.int64).reshape(-1, CLOCK_STEP_WORDS)
    stamps = [int(stamp_nb(rows, np.int64(clock_ns))) for clock_ns in range(700)]
    assert stamps == [slow_stamp(steps, clock_ns) for clock_ns in range(700)]
    assert all(one <= two for one, two in pairwise(stamps))
    assert stamps[-50:] == list(range(650, 700))


def test_a_clock_ahead_waits_and_one_behind_jumps():
    rows = np.array([(10, 20, 5), (30, 40, -5), (50, 52, -5)], np.int64)
    told = {9: 9, 10: 15, 19: 24, 20: 25, 24: 25, 25: 25, 26: 26}
    told |= {29: 29, 30: 30, 34: 30, 35: 30, 36: 31, 39: 34, 40: 40}
    told |= {50: 50, 51: 50, 52: 52}
    assert {clock_ns: int(stamp_nb(rows, np.int64(clock_ns))) for clock_ns in told} == told
