"""From configuration to a ready shard: memory, rules, budgets, and the compiled functions of venue,
breakers and patterns.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from feedhandler.core.api import Venue
from feedhandler.core.book.layout import BookCapacity
from feedhandler.core.counters import VALUE_WORDS
from feedhandler.core.counts import COUNT_ROWS, HISTOGRAM_ROWS
from feedhandler.core.latency import HISTOGRAM_WORDS
from feedhandler.core.lines import zeros
from feedhandler.core.market import FeatureSettings
from feedhandler.core.quotes import allocate_quotes
from feedhandler.core.receive import PACKETS_A_ROUND, Idle
from feedhandler.core.roles import watch_legs
from feedhandler.core.shard import CHUNK, Setting, Shard, ShardCapacity, allocate_shard
from feedhandler.core.source import FeedSource
from feedhandler.core.summaries import SummarySettings
from feedhandler.server.config import (
    AnalyticsConfig,
    BudgetConfig,
    EngineConfig,
    FeedConfig,
    ServerConfig,
)
from feedhandler.server.configfile import check_writable
from feedhandler.server.errors import ConfigError, OsLimitError
from feedhandler.server.functions import (
    LoadedStages,
    Stages,
    build_stages,
    load_stages,
    set_params,
    with_functions,
    with_room,
)
from feedhandler.server.memory import memory_reserved
from feedhandler.server.placing import check_placing
from feedhandler.server.priority import apply_priority
from feedhandler.server.warmup import compiling_alone
from protocols.moldudp64.spec import HEADER_BYTES

ADAPTER_GROUP = "feedhandler.adapters"
_NS_PER_US = 1_000
_NS_PER_MS = 1_000_000
_NO_BOOKS = BookCapacity(instruments=1, orders=256, overflow_orders=2, level_blocks=4, arena=64)

Tables = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Counters and histograms of an engine."""


class Prepared(NamedTuple):
    """Everything of a server that can be made without a socket, a thread or a file. The engine that
    receives is the only shard, or a sequencer before several; `loaded` is what `stages` was made
    of.
    """

    sequencer: Shard
    shards: tuple[Shard, ...]
    stages: Stages
    loaded: LoadedStages
    adapter: Any
    venue: Venue


def configs_by_feed(config: ServerConfig) -> list[ServerConfig]:
    """The configuration for each feed: as if it were the only one. Threads of those behind the
    first are bound to no CPU.
    """
    loose = structs.replace(config.engine, receiver_cpu=-1, worker_cpu=-1)
    others = [structs.replace(config, feed=feed, feeds=(), engine=loose) for feed in config.feeds]
    return [structs.replace(config, feeds=()), *others]


def prepare(
    config: ServerConfig, tables: Sequence[Sequence[Tables]] | None = None
) -> list[Prepared]:
    """What `serve` needs before it opens anything, and what `check-config` makes to find faults:
    both fail here in the same words. An entry for each feed; `tables` are those of the counter
    file, for each feed and engine.
    """
    check_writable(config.report_file)
    check_placing(config.engine)
    adapters = []
    for each in configs_by_feed(config):
        adapter = find_adapter(each.feed.adapter)
        check_pool(each.engine, adapter.block_bytes_min)
        check_source(each, adapter)
        adapters.append(adapter)
    loaded = load_stages(config)
    engines = build_feeds(config, loaded, tables)
    with memory_reserved([shard for made in engines for shard in made]), compiling_alone():
        # Books of an engine are those of its shards, or its own.
        shards = [made[1:] or made for made in engines]
        stages = build_stages(loaded)
        return [
            Prepared(made[0], tuple(own), stages, loaded, adapter, adapter.venue())
            for made, own, adapter in zip(engines, shards, adapters, strict=True)
        ]


def build_feeds(
    config: ServerConfig,
    loaded: LoadedStages,
    tables: Sequence[Sequence[Tables]] | None = None,
) -> list[list[Shard]]:
    """The engines of each feed, as `build_engines` makes them, with one table of best prices for
    all, where there are several or a hub listens.
    """
    configs = configs_by_feed(config)
    # Of one feed they are for those who watch at the hub.
    is_wanted = config.feeds or config.hub.port
    quotes = allocate_quotes(config.engine.instruments, len(configs) if is_wanted else 0)
    engines: list[list[Shard]] = []
    for number, each in enumerate(configs):
        place = FeedPlace(number, bool(config.feeds))
        made = build_engines(each, loaded, tables[number] if tables else None, place)
        engines.append([shard._replace(quotes=quotes) for shard in made])
    return engines


