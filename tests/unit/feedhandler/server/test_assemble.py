"""From configuration to a shard: where each value goes, and what a wrong function is told."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from adapters.nasdaq_itch.adapter import ADAPTER
from feedhandler.core.api import Venue
from feedhandler.core.functions import Meta
from feedhandler.core.market import LIMITS, Look, Span
from feedhandler.core.quotes import Quotes
from feedhandler.core.receive import Idle
from feedhandler.core.shard import Setting, Shard, allocate_shard
from feedhandler.server.assemble import (
    apply_feed,
    apply_settings,
    build_engines,
    build_feeds,
    build_shard,
    check_pool,
    check_source,
    engine_count,
    find_adapter,
    prepare,
    scratch_tables,
    shard_capacity,
    with_analytics,
)
from feedhandler.server.config import (
    AnalyticsConfig,
    BudgetConfig,
    Endpoint,
    EngineConfig,
    FeedConfig,
    FixConfig,
    GlimpseConfig,
    HubConfig,
    LineConfig,
    PatternConfig,
    ServerConfig,
    SoupConfig,
)
from feedhandler.server.errors import ConfigError, ExitCode, OsLimitError, UserError
from feedhandler.server.functions import LoadedStages
from feedhandler.server.memory import blocks
from oms_out.config import OmsConfig
from tests.unit.feedhandler.core.support import make_shard

SMALL = EngineConfig(
    instruments=4,
    orders=512,
    overflow_orders=8,
    level_blocks=16,
    level_arena=256,
    window_packets=4,
    packet_bytes=64,
    snapshot_bytes=128,
    signal_ring=2,
)
LINE = LineConfig(port=0)
FIX = FixConfig(port=0, sender_comp_id="ME", target_comp_id="EXCH")
IMBALANCE = {
    "imbalance_bps": 7,
    "window_ns": 8,
    "cooldown_ns": 9,
    "order_qty": 10,
    "trade_qty_min": 11,
}
PATTERN = "feedhandler.core.patterns:imbalance_with_trade"


def server_config(engine: EngineConfig = SMALL, **feed: object) -> ServerConfig:
    return ServerConfig(
        feed=FeedConfig(line_a=LINE, **feed),  # type: ignore[arg-type]
        oms=OmsConfig(store_dir="unused", allowed=("OMS1",)),
        engine=engine,
    )


@pytest.fixture
def shard() -> Shard:
    return make_shard()


def test_the_adapter_is_found_by_its_entry_point():
    assert find_adapter("nasdaq_itch") is ADAPTER


def test_an_adapter_that_nobody_installed_is_refused_with_those_there_are():
    with pytest.raises(
        ConfigError, match=r"no adapter 'cboe' is installed; there is .*nasdaq_itch"
    ):
        find_adapter("cboe")


def test_each_size_goes_where_it_belongs():
    capacity = shard_capacity(SMALL)
    assert capacity.book.instruments == 4
    assert capacity.book.orders == 512
    assert capacity.book.overflow_orders == 8
    assert capacity.book.level_blocks == 16
    assert capacity.book.arena == 256
    assert capacity.pool == 131_072
    assert capacity.window_packets == 4
    assert capacity.packet_bytes == 64
    assert capacity.snapshot_bytes == 128
    assert capacity.signal_ring == 2
    assert shard_capacity(SMALL, bbo_rows=77).bbo_rows == 77


def test_ticks_of_the_inline_topology_are_enough_for_any_round():
    # A round brings 48 datagrams and 16 kept packets, full of the shortest message: 2 + 12 bytes.
    fits = EngineConfig(packet_bytes=28_671)
    check_pool(fits, ADAPTER.block_bytes_min)
    assert ADAPTER.block_bytes_min == 14
    for packet_bytes, enough in ((28_672, 262_144), (65_536, 524_288)):
        with pytest.raises(ConfigError) as caught:
            check_pool(EngineConfig(packet_bytes=packet_bytes), ADAPTER.block_bytes_min)
        assert f"packet_bytes = {packet_bytes} may bring" in str(caught.value)
        assert f"set ticks = {enough}," in str(caught.value)
        check_pool(EngineConfig(packet_bytes=packet_bytes, ticks=enough), 14)
        check_pool(EngineConfig(packet_bytes=packet_bytes, topology="pipelined"), 14)


@pytest.mark.parametrize(
    ("feed", "packet_bytes", "reason"),
    [
        (FeedConfig(fix=FIX), 2_048, "feed.fix: the adapter 'nasdaq_itch' does not read such"),
        (FeedConfig(soup=SoupConfig(port=0), adapter="fix_md"), 2_048, "adapter = 'nasdaq_itch'"),
        (FeedConfig(fix=FIX, adapter="fix_md"), 70, "packet_bytes = 70 holds no message; set 71"),
    ],
)
def test_a_connection_that_the_adapter_does_not_read_is_refused(
    feed: FeedConfig, packet_bytes: int, reason: str
):
    config = structs.replace(
        server_config(), feed=feed, engine=EngineConfig(packet_bytes=packet_bytes)
    )
    with pytest.raises(ConfigError, match=reason):
        check_source(config, find_adapter(feed.adapter))


def test_everything_is_prepared_or_refused_in_the_same_words(tmp_path: Path):
    config = server_config()
    (prepared,) = prepare(config)
    assert prepared.adapter is ADAPTER
    assert isinstance(prepared.venue, Venue)
    faults = (
        (structs.replace(config, report_file=str(tmp_path / "no" / "r")), UserError, "report_file"),
        (server_config(adapter="cboe"), ConfigError, "no adapter 'cboe'"),
        (
            structs.replace(config, engine=EngineConfig(packet_bytes=65_536)),
            ConfigError,
            "ticks = 131072 are too few",
        ),
        (
            structs.replace(config, patterns=(PatternConfig("mine", "nowhere:f"),)),
            ConfigError,
            "cannot load",
        ),
    )
    for wrong, kind, named in faults:
        with pytest.raises(kind, match=named):
            prepare(wrong)


def test_more_memory_than_there_is_is_refused_before_anything_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("feedhandler.server.memory.available_bytes_now", lambda: 1)
    with pytest.raises(OsLimitError, match=r"^engine: .*the largest blocks are"):
        prepare(server_config())


def test_a_shard_is_built_with_all_its_settings():
    config = server_config(rerequest=Endpoint(port=1), stale_after_ms=7)
    shard = build_shard(config, *scratch_tables())
    assert shard.channel[0]["strict"] == 1
    assert shard.ticks.shape == (131_072 + 1,)
    assert shard.instruments.shape == (4,)
    assert shard.settings[Setting.LANES] == 4
    assert shard.settings[Setting.BOOK_BUDGET_NS] == 10_000
    assert shard.channel[0]["stale_after_ns"] == 7_000_000
    assert (shard.channel[0]["can_request"], shard.channel[0]["can_snapshot"]) == (1, 0)


def test_one_shard_is_an_engine_of_its_own():
    (shard,) = build_engines(server_config(), LoadedStages())
    assert engine_count(SMALL) == 1
    assert shard.settings[Setting.FEEDS] == 0
    assert shard.settings[Setting.SHARDS] == 1
    (prepared,) = prepare(server_config())
    assert len(prepared.shards) == 1
    assert prepared.shards[0] is prepared.sequencer


def test_several_shards_share_what_a_sequencer_hands_on_and_nothing_else():
    engine = structs.replace(SMALL, shards=3, shard_ring=8)
    pattern = PatternConfig("mine", PATTERN, IMBALANCE)
    config = structs.replace(server_config(engine), patterns=(pattern,))
    (prepared,) = prepare(config)
    sequencer, shards = prepared.sequencer, prepared.shards
    assert engine_count(engine) == 1 + len(shards) == 4
    assert sequencer.settings[Setting.FEEDS] == 1
    assert sequencer.broadcast.kinds.shape == (8,)
    assert sequencer.broadcast.payload.shape == (8 * engine.packet_bytes,)
    assert sequencer.broadcast.fds.shape == (3,)
    assert sequencer.window.entries.shape == (4,)
    assert sequencer.snapshot.shape == (128,)
    shared = {"broadcast." + name for name in ("cursors", "entries", "kinds", "nexts", "fds")}
    shared |= {"broadcast.payload", "snapshot"}
    shared |= {f"quotes.{name}" for name in Quotes._fields}
    own: set[int] = set()
    for number, shard in enumerate(shards):
        assert shard.settings[Setting.FEEDS] == 0
        assert shard.settings[Setting.TAKER] == number
        assert shard.settings[Setting.SHARDS] == 3
        assert shard.patterns.meta[Meta.FUNCTIONS] == 1
        assert shard.patterns.params[0, :5].tolist() == list(IMBALANCE.values())
        assert shard.instruments.shape == (4,)
        assert shard.channel[0]["strict"] == 1
        assert shard.split.owned[:6].tolist() == [i % 3 == number for i in range(6)]
        for name, array in blocks(shard):
            if name in shared:
                assert array is dict(blocks(sequencer))[name]
            else:
                assert array.ctypes.data not in own
                own.add(array.ctypes.data)


def test_sizes_that_the_machine_cannot_give_are_refused_by_section():
    huge = EngineConfig(orders=2**40)
    with pytest.raises(
        OsLimitError, match=r"^engine: .*; lower the sizes in \[engine\]$"
    ) as caught:
        build_shard(server_config(huge), *scratch_tables())
    assert caught.value.exit_code == ExitCode.OS_LIMIT


def test_realtime_threads_rest_earlier(shard: Shard):
    apply_settings(shard, EngineConfig(idle="backoff", realtime_priority=5), BudgetConfig())
    assert shard.settings[Setting.IDLE] == Idle.REST


@pytest.mark.parametrize("idle", ["spin", "yield", "backoff"])
def test_idle_strategy_and_budgets_become_settings(shard: Shard, idle: str):
    engine = EngineConfig(idle=idle)  # type: ignore[arg-type]
    apply_settings(shard, engine, BudgetConfig(book_ns=1, breakers_ns=2, patterns_ns=3))
    settings = shard.settings
    assert settings[Setting.TIMED] == 1
    assert settings[Setting.IDLE] == Idle[idle.upper()]
    assert settings[Setting.BOOK_BUDGET_NS] == 1
    assert settings[Setting.BREAKER_BUDGET_NS] == 2
    assert settings[Setting.PATTERN_BUDGET_NS] == 3
    assert settings[Setting.SIGNAL_FD] == settings[Setting.CONTROL_FD] == -1


def test_the_feed_s_times_become_nanoseconds(shard: Shard):
    feed = FeedConfig(
        line_a=LINE,
        reorder_us=3,
        request_timeout_ms=4,
        request_tries=5,
        request_chunk=6,
        request_window=7,
        snapshot_above=8,
        stale_after_ms=9,
        glimpse=GlimpseConfig(port=1),
    )
    apply_feed(shard, feed)
    channel = shard.channel[0]
    assert (channel["next_seq"], channel["highest_seq"]) == (1, 1)
    assert channel["reorder_ns"] == 3_000
    assert channel["request_timeout_ns"] == 4_000_000
    assert channel["tries_max"] == 5
    assert channel["request_chunk"] == 6
    assert channel["request_window"] == 7
    assert channel["snapshot_above"] == 8
    assert channel["stale_after_ns"] == 9_000_000
    assert (channel["can_request"], channel["can_snapshot"]) == (0, 1)


def test_analytics_of_the_configuration_reach_the_shard_and_their_defaults_are_the_engines():
    assert with_analytics(shard_capacity(SMALL), AnalyticsConfig()) == shard_capacity(SMALL)
    given = AnalyticsConfig(
        realised_ms=8, half_life_ms=64, sample_ms=3, memory_shift=4, mid_floor_e4=5,
        spread_floor_e4=6, rate_floor=7, depth_levels=9, bar_ms=10, bar_shares=11,
        price_stats=True,
    )  # fmt: skip
    capacity = with_analytics(shard_capacity(SMALL), given)._replace(look=Look.ANALYTICS)
    shard = allocate_shard(capacity, *scratch_tables())
    spans = shard.features.spans
    assert spans[: Span.RATE_FACTOR].tolist() == [
        1_000_000, 1_000_000, 3_000_000, 4, 2 * 5 << 4, 6 << 4, 7 << 8, 9
    ]  # fmt: skip
    assert shard.summaries.lengths[:3].tolist() == [10_000_000, 11, 1]


@pytest.mark.parametrize("end", [0, 1])
def test_every_analytics_key_stays_within_what_the_kernels_hold(end: int):
    scale = {"realised_ms": 10**6, "half_life_ms": 10**6, "sample_ms": 10**6}
    for field in msgspec.inspect.type_info(AnalyticsConfig).fields:
        name = field.encode_name.replace("_ms", "_ns")
        if name in LIMITS:
            bound = (field.type.ge, field.type.le)[end] * scale.get(field.encode_name, 1)
            assert LIMITS[name][0] <= bound <= LIMITS[name][1], name


@pytest.mark.parametrize(("port", "places"), [(0, 1), (1, 8)])
def test_best_prices_of_one_feed_are_kept_where_a_hub_listens(port: int, places: int):
    config = ServerConfig(
        feed=FeedConfig(line_a=LINE),
        oms=OmsConfig(store_dir="s", allowed=("OMS1",)),
        engine=SMALL,
        hub=HubConfig(port=port),
    )
    ((shard,),) = build_feeds(config, LoadedStages())
    assert (len(shard.quotes.keys), shard.quotes.meta[0]) == (places, port)


def test_scratch_tables_fit_a_shard():
    counts, histograms = scratch_tables()
    assert allocate_shard(shard_capacity(SMALL), counts, histograms).counts is counts
