"""The instruments of the synthetic exchange: tickers, first prices, and how often each is active.

Everything here is invented; a ticker that is also somebody's is an accident.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tools.exchange.rng import random_nb

SYMBOLS_MAX = 10_000
PRICE_TICKS_MIN = 500
PRICE_TICKS_MAX = 50_000
"""First prices lie between 5.00 and 500.00; a tick is one cent."""

_NAMES = (
    "ARLO BEXA CIRQ DELV ESTO FYNN GRAV HOLT INDO JAXX KORA LUMN MIRA NOVQ OPAL PYRE QUIL "
    "RHEA SOLV TYND ULMA VEGA WREN XENO YARA ZEPH ABLE BRIM CLAY DOVE EMBR FJOR GILT HAZE "
    "IRIS JUNO KELP LOCH MAZE NERO OAKS PLUM QADE ROOK SAGE TERN UMBR VALE WICK XYLO YULE "
    "ZINC ACRE BOLT COVE DUSK ECHO FERN GLEN HEMP ISLE JADE KNOT LARK MOSS NEST ONYX PINE "
    "QUAY REEF SILT TARN UPLA VINE WOLD XRAY YOKE ZEST AX BRY CU DRA ELK FOX GEM HUB IVY JET "
    "KIT LYN MAP NIX OR P QM RUBYS STONE TIDAL UMBO ZARF "
)
_NAMED = tuple(_NAMES.split())
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RANK_OFFSET = 3
_TABLE_SLOTS_PER_SYMBOL = 64


def ticker(index: int) -> str:
    """Ticker of symbol `index` (from 0): the named hundred first, then Z and four letters."""
    if index < len(_NAMED):
        return _NAMED[index]
    number, letters = index, ""
    for _ in range(4):
        number, letter = divmod(number, len(_LETTERS))
        letters = _LETTERS[letter] + letters
    return "Z" + letters


def ticker_word(index: int) -> int:
    """Ticker as the eight bytes of an ITCH stock field, read as one big-endian integer."""
    return int.from_bytes(ticker(index).encode().ljust(8), "big")


def first_price_ticks(random_words: NDArray[np.int64]) -> int:
    """A first price in ticks, low ones more often than high ones; draws from the generator in
    `random_words[0]`.
    """
    fraction_16 = random_nb(random_words, 0) & 0xFFFF
    return PRICE_TICKS_MIN + (
        ((PRICE_TICKS_MAX - PRICE_TICKS_MIN) * fraction_16 * fraction_16) >> 32
    )


def activity_table(symbol_count: int, part: int = 0, parts: int = 1) -> NDArray[np.int32]:
    """Symbol indices, each as often as its share of the flow (weight 1 / (rank + 3)); the length is
    a power of two. Of one part of several, which has every `parts`-th symbol: indices within it.

    A random slot of it is the symbol of the next message: few symbols are busy and most are quiet,
    every one occurs.
    """
    ranks = range(part, symbol_count, parts)
    return share_table([(1 << 40) // (rank + _RANK_OFFSET) for rank in ranks])


def share_table(weights: Sequence[int]) -> NDArray[np.int32]:
    """Indices of `weights`, each as often as its share of them, at least once; the length is a
    power of two.
    """
    size = 1 << (len(weights) * _TABLE_SLOTS_PER_SYMBOL - 1).bit_length()
    spare, total = size - len(weights), sum(weights)
    table = np.empty(size, np.int32)
    at = seen = 0
    for index, weight in enumerate(weights):
        seen += weight
        end = index + 1 + spare * seen // total
        table[at:end] = index
        at = end
    return table
