"""Each built-in has an example, and each example is good."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from feedhandler.core.api import compile_stage
from feedhandler.core.breakers import BUILT_IN as BREAKERS
from feedhandler.core.patterns import BUILT_IN as PATTERNS
from feedhandler.server.configfile import load_config
from feedhandler.server.functions import load_function, load_stages
from tools.exchange.market.scenario import scenario_names
from tools.strategy.command import app
from tools.strategy.subject import StrategyFile, read_subject

ROOT = Path(__file__).resolve().parents[3]
FILES = [*sorted((ROOT / "examples" / "patterns").glob("*.toml")), ROOT / "examples/breakers.toml"]
OWN = sorted((ROOT / "examples" / "patterns").glob("*.py"))


def stages(path: Path) -> list[Any]:
    file = load_config(path, StrategyFile)
    return [*file.breakers, *file.patterns, *file.definitions]


NAMED = [(path, each.name) for path in FILES for each in stages(path)]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{p.stem}:{n}" for p, n in NAMED])
def test_an_example_is_loaded_with_its_parameters_and_instruments(path: Path, name: str):
    subject = read_subject(f"{path}:{name}", None)
    loaded = load_stages(subject.config)
    breakers = [each for each in loaded.breakers if not each.use.asked]
    assert len(breakers) + len(loaded.patterns) == 1


def test_every_built_in_has_an_example():
    shown = {getattr(each, "function", "") for path in FILES for each in stages(path)}
    assert shown >= {f"feedhandler.core.patterns:{name}" for name in PATTERNS}
    assert shown >= {f"feedhandler.core.breakers:{name}" for name in BREAKERS}


@pytest.mark.parametrize("path", OWN, ids=[path.name for path in OWN])
def test_python_of_an_example_compiles(path: Path):
    assert compile_stage(load_function(f"{path}:{path.stem}", path.name))


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_command_that_an_example_shows_names_it(path: Path):
    lines = [line.strip("# ") for line in path.read_text().splitlines() if "strategy test" in line]
    for line in lines:
        words = shlex.split(line)[1:]
        target, _, name = words[2].partition(":")
        assert ROOT / target == path
        assert name in {"", *(each.name for each in stages(path))}
        assert words[words.index("--scenario") + 1] in scenario_names()
        parse(app, words[1:])


def parse(found: App, words: list[str]) -> None:
    found.parse_args(words, exit_on_error=False, print_error=False)
