"""Best prices of every symbol on every feed, in one table: each shard writes those of its own
instruments, anyone reads them, nobody waits.

    keys      i64[places]              symbols, as `INSTRUMENT` has them; found by open addressing
    cells     i64[places * feeds * 8]  a cache line for each symbol and feed, see `Cell`
    histories i64[feeds, places]       changes of a cell's best prices in the upper half, in the
                                       lower a hash over all of them: the same on two feeds that had
                                       the same best prices after every event; one feed's lie
                                       together, apart from those that other feeds write
    levels    i64[places * feeds]      the level that breakers hold a symbol to on a feed
    states    i64[feeds * 8]           a cache line for each feed, see `FeedWord`

A cell has one writer, the thread with the book of the instrument; its version is odd while it is
written (sequence lock). A level has another, the worker of that shard. A symbol gets its place by
one compare-and-exchange, whichever feed has it first. Nothing is ever taken out.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import compare_exchange, load_acquire, store_release
from feedhandler.core.events import Flag
from feedhandler.core.lines import zeros
from feedhandler.core.versioned import read_row_nb
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

CELL_WORDS = 8
LIVE_FEED, ENDED_FEED = 1, 2
PROBES_MAX = 256
_NO_PLACE = -1
_HASH_PRIME = 0x01000193
_HASH_MASK = 0xFFFFFFFF
_HASH_START = 0x811C9DC5
_CHANGE = 1 << 32
_NUMBER_SHIFT = 32
_ONE = np.int64(1)
_HALTED = int(Flag.HALTED)


class Cell(IntEnum):
    """Words of a cell; prices in 1e-9, quantity 0: there is none."""

    VERSION = 0
    BID_E9 = 1
    BID_QTY = 2
    ASK_E9 = 3
    ASK_QTY = 4
    TS_RX_NS = 5
    FLAGS = 6
    """HALTED of the tick in the lower half, in the upper the number that the instrument has on the
    feed. Not IN_DOUBT, which is the channel's (`FeedWord.IS_GOOD`) and may be over before the
    symbol's next tick."""
    TS_EXCH_NS = 7


class FeedWord(IntEnum):
    """Words of a feed's line."""

    IS_GOOD = 0
    """LIVE_FEED while its books are beyond doubt, ENDED_FEED when its session is over; else 0."""
    LOST = 1
    """Symbols that found no place."""


class Best(IntEnum):
    """Words of a consolidated quote: best prices, what stands there on all feeds together, and bits
    of the feeds that have it. Without a side its quantity is 0.
    """

    BID_E9 = 0
    BID_QTY = 1
    BID_FEEDS = 2
    ASK_E9 = 3
    ASK_QTY = 4
    ASK_FEEDS = 5
    TS_RX_NS = 6
    """Latest of the cells that were used."""
    FEEDS = 7
    """Bits of the feeds that were used: good ones, where the symbol trades."""


@by_reference
class Quotes(NamedTuple):
    """The arrays at the top of this file; `meta` i64[1]: number of feeds, 0 where nobody asked for
    a table.
    """

    keys: NDArray[np.int64]
    cells: NDArray[np.int64]
    histories: NDArray[np.int64]
    levels: NDArray[np.int64]
    states: NDArray[np.int64]
    meta: NDArray[np.int64]


def allocate_quotes(symbols: int, feeds: int) -> Quotes:
    """A table for up to `symbols` symbols on `feeds` feeds; of no size for no feeds."""
    places = 1 << max(2 * symbols - 1, 1).bit_length() if feeds else 1
    meta = zeros(1)
    meta[0] = feeds
    return Quotes(
        zeros(places),
        zeros(places * max(feeds, 1) * CELL_WORDS),
        zeros((max(feeds, 1), places)),
        zeros(places * max(feeds, 1)),
        zeros(max(feeds, 1) * CELL_WORDS),
        meta,
    )


@outline_kernel
def place_of_nb(quotes: Quotes, symbol: int) -> int:
    """Place of a symbol, which is entered if it is new; -1 when it finds none."""
    mask = quotes.keys.shape[0] - 1
    mixed = (((symbol >> 32) ^ symbol) & _HASH_MASK) * _HASH_PRIME & _HASH_MASK
    place = (mixed ^ (mixed >> 15)) & mask
    for _ in range(PROBES_MAX):
        found = load_acquire(quotes.keys, place)
        if found == 0:
            compare_exchange(quotes.keys, place, np.int64(0), symbol)
            found = load_acquire(quotes.keys, place)
        if found == symbol:
            return place
        place = (place + 1) & mask
    return np.int64(_NO_PLACE)


