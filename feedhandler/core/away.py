"""Instruments on other feeds that patterns look at beside their own feed's: how such a leg is
written down, and the memory that an engine has for them. `away_stage.py` has the worker's part.

A binding is the engine's of the feed that its first leg is on. To it an away leg is a symbol with
the number of a feed in the bits that ASCII leaves free, and later an instrument behind its own.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import symbol_text, symbol_word
from feedhandler.core.lines import zeros
from feedhandler.core.quotes import CELL_WORDS
from protocols.by_reference import by_reference
from protocols.jit import kernel

_SYMBOL_BYTES = 8
AWAY_BITS = int.from_bytes(b"\x80" * _SYMBOL_BYTES, "little", signed=True)
"""The highest bit of each byte of a symbol: of no symbol that a configuration may name."""


class AwayWord(IntEnum):
    """Words of `words`."""

    ROOM = 0
    """Away legs that there is memory for; 0 where no other feed is looked at."""
    COUNT = 1
    """Away legs that patterns look at."""
    IS_UNBOUND = 2
    """1: which legs those are has changed, and is to be found out."""


@by_reference
class Away(NamedTuple):
    """The worker's own, one row for each away leg, the k-th of which is the instrument
    len(instruments) + k: `keys` i64[room], as `leg_word`, and `feeds` i64[room] of them; `places`
    i64[room], where its cell begins in the table of best prices, -1 where that is full; `versions`
    i64[room] of its cell, and `flags` i64[room] of its row when it was last looked at; `numbers`
    i64[room], what a signal names it by; `cell` i64[8] is scratch.
    """

    words: NDArray[np.int64]
    keys: NDArray[np.int64]
    feeds: NDArray[np.int64]
    places: NDArray[np.int64]
    versions: NDArray[np.int64]
    flags: NDArray[np.int64]
    numbers: NDArray[np.int64]
    cell: NDArray[np.int64]


def allocate_away(room: int) -> Away:
    """Memory for so many away legs."""
    words = zeros(len(AwayWord))
    words[AwayWord.ROOM] = room
    words[AwayWord.IS_UNBOUND] = room > 0
    size = max(room, 1)
    return Away(
        words=words,
        keys=zeros(size),
        feeds=zeros(size),
        places=zeros(size),
        versions=zeros(size),
        flags=zeros(size),
        numbers=zeros(size),
        cell=zeros(CELL_WORDS),
    )


def leg_word(symbol: str, feed: int) -> int:
    """A symbol on feed number `feed`: in bit 7 of the bytes stands 1 + that, lowest bit first."""
    word = symbol_word(symbol)
    for bit in range(_SYMBOL_BYTES):
        word |= ((feed + 1) >> bit & 1) << (8 * bit + 7)
    return int.from_bytes(word.to_bytes(_SYMBOL_BYTES, "little"), "little", signed=True)


@kernel
def feed_of_leg_nb(word: int) -> int:
    """The feed of a leg's word; -1 where it is a symbol alone, whatever feed it is on."""
    feed = np.int64(-1)
    for bit in range(_SYMBOL_BYTES):
        feed += ((word >> (8 * bit + 7)) & 1) << bit
    return feed


_feed_of_leg = getattr(feed_of_leg_nb, "py_func", feed_of_leg_nb)


def leg_text(word: int, feeds: Sequence[str]) -> str:
    """A leg as a configuration names it."""
    feed = int(_feed_of_leg(word))
    symbol = symbol_text(word & ~AWAY_BITS, 0)
    return symbol if feed < 0 else f"{symbol}@{feeds[feed]}"


def legs_on_feed(choice: Sequence[int], feed: int) -> tuple[int, ...] | None:
    """A choice of legs as the engine of a feed has it, symbols where they are its own; None where
    it is another engine's.
    """
    feeds = [int(_feed_of_leg(word)) for word in choice]
    if feeds[0] not in (-1, feed):
        return None
    pairs = zip(choice, feeds, strict=True)
    return tuple(word & ~AWAY_BITS if each == feed else word for word, each in pairs)


def own_legs(choice: Sequence[int]) -> int:
    """How many legs of a choice are on the feed of the first one."""
    first = int(_feed_of_leg(choice[0]))
    return sum(int(_feed_of_leg(word)) == first for word in choice)


def away_legs(choices: Iterable[Sequence[int]], feed: int) -> set[int]:
    """The legs on other feeds that the engine of a feed has to look at."""
    own = (legs_on_feed(choice, feed) or () for choice in choices)
    return {word for choice in own for word in choice if word & AWAY_BITS}
