"""Users' functions: found, given their parameters and instruments, and refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.functions import Bound, Fn, Meta
from feedhandler.core.market import Look
from feedhandler.core.patterns import BUILT_IN, DEFAULTS
from feedhandler.server.assemble import build_engines
from feedhandler.server.config import (
    BreakerConfig,
    CorrelationConfig,
    DefinedConfig,
    EngineConfig,
    FeedConfig,
    LineConfig,
    PatternConfig,
    ServerConfig,
)
from feedhandler.server.errors import ConfigError
from feedhandler.server.functions import LoadedStages, build_stages, load_stages, look_of
from oms_out.config import OmsConfig

SMALL = EngineConfig(
    instruments=4, orders=512, overflow_orders=8, level_blocks=16, level_arena=256,
    window_packets=4, packet_bytes=64, snapshot_bytes=128, signal_ring=2,
)  # fmt: skip
IMBALANCE = {
    "imbalance_bps": 7,
    "window_ns": 8,
    "cooldown_ns": 9,
    "order_qty": 10,
    "trade_qty_min": 11,
}
PATTERN = "feedhandler.core.patterns:imbalance_with_trade"
HEAD = "from feedhandler.core.api import breaker, pattern\n\n\n"
ARGUMENTS = "(ticks, slot, market, legs, params, state, out)"
PAIR = f"""{HEAD}@pattern(legs=2, state_words=40)
def pair{ARGUMENTS}:
    return market[legs[1]]["bid_qty"]


@pattern(legs=0)
def any_number{ARGUMENTS}:
    return len(legs)


@pattern()
def alone{ARGUMENTS}:
    return 0
