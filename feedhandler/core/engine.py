"""One shard of the engine: its memory, and the step from message blocks to ticks in lanes.

    blocks ──► normalise (adapter) ──► book ──► analytics ──► lane[priority] ──► worker (`stages`)

The thread that receives owns everything here but the far ends of the rings: it takes free slots,
fills ticks in sequence, and puts their numbers on lanes; the worker gives the slots back.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import analyse_nb
from feedhandler.core.api import Venue
from feedhandler.core.atomics import load_acquire, spin_pause, store_release
from feedhandler.core.book.apply import (
    apply_part_nb,
    apply_tick_nb,
    prefetch_level_of_tick_nb,
    prefetch_tick_nb,
)
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import LANES_MAX, Count, Histogram
from feedhandler.core.events import Flag, Kind
from feedhandler.core.features import features_nb, refresh_depth_nb
from feedhandler.core.libc import sched_yield
from feedhandler.core.market import (
    Look,
)
from feedhandler.core.priority import (
    RULE_WORDS,
    Rule,
    lane_of_nb,
    note_newest_nb,
)
from feedhandler.core.quotes import publish_quote_nb
from feedhandler.core.recording import record_nb
from feedhandler.core.ring import (
    TAIL,
    Ring,
    ring_pop_nb,
    ring_push_nb,
    ring_size_nb,
    ring_take_rows_nb,
)
from feedhandler.core.roles import RoleWord, Watches, meet_symbol_nb
from feedhandler.core.shard import (
    CHUNK,
    SPARE_SIZE,
    STASH_KEPT,
    Agent,
    Control,
    Setting,
    Shard,
)
from feedhandler.core.split import NUMBERS, find_blocks_nb
from feedhandler.core.states import State
from feedhandler.core.summaries import (
    summarise_nb,
)
from protocols.jit import kernel, outline_kernel

LEVELS_AHEAD = 12
"""How many messages before its turn the level of a message is asked for."""

BAD_LENGTH_STATUS = 3
"""`status` of a row of kind NONE whose length contradicts its type, which `aux` names as a Kind;
any other such row is of an unknown type."""

_SPINS = 1_000

_IN_PARTS = int(Flag.PART | Flag.SETTLES)

NOT_TAKEN = -1

WATCHED = 0

OWN = 1
"""What a message is to a shard: another one's, of no use to this one; another one's that its
functions look at; its own."""


@kernel
def rank_of_nb(shard: Shard, lane: int) -> int:
    """Where a tick of this lane that is looked at now stands in the order of all shards: ticks are
    looked at when so many messages of the feed are applied, lane by lane, and by number.
    """
    return np.int64(shard.channel[0]["next_seq"]) * LANES_MAX + lane


@kernel
def owns_nb(shard: Shard, instrument: int) -> int:
    """1 when the instrument is this shard's own, 0 when it is another one's that it watches."""
    if shard.settings[Setting.SHARDS] <= 1:
        return np.int64(1)
    return np.int64(shard.split.owned[instrument & (NUMBERS - 1)])


@outline_kernel
def role_nb(shard: Shard, slot: int) -> int:
    """What the normalised ticks[slot] is to a shard that watches instruments of others: OWN,
    WATCHED or NOT_TAKEN. What it tells of its instrument's symbol is taken in first.
    """
    tick = shard.ticks[slot]
    split = shard.split
    number = np.int64(tick["instrument"])
    own = np.int64(split.owned[number & (NUMBERS - 1)])
    kind = np.int64(tick["kind"])
    names = kind in (Kind.DEFINITION, Kind.ADD) and number < shard.instruments.shape[0]
    if names:
        row = shard.instruments[number]
        if kind == Kind.DEFINITION or row["symbol"] == 0:
            symbol = np.int64(tick["aux"])
            meet_symbol_nb(split.roles, split.owned, number, np.int64(row["symbol"]), symbol)
            if not split.roles.taken[number & (NUMBERS - 1)]:
                row["symbol"] = symbol
    if own:
        return np.int64(OWN)
    # One that nobody understands is told of once.
    taken = split.roles.taken[number & (NUMBERS - 1)] and kind != Kind.NONE
    return np.int64(WATCHED) if taken else np.int64(NOT_TAKEN)


@kernel
def count_nb(shard: Shard, row: int, amount: int) -> None:
    """Add to a counter; the caller is the row's only writer."""
    shard.counts[np.uint64(row), 0] += amount


