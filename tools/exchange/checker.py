"""`exchange check`: an independent check of a session, with books of its own.

It shares nothing with the engine that makes sessions, and reads ITCH by itself. Crosses are held
against the orders that the truth beside the session says were in them, as the feed has no message
for those.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.checker_kernels import (
    BEST_ASK,
    FIRST_ROW,
    HIGHEST,
    LENGTHS,
    LIVE,
    LOCATES,
    LOWEST,
    NUMBER,
    SYMBOL_WORDS,
    TICK,
    WORDS,
    Rule,
    Session,
    check_nb,
    survey_nb,
)

_SLICE = 1 << 20
_NO_ASK = 1 << 40
RULES = {
    Rule.BLOCK: "a block is a length and a message of that type's length, up to a length of zero",
    Rule.TIME: "time does not go back",
    Rule.EVENTS: "system events are O S Q M E C, in this order",
    Rule.LISTED: "a symbol is in the directory before anything else about it",
    Rule.HOURS: "orders come within system hours",
    Rule.NEW_REFERENCE: "references ascend",
    Rule.LIVE_REFERENCE: "what is executed, cut, deleted or replaced is a live order of it",
    Rule.SHARES: "no order has no shares, or gives more than it has",
    Rule.CROSSED: "no book is crossed or locked",
    Rule.BEST_PRICE: "executions are at the best price of their side",
    Rule.HALTED: "a halted symbol does not trade, and one that trades has no cross after a halt",
    Rule.MATCH: "match numbers ascend",
    Rule.BROKEN: "a broken trade is one that was",
    Rule.STATE: "a trading state changes with each message about it",
    Rule.PRICE: "prices are whole cents above zero",
}
CROSS_RULE = "a cross is at a price at which most shares match, and of as many shares"
Order = tuple[int, int, int]


def check_file(path: Path) -> dict[str, Any]:
    """What the session in `path` is, and every rule that it breaks: `broken`, empty when none is.

    UserError when the file cannot be read.
    """
    session, buf, _ = open_session(path)
    at = 0
    while at >= 0:
        at = check_nb(session, buf, LENGTHS, at, _SLICE)
    broken = [
        {
            "rule": RULES[rule],
            "times": int(session.counts[rule]),
            "first": int(session.firsts[rule]),
        }
        for rule in Rule
        if session.counts[rule]
    ]
    crosses_checked, wrong = _check_crosses(path, session.crosses)
    if wrong:
        broken.append({"rule": CROSS_RULE, "times": len(wrong), "first": wrong[0]})
    return {
        "messages": int(session.words[NUMBER]),
        "types": {chr(i): int(session.types[i]) for i in np.flatnonzero(session.types)},
        "orders_live": int(session.words[LIVE]),
        "crosses_checked": crosses_checked,
        "broken": broken,
    }


def open_session(path: Path) -> tuple[Session, NDArray[np.uint8], int]:
    """Memory for a check of the session in `path`, its bytes, and how many messages it has.

    UserError when the file cannot be read.
    """
    try:
        size = path.stat().st_size
        # Read-only as the other, or the kernels would be compiled for it once more.
        buf = np.memmap(path, np.uint8, "r") if size else np.frombuffer(b"", np.uint8)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", ExitCode.DATA) from None
    symbols = np.zeros((LOCATES, SYMBOL_WORDS), np.int64)
    messages, highest, crosses = survey_nb(buf, LENGTHS, symbols)
    return _allocate(symbols, int(highest), int(crosses)), buf, int(messages)


def _allocate(symbols: NDArray[np.int64], highest: int, crosses: int) -> Session:
    used = symbols[:, HIGHEST] > 0
    rows = np.where(used, (symbols[:, HIGHEST] - symbols[:, LOWEST]) // TICK + 1, 0)
    symbols[:, FIRST_ROW] = np.cumsum(rows) - rows
    symbols[:, BEST_ASK] = _NO_ASK
    return Session(
        price4=np.zeros(highest + 1, np.int32),
        shares=np.zeros(highest + 1, np.int32),
        place=np.zeros(highest + 1, np.int32),
        levels=np.zeros(2 * int(rows.sum()), np.int64),
        symbols=symbols,
        words=np.zeros(WORDS, np.int64),
        counts=np.zeros(len(Rule), np.int64),
        firsts=np.zeros(len(Rule), np.int64),
        types=np.zeros(256, np.int64),
        crosses=np.zeros((crosses, 5), np.int64),
    )


def _check_crosses(path: Path, crosses: NDArray[np.int64]) -> tuple[int, list[int]]:
    """How many crosses the truth has orders of, and the match numbers of those that are wrong."""
    truth_path = Path(f"{path}.truth.json")
    if not truth_path.exists():
        return 0, []
    try:
        truth = msgspec.json.decode(truth_path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{truth_path}: {error}", ExitCode.DATA) from None
    orders: dict[int, list[Order]] = defaultdict(list)
    for match, *order in truth.get("cross_orders", ()):
        orders[match].append((order[0], order[1], order[2]))
    if "cross_orders" not in truth:
        return 0, []
    wrong = [
        int(match)
        for match, _, _, price4, shares in crosses
        if not _is_right(orders[int(match)], int(price4), int(shares))
    ]
    return len(crosses), wrong


def _is_right(orders: list[Order], price4: int, shares: int) -> bool:
    if _matched(orders, price4) != shares:
        return False
    prices = {limit4 for _, limit4, _ in orders if limit4 >= 0}
    return all(_matched(orders, each) <= shares for each in prices)


def _matched(orders: list[Order], price4: int) -> int:
    """Shares that can be matched at a price; side 0 buys, a limit of -1 is none."""
    bought = sum(n for side, limit, n in orders if side == 0 and (limit < 0 or limit >= price4))
    sold = sum(n for side, limit, n in orders if side == 1 and (limit < 0 or limit <= price4))
    return min(bought, sold)
