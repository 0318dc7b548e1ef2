"""Memory of one FIX feed: its symbols, the live orders of feeds that name them, and its counts.

    symbol (55) ──► name_slots[hash] ──► names[instrument], instruments[instrument]
    MDEntryID (278) ──► order_heads[hash] ──► orders[reference] ──chain──► …
    an instrument's orders: instruments[i].first_order ──next──► …

Everything has its final size from the start. A reference is the place of its order in `orders`, so
that references stay small, and is used again when the order is gone.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.fix.kernels_entries import EntryScratch, EntryViews, allocate_scratch, entry_views
from protocols.fix.layout import Decoder, Int64s, allocate_decoder
from protocols.fix.views import ROW_HEADER, VIEWS

NAME_BYTES = 64
ID_BYTES = 48
STEP_MAX_E9 = 10**9
BODY_BYTES_MAX = 1 << 20
_ENTRY_BYTES_MIN = len(b"279=0\x01")

INSTRUMENT = np.dtype(
    [
        ("sound_in", "i8"),
        ("last_at", "i8"),
        ("step_e9", "i8"),
        ("price_max_e9", "i8"),
        ("first_order", "i4"),
        ("orders", "i4"),
        ("mode", "i4"),
        ("name_bytes", "i4"),
    ]
)
"""What is known of one symbol: the epoch in which nothing is missing in its book (any other than
the present one: it is in doubt), its latest record in the output, the coarsest power of ten that
divides all its prices so far, the highest of these, its live orders, and its Mode."""

ORDER = np.dtype(
    [
        ("price_e9", "i8"),
        ("qty", "i8"),
        ("hash", "i8"),
        ("instrument", "i4"),
        ("side", "i4"),
        ("next", "i4"),
        ("previous", "i4"),
        ("chain", "i4"),
        ("id_bytes", "i4"),
    ]
)


class Mode(IntEnum):
    """What the entries of an instrument are, since its last snapshot."""

    UNKNOWN = 0
    ORDERS = 1
    """Each has an MDEntryID."""
    LEVELS = 2
    """None has: side and price name a price level."""


class Meta(IntEnum):
    """Words of `Feed.meta`."""

    EPOCH = 0
    """Raised whenever a change of any book may have been missed."""
    INSTRUMENTS = 1
    ORDERS_FREE = 2
    OUT_AT = 3
    """Bytes written to the output."""
    ORDERS_LIVE = 4


class Trouble(IntEnum):
    """Why an entry, or a whole message, did not do to the books what it says."""

    NO_SYMBOL = 0
    """Neither the entry nor one before it names a Symbol (55), or it is [N/A]."""
    LONG_SYMBOL = 1
    SYMBOLS_FULL = 2
    BAD_ENTRY = 3
    """A value that is needed is missing or none."""
    BAD_ACTION = 4
    """MDUpdateAction (279) is none of 0 to 5."""
    BAD_PRICE = 5
    """A price below zero."""
    BAD_QUANTITY = 6
    """A quantity with decimals, below zero, or of 2**32 and more."""
    UNKNOWN_ID = 7
    """A change or delete of an MDEntryID (278) that is not live."""
    DUPLICATE_ID = 8
    """A new entry, or a new name of one, whose MDEntryID is live."""
    LONG_ID = 9
    IDS_FULL = 10
    MIXED = 11
    """An entry with an MDEntryID in a book of price levels, or one without in a book of orders."""
    INCOMPLETE = 12
    """A message that has not as many entries as it says, or ends in a field that is none."""


class Word(IntEnum):
    """Words of `Feed.entry`: the entry that is being worked on."""

    TS_EXCH_NS = 0
    IS_SNAPSHOT = 1
    CODE = 2
    ACTION = 3
    INSTRUMENT = 4
    SIDE = 5
    PRICE_E9 = 6
    """-1: none."""
    QTY = 7
    """-1: none."""


ENTRY_WORDS = 8


@by_reference
class Feed(NamedTuple):
    """State of one feed; shapes as in the drawing, counts i64[len(Trouble)], types i64[128] entries
    by MDEntryType (0: without), messages i64[2] of W and X.
    """

    names: NDArray[np.uint8]
    name_slots: NDArray[np.int32]
    instruments: NDArray[np.void]
    ids: NDArray[np.uint8]
    order_heads: NDArray[np.int32]
    orders: NDArray[np.void]
    free_orders: NDArray[np.int32]
    meta: Int64s
    entry: Int64s
    counts: Int64s
    types: Int64s
    messages: Int64s


@by_reference
class Reading(NamedTuple):
    """Memory to read W and X with: decoder, tables, rows i64[n], and scratch space."""

    decoder: Decoder
    views: EntryViews
    words: Int64s
    scratch: EntryScratch


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()


def allocate_feed(instruments: int, orders: int) -> Feed:
    """A feed of up to `instruments` symbols with up to `orders` live orders between them."""
    feed = Feed(
        names=np.zeros((instruments, NAME_BYTES), np.uint8),
        name_slots=np.zeros(_power_of_two(2 * instruments), np.int32),
        instruments=np.zeros(instruments, INSTRUMENT),
        ids=np.zeros((orders, ID_BYTES), np.uint8),
        order_heads=np.full(_power_of_two(orders), -1, np.int32),
        orders=np.zeros(orders, ORDER),
        free_orders=np.arange(orders - 1, -1, -1, dtype=np.int32),
        meta=np.zeros(len(Meta), np.int64),
        entry=np.zeros(ENTRY_WORDS, np.int64),
        counts=np.zeros(len(Trouble), np.int64),
        types=np.zeros(128, np.int64),
        messages=np.zeros(2, np.int64),
    )
    feed.meta[Meta.ORDERS_FREE] = orders
    feed.instruments["first_order"] = -1
    feed.instruments["step_e9"] = STEP_MAX_E9
    return feed


def allocate_reading(body_bytes_max: int = BODY_BYTES_MAX) -> Reading:
    """Memory for messages with a body of up to `body_bytes_max` bytes."""
    decoder = allocate_decoder(body_bytes_max)
    width = VIEWS[b"X"].dtype.itemsize // 8
    rows = body_bytes_max // _ENTRY_BYTES_MIN + len(ROW_HEADER)
    return Reading(
        decoder, entry_views(), np.zeros(rows * width, np.int64), allocate_scratch(decoder)
    )
