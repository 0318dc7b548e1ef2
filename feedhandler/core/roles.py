"""Which instruments a shard of several takes: its own, and those of others that its functions look
at.

    binding ──► its first leg is mine (or nobody knows yet whose) ──► I watch its other legs
    function that is needed EVERYWHERE ──► every shard watches all that it looks at

What a shard watches goes through its books, analytics and breakers like its own, but silently: it
moves `market` and calls the bindings that are this shard's, and counts nowhere. A symbol's number,
and so whose it is, is known when the feed has told. Until then every shard takes an instrument:
what it turns out not to want was of no harm.

The tables belong to the thread that receives; a symbol that it does not know yet may be given a
number again by a following session.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.away import AWAY_BITS
from feedhandler.core.functions import Bound, Fn, Functions, Meta
from feedhandler.core.lines import zeros
from feedhandler.core.lookup import place_of_nb
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel


class RoleWord(IntEnum):
    """Words of `words`."""

    WATCHES = 0
    """What of other shards' it takes, a `Watches`."""
    ALL = 1
    """1: one looks at every instrument."""
    SYMBOLS = 2
    FOREIGN_ORDERS = 3
    """Live orders of instruments that are not this shard's own."""


class Watches(IntEnum):
    """What a shard takes besides its own."""

    NOTHING = 0
    """There is no other shard."""
    MARKET = 1
    """Messages about no instrument, which are about all: when the market opens, say."""
    INSTRUMENTS = 2
    """Those as well, and instruments of other shards, which its functions look at."""


@by_reference
class Roles(NamedTuple):
    """`taken` u8[NUMBERS], 1 for each instrument whose messages the shard takes, by the low 16 bits
    of its number. Of `symbols` i64[s], ascending, that functions look at together with others:
    `numbers` i64[s], -1 while not known; `always` u8[s], 1 when every shard watches it; the first
    legs of the bindings of symbol k are symbols[homes[i]], i from home_at[k] to home_at[k + 1] - 1,
    and those that have symbol k as their first leg are found in the same way by `members`.
    """

    words: NDArray[np.int64]
    taken: NDArray[np.uint8]
    symbols: NDArray[np.int64]
    numbers: NDArray[np.int64]
    always: NDArray[np.uint8]
    home_at: NDArray[np.int64]
    homes: NDArray[np.int64]
    member_at: NDArray[np.int64]
    members: NDArray[np.int64]


def allocate_roles(owned: NDArray[np.uint8], legs: int) -> Roles:
    """Tables of a shard that takes what it owns, and what is about no instrument, with room for
    functions of so many legs.
    """
    taken = zeros(len(owned), np.uint8)
    taken[:] = owned
    words = zeros(len(RoleWord))
    if len(owned) > 1:
        taken[0] = 1
        words[RoleWord.WATCHES] = Watches.MARKET
    size = max(legs, 1)
    return Roles(
        words=words,
        taken=taken,
        symbols=zeros(size),
        numbers=zeros(size),
        always=zeros(size, np.uint8),
        home_at=zeros(size + 1),
        homes=zeros(size),
        member_at=zeros(size + 1),
        members=zeros(size),
    )


def watch_legs(roles: Roles, *kinds: Functions) -> None:
    """Have the shard take what these functions look at besides its own instruments, which are those
    that it takes so far. Before it runs, and after the functions are marked (Fn.EVERYWHERE).
    """
    if len(roles.taken) == 1:
        return
    pairs: set[tuple[int, int]] = set()
    always: set[int] = set()
    for functions in kinds:
        wild = functions.wild[: functions.meta[Meta.WILD]]
        roles.words[RoleWord.ALL] |= int(functions.rows[wild, Fn.EVERYWHERE].any())
        for is_needed, symbols in _bindings_of(functions):
            if is_needed:
                always.update(symbols)
            elif len(symbols) > 1:
                pairs.update((symbol, symbols[0]) for symbol in symbols)
    symbols = sorted({symbol for pair in pairs for symbol in pair} | always)
    place = {symbol: at for at, symbol in enumerate(symbols)}
    roles.words[RoleWord.SYMBOLS] = len(symbols)
    if symbols or roles.words[RoleWord.ALL]:
        roles.words[RoleWord.WATCHES] = Watches.INSTRUMENTS
        roles.taken[:] = 1
    roles.symbols[: len(symbols)] = symbols
    roles.numbers[:] = -1
    roles.always[: len(symbols)] = [symbol in always for symbol in symbols]
    known = sorted((place[symbol], place[home]) for symbol, home in pairs)
    _index(known, roles.home_at, roles.homes)
    _index(sorted((home, symbol) for symbol, home in known), roles.member_at, roles.members)


