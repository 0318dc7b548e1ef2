"""Orders of clients: they really trade in the books, and what comes of them is on the feed.

    main thread ─commands─► sender's thread, between two messages of the flow ─reports─► main thread

An order is known by its token, which the main thread chooses and which names its slot among the
engine's orders. The sender takes a command when no message of the flow is half done: a new order
executes against what stands on the other side (E), and the rest stands in the book (A); a cancel is
D; a replace is X where it only takes shares, U where it moves, D and a new order where it trades.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import store_release
from feedhandler.core.latency import allocate_histogram
from feedhandler.core.libc import CLOCK_MONOTONIC, clock_ns, write
from feedhandler.core.recording import record_nb
from feedhandler.core.ring import (
    HEAD,
    Ring,
    allocate_ring,
    ring_commit_nb,
    ring_reserve_nb,
    ring_size_nb,
    ring_take_rows_nb,
)
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from tools.exchange import itch_writer as itch
from tools.exchange.flow import (
    OPENING_EVENTS,
    delete_order_nb,
    execute_best_nb,
    price4_nb,
    write_order_nb,
    write_replaced_nb,
)
from tools.exchange.history import History, keep_block_nb, room_nb
from tools.exchange.itch_writer import LENGTH_BYTES
from tools.exchange.layout import (
    ATTRIBUTION,
    BASE_TICK,
    BUY,
    CLOCK_NS,
    CLOSING_COUNT,
    EMITTED,
    FILLED_SHARES,
    FILLED_SLOT,
    FIRST_REFERENCE_SHIFT,
    FIRST_ROW,
    HALTED,
    IS_TAPE,
    LEVEL,
    LEVEL_COUNT,
    LEVEL_QUANTITY,
    MATCH_SYMBOL,
    NEXT_MATCH,
    NO_MATCH,
    QUANTITY,
    REFERENCE,
    SELL,
    SIDE,
    SWEEP_QUANTITY,
    SYSTEM_EVENTS,
    TICK_PRICE4,
    TOTAL,
    UNLIMITED,
    Engine,
)
from tools.exchange.matching import (
    best_level_nb,
    enter_own_order_nb,
    first_own_slot_nb,
    own_symbol_nb,
    reduce_order_nb,
    replace_order_nb,
)
from tools.exchange.stamps import restamp_nb
from tools.exchange.streams import BOOKS, Streams
from tools.exchange.streams_fix import begin_books_nb, publish_change_nb

COMMANDS = 1 << 14
COMMANDS_A_ROUND = 64
"""Taken before the flow goes on."""
SHARES_MAX = 1_000_000
_LEVEL_SHARES_MAX = (1 << 31) - 1
_MARKET_OPENS = OPENING_EVENTS.index(ord("Q"))


class Command(IntEnum):
    """What a client wants."""

    NEW = 1
    CANCEL = 2
    REPLACE = 3


class Report(IntEnum):
    """What came of it."""

    NEW = 1
    FILL = 2
    CANCELLED = 3
    REPLACED = 4
    REJECTED = 5
    """A new order."""
    REFUSED = 6
    """A cancel or a replace."""


class Reason(IntEnum):
    """Why not."""

    NONE = 0
    SYMBOL = 1
    """There is no such symbol."""
    HALTED = 2
    """It is not traded now."""
    PRICE = 3
    """Not a whole number of cents, or outside of what the book holds."""
    CLOSED = 4
    """Market hours have not begun, the session is over, or nothing is matched in it."""
    TOO_LATE = 5
    """The order is not live any more."""
    FULL = 6
    """The price level holds no more shares."""


IMMEDIATE, IN_FORCE = 0, 1
"""Whether what does not execute at once stands in the book: `rests`."""
MARKET = -1
"""Price of an order that takes any."""

COMMAND = np.dtype(
    [
        ("kind", "i4"),
        ("token", "i4"),
        ("symbol", "i4"),
        ("side", "i4"),
        ("rests", "i4"),
        ("request", "i4"),
        ("price4", "i8"),
        ("quantity", "i8"),
        ("feed_seq", "i8"),
    ]
)
"""`quantity` of a REPLACE is that of the whole order, what executed already included; `request` is
told in what comes of it; `feed_seq` is the message of the feed that caused it, 0: none."""

REPORT = np.dtype(
    [
        ("kind", "i4"),
        ("token", "i4"),
        ("reason", "i4"),
        ("request", "i4"),
        ("shares", "i8"),
        ("price4", "i8"),
        ("leaves", "i8"),
        ("reference", "i8"),
        ("match", "i8"),
        ("seq", "i8"),
        ("clock_ns", "i8"),
    ]
)
"""`shares` and `price4` of a fill, or of the order as it is now; `seq` is the message of the feed
that says so, 0: none."""


@by_reference
class Desk(NamedTuple):
    """`filled` i64[orders]: shares of each token that executed. `sent_ns` i64[messages, a power of
    two]: when the latest messages were sent, by CLOCK_MONOTONIC. `round_trip`: histogram, from the
    sending of the message that an order names to its matching. `wakeup` i64[2]: 1, and the event
    descriptor that tells of reports, -1: none; `lost` i64[1] reports that found the ring full.
    """

    streams: Streams
    commands: Ring
    reports: Ring
    filled: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    round_trip: NDArray[np.int64]
    wakeup: NDArray[np.int64]
    lost: NDArray[np.int64]


def allocate_desk(orders: int, messages: int, streams: Streams) -> Desk:
    """A desk for `orders` tokens; `messages` is a power of two, 1 where nobody takes orders. What
    orders do to the books is told to `streams`.
    """
    rows = COMMANDS if orders else 2
    return Desk(
        streams=streams,
        commands=allocate_ring(rows, COMMAND),
        reports=allocate_ring(4 * rows, REPORT),
        filled=np.zeros(max(orders, 1), np.int64),
        sent_ns=np.zeros(messages, np.int64),
        round_trip=allocate_histogram(),
        wakeup=np.array([1, -1], np.int64),
        lost=np.zeros(1, np.int64),
    )


@kernel
def note_sent_nb(desk: Desk, first: int, last: int, now_ns: int) -> None:
    """Messages `first` to `last` are sent now."""
    mask = desk.sent_ns.shape[0] - 1
    if mask:
        for seq in range(first, last + 1):
            desk.sent_ns[seq & mask] = now_ns


@outline_kernel
def _report_nb(
    desk: Desk, engine: Engine, kind: int, token: int, what: tuple[int, int, int, int, int, int]
) -> None:
    """Tell the main thread; `what` is (reason, request, shares, price4, match, seq)."""
    reason, request, shares, price4, match, seq = what
    slot = first_own_slot_nb(engine) + token
    place = ring_reserve_nb(desk.reports)
    if place < 0:
        desk.lost[0] += 1
        return
    row = desk.reports.cells[place]
    row["kind"] = kind
    row["token"] = token
    row["reason"] = reason
    row["request"] = request
    row["shares"] = shares
    row["price4"] = price4
    row["leaves"] = engine.orders[slot, QUANTITY]
    row["reference"] = engine.orders[slot, REFERENCE]
    row["match"] = match
    row["seq"] = seq
    row["clock_ns"] = engine.state[CLOCK_NS]
    ring_commit_nb(desk.reports)


@outline_kernel
def tell_fill_nb(desk: Desk, engine: Engine) -> None:
    """The latest message executed against a client's order that stood in the book."""
    state = engine.state
    slot = state[FILLED_SLOT]
    shares = state[FILLED_SHARES]
    state[FILLED_SLOT] = 0
    if engine.orders[slot, ATTRIBUTION] >> FIRST_REFERENCE_SHIFT:
        # An iceberg of the scenario, and no client's.
        return
    token = slot - first_own_slot_nb(engine)
    desk.filled[token] += shares
    order = engine.orders[slot]
    price4 = price4_nb(engine, own_symbol_nb(engine, slot), order[LEVEL])
    what = (
        np.int64(Reason.NONE),
        np.int64(0),
        shares,
        price4,
        state[NEXT_MATCH] - 1,
        np.int64(state[EMITTED]),
    )
    _report_nb(desk, engine, np.int64(Report.FILL), token, what)


