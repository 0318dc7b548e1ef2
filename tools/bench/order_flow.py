"""Order flow that the synthetic exchange does not make: orders spread evenly over deep books, and
taken away wherever they rest. The same profile gives the same bytes.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.jit import outline_kernel
from protocols.wire import Bytes
from tools.exchange.day import OPEN_NS
from tools.exchange.itch_writer import (
    MAX_BLOCK_BYTES,
    write_add_nb,
    write_cancel_nb,
    write_delete_nb,
    write_directory_nb,
    write_executed_nb,
    write_replace_nb,
)
from tools.exchange.layout import TICK_PRICE4
from tools.exchange.rng import random_nb, seed_state
from tools.exchange.symbols import ticker_word

_BUFFER_BYTES = 4 << 20
_END = bytes(2)
_STEP_NS = 100
_MIDDLE_TICKS = 10_000
_PART = 100

# Columns of `live`.
_REFERENCE = 0
_SYMBOL = 1
_SIDE = 2
_SHARES = 3
_COLUMNS = 4

# Words of `state`.
_RANDOM = 0
_LIVE = 1
_NEXT_REFERENCE = 2
_WRITTEN = 3

# Of 256 messages; what is left deletes.
_ADDS_AT_FIRST = 230
_ADDS = 118
_REPLACES = 16
_EXECUTES = 12
_CANCELS = 8


class Profile(NamedTuple):
    """`orders` live orders, spread over the `levels` best prices of both sides of each symbol."""

    symbols: int
    levels: int
    orders: int


DEEP = Profile(symbols=50, levels=400, orders=60_000)
"""Some 300 levels a side are taken at any time."""
MILLION = Profile(symbols=1_000, levels=100, orders=1_000_000)


class Flow(NamedTuple):
    """What the generator remembers: live i64[n, 4], the live orders first; state i64[4]; words
    i64[symbols], their names.
    """

    live: NDArray[np.int64]
    state: NDArray[np.int64]
    words: NDArray[np.int64]


def write_flow(profile: Profile, messages: int, path: Path) -> None:
    """A session of so many messages, directory included, as a BinaryFILE."""
    words = np.array([ticker_word(i) for i in range(profile.symbols)], np.int64)
    state = np.array([seed_state(1), 0, 1, 0], np.int64)
    flow = Flow(np.zeros((profile.orders, _COLUMNS), np.int64), state, words)
    buffer = np.zeros(_BUFFER_BYTES, np.uint8)
    with path.open("wb") as file:
        while state[_WRITTEN] < messages:
            size = write_flow_nb(flow, profile.levels, messages, buffer)
            file.write(buffer[:size].data)
        file.write(_END)


@outline_kernel
def write_flow_nb(flow: Flow, levels: int, messages: int, out: Bytes) -> int:
    """The next messages, until `messages` are written in all or `out` is full; their bytes."""
    state = flow.state
    at = np.int64(0)
    symbols = flow.words.shape[0]
    while state[_WRITTEN] < messages and at + MAX_BLOCK_BYTES <= out.shape[0]:
        done = state[_WRITTEN]
        ts_ns = OPEN_NS + done * _STEP_NS
        if done < symbols:
            at += write_directory_nb(out, at, done + 1, ts_ns, flow.words[done])
        else:
            at += _write_message_nb(flow, levels, out, at, ts_ns)
        state[_WRITTEN] = done + 1
    return at


@outline_kernel
def _write_message_nb(flow: Flow, levels: int, out: Bytes, at: int, ts_ns: int) -> int:
    state = flow.state
    count = state[_LIVE]
    room = flow.live.shape[0]
    # Few hold that place for long: it fills up first, and then comes and goes.
    adds = _ADDS_AT_FIRST if 10 * count < 9 * room else _ADDS
    kind = random_nb(state, _RANDOM) & 255
    if count == 0 or (kind < adds and count < room):
        return _write_new_nb(flow, levels, out, at, ts_ns)
    place = random_nb(state, _RANDOM) % count
    order = flow.live[place]
    kind = random_nb(state, _RANDOM) & 127
    if kind < _REPLACES:
        reference = state[_NEXT_REFERENCE]
        state[_NEXT_REFERENCE] += 1
        fresh = (order[_REFERENCE], reference, order[_SHARES], _price_nb(flow, levels, order))
        order[_REFERENCE] = reference
        return write_replace_nb(out, at, order[_SYMBOL] + 1, ts_ns, fresh)
    if kind < _REPLACES + _EXECUTES + _CANCELS:
        shares = min(order[_SHARES], np.int64(_PART))
        order[_SHARES] -= shares
        reference, locate = order[_REFERENCE], order[_SYMBOL] + 1
        if order[_SHARES] == 0:
            _forget_nb(flow, place)
        if kind < _REPLACES + _EXECUTES:
            return write_executed_nb(out, at, locate, ts_ns, reference, shares, state[_WRITTEN])
        return write_cancel_nb(out, at, locate, ts_ns, reference, shares)
    reference, locate = order[_REFERENCE], order[_SYMBOL] + 1
    _forget_nb(flow, place)
    return write_delete_nb(out, at, locate, ts_ns, reference)


@outline_kernel
def _write_new_nb(flow: Flow, levels: int, out: Bytes, at: int, ts_ns: int) -> int:
    state = flow.state
    order = flow.live[state[_LIVE]]
    state[_LIVE] += 1
    order[_REFERENCE] = state[_NEXT_REFERENCE]
    state[_NEXT_REFERENCE] += 1
    order[_SYMBOL] = random_nb(state, _RANDOM) % flow.words.shape[0]
    order[_SIDE] = random_nb(state, _RANDOM) & 1
    order[_SHARES] = _PART * (1 + (random_nb(state, _RANDOM) & 3))
    price4 = _price_nb(flow, levels, order)
    entry = (order[_REFERENCE], order[_SIDE], order[_SHARES], price4, np.int64(0))
    return write_add_nb(out, at, order[_SYMBOL] + 1, ts_ns, flow.words[order[_SYMBOL]], entry)


@outline_kernel
def _price_nb(flow: Flow, levels: int, order: NDArray[np.int64]) -> int:
    """Any of the levels of its side; bids and asks never meet."""
    distance = 1 + random_nb(flow.state, _RANDOM) % levels
    ticks = _MIDDLE_TICKS + order[_SYMBOL] + (distance if order[_SIDE] else -distance)
    return ticks * TICK_PRICE4


@outline_kernel
def _forget_nb(flow: Flow, place: int) -> None:
    """The last live order takes the place of one that is gone."""
    flow.state[_LIVE] -= 1
    last = flow.live[flow.state[_LIVE]]
    for column in range(_COLUMNS):
        flow.live[place, column] = last[column]