"""


def config_of(
    breakers: tuple[BreakerConfig, ...] = (), patterns: tuple[PatternConfig, ...] = (), **rest: Any
) -> ServerConfig:
    engine = structs.replace(SMALL, **rest.pop("engine", {}))
    return ServerConfig(
        feed=FeedConfig(line_a=LineConfig(port=0)),
        oms=OmsConfig(store_dir="unused", allowed=("OMS1",)),
        engine=engine,
        breakers=breakers,
        patterns=patterns,
        **rest,
    )


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.py"
    path.write_text(PAIR)
    return str(path)


def word(symbol: str) -> int:
    return int.from_bytes(symbol.encode().ljust(8), "little")


def test_parameters_come_in_the_order_of_the_function_whatever_that_of_the_file():
    config = config_of(
        patterns=(PatternConfig("mine", PATTERN, dict(reversed(IMBALANCE.items()))),)
    )
    loaded = load_stages(config)
    (shard,) = build_engines(config, loaded)
    assert shard.patterns.params[0, :6].tolist() == [7, 8, 9, 10, 11, 0]
    counts = (shard.breakers.meta[Meta.FUNCTIONS], shard.patterns.meta[Meta.FUNCTIONS])
    assert counts == (0, 1)
    stages = build_stages(loaded)
    assert len(stages.breakers) == len(stages.patterns) == FUNCTIONS_MAX


def test_a_function_may_come_from_a_file(tmp_path: Path):
    path = tmp_path / "own.py"
    path.write_text(f"{HEAD}@breaker('limit')\ndef quiet{ARGUMENTS}:\n    return 0\n")
    config = config_of((BreakerConfig("mine", f"{path}:quiet", {"limit": -5}),))
    (shard,) = build_engines(config, load_stages(config))
    assert shard.breakers.params[0, 0] == -5
    assert shard.breakers.rows[0, Fn.BUDGET_NS] == 5_000


BODIES = {
    "raises": "1 / 0\n",
    "syntax": "def f(:\n",
    "unmarked": f"def f{ARGUMENTS}:\n    return 0\n",
    "text": f"{HEAD}@pattern()\ndef f{ARGUMENTS}:\n    return 'buy'\n",
    "many": f"{HEAD}@pattern(*(f'p{{i}}' for i in range(33)))\ndef f{ARGUMENTS}:\n    return 0\n",
    "state": f"{HEAD}@pattern(state_words=0)\ndef f{ARGUMENTS}:\n    return 0\n",
}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("raises", "cannot load '.*': .*own.py:1: ZeroDivisionError: division by zero"),
        ("syntax", "cannot load '.*': .*own.py:1: SyntaxError: "),
        ("unmarked", r"mark the function with @pattern\(...\), @breaker\(...\) or @response"),
        pytest.param("text", "f does not compile: ", marks=pytest.mark.compiled_only),
        ("many", "33 parameters, at most 32 are possible"),
        ("state", "state_words = 0: it must be 1 to 65536"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_with_the_reason(tmp_path: Path, body: str, named: str):
    path = tmp_path / "own.py"
    path.write_text(BODIES[body])
    with pytest.raises(ConfigError, match=rf"^patterns\[0\] 'mine': .*{named}"):
        build_stages(load_stages(config_of(patterns=(PatternConfig("mine", f"{path}:f"),))))


@pytest.mark.parametrize(
    ("function", "named"),
    [
        ("imbalance", "function is 'module:name' or 'file.py:name', not 'imbalance'"),
        ("no.such.module:f", "ModuleNotFoundError: No module named 'no'"),
        (
            "feedhandler.core.patterns:f",
            "patterns has no function 'f'; it has .*pair_spread",
        ),
        ("missing.py:f", "cannot load 'missing.py:f': no such file"),
    ],
)
def test_a_function_that_is_nowhere_is_refused_by_its_name(function: str, named: str):
    with pytest.raises(ConfigError, match=rf"^breakers\[0\] 'mine': .*{named}"):
        load_stages(config_of((BreakerConfig("mine", function),)))


def test_parameters_that_are_missing_or_unknown_are_listed(tmp_path: Path):
    path = tmp_path / "own.py"
    path.write_text(f"{HEAD}@pattern('order_qty')\ndef mine{ARGUMENTS}:\n    return 0\n")
    function = f"{path}:mine"
    with pytest.raises(ConfigError, match="params missing: order_qty; unknown: speed"):
        load_stages(config_of(patterns=(PatternConfig("mine", function, {"speed": 1}),)))


def test_parameters_that_are_not_given_are_the_functions_defaults():
    given = {"imbalance_bps": 7}
    loaded = load_stages(config_of(patterns=(PatternConfig("mine", PATTERN, given),)))
    usual = DEFAULTS["imbalance_with_trade"]
    assert list(loaded.patterns[0].params) == list((usual | given).values())


def test_a_group_becomes_its_pairs_and_each_has_a_state(own: str):
    pattern = PatternConfig("mine", f"{own}:pair", pairs_of="energy", cooldown_ms=3, budget_ns=77)
    config = config_of(patterns=(pattern,), groups={"energy": ("AA", "BB", "CC")})
    (shard,) = build_engines(config, load_stages(config))
    functions = shard.patterns
    assert functions.meta[Meta.WILD] == 0
    assert functions.symbols[:3].tolist() == sorted(word(name) for name in ("AA", "BB", "CC"))
    assert functions.bindings[:4, Bound.LEGS].tolist() == [2, 2, 2, 0]
    row = functions.rows[0]
    assert (row[Fn.STATE_WORDS], row[Fn.STRIDE]) == (40, 56)
    assert (row[Fn.COOLDOWN_NS], row[Fn.BUDGET_NS]) == (3_000_000, 77)
    assert functions.bindings[:3, Bound.STATE_AT].tolist() == [0, 56, 112]
    assert len(shard.market) == len(shard.instruments)


def test_choices_may_name_symbols_and_groups(own: str):
    pattern = PatternConfig("mine", f"{own}:any_number", legs=(("ETF", "group:basket"), ("X",)))
    config = config_of(patterns=(pattern,), groups={"basket": ("AA", "BB")})
    (loaded,) = load_stages(config).patterns
    names = (("ETF", "AA", "BB"), ("X",))
    assert loaded.use.bindings == [tuple(word(name) for name in choice) for choice in names]


def test_single_instruments_are_chosen_by_symbol_or_group(own: str):
    pattern = PatternConfig("mine", f"{own}:alone", instruments=("X", "group:two"))
    (loaded,) = load_stages(config_of(patterns=(pattern,), groups={"two": ("A", "B")})).patterns
    assert loaded.use.bindings == [(word("X"),), (word("A"),), (word("B"),)]


@pytest.mark.parametrize(
    ("function", "keys", "reason"),
    [
        ("pair", {}, "looks at several instruments; name them by legs"),
        ("pair", {"legs": (("A",),)}, "A: 1 instruments; .*:pair looks at 2"),
        ("alone", {"legs": (("A", "B"),)}, "A, B: 2 instruments; .*:alone looks at 1"),
        ("pair", {"legs": (("A", "A"),)}, "A, A: a symbol is named twice"),
        ("pair", {"pairs_of": "oil"}, "no group is named 'oil' in .groups.; there is gas"),
        ("any_number", {"legs": ((),)}, "0 instruments; .* looks at 1 to 64"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(
    own: str, function: str, keys: dict[str, Any], reason: str
):
    pattern = PatternConfig("mine", f"{own}:{function}", **keys)
    with pytest.raises(ConfigError, match=rf"^patterns\[0\] 'mine': .*{reason}"):
        load_stages(config_of(patterns=(pattern,), groups={"gas": ("A", "B")}))


LOOKS = f"""
from feedhandler.core.patterns.proposals import is_late_nb
{HEAD}@pattern()
def alone{ARGUMENTS}:
    return 0