@kernel
def _count_block_nb(desk: Desk, engine: Engine, history: History, at: int, size: int) -> None:
    """A message of the desk is the next one of the feed."""
    restamp_nb(engine, history.data, at)
    engine.type_counts[history.data[at + LENGTH_BYTES]] += 1
    engine.state[EMITTED] += 1
    if engine.state[TOTAL] < UNLIMITED:
        # The flow has as many as it would have had.
        engine.state[TOTAL] += 1
    keep_block_nb(engine, history, at, size)
    if desk.streams.state[BOOKS] > 0:
        publish_change_nb(desk.streams, engine, history.data, at)


@kernel
def _is_reached_nb(engine: Engine, symbol: int, side: int, level: int) -> bool:
    """Whether an order of that side and limit would execute."""
    if side == BUY:
        return best_level_nb(engine, symbol, np.int64(SELL)) <= level
    return best_level_nb(engine, symbol, np.int64(BUY)) >= level


@outline_kernel
def _take_nb(
    desk: Desk, engine: Engine, history: History, token: int, order: tuple[int, int, int, int]
) -> int:
    """Execute an order, (symbol, side, level, shares), as far as it reaches; the shares left."""
    symbol, side, level, left = order
    while left > 0 and _is_reached_nb(engine, symbol, side, level):
        at = room_nb(history)
        best, slot, shares, match = execute_best_nb(engine, symbol, side, left)
        engine.state[MATCH_SYMBOL] = NO_MATCH
        reference = engine.orders[slot, REFERENCE]
        ts_ns = engine.state[CLOCK_NS]
        size = itch.write_executed_nb(history.data, at, symbol + 1, ts_ns, reference, shares, match)
        _count_block_nb(desk, engine, history, at, size)
        if engine.state[FILLED_SLOT]:
            tell_fill_nb(desk, engine)
        left -= shares
        desk.filled[token] += shares
        engine.orders[first_own_slot_nb(engine) + token, QUANTITY] = left
        price4 = price4_nb(engine, symbol, best)
        seq = np.int64(engine.state[EMITTED])
        what = (np.int64(Reason.NONE), np.int64(0), shares, price4, match, seq)
        _report_nb(desk, engine, np.int64(Report.FILL), token, what)
    engine.orders[first_own_slot_nb(engine) + token, QUANTITY] = 0
    return left


