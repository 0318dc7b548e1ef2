"""The rows that move through the engine: ticks and signals, their codes, flags and units.

Integers only. Prices are in 1e-9 of the currency (`price_e9`), times in nanoseconds (`ts_exch_ns`
since midnight of the venue, `ts_rx_ns` and later since the epoch). A side is +1 (buy), -1 (sell) or
0 (none). A price of 0 with a quantity of 0 means "none".
"""

from enum import IntEnum

import numpy as np

E9_PER_E4 = 100_000
ONE_E9 = 1_000_000_000

_SYMBOL_CHARACTERS = 8
_NOT_IN_SYMBOLS = ',"'
"""Would need quoting in CSV and JSON."""


def symbol_text(symbol: int, instrument: int) -> str:
    """The symbol of an instrument as every output shows it: eight little-endian bytes up to the
    first blank; "#" and the instrument's number when there are none, or when it is 0 as no message
    has named it. What could break a row or a FIX field apart, whoever sent it, becomes "?".
    """
    text = symbol.to_bytes(8, "little", signed=True).split(b" ", 1)[0].decode("latin-1")
    if symbol == 0 or not text:
        return f"#{instrument}"
    return plain_text(text)


def symbol_word(text: str) -> int:
    """A symbol as `INSTRUMENT` has it: eight ASCII characters, blanks behind, the first lowest.
    ValueError for one that no feed can name.
    """
    if not text.isascii() or not 0 < len(text) <= _SYMBOL_CHARACTERS:
        raise ValueError(f"{text!r} is no symbol: it has 1 to {_SYMBOL_CHARACTERS} characters")
    return int.from_bytes(text.encode("ascii").ljust(_SYMBOL_CHARACTERS), "little")


def plain_text(text: str) -> str:
    """A symbol in which what could break a row or a FIX field apart is "?"."""
    return "".join(
        each if "!" <= each <= "~" and each not in _NOT_IN_SYMBOLS else "?" for each in text
    )


class Kind(IntEnum):
    """What happened, in words that every venue shares."""

    NONE = 0
    ADD = 1
    EXECUTE = 2
    EXECUTE_AT_PRICE = 3
    CANCEL = 4
    DELETE = 5
    REPLACE = 6
    TRADE = 7
    CROSS_TRADE = 8
    BROKEN_TRADE = 9
    SYSTEM_EVENT = 10
    DEFINITION = 11
    TRADING_STATUS = 12
    SHORT_SALE_STATUS = 13
    PARTICIPANT = 14
    MARKET_DECLINE_LEVELS = 15
    MARKET_DECLINE_STATUS = 16
    IPO_QUOTING = 17
    AUCTION_COLLAR = 18
    OPERATIONAL_HALT = 19
    IMBALANCE = 20
    RETAIL_INTEREST = 21
    PRICE_DISCOVERY = 22
    SET_LEVEL = 23
    """A price level as the feed states it: `qty` in `aux` orders, or gone with neither. With a
    `status` it replaces the level that is in this place, 1 the best."""
    CLEAR_LEVELS = 24
    """Stated levels of a side (0: of both) go, as `status` (a Clear) says."""
    STATISTIC = 25
    """A figure about the day (an open, a high, a settlement), as `status` says; no book changes."""
    SETTLE = 26
    """An entry that the book refused, but the last of its message: what matters are the prices."""
    AWAY_QUOTE = 27
    """Best prices of an instrument on another feed have changed: told to patterns alone, by no
    message of this feed. `instrument` is the leg."""


class Clear(IntEnum):
    """Which levels a CLEAR_LEVELS takes away: those from the best to a price or place, or from
    there on, or that in one place; the place is in `aux`, 1 the best.
    """

    ALL = 0
    THROUGH_PRICE = 1
    FROM_PRICE = 2
    THROUGH_PLACE = 3
    FROM_PLACE = 4
    PLACE = 5


class Flag(IntEnum):
    """Bits of `flags` in a tick."""

    NONE = 0
    IN_DOUBT = 1
    """The channel was not LIVE: state may be updated from this tick, nothing may be published."""
    BBO_CHANGED = 2
    """The best bid or ask, or its quantity, differs from before the message."""
    UNKNOWN_REFERENCE = 4
    """The message named an order that the book does not hold; the book is unchanged."""
    HALTED = 8
    """The instrument is not trading."""
    NOT_PRINTABLE = 16
    """An execution that must not count in volume (it comes again in a bulk print)."""
    PART = 32
    """More of the same message follows for this instrument: the best prices in the tick are still
    those before the message, so that nobody sees a book that is half changed."""
    SETTLES = 64
    """The last tick of a message for its instrument: the best prices of both sides are those after
    all of it."""


