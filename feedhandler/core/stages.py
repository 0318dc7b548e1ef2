"""The worker: takes ticks off the lanes, highest priority first, and runs breakers and patterns on
each.

One tick at a time, and the lanes are looked at anew before each: a critical tick (lane 0) waits for
at most one of another lane, also where ageing gives those a turn.
"""

from typing import Any, NamedTuple

import numpy as np

from feedhandler.core.api import Sender
from feedhandler.core.atomics import load_acquire
from feedhandler.core.away import AwayWord
from feedhandler.core.away_stage import hear_away_nb
from feedhandler.core.breaker_stage import hear_operator_nb, run_breakers_nb
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.engine import count_nb, owns_nb
from feedhandler.core.evaluate import run_patterns_nb
from feedhandler.core.features import move_forward_nb, move_prices_nb
from feedhandler.core.market import Look
from feedhandler.core.priority import Turn, gives_way_nb
from feedhandler.core.recording import record_nb
from feedhandler.core.reload import take_functions_nb
from feedhandler.core.ring import HEAD, TAIL, Ring, ring_lay_nb, ring_publish_nb, ring_take_nb
from feedhandler.core.shard import Agent, Control, Sampling, Setting, Shard
from protocols.jit import kernel, outline_kernel
from protocols.vectors import prefetch

SAMPLE_TICKS = 64
"""One tick in so many is one for which the time of each function is taken; a power of two."""
AWAY_EVERY = 64
"""Ticks between two looks at the quotes of other feeds; a power of two."""
SUSPICION_TICKS = 256
REST_TICKS = 16 * SUSPICION_TICKS
"""So many ticks lie at least between two suspicions: with many functions it is the timing of each
that takes a stage over its budget, and that must not go on for ever.
"""


class Plan(NamedTuple):
    """Settings that hold while the lanes are emptied once: read then, and not for each tick.
    `lanes`; `age_every`; `conflate`, bits of lanes; `look`, a Look; whether `timed`; `alone`, 1
    without other shards.
    """

    lanes: int
    age_every: int
    conflate: int
    look: int
    timed: int
    alone: int


@kernel
def _plan_nb(shard: Shard) -> Plan:
    settings = shard.settings
    return Plan(
        load_acquire(settings, Setting.LANES),
        settings[Setting.AGE_EVERY],
        settings[Setting.CONFLATE],
        settings[Setting.MARKET],
        settings[Setting.TIMED],
        np.int64(settings[Setting.SHARDS] <= 1),
    )


@kernel
def _waiting_nb(shard: Shard, lane: int) -> int:
    """Ticks in a lane."""
    cursors = shard.lane_cursors[np.uint64(lane)]
    return load_acquire(cursors, TAIL) - cursors[HEAD]


@kernel
def _next_slot_nb(shard: Shard, plan: Plan) -> tuple[int, int]:
    """The oldest tick of the highest non-empty lane, or in its turn of another one, and whether it
    gives way to a newer one; or (-1, 0).
    """
    for lane in range(plan.lanes):
        if _waiting_nb(shard, lane) > 0:
            if plan.age_every > 0:
                turns = shard.priority.turns
                turns[Turn.TICKS] += 1
                if turns[Turn.TICKS] >= plan.age_every:
                    return _take_from_nb(shard, plan, _aged_lane_nb(shard, lane))
            return _take_from_nb(shard, plan, lane)
    return np.int64(-1), np.int64(0)


@kernel
def _take_from_nb(shard: Shard, plan: Plan, lane: int) -> tuple[int, int]:
    """The oldest tick of a lane that holds one, and whether it gives way."""
    place = np.uint64(lane)
    cursors = shard.lane_cursors[place]
    head = cursors[HEAD]
    slot = ring_take_nb(Ring(cursors, shard.lane_cells[place]), head)
    if plan.look and load_acquire(cursors, TAIL) > head + 1:
        _prefetch_market_nb(shard, lane, head + 1)
    conflated = np.int64(0)
    if plan.conflate >> lane & 1:
        conflated = _is_conflated_nb(shard, lane, slot, head)
    return slot, conflated


