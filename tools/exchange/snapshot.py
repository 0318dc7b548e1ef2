"""A snapshot of the market at a message boundary, as SoupBinTCP sequenced packets.

The thread that generates takes it, between two messages; the GLIMPSE server adds the last message
and sends it. In the order of the specification: S, R, H, Y, and A or F by price, then time.
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from protocols.soupbintcp.spec import LENGTH_BYTES, SEQUENCED_DATA, TYPE_BYTES
from protocols.wire import Bytes, read_u16_nb, write_u16_nb
from tools.exchange import itch_writer as itch
from tools.exchange.flow import (
    EVENT_CODES,
    SHORT_SALE_EVERY,
    write_order_nb,
    write_symbol_directory_nb,
    write_symbol_reg_sho_nb,
    write_symbol_state_nb,
)
from tools.exchange.layout import (
    BEST,
    BUY,
    CLOCK_NS,
    NEXT,
    ORDERS,
    SYSTEM_EVENTS,
    Engine,
)
from tools.exchange.matching import first_order_nb
from tools.exchange.stamps import restamp_nb

_EVENT_COUNT = len(EVENT_CODES)
_ROOM_PER_MESSAGE = itch.MAX_BLOCK_BYTES + TYPE_BYTES


def allocate_snapshot(engine: Engine) -> Bytes:
    """A buffer that any snapshot of the engine fits in; touched as far as it is used."""
    messages = _EVENT_COUNT + 3 * len(engine.symbols) + len(engine.orders)
    return np.zeros(messages * _ROOM_PER_MESSAGE, np.uint8)


@kernel
def _frame_nb(engine: Engine, out: Bytes, at: int) -> int:
    """Turn the block that was written at `at + 1` into a sequenced packet at `at`; its bytes."""
    restamp_nb(engine, out, at + TYPE_BYTES)
    # The block's length sits where the packet's type goes, and counts the message without it.
    message_bytes = read_u16_nb(out, at + TYPE_BYTES)
    write_u16_nb(out, at, message_bytes + TYPE_BYTES)
    out[at + LENGTH_BYTES] = SEQUENCED_DATA
    return LENGTH_BYTES + TYPE_BYTES + message_bytes


@outline_kernel
def write_snapshot_nb(engine: Engine, out: Bytes) -> tuple[int, int]:
    """Write the state of the market to `out` (from `allocate_snapshot`).

    Returns: (messages, bytes). The caller knows the number of the next live message.
    """
    at = np.int64(0)
    messages = np.int64(0)
    for event in range(_EVENT_COUNT):
        if (engine.state[SYSTEM_EVENTS] >> event) & 1:
            code = EVENT_CODES[event]
            itch.write_system_event_nb(out, at + TYPE_BYTES, engine.state[CLOCK_NS], code)
            at += _frame_nb(engine, out, at)
            messages += 1
    for symbol in range(engine.symbols.shape[0]):
        write_symbol_directory_nb(engine, out, at + TYPE_BYTES, symbol)
        at += _frame_nb(engine, out, at)
        messages += 1
    for symbol in range(engine.symbols.shape[0]):
        write_symbol_state_nb(engine, out, at + TYPE_BYTES, symbol)
        at += _frame_nb(engine, out, at)
        messages += 1
    for symbol in range(0, engine.symbols.shape[0], SHORT_SALE_EVERY):
        write_symbol_reg_sho_nb(engine, out, at + TYPE_BYTES, symbol)
        at += _frame_nb(engine, out, at)
        messages += 1
    for symbol in range(engine.symbols.shape[0]):
        for side in range(2):
            count, size = _write_side_nb(engine, out, at, symbol, side)
            messages += count
            at += size
    return messages, at


@outline_kernel
def _write_side_nb(
    engine: Engine, out: Bytes, start: int, symbol: int, side: int
) -> tuple[int, int]:
    """Orders of one side from the best price on; (messages, bytes)."""
    at = start
    level = engine.symbols[symbol, BEST + side]
    step = -1 if side == BUY else 1
    count = np.int64(0)
    while count < engine.symbols[symbol, ORDERS + side]:
        slot = first_order_nb(engine, symbol, level)
        while slot != 0:
            write_order_nb(engine, out, at + TYPE_BYTES, symbol, slot)
            at += _frame_nb(engine, out, at)
            count += 1
            slot = engine.orders[slot, NEXT]
        level += step
    return count, at - start