@kernel
def mark_suspect_nb(shard: Shard) -> None:
    """The books may be wrong: say so until the next snapshot or restart."""
    shard.channel[0]["suspect"] = 1
    shard.counts[Count.BOOKS_SUSPECT, 0] = 1


@kernel
def _count_fault_nb(shard: Shard, outcome: int, kind: int, own: int) -> int:
    """Count what kept a message, this shard's own one or not, from the book; 1 when its tick still
    goes to the stages.

    The books lack an order that did not fit. Where they are whole from the first message on, a
    message about an order that cannot be applied says that they are wrong as well. So does one
    about a price level, unless it takes away what is not there: then feed and book agree.
    """
    about_order = Kind.ADD <= kind <= Kind.REPLACE
    if kind in (Kind.SET_LEVEL, Kind.CLEAR_LEVELS):
        about_order = outcome != Outcome.UNKNOWN_REFERENCE
    if outcome == Outcome.CAPACITY or (about_order and shard.channel[0]["strict"]):
        mark_suspect_nb(shard)
    if outcome == Outcome.OVERFILL:
        count_nb(shard, Count.OVERFILL, own)
        return 1
    if outcome == Outcome.UNKNOWN_REFERENCE:
        count_nb(shard, Count.UNKNOWN_REFERENCE, own)
    elif outcome == Outcome.DUPLICATE_REFERENCE:
        count_nb(shard, Count.DUPLICATE_REFERENCE, own)
    elif outcome == Outcome.CAPACITY:
        count_nb(shard, Count.CAPACITY, own)
    else:
        count_nb(shard, Count.BAD_VALUE, own)
    return 0


@kernel
def _record_bbo_nb(shard: Shard, slot: int) -> None:
    """Note the best prices of ticks[slot]; whoever asked for it empties shard.bbo before it is
    full.
    """
    tick = shard.ticks[slot]
    row = shard.bbo[shard.bbo_count[0]]
    row["seq"] = tick["seq"]
    row["ts_exch_ns"] = tick["ts_exch_ns"]
    row["instrument"] = tick["instrument"]
    row["bid_price_e9"] = tick["bid_price_e9"]
    row["bid_qty"] = tick["bid_qty"]
    row["ask_price_e9"] = tick["ask_price_e9"]
    row["ask_qty"] = tick["ask_qty"]
    shard.bbo_count[0] += 1


@kernel
def _show_quote_nb(shard: Shard, slot: int) -> None:
    """Into the table of all feeds what ticks[slot] changes there."""
    tick = shard.ticks[slot]
    kind = np.int64(tick["kind"])
    instrument = np.int64(tick["instrument"])
    halts = kind in (Kind.TRADING_STATUS, Kind.OPERATIONAL_HALT)
    is_named_anew = kind == Kind.DEFINITION and shard.quote_places[instrument] > 0
    if halts or is_named_anew or tick["flags"] & Flag.BBO_CHANGED:
        symbol = np.int64(shard.instruments[instrument]["symbol"])
        publish_quote_nb(shard.quotes, shard.quote_places, symbol, shard.ticks, slot)


@outline_kernel
def _see_nb(shard: Shard, slot: int) -> None:
    """What is known of the instrument after ticks[slot] goes beside it."""
    refresh_depth_nb(shard.features, shard.book, shard.ticks, slot)
    features_nb(shard.features, shard.seen, shard.ticks, slot)


@kernel
def note_foreign_orders_nb(shard: Shard, before: int) -> None:
    """A message of another shard's instrument was applied, before which so many orders lived."""
    words = shard.split.roles.words
    words[RoleWord.FOREIGN_ORDERS] += shard.book.meta[ORDERS_LIVE] - before


@kernel
def own_orders_nb(shard: Shard) -> int:
    """Live orders of this shard's own instruments."""
    foreign = shard.split.roles.words[RoleWord.FOREIGN_ORDERS]
    live: int = shard.book.meta[ORDERS_LIVE] - foreign
    return live


