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
    return _in_order(rows)


def _in_order(rows: NDArray[Any]) -> NDArray[Any]:
    """DIGEST_ROWs by locate, bids first, best price first, then reference."""
    sells = rows["side"] == b"S"
    price4 = rows["price4"].astype(np.int64)
    from_best = np.where(sells, price4, -price4)
    return rows[np.lexsort((rows["reference"], from_best, sells, rows["locate"]))]


def _own_orders(engine: Engine) -> NDArray[np.int64]:
    """Those of clients among the live ones."""
    own = engine.orders[1 + engine.members.size :]
    return own[own[:, QUANTITY] > 0]


def books_digest(engine: Engine) -> str:
    """SHA-256 over all live orders, in hexadecimal."""
    return _digest(live_orders(engine))


def _digest(rows: NDArray[Any]) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()


def summary(engine: Engine) -> dict[str, Any]:
    """What a session was: messages, types, live orders and the digest of the books."""
    live = int(engine.symbols[:, LIVE].sum()) + len(_own_orders(engine))
    return _summary(engine.state[EMITTED], engine.type_counts, live, books_digest(engine))


def summary_of_rows(
    messages: int, type_counts: NDArray[np.int64], rows: NDArray[Any]
) -> dict[str, Any]:
    """The same of a session of several engines: its messages by type, and its live orders as
    DIGEST_ROWs, in any order.
    """
    return _summary(messages, type_counts, len(rows), _digest(_in_order(rows)))


def _summary(
    messages: int, type_counts: NDArray[np.int64], orders_live: int, digest: str
) -> dict[str, Any]:
    return {
        "messages": int(messages),
        "types": {chr(code): int(type_counts[code]) for code in np.flatnonzero(type_counts)},
        "orders_live": orders_live,
        "books_digest": digest,
    }
