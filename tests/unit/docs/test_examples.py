"""The example files work, and the pages show them as they are."""

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import convert, structs

from examples.my_pattern import follow_large_trade
from feedhandler.core.api import OUT_WORDS, STATE_WORDS, compile_stage
from feedhandler.core.events import Kind
from feedhandler.core.market import Look
from feedhandler.core.patterns import BUILT_IN, DEFAULTS, imbalance_with_trade
from feedhandler.server.app import check_configuration
from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.definitions import Definition, write_source
from feedhandler.server.expressions import MARKET_FIELDS
from tests.unit.feedhandler.core.patterns.desk import MARKET
from tests.unit.feedhandler.core.support import CAPACITY, Engine, add, execute
from tools.exchange.config import ExchangeConfig

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
SERVER = load_config(EXAMPLES / "server.toml", ServerConfig)
EXCHANGE = load_config(EXAMPLES / "exchange.toml", ExchangeConfig)
LARGE, ORDER = 500, 100


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def engine_pattern() -> Any:
    return compile_stage(follow_large_trade)


def engine_with(pattern: Any) -> Engine:
    engine = Engine(patterns=[pattern], capacity=CAPACITY._replace(look=Look.PRICES))
    engine.shard.patterns.params[0, :2] = LARGE, ORDER
    engine.feed([add(1, "B", 300, 100_000), add(2, "S", 700, 100_100), add(3, "S", 900, 100_200)])
    return engine


def test_the_server_example_passes_check_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    # The manual makes it first: the report goes there, and serve would refuse as well.
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert check_configuration(Path("examples/server.toml")) == (
        "examples/server.toml: good; 2 patterns, 1 breakers"
    )


def test_the_two_examples_meet_at_the_same_ports_and_session():
    assert SERVER.feed.session in {"", EXCHANGE.session.id}
    assert SERVER.feed.line_b is not None
    assert SERVER.feed.rerequest is not None
    assert SERVER.feed.glimpse is not None
    assert SERVER.feed.line_a.port == EXCHANGE.line_a.port
    assert SERVER.feed.line_b.port == EXCHANGE.line_b.port
    assert SERVER.feed.rerequest.port == EXCHANGE.rerequest.port
    assert SERVER.feed.glimpse.port == EXCHANGE.glimpse.port
    assert SERVER.engine.instruments > EXCHANGE.flow.symbols


def test_the_example_pattern_buys_after_a_large_buy(engine_pattern: Any):
    engine = engine_with(engine_pattern)
    engine.feed([execute(3, LARGE)])
    (signal,) = engine.signals()
    assert (signal["side"], signal["qty"]) == (1, ORDER)
    assert signal["price_e9"] == 10_010_000_000


def test_the_example_pattern_sells_after_a_large_sale(engine_pattern: Any):
    engine = engine_with(engine_pattern)
    engine.feed([add(4, "B", 600, 100_000), execute(4, LARGE)])
    (signal,) = engine.signals()
    assert (signal["side"], signal["price_e9"]) == (-1, 10_000_000_000)


def test_the_example_pattern_is_quiet_after_small_trades_and_on_a_one_sided_book(
    engine_pattern: Any,
):
    engine = engine_with(engine_pattern)
    engine.feed([execute(3, LARGE - 1), execute(1, 300)])
    engine.feed([execute(2, LARGE)])
    assert engine.signals() == []


def test_the_pages_show_the_example_pattern_as_it_is():
    code = (EXAMPLES / "my_pattern.py").read_text(encoding="utf-8")
    assert blocks("docs/patterns.md", "python")[0] == code
    shown = blocks("README.md", "python")
    assert len(shown) == 1
    assert shown[0] in code
    assert "@pattern(" in shown[0]


def test_the_patterns_page_shows_the_configuration_of_the_example():
    shown = blocks("docs/patterns.md", "toml")[0]
    assert shown in (EXAMPLES / "server.toml").read_text(encoding="utf-8")