def check_pool(engine: EngineConfig, block_bytes_min: int) -> None:
    """ConfigError when one round could use up the ticks of the inline topology: the thread that
    would wait for a free one is the thread that frees them.
    """
    messages = engine.packet_bytes // block_bytes_min
    needed = PACKETS_A_ROUND * messages + CHUNK
    if engine.topology == "inline" and engine.ticks < needed:
        raise ConfigError(
            f"engine: ticks = {engine.ticks} are too few for topology = 'inline': {PACKETS_A_ROUND}"
            f" packets of packet_bytes = {engine.packet_bytes} may bring {needed} messages before"
            f" the first is worked on; set ticks = {1 << (needed - 1).bit_length()},"
            " or lower packet_bytes"
        )


def check_source(config: ServerConfig, adapter: Any) -> None:
    """ConfigError when the adapter does not read what the feed comes in, or its packets would not
    fit.
    """
    feed, engine = config.feed, config.engine
    for name, reader in (("soup", "nasdaq_itch"), ("fix", "fix_md")):
        if getattr(feed, name) is not None and not hasattr(adapter, f"{name}_source"):
            raise ConfigError(
                f"feed.{name}: the adapter {feed.adapter!r} does not read such a feed; set"
                f" adapter = {reader!r} in [feed]"
            )
    least = HEADER_BYTES + adapter.block_bytes_min
    if feed.connection is not None and engine.packet_bytes < least:
        raise ConfigError(
            f"engine: packet_bytes = {engine.packet_bytes} holds no message; set {least} or more"
        )


def make_source(config: ServerConfig, adapter: Any) -> FeedSource:
    """Our side of a feed over TCP."""
    feed, engine = config.feed, config.engine
    if feed.soup is not None:
        soup: FeedSource = adapter.soup_source(feed.soup.username, feed.soup.password, feed.session)
        return soup
    if feed.fix is None:
        raise ValueError("the feed comes in datagrams")
    session: FeedSource = adapter.fix_source(
        feed.fix.sender_comp_id,
        feed.fix.target_comp_id,
        feed.fix.symbols,
        feed.fix.heartbeat_s,
        engine.instruments,
        engine.orders,
        feed.session,
    )
    return session


def find_adapter(name: str) -> Any:
    """The adapter that an installed package offers under `name`."""
    found = entry_points(group=ADAPTER_GROUP)
    for point in found:
        if point.name == name:
            return point.load()
    known = ", ".join(sorted(point.name for point in found))
    raise ConfigError(f"feed.adapter: no adapter {name!r} is installed; there is {known}")


def shard_capacity(engine: EngineConfig, bbo_rows: int = 0) -> ShardCapacity:
    """Sizes as configured."""
    capacity = ShardCapacity(
        book=BookCapacity(
            instruments=engine.instruments,
            orders=engine.orders,
            overflow_orders=engine.overflow_orders,
            level_blocks=engine.level_blocks,
            arena=engine.level_arena,
        ),
        pool=engine.ticks,
        signal_ring=engine.signal_ring,
        window_packets=engine.window_packets,
        packet_bytes=engine.packet_bytes,
        snapshot_bytes=engine.snapshot_bytes,
    )
    return capacity._replace(bbo_rows=bbo_rows) if bbo_rows else capacity


def with_analytics(capacity: ShardCapacity, analytics: AnalyticsConfig) -> ShardCapacity:
    """The sizes, with the windows of the analytics and what is kept for those who ask."""
    return capacity._replace(
        analytics=FeatureSettings(
            realised_ns=analytics.realised_ms * _NS_PER_MS,
            half_life_ns=analytics.half_life_ms * _NS_PER_MS,
            sample_ns=analytics.sample_ms * _NS_PER_MS,
            memory_shift=analytics.memory_shift,
            mid_floor_e4=analytics.mid_floor_e4,
            spread_floor_e4=analytics.spread_floor_e4,
            rate_floor=analytics.rate_floor,
            depth_levels=analytics.depth_levels,
        ),
        summaries=SummarySettings(
            bar_ns=analytics.bar_ms * _NS_PER_MS,
            bar_shares=analytics.bar_shares,
            price_stats=analytics.price_stats,
        ),
    )


