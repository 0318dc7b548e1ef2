"""Every fuzzing target over mutated seeds: a short run of what `make fuzz` does for long."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target, mend_fix

Mutation = tuple[int, int, bytes, int]
mutations = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 400), st.binary(max_size=8), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def overwrite(data: bytes, at: int, extra: bytes, _number: int) -> bytes:
    return data[:at] + extra + data[at + len(extra) :]


def insert(data: bytes, at: int, extra: bytes, _number: int) -> bytes:
    return data[:at] + extra + data[at:]


def cut_out(data: bytes, at: int, _extra: bytes, number: int) -> bytes:
    return data[:at] + data[at + number :]


def repeat(data: bytes, at: int, _extra: bytes, number: int) -> bytes:
    return data[:at] + data[at : at + number] * 3 + data[at + number :]


WAYS: tuple[Callable[[bytes, int, bytes, int], bytes], ...] = (overwrite, insert, cut_out, repeat)


def mutated(data: bytes, changes: list[Mutation]) -> bytes:
    for way, at, extra, number in changes:
        data = WAYS[way](data, at, extra, number)
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_can_be_made_of_them_are_dealt_with(name: str):
    target: Target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        target.run(seed)

    @settings(max_examples=200)
    @given(st.sampled_from(seeds), mutations)
    @example(b"", [(0, 0, b"", 0)])
    def check(seed: bytes, changes: list[Mutation]) -> None:
        data = mutated(seed, changes)
        target.run(data)
        if target.mend is not None:
            target.run(target.mend(data))

    check()


def test_mending_leaves_a_sound_message_as_it_is():
    for message in TARGETS["fix_messages"].seeds():
        assert mend_fix(message) == message