class Plan(NamedTuple):
    """Settings that hold for some messages in a row: read once, and not for each. `look`, a Look;
    `beside`, 1 where more is kept of a tick than its best prices; whether `timed`; `conflate`, bits
    of lanes.
    """

    look: int
    beside: int
    timed: int
    conflate: int


@kernel
def _plan_nb(shard: Shard) -> Plan:
    settings = shard.settings
    look = settings[Setting.MARKET]
    beside = (
        look == Look.ANALYTICS
        or settings[Setting.SUMMARIES]
        or settings[Setting.RECORD_BBO]
        or shard.quotes.meta[0] > 0
    )
    conflate = shard.priority.rules[Rule.CONFLATE]
    return Plan(look, np.int64(beside != 0), settings[Setting.TIMED], conflate)


@kernel
def _keep_beside_nb(shard: Shard, slot: int, own: int) -> None:
    """What was asked for besides books and signals, of ticks[slot]."""
    if shard.settings[Setting.MARKET] == Look.ANALYTICS:
        _see_nb(shard, slot)
    if shard.settings[Setting.SUMMARIES]:
        summarise_nb(shard.summaries, shard.ticks, slot)
    changed = shard.ticks[slot]["flags"] & Flag.BBO_CHANGED
    if own and shard.settings[Setting.RECORD_BBO] and changed:
        _record_bbo_nb(shard, slot)
    if own and shard.quotes.meta[0] > 0:
        _show_quote_nb(shard, slot)


@kernel
def _take_row_nb(shard: Shard, plan: Plan, slot: int, own: int) -> int:
    """Book, analytics and lane for one normalised tick, this shard's own one or not; 1 when it went
    to a lane, 0 when its slot is free again.
    """
    tick = shard.ticks[slot]
    if tick["kind"] == Kind.NONE:
        malformed = tick["status"] == BAD_LENGTH_STATUS
        count_nb(shard, Count.BAD_LENGTH if malformed else Count.UNKNOWN_TYPE, 1)
        about_order = malformed and Kind.ADD <= tick["aux"] <= Kind.REPLACE
        if about_order and shard.channel[0]["strict"]:
            mark_suspect_nb(shard)
        return 0
    orders = shard.book.meta[ORDERS_LIVE]
    if tick["flags"] & _IN_PARTS or tick["kind"] >= Kind.SET_LEVEL:
        outcome = apply_part_nb(shard.book, shard.ticks, slot)
    else:
        outcome = apply_tick_nb(shard.book, shard.ticks, slot)
    if not own:
        note_foreign_orders_nb(shard, orders)
    if outcome != Outcome.OK:
        goes_on = _count_fault_nb(shard, outcome, np.int64(tick["kind"]), own)
        if not goes_on:
            if tick["flags"] & Flag.SETTLES == 0:
                return 0
            # What came before it in the message changed the book.
            tick["kind"] = Kind.SETTLE
        if shard.channel[0]["suspect"]:
            tick["flags"] |= Flag.IN_DOUBT
    count_nb(shard, Count.APPLIED, own & np.int64(tick["kind"] != Kind.SETTLE))
    moved_bps = analyse_nb(shard.instruments, shard.ticks, slot)
    lane = lane_of_nb(shard.priority, shard.instruments, shard.ticks, slot, moved_bps)
    tick["priority"] = lane
    if plan.look:
        shard.epochs[slot] = shard.epoch[0]
    if plan.beside:
        _keep_beside_nb(shard, slot, own)
    if plan.timed:
        tick["ts_decoded_ns"] = now_ns_nb(shard.clocks[Agent.RECEIVER])
    place = np.uint64(lane)
    if plan.conflate >> lane & 1:
        note_newest_nb(shard.priority, shard.ticks, slot, shard.lane_cursors[place, TAIL])
    # A lane holds the whole pool, so it cannot be full.
    ring_push_nb(Ring(shard.lane_cursors[place], shard.lane_cells[place]), slot)
    return 1


@outline_kernel
def take_rules_nb(shard: Shard) -> None:
    """Take the rules of priority that the control plane has staged, if it has: from the next packet
    on they hold. Lanes that they have no more are still looked at, for what waits there.
    """
    if load_acquire(shard.control, Control.RULES) == 0:
        return
    priority, settings = shard.priority, shard.settings
    for i in range(RULE_WORDS):
        priority.rules[i] = priority.staged[i]
    show_lanes_nb(priority.rules, settings)
    store_release(shard.control, Control.RULES, np.int64(0))