@kernel
def _stand_nb(
    desk: Desk, engine: Engine, history: History, token: int, order: tuple[int, int, int, int]
) -> None:
    """Put an order, (symbol, side, level, shares), into the book, and say so by A."""
    symbol, side, level, shares = order
    slot = first_own_slot_nb(engine) + token
    enter_own_order_nb(engine, symbol, slot, (side, level, shares))
    at = room_nb(history)
    _count_block_nb(
        desk, engine, history, at, write_order_nb(engine, history.data, at, symbol, slot)
    )


@kernel
def _level_nb(engine: Engine, symbol: int, side: int, price4: int) -> int:
    """Level of a price, that of MARKET beyond all others; -1 when the book does not hold it."""
    count = engine.symbols[symbol, LEVEL_COUNT]
    if price4 == MARKET:
        return count - 1 if side == BUY else np.int64(0)
    level = price4 // TICK_PRICE4 - engine.symbols[symbol, BASE_TICK]
    if price4 % TICK_PRICE4 or not 1 <= level <= count - 2:
        return np.int64(-1)
    return level


@kernel
def _refusal_nb(engine: Engine, symbol: int, level: int, shares: int) -> int:
    """Why an order of that symbol and level cannot be entered now; NONE when it can."""
    state = engine.state
    # The opening of a flow is counted by its messages, so that none may come between.
    is_open = (state[SYSTEM_EVENTS] >> _MARKET_OPENS) & 1
    if state[IS_TAPE] or not is_open or state[EMITTED] + CLOSING_COUNT >= state[TOTAL]:
        return np.int64(Reason.CLOSED)
    if not 0 <= symbol < engine.symbols.shape[0]:
        return np.int64(Reason.SYMBOL)
    if engine.symbols[symbol, HALTED]:
        return np.int64(Reason.HALTED)
    if level < 0:
        return np.int64(Reason.PRICE)
    row = engine.symbols[symbol, FIRST_ROW] + level
    is_full = engine.levels[row, LEVEL_QUANTITY] + shares > _LEVEL_SHARES_MAX
    return np.int64(Reason.FULL if is_full else Reason.NONE)


