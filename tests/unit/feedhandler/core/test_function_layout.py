"""Where functions lie: what stays the same stays where it is, and nothing overlaps."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedhandler.core.away import leg_word
from feedhandler.core.events import symbol_word
from feedhandler.core.function_layout import (
    Layout,
    LayoutError,
    allocate_functions,
    bound_choices,
    lay_out,
)
from feedhandler.core.functions import Bound, Meta, Room, Use

INSTRUMENTS = 4
LIMIT_WORDS = 600


def regions(layout: Layout) -> list[tuple[int, int]]:
    found = []
    for use, places in zip(layout.uses, layout.places, strict=True):
        if use is not None:
            size = use.stride * (1 if use.bindings else INSTRUMENTS)
            found += [(at, at + size) for at in places]
    return sorted(found)


choices = st.lists(st.tuples(st.integers(1, 5), st.integers(6, 9)), max_size=4, unique=True).map(
    tuple
)
uses = st.builds(
    lambda function, words, bindings, fires: Use(
        words, function=function, bindings=bindings, fires=fires
    ),
    st.sampled_from("fgh"), st.sampled_from([1, 7, 8, 20]), choices, st.booleans(),
)  # fmt: skip
configurations = st.lists(st.one_of(st.none(), uses), max_size=5)


@settings(max_examples=300)
@given(st.lists(configurations, min_size=1, max_size=8))
def test_whatever_follows_what_no_two_states_overlap_and_what_is_the_same_stays(rounds: Any):
    before = Layout()
    for round_ in rounds:
        try:
            layout = lay_out(round_, INSTRUMENTS, before, LIMIT_WORDS)
        except LayoutError:
            continue
        spans = regions(layout)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        assert not spans or spans[-1][1] <= LIMIT_WORDS
        taken = regions(before)
        for at, words in layout.fresh:
            assert all(at + words <= begin or end <= at for begin, end in taken)
        for number, use in enumerate(layout.uses[: len(before.uses)]):
            was = before.uses[number]
            same = (use.function, use.state_words, use.stride) if use else None
            if use and was and same == (was.function, was.state_words, was.stride):
                olds = dict(zip(was.bindings or [()], before.places[number], strict=True))
                news = dict(zip(use.bindings or [()], layout.places[number], strict=True))
                assert all(news[key] == at for key, at in olds.items() if key in news)
        before = layout


def test_a_reload_that_changes_back_and_forth_needs_no_more_each_time():
    one, other = [Use(8, function="f")], [Use(8, function="g")]
    layout = lay_out(one, INSTRUMENTS)
    for _ in range(100):
        layout = lay_out(other, INSTRUMENTS, layout, 2 * 8 * INSTRUMENTS)
        layout = lay_out(one, INSTRUMENTS, layout, 2 * 8 * INSTRUMENTS)


def test_what_does_not_fit_is_told():
    with pytest.raises(LayoutError, match="32 words more are needed together, 31 are free"):
        lay_out([Use(8)], INSTRUMENTS, state_words=31)


def test_room_is_there_besides_what_is_used():
    functions = allocate_functions([Use(8, bindings=((1, 2),))], INSTRUMENTS, Room(3, 5, 16))
    assert (len(functions.bindings), len(functions.legs), len(functions.state)) == (4, 7, 24)
    assert functions.meta[Meta.BINDINGS] == 1
    assert functions.bindings[0, Bound.LEGS] == 2


A, B = (symbol_word(name) for name in "AB")
CHOICES = (
    (leg_word("A", 0), leg_word("A", 1)),
    (leg_word("B", 1), leg_word("A", 0)),
    (leg_word("A", 1), leg_word("B", 1)),
    (B, A),
)


def test_each_feed_has_the_choices_that_begin_on_it_and_state_for_all():
    layout = lay_out([Use(8, bindings=CHOICES[:3]), None, Use(4, bindings=CHOICES[3:])], 4)
    assert layout.places == ((0, 8, 16), (), (24,))
    assert bound_choices(layout, 0) == [(0, (A, leg_word("A", 1)), 0), (2, (B, A), 24)]
    assert bound_choices(layout, 1) == [
        (0, (B, leg_word("A", 0)), 8),
        (0, (A, B), 16),
        (2, (B, A), 24),
    ]
    assert bound_choices(layout, 2) == [(2, (B, A), 24)]


def test_bindings_of_other_feeds_are_written_nowhere():
    for feed, legs, symbols in (
        (0, [2, 2], [leg_word("A", 1), A, B]),
        (1, [2, 2, 2], [leg_word("A", 0), A, B]),
        (2, [2], [A, B]),
    ):
        uses = [Use(8, bindings=CHOICES)]
        functions = allocate_functions(uses, INSTRUMENTS, feed=feed, away=1)
        meta = functions.meta
        assert functions.bindings[: meta[Meta.BINDINGS], Bound.LEGS].tolist() == legs
        assert functions.symbols[: meta[Meta.SYMBOLS]].tolist() == sorted(symbols)
        # There is room for a leg on another feed behind the feed's own instruments.
        assert len(functions.wanted_by) == INSTRUMENTS + 1
        assert meta[Meta.WILD] == 0
