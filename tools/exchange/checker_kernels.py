"""Kernels of `checker`: they read ITCH bytes by offsets of their own, written down from
TotalView-ITCH 5.0, sections 1.1 to 1.8, and keep a book that is as plain as can be: an order is
three numbers at its reference, a level the sum of its shares at its price.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

TICK = 100
"""A level is a cent, in 1e-4."""
LOCATES = 1 << 16
_LENGTHS = (
    "S12 R39 H25 Y20 L26 V35 W12 K28 J35 h21 A36 F40 E31 C36 X23 D19 U35 P44 Q40 B19 I50 N20 O48"
)
LENGTHS = np.zeros(256, np.int64)
for _text in _LENGTHS.split():
    LENGTHS[ord(_text[0])] = int(_text[1:])


class Rule(IntEnum):
    """What a session may not break."""

    BLOCK = 0
    TIME = 1
    EVENTS = 2
    LISTED = 3
    HOURS = 4
    NEW_REFERENCE = 5
    LIVE_REFERENCE = 6
    SHARES = 7
    CROSSED = 8
    BEST_PRICE = 9
    HALTED = 10
    MATCH = 11
    BROKEN = 12
    STATE = 13
    PRICE = 14


# Words of `words`.
NUMBER = 0
TS_NS = 1
_EVENT = 2
_REFERENCE = 3
_MATCH = 4
LIVE = 5
HIGHEST_REFERENCE = 6
WORDS = 8

# Columns of `symbols`.
_LISTED = 0
_STATUS = 1
_OUTAGE = 2
LOWEST = 3
HIGHEST = 4
"""Prices of all its orders."""
FIRST_ROW = 5
"""Its level at LOWEST, of buyers; those of sellers are behind all of buyers."""
BEST_BID = 6
BEST_ASK = 7
SYMBOL_WORDS = 8

_EVENTS = tuple(b"OSQMEC")
_ORDER_KINDS = tuple(b"AFECXDU")
_NO_ASK = 1 << 40
_TRADING = ord("T")
_HALTED_LETTER = ord("H")
_BUY = ord("B")
_CROSS_AFTER_HALT = ord("H")


@by_reference
class Session(NamedTuple):
    """What a check has in memory.

    Shapes:  price4, shares, place i32[references + 1]; place is 2 * locate, and 1 for sellers, 0:
             not live. levels i64[2 * rows]; symbols i64[LOCATES, SYMBOL_WORDS]; words i64[WORDS];
             counts, firsts i64[len(Rule)]: how often a rule was broken, and by which message first;
             types i64[256]; crosses i64[n, 5]: match number, ts_ns, locate, price4, shares.
    """

    price4: NDArray[np.int32]
    shares: NDArray[np.int32]
    place: NDArray[np.int32]
    levels: NDArray[np.int64]
    symbols: NDArray[np.int64]
    words: NDArray[np.int64]
    counts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    types: NDArray[np.int64]
    crosses: NDArray[np.int64]


@kernel
def number_nb(buf: NDArray[np.uint8], at: int, size: int) -> int:
    """An unsigned big-endian number of `size` bytes."""
    value = np.int64(0)
    for i in range(size):
        value = (value << 8) | np.int64(buf[at + i])
    return value


@outline_kernel
def survey_nb(
    buf: NDArray[np.uint8], lengths: NDArray[np.int64], symbols: NDArray[np.int64]
) -> tuple[int, int, int]:
    """(messages, highest reference, crosses), up to the end of the session or a broken block;
    lowest and highest price of each symbol's orders into `symbols`.
    """
    at = np.int64(0)
    messages = np.int64(0)
    highest = np.int64(0)
    crosses = np.int64(0)
    while at + 2 < buf.shape[0]:
        size = number_nb(buf, at, 2)
        kind = np.int64(buf[at + 2])
        if size == 0 or size != lengths[kind] or at + 2 + size > buf.shape[0]:
            break
        body = at + 2
        price4 = np.int64(0)
        if kind == ord("A") or kind == ord("F"):
            highest = max(highest, number_nb(buf, body + 11, 8))
            price4 = number_nb(buf, body + 32, 4)
        elif kind == ord("U"):
            highest = max(highest, number_nb(buf, body + 19, 8))
            price4 = number_nb(buf, body + 31, 4)
        elif kind == ord("Q"):
            crosses += 1
        if price4 > 0:
            symbol = symbols[number_nb(buf, body + 1, 2)]
            symbol[HIGHEST] = max(symbol[HIGHEST], price4)
            if symbol[LOWEST] == 0 or price4 < symbol[LOWEST]:
                symbol[LOWEST] = price4
        messages += 1
        at += 2 + size
    return messages, highest, crosses


@outline_kernel
def _breaks_nb(session: Session, rule: int) -> None:
    session.counts[rule] += 1
    if session.firsts[rule] == 0:
        session.firsts[rule] = session.words[NUMBER]


@kernel
def level_row_nb(session: Session, place: int, price4: int) -> int:
    """Row of `levels`."""
    symbol = session.symbols[place >> 1]
    row = symbol[FIRST_ROW] + (price4 - symbol[LOWEST]) // TICK
    return row + (place & 1) * (session.levels.shape[0] >> 1)


@outline_kernel
def _enter_nb(session: Session, reference: int, place: int, shares: int, price4: int) -> None:
    """A new order; then the book may not be crossed."""
    if reference <= session.words[_REFERENCE]:
        _breaks_nb(session, Rule.NEW_REFERENCE)
        return
    session.words[_REFERENCE] = reference
    if shares <= 0 or shares >= 1 << 31:
        _breaks_nb(session, Rule.SHARES)
        return
    if price4 <= 0 or price4 % TICK:
        _breaks_nb(session, Rule.PRICE)
        return
    session.price4[reference] = price4
    session.shares[reference] = shares
    session.place[reference] = place
    session.words[LIVE] += 1
    session.levels[level_row_nb(session, place, price4)] += shares
    symbol = session.symbols[place >> 1]
    if place & 1:
        symbol[BEST_ASK] = min(symbol[BEST_ASK], price4)
    else:
        symbol[BEST_BID] = max(symbol[BEST_BID], price4)
    if symbol[BEST_BID] >= symbol[BEST_ASK]:
        _breaks_nb(session, Rule.CROSSED)


@outline_kernel
def _take_nb(session: Session, reference: int, shares: int) -> None:
    """Shares leave a live order; the best price is looked for when a level is empty."""
    left = session.shares[reference] - shares
    if shares <= 0 or left < 0:
        _breaks_nb(session, Rule.SHARES)
        return
    session.shares[reference] = left
    place = np.int64(session.place[reference])
    price4 = np.int64(session.price4[reference])
    row = level_row_nb(session, place, price4)
    session.levels[row] -= shares
    if left == 0:
        session.place[reference] = 0
        session.words[LIVE] -= 1
    if session.levels[row] > 0:
        return
    symbol = session.symbols[place >> 1]
    if place & 1:
        if price4 == symbol[BEST_ASK]:
            while price4 <= symbol[HIGHEST] and session.levels[row] == 0:
                price4 += TICK
                row += 1
            symbol[BEST_ASK] = price4 if price4 <= symbol[HIGHEST] else _NO_ASK
    elif price4 == symbol[BEST_BID]:
        while price4 >= symbol[LOWEST] and session.levels[row] == 0:
            price4 -= TICK
            row -= 1
        symbol[BEST_BID] = price4 if price4 >= symbol[LOWEST] else 0


@kernel
def _is_live_nb(session: Session, reference: int, locate: int) -> int:
    """1 for a live order of that symbol, else 0 and a rule is broken."""
    if 0 < reference < session.place.shape[0] and session.place[reference] >> 1 == locate:
        return np.int64(1)
    _breaks_nb(session, Rule.LIVE_REFERENCE)
    return np.int64(0)


@kernel
def trades_nb(session: Session, locate: int) -> bool:
    """Whether the symbol is neither halted nor out."""
    symbol = session.symbols[locate]
    return symbol[_STATUS] == _TRADING and symbol[_OUTAGE] == 0


@kernel
def _trade_nb(session: Session, locate: int, match: int) -> None:
    """A trade in continuous trading, with a number of its own."""
    if not trades_nb(session, locate):
        _breaks_nb(session, Rule.HALTED)
    _match_nb(session, match)


@kernel
def _match_nb(session: Session, match: int) -> None:
    if match <= session.words[_MATCH]:
        _breaks_nb(session, Rule.MATCH)
    session.words[_MATCH] = match


@kernel
def _execution_nb(session: Session, buf: NDArray[np.uint8], body: int, locate: int) -> None:
    """E and C: at the best price of its side."""
    reference = number_nb(buf, body + 11, 8)
    _trade_nb(session, locate, number_nb(buf, body + 23, 8))
    if not _is_live_nb(session, reference, locate):
        return
    symbol = session.symbols[locate]
    best = symbol[BEST_ASK] if session.place[reference] & 1 else symbol[BEST_BID]
    if session.price4[reference] != best:
        _breaks_nb(session, Rule.BEST_PRICE)
    _take_nb(session, reference, number_nb(buf, body + 19, 4))


@kernel
def _order_message_nb(
    session: Session, buf: NDArray[np.uint8], body: int, kind: int, locate: int
) -> None:
    """A, F, E, C, X, D and U."""
    reference = number_nb(buf, body + 11, 8)
    if kind == ord("A") or kind == ord("F"):
        if not 2 <= session.words[_EVENT] <= 4:
            _breaks_nb(session, Rule.HOURS)
        place = 2 * locate + np.int64(buf[body + 19] != _BUY)
        shares = number_nb(buf, body + 20, 4)
        _enter_nb(session, reference, place, shares, number_nb(buf, body + 32, 4))
    elif kind == ord("E") or kind == ord("C"):
        _execution_nb(session, buf, body, locate)
    elif not _is_live_nb(session, reference, locate):
        return
    elif kind == ord("X"):
        shares = number_nb(buf, body + 19, 4)
        if shares >= session.shares[reference]:
            _breaks_nb(session, Rule.SHARES)
        _take_nb(session, reference, shares)
    else:
        place = np.int64(session.place[reference])
        _take_nb(session, reference, np.int64(session.shares[reference]))
        if kind == ord("U"):
            shares = number_nb(buf, body + 27, 4)
            price4 = number_nb(buf, body + 31, 4)
            _enter_nb(session, number_nb(buf, body + 19, 8), place, shares, price4)


@kernel
def _state_message_nb(
    session: Session, buf: NDArray[np.uint8], body: int, kind: int, locate: int
) -> None:
    """R, H and h."""
    symbol = session.symbols[locate]
    if kind == ord("R"):
        symbol[_LISTED] = 1
    elif kind == ord("H"):
        if symbol[_STATUS] == buf[body + 19]:
            _breaks_nb(session, Rule.STATE)
        symbol[_STATUS] = buf[body + 19]
    else:
        outage = np.int64(buf[body + 20] == _HALTED_LETTER)
        if outage == symbol[_OUTAGE]:
            _breaks_nb(session, Rule.STATE)
        symbol[_OUTAGE] = outage


@kernel
def _cross_nb(session: Session, buf: NDArray[np.uint8], body: int, locate: int, at: int) -> None:
    """Q: after a halt while it lasts, at open and close of a symbol that trades."""
    status = session.symbols[locate, _STATUS]
    after_halt = buf[body + 39] == _CROSS_AFTER_HALT
    if after_halt == (status == _TRADING):
        _breaks_nb(session, Rule.HALTED)
    _match_nb(session, number_nb(buf, body + 31, 8))
    row = session.crosses[at]
    row[0] = session.words[_MATCH]
    row[1] = session.words[TS_NS]
    row[2] = locate
    row[3] = number_nb(buf, body + 27, 4)
    row[4] = number_nb(buf, body + 11, 8)


@outline_kernel
def message_nb(session: Session, buf: NDArray[np.uint8], body: int, kind: int) -> None:
    """Hold one message, whose type is at buf[body], to the rules, and keep the books."""
    locate = number_nb(buf, body + 1, 2)
    ts_ns = number_nb(buf, body + 5, 6)
    words = session.words
    if ts_ns < words[TS_NS]:
        _breaks_nb(session, Rule.TIME)
    words[TS_NS] = ts_ns
    if kind == ord("S"):
        if words[_EVENT] >= len(_EVENTS) or buf[body + 11] != _EVENTS[words[_EVENT]]:
            _breaks_nb(session, Rule.EVENTS)
        words[_EVENT] += 1
        return
    if kind == ord("V") or kind == ord("W"):
        return
    if kind != ord("R") and session.symbols[locate, _LISTED] == 0:
        _breaks_nb(session, Rule.LISTED)
    if kind == ord("R") or kind == ord("H") or kind == ord("h"):
        _state_message_nb(session, buf, body, kind, locate)
    elif kind == ord("P"):
        _trade_nb(session, locate, number_nb(buf, body + 36, 8))
        if number_nb(buf, body + 20, 4) == 0:
            _breaks_nb(session, Rule.SHARES)
    elif kind == ord("Q"):
        _cross_nb(session, buf, body, locate, session.types[kind])
    elif kind == ord("B"):
        match = number_nb(buf, body + 11, 8)
        if match == 0 or match > words[_MATCH]:
            _breaks_nb(session, Rule.BROKEN)
    elif kind in _ORDER_KINDS:
        _order_message_nb(session, buf, body, kind, locate)


@outline_kernel
def check_nb(
    session: Session, buf: NDArray[np.uint8], lengths: NDArray[np.int64], at: int, limit: int
) -> int:
    """Check up to `limit` messages from buf[at] on; where the next one begins, -1 at the end."""
    for _ in range(limit):
        if at + 2 > buf.shape[0]:
            _breaks_nb(session, Rule.BLOCK)
            return -1
        size = number_nb(buf, at, 2)
        if size == 0:
            return -1
        session.words[NUMBER] += 1
        if at + 2 + size > buf.shape[0] or size != lengths[buf[at + 2]]:
            _breaks_nb(session, Rule.BLOCK)
            return -1
        kind = np.int64(buf[at + 2])
        message_nb(session, buf, at + 2, kind)
        session.types[kind] += 1
        at += 2 + size
    return at