@outline_kernel
def _enter_nb(desk: Desk, engine: Engine, history: History, row: NDArray[np.void]) -> None:
    """A new order."""
    command = row[0]
    token, symbol, side = (
        np.int64(command["token"]),
        np.int64(command["symbol"]),
        np.int64(command["side"]),
    )
    request = np.int64(command["request"])
    price4, quantity = np.int64(command["price4"]), np.int64(command["quantity"])
    known = 0 <= symbol < engine.symbols.shape[0]
    level = _level_nb(engine, symbol, side, price4) if known else np.int64(-1)
    reason = _refusal_nb(engine, symbol, level, quantity)
    nothing = np.int64(0)
    if reason != Reason.NONE:
        what = (reason, request, quantity, price4, nothing, nothing)
        _report_nb(desk, engine, np.int64(Report.REJECTED), token, what)
        return
    slot = first_own_slot_nb(engine) + token
    desk.filled[token] = 0
    engine.orders[slot, QUANTITY] = quantity
    engine.orders[slot, REFERENCE] = 0
    what = (nothing, request, quantity, price4, nothing, nothing)
    _report_nb(desk, engine, np.int64(Report.NEW), token, what)
    left = _take_nb(desk, engine, history, token, (symbol, side, level, quantity))
    if left == 0:
        return
    if command["rests"] == IN_FORCE:
        _stand_nb(desk, engine, history, token, (symbol, side, level, left))
        return
    what = (nothing, request, left, price4, nothing, nothing)
    _report_nb(desk, engine, np.int64(Report.CANCELLED), token, what)


@outline_kernel
def _cancel_nb(desk: Desk, engine: Engine, history: History, row: NDArray[np.void]) -> None:
    """D of an order that is live."""
    command = row[0]
    token, request = np.int64(command["token"]), np.int64(command["request"])
    slot = first_own_slot_nb(engine) + token
    order = engine.orders[slot]
    nothing = np.int64(0)
    if order[QUANTITY] == 0 or engine.state[EMITTED] + CLOSING_COUNT >= engine.state[TOTAL]:
        late = (np.int64(Reason.TOO_LATE), request, nothing, nothing, nothing, nothing)
        _report_nb(desk, engine, np.int64(Report.REFUSED), token, late)
        return
    shares = order[QUANTITY]
    at = room_nb(history)
    size = delete_order_nb(engine, history.data, at, own_symbol_nb(engine, slot), slot)
    _count_block_nb(desk, engine, history, at, size)
    seq = np.int64(engine.state[EMITTED])
    price4 = price4_nb(engine, own_symbol_nb(engine, slot), order[LEVEL])
    _report_nb(
        desk,
        engine,
        np.int64(Report.CANCELLED),
        token,
        (nothing, request, shares, price4, nothing, seq),
    )


@kernel
def _change_nb(
    desk: Desk, engine: Engine, history: History, token: int, terms: tuple[int, int]
) -> int:
    """A live order gets (level, shares left); the shares that stand in the book afterwards."""
    level, shares = terms
    slot = first_own_slot_nb(engine) + token
    order = engine.orders[slot]
    symbol, side = own_symbol_nb(engine, slot), np.int64(order[SIDE])
    reference = np.int64(order[REFERENCE])
    at = room_nb(history)
    if level == order[LEVEL] and shares < order[QUANTITY]:
        taken = order[QUANTITY] - shares
        reduce_order_nb(engine, symbol, slot, taken)
        size = itch.write_cancel_nb(
            history.data, at, symbol + 1, engine.state[CLOCK_NS], reference, taken
        )
        _count_block_nb(desk, engine, history, at, size)
        return shares
    if not _is_reached_nb(engine, symbol, side, level):
        replace_order_nb(engine, symbol, slot, level, shares)
        size = write_replaced_nb(engine, history.data, at, symbol, (slot, reference))
        _count_block_nb(desk, engine, history, at, size)
        return shares
    _count_block_nb(
        desk, engine, history, at, delete_order_nb(engine, history.data, at, symbol, slot)
    )
    engine.orders[slot, QUANTITY] = shares
    left = _take_nb(desk, engine, history, token, (symbol, side, level, shares))
    if left > 0:
        _stand_nb(desk, engine, history, token, (symbol, side, level, left))
    return left


