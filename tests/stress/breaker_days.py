"""Every built-in breaker, with its machine, over a whole day of the exchange: books and ticks of
the engine, and what the breakers make of them.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from adapters.nasdaq_itch.adapter import ADAPTER
from feedhandler.core.atomics import load_acquire
from feedhandler.core.book.layout import BookCapacity
from feedhandler.core.breaker_machine import CELL, step_breaker_nb
from feedhandler.core.breakers import BUILT_IN, DEFAULTS
from feedhandler.core.engine import apply_blocks_nb
from feedhandler.core.events import Flag, Kind
from feedhandler.core.ring import HEAD, TAIL, Ring, ring_push_nb, ring_take_nb
from feedhandler.core.shard import CHUNK, Setting, Shard
from feedhandler.core.states import State
from protocols.binaryfile.reader import load_bytes
from protocols.jit import kernel, outline_kernel
from tests.unit.feedhandler.core.breakers.support import MARKET, PARAM_WORDS
from tests.unit.feedhandler.core.support import CAPACITY, make_shard

S = 10**9
NAMES = tuple(BUILT_IN)
INSTRUMENTS = 256
WORDS = max(function.state_words for function in BUILT_IN.values())
TUNING = (5 * S, 30 * S, 600 * S, 30 * S)

_OPTIONS = {"error_model": "numpy", "nogil": True, "_nrt": False}
_band, _volatility, _spread, _rate, _stale, _clock, _latency, _decline = (
    njit(**_OPTIONS)(function) for function in BUILT_IN.values()
)
_STALE, _DECLINE = NAMES.index("stale"), NAMES.index("market_decline")

CHANGE = np.dtype(
    [
        (name, "i8")
        for name in (
            "seq",
            "ts_ns",
            "breaker",
            "cell",
            "state",
            "level",
            "demand",
            "value_0",
            "value_1",
            "value_2",
        )
    ]
)
PRINT = np.dtype([(name, "i8") for name in ("seq", "ts_ns", "instrument", "price_e4", "kind")])


class Rig(NamedTuple):
    """Memory: states i64[breaker, instrument, WORDS], cells CELL[breaker * instruments]; changes of
    cells and printed trades as they come, `sizes` how many of each.
    """

    market: NDArray[Any]
    params: NDArray[np.int64]
    states: NDArray[np.int64]
    cells: NDArray[Any]
    tuning: NDArray[np.int64]
    legs: NDArray[np.int64]
    one: NDArray[np.int64]
    out: NDArray[np.int64]
    changes: NDArray[Any]
    prints: NDArray[Any]
    sizes: NDArray[np.int64]


def make_rig(legs: range) -> Rig:
    params = np.zeros((len(NAMES), PARAM_WORDS), np.int64)
    for number, name in enumerate(NAMES):
        params[number, : len(DEFAULTS[name])] = list(DEFAULTS[name].values())
    return Rig(
        np.zeros(INSTRUMENTS, MARKET),
        params,
        np.zeros((len(NAMES), INSTRUMENTS, WORDS), np.int64),
        np.zeros(len(NAMES) * INSTRUMENTS, CELL),
        np.array(TUNING, np.int64),
        np.array(legs, np.int64),
        np.zeros(1, np.int64),
        np.zeros(8, np.int64),
        np.zeros(1 << 16, CHANGE),
        np.zeros(1 << 20, PRINT),
        np.zeros(2, np.int64),
    )


@kernel
def know_nb(rig: Rig, ticks: NDArray[Any], slot: int) -> None:
    """Bring the market row forward, as far as these detectors read it."""
    tick = ticks[slot]
    row = rig.market[np.int64(tick["instrument"])]
    if tick["seq"] <= row["seq"]:
        return
    row["seq"] = tick["seq"]
    row["ts_exch_ns"] = tick["ts_exch_ns"]
    row["bid_price_e9"] = tick["bid_price_e9"]
    row["bid_qty"] = tick["bid_qty"]
    row["ask_price_e9"] = tick["ask_price_e9"]
    row["ask_qty"] = tick["ask_qty"]
    row["realised_e9"] = tick["volatility_e9"]
    row["flags"] = np.int64(tick["flags"] & Flag.HALTED) // 4
    kind = tick["kind"]
    is_trade = (Kind.EXECUTE <= kind <= Kind.EXECUTE_AT_PRICE) or kind == Kind.TRADE
    if (is_trade or (kind == Kind.CROSS_TRADE and tick["qty"] > 0)) and not (
        tick["flags"] & Flag.NOT_PRINTABLE
    ):
        if is_trade:
            row["last_price_e9"] = tick["price_e9"]
        at = rig.sizes[1]
        rig.prints[at]["seq"] = tick["seq"]
        rig.prints[at]["ts_ns"] = tick["ts_exch_ns"]
        rig.prints[at]["instrument"] = tick["instrument"]
        rig.prints[at]["price_e4"] = tick["price_e9"] // 100_000
        rig.prints[at]["kind"] = kind
        rig.sizes[1] = at + 1


@kernel
def demand_nb(rig: Rig, breaker: int, ticks: NDArray[Any], slot: int) -> int:
    """What a breaker demands; group breakers have one state, the others one an instrument."""
    instrument = np.int64(ticks[slot]["instrument"])
    rig.out[:] = 0
    rig.one[0] = instrument
    params, state = rig.params[breaker], rig.states[breaker, instrument]
    group = rig.states[breaker, 0]
    if breaker == 0:
        return _band(ticks, slot, rig.market, rig.one, params, state, rig.out)
    if breaker == 1:
        return _volatility(ticks, slot, rig.market, rig.one, params, state, rig.out)
    if breaker == 2:
        return _spread(ticks, slot, rig.market, rig.one, params, state, rig.out)
    if breaker == 3:
        return _rate(ticks, slot, rig.market, rig.one, params, state, rig.out)
    if breaker == 4:
        return _stale(ticks, slot, rig.market, rig.legs, params, group, rig.out)
    if breaker == 5:
        return _clock(ticks, slot, rig.market, rig.legs, params, group, rig.out)
    if breaker == 6:
        return _latency(ticks, slot, rig.market, rig.legs, params, group, rig.out)
    return _decline(ticks, slot, rig.market, rig.legs, params, group, rig.out)


@kernel
def look_nb(rig: Rig, ticks: NDArray[Any], slot: int) -> None:
    """All breakers for one tick, and their cells."""
    tick = ticks[slot]
    know_nb(rig, ticks, slot)
    for breaker in range(len(NAMES)):
        demand = demand_nb(rig, breaker, ticks, slot)
        part = np.int64(tick["instrument"]) if breaker < _STALE else np.int64(0)
        if breaker == _STALE:
            part = rig.out[6] - 1 if rig.out[6] > 0 else np.int64(tick["instrument"])
        at = breaker * INSTRUMENTS + part
        before = np.int64(rig.cells[at]["changes"])
        step_breaker_nb(rig.cells, at, demand, np.int64(tick["ts_exch_ns"]), rig.tuning)
        if rig.cells[at]["changes"] != before and rig.sizes[0] < rig.changes.shape[0]:
            row = rig.changes[rig.sizes[0]]
            row["seq"] = tick["seq"]
            row["ts_ns"] = tick["ts_exch_ns"]
            row["breaker"] = breaker
            row["cell"] = part
            row["state"] = rig.cells[at]["state"]
            row["level"] = rig.cells[at]["level"]
            row["demand"] = demand
            row["value_0"] = rig.out[2]
            row["value_1"] = rig.out[3]
            row["value_2"] = rig.out[4]
            rig.sizes[0] += 1


@outline_kernel
def drain_nb(shard: Shard, rig: Rig) -> int:
    """Everything in the lanes, the most urgent first; how many ticks."""
    done = 0
    for lane in range(shard.settings[Setting.LANES]):
        cursors = shard.lane_cursors[lane]
        while cursors[HEAD] < load_acquire(cursors, TAIL):
            slot = ring_take_nb(Ring(cursors, shard.lane_cells[lane]), cursors[HEAD])
            look_nb(rig, shard.ticks, slot)
            ring_push_nb(shard.free, slot)
            done += 1
    return done


@outline_kernel
def run_nb(shard: Shard, venue: Any, buf: NDArray[np.uint8], stop: int, rig: Rig) -> int:
    """The messages of buf[:stop], CHUNK at a time; how many."""
    at = 0
    packet = shard.packet
    seq = np.int64(1)
    while at < stop:
        end, behind = seq, at
        while end < seq + CHUNK and behind < stop:
            behind += 2 + (np.int64(buf[behind]) << 8) + np.int64(buf[behind + 1])
            end += 1
        packet[0]["seq"] = seq
        packet[0]["end"] = end
        at = apply_blocks_nb(shard, venue, buf, at, packet)
        drain_nb(shard, rig)
        seq = end
    return seq - 1


def run_day(path: Path, symbols: int) -> Rig:
    """A file of the exchange with so many symbols, all of it."""
    book = BookCapacity(
        instruments=INSTRUMENTS, orders=1 << 18, overflow_orders=1 << 12, arena=1 << 22
    )
    shard = make_shard(CAPACITY._replace(book=book, pool=4_096))
    shard.channel[0]["state"] = State.LIVE
    data = load_bytes(path)
    stop = len(data)
    while data[stop - 1] == 0 and data[stop - 2] == 0:
        stop -= 2
    rig = make_rig(range(1, symbols + 1))
    messages = run_nb(shard, ADAPTER.venue(), data, stop, rig)
    assert messages > 0
    return rig