@kernel
def _prefetch_market_nb(shard: Shard, lane: int, position: int) -> None:
    """Ask for what is known of the instrument of the tick at `position` of a lane."""
    cells = shard.lane_cells[np.uint64(lane)]
    slot = np.int64(cells[np.uint64(position & (len(cells) - 1))])
    prefetch(shard.market, np.int64(shard.ticks[np.uint64(slot)]["instrument"]))


@outline_kernel
def _is_conflated_nb(shard: Shard, lane: int, slot: int, position: int) -> int:
    """1 when the lane is overloaded and ticks[slot], just taken from `position`, gives way there to
    a newer one.
    """
    if _waiting_nb(shard, lane) < shard.settings[Setting.OVERLOAD]:
        return 0
    return gives_way_nb(shard.priority, shard.ticks, slot, position)


@outline_kernel
def _aged_lane_nb(shard: Shard, first: int) -> int:
    """It is time for a tick that is less urgent than those of `first`, the highest non-empty lane:
    the lane that has the turn, or `first` when that has to wait or no other lane holds a tick. The
    lanes have it one after the other, the lowest first.

    A critical tick that may have stood behind a routine one before must not stand behind another:
    those that wait now are noted, and the turn comes when they are gone.
    """
    turns = shard.priority.turns
    cursors = shard.lane_cursors[0]
    tail = load_acquire(cursors, TAIL)
    if cursors[HEAD] < tail:
        if first > 0:
            # It came since lane 0 was seen to be empty: `first` is the one that it stands behind.
            return first
        if turns[Turn.BARRIER] == 0:
            turns[Turn.BARRIER] = tail
        if cursors[HEAD] < turns[Turn.BARRIER]:
            return first
    turns[Turn.TICKS] = 0
    turns[Turn.BARRIER] = 0
    lanes = shard.settings[Setting.LANES]
    for step in range(1, lanes + 1):
        lane = (turns[Turn.LANE] - step) % lanes
        if lane > first and _waiting_nb(shard, lane) > 0:
            turns[Turn.LANE] = lane
            count_nb(shard, Count.LANE_AGED + lane, 1)
            return lane
    return first


@kernel
def has_ticks_nb(shard: Shard) -> int:
    """1 when a lane holds a tick."""
    for lane in range(load_acquire(shard.settings, Setting.LANES)):
        if _waiting_nb(shard, lane) > 0:
            return 1
    return 0


@kernel
def _choose_sampling_nb(shard: Shard) -> None:
    """Say whether each function is timed for the next tick: for one in SAMPLE_TICKS, and for all of
    the next SUSPICION_TICKS when a stage was over its budget, to find out whose fault it is; then
    there is a rest.
    """
    sampling = shard.sampling
    sampling[Sampling.TICKS] += 1
    is_sample = sampling[Sampling.TICKS] & (SAMPLE_TICKS - 1) == 0
    sampling[Sampling.IS_TIMED] = np.int64(is_sample or sampling[Sampling.LEFT] > REST_TICKS)
    sampling[Sampling.LEFT] = max(sampling[Sampling.LEFT] - 1, np.int64(0))


@kernel
def _show_market_nb(shard: Shard, slot: int, look: int) -> None:
    """Bring the market forward to ticks[slot], before functions look at both."""
    instrument = np.int64(shard.ticks[slot]["instrument"])
    if look == Look.PRICES:
        is_later = move_prices_nb(shard.market, shard.ticks, slot)
    else:
        is_later = move_forward_nb(shard.market, instrument, shard.seen, slot)
    if is_later:
        shard.market[instrument]["epoch"] = shard.epochs[slot]


