"""What the books are when a session ends, in a form that another program can be held against.

The digest is defined in README.md of this folder; a feed handler computes its own from its own
books.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.exchange.layout import (
    BASE_TICK,
    EMITTED,
    LEVEL,
    LIVE,
    MEMBER,
    QUANTITY,
    REFERENCE,
    SELL,
    SIDE,
    TICK_PRICE4,
    Engine,
)

DIGEST_ROW = np.dtype(
    [("locate", "<u2"), ("side", "S1"), ("price4", "<u4"), ("reference", "<u8"), ("shares", "<u4")]
)
"""One live order: struct "<HcIQI", without padding."""


def live_orders(engine: Engine) -> NDArray[Any]:
    """Every live order as a DIGEST_ROW, by locate, bids first, best price first, then reference."""
    slots = engine.members.shape[1]
    live = np.arange(slots) < engine.symbols[:, LIVE, np.newaxis]
    own = _own_orders(engine)
    symbol = np.concatenate([np.nonzero(live)[0], -1 - own[:, MEMBER]])
    orders = np.concatenate([engine.orders[engine.members[live]], own])
    rows = np.zeros(len(orders), DIGEST_ROW)
    rows["locate"] = symbol + 1
    rows["side"] = np.where(orders[:, SIDE] == SELL, b"S", b"B")
    rows["price4"] = (engine.symbols[symbol, BASE_TICK] + orders[:, LEVEL]) * TICK_PRICE4
    rows["reference"] = orders[:, REFERENCE]
    rows["shares"] = orders[:, QUANTITY]
    level_from_best = np.where(orders[:, SIDE] == SELL, orders[:, LEVEL], -orders[:, LEVEL])
    order = np.lexsort((orders[:, REFERENCE], level_from_best, orders[:, SIDE], symbol))
    return rows[order]


def _own_orders(engine: Engine) -> NDArray[np.int64]:
    """Those of clients among the live ones."""
    own = engine.orders[1 + engine.members.size :]
    return own[own[:, QUANTITY] > 0]


def books_digest(engine: Engine) -> str:
    """SHA-256 over all live orders, in hexadecimal."""
    return hashlib.sha256(live_orders(engine).tobytes()).hexdigest()


def type_counts(engine: Engine) -> dict[str, int]:
    """Messages by type, types that occurred only."""
    counts = engine.type_counts
    return {chr(code): int(counts[code]) for code in np.nonzero(counts)[0]}


def summary(engine: Engine) -> dict[str, Any]:
    """What a session was: messages, types, live orders and the digest of the books."""
    return {
        "messages": int(engine.state[EMITTED]),
        "types": type_counts(engine),
        "orders_live": int(engine.symbols[:, LIVE].sum() + len(_own_orders(engine))),
        "books_digest": books_digest(engine),
    }