@outline_kernel
def _replace_nb(desk: Desk, engine: Engine, history: History, row: NDArray[np.void]) -> None:
    """Another price, quantity or both for an order that is live."""
    command = row[0]
    token, request = np.int64(command["token"]), np.int64(command["request"])
    price4, quantity = np.int64(command["price4"]), np.int64(command["quantity"])
    slot = first_own_slot_nb(engine) + token
    order = engine.orders[slot]
    symbol = own_symbol_nb(engine, slot)
    nothing = np.int64(0)
    level = _level_nb(engine, symbol, np.int64(order[SIDE]), price4)
    reason = _refusal_nb(engine, symbol, level, quantity)
    if order[QUANTITY] == 0 or quantity <= desk.filled[token]:
        reason = np.int64(Reason.TOO_LATE)
    if reason != Reason.NONE:
        what = (reason, request, quantity, price4, nothing, nothing)
        _report_nb(desk, engine, np.int64(Report.REFUSED), token, what)
        return
    # Told before what it leads to: fills of the order as it is then.
    shares = quantity - desk.filled[token]
    what = (nothing, request, quantity, price4, nothing, np.int64(engine.state[EMITTED]) + 1)
    _report_nb(desk, engine, np.int64(Report.REPLACED), token, what)
    _change_nb(desk, engine, history, token, (level, shares))


@outline_kernel
def take_commands_nb(desk: Desk, engine: Engine, history: History) -> int:
    """Do what clients want, COMMANDS_A_ROUND commands at most; how many. The flow is not in the
    middle of an order that executes against several.
    """
    commands = desk.commands
    count = min(ring_size_nb(commands), np.int64(COMMANDS_A_ROUND))
    # What fills of the flow lead to must have room too.
    crowded = 2 * ring_size_nb(desk.reports) > desk.reports.cells.shape[0]
    if engine.state[SWEEP_QUANTITY] > 0 or crowded:
        count = np.int64(0)
    if count > 0:
        begin_books_nb(desk.streams, engine)
    for _ in range(count):
        head = commands.cursors[HEAD]
        place = head & (commands.cells.shape[0] - 1)
        row = commands.cells[place : place + 1]
        command = row[0]
        if command["kind"] == Command.NEW:
            _enter_nb(desk, engine, history, row)
        elif command["kind"] == Command.CANCEL:
            _cancel_nb(desk, engine, history, row)
        else:
            _replace_nb(desk, engine, history, row)
        seq = np.int64(command["feed_seq"])
        mask = np.int64(desk.sent_ns.shape[0] - 1)
        if seq > 0 and engine.state[EMITTED] - seq < mask:
            passed_ns = clock_ns(CLOCK_MONOTONIC) - desk.sent_ns[seq & mask]
            record_nb(desk.round_trip, passed_ns)
        store_release(commands.cursors, np.int64(HEAD), head + 1)
    return count


@kernel
def tell_main_nb(desk: Desk) -> None:
    """Wake the main thread if there are reports for it."""
    if desk.wakeup[1] >= 0 and ring_size_nb(desk.reports) > 0:
        write(desk.wakeup[1], desk.wakeup.ctypes.data, 8)


@outline_kernel
def push_command_nb(desk: Desk, command: NDArray[np.void]) -> int:
    """Give command[0] to the sender's thread; 1, or 0 when there is no room. Main thread's."""
    place = ring_reserve_nb(desk.commands)
    if place < 0:
        return 0
    desk.commands.cells[place] = command[0]
    ring_commit_nb(desk.commands)
    return 1


@outline_kernel
def pop_reports_nb(desk: Desk, out: NDArray[np.void]) -> int:
    """Move the oldest reports to `out`; how many. Main thread's."""
    return ring_take_rows_nb(desk.reports, out)