@kernel
def _work_on_nb(
    shard: Shard,
    breakers: Any,
    patterns: Any,
    sender: Sender,
    plan: Plan,
    taken: tuple[int, int],
    before_ns: int,
) -> int:
    """All stages for one tick, `taken` as `_next_slot_nb` gave it, each with its budget, from which
    sending is taken out: it is no function's fault. Takes the time when the tick before was done
    with, or 0; returns that of this one, or 0. A tick of another shard's instrument counts there.
    """
    slot, conflated = taken
    timed = plan.timed
    shard.sending_ns[0] = 0
    if timed:
        _choose_sampling_nb(shard)
    clock = shard.clocks[Agent.WORKER]
    start_ns = now_ns_nb(clock) if timed and before_ns == 0 else before_ns
    if plan.look:
        _show_market_nb(shard, slot, plan.look)
    run_breakers_nb(shard, breakers, sender, slot, start_ns)
    middle_ns = now_ns_nb(clock) if timed else np.int64(0)
    breakers_ns = middle_ns - start_ns - shard.sending_ns[0]
    shard.sending_ns[0] = 0
    tick = shard.ticks[slot]
    lane = np.int64(tick["priority"])
    own = np.int64(plan.alone or owns_nb(shard, np.int64(tick["instrument"])))
    if conflated:
        count_nb(shard, Count.LANE_CONFLATED + lane, own)
    else:
        run_patterns_nb(shard, breakers, patterns, sender, slot, own)
    shard.sampling[Sampling.INSIDE] = 0
    count_nb(shard, Count.LANE_TICKS + lane, own)
    shard.turn[1] += 1 - own
    end_ns = np.int64(0)
    if timed:
        end_ns = now_ns_nb(clock)
    if timed and own:
        latency_ns = end_ns - tick["ts_rx_ns"]
        record_nb(shard.histograms[Histogram.LATENCY], latency_ns)
        record_nb(shard.histograms[Histogram.LANE_LATENCY + lane], latency_ns)
        patterns_ns = end_ns - middle_ns - shard.sending_ns[0]
        record_nb(shard.histograms[Histogram.STAGE_BREAKERS], breakers_ns)
        record_nb(shard.histograms[Histogram.STAGE_PATTERNS], patterns_ns)
        breakers_over = breakers_ns > shard.settings[Setting.BREAKER_BUDGET_NS]
        patterns_over = patterns_ns > shard.settings[Setting.PATTERN_BUDGET_NS]
        count_nb(shard, Count.BREAKER_OVERRUNS, np.int64(breakers_over))
        count_nb(shard, Count.PATTERN_OVERRUNS, np.int64(patterns_over))
        if (breakers_over or patterns_over) and shard.sampling[Sampling.LEFT] == 0:
            shard.sampling[Sampling.LEFT] = SUSPICION_TICKS + REST_TICKS
    return end_ns


@outline_kernel
def drain_lanes_nb(shard: Shard, breakers: Any, patterns: Any, sender: Sender, most: int) -> int:
    """Work on up to `most` ticks and give their slots back; how many, and quotes of other feeds.
    Functions that are staged are taken before the first, commands carried out.
    """
    if load_acquire(shard.control, Control.FUNCTIONS):
        take_functions_nb(shard, breakers, patterns, np.int64(Control.FUNCTIONS))
    hear_operator_nb(shard, breakers, sender)
    looks_away = shard.away.words[AwayWord.ROOM]
    heard = done = 0
    shard.turn[1] = 0
    # The end of one tick is the begin of the next: a clock less to be read, and what it takes to
    # choose a lane counts as the breakers' time.
    before_ns = np.int64(0)
    plan = _plan_nb(shard)
    while done < most:
        if looks_away and done & (AWAY_EVERY - 1) == 0:
            heard += hear_away_nb(shard, (breakers, patterns), sender)
            before_ns = np.int64(0)
        taken = _next_slot_nb(shard, plan)
        if taken[0] < 0:
            break
        before_ns = _work_on_nb(shard, breakers, patterns, sender, plan, taken, before_ns)
        # The free ring holds the whole pool, so it cannot be full.
        ring_lay_nb(shard.free, done, taken[0])
        done += 1
    ring_publish_nb(shard.free, done)
    count_nb(shard, Count.TICKS, done - shard.turn[1])
    return done + heard