@kernel
def show_lanes_nb(rules: NDArray[np.int64], settings: NDArray[np.int64]) -> None:
    """Tell the worker of the rules what concerns it."""
    lanes = max(rules[Rule.LANES], settings[Setting.LANES])
    store_release(settings, Setting.LANES, lanes)
    store_release(settings, Setting.AGE_EVERY, rules[Rule.AGE_EVERY])
    store_release(settings, Setting.OVERLOAD, rules[Rule.OVERLOAD])
    store_release(settings, Setting.CONFLATE, rules[Rule.CONFLATE])


@kernel
def pause_nb(waits: int) -> None:
    """Between two looks at what another thread is to give: at first at once again, after many looks
    that thread may want this core.
    """
    if waits < _SPINS:
        spin_pause()
    else:
        sched_yield()


@outline_kernel
def _wait_for_slot_nb(shard: Shard) -> int:
    """The pool is used up: a slot that the worker gave back, or -1 when the shard is to stop."""
    waits = 0
    slot = np.int64(-1)
    while slot < 0 and load_acquire(shard.control, Control.STOP) == 0:
        waits += 1
        pause_nb(waits)
        count_nb(shard, Count.POOL_WAITS, 1)
        slot = ring_pop_nb(shard.free)
    return slot


@kernel
def _lay_by_nb(shard: Shard) -> None:
    """Put slots that went round and are not needed for it any more, after a burst, to the spare
    ones: few slots that are used over and over stay in the cache, the whole pool does not.
    """
    surplus = min(ring_size_nb(shard.free) - 2 * len(shard.stash), np.int64(CHUNK))
    for _ in range(surplus):
        shard.spare[shard.stash_size[SPARE_SIZE]] = ring_pop_nb(shard.free)
        shard.stash_size[SPARE_SIZE] += 1


@kernel
def fill_stash_nb(shard: Shard, wanted: int) -> int:
    """Have `wanted` free slots at hand, waiting for the worker when the pool is used up; 1, or 0
    when the shard is to stop meanwhile.
    """
    size = shard.stash_size[0]
    if size >= wanted:
        return 1
    _lay_by_nb(shard)
    size += ring_take_rows_nb(shard.free, shard.stash[size:wanted])
    while size < wanted:
        slot = np.int64(-1)
        if shard.stash_size[SPARE_SIZE] > 0:
            shard.stash_size[SPARE_SIZE] -= 1
            slot = np.int64(shard.spare[shard.stash_size[SPARE_SIZE]])
        else:
            slot = _wait_for_slot_nb(shard)
            if slot < 0:
                break
        shard.stash[size] = slot
        size += 1
    shard.stash_size[0] = size
    return int(size >= wanted)


@kernel
def prefetch_rows_nb(shard: Shard, count: int) -> None:
    """Ask for the memory that the ticks of the first `count` slots of the stash will want."""
    for i in range(count):
        prefetch_tick_nb(shard.book, shard.ticks, np.int64(shard.stash[i]))


