"""Where the next messages come from: the steady flow, a day of a market, or a tape; and what is
told when one of them executed against a client's order.

`market` is None where there is none: kernels are compiled for either.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.wire import read_u16_nb
from tools.exchange.desk import Desk, tell_fill_nb
from tools.exchange.flow import emit_next_nb, finish_early_nb
from tools.exchange.history import History, keep_block_nb, room_nb
from tools.exchange.itch_writer import LENGTH_BYTES
from tools.exchange.layout import CLOCK_NS, EMITTED, FILLED_SLOT, IS_TAPE, TOTAL, Engine
from tools.exchange.market.day import emit_market_nb, end_early_nb, next_clock_nb
from tools.exchange.market.layout import Market
from tools.exchange.streams import BOOKS
from tools.exchange.streams_fix import begin_books_nb, publish_change_nb


@kernel
def _read_tape_nb(engine: Engine, history: History, last: int) -> None:
    """Messages of a tape are in history.data already: what is made is where each block begins."""
    mask = history.offsets.shape[0] - 1
    emitted = engine.state[EMITTED]
    stop = min(last, engine.state[TOTAL])
    at = history.position[0]
    while emitted < stop:
        emitted += 1
        history.offsets[emitted & mask] = at
        at += LENGTH_BYTES + read_u16_nb(history.data, at)
    engine.state[EMITTED] = emitted
    history.position[0] = at


@outline_kernel
def extend_history_nb(
    market: Market | None, desk: Desk, engine: Engine, history: History, ahead: tuple[int, int]
) -> None:
    """Make messages up to a sequence number, or to the end of the session before it, or, of a
    market, until the next one is due later by its clock: `ahead` is (number, clock). Who has the
    books is told of each.
    """
    last, until_ns = ahead
    if engine.state[IS_TAPE] == 1:
        _read_tape_nb(engine, history, last)
        return
    streams = desk.streams
    begin_books_nb(streams, engine)
    while engine.state[EMITTED] < last:
        at = room_nb(history)
        if market is None:
            size = emit_next_nb(engine, history.data, at)
        else:
            size = emit_market_nb(market, history.data, at, until_ns)
        if size == 0:
            break
        keep_block_nb(engine, history, at, size)
        if streams.state[BOOKS] > 0:
            publish_change_nb(streams, engine, history.data, at)
        if engine.state[FILLED_SLOT]:
            tell_fill_nb(desk, engine)


@kernel
def finish_session_nb(market: Market | None, engine: Engine) -> None:
    """Let the closing events be the next messages; nothing changes when they are already."""
    if market is None:
        finish_early_nb(engine)
    else:
        end_early_nb(market)


@kernel
def clock_of_next_nb(market: Market | None, engine: Engine) -> int:
    """When the next message is due, or may be, by the session's own clock."""
    if market is None:
        return np.int64(engine.state[CLOCK_NS])
    return next_clock_nb(market)
