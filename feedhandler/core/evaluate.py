"""One tick through breakers and patterns: which functions are called, what their answers come to,
and the signal that leaves.

A function is called for its bindings to the tick's instrument. One that used an index outside an
array, or was over its budget again and again, is not called any more (`Off`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Sender
from feedhandler.core.calls import FAULT, OUT_WORDS, call_place
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import FUNCTIONS_MAX, Count, Histogram
from feedhandler.core.engine import Agent, Setting, Shard, count_nb, owns_nb, rank_of_nb
from feedhandler.core.events import FEED_SHIFT, LEGS_SHOWN, Flag, Kind, SignalKind
from feedhandler.core.functions import (
    Bound,
    Fn,
    Functions,
    Meta,
    Off,
    bind_instrument_nb,
    may_fire_nb,
    strike_nb,
)
from feedhandler.core.market import MarketFlag
from feedhandler.core.recording import record_nb
from feedhandler.core.ring import ring_commit_nb, ring_reserve_nb
from protocols.jit import kernel, outline_kernel

_LEVEL_MAX = 127
"""A breaker's level is kept in a signed byte."""
_HELD_BACK = int(Flag.IN_DOUBT | Flag.HALTED)
CERTAIN_BPS = 10_000
"""Confidence of a signal whose function says nothing about it."""


@outline_kernel
def emit_nb(
    shard: Shard, sender: Sender, slot: int, what: tuple[int, int, int], legs: NDArray[np.int64]
) -> int:
    """Write a signal row from ticks[slot] and `out`, send it where that can be done at once, and
    put it in the ring; 1, or 0 when the ring was full (counted). `what` is (SignalKind, source,
    side or level).
    """
    kind, source, side_or_level = what
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
    if kind == SignalKind.ORDER:
        row["side"], row["level"] = side_or_level, 0
        row["price_e9"], row["qty"] = out[0], out[1]
    else:
        row["side"], row["level"] = 0, side_or_level
        row["price_e9"], row["qty"] = tick["price_e9"], 0
    row["value_0"], row["value_1"], row["value_2"] = out[2], out[3], out[4]
    row["confidence_bps"] = CERTAIN_BPS if out[5] == 0 else min(max(out[5], 0), CERTAIN_BPS)
    row["leg_count"] = len(legs)
    for i in range(LEGS_SHOWN):
        row["legs"][i] = legs[i] + feed_bits if i < len(legs) else 0
    # Before the row is in the ring: its consumer takes what was not sent by then for its own.
    symbol = np.int64(shard.instruments[legs[0]]["symbol"])
    sent_ns = sender.send_signal(
        shard.signals.cells, index, symbol, sender.words, sender.texts, sender.scratch
    )
    if sent_ns > 0:
        shard.sending_ns[0] += sent_ns - np.int64(row["ts_signal_ns"])
    ring_commit_nb(shard.signals)
    count_nb(shard, Count.SIGNALS, 1)
    return 1


@kernel
def _show_prices_nb(shard: Shard, slot: int, index: int, legs: NDArray[np.int64]) -> None:
    """Best prices of the signal's instrument: the tick's, or those last seen of it."""
    row = shard.signals.cells[index]
    tick = shard.ticks[slot]
    if legs[0] == tick["instrument"]:
        row["bid_price_e9"], row["bid_qty"] = tick["bid_price_e9"], tick["bid_qty"]
        row["ask_price_e9"], row["ask_qty"] = tick["ask_price_e9"], tick["ask_qty"]
        return
    seen = shard.market[legs[0]]
    row["bid_price_e9"], row["bid_qty"] = seen["bid_price_e9"], seen["bid_qty"]
    row["ask_price_e9"], row["ask_qty"] = seen["ask_price_e9"], seen["ask_qty"]


@kernel
def _call_nb(
    shard: Shard, places: Any, functions: Functions, legs: Any, slot: int, of: tuple[int, ...]
) -> int:
    """The answer of a function to ticks[slot], or FAULT, after which it is not called any more.
    `of` is (number of the function, where its state begins, the first row of its kind in counters
    and histograms, the first of its legs in `legs`, how many).
    """
    function, begin, first, first_leg, leg_count = of
    # With a length that the compiler knows it is one store.
    for i in range(OUT_WORDS):
        shard.out[i] = 0
    row = functions.rows[function]
    arrays = (legs, functions.params, functions.state, shard.out)
    at = (first_leg, leg_count, function, begin, row[Fn.STATE_WORDS])
    if shard.sampling[0] == 0:
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
def run_breakers_nb(shard: Shard, breakers: Any, sender: Sender, slot: int) -> int:
    """Every breaker sees every tick; a changed level is published as soon as the book is not in
    doubt. A level that is none is refused, counted, and leaves the breaker as it was. What is of
    an instrument of another shard is told and counted there. Returns the highest level.
    """
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    own = np.int64(owns_nb(shard, instrument))
    in_doubt = tick["flags"] & Flag.IN_DOUBT
    worst = np.int64(0)
    functions = shard.breakers
    behind = shard.patterns.meta[Meta.FUNCTIONS]
    for i in range(functions.meta[Meta.FUNCTIONS]):
        before = np.int64(shard.breaker_level[i, instrument])
        level = before
        row = functions.rows[i]
        if row[Fn.OFF] == Off.NO:
            at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
            of = (i, at, np.int64(0), instrument, np.int64(1))
            level = _call_nb(shard, breakers, functions, shard.numbers, slot, of)
        if level < 0 or level > _LEVEL_MAX:
            count_nb(shard, Count.STAGE_RESULTS_REFUSED, own & np.int64(level != FAULT))
            level = before
        if level != before:
            shard.breaker_level[i, instrument] = level
            tripped = np.int64(level > 0) - np.int64(before > 0)
            count_nb(shard, Count.BREAKERS_TRIPPED + i, own * tripped)
            count_nb(shard, Count.BREAKER_TRIPS + i, own & np.int64(level > before))
        if own and level != shard.published_level[i, instrument] and not in_doubt:
            what = (np.int64(SignalKind.BREAKER), behind + i, level)
            legs = shard.numbers[instrument : instrument + 1]
            if emit_nb(shard, sender, slot, what, legs):
                shard.published_level[i, instrument] = level
        worst = max(worst, level)
    return worst