@kernel
def cell_at_nb(quotes: Quotes, place: int, feed: int) -> int:
    """Where in `cells` that of a symbol on a feed begins."""
    return (place * quotes.meta[0] + feed) * CELL_WORDS


@kernel
def _hash_nb(value: int, word: int) -> int:
    """FNV-1a, 32 bits, of one more word, folded."""
    return ((value ^ ((word ^ (word >> 32)) & _HASH_MASK)) * _HASH_PRIME) & _HASH_MASK


@kernel
def _note_change_nb(
    quotes: Quotes, place: int, feed: int, quote: tuple[int, int, int, int]
) -> None:
    """Into the history of a symbol on a feed: its best prices have become these."""
    bid_e9, bid_qty, ask_e9, ask_qty = quote
    histories = quotes.histories[feed]
    history = histories[place]
    value = history & _HASH_MASK if history else np.int64(_HASH_START)
    value = _hash_nb(_hash_nb(value, bid_e9 if bid_qty else np.int64(0)), bid_qty)
    value = _hash_nb(_hash_nb(value, ask_e9 if ask_qty else np.int64(0)), ask_qty)
    store_release(histories, place, ((history >> 32) + 1) * _CHANGE + value)


@outline_kernel
def _write_cell_nb(
    quotes: Quotes, at: int, quote: tuple[int, int, int, int], notes: tuple[int, int, int]
) -> None:
    """Write (bid, quantity, ask, quantity) into a cell; notes are its words TS_RX_NS, FLAGS and
    TS_EXCH_NS.
    """
    cells = quotes.cells
    version = cells[at + Cell.VERSION]
    store_release(cells, at + Cell.VERSION, version + 1)
    for word in range(len(quote)):
        store_release(cells, at + Cell.BID_E9 + word, quote[word])
    for word in range(len(notes)):
        store_release(cells, at + Cell.TS_RX_NS + word, notes[word])
    store_release(cells, at + Cell.VERSION, version + 2)


@outline_kernel
def _find_place_nb(
    quotes: Quotes, places: NDArray[np.int32], symbol: int, feed: int, instrument: int
) -> int:
    """1 + the place of a symbol that an instrument has now. The cell of the one that it had before
    is emptied, unless another instrument has written there since.
    """
    before = np.int64(places[instrument])
    if before > 0:
        at = cell_at_nb(quotes, before - 1, feed)
        if quotes.cells[at + Cell.FLAGS] >> _NUMBER_SHIFT == instrument:
            none = np.int64(0)
            renew_quote_nb(quotes, at, (none, none, none, none))
    place = place_of_nb(quotes, symbol) + 1
    if place == 0:
        place = np.int64(_NO_PLACE)
        quotes.states[feed * CELL_WORDS + FeedWord.LOST] += 1
    places[instrument] = place
    return place


@kernel
def place_for_nb(
    quotes: Quotes, places: NDArray[np.int32], symbol: int, feed: int, instrument: int
) -> int:
    """1 + the place of an instrument with this symbol, 0 or less where it has none."""
    place = np.int64(places[instrument])
    if symbol == 0 or place == _NO_PLACE or (place > 0 and quotes.keys[place - 1] == symbol):
        return place
    return np.int64(_find_place_nb(quotes, places, symbol, feed, instrument))


@kernel
def publish_quote_nb(
    quotes: Quotes, places: NDArray[np.int32], symbol: int, ticks: NDArray[np.void], slot: int
) -> None:
    """Show the best prices that ticks[slot] brought, if its instrument has a symbol; places
    i32[instruments] are this shard's: 1 + place, 0 where it was not looked for.
    """
    tick = ticks[slot]
    instrument = np.int64(tick["instrument"])
    feed = np.int64(tick["feed"])
    place = place_for_nb(quotes, places, symbol, feed, instrument)
    if place > 0:
        bid = (np.int64(tick["bid_price_e9"]), np.int64(tick["bid_qty"]))
        ask = (np.int64(tick["ask_price_e9"]), np.int64(tick["ask_qty"]))
        flags = (np.int64(tick["flags"]) & _HALTED) | instrument << _NUMBER_SHIFT
        notes = (np.int64(tick["ts_rx_ns"]), flags, np.int64(tick["ts_exch_ns"]))
        at = cell_at_nb(quotes, place - 1, feed)
        if tick["flags"] & Flag.BBO_CHANGED:
            _note_change_nb(quotes, place - 1, feed, (*bid, *ask))
        _write_cell_nb(quotes, at, (*bid, *ask), notes)


