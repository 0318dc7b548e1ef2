"""Any sequence of demands, trips and resets: the cell is what its slow twin is, and never in a
state that it may not be in.
"""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import (
    CELL,
    TRANSITIONS,
    BreakerState,
    Manual,
    Tuning,
    level_of_cell_nb,
    reset_breaker_nb,
    step_breaker_nb,
    trip_breaker_nb,
)
from protocols.jit import kernel
from protocols.kernel_cache import JIT_ENABLED
from tests.reference.slow_breaker import SlowBreaker

S = 10**9
STATES = len(BreakerState)
SEQUENCES, STEPS = (1_000_000, 32) if JIT_ENABLED else (300, 32)

tunings = st.tuples(*(st.integers(0, 20) for _ in range(4))).map(
    lambda seconds: tuple(each * S for each in seconds)
)
stamps = st.one_of(
    st.integers(-5, 60).map(lambda seconds: seconds * S // 2),
    st.sampled_from([-90 * S, 3_000 * S, 1, -1]),
)
steps = st.tuples(st.just("step"), st.sampled_from([0, 0, 0, 0, 1, 2, 3, -1, 4]), stamps)
# A quiet time: what follows it meets a cell that cools or is in its probe.
quiets = st.tuples(st.just("quiet"), st.integers(1, 5), st.integers(1, 40).map(lambda s: s * S))
trips = st.tuples(st.just("trip"), st.integers(-1, 4), st.sampled_from([0, 1, -1, 9 * S, 40 * S]))
resets = st.tuples(st.just("reset"), st.just(0), st.just(0))
inputs = st.lists(st.one_of(steps, steps, steps, quiets, quiets, trips, resets), max_size=60)


def unfolded(found: list[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """The inputs, a quiet time as its ticks."""
    for verb, number, more in found:
        if verb == "quiet":
            yield from [("step", 0, more)] * number
        else:
            yield verb, number, more


@settings(max_examples=400)
@given(tunings, inputs)
def test_cell_is_that_of_the_slow_twin(
    tuning: tuple[int, int, int, int], given_inputs: list[tuple[str, int, int]]
):
    rows, words = np.zeros(1, CELL), np.array(tuning, np.int64)
    slow = SlowBreaker(*tuning)
    now_ns = 1_000 * S
    for verb, number, more in unfolded(given_inputs):
        if verb == "step":
            now_ns = max(now_ns + more, 1)
            level = step_breaker_nb(rows, 0, number, now_ns, words)
            expected = slow.step(number, now_ns)
        elif verb == "trip":
            level = trip_breaker_nb(rows, 0, number, more, words)
            expected = slow.trip(number, more)
        else:
            level, expected = reset_breaker_nb(rows, 0), slow.reset()
        row = rows[0]
        assert level == expected == level_of_cell_nb(rows, 0)
        assert BreakerState(int(row["state"])).name == slow.state
        assert (row["level"], row["trips"]) == (slow.level, slow.trips)
        assert (row["wait_ns"], row["calm_ns"]) == (slow.cooling_ns, slow.calm_ns)
        for name in ("tripped", "cooling", "probe"):
            assert row[f"{name}_ns"] == slow.time_in[name.upper()]


@given(tunings, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=120))
def test_between_two_trips_lie_calm_cooling_and_probe(
    tuning: tuple[int, int, int, int], demands: list[tuple[int, int]]
):
    calm_ns, cooling_ns, cooling_max_ns, probe_ns = tuning
    least_ns = calm_ns + min(cooling_ns, cooling_max_ns) + probe_ns
    rows, words = np.zeros(1, CELL), np.array(tuning, np.int64)
    now_ns, tripped_ns = 1_000 * S, -1
    for demand, seconds in demands:
        now_ns += seconds * S
        was_normal = rows[0]["state"] == BreakerState.NORMAL
        step_breaker_nb(rows, 0, demand, now_ns, words)
        if was_normal and rows[0]["state"] == BreakerState.TRIPPED:
            assert tripped_ns < 0 or now_ns - tripped_ns >= least_ns
            tripped_ns = now_ns


@kernel
def draw_nb(chance: NDArray[np.int64], below: int) -> int:
    """A number from 0 on, by a linear congruence."""
    chance[0] = (chance[0] * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return (chance[0] >> 12) % below


@kernel
def is_sound_nb(cells: NDArray[np.void], tuning: NDArray[np.int64]) -> int:
    """1 when a cell's words fit together."""
    row = cells[0]
    state, level, manual = np.int64(row["state"]), np.int64(row["level"]), np.int64(row["manual"])
    if state < 0 or state >= STATES or level < 0 or level > 3:
        return 0
    if (state == BreakerState.NORMAL) != (level == 0):
        return 0
    if manual != Manual.NONE and state != BreakerState.TRIPPED:
        return 0
    if (manual == Manual.FOR_A_TIME) != (row["manual_left_ns"] > 0):
        return 0
    wait_ns = np.int64(row["wait_ns"])
    if wait_ns < 0 or wait_ns > tuning[Tuning.COOLING_MAX_NS]:
        return 0
    return int(row["spent_ns"] >= 0 and row["calm_ns"] >= 0 and row["relapses"] >= 0)


@kernel
def turn_nb(
    cells: NDArray[np.void],
    tuning: NDArray[np.int64],
    chance: NDArray[np.int64],
    stamp: NDArray[np.int64],
) -> int:
    """One random input; 0 when the level that holds is not what the input allows."""
    before = level_of_cell_nb(cells, 0)
    was = np.int64(cells[0]["state"])
    choice = draw_nb(chance, 24)
    if choice == 0:
        return int(reset_breaker_nb(cells, 0) == 0)
    if choice == 1:
        level = draw_nb(chance, 5)
        held = trip_breaker_nb(cells, 0, level, draw_nb(chance, 3) * 15 * S, tuning)
        return int(held >= level or level == 4)
    demand = draw_nb(chance, 6) - 1 if choice < 6 else np.int64(0)
    span = draw_nb(chance, 64)
    if span == 0:
        stamp[0] -= 100 * S
    elif span == 1:
        stamp[0] += 4_000 * S
    elif span == 2:
        stamp[0] -= S
    else:
        stamp[0] += span * S // 4
    held = step_breaker_nb(cells, 0, demand, stamp[0], tuning)
    if 0 <= demand <= 3 and held < demand:
        return 0
    # Down only from COOLING to PROBE, and from there to NORMAL.
    comes_down = was >= BreakerState.COOLING
    return int(held >= before or comes_down)


@kernel
def drive_nb(
    cells: NDArray[np.void],
    tuning: NDArray[np.int64],
    chance: NDArray[np.int64],
    legal: NDArray[np.int64],
    seen: NDArray[np.int64],
    counts: tuple[int, int],
) -> int:
    """Random sequences from a fresh cell each; inputs after which something was not as it may be.
    `seen` counts the transitions.
    """
    faults = 0
    stamp = chance[1:2]
    for _ in range(counts[0]):
        cells[0]["state"] = cells[0]["level"] = cells[0]["demand"] = cells[0]["manual"] = 0
        cells[0]["last_ns"] = cells[0]["spent_ns"] = cells[0]["calm_ns"] = 0
        cells[0]["manual_left_ns"] = cells[0]["wait_ns"] = cells[0]["relapses"] = 0
        stamp[0] = 34_200 * S
        tuning[Tuning.CALM_NS] = draw_nb(chance, 6) * S
        tuning[Tuning.COOLING_NS] = draw_nb(chance, 12) * S
        tuning[Tuning.COOLING_MAX_NS] = draw_nb(chance, 24) * S
        tuning[Tuning.PROBE_NS] = draw_nb(chance, 8) * S
        for _ in range(counts[1]):
            was = np.int64(cells[0]["state"])
            is_good = turn_nb(cells, tuning, chance, stamp)
            now = np.int64(cells[0]["state"])
            if not is_good or not is_sound_nb(cells, tuning) or not legal[was * STATES + now]:
                faults += 1
            seen[was * STATES + now] += 1
    return faults


@pytest.mark.parametrize("seed", [1, 2])
def test_no_sequence_of_inputs_reaches_an_illegal_state(seed: int):
    legal = np.eye(STATES, dtype=np.int64)
    for state, events in TRANSITIONS.items():
        for target in events.values():
            legal[state, target] = 1
    seen = np.zeros(STATES * STATES, np.int64)
    cells, tuning = np.zeros(1, CELL), np.zeros(4, np.int64)
    chance = np.array([seed, 0], np.int64)
    counts = (SEQUENCES // 2, STEPS)
    assert drive_nb(cells, tuning, chance, legal.ravel(), seen, counts) == 0
    assert seen.sum() == counts[0] * counts[1]
    # What is legal has happened, or the test shows nothing.
    assert (seen > 0).tolist() == (legal.ravel() > 0).tolist()