@kernel
def run_patterns_nb(shard: Shard, patterns: Any, sender: Sender, slot: int, level: int) -> None:
    """Patterns of each instrument alone, of this shard's own ones, then those that chose this one
    among others.
    """
    functions = shard.patterns
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    for i in range(functions.meta[Meta.WILD] * np.int64(owns_nb(shard, instrument))):
        function = functions.wild[i]
        row = functions.rows[function]
        if row[Fn.OFF] == Off.NO:
            at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
            of = (function, at, level, instrument, np.int64(1))
            _run_pattern_nb(shard, patterns, sender, shard.numbers, slot, of)
    if functions.meta[Meta.SYMBOLS] > 0:
        wanted = np.int64(functions.wanted_by[instrument])
        if wanted == 0 or tick["kind"] == Kind.DEFINITION:
            wanted = np.int64(look_up_nb(shard, functions, slot))
        if wanted > 0:
            _run_bound_nb(shard, patterns, sender, (wanted, level), slot)


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
    return bind_instrument_nb(functions, instrument, symbol, np.int64(owns_nb(shard, instrument)))


@outline_kernel
def _run_bound_nb(
    shard: Shard, patterns: Any, sender: Sender, of: tuple[int, int], slot: int
) -> None:
    """Bindings that want the instrument of ticks[slot]; `of` is (place of its symbol, from 1, and
    the level of its breakers).
    """
    wanted, level = of
    functions = shard.patterns
    for cell in range(functions.first[wanted - 1], functions.first[wanted]):
        number = functions.cells[cell, 0]
        binding = functions.bindings[number]
        function = binding[Bound.FUNCTION]
        row = functions.rows[function]
        if binding[Bound.MISSING] > 0 or row[Fn.OFF] != Off.NO:
            continue
        at = row[Fn.STATE_AT] + (number - row[Fn.FIRST]) * row[Fn.STRIDE]
        bound = (function, at, level, binding[Bound.LEGS_AT], binding[Bound.LEGS])
        shard.turn[0] = 1 + number
        _run_pattern_nb(shard, patterns, sender, functions.legs, slot, bound)
    shard.turn[0] = 0


@kernel
def _run_pattern_nb(
    shard: Shard, patterns: Any, sender: Sender, legs: Any, slot: int, of: tuple[int, ...]
) -> None:
    """What a pattern proposes leaves only from live books of trading instruments whose breakers are
    closed, and once in its cool-down. A side that is none is refused and counted. `of` is (number
    of the function, where its state begins, level of the breakers, the first of its legs in `legs`,
    how many).
    """
    function, at, level, first_leg, leg_count = of
    called = (function, at, np.int64(FUNCTIONS_MAX), first_leg, leg_count)
    side = _call_nb(shard, patterns, shard.patterns, legs, slot, called)
    if side == 0 or side == FAULT:
        return
    legs = legs[first_leg : first_leg + leg_count]
    tick = shard.ticks[slot]
    if side != 1 and side != -1:
        count_nb(shard, Count.STAGE_RESULTS_REFUSED + 1, 1)
    elif tick["flags"] & _HELD_BACK or level > 0 or _is_held_nb(shard, legs, slot):
        count_nb(shard, Count.SIGNALS_SUPPRESSED, 1)
    elif not may_fire_nb(shard.patterns, function, at, np.int64(tick["ts_exch_ns"])):
        count_nb(shard, Count.PATTERN_REPEATS + function, 1)
    elif emit_nb(shard, sender, slot, (np.int64(SignalKind.ORDER), function, side), legs):
        count_nb(shard, Count.PATTERN_SIGNALS + function, 1)


@kernel
def _is_held_nb(shard: Shard, legs: NDArray[np.int64], slot: int) -> int:
    """1 when what was last seen of one of several instruments was in doubt, or halted, or before
    the books were replaced, or has an open breaker.
    """
    if len(legs) == 1:
        return 0
    bad = np.int64(MarketFlag.IN_DOUBT | MarketFlag.HALTED)
    epoch = shard.market[np.int64(shard.ticks[slot]["instrument"])]["epoch"]
    for i in range(len(legs)):
        seen = shard.market[legs[i]]
        if seen["flags"] & bad or seen["level"] > 0 or seen["epoch"] != epoch:
            return 1
    return 0
