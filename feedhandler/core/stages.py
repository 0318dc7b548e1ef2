"""The worker: takes ticks off the lanes, highest priority first, and runs breakers and patterns on
each.

One tick at a time, and the lanes are looked at anew before each: a critical tick waits for at most
one routine tick.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import Sender
from feedhandler.core.atomics import load_acquire
from feedhandler.core.calls import OUT_WORDS, call_place
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.engine import Agent, Setting, Shard, count_nb, rank_of_nb
from feedhandler.core.events import FEED_SHIFT, Flag, SignalKind
from feedhandler.core.recording import record_nb
from feedhandler.core.ring import (
    HEAD,
    TAIL,
    Ring,
    ring_commit_nb,
    ring_lay_nb,
    ring_publish_nb,
    ring_reserve_nb,
    ring_take_nb,
)
from protocols.jit import kernel, outline_kernel

_LEVEL_MAX = 127
"""A breaker's level is kept in a signed byte."""


@kernel
def _next_slot_nb(shard: Shard) -> int:
    """The oldest tick of the highest non-empty lane, or -1."""
    for lane in range(shard.settings[Setting.LANES]):
        cursors = shard.lane_cursors[lane]
        head = cursors[HEAD]
        if head < load_acquire(cursors, TAIL):
            return ring_take_nb(Ring(cursors, shard.lane_cells[lane]), head)
    return -1


@kernel
def has_ticks_nb(shard: Shard) -> int:
    """1 when a lane holds a tick."""
    for lane in range(shard.settings[Setting.LANES]):
        cursors = shard.lane_cursors[lane]
        if cursors[HEAD] < load_acquire(cursors, TAIL):
            return 1
    return 0


@kernel
def _emit_nb(
    shard: Shard, sender: Sender, slot: int, kind: int, source: int, side_or_level: int
) -> int:
    """Write a signal row from ticks[slot] and `out`, send it where that can be done at once, and
    put it in the ring; 1, or 0 when the ring was full (counted).
    """
    index = ring_reserve_nb(shard.signals)
    if index < 0:
        count_nb(shard, Count.SIGNALS_DROPPED, 1)
        return 0
    shard.signal_count[0] += 1
    tick = shard.ticks[slot]
    row = shard.signals.cells[index]
    row["signal_id"] = shard.signal_count[0]
    if shard.settings[Setting.SHARDS] > 1:
        shard.ranks[index] = rank_of_nb(shard, np.int64(tick["priority"]))
    row["kind"] = kind
    row["source"] = source
    feed = np.int64(tick["feed"])
    row["instrument"] = np.int64(tick["instrument"]) + (feed << FEED_SHIFT)
    row["seq"] = tick["seq"]
    row["ts_exch_ns"] = tick["ts_exch_ns"]
    row["ts_rx_ns"] = tick["ts_rx_ns"]
    row["ts_decoded_ns"] = tick["ts_decoded_ns"]
    row["ts_signal_ns"] = 0
    if shard.settings[Setting.TIMED]:
        now_ns = now_ns_nb(shard.clocks[Agent.WORKER])
        row["ts_signal_ns"] = now_ns
        record_nb(shard.histograms[Histogram.SIGNAL_READY], now_ns - tick["ts_rx_ns"])
    row["bid_price_e9"] = tick["bid_price_e9"]
    row["bid_qty"] = tick["bid_qty"]
    row["ask_price_e9"] = tick["ask_price_e9"]
    row["ask_qty"] = tick["ask_qty"]
    if kind == SignalKind.ORDER:
        row["side"] = side_or_level
        row["level"] = 0
        row["price_e9"] = shard.out[0]
        row["qty"] = shard.out[1]
    else:
        row["side"] = 0
        row["level"] = side_or_level
        row["price_e9"] = tick["price_e9"]
        row["qty"] = 0
    row["value_0"] = shard.out[2]
    row["value_1"] = shard.out[3]
    row["value_2"] = shard.out[4]
    # Before the row is in the ring: its consumer takes what was not sent by then for its own.
    symbol = np.int64(shard.instruments[np.int64(tick["instrument"])]["symbol"])
    sent_ns = sender.send_signal(
        shard.signals.cells, index, symbol, sender.words, sender.texts, sender.scratch
    )
    if sent_ns > 0:
        shard.sending_ns[0] += sent_ns - np.int64(row["ts_signal_ns"])
    ring_commit_nb(shard.signals)
    count_nb(shard, Count.SIGNALS, 1)
    return 1


@kernel
def _clear_out_nb(shard: Shard) -> None:
    # With a length that the compiler knows it is one store.
    for i in range(OUT_WORDS):
        shard.out[i] = 0


