"""One tick through the patterns: which functions are called, what their answers come to, and the
signal that leaves; how any function is called. The breakers: `breaker_stage.py`.

A function is called for its bindings to the tick's instrument. One that used an index outside an
array, or was over its budget again and again, is not called any more (`Off`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Sender
from feedhandler.core.away import AWAY_BITS
from feedhandler.core.breaker_scopes import Held, level_of_instrument_nb
from feedhandler.core.calls import FAULT, OUT_WORDS, call_place
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import FUNCTIONS_MAX, Count, Histogram
from feedhandler.core.engine import count_nb, owns_nb, rank_of_nb
from feedhandler.core.events import FEED_SHIFT, LEGS_SHOWN, BreakerLevel, Flag, Kind, SignalKind
from feedhandler.core.functions import (
    Bound,
    Fn,
    Functions,
    Meta,
    Off,
    bind_instrument_nb,
    may_fire_nb,
    note_fired_nb,
    strike_nb,
)
from feedhandler.core.market import Look, MarketFlag
from feedhandler.core.quotes import is_live_nb, shown_level_nb
from feedhandler.core.recording import record_nb
from feedhandler.core.responses import LEVEL_WORD, QTY_WORD, SIDE_WORD, Action, is_cut_nb
from feedhandler.core.ring import ring_commit_nb, ring_reserve_nb
from feedhandler.core.shard import Agent, Sampling, Setting, Shard
from protocols.jit import kernel, outline_kernel

_HELD_BACK = int(Flag.IN_DOUBT | Flag.HALTED)
_SEND, _MARK = int(Action.SEND), int(Action.MARK)
_TELL, _CANCEL = int(Action.TELL), int(Action.CANCEL)
_NOBODYS = 1
CERTAIN_BPS = 10_000
"""Confidence of a signal whose function says nothing about it."""


@outline_kernel
def emit_nb(
    shard: Shard,
    sender: Sender,
    slot: int,
    what: tuple[int, int, int, int],
    legs: NDArray[np.int64],
) -> int:
    """Write a signal row from ticks[slot] and `out`, send it where that can be done at once, and
    put it in the ring; 1, or 0 when the ring was full (counted). `what` is (SignalKind, source,
    side, level).
    """
    kind, source, side, level = what
    shard.sampling[Sampling.INSIDE] = 0
    index = ring_reserve_nb(shard.signals)
    if index < 0:
        count_nb(shard, Count.SIGNALS_DROPPED, 1)
        return 0
    shard.signal_count[0] += 1
    tick = shard.ticks[slot]
    row = shard.signals.cells[index]
    row["signal_id"] = shard.signal_count[0]
    if shard.settings[Setting.SHARDS] > 1:
        shard.ranks[index, 0] = rank_of_nb(shard, np.int64(tick["priority"]))
        shard.ranks[index, 1] = shard.turn[0]
    row["kind"] = kind
    row["source"] = source
    feed_bits = np.int64(tick["feed"]) << FEED_SHIFT
    row["instrument"] = legs[0] + feed_bits
    row["seq"] = tick["seq"]
    row["ts_exch_ns"] = tick["ts_exch_ns"]
    row["ts_rx_ns"] = tick["ts_rx_ns"]
    row["ts_decoded_ns"] = tick["ts_decoded_ns"]
    row["ts_signal_ns"] = 0
    if shard.settings[Setting.TIMED]:
        now_ns = now_ns_nb(shard.clocks[Agent.WORKER])
        row["ts_signal_ns"] = now_ns
        record_nb(shard.histograms[Histogram.SIGNAL_READY], now_ns - tick["ts_rx_ns"])
    _show_prices_nb(shard, slot, index, legs)
    out = shard.out
    row["side"], row["level"] = side, level
    if kind == SignalKind.ORDER:
        row["price_e9"], row["qty"] = out[0], out[1]
    else:
        is_own = legs[0] == tick["instrument"]
        row["price_e9"], row["qty"] = tick["price_e9"] if is_own else 0, 0
    row["value_0"], row["value_1"], row["value_2"] = out[2], out[3], out[4]
    row["confidence_bps"] = CERTAIN_BPS if out[5] == 0 else min(max(out[5], 0), CERTAIN_BPS)
    row["leg_count"] = len(legs)
    for i in range(LEGS_SHOWN):
        row["legs"][i] = _name_of_nb(shard, legs, np.int64(i), feed_bits)
    # Before the row is in the ring: its consumer takes what was not sent by then for its own.
    sent_ns = sender.send_signal(
        shard.signals.cells, index, shard.leg_symbols, sender.words, sender.texts, sender.scratch
    )
    if sent_ns > 0:
        shard.sending_ns[0] += sent_ns - np.int64(row["ts_signal_ns"])
    ring_commit_nb(shard.signals)
    count_nb(shard, Count.SIGNALS, 1)
    return 1


@kernel
def _name_of_nb(shard: Shard, legs: NDArray[np.int64], i: int, feed_bits: int) -> int:
    """What a signal names the leg at `i` by: its number, and that of its feed above; 0 where there
    is none. Its symbol goes to `leg_symbols`.
    """
    if i >= len(legs):
        return np.int64(0)
    away = legs[i] - len(shard.numbers)
    if away >= 0:
        shard.leg_symbols[i] = shard.away.keys[away] & ~np.int64(AWAY_BITS)
        return shard.away.numbers[away]
    shard.leg_symbols[i] = shard.instruments[legs[i]]["symbol"]
    return legs[i] + feed_bits


@kernel
def _show_prices_nb(shard: Shard, slot: int, index: int, legs: NDArray[np.int64]) -> None:
    """Best prices of the signal's instrument: the tick's, or those last seen of it."""
    row = shard.signals.cells[index]
    tick = shard.ticks[slot]
    if legs[0] == tick["instrument"]:
        row["bid_price_e9"], row["bid_qty"] = tick["bid_price_e9"], tick["bid_qty"]
        row["ask_price_e9"], row["ask_qty"] = tick["ask_price_e9"], tick["ask_qty"]
        return
    if shard.settings[Setting.MARKET] == Look.NOWHERE:
        row["bid_price_e9"] = row["bid_qty"] = row["ask_price_e9"] = row["ask_qty"] = 0
        return
    seen = shard.market[legs[0]]
    row["bid_price_e9"], row["bid_qty"] = seen["bid_price_e9"], seen["bid_qty"]
    row["ask_price_e9"], row["ask_qty"] = seen["ask_price_e9"], seen["ask_qty"]


@kernel
def clear_nb(out: NDArray[np.int64]) -> None:
    """Zero what a function is to fill."""
    # With a length that the compiler knows it is one store.
    for i in range(OUT_WORDS):
        out[i] = 0


@kernel
def call_nb(
    shard: Shard, places: Any, functions: Functions, given: Any, slot: int, of: tuple[int, ...]
) -> int:
    """The answer of a function to ticks[slot], or FAULT, after which it is not called any more.
    `given` is (legs, out); `of` is (number of the function, where its state begins, the first row
    of its kind in counters and histograms, the first of its legs in `legs`, how many).
    """
    function, begin, first, first_leg, leg_count = of
    row = functions.rows[np.uint64(function)]
    arrays = (given[0], functions.params, functions.state, given[1])
    at = (first_leg, leg_count, function, begin, row[Fn.STATE_WORDS])
    # One store a call, so that a call that never ends can be named.
    shard.sampling[Sampling.INSIDE] = 1 + first + function
    if shard.sampling[Sampling.IS_TIMED] == 0:
        answer = call_place(places, function, shard.ticks, slot, shard.market, arrays, at)
    else:
        clock = shard.clocks[Agent.WORKER]
        before_ns = now_ns_nb(clock)
        answer = call_place(places, function, shard.ticks, slot, shard.market, arrays, at)
        spent_ns = now_ns_nb(clock) - before_ns
        record_nb(shard.histograms[Histogram.FUNCTION + first + function], spent_ns)
        if strike_nb(functions, function, spent_ns):
            count_nb(shard, Count.FUNCTION_OVERRUNS + first + function, 1)
            shard.counts[Count.FUNCTION_OFF + first + function, 0] = row[Fn.OFF]
    if answer == FAULT:
        row[Fn.OFF] = Off.FAULT
        shard.counts[Count.FUNCTION_OFF + first + function, 0] = row[Fn.OFF]
    return answer


@kernel
def ask_response_nb(shard: Shard, breakers: Any, slot: int, instrument: int, level: int) -> int:
    """What the response to a level wants done with `proposal`, bits of Action. Without one, or when
    it is not called any more, a change is told, and nothing leaves above NORMAL.
    """
    functions = shard.breakers
    number = functions.meta[Meta.FUNCTIONS] + level
    is_change = shard.proposal[SIDE_WORD] == 0
    if functions.meta[Meta.ASKED] > 0 and functions.rows[number, Fn.OFF] == Off.NO:
        row = functions.rows[number]
        at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
        of = (number, at, np.int64(0), instrument, np.int64(1))
        answer = call_nb(shard, breakers, functions, (shard.numbers, shard.proposal), slot, of)
        if answer != FAULT:
            return answer
    if is_change:
        return _TELL | _CANCEL if level == BreakerLevel.HALTED else _TELL
    return _SEND if level == BreakerLevel.NORMAL else 0


@kernel
def run_patterns_nb(
    shard: Shard, breakers: Any, patterns: Any, sender: Sender, slot: int, own: int
) -> None:
    """Patterns of each instrument alone, where it is this shard's `own`, then those that chose it
    among others. `breakers` are the places of the responses.
    """
    functions = shard.patterns
    instrument = np.int64(shard.ticks[slot]["instrument"])
    places = (breakers, patterns)
    for i in range(functions.meta[Meta.WILD] * own):
        function = functions.wild[np.uint64(i)]
        row = functions.rows[np.uint64(function)]
        if row[Fn.OFF] == Off.NO:
            at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
            of = (function, at, instrument, np.int64(1))
            _run_pattern_nb(shard, places, sender, shard.numbers, slot, of)
    if functions.meta[Meta.SYMBOLS] > 0:
        wanted = wanted_nb(shard, functions, slot)
        if wanted > 0:
            run_bound_nb(shard, places, sender, wanted, slot)


@kernel
def wanted_nb(shard: Shard, functions: Functions, slot: int) -> int:
    """Place of the symbol of ticks[slot] among those that functions choose, from 1; 0 or less: none
    does.
    """
    tick = shard.ticks[np.uint64(slot)]
    wanted = np.int64(functions.wanted_by[np.uint64(tick["instrument"])])
    if wanted == 0 or tick["kind"] == Kind.DEFINITION:
        wanted = np.int64(look_up_nb(shard, functions, slot))
    return wanted


@outline_kernel
def look_up_nb(shard: Shard, functions: Functions, slot: int) -> int:
    """Bind the instrument of ticks[slot] by the symbol that it has, or that the tick gives it; its
    word in `wanted_by`.
    """
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    symbol = np.int64(shard.instruments[instrument]["symbol"])
    if tick["kind"] == Kind.DEFINITION:
        symbol = np.int64(tick["aux"])
    if symbol & AWAY_BITS:
        # Not ASCII: no function means it, though it may look like a leg on another feed.
        symbol = np.int64(_NOBODYS)
    return bind_instrument_nb(functions, instrument, symbol, np.int64(owns_nb(shard, instrument)))


@outline_kernel
def run_bound_nb(shard: Shard, places: Any, sender: Sender, wanted: int, slot: int) -> None:
    """Bindings that want the instrument of ticks[slot], whose symbol has the place `wanted`."""
    functions = shard.patterns
    for cell in range(functions.first[wanted - 1], functions.first[wanted]):
        number = functions.cells[cell, 0]
        binding = functions.bindings[number]
        function = binding[Bound.FUNCTION]
        row = functions.rows[function]
        if binding[Bound.MISSING] > 0 or row[Fn.OFF] != Off.NO:
            continue
        at = binding[Bound.STATE_AT]
        bound = (function, at, binding[Bound.LEGS_AT], binding[Bound.LEGS])
        shard.turn[0] = 1 + number
        _run_pattern_nb(shard, places, sender, functions.legs, slot, bound)
    shard.turn[0] = 0


@kernel
def _run_pattern_nb(
    shard: Shard, places: Any, sender: Sender, legs: Any, slot: int, of: tuple[int, ...]
) -> None:
    """Call a pattern; a side that is none is refused and counted. `places` are those of the
    breakers and of the patterns; `of` is (number of the function, where its state begins, the first
    of its legs in `legs`, how many).
    """
    function, at, first_leg, leg_count = of
    clear_nb(shard.out)
    called = (function, at, np.int64(FUNCTIONS_MAX), first_leg, leg_count)
    side = call_nb(shard, places[1], shard.patterns, (legs, shard.out), slot, called)
    if side == 1 or side == -1:
        legs = legs[first_leg : first_leg + leg_count]
        _propose_nb(shard, places[0], sender, legs, slot, (function, at, side))
    elif side != 0 and side != FAULT:
        count_nb(shard, Count.STAGE_RESULTS_REFUSED + 1, 1)


@outline_kernel
def _propose_nb(
    shard: Shard,
    breakers: Any,
    sender: Sender,
    legs: NDArray[np.int64],
    slot: int,
    of: tuple[int, int, int],
) -> None:
    """What a pattern proposes leaves only from live books of trading instruments, once in its
    cool-down, and as the response to the highest level of its legs lets it. `of` is (number of the
    pattern, where its state begins, side).
    """
    function, at, side = of
    tick = shard.ticks[slot]
    now_ns = np.int64(tick["ts_exch_ns"])
    if tick["flags"] & _HELD_BACK or _is_held_nb(shard, legs, slot):
        count_nb(shard, Count.SIGNALS_SUPPRESSED, 1)
        return
    if not may_fire_nb(shard.patterns, function, at, now_ns):
        count_nb(shard, Count.PATTERN_REPEATS + function, 1)
        return
    level = _level_of_legs_nb(shard, legs)
    mark = np.int64(0)
    if level > 0 or shard.breakers.meta[Meta.ASKS_NORMAL]:
        mark = _judge_nb(shard, breakers, legs, slot, (side, level))
        if mark < 0:
            return
    note_fired_nb(shard.patterns, function, at, now_ns)
    if emit_nb(shard, sender, slot, (np.int64(SignalKind.ORDER), function, side, mark), legs):
        count_nb(shard, Count.PATTERN_SIGNALS + function, 1)


@kernel
def _judge_nb(
    shard: Shard, breakers: Any, legs: NDArray[np.int64], slot: int, of: tuple[int, int]
) -> int:
    """Have the response to a level judge the order in `out`, of which it may lower the quantity:
    the level to mark it with, or -1 when it does not leave. `of` is (side, level).
    """
    side, level = of
    proposal = shard.proposal
    for i in range(OUT_WORDS):
        proposal[i] = shard.out[i]
    proposal[SIDE_WORD], proposal[LEVEL_WORD] = side, level
    action = ask_response_nb(shard, breakers, slot, legs[0], level)
    if not action & _SEND:
        count_nb(shard, Count.SIGNALS_SUPPRESSED, 1)
        return -1
    if not is_cut_nb(shard.out[QTY_WORD], proposal[QTY_WORD]):
        count_nb(shard, Count.STAGE_RESULTS_REFUSED, 1)
        return -1
    shard.out[QTY_WORD] = proposal[QTY_WORD]
    return level if action & _MARK else np.int64(0)


@kernel
def _level_of_legs_nb(shard: Shard, legs: NDArray[np.int64]) -> int:
    """The highest level that holds for one of them, on its own feed."""
    level = np.int64(0)
    breakers = shard.breakers.meta[Meta.FUNCTIONS]
    for i in range(len(legs)):
        away = legs[i] - len(shard.numbers)
        if away >= 0:
            level = max(level, shown_level_nb(shard.quotes, shard.away.places[away]))
        elif shard.cells.held[Held.ACTIVE]:
            level = max(level, level_of_instrument_nb(shard.cells, breakers, legs[i])[0])
    return level


@kernel
def _is_held_nb(shard: Shard, legs: NDArray[np.int64], slot: int) -> int:
    """1 when what was last seen of one of several instruments was in doubt, or halted, or before
    the books were replaced.
    """
    if len(legs) == 1:
        return 0
    bad = np.int64(MarketFlag.IN_DOUBT | MarketFlag.HALTED)
    epoch = shard.market[np.int64(shard.ticks[slot]["instrument"])]["epoch"]
    for i in range(len(legs)):
        seen = shard.market[legs[i]]
        away = legs[i] - len(shard.numbers)
        if seen["flags"] & bad or (seen["epoch"] != epoch and away < 0):
            return 1
        # Its row is as it was when the worker last looked, some ticks ago.
        if away >= 0 and not is_live_nb(shard.quotes, shard.away.feeds[away]):
            return 1
    return 0
