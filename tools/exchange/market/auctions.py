"""Crosses: orders that wait for one, the price that most shares trade at, and the messages about
it.

Such orders are not displayed (ITCH has no message for them), so the truth about a session holds
them. The price is that of an order, or the reference, at which most shares are matched; of several
the one that leaves the smallest surplus, and of those the one nearest to the reference.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes
from tools.exchange.flow import price4_nb, take_match_number_nb
from tools.exchange.itch_writer_rare import write_cross_nb, write_imbalance_nb
from tools.exchange.layout import BUY, CLOCK_NS, LEVEL_COUNT, RANDOM, TICKER
from tools.exchange.market.layout import AUCTION, CROSS_ORDERS, HALF_SPREAD, LOG_LOST, Market
from tools.exchange.market.prices import fair_level_nb
from tools.exchange.market.tables import ENTRIES
from tools.exchange.rng import random_nb

OPENING = np.int64(0)
CLOSING = np.int64(1)
SIDE = 0
LEVEL = 1
SHARES = 2

_LOTS = 10
"""An order for a cross is so many times larger than another."""
_MARKET_ORDERS = 10
"""Out of 32: those that take any price."""


@outline_kernel
def enter_auction_nb(market: Market, which: int, symbol: int, count: int) -> None:
    """Add up to `count` random orders for a cross, while there is room."""
    engine = market.engine
    fair = fair_level_nb(market, symbol)
    for _ in range(count):
        size = market.auction_sizes[which, symbol]
        if size == AUCTION:
            return
        draw = random_nb(engine.state, RANDOM)
        side = draw & 1
        again = random_nb(engine.state, RANDOM)
        behind = np.int64(market.draws.distances[again & (ENTRIES - 1)])
        behind = (behind - 8) * market.own[symbol, HALF_SPREAD]
        level = fair - behind if side == BUY else fair + behind
        highest = engine.symbols[symbol, LEVEL_COUNT] - 1
        level = min(max(level, np.int64(1)), highest - 1)
        if (draw >> 1) & 31 < _MARKET_ORDERS:
            level = highest if side == BUY else np.int64(0)
        row = market.auctions[which, symbol, size]
        row[SIDE] = side
        row[LEVEL] = level
        row[SHARES] = _LOTS * np.int64(market.draws.sizes[(draw >> 8) & (ENTRIES - 1)])
        market.auction_sizes[which, symbol] = size + 1


@outline_kernel
def clear_auction_nb(market: Market, which: int, symbol: int) -> tuple[int, int, int]:
    """(shares matched, buyers' surplus, level) at the best price there is; see the top."""
    reference = fair_level_nb(market, symbol)
    orders = market.auctions[which, symbol]
    size = market.auction_sizes[which, symbol]
    highest = market.engine.symbols[symbol, LEVEL_COUNT] - 1
    best = reference
    paired, surplus = _matched_nb(market, which, symbol, reference)
    for i in range(size):
        level = orders[i, LEVEL]
        if level == 0 or level == highest:
            continue
        shares, over = _matched_nb(market, which, symbol, level)
        is_better = shares > paired
        if shares == paired:
            is_better = abs(over) < abs(surplus)
            if abs(over) == abs(surplus):
                is_better = abs(level - reference) < abs(best - reference)
        if is_better:
            best, paired, surplus = level, shares, over
    return paired, surplus, best


@kernel
def _matched_nb(market: Market, which: int, symbol: int, level: int) -> tuple[int, int]:
    """(shares matched, buyers' surplus) at a price."""
    orders = market.auctions[which, symbol]
    bought = np.int64(0)
    sold = np.int64(0)
    for i in range(market.auction_sizes[which, symbol]):
        if orders[i, SIDE] == BUY:
            if orders[i, LEVEL] >= level:
                bought += orders[i, SHARES]
        elif orders[i, LEVEL] <= level:
            sold += orders[i, SHARES]
    return min(bought, sold), bought - sold


@outline_kernel
def publish_imbalance_nb(
    market: Market, out: Bytes, at: int, which: int, symbol: int, code: int
) -> int:
    """I of the cross as it would be now, after one more order for it."""
    engine = market.engine
    enter_auction_nb(market, which, symbol, np.int64(1))
    paired, surplus, level = clear_auction_nb(market, which, symbol)
    stock = engine.symbols[symbol, TICKER]
    auction = (paired, surplus, price4_nb(engine, symbol, level), code)
    return write_imbalance_nb(out, at, symbol + 1, engine.state[CLOCK_NS], stock, auction)


@kernel
def _remember_nb(market: Market, which: int, symbol: int, match: int) -> None:
    """Keep the orders of a cross for the truth about the session."""
    highest = market.engine.symbols[symbol, LEVEL_COUNT] - 1
    for i in range(market.auction_sizes[which, symbol]):
        at = market.words[CROSS_ORDERS]
        if at == market.cross_orders.shape[0]:
            market.words[LOG_LOST] += 1
            return
        market.words[CROSS_ORDERS] = at + 1
        order = market.auctions[which, symbol, i]
        row = market.cross_orders[at]
        row[0] = match
        row[1] = order[SIDE]
        level = order[LEVEL]
        row[2] = -1 if level in (0, highest) else price4_nb(market.engine, symbol, level)
        row[3] = order[SHARES]


@outline_kernel
def cross_nb(
    market: Market, out: Bytes, at: int, which: int, symbol: int, code: int
) -> tuple[int, int]:
    """Q, with no shares where none match; (bytes, shares)."""
    engine = market.engine
    paired, _, level = clear_auction_nb(market, which, symbol)
    match = take_match_number_nb(engine, symbol)
    _remember_nb(market, which, symbol, match)
    stock = engine.symbols[symbol, TICKER]
    cross = (paired, price4_nb(engine, symbol, level), match, code)
    ts_ns = engine.state[CLOCK_NS]
    return write_cross_nb(out, at, symbol + 1, ts_ns, stock, cross), paired
