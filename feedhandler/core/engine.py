"""One shard of the engine: its memory, and the step from message blocks to ticks in lanes.

    blocks ──► normalise (adapter) ──► book ──► analytics ──► lane[priority] ──► worker (`stages`)

The thread that receives owns everything here but the far ends of the rings: it takes free slots,
fills ticks in sequence, and puts their numbers on lanes; the worker gives the slots back.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import INSTRUMENT, analyse_nb
from feedhandler.core.api import Venue
from feedhandler.core.atomics import load_acquire, spin_pause, store_release
from feedhandler.core.book.apply import (
    apply_part_nb,
    apply_tick_nb,
    prefetch_level_of_tick_nb,
    prefetch_tick_nb,
)
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import ORDERS_LIVE, Book, BookCapacity, allocate_book
from feedhandler.core.breaker_scopes import Cells, allocate_cells
from feedhandler.core.broadcast import Broadcast, allocate_broadcast
from feedhandler.core.calls import OUT_WORDS
from feedhandler.core.clock import allocate_clocks, has_steady_counter, now_ns_nb
from feedhandler.core.counts import LANES_MAX, Count, Histogram
from feedhandler.core.events import BBO, SIGNAL, TICK, Flag, Kind
from feedhandler.core.features import features_nb, refresh_depth_nb
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import Functions, Room, Use
from feedhandler.core.libc import sched_yield
from feedhandler.core.lines import zeros
from feedhandler.core.market import (
    Features,
    FeatureSettings,
    Look,
    allocate_features,
    allocate_rows,
)
from feedhandler.core.priority import (
    RULE_WORDS,
    Priority,
    Rule,
    allocate_priority,
    lane_of_nb,
    note_newest_nb,
)
from feedhandler.core.quotes import Quotes, allocate_quotes, publish_quote_nb
from feedhandler.core.recording import record_nb
from feedhandler.core.reload import Staged, allocate_stage
from feedhandler.core.ring import (
    CURSOR_WORDS,
    TAIL,
    Ring,
    allocate_ring,
    ring_pop_nb,
    ring_push_nb,
    ring_size_nb,
    ring_take_rows_nb,
)
from feedhandler.core.roles import RoleWord, meet_symbol_nb
from feedhandler.core.sequence import CHANNEL, ENTRY, Window, allocate_window
from feedhandler.core.split import NUMBERS, Split, allocate_split, find_blocks_nb
from feedhandler.core.states import State
from feedhandler.core.summaries import (
    NOTHING_KEPT,
    Summaries,
    SummarySettings,
    allocate_summaries,
    summarise_nb,
)
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

CHUNK = 64
"""Messages that are decoded ahead of the book in one go."""

LEVELS_AHEAD = 12
"""How many messages before its turn the level of a message is asked for."""

WATCH_LEVELS = 10
"""Price levels a side of a book that is looked at from outside."""

BAD_LENGTH_STATUS = 3
"""`status` of a row of kind NONE whose length contradicts its type, which `aux` names as a Kind;
any other such row is of an unknown type."""

ROUNDS_AHEAD_MAX = 32
"""Chunks that one of several shards decodes at once, as only a part of each is its own."""

STASH_KEPT = 1
"""Word of `stash_size` besides the size: free slots at its front while rows are being taken."""

SPARE_SIZE = 2
"""Another one: how many slots are in `spare`."""

_SPINS = 1_000
_IN_PARTS = int(Flag.PART | Flag.SETTLES)
NOT_TAKEN = -1
WATCHED = 0
OWN = 1
"""What a message is to a shard: another one's, of no use to this one; another one's that its
functions look at; its own."""


class Setting(IntEnum):
    """Words of `settings`: fixed while the shard runs."""

    TIMED = 0
    WORK_FD = 1
    LANES = 2
    MARKET = 3
    """How much of the market is kept, a Look."""
    FEED = 5
    BOOK_BUDGET_NS = 6
    BREAKER_BUDGET_NS = 7
    PATTERN_BUDGET_NS = 8
    IDLE = 9
    SIGNAL_FD = 10
    CONTROL_FD = 11
    RECORD_BBO = 12
    SHARDS = 13
    """Shards that the instruments of the feed are dealt out to."""
    FEEDS = 14
    """1: a sequencer, which hands packets to the shards and has no books of its own."""
    TAKER = 15
    """Which taker of the broadcast this shard is."""
    AGE_EVERY = 16
    """As the Rule of this name, and so on: for the worker, by `take_rules_nb`."""
    CONFLATE = 17
    OVERLOAD = 18
    SUMMARIES = 24
    """1: bars or price statistics are kept."""


class Agent(IntEnum):
    """Rows of `clocks`: who writes them, be it in one thread or in two."""

    RECEIVER = 0
    WORKER = 1


class Control(IntEnum):
    """Words of `control`, shared between threads and only touched through atomics; a cache line
    each.
    """

    STOP = 0
    SNAPSHOT = 8
    SNAPSHOT_BLOCKS = 16
    SNAPSHOT_SEQ = 24
    WORKER_ASLEEP = 32
    RX_STOPPED = 40
    WATCH = 48
    WATCH_INSTRUMENT = 56
    RULES = 64
    """1: new rules of priority are staged; the thread that receives takes them between two packets
    and writes 0."""
    FUNCTIONS = 72
    """1: new functions, parameters or bindings are staged; the worker takes them between two ticks
    and writes 0."""
    COMMAND = 80
    """1: a command for the breakers is written; the worker carries it out between two ticks and
    writes 0."""
    CLEAR_STATS = 88
    """1 + an instrument, or EVERY_INSTRUMENT: its price statistics are to begin anew; the thread
    that receives does it between two packets and writes 0."""


class Order(IntEnum):
    """Words of `command`: what an operator wants of the breakers."""

    WHAT = 0
    """An `Ask`."""
    BREAKER = 1
    KEY = 2
    """Part of the breaker's scope: number of an instrument or sector; ALL_PARTS."""
    LEVEL = 3
    FOR_NS = 4
    POSITION = 5
    RESULT = 6
    """How many cells it was about, once it is carried out."""


