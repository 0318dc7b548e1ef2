"""A shard of the engine: all of its memory, and the words by which threads and the control plane
agree on what is to be done.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.analytics import INSTRUMENT
from feedhandler.core.away import Away, allocate_away, away_legs
from feedhandler.core.book.layout import Book, BookCapacity, allocate_book
from feedhandler.core.breaker_scopes import Cells, allocate_cells
from feedhandler.core.broadcast import Broadcast, allocate_broadcast
from feedhandler.core.calls import OUT_WORDS
from feedhandler.core.clock import allocate_clocks, has_steady_counter
from feedhandler.core.counts import LANES_MAX
from feedhandler.core.events import BBO, LEGS_SHOWN, SIGNAL, TICK
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import Functions, Room, Use
from feedhandler.core.lines import zeros
from feedhandler.core.market import (
    Features,
    FeatureSettings,
    Look,
    allocate_features,
    allocate_rows,
)
from feedhandler.core.priority import (
    Priority,
    allocate_priority,
)
from feedhandler.core.quotes import Quotes, allocate_quotes
from feedhandler.core.reload import Staged, allocate_stage
from feedhandler.core.ring import (
    CURSOR_WORDS,
    TAIL,
    Ring,
    allocate_ring,
)
from feedhandler.core.sequence import CHANNEL, ENTRY, Window, allocate_window
from feedhandler.core.split import Split, allocate_split
from feedhandler.core.summaries import (
    NOTHING_KEPT,
    Summaries,
    SummarySettings,
    allocate_summaries,
)
from protocols.by_reference import by_reference

CHUNK = 64
"""Messages that are decoded ahead of the book in one go."""

WATCH_LEVELS = 10
"""Price levels a side of a book that is looked at from outside."""

ROUNDS_AHEAD_MAX = 32
"""Chunks that one of several shards decodes at once, as only a part of each is its own."""

STASH_KEPT = 1
"""Word of `stash_size` besides the size: free slots at its front while rows are being taken."""

SPARE_SIZE = 2
"""Another one: how many slots are in `spare`."""


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
    """and for how many more they are, REST_TICKS behind them in which none is for suspicion."""
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
    worker last saw, as far as anybody looks, and behind it a row for each leg in `away`; `epochs`
    i32[pool] is how often the books were replaced as a whole before each tick, `epoch[0]` so far;
    `numbers` i64[instruments] is 0, 1, 2 ... `leg_symbols` i64[LEGS_SHOWN] are those of the signal
    in hand; `sending_ns` is what the signals of the present tick have cost so far by being sent;
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
    away: Away
    numbers: NDArray[np.int64]
    out: NDArray[np.int64]
    signal_count: NDArray[np.int64]
    leg_symbols: NDArray[np.int64]
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
    """Sizes of a shard's memory, which feed it is of, and which one of how many it is; `takers` are
    the shards that a sequencer hands its packets to. `away_room` are the instruments on other feeds
    that later functions may look at.
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
    feed: int = 0
    away_room: int = 0
    look: Look = Look.NOWHERE
    analytics: FeatureSettings = FeatureSettings()
    summaries: SummarySettings = NOTHING_KEPT


def _first_settings(capacity: ShardCapacity) -> NDArray[np.int64]:
    """What follows from the sizes; the rest is the server's."""
    settings = zeros(32)
    settings[Setting.SHARDS] = capacity.shards
    settings[Setting.FEED] = capacity.feed
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


def _away_of(capacity: ShardCapacity) -> int:
    """Instruments on other feeds that there is room for."""
    choices = [choice for use in capacity.patterns for choice in use.bindings]
    return len(away_legs(choices, capacity.feed)) + capacity.away_room


def _functions_of(capacity: ShardCapacity, away: int) -> tuple[Functions, Functions, Staged]:
    """Breakers, patterns, and where others are staged that may take their place."""
    instruments = capacity.book.instruments
    breakers = allocate_functions(capacity.breakers, instruments, capacity.breaker_room)
    room = capacity.pattern_room
    patterns = allocate_functions(capacity.patterns, instruments, room, capacity.feed, away)
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
    away = _away_of(capacity)
    analysed = capacity.look == Look.ANALYTICS
    ahead = CHUNK * min(capacity.shards, ROUNDS_AHEAD_MAX)
    free, spare, stash_size = _free_slots(pool, min(2 * ahead, pool))
    breakers, patterns, staged = _functions_of(capacity, away)
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
        market=allocate_rows(instruments + away if capacity.look else 1),
        away=allocate_away(away),
        numbers=_numbers_of(instruments),
        out=zeros(OUT_WORDS),
        signal_count=zeros(1),
        leg_symbols=zeros(LEGS_SHOWN),
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