@pattern()
def late{ARGUMENTS}:
    return is_late_nb(ticks, slot, market)


@pattern()
def unusual{ARGUMENTS}:
    return market[legs[0]]["spread_z_e3"] > 0


@pattern(legs=2)
def pair{ARGUMENTS}:
    return market[legs[1]]["bid_qty"]
"""


def test_how_far_a_function_looks_is_found_out(tmp_path: Path):
    path = tmp_path / "own.py"
    path.write_text(LOOKS)
    patterns = tuple(
        PatternConfig(name, f"{path}:{name}", legs=(("A", "B"),) if name == "pair" else ())
        for name in ("alone", "late", "unusual", "pair")
    )
    loaded = load_stages(config_of(patterns=patterns))
    found = [look_of(each.function) for each in loaded.patterns]
    assert found == [Look.NOWHERE, Look.PRICES, Look.ANALYTICS, Look.PRICES]
    assert look_of(lambda ticks, slot: ticks + slot) == Look.NOWHERE
    assert load_stages(None) == LoadedStages()


def test_patterns_that_are_built_in_need_prices_at_most():
    assert {look_of(each) for each in BUILT_IN.values()} == {Look.PRICES}


def test_a_correlation_is_a_pattern_behind_all_others(own: str):
    config = config_of(
        patterns=(PatternConfig("mine", f"{own}:alone"),),
        correlations=(
            CorrelationConfig(name="gas", pairs_of="gas", window=99, sample_ms=7),
            CorrelationConfig(name="one", legs=(("X", "Y"),)),
        ),
        groups={"gas": ("A", "B", "C")},
    )
    assert config.pattern_names == ["mine", "gas", "one"]
    _, gas, one = load_stages(config).patterns
    assert gas.use.bindings == [(word(a), word(b)) for a, b in ("AB", "AC", "BC")]
    assert (list(gas.params), list(one.params)) == ([99, 7_000_000], [300, 1_000_000_000])
    assert look_of(gas.function) == Look.PRICES


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "looks at several instruments; name them by legs"),
        ({"legs": (("A",),)}, "A: 1 instruments; .* looks at 2"),
        ({"pairs_of": "oil"}, "no group is named 'oil'"),
    ],
)
def test_a_correlation_of_no_pair_is_refused(keys: dict[str, Any], reason: str):
    config = config_of(correlations=(CorrelationConfig(name="gas", **keys),))
    with pytest.raises(ConfigError, match=rf"^correlations\[0\] 'gas': .*{reason}"):
        load_stages(config)


def test_a_definition_becomes_a_pattern_behind_those_with_a_function(own: str):
    config = config_of(
        patterns=(PatternConfig("mine", f"{own}:alone"),),
        definitions=(
            DefinedConfig("tight", when="a.bid_qty > b.bid_qty", legs=("a", "b"),
                          choices=(("X", "Y"),), cooldown_ms=5, budget_ns=900),
        ),
    )  # fmt: skip
    assert config.pattern_names == ["mine", "tight"]
    loaded = load_stages(config).patterns
    assert [each.where for each in loaded] == ["patterns[0] 'mine'", "definitions[0] 'tight'"]
    assert loaded[1].use.bindings == [(word("X"), word("Y"))]
    assert (loaded[1].use.cooldown_ns, loaded[1].use.budget_ns) == (5_000_000, 900)


def test_a_wrong_definition_is_refused_by_its_place():
    config = config_of(definitions=(DefinedConfig("bad", when="bid_qt > 1"),))
    with pytest.raises(ConfigError, match=r"^definitions\[0\] 'bad': when: column 1: .*bid_qty"):
        load_stages(config)


def test_more_patterns_than_places_are_refused():
    many = tuple(PatternConfig(f"p{i}", PATTERN, IMBALANCE) for i in range(FUNCTIONS_MAX))
    with pytest.raises(ValueError, match=r"65 with those of .*definitions.*; at most 64"):
        config_of(patterns=many, definitions=(DefinedConfig("one", when="bid_qty > 1"),))