class Ask(IntEnum):
    """What a command may be."""

    TRIP = 1
    RESET = 2
    TELL_POSITION = 3


ALL_PARTS = -1


class Sampling(IntEnum):
    """Words of `sampling`."""

    IS_TIMED = 0
    """Whether functions are timed for the present tick,"""
    LEFT = 1
    """and for how many more they are."""
    TICKS = 2
    """Ticks so far."""
    INSIDE = 3
    """1 + number of the function that was called last for the present tick, patterns behind
    FUNCTIONS_MAX breakers; 0 between two ticks, and while a signal is written and sent."""


class Watch(IntEnum):
    """Hand-over of one book to an observer, in control[WATCH]; the receiving thread copies it
    between two packets, so it is never torn. `watched` rows: price_e4, quantity, orders, best
    first; `watched_info`: next seq, channel state, bids, asks.
    """

    IDLE = 0
    WANTED = 1
    READY = 2


@by_reference
class Shard(NamedTuple):
    """All memory of a shard. Row shapes: ticks TICK[pool + 1], the last one of which is no tick but
    what stands for it in a signal that a command causes, lanes i32[LANES_MAX, pool]; `seen`
    MARKET[pool] is what the receiver found for each tick, `market` MARKET[instruments] what the
    worker last saw, as far as anybody looks; `epochs` i32[pool] is how often the books were
    replaced as a whole before each tick, `epoch[0]` so far; `numbers` i64[instruments] is 0, 1, 2
    ... `sending_ns` is what the signals of the present tick have cost so far by being sent;
    `sampling` i64[4], see Sampling; `staged` is the control plane's, see `reload`. `ranks`
    i64[signal ring, 2] of one of several shards: where each signal stands in the order of all,
    `rank_of_nb`, and among those of its tick, `turn[0]`; turn[1] counts the watched ticks of a
    round of the worker. `command` is an `Order` to the worker; `proposal` i64[OUT_WORDS] what a
    response gets to judge. Live, `broadcast` and `snapshot` are the sequencer's in each of several
    shards.
    """

    book: Book
    split: Split
    broadcast: Broadcast
    window: Window
    channel: NDArray[np.void]
    packet: NDArray[np.void]
    instruments: NDArray[np.void]
    priority: Priority
    settings: NDArray[np.int64]
    control: NDArray[np.int64]
    ticks: NDArray[np.void]
    free: Ring
    clocks: NDArray[np.int64]
    spare: NDArray[np.int32]
    stash: NDArray[np.int32]
    stash_size: NDArray[np.int64]
    lane_cursors: NDArray[np.int64]
    lane_cells: NDArray[np.int32]
    signals: Ring
    ranks: NDArray[np.int64]
    turn: NDArray[np.int64]
    epoch: NDArray[np.int64]
    breakers: Functions
    cells: Cells
    command: NDArray[np.int64]
    proposal: NDArray[np.int64]
    patterns: Functions
    staged: Staged
    features: Features
    summaries: Summaries
    seen: NDArray[np.void]
    epochs: NDArray[np.int32]
    market: NDArray[np.void]
    numbers: NDArray[np.int64]
    out: NDArray[np.int64]
    signal_count: NDArray[np.int64]
    sending_ns: NDArray[np.int64]
    sampling: NDArray[np.int64]
    counts: NDArray[np.int64]
    histograms: NDArray[np.int64]
    snapshot: NDArray[np.uint8]
    request: NDArray[np.uint8]
    types: NDArray[np.int64]
    bbo: NDArray[np.void]
    bbo_count: NDArray[np.int64]
    watched: NDArray[np.int64]
    watched_info: NDArray[np.int64]
    quotes: Quotes
    quote_places: NDArray[np.int32]