TICK = np.dtype(
    [
        ("feed", "u1"),
        ("kind", "u1"),
        ("side", "i1"),
        ("priority", "u1"),
        ("flags", "u2"),
        ("code", "u1"),
        ("line", "u1"),
        ("instrument", "u4"),
        ("status", "u4"),
        ("seq", "i8"),
        ("ts_exch_ns", "i8"),
        ("ts_rx_ns", "i8"),
        ("ts_decoded_ns", "i8"),
        ("price_e9", "i8"),
        ("qty", "i8"),
        ("order_ref", "i8"),
        ("aux", "i8"),
        ("bid_price_e9", "i8"),
        ("bid_qty", "i8"),
        ("ask_price_e9", "i8"),
        ("ask_qty", "i8"),
        ("vwap_e9", "i8"),
        ("volatility_e9", "i8"),
    ]
)
"""A tick, two cache lines, and stands alone: the best prices are those *after* the message.

`code` is the venue's message type; `status` a status code in ASCII, up to four characters, first
one lowest; `aux` the second number of the message: new order reference of a REPLACE, match number
of a trade, first level (1e-8) of MARKET_DECLINE_LEVELS, else the symbol as in `INSTRUMENT`;
`volatility_e9` the EWMA of squared mid-price returns, square root, 1e-9."""


BBO = np.dtype(
    [
        ("seq", "i8"),
        ("ts_exch_ns", "i8"),
        ("instrument", "i8"),
        ("bid_price_e9", "i8"),
        ("bid_qty", "i8"),
        ("ask_price_e9", "i8"),
        ("ask_qty", "i8"),
    ]
)
"""Best bid and offer after the message that changed them, as it is recorded."""


class SignalKind(IntEnum):
    """What a signal row tells an OMS."""

    ORDER = 1
    """A pattern proposes an order: `side`, `price_e9`, `qty`."""
    BREAKER = 2
    """The level that circuit breakers hold the instrument to changed to `level`."""
    CANCEL = 3
    """The OMS is asked to take back the instrument's orders that came of our signals."""


class BreakerLevel(IntEnum):
    """What a breaker demands, and what holds for an instrument."""

    NORMAL = 0
    CAUTION = 1
    """Signals leave marked, and smaller."""
    RESTRICTED = 2
    """Only signals that reduce risk leave."""
    HALTED = 3
    """No signal leaves."""


LEGS_SHOWN = 8
"""Instruments that a signal names, the first of those that its function looked at."""

SIGNAL = np.dtype(
    [
        ("signal_id", "i8"),
        ("kind", "u1"),
        ("side", "i1"),
        ("level", "u1"),
        ("source", "u1"),
        ("instrument", "u4"),
        ("seq", "i8"),
        ("ts_exch_ns", "i8"),
        ("ts_rx_ns", "i8"),
        ("ts_decoded_ns", "i8"),
        ("ts_signal_ns", "i8"),
        ("price_e9", "i8"),
        ("qty", "i8"),
        ("bid_price_e9", "i8"),
        ("bid_qty", "i8"),
        ("ask_price_e9", "i8"),
        ("ask_qty", "i8"),
        ("value_0", "i8"),
        ("value_1", "i8"),
        ("value_2", "i8"),
        ("confidence_bps", "i8"),
        ("leg_count", "i8"),
        ("legs", "u4", (8,)),
        ("reserve_0", "i8"),
        ("reserve_1", "i8"),
    ]
)
"""A signal: what was seen (best prices, `value_*` as the pattern documents them), when, and what
follows from it.

`instrument` is the first of the `leg_count` instruments that were looked at, and `side` its;
`legs` are up to LEGS_SHOWN of them. `source` counts the configured patterns, then the breakers;
`signal_id` counts from 1 over both kinds; numbers of instruments have that of the feed above, see
`FEED_SHIFT`."""

FEED_SHIFT = 16
"""What an instrument's number is shifted by when the feed's comes with it."""

_TICK_BYTES = 128
_SIGNAL_BYTES = 192
if TICK.itemsize != _TICK_BYTES or SIGNAL.itemsize != _SIGNAL_BYTES:
    raise AssertionError(f"row sizes changed: tick {TICK.itemsize}, signal {SIGNAL.itemsize}")