@kernel
def _run_breakers_nb(shard: Shard, breakers: Any, sender: Sender, slot: int) -> int:
    """Every breaker sees every tick; a changed level is published as soon as the book is not in
    doubt. A level that is none is refused, counted, and leaves the breaker as it was. Returns the
    highest level.
    """
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    in_doubt = tick["flags"] & Flag.IN_DOUBT
    worst = np.int64(0)
    behind = shard.settings[Setting.PATTERNS]
    for i in range(shard.settings[Setting.BREAKERS]):
        state = shard.breaker_state[i, instrument]
        _clear_out_nb(shard)
        params = shard.breaker_params[i]
        level = call_place(breakers, i, shard.ticks, slot, params, state, shard.out)
        before = np.int64(shard.breaker_level[i, instrument])
        if level < 0 or level > _LEVEL_MAX:
            count_nb(shard, Count.STAGE_RESULTS_REFUSED, 1)
            level = before
        if level != before:
            shard.breaker_level[i, instrument] = level
            count_nb(shard, Count.BREAKERS_TRIPPED + i, np.int64(level > 0) - np.int64(before > 0))
            if level > before:
                count_nb(shard, Count.BREAKER_TRIPS + i, 1)
        unpublished = level != shard.published_level[i, instrument] and not in_doubt
        if unpublished and _emit_nb(shard, sender, slot, SignalKind.BREAKER, behind + i, level):
            shard.published_level[i, instrument] = level
        worst = max(worst, level)
    return worst


@kernel
def _run_patterns_nb(shard: Shard, patterns: Any, sender: Sender, slot: int, level: int) -> None:
    """Every pattern sees every tick; what it proposes leaves only from a live book, a trading
    instrument and a closed breaker. A side that is none is refused and counted.
    """
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    held_back = tick["flags"] & (Flag.IN_DOUBT | Flag.HALTED) or level > 0
    for i in range(shard.settings[Setting.PATTERNS]):
        state = shard.pattern_state[i, instrument]
        _clear_out_nb(shard)
        params = shard.pattern_params[i]
        side = call_place(patterns, i, shard.ticks, slot, params, state, shard.out)
        if side == 0:
            continue
        if side != 1 and side != -1:
            count_nb(shard, Count.STAGE_RESULTS_REFUSED + 1, 1)
        elif held_back:
            count_nb(shard, Count.SIGNALS_SUPPRESSED, 1)
        elif _emit_nb(shard, sender, slot, SignalKind.ORDER, i, side):
            count_nb(shard, Count.PATTERN_SIGNALS + i, 1)


@kernel
def _work_on_nb(
    shard: Shard, breakers: Any, patterns: Any, sender: Sender, slot: int, before_ns: int
) -> int:
    """All stages for one tick, each with its budget, from which sending is taken out: it is no
    function's fault. Takes the time when the tick before was done with, or 0; returns that of this
    one, or 0.
    """
    shard.sending_ns[0] = 0
    timed = shard.settings[Setting.TIMED]
    clock = shard.clocks[Agent.WORKER]
    start_ns = now_ns_nb(clock) if timed and before_ns == 0 else before_ns
    level = _run_breakers_nb(shard, breakers, sender, slot)
    middle_ns = now_ns_nb(clock) if timed else np.int64(0)
    breakers_ns = middle_ns - start_ns - shard.sending_ns[0]
    shard.sending_ns[0] = 0
    _run_patterns_nb(shard, patterns, sender, slot, level)
    tick = shard.ticks[slot]
    lane = np.int64(tick["priority"])
    count_nb(shard, Count.LANE_TICKS + lane, 1)
    end_ns = np.int64(0)
    if timed:
        end_ns = now_ns_nb(clock)
        latency_ns = end_ns - tick["ts_rx_ns"]
        record_nb(shard.histograms[Histogram.LATENCY], latency_ns)
        record_nb(shard.histograms[Histogram.LANE_LATENCY + lane], latency_ns)
        patterns_ns = end_ns - middle_ns - shard.sending_ns[0]
        record_nb(shard.histograms[Histogram.STAGE_BREAKERS], breakers_ns)
        record_nb(shard.histograms[Histogram.STAGE_PATTERNS], patterns_ns)
        if breakers_ns > shard.settings[Setting.BREAKER_BUDGET_NS]:
            count_nb(shard, Count.BREAKER_OVERRUNS, 1)
        if patterns_ns > shard.settings[Setting.PATTERN_BUDGET_NS]:
            count_nb(shard, Count.PATTERN_OVERRUNS, 1)
    return end_ns


@outline_kernel
def drain_lanes_nb(shard: Shard, breakers: Any, patterns: Any, sender: Sender, most: int) -> int:
    """Work on up to `most` ticks and give their slots back; how many."""
    done = 0
    # The end of one tick is the begin of the next: a clock less to be read, and what it takes to
    # choose a lane counts as the breakers' time.
    before_ns = np.int64(0)
    while done < most:
        slot = _next_slot_nb(shard)
        if slot < 0:
            break
        before_ns = _work_on_nb(shard, breakers, patterns, sender, slot, before_ns)
        # The free ring holds the whole pool, so it cannot be full.
        ring_lay_nb(shard.free, done, slot)
        done += 1
    ring_publish_nb(shard.free, done)
    count_nb(shard, Count.TICKS, done)
    return done