def _bindings_of(functions: Functions) -> list[tuple[bool, list[int]]]:
    """Of each binding whether it is needed everywhere, and the symbols of its legs in order, but
    for those on other feeds.
    """
    if functions.meta[Meta.SYMBOLS] == 0:
        return []
    symbol_at: dict[int, int] = {}
    for place in range(functions.meta[Meta.SYMBOLS]):
        for cell in range(functions.first[place], functions.first[place + 1]):
            symbol_at[int(functions.cells[cell, 1])] = int(functions.symbols[place])
    found = []
    for binding in functions.bindings:
        first, legs = int(binding[Bound.LEGS_AT]), int(binding[Bound.LEGS])
        is_needed = bool(functions.rows[binding[Bound.FUNCTION], Fn.EVERYWHERE])
        symbols = [symbol_at[at] for at in range(first, first + legs)]
        found.append((is_needed, [each for each in symbols if not each & AWAY_BITS]))
    return found


def _index(
    pairs: list[tuple[int, int]], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> None:
    """Write pairs, sorted, so that the seconds of a first k are ends[starts[k] : starts[k + 1]]."""
    firsts = np.array([first for first, _ in pairs], np.int64)
    starts[:] = np.searchsorted(firsts, np.arange(len(starts)))
    ends[: len(pairs)] = [second for _, second in pairs]


@kernel
def _is_wanted_nb(roles: Roles, owned: NDArray[np.uint8], place: int) -> int:
    """1 when this shard looks at the symbol at `place`: the first leg of one of its bindings is its
    own, or is not known yet.
    """
    wanted = np.int64(roles.always[place])
    for i in range(roles.home_at[place], roles.home_at[place + 1]):
        number = roles.numbers[roles.homes[i]]
        wanted |= np.int64(number < 0 or owned[number & (len(owned) - 1)] > 0)
    return wanted


@kernel
def _renew_members_nb(roles: Roles, owned: NDArray[np.uint8], place: int) -> None:
    """Whose the symbol at `place` is has changed: so may have what is wanted because of it."""
    for i in range(roles.member_at[place], roles.member_at[place + 1]):
        member = roles.members[i]
        number = roles.numbers[member] & (len(owned) - 1)
        if roles.numbers[member] >= 0:
            roles.taken[number] = np.int64(owned[number]) | _is_wanted_nb(roles, owned, member)


@outline_kernel
def meet_symbol_nb(
    roles: Roles, owned: NDArray[np.uint8], number: int, before: int, symbol: int
) -> None:
    """The feed tells that the instrument is the one of `symbol`; it was that of `before` (0: nobody
    knew).
    """
    if roles.words[RoleWord.ALL]:
        return
    count = roles.words[RoleWord.SYMBOLS]
    left = place_of_nb(roles.symbols, count, before)
    if before not in (0, symbol) and left >= 0 and roles.numbers[left] == number:
        roles.numbers[left] = -1
        _renew_members_nb(roles, owned, left)
    place = place_of_nb(roles.symbols, count, symbol)
    at = number & (len(owned) - 1)
    roles.taken[at] = owned[at]
    if place >= 0:
        roles.numbers[place] = number
        roles.taken[at] = np.int64(owned[at]) | _is_wanted_nb(roles, owned, place)
        _renew_members_nb(roles, owned, place)