@outline_kernel
def take_rows_nb(
    shard: Shard, first: int, last: int, count: int, seq: int, source: NDArray[np.void]
) -> None:
    """Take rows `first` to `last` - 1 of `count` that are normalised, in stash order: row i is
    message seq + split.offsets[i] of the feed. Those before `first` were taken already; slots that
    are still free move to the front of the stash.
    """
    origin = source[0]
    line, rx_ns = origin["line"], origin["ts_rx_ns"]
    feed = shard.settings[Setting.FEED]
    plan = _plan_nb(shard)
    timed = plan.timed
    watches = shard.split.roles.words[RoleWord.WATCHES]
    before_ns = now_ns_nb(shard.clocks[Agent.RECEIVER]) if timed else np.int64(0)
    kept = shard.stash_size[STASH_KEPT]
    channel = shard.channel[0]
    offsets = shard.split.offsets
    next_seq = np.int64(channel["next_seq"])
    for i in range(first, last):
        slot = np.int64(shard.stash[np.uint64(i)])
        number = seq + offsets[np.uint64(i)]
        taken = np.int64(0)
        if i + LEVELS_AHEAD < count:
            ahead = np.int64(shard.stash[np.uint64(i + LEVELS_AHEAD)])
            prefetch_level_of_tick_nb(shard.book, shard.ticks, ahead)
        role = np.int64(OWN if number >= next_seq else NOT_TAKEN)
        if watches and role == OWN:
            is_of_market = shard.ticks[slot]["instrument"] == 0
            if watches == Watches.INSTRUMENTS or is_of_market:
                role = np.int64(role_nb(shard, slot))
        if role != NOT_TAKEN:
            tick = shard.ticks[slot]
            tick["feed"] = feed
            tick["line"] = line
            # Anew for each message: the one before may have made the books suspect.
            if channel["state"] != State.LIVE or channel["suspect"]:
                tick["flags"] |= Flag.IN_DOUBT
            tick["seq"] = number
            tick["ts_rx_ns"] = rx_ns
            shard.types[tick["code"]] += role
            taken = np.int64(_take_row_nb(shard, plan, slot, role))
            if timed and taken:
                spent_ns = tick["ts_decoded_ns"] - before_ns
                before_ns = tick["ts_decoded_ns"]
                if role == OWN:
                    record_nb(shard.histograms[Histogram.STAGE_BOOK], spent_ns)
                    over = np.int64(spent_ns > shard.settings[Setting.BOOK_BUDGET_NS])
                    count_nb(shard, Count.BOOK_OVERRUNS, over)
        if not taken:
            shard.stash[kept] = slot
            kept += 1
    shard.stash_size[STASH_KEPT] = kept


@kernel
def close_stash_nb(shard: Shard, count: int) -> None:
    """All of `count` rows are taken: the rest of the stash moves down to the slots still free."""
    kept = shard.stash_size[STASH_KEPT]
    size = shard.stash_size[0]
    if kept < count:
        for i in range(count, size):
            shard.stash[kept + i - count] = shard.stash[i]
    shard.stash_size[0] = size - count + kept
    shard.stash_size[STASH_KEPT] = 0


@kernel
def show_progress_nb(shard: Shard) -> None:
    """Export what every applied packet, snapshot or skipped hole changes."""
    shard.counts[Count.ORDERS_LIVE, 0] = own_orders_nb(shard)
    shard.counts[Count.NEXT_SEQ, 0] = shard.channel[0]["next_seq"]


@kernel
def normalise_chunk_nb(
    shard: Shard, venue: Venue, buf: NDArray[np.uint8], at: int, count: int
) -> tuple[int, int]:
    """Decode into the slots of the stash what this shard takes of `count` messages whose blocks
    begin at buf[at]; where the block after them begins, and how many those are.
    """
    if shard.settings[Setting.SHARDS] <= 1:
        return venue.normalise(buf, at, count, shard.ticks, shard.stash), count
    split = shard.split
    stop = find_blocks_nb(buf, at, count, split.blocks)
    own = venue.normalise_own(
        buf, split.blocks, count, split.roles.taken, split.offsets, shard.ticks, shard.stash
    )
    return stop, own


@kernel
def apply_blocks_nb(
    shard: Shard, venue: Venue, buf: NDArray[np.uint8], at: int, packet: NDArray[np.void]
) -> int:
    """Apply the message blocks of packet[0] (an ENTRY: seq, end, line, ts_rx_ns) that start at
    buf[at]; those below the channel's next_seq are passed over, and those of other shards. Returns
    where the block after the last one starts. A shard that is told to stop while the pool is used
    up leaves the rest.
    """
    row = packet[0]
    channel = shard.channel[0]
    seq = np.int64(row["seq"])
    end = np.int64(row["end"])
    while seq < end:
        count = min(end - seq, CHUNK)
        if not fill_stash_nb(shard, count):
            break
        at, own = normalise_chunk_nb(shard, venue, buf, at, count)
        prefetch_rows_nb(shard, own)
        take_rows_nb(shard, np.int64(0), own, own, seq, packet)
        close_stash_nb(shard, own)
        seq += count
        channel["next_seq"] = max(np.int64(channel["next_seq"]), seq)
    show_progress_nb(shard)
    return at
