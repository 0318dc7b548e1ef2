"""Whatever the feed tells, a shard takes its own instruments, those that its functions look at, and
those of which nobody knows yet.
"""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.away import leg_word
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import Fn, Use
from feedhandler.core.roles import RoleWord, Watches, meet_symbol_nb, watch_legs
from feedhandler.core.split import allocate_split

INSTRUMENTS = 8
SYMBOLS = [int.from_bytes(name.encode().ljust(8), "little") for name in "ABCDEFG"]

Binding = tuple[bool, Sequence[int]]

bindings_any = st.lists(
    st.tuples(
        st.sampled_from([False, False, False, True]),
        st.lists(st.sampled_from(SYMBOLS[:6]), min_size=1, max_size=3, unique=True),
    ),
    max_size=6,
)
told_any = st.lists(
    st.tuples(st.integers(0, INSTRUMENTS - 1), st.sampled_from(SYMBOLS)), max_size=25
)


def slow_taken(
    bindings: Sequence[Binding], own: Sequence[bool], symbols: dict[int, int], number: int
) -> bool:
    """Whether a shard that owns these takes the instrument, by the symbols that are known; the
    number of a symbol is the one that got it last.
    """
    together = [each for each in bindings if each[0] or len(each[1]) > 1]
    if own[number] or not together:
        return own[number]
    if number not in symbols:
        return True
    for everywhere, legs in together:
        if symbols[number] not in legs:
            continue
        homes = [other for other, symbol in symbols.items() if symbol == legs[0]]
        if everywhere or not homes or own[homes[-1]]:
            return True
    return False


@given(bindings_any, told_any, st.integers(2, 4), st.data())
def test_a_shard_takes_what_the_slow_twin_does(
    bindings: list[Binding], told: list[tuple[int, int]], shards: int, data: st.DataObject
):
    shard = data.draw(st.integers(0, shards - 1))
    uses = [Use(bindings=(legs,)) for _, legs in bindings]
    functions = allocate_functions(uses, INSTRUMENTS)
    for function, (everywhere, _) in enumerate(bindings):
        functions.rows[function, Fn.EVERYWHERE] = everywhere
    split = allocate_split(shard, shards, 64, sum(len(legs) for _, legs in bindings))
    watch_legs(split.roles, allocate_functions((), INSTRUMENTS), functions)
    watches = split.roles.words[RoleWord.WATCHES]
    own = [bool(each) for each in split.owned[:INSTRUMENTS]]
    symbols: dict[int, int] = {}
    for number, symbol in told:
        before = symbols.pop(number, 0)
        # A symbol has one number: a session that gives it another has not kept the old one.
        for other in [other for other, known in symbols.items() if known == symbol]:
            symbols[other] = 0
        symbols[number] = symbol
        meet_symbol_nb(split.roles, split.owned, number, before, symbol)
        for each in range(INSTRUMENTS):
            if symbols.get(each, 1) == 0 or watches != Watches.INSTRUMENTS:
                continue
            expected = slow_taken(bindings, own, symbols, each)
            assert split.roles.taken[each] == expected, (each, symbols)


def test_one_that_looks_at_every_instrument_takes_all():
    functions = allocate_functions((Use(), Use()), INSTRUMENTS)
    split = allocate_split(1, 2, 64)
    watch_legs(split.roles, functions)
    # And what is about no instrument.
    assert split.roles.taken.tolist() == [1, *split.owned[1:]]
    functions.rows[1, Fn.EVERYWHERE] = 1
    watch_legs(split.roles, functions)
    meet_symbol_nb(split.roles, split.owned, 2, 0, SYMBOLS[0])
    assert split.roles.taken.all()


def test_a_shard_on_its_own_has_no_roles():
    functions = allocate_functions((Use(bindings=(SYMBOLS[:2],)),), INSTRUMENTS)
    split = allocate_split(0, 1, 64, 2)
    watch_legs(split.roles, functions)
    assert split.roles.taken.tolist() == [1]
    assert not np.any(split.roles.words)


def taken_and_known(*choices: tuple[int, ...]) -> tuple[Watches, list[int]]:
    """What one of two shards of feed 0 watches besides its own, and the symbols that it waits for;
    it takes what it did before where that is nothing.
    """
    functions = allocate_functions([Use(bindings=choices)], INSTRUMENTS)
    split = allocate_split(1, 2, 64, sum(map(len, choices)))
    watch_legs(split.roles, functions)
    watches = Watches(split.roles.words[RoleWord.WATCHES])
    if watches == Watches.MARKET:
        assert split.roles.taken.tolist() == [1, *split.owned[1:]]
    return watches, split.roles.symbols[: split.roles.words[RoleWord.SYMBOLS]].tolist()


def test_legs_on_other_feeds_make_no_shard_take_anything():
    here = [leg_word(name, 0) for name in "ABC"]
    there = [leg_word(name, 1) for name in "ABC"]
    pairs = [*zip(here, there, strict=True), *zip(there, here, strict=True)]
    assert taken_and_known(*pairs) == (Watches.MARKET, [])
    assert taken_and_known((here[0], there[1], here[2]), *pairs) == (
        Watches.INSTRUMENTS,
        [SYMBOLS[0], SYMBOLS[2]],
    )
