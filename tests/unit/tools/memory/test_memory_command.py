"""`feedhandler memory`: every block once, with its reason; sums are those of the server."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from feedhandler.core.receiver import allocate_receiver
from feedhandler.core.shard import Shard
from feedhandler.server.assemble import build_feeds
from feedhandler.server.config import (
    AnalyticsConfig,
    FeedConfig,
    FixConfig,
    PatternConfig,
    ServerConfig,
)
from feedhandler.server.configfile import load_config
from feedhandler.server.functions import load_stages
from feedhandler.server.memory import blocks, reserve_memory
from tools.memory.command import memory, rows_of, totals
from tools.memory.words import ENGINE, FIX_FEED, RECEIVER

LOOKS = """\
from feedhandler.core.api import pattern


@pattern()
def look(ticks, slot, market, legs, params, state, out):
    return 0 if market[legs[0]]["spread_z_e3"] else 0
"""
EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "server.toml"


@dataclass
class Made:
    config: ServerConfig
    shard_sizes: dict[str, int]
    receiver_sizes: dict[str, int]


def engine_of(config: ServerConfig) -> Shard:
    return build_feeds(config, load_stages(config))[0][0]


@pytest.fixture(scope="module")
def made() -> Made:
    config = load_config(EXAMPLE, ServerConfig)
    receiver = allocate_receiver((-1, -1, -1), bytes(10), config.engine.packet_bytes)
    return Made(
        config,
        {name: array.nbytes for name, array in blocks(engine_of(config))},
        {name: array.nbytes for name, array in blocks(receiver)},
    )


def test_every_block_has_a_reason_and_every_reason_a_block(made: Made):
    assert made.shard_sizes.keys() == ENGINE.keys()
    assert made.receiver_sizes.keys() == RECEIVER.keys()
    for why in (*ENGINE.values(), *RECEIVER.values()):
        assert why.words


def test_every_key_is_one_of_the_configuration(made: Made):
    for row in rows_of(made.config):
        for key in filter(None, row.key.split(", ")):
            table, name = key.split(".")
            assert name in getattr(made.config, table).__struct_fields__, key


@pytest.mark.parametrize("name", sorted({why.key for why in ENGINE.values() if why.key}))
def test_a_key_sizes_just_the_blocks_that_name_it(made: Made, tmp_path: Path, name: str):
    key = name.split(", ", maxsplit=1)[0].removeprefix("engine.")
    value = getattr(made.config.engine, key)
    engine = msgspec.structs.replace(made.config.engine, **{key: max(value // 2, 1)})
    if key == "ticks":
        engine = msgspec.structs.replace(made.config.engine, ticks=2 * value)
    # A function that looks at the market, so that a server keeps it, and bars that are kept.
    own = tmp_path / "own.py"
    own.write_text(LOOKS)
    config = msgspec.structs.replace(
        made.config,
        patterns=(PatternConfig("own", f"{own}:look"),),
        analytics=AnalyticsConfig(bar_ms=1, bar_shares=1, price_stats=True),
    )
    before = {name: array.nbytes for name, array in blocks(engine_of(config))}
    changed = msgspec.structs.replace(config, engine=engine)
    sizes = {name: array.nbytes for name, array in blocks(engine_of(changed))}
    moved = {block for block, size in sizes.items() if size != before[block]}
    assert moved == {block for block, why in ENGINE.items() if f"engine.{key}" in why.key}


def test_the_sums_are_what_the_server_takes(made: Made, capsys: pytest.CaptureFixture[str]):
    assert memory(config=EXAMPLE, as_json=True) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    taken = sum(made.shard_sizes.values()) + sum(made.receiver_sizes.values())
    assert found["taken_at_start_bytes"] == taken
    assert found["available_bytes"] > 0
    parts = {row["part"] for row in found["blocks"]}
    assert parts == {"engine", "receiver", "sockets", "sessions"}
    assert sum(row["size_bytes"] for row in found["blocks"]) == sum(
        totals(list(rows_of(made.config))).values()
    )


def test_it_is_what_is_reserved(made: Made):
    small = {"orders": 64, "level_blocks": 64, "level_arena": 1_024, "window_packets": 64}
    engine = msgspec.structs.replace(made.config.engine, **small, snapshot_bytes=64)
    config = msgspec.structs.replace(made.config, engine=engine)
    engine_bytes = sum(row.size_bytes for row in rows_of(config) if row.part == "engine")
    assert reserve_memory([engine_of(config)]) == engine_bytes


def test_a_server_of_several_shards_shows_each_with_what_is_its_own(made: Made):
    small = {"orders": 64, "level_blocks": 64, "level_arena": 1_024, "window_packets": 64}
    engine = msgspec.structs.replace(made.config.engine, **small, shards=2, shard_ring=16)
    config = msgspec.structs.replace(made.config, engine=engine)
    rows = list(rows_of(config))
    parts = dict.fromkeys(row.part for row in rows)
    assert list(parts) == ["sequencer", "shard 0", "shard 1", "receiver", "sockets", "sessions"]
    names = {part: {row.name for row in rows if row.part == part} for part in parts}
    shared = {name for name in ENGINE if name.startswith(("broadcast.", "quotes."))} | {"snapshot"}
    assert names["sequencer"] == ENGINE.keys()
    assert names["shard 0"] == names["shard 1"] == ENGINE.keys() - shared
    sizes = {row.name: row for row in rows if row.part == "sequencer"}
    assert sizes["broadcast.payload"].size_bytes == 16 * engine.packet_bytes
    assert sizes["broadcast.payload"].key == "engine.shard_ring, engine.packet_bytes"
    taken = sum(row.size_bytes for row in rows if row.part in list(parts)[:3])
    assert reserve_memory(build_feeds(config, load_stages(config))[0]) == taken
    receiver = sum(made.receiver_sizes.values())
    assert totals(rows)["taken_at_start_bytes"] == taken + receiver


def test_several_feeds_are_shown_with_their_names_and_one_table_of_best_prices(made: Made):
    small = {"orders": 64, "level_blocks": 64, "level_arena": 1_024, "window_packets": 64}
    engine = msgspec.structs.replace(made.config.engine, **small, snapshot_bytes=64)
    other = msgspec.structs.replace(made.config.feed, name="other")
    config = msgspec.structs.replace(made.config, engine=engine, feeds=(other,))
    rows = list(rows_of(config))
    first = made.config.feed.name
    parts = [f"{name} {part}" for name in (first, "other") for part in ("engine", "receiver")]
    assert list(dict.fromkeys(row.part for row in rows)) == [*parts, "sockets", "sessions"]
    cells = [row for row in rows if row.name == "quotes.cells"]
    assert [row.part for row in cells] == [f"{first} engine"]
    # Twice as many places as instruments, a cache line for each feed.
    assert cells[0].size_bytes == 2 * engine.instruments * 2 * 64
    assert len([row for row in rows if row.part == "sockets"]) == 2


def test_a_feed_of_fix_shows_what_it_takes_besides(made: Made):
    fix = FixConfig(port=1, sender_comp_id="ME", target_comp_id="EXCH")
    config = msgspec.structs.replace(made.config, feed=FeedConfig(fix=fix, adapter="fix_md"))
    rows = list(rows_of(config))
    assert {row.name for row in rows if row.part == "feed"} == FIX_FEED.keys()
    (buffer,) = [row for row in rows if row.name == "stream.buf"]
    assert buffer.size_bytes > 1 << 20


def test_people_get_a_table_with_the_largest_first(capsys: pytest.CaptureFixture[str]):
    assert memory(config=EXAMPLE) == 0
    shown = capsys.readouterr().out
    assert shown.index("book.orders") < shown.index("book.meta")
    assert re.search(r"taken at start: [\d,]+ KiB", shown)
