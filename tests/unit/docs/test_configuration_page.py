"""The tables of the configuration page are those of the Structs that read the files."""

import pytest

from feedhandler.server.config import EngineConfig, ServerConfig
from oms_out.config import OmsConfig
from tools import docs_config
from tools.docs_config import PAGE, fill_in, server_tables
from tools.docs_config_words import SERVER_WORDS
from tools.exchange.config import ExchangeConfig, Flow


def test_the_page_is_up_to_date():
    page = PAGE.read_text(encoding="utf-8")
    assert page == fill_in(page), "run python -m tools.docs_config"


@pytest.mark.parametrize("kind", [ServerConfig, EngineConfig, OmsConfig, ExchangeConfig, Flow])
def test_every_key_has_a_row(kind: type):
    page = PAGE.read_text(encoding="utf-8")
    for key in kind.__struct_fields__:
        assert f"\n| `{key}` | " in page


def test_a_row_tells_type_range_default_unit_and_meaning():
    row = next(line for line in server_tables().splitlines() if line.startswith("| `stale_after"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["`stale_after_ms`", "integer >= 1"]
    assert cells[2:4] == ["`1_500`", "ms"]
    assert "silence" in cells[4]


def test_a_key_without_words_is_an_error(monkeypatch: pytest.MonkeyPatch):
    engine = {key: text for key, text in SERVER_WORDS["EngineConfig"].items() if key != "ticks"}
    monkeypatch.setattr(docs_config, "SERVER_WORDS", {**SERVER_WORDS, "EngineConfig": engine})
    with pytest.raises(ValueError, match="EngineConfig: ticks has no words"):
        server_tables()


def test_words_without_a_key_are_an_error(monkeypatch: pytest.MonkeyPatch):
    engine = {**SERVER_WORDS["EngineConfig"], "tocks": "of a clock"}
    monkeypatch.setattr(docs_config, "SERVER_WORDS", {**SERVER_WORDS, "EngineConfig": engine})
    with pytest.raises(ValueError, match="EngineConfig: tocks is no key any more"):
        server_tables()


def test_a_page_without_its_markers_is_an_error():
    with pytest.raises(ValueError, match="no marker"):
        fill_in("# Configuration\n")