def test_the_test_that_the_patterns_page_shows_passes():
    code = blocks("docs/patterns.md", "python")[1]
    assert "assert follow_large_trade" in code
    exec(compile(code, "docs/patterns.md", "exec"), {})


def test_the_signature_table_has_the_sizes_of_the_api():
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    assert f"| `state` | int64, {STATE_WORDS} |" in page
    assert f"| `out` | int64, {OUT_WORDS} |" in page


def test_every_field_of_a_tick_is_in_the_table_of_the_patterns_page():
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    table = page.split("## A tick")[1].split("## What is allowed")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name.strip("`") for row in rows for name in row.split(", ")}
    assert named == set(Engine().shard.ticks.dtype.names)


def test_every_field_of_a_row_of_the_market_is_in_the_table_of_the_patterns_page():
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    table = page.split("## A row of the market")[1].split("## A tick")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert [name.strip("`") for row in rows for name in row.split(", ")] == list(MARKET_FIELDS)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_page_names_the_parameters_of_each_built_in_pattern_with_their_defaults(name: str):
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    section = page.split(f"### {name}\n")[1].split("\n## ")[0].split("\n### ")[0]
    shown = dict(re.findall(r"^\| `(\w+)` \| ([0-9,]+) \|", section, re.MULTILINE))
    given = {key: value for key, value in DEFAULTS[name].items() if not key.startswith("weight")}
    assert {key: int(value.replace(",", "")) for key, value in shown.items()} == given
    assert list(DEFAULTS[name]) == list(BUILT_IN[name].params)  # type: ignore[attr-defined]


def test_the_definitions_on_the_page_are_good():
    found = [tomllib.loads(text) for text in blocks("docs/patterns.md", "toml")]
    tables = [each["definitions"][0] for each in found if "definitions" in each]
    sources = [write_source(convert(each, Definition), "shown", "page") for each in tables]
    assert ["is_complete" in source for source in sources] == [False, True]


def test_the_example_of_a_pattern_over_feeds_on_the_page_is_the_one_that_is_tested():
    (shown,) = (
        each["patterns"][0]
        for each in map(tomllib.loads, blocks("docs/patterns.md", "toml"))
        if "across" in each.get("patterns", [{}])[0]
    )
    example = (EXAMPLES / "patterns" / "crossed.toml").read_text(encoding="utf-8")
    assert shown == tomllib.loads(example)["patterns"][0]


def test_the_page_has_the_keys_of_a_definition_with_their_defaults():
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    table = page.split("## Patterns without Python")[1].split("### The grammar")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", table, re.MULTILINE)
    cells = [(key, text.strip()) for key, text in rows]
    words = {"": None, "none": None, "the touch": None}
    shown = {key: words.get(text, text.strip("`").replace(",", "")) for key, text in cells}
    fields = {field.name: field.default for field in structs.fields(Definition)}
    assert set(shown) == set(fields)
    for key, text in shown.items():
        if text is not None and key != "legs":
            assert str(fields[key]) == text.strip('"')


def test_the_built_in_pattern_has_the_parameters_of_the_example():
    imbalance = next(stage for stage in SERVER.patterns if stage.name == "imbalance")
    assert set(imbalance.params) == set(imbalance_with_trade.params)  # type: ignore[attr-defined]


def test_the_pattern_also_runs_as_plain_python():
    ticks = np.zeros(1, Engine().shard.ticks.dtype)
    ticks[0]["kind"], ticks[0]["side"], ticks[0]["qty"] = Kind.EXECUTE, 1, LARGE
    market, legs = np.zeros(1, MARKET), np.array([0])
    words = np.zeros(STATE_WORDS, np.int64)
    out = np.zeros(OUT_WORDS, np.int64)
    assert follow_large_trade(ticks, 0, market, legs, np.array([LARGE, ORDER]), words, out) == 0
