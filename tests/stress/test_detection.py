"""What the built-in patterns, and the examples for news and a flash crash, find of what days of the
exchange have planted, and how often they speak of nothing: the days of the tables in
docs/patterns.md.
"""

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
CRASH = "examples/breakers.toml:crash"
FLASH_CRASH = "examples/patterns/flash_crash.toml:flash_crash"
NEWS = "examples/patterns/news.toml:news"
UNSEEN = {CRASH: (301, 302, 303), FLASH_CRASH: (301, 302, 303), NEWS: (401, 402, 403)}
"""Days that nobody had seen when the example became what it is."""
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


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples name their files from the root of the project."""
    monkeypatch.chdir(ROOT)


def found_by(subject: Subject, tape: Tape, kinds: tuple[str, ...], *legs: tuple[str, ...]) -> Score:
    subject = bound(subject, tape, legs)
    return scored(subject, tape, play(subject, tape), kinds)[0]


def has_found_nearly_all(found: Score) -> None:
    """Precision and recall are what is asked for."""
    precision, recall = found.precision, found.recall()
    assert precision is not None
    assert recall is not None
    assert precision >= LEAST, precision
    assert recall >= LEAST, recall


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "scenario", "kind"),
    [
        ("basket", "arbitrage", "arbitrage"),
        ("triangle", "arbitrage", "arbitrage"),
        ("pair_spread", "arbitrage", "arbitrage"),
        ("lead_lag", "lead-lag", "lead_lag"),
        ("sweep", "sweeps", "sweep"),
        ("quote_stuffing", "quote-stuffing", "stuffing"),
    ],
)
def test_what_is_planted_is_found_and_little_else(
    day: Day, name: str, scenario: str, kind: str, seed: int
):
    legs = [BASKET] if name == "basket" else []
    subject = read_subject(f"{PATTERNS}:{name}", None)
    has_found_nearly_all(found_by(subject, day(scenario, seed), (kind,), *legs))


@pytest.mark.parametrize(
    ("target", "scenario", "kind", "things"),
    [
        (CRASH, "flash-crash", "drift", 1),
        (FLASH_CRASH, "flash-crash", "drift", 100),
        (NEWS, "sector-news", "jump", 10),
    ],
)
def test_a_flash_crash_and_news_are_found_by_the_examples(
    day: Day, target: str, scenario: str, kind: str, things: int
):
    for seed in UNSEEN[target]:
        found = found_by(read_subject(target, None), day(scenario, seed), (kind,))
        assert len(found.planted) == things
        has_found_nearly_all(found)


@pytest.mark.parametrize("target", [CRASH, FLASH_CRASH, NEWS])
def test_on_a_quiet_day_the_examples_speak_of_nothing_but_its_news(day: Day, target: str):
    kinds = ("news",) if target == NEWS else ()
    for seed in UNSEEN[target]:
        found = found_by(read_subject(target, None), day("normal-day", seed), kinds)
        assert len(found.of) == len(kinds)
        assert found.right == len(found.of)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ALONE)
def test_on_a_quiet_day_a_pattern_hardly_speaks(day: Day, name: str, seed: int):
    found = found_by(read_subject(f"{PATTERNS}:{name}", None), day("normal-day", seed), ())
    assert len(found.of) < HOURS * 100


def test_a_quiet_day_on_two_feeds_is_crossed_only_where_one_is_later_than_the_hold(day: Day):
    subject = read_subject(f"{PATTERNS}:crossed", None).on_two_feeds()
    for lag_us, most in ((300, 0.0), (5_000, 2.0)):
        found = found_by(subject, day("normal-day", SEEDS[0]).with_beside(None, lag_us), ())
        told = len(found.of) / (HOURS * 100)
        assert told <= most
        # Late enough, and there is something to tell: the first figure is not that of a deaf one.
        assert (told > 0) == (most > 0)


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