def sequencer_capacity(engine: EngineConfig) -> ShardCapacity:
    """Sizes of the engine before several shards: no books, no signals, and what it hands on."""
    return shard_capacity(engine)._replace(
        book=_NO_BOOKS,
        pool=1,
        signal_ring=1,
        broadcast_packets=engine.shard_ring,
        takers=engine.shards,
    )


def engine_count(engine: EngineConfig) -> int:
    """Engines of a server, each with counters of its own."""
    return 1 if engine.shards == 1 else 1 + engine.shards


class FeedPlace(NamedTuple):
    """Number of a feed, and whether there are others."""

    number: int = 0
    is_one_of_several: bool = False


def build_engines(
    config: ServerConfig,
    loaded: LoadedStages,
    tables: Sequence[Tables] | None = None,
    place: FeedPlace = FeedPlace(),  # noqa: B008 - it never changes
) -> list[Shard]:
    """The one shard, or the sequencer and the shards behind it, which share what it hands on."""
    engine = config.engine
    tables = tables or [scratch_tables() for _ in range(engine_count(engine))]
    analysed = with_analytics(shard_capacity(engine), config.analytics)
    whole = with_room(with_functions(analysed, loaded), engine)._replace(feed=place.number)
    if place.is_one_of_several:
        whole = whole._replace(away_room=whole.pattern_room.legs)
    if engine.shards == 1:
        shard = build_shard(config, *tables[0], whole)
        set_params(shard, loaded)
        return [shard]
    waiting = sequencer_capacity(engine)._replace(feed=place.number)
    sequencer = build_shard(config, *tables[0], waiting)
    engines = [sequencer]
    for number, (counts, histograms) in enumerate(tables[1:]):
        capacity = whole._replace(
            window_packets=1, snapshot_bytes=1, shard=number, shards=engine.shards
        )
        shard = build_shard(config, counts, histograms, capacity)
        set_params(shard, loaded)
        watch_legs(shard.split.roles, shard.breakers, shard.patterns)
        engines.append(shard._replace(broadcast=sequencer.broadcast, snapshot=sequencer.snapshot))
    return engines


def build_shard(
    config: ServerConfig,
    counts: NDArray[np.int64],
    histograms: NDArray[np.int64],
    capacity: ShardCapacity | None = None,
) -> Shard:
    """A shard with its settings; `counts` and `histograms` are those of the counter file."""
    try:
        shard = allocate_shard(capacity or shard_capacity(config.engine), counts, histograms)
    except (MemoryError, ValueError, OverflowError) as error:
        raise OsLimitError(f"engine: {error}; lower the sizes in [engine]") from None
    apply_settings(shard, config.engine, config.budgets)
    apply_priority(shard, config.priority, config.groups, is_live=True)
    apply_feed(shard, config.feed)
    return shard


def scratch_tables() -> Tables:
    """Counters and histograms of a shard that nobody watches: a replay, a check, a warm-up."""
    return zeros((COUNT_ROWS, VALUE_WORDS)), zeros((HISTOGRAM_ROWS, HISTOGRAM_WORDS))


def apply_settings(shard: Shard, engine: EngineConfig, budgets: BudgetConfig) -> None:
    """Idle strategy and budgets."""
    settings = shard.settings
    settings[Setting.TIMED] = 1
    idle = "REST" if engine.realtime_priority else engine.idle.upper()
    settings[Setting.IDLE] = Idle[idle]
    settings[Setting.BOOK_BUDGET_NS] = budgets.book_ns
    settings[Setting.BREAKER_BUDGET_NS] = budgets.breakers_ns
    settings[Setting.PATTERN_BUDGET_NS] = budgets.patterns_ns


def apply_feed(shard: Shard, feed: FeedConfig) -> None:
    """How gaps on the channel are treated."""
    channel = shard.channel[0]
    channel["next_seq"] = 1
    channel["highest_seq"] = 1
    channel["reorder_ns"] = feed.reorder_us * _NS_PER_US
    channel["request_timeout_ns"] = feed.request_timeout_ms * _NS_PER_MS
    channel["tries_max"] = feed.request_tries
    channel["request_chunk"] = feed.request_chunk
    channel["request_window"] = feed.request_window
    channel["snapshot_above"] = feed.snapshot_above
    channel["stale_after_ns"] = feed.stale_after_ms * _NS_PER_MS
    channel["can_request"] = feed.rerequest is not None
    channel["can_snapshot"] = feed.glimpse is not None
    channel["strict"] = 1
