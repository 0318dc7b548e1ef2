"""Every key of a server's configuration: its default, and how a wrong value is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedhandler.core.events import Kind
from feedhandler.server.config import (
    EngineConfig,
    GlimpseConfig,
    LineConfig,
    MetricsConfig,
    MoveStep,
    ServerConfig,
    StageConfig,
)
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, ExitCode
from oms_out.config import OmsConfig

LEAST = '[feed]\nline_a = { port = 1 }\n[oms]\nstore_dir = "s"\nallowed = ["OMS1"]\n'

DEFAULTS = {
    "feed.line_b": None,
    "feed.name": "itch",
    "feed.adapter": "nasdaq_itch",
    "feed.session": "",
    "feed.soup": None,
    "feed.fix": None,
    "feed.rerequest": None,
    "feed.glimpse": None,
    "feed.reorder_us": 1_000,
    "feed.request_timeout_ms": 50,
    "feed.request_tries": 5,
    "feed.request_chunk": 40,
    "feed.request_window": 2_000,
    "feed.snapshot_above": 50_000,
    "feed.stale_after_ms": 1_500,
    "feed.receive_buffer_bytes": 67_108_864,
    "engine.topology": "inline",
    "engine.shards": 1,
    "engine.idle": "backoff",
    "engine.instruments": 65_536,
    "engine.ticks": 131_072,
    "engine.orders": 16_777_216,
    "engine.overflow_orders": 1_048_576,
    "engine.level_blocks": 262_144,
    "engine.level_arena": 1_048_576,
    "engine.window_packets": 32_768,
    "engine.packet_bytes": 2_048,
    "engine.snapshot_bytes": 67_108_864,
    "engine.signal_ring": 65_536,
    "engine.shard_ring": 1_024,
    "engine.keep_market": "nowhere",
    "engine.reload_functions": 4,
    "engine.reload_bindings": 1_024,
    "engine.watchdog_ms": 2_000,
    "engine.receiver_cpu": -1,
    "engine.worker_cpu": -1,
    "engine.realtime_priority": 0,
    "engine.lock_memory": False,
    "budgets.book_ns": 10_000,
    "budgets.breakers_ns": 5_000,
    "budgets.patterns_ns": 5_000,
    "priority.from_score": (90, 60, 30),
    "priority.default_score": 30,
    "priority.deep_quote_score": -30,
    "priority.large_trade_qty": 10_000,
    "priority.large_trade_notional": 1_000_000,
    "priority.large_trade_score": 100,
    "priority.moves": (MoveStep(bps=100, score=100),),
    "priority.sizes": (),
    "priority.regimes": (),
    "priority.regime_stay_ms": 10_000,
    "priority.watch": {},
    "priority.phases": {},
    "priority.open_at": "09:30:00",
    "priority.close_at": "16:00:00",
    "priority.opening_minutes": 5,
    "priority.closing_minutes": 5,
    "priority.age_every": 64,
    "priority.policies": (),
    "priority.overload_ticks": 256,
    "groups": {},
    "sectors": {},
    "responses.normal": None,
    "responses.caution.params": {},
    "responses.caution.budget_ns": 5_000,
    "responses.restrict.params": {},
    "responses.restrict.budget_ns": 5_000,
    "responses.halt.params": {},
    "responses.halt.budget_ns": 5_000,
    "definitions": (),
    "correlations": (),
    "analytics.realised_ms": 60_000,
    "analytics.half_life_ms": 1_000,
    "analytics.sample_ms": 100,
    "analytics.memory_shift": 9,
    "analytics.mid_floor_e4": 50,
    "analytics.spread_floor_e4": 50,
    "analytics.rate_floor": 1,
    "analytics.depth_levels": 5,
    "analytics.bar_ms": 0,
    "analytics.bar_shares": 0,
    "analytics.price_stats": False,
    "metrics.port": 9_464,
    "metrics.address": "127.0.0.1",
    "hub.port": 0,
    "hub.address": "127.0.0.1",
    "hub.insecure_lan": False,
    "hub.read_only": False,
    "hub.clients": 64,
    "hub.subscriptions": 16,
    "hub.queue": 1_024,
    "hub.policy": "conflate",
    "hub.line_bytes": 16_384,
    "hub.line_s": 5,
    "hub.idle_s": 60,
    "hub.stall_s": 10,
    "hub.heartbeat_s": 10,
    "hub.quote_ms": 100,
    "hub.quote_symbols": 1_000,
    "hub.groups": {},
    "breakers": (),
    "feeds": (),
    "patterns": (),
    "breakers_file": "",
    "off_file": "",
    "counters_file": "",
    "watch_symbol": "",
    "report_file": "",
    "drain_s": 4,
}


def load(tmp_path: Path, text: str) -> ServerConfig:
    path = tmp_path / "server.toml"
    path.write_text(text)
    return load_config(path, ServerConfig)


def keys_of(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """Dotted names of the keys that a configuration may leave out."""
    for field in msgspec.structs.fields(kind):
        name = prefix + field.name
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            if field.type is not OmsConfig:
                yield from keys_of(field.type, f"{name}.")
        elif not field.required and name != "priority.kinds":
            yield name


def value_at(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def test_a_file_that_names_only_what_it_must_gets_these_defaults(tmp_path: Path):
    config = load(tmp_path, LEAST)
    assert {name: value_at(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.feed.line_a == LineConfig(port=1, address="127.0.0.1", interface="127.0.0.1")


def test_no_key_is_missing_from_the_table_of_defaults():
    expected = [name for name in keys_of(ServerConfig) if name != "feed.line_a"]
    assert sorted(expected) == sorted(DEFAULTS)


def test_parts_that_may_be_left_out_have_defaults_of_their_own():
    glimpse = GlimpseConfig(port=5)
    assert (glimpse.username, glimpse.password, glimpse.timeout_s) == ("", "", 10)
    assert StageConfig(name="a", function="m:f").params == {}
    assert MetricsConfig().address == "127.0.0.1"


def test_urgent_kinds_have_high_scores_by_default(tmp_path: Path):
    kinds = load(tmp_path, LEAST).priority.kinds
    known = {kind.name.lower() for kind in Kind}
    assert set(kinds) <= known
    assert kinds["system_event"] == kinds["trading_status"] == kinds["operational_halt"] == 100
    assert kinds["trade"] == kinds["execute"] == 60


def test_kinds_of_the_file_replace_those_of_the_default(tmp_path: Path):
    config = load(tmp_path, LEAST + "[priority.kinds]\nadd = 3\n")
    assert config.priority.kinds == {"add": 3}


def test_a_line_may_be_a_multicast_group(tmp_path: Path):
    line = '{ port = 1, address = "239.1.2.3", interface = "10.0.0.1" }'
    config = load(tmp_path, LEAST.replace("{ port = 1 }", line))
    assert config.feed.line_a.address == "239.1.2.3"


FEED = "[feed]\nline_a = { port = 1 }\n"
FIX = "fix = { port = 2, sender_comp_id = 'M', target_comp_id = 'X', symbols = ['A'] }\n"
STAGE = '[[%s]]\nname = "%s"\nfunction = "m:f"\n'

REFUSED = [
    ("[feed]\nline_a = { port = 65536 }\n", ":2: [feed.line_a] port: "),
    ("[feed]\nline_a = { port = -1 }\n", ":2: [feed.line_a] port: "),
    (
        '[feed]\nline_a = { port = 1, address = "localhost" }\n',
        "[feed] line_a: address: 'localhost' is no IPv4 address",
    ),
    (
        '[feed]\nline_a = { port = 1, interface = "eth0" }\n',
        "[feed] line_a: interface: 'eth0' is no IPv4 address",
    ),
    (FEED + "adapter = 7\n", ":3: [feed] adapter: expected text"),
    (FEED + 'session = "ELEVENCHARS"\n', ":3: [feed] session: "),
    (FEED + 'session = "Ö"\n', ":3: [feed] session: "),
    (FEED + "rerequest = { port = 70000 }\n", ":3: [feed.rerequest] port: "),
    (FEED + 'glimpse = { port = 1, username = "SEVENCH" }\n', ":3: [feed.glimpse] username: "),
    (FEED + 'glimpse = { port = 1, password = "P W" }\n', ":3: [feed.glimpse] password: "),
    (FEED + "glimpse = { port = 1, timeout_s = 0 }\n", ":3: [feed.glimpse] timeout_s: "),
    *(
        (FEED + f"{key} = {value}\n", f":3: [feed] {key}: ")
        for key, value in (
            ("reorder_us", -1),
            ("request_timeout_ms", 0),
            ("request_tries", 0),
            ("request_chunk", 0),
            ("request_window", 0),
            ("snapshot_above", 0),
            ("stale_after_ms", 0),
            ("stale_after_ms", 10**13),
            ("receive_buffer_bytes", 0),
            ("receive_buffer_bytes", 2**30),
        )
    ),
    *(
        (FEED + f"[engine]\n{key} = {value}\n", f":4: [engine] {key}: ")
        for key, value in (
            ("topology", '"outline"'),
            ("idle", '"sleep"'),
            ("instruments", 0),
            ("instruments", 65_537),
            ("shards", 0),
            ("shards", 65),
            ("shard_ring", 0),
            ("orders", 0),
            ("level_blocks", 0),
            ("level_arena", 0),
            ("packet_bytes", 63),
            ("packet_bytes", 65_537),
            ("snapshot_bytes", 0),
            ("receiver_cpu", -2),
            ("worker_cpu", 4_096),
            ("realtime_priority", 99),
        )
    ),
    *(
        (FEED + f"[engine]\n{key} = 200000\n", f":3: engine: {key}: 200000 is not a power of two")
        for key in (
            "ticks",
            "orders",
            "overflow_orders",
            "window_packets",
            "signal_ring",
            "shard_ring",
        )
    ),
    (
        FEED + "[engine]\nticks = 65536\n",
        "ticks: expected an integer >= 131072, not 65536",
    ),
    *(
        (text % address, f"{where}address: {address!r} is no IPv4 address")
        for address in ("a..b", "", "localhost", "::1", "10.0.0.256", "x" * 70)
        for text, where in (
            (FEED + '[feed.glimpse]\nport = 1\naddress = "%s"\n', "[feed] glimpse: "),
            (FEED + '[feed.rerequest]\nport = 1\naddress = "%s"\n', "[feed] rerequest: "),
            (FEED + '[metrics]\naddress = "%s"\n', "metrics: "),
        )
    ),
    *(
        (FEED + f"[budgets]\n{key} = 0\n", f":4: [budgets] {key}: ")
        for key in ("book_ns", "breakers_ns", "patterns_ns")
    ),
    *(
        (FEED + f"[priority]\n{key} = {value}\n", f":4: [priority{at}] {name}: ")
        for key, value, at, name in (
            ("from_score", "[]", "", "from_score"),
            ("from_score", list(range(16, 0, -1)), "", "from_score"),
            ("from_score", "[256]", "", "from_score[0]"),
            ("from_score", "[0]", "", "from_score[0]"),
            ("large_trade_qty", 0, "", "large_trade_qty"),
            ("large_trade_notional", 0, "", "large_trade_notional"),
            ("default_score", 256, "", "default_score"),
            ("deep_quote_score", -256, "", "deep_quote_score"),
            ("moves", "[{ bps = 0, score = 1 }]", ".moves[0]", "bps"),
            ("moves", "[{ bps = 1024, score = 1 }]", ".moves[0]", "bps"),
            ("sizes", "[{ times = 65536, score = 1 }]", ".sizes[0]", "times"),
            ("regimes", "[{ up_e9 = 1000000001, down_e9 = 1, score = 1 }]", ".regimes[0]", "up_e9"),
            ("policies", '["conflat"]', "", "policies[0]"),
            ("open_at", '"9:30"', "", "open_at"),
            ("close_at", '"24:00:00"', "", "close_at"),
            ("opening_minutes", 1_441, "", "opening_minutes"),
        )
    ),
    *(
        (FEED + f"[priority]\n{key} = {value}\n", text)
        for key, value, text in (
            ("from_score", "[60, 60]", "from_score: [60, 60] does not go down from lane to lane"),
            ("kinds", "{ trad = 1 }", "kinds: no kind of message is named 'trad'; there is add, "),
            ("phases", "{ noon = 1 }", "phases: no phase is named 'noon'; there is pre_open, "),
            ("sizes", "[{ times = 3, score = 1 }]", "times: 3 is not a power of two"),
            (
                "moves",
                "[{ bps = 9, score = 1 }, { bps = 9, score = 2 }]",
                "moves: [9, 9] does not rise from step to step",
            ),
            (
                "regimes",
                "[{ up_e9 = 9, down_e9 = 9, score = 1 }]",
                "regimes: down_e9 = 9 is not below up_e9 = 9",
            ),
            ("open_at", '"16:00:00"', "open_at: 16:00:00 is not before close_at = 16:00:00"),
            ("policies", '["drop"]', "policies: 'drop' is for watchers"),
            (
                "policies",
                '["conflate", "conflate", "conflate", "conflate", "conflate"]',
                "policies: 5 of them, but from_score makes 4 lanes",
            ),
        )
    ),
    (FEED + "[metrics]\nport = 65536\n", ":4: [metrics] port: "),
    *(
        (FEED + f"[hub]\n{key} = {value}\n", f":4: [hub] {key}: ")
        for key, value in (
            ("port", 65_536),
            ("clients", 0),
            ("clients", 1_025),
            ("subscriptions", 0),
            ("subscriptions", 257),
            ("queue", 0),
            ("queue", 65_537),
            ("policy", '"block"'),
            ("line_bytes", 255),
            ("line_bytes", 1_048_577),
            ("line_s", 0),
            ("idle_s", 3_601),
            ("stall_s", 0),
            ("heartbeat_s", 0),
            ("quote_ms", 9),
            ("quote_ms", 60_001),
            ("quote_symbols", 10_001),
        )
    ),
    (FEED + '[hub]\naddress = "0.0.0.0"\n', "hub: address: 0.0.0.0 is not of this machine alone"),
    (FEED + '[hub]\naddress = "10.1.2.3"\n', "or say insecure_lan = true"),
    (FEED + "[hub.groups]\ntech = []\n", ":4: [hub.groups] tech: "),
    (FEED + '[hub.groups]\ntech = ["A B"]\n', "tech"),
    ("drain_s = 0\n" + FEED, ":1: drain_s: "),
    ('watch_symbol = "NINECHARS"\n' + FEED, ":1: watch_symbol: "),
    (FEED + STAGE % ("patterns", ""), ":4: [patterns[0]] name: "),
    (FEED + STAGE % ("patterns", "two words"), ":4: [patterns[0]] name: "),
    (FEED + STAGE % ("breakers", "n" * 65), ":4: [breakers[0]] name: "),
    (FEED + STAGE % ("patterns", "a") * 2, "patterns: 2 of them are named 'a'; rename one"),
    (FEED + STAGE % ("breakers", "a") * 2, "breakers: 2 of them are named 'a'; rename one"),
    (
        FEED + "".join(STAGE % ("patterns", f"p{i}") for i in range(65)),
        "patterns: expected a list of length <= 64",
    ),
    (
        FEED + STAGE % ("patterns", "a") + "params = { x = 9223372036854775808 }\n",
        ":6: [patterns[0].params] x: ",
    ),
    (FEED + STAGE % ("patterns", "a") + "params = { x = 1.5 }\n", ":6: [patterns[0].params] x: "),
    (FEED + "[fed]\n", "unknown key 'fed', did you mean 'feed'?"),
    (FEED + "[engine]\ntopolgy = 1\n", ":4: [engine] unknown key 'topolgy', did you mean"),
    ("[feed]\n", ":1: feed: no source; add [feed.line_a], [feed.soup] or [feed.fix]"),
    (
        FEED + "soup = { port = 2 }\n",
        ":1: feed: [feed.line_a] and [feed.soup]: a feed comes from one of them; remove the other",
    ),
    (
        "[feed]\nsoup = { port = 2 }\nglimpse = { port = 3 }\n",
        ":1: feed: glimpse: only a feed with [feed.line_a] has one; remove [feed.glimpse]",
    ),
    ("[feed]\nsoup = { port = 2, username = 'too long' }\n", ":2: [feed.soup] username: "),
    ("[feed]\nfix = { port = 2 }\n", ":2: [feed.fix] missing key 'sender_comp_id'; add it"),
    (
        "[feed]\n" + FIX.replace("]", ", 'A']"),
        "[feed] fix: symbols: 'A' is named 2 times; name it once",
    ),
    (
        "[feed]\n" + FIX.replace("]", ", '*']"),
        "[feed] fix: symbols: '*' means all of them; name nothing besides",
    ),
    ("[feed]\n" + FIX.replace("'A'", ""), "[feed.fix] symbols: "),
]


@pytest.mark.parametrize(("text", "named"), REFUSED)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(tmp_path: Path, text: str, named: str):
    oms = '[oms]\nstore_dir = "s"\nallowed = ["OMS1"]\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text + oms)
    message = str(caught.value)
    assert named in message
    assert message.startswith(str(tmp_path / "server.toml"))
    assert "\n" not in message
    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_file_without_an_oms_section_is_told_so(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"missing section \[oms\]; add it"):
        load(tmp_path, FEED)


def test_hub_may_be_reached_by_others_where_that_is_said(tmp_path: Path):
    text = LEAST + '[hub]\nport = 9\naddress = "0.0.0.0"\ninsecure_lan = true\n'
    text += '[hub.groups]\ntech = ["AAPL", "MS*"]\n'
    hub = load(tmp_path, text).hub
    assert (hub.address, hub.groups) == ("0.0.0.0", {"tech": ("AAPL", "MS*")})


def test_smallest_and_largest_values_are_taken():
    smallest = EngineConfig(instruments=1, packet_bytes=64, ticks=131_072, signal_ring=1)
    largest = EngineConfig(instruments=65_536, packet_bytes=65_536, ticks=1 << 30)
    assert (smallest.instruments, largest.ticks) == (1, 1 << 30)
