"""What a session looks like second by second, read from its messages by the book of `checker`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from tools.exchange.checker_kernels import (
    BEST_ASK,
    BEST_BID,
    LOCATES,
    TS_NS,
    Session,
    level_row_nb,
    message_nb,
    number_nb,
    trades_nb,
)
from tools.exchange.day import NS_PER_S, OPEN_NS

SECONDS = 23_400
"""Of market hours."""
_NO_ASK = 1 << 40
_KINDS = 3
ADDED, REMOVED, TRADED = range(_KINDS)


@by_reference
class Samples(NamedTuple):
    """Market hours of a session, of some of its symbols: column i is that of locates[i].

    Shapes:  locates i64[symbols]; columns i32[LOCATES], -1 for symbols that have none;
             bids, asks i32[SECONDS, symbols]: best prices at the end of each second in 1e-4, 0:
             none; trading u8[SECONDS, symbols], 1 where it trades then; bid_shares, ask_shares
             i32[SECONDS, symbols]: what stands there; counts i64[SECONDS, symbols, 3]: orders
             added, removed without a trade, trades; trades i64[n, 4]: ts_ns, column, price4, shares
             with the sign of who took; size i64[1], how many they are; cursor i64[2], seconds that
             are over and place in the file.
    """

    locates: NDArray[np.int64]
    columns: NDArray[np.int32]
    bids: NDArray[np.int32]
    asks: NDArray[np.int32]
    trading: NDArray[np.uint8]
    bid_shares: NDArray[np.int32]
    ask_shares: NDArray[np.int32]
    counts: NDArray[np.int64]
    trades: NDArray[np.int64]
    size: NDArray[np.int64]
    cursor: NDArray[np.int64]


def allocate_samples(locates: NDArray[np.int64], trades: int) -> Samples:
    """Room for those symbols of a session, and so many trades."""
    columns = np.full(LOCATES, -1, np.int32)
    columns[locates] = np.arange(len(locates))
    bids, asks, bid_shares, ask_shares = np.zeros((4, SECONDS, len(locates)), np.int32)
    return Samples(
        locates,
        columns,
        bids,
        asks,
        np.zeros((SECONDS, len(locates)), np.uint8),
        bid_shares,
        ask_shares,
        counts=np.zeros((SECONDS, len(locates), _KINDS), np.int64),
        trades=np.zeros((trades, 4), np.int64),
        size=np.zeros(1, np.int64),
        cursor=np.zeros(2, np.int64),
    )


@kernel
def _close_second_nb(session: Session, samples: Samples) -> None:
    second = samples.cursor[0]
    samples.cursor[0] = second + 1
    for i in range(samples.locates.shape[0]):
        locate = samples.locates[i]
        bid, ask = session.symbols[locate, BEST_BID], session.symbols[locate, BEST_ASK]
        samples.trading[second, i] = trades_nb(session, locate)
        if bid > 0:
            samples.bids[second, i] = bid
            samples.bid_shares[second, i] = session.levels[level_row_nb(session, 2 * locate, bid)]
        if ask < _NO_ASK:
            row = level_row_nb(session, 2 * locate + 1, ask)
            samples.asks[second, i] = ask
            samples.ask_shares[second, i] = session.levels[row]


@kernel
def _count_nb(session: Session, samples: Samples, buf: NDArray[np.uint8], body: int) -> None:
    """Note what kind of a message it is, before the book has it."""
    kind = buf[body]
    locate = number_nb(buf, body + 1, 2)
    column = np.int64(samples.columns[locate])
    if column < 0:
        return
    counts = samples.counts[samples.cursor[0], column]
    if kind == ord("A") or kind == ord("F"):
        counts[ADDED] += 1
    elif kind == ord("D"):
        counts[REMOVED] += 1
    elif kind == ord("E") or kind == ord("C"):
        counts[TRADED] += 1
        reference = number_nb(buf, body + 11, 8)
        place = session.place[reference]
        shares = number_nb(buf, body + 19, 4)
        trade = samples.trades[samples.size[0]]
        trade[0] = session.words[TS_NS]
        trade[1] = column
        trade[2] = session.price4[reference]
        # Who took bought what rested as a sell.
        trade[3] = shares if place & 1 else -shares
        samples.size[0] += 1


@outline_kernel
def sample_nb(session: Session, samples: Samples, buf: NDArray[np.uint8], limit: int) -> int:
    """Read up to `limit` messages on; 1 while there are more."""
    at = samples.cursor[1]
    for _ in range(limit):
        size = number_nb(buf, at, 2)
        if size == 0:
            return 0
        body = at + 2
        now_ns = number_nb(buf, body + 5, 6)
        while (
            samples.cursor[0] < SECONDS and now_ns >= OPEN_NS + (samples.cursor[0] + 1) * NS_PER_S
        ):
            _close_second_nb(session, samples)
        if now_ns >= OPEN_NS and samples.cursor[0] < SECONDS:
            _count_nb(session, samples, buf, body)
        message_nb(session, buf, body, np.int64(buf[body]))
        at = body + size
        samples.cursor[1] = at
    return 1
