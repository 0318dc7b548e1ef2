"""What the built-in patterns and breakers find of what days of the exchange have planted, and how
often they speak of nothing: the days of the table in docs/patterns.md.
"""

import tomllib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from tools.exchange.generate import generate_day
from tools.exchange.market.profiles import DEFAULT_FILE, load_profiles
from tools.exchange.market.scenario import load_scenario
from tools.exchange.warmup import warm_up_market
from tools.strategy.command import bound, scored
from tools.strategy.play import play
from tools.strategy.score import Score
from tools.strategy.subject import Subject, read_subject
from tools.strategy.tape import Tape, recorded

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
SEEDS = (101, 102, 103)
PATTERNS = "feedhandler.core.patterns"
BASKET = ("ARLO", "BEXA", "DELV", "KORA", "OPAL")
NEWS = tomllib.loads((ROOT / "examples/patterns/news.toml").read_text())["patterns"][0]["params"]
ALONE = ("momentum_burst", "imbalance_with_trade", "quote_stuffing", "sweep", "iceberg")
LEAST = 0.95
HOURS = 6.5
Day = Callable[[str, int], Tape]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """A day of a scenario and a seed, made once."""
    folder = tmp_path_factory.mktemp("days")
    warm_up_market()

    def make(scenario: str, seed: int) -> Tape:
        path = folder / f"{scenario}-{seed}.itch"
        if not path.exists():
            generate_day(load_scenario(scenario), seed, path)
        return recorded(path)

    return make


def found_by(subject: Subject, tape: Tape, kinds: tuple[str, ...], *legs: tuple[str, ...]) -> Score:
    subject = bound(subject, tape, legs)
    return scored(subject, tape, play(subject, tape), kinds)[0]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("target", "scenario", "kind"),
    [
        (f"{PATTERNS}:basket", "arbitrage", "arbitrage"),
        (f"{PATTERNS}:triangle", "arbitrage", "arbitrage"),
        (f"{PATTERNS}:pair_spread", "arbitrage", "arbitrage"),
        (f"{PATTERNS}:lead_lag", "lead-lag", "lead_lag"),
        (f"{PATTERNS}:sweep", "sweeps", "sweep"),
        (f"{PATTERNS}:quote_stuffing", "quote-stuffing", "stuffing"),
        (f"{ROOT}/examples/patterns/news.py:news", "sector-news", "jump"),
    ],
)
def test_what_is_planted_is_found_and_little_else(
    day: Day, target: str, scenario: str, kind: str, seed: int
):
    subject = read_subject(target, None)
    if subject.name == "news":
        subject = subject.with_params(NEWS)
    legs = [BASKET] if subject.name == "basket" else []
    found = found_by(subject, day(scenario, seed), (kind,), *legs)
    assert found.precision is not None
    assert found.recall() is not None
    assert found.precision >= LEAST, found.precision
    assert found.recall() >= LEAST, found.recall()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ALONE)
def test_on_a_quiet_day_a_pattern_hardly_speaks(day: Day, name: str, seed: int):
    found = found_by(read_subject(f"{PATTERNS}:{name}", None), day("normal-day", seed), ())
    assert len(found.of) < HOURS * 100


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["pair_spread", "lead_lag"])
def test_on_a_quiet_day_all_pairs_of_every_sector_hardly_speak(day: Day, name: str, seed: int):
    sectors: dict[str, list[str]] = {}
    for each in load_profiles(100, DEFAULT_FILE):
        sectors.setdefault(each.sector, []).append(each.symbol)
    pairs = [pair for symbols in sectors.values() for pair in combinations(symbols, 2)]
    subject = read_subject(f"{PATTERNS}:{name}", None)
    found = found_by(subject, day("normal-day", seed), (), *pairs)
    assert len(found.of) < HOURS * 100