class ShardCapacity(NamedTuple):
    """Sizes of a shard's memory, and which one of how many it is; `takers` are the shards that a
    sequencer hands its packets to.
    """

    book: BookCapacity = BookCapacity()
    pool: int = 131_072
    signal_ring: int = 65_536
    window_packets: int = 32_768
    packet_bytes: int = 2_048
    snapshot_bytes: int = 67_108_864
    bbo_rows: int = CHUNK
    shard: int = 0
    shards: int = 1
    broadcast_packets: int = 1
    takers: int = 0
    breakers: tuple[Use, ...] = ()
    patterns: tuple[Use, ...] = ()
    sectors: tuple[tuple[int, ...], ...] = ()
    breaker_room: Room = Room()
    pattern_room: Room = Room()
    look: Look = Look.NOWHERE
    analytics: FeatureSettings = FeatureSettings()
    summaries: SummarySettings = NOTHING_KEPT


def _first_settings(capacity: ShardCapacity) -> NDArray[np.int64]:
    """What follows from the sizes; the rest is the server's."""
    settings = zeros(32)
    settings[Setting.SHARDS] = capacity.shards
    settings[Setting.MARKET] = capacity.look
    settings[Setting.FEEDS] = capacity.takers > 0
    settings[Setting.TAKER] = capacity.shard
    settings[Setting.SUMMARIES] = capacity.summaries.is_kept
    for descriptor in (Setting.SIGNAL_FD, Setting.CONTROL_FD, Setting.WORK_FD):
        settings[descriptor] = -1
    return settings


def _legs_of(capacity: ShardCapacity) -> int:
    """Legs of all bindings."""
    uses = (*capacity.breakers, *capacity.patterns)
    return sum(len(symbols) for use in uses for symbols in use.bindings)


def _free_slots(pool: int, going_round: int) -> tuple[Ring, NDArray[np.int32], NDArray[np.int64]]:
    """`free`, `spare` and `stash_size` of a pool that is free as a whole, so many slots of which go
    round.
    """
    free: Ring = allocate_ring(pool)
    free.cells[:going_round] = np.arange(going_round)
    free.cursors[TAIL] = going_round
    spare = zeros(pool, np.int32)
    spare[: pool - going_round] = np.arange(pool - 1, going_round - 1, -1)
    stash_size = zeros(3)
    stash_size[SPARE_SIZE] = pool - going_round
    return free, spare, stash_size


def _numbers_of(instruments: int) -> NDArray[np.int64]:
    """0, 1, 2 ..."""
    numbers = zeros(instruments)
    numbers[:] = np.arange(instruments)
    return numbers


def _functions_of(capacity: ShardCapacity) -> tuple[Functions, Functions, Staged]:
    """Breakers, patterns, and where others are staged that may take their place."""
    instruments = capacity.book.instruments
    breakers = allocate_functions(capacity.breakers, instruments, capacity.breaker_room)
    patterns = allocate_functions(capacity.patterns, instruments, capacity.pattern_room)
    tunings = sum(not use.asked for use in capacity.breakers)
    return breakers, patterns, allocate_stage(breakers, patterns, max(tunings, 1))