@outline_kernel
def show_level_nb(quotes: Quotes, symbol: int, feed: int, level: int) -> None:
    """Breakers hold a symbol to another level on a feed; its shard's worker only."""
    place = place_of_nb(quotes, symbol)
    if place >= 0:
        at = cell_at_nb(quotes, place, feed)
        store_release(quotes.levels, at // CELL_WORDS, level)


@kernel
def shown_level_nb(quotes: Quotes, at: int) -> int:
    """The level of the symbol and feed whose cell begins at `at`."""
    return load_acquire(quotes.levels, at // CELL_WORDS)


@kernel
def renew_quote_nb(quotes: Quotes, at: int, quote: tuple[int, int, int, int]) -> None:
    """The books were replaced as a whole: show (bid, quantity, ask, quantity)."""
    cells = quotes.cells
    notes = (cells[at + Cell.TS_RX_NS], cells[at + Cell.FLAGS], cells[at + Cell.TS_EXCH_NS])
    _write_cell_nb(quotes, at, quote, notes)


@kernel
def show_feed_nb(quotes: Quotes, feed: int, is_good: int) -> None:
    """Say whether the quotes of a feed hold, as IS_GOOD does; its sequencing thread's only."""
    at = feed * CELL_WORDS + FeedWord.IS_GOOD
    if quotes.meta[0] > 0 and quotes.states[at] != is_good:
        store_release(quotes.states, at, is_good)


@kernel
def is_good_nb(quotes: Quotes, feed: int) -> int:
    """1 while the quotes of a feed hold."""
    return int(load_acquire(quotes.states, feed * CELL_WORDS + FeedWord.IS_GOOD) != 0)


@kernel
def is_live_nb(quotes: Quotes, feed: int) -> int:
    """1 while they hold and the feed goes on."""
    return int(load_acquire(quotes.states, feed * CELL_WORDS + FeedWord.IS_GOOD) == LIVE_FEED)


@kernel
def number_of_nb(cell: NDArray[np.int64]) -> int:
    """The number that the instrument of a cell, copied out, has on its feed."""
    return cell[Cell.FLAGS] >> _NUMBER_SHIFT


@outline_kernel
def read_cell_nb(quotes: Quotes, at: int, out: NDArray[np.int64]) -> None:
    """Copy a whole cell to out[0:8], as it was at one moment."""
    read_row_nb(quotes.cells, at, out[:CELL_WORDS])


@kernel
def _take_side_nb(best: NDArray[np.int64], first: int, quote: tuple[int, int, int, int]) -> None:
    """Take one feed's side, (price, quantity, feed, 1 where a higher price is better), into the
    three words of `best` from `first` on.
    """
    price_e9, qty, feed, is_bid = quote
    if qty == 0:
        return
    is_better = price_e9 > best[first] if is_bid else price_e9 < best[first]
    if best[first + 1] == 0 or is_better:
        best[first] = price_e9
        best[first + 1] = qty
        best[first + 2] = _ONE << feed
    elif price_e9 == best[first]:
        best[first + 1] += qty
        best[first + 2] |= _ONE << feed


@outline_kernel
def consolidate_nb(
    quotes: Quotes, place: int, cell: NDArray[np.int64], best: NDArray[np.int64]
) -> None:
    """The best bid and offer of a symbol over all feeds: `Best` to best i64[8]; cell i64[8] is
    scratch. Feeds that are not good and halted symbols are left out.
    """
    for word in range(best.shape[0]):
        best[word] = 0
    for feed in range(quotes.meta[0]):
        if not is_good_nb(quotes, feed):
            continue
        read_cell_nb(quotes, cell_at_nb(quotes, place, np.int64(feed)), cell)
        if cell[Cell.VERSION] == 0 or cell[Cell.FLAGS] & _HALTED:
            continue
        bid = (cell[Cell.BID_E9], cell[Cell.BID_QTY], np.int64(feed), _ONE)
        _take_side_nb(best, np.int64(Best.BID_E9), bid)
        ask = (cell[Cell.ASK_E9], cell[Cell.ASK_QTY], np.int64(feed), np.int64(0))
        _take_side_nb(best, np.int64(Best.ASK_E9), ask)
        best[Best.TS_RX_NS] = max(best[Best.TS_RX_NS], cell[Cell.TS_RX_NS])
        best[Best.FEEDS] |= _ONE << np.int64(feed)