def allocate_shard(
    capacity: ShardCapacity, counts: NDArray[np.int64], histograms: NDArray[np.int64]
) -> Shard:
    """Empty shard; counts i64[COUNT_ROWS, 8] and histograms i64[HISTOGRAM_ROWS, n] usually live in
    the mapped counter file. No two arrays share a cache line.
    """
    pool, instruments = capacity.pool, capacity.book.instruments
    scopes = [use.scope for use in capacity.breakers if not use.asked]
    rows = instruments if capacity.look else 1
    analysed = capacity.look == Look.ANALYTICS
    ahead = CHUNK * min(capacity.shards, ROUNDS_AHEAD_MAX)
    free, spare, stash_size = _free_slots(pool, min(2 * ahead, pool))
    breakers, patterns, staged = _functions_of(capacity)
    return Shard(
        book=allocate_book(capacity.book),
        split=allocate_split(capacity.shard, capacity.shards, ahead, _legs_of(capacity)),
        broadcast=allocate_broadcast(
            capacity.broadcast_packets,
            capacity.packet_bytes if capacity.takers else 1,
            capacity.takers,
        ),
        window=allocate_window(capacity.window_packets, capacity.packet_bytes),
        channel=zeros(1, CHANNEL),
        packet=zeros(1, ENTRY),
        instruments=zeros(instruments, INSTRUMENT),
        priority=allocate_priority(instruments),
        settings=_first_settings(capacity),
        control=zeros(96),
        ticks=zeros(pool + 1, TICK),
        free=free,
        clocks=allocate_clocks(len(Agent), is_steady=has_steady_counter()),
        spare=spare,
        stash=zeros(ahead, np.int32),
        stash_size=stash_size,
        lane_cursors=zeros((LANES_MAX, CURSOR_WORDS)),
        lane_cells=zeros((LANES_MAX, pool), np.int32),
        signals=allocate_ring(capacity.signal_ring, SIGNAL),
        ranks=zeros((capacity.signal_ring if capacity.shards > 1 else 1, 2)),
        turn=zeros(2),
        epoch=zeros(1),
        breakers=breakers,
        cells=allocate_cells(scopes, instruments, capacity.sectors),
        command=zeros(len(Order)),
        proposal=zeros(OUT_WORDS),
        patterns=patterns,
        staged=staged,
        features=allocate_features(instruments if analysed else 1, capacity.analytics),
        summaries=allocate_summaries(instruments, capacity.summaries),
        seen=allocate_rows(pool if analysed else 1),
        epochs=zeros(pool if capacity.look else 1, np.int32),
        market=allocate_rows(rows),
        numbers=_numbers_of(instruments),
        out=zeros(OUT_WORDS),
        signal_count=zeros(1),
        sending_ns=zeros(1),
        sampling=zeros(len(Sampling)),
        counts=counts,
        histograms=histograms,
        snapshot=zeros(capacity.snapshot_bytes, np.uint8),
        request=zeros(64, np.uint8),
        types=zeros(256),
        bbo=zeros(capacity.bbo_rows, BBO),
        bbo_count=zeros(1),
        watched=zeros((2, WATCH_LEVELS, 3)),
        watched_info=zeros(4),
        quotes=allocate_quotes(0, 0),
        quote_places=zeros(instruments, np.int32),
    )


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
    shard.counts[row, 0] += amount


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
    halts = kind in (Kind.TRADING_STATUS, Kind.OPERATIONAL_HALT)
    if halts or tick["flags"] & Flag.BBO_CHANGED:
        symbol = np.int64(shard.instruments[np.int64(tick["instrument"])]["symbol"])
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


@kernel
def _take_row_nb(shard: Shard, slot: int, own: int) -> int:
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
    look = shard.settings[Setting.MARKET]
    if look:
        shard.epochs[slot] = shard.epoch[0]
    if look == Look.ANALYTICS:
        _see_nb(shard, slot)
    if shard.settings[Setting.SUMMARIES]:
        summarise_nb(shard.summaries, shard.ticks, slot)
    if own and shard.settings[Setting.RECORD_BBO] and tick["flags"] & Flag.BBO_CHANGED:
        _record_bbo_nb(shard, slot)
    if own and shard.quotes.meta[0] > 0:
        _show_quote_nb(shard, slot)
    if shard.settings[Setting.TIMED]:
        tick["ts_decoded_ns"] = now_ns_nb(shard.clocks[Agent.RECEIVER])
    if shard.priority.rules[Rule.CONFLATE] >> lane & 1:
        note_newest_nb(shard.priority, shard.ticks, slot, shard.lane_cursors[lane, TAIL])
    # A lane holds the whole pool, so it cannot be full.
    ring_push_nb(Ring(shard.lane_cursors[lane], shard.lane_cells[lane]), slot)
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
    timed = shard.settings[Setting.TIMED]
    watches = shard.split.roles.words[RoleWord.WATCHES]
    before_ns = now_ns_nb(shard.clocks[Agent.RECEIVER]) if timed else np.int64(0)
    kept = shard.stash_size[STASH_KEPT]
    channel = shard.channel[0]
    offsets = shard.split.offsets
    next_seq = np.int64(channel["next_seq"])
    for i in range(first, last):
        slot = np.int64(shard.stash[i])
        taken = np.int64(0)
        if i + LEVELS_AHEAD < count:
            ahead = np.int64(shard.stash[i + LEVELS_AHEAD])
            prefetch_level_of_tick_nb(shard.book, shard.ticks, ahead)
        role = np.int64(OWN if seq + offsets[i] >= next_seq else NOT_TAKEN)
        if watches and role == OWN:
            role = np.int64(role_nb(shard, slot))
        if role != NOT_TAKEN:
            tick = shard.ticks[slot]
            tick["feed"] = shard.settings[Setting.FEED]
            tick["line"] = origin["line"]
            # Anew for each message: the one before may have made the books suspect.
            if channel["state"] != State.LIVE or channel["suspect"]:
                tick["flags"] |= Flag.IN_DOUBT
            tick["seq"] = seq + offsets[i]
            tick["ts_rx_ns"] = origin["ts_rx_ns"]
            shard.types[tick["code"]] += role
            taken = np.int64(_take_row_nb(shard, slot, role))
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
