"""All built-in breakers: what they say about themselves, and that any input is met with a level."""

from random import Random

import numpy as np
import pytest

from feedhandler.core.api import breaker
from feedhandler.core.breaker_machine import Scope
from feedhandler.core.breakers import BUILT_IN, DEFAULTS
from feedhandler.core.events import TICK, Kind
from tests.unit.feedhandler.core.breakers.support import INSTRUMENTS, MARKET, Detector
from tools.check.sources import ROOT


@pytest.mark.parametrize("name", BUILT_IN)
def test_there_is_a_default_for_each_parameter(name: str):
    assert BUILT_IN[name].params == tuple(DEFAULTS[name])
    assert BUILT_IN[name].defaults == DEFAULTS[name]
    assert len(DEFAULTS[name]) <= 16


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_document_has_each_parameter_with_its_default(name: str):
    text = (ROOT / "docs" / "breakers.md").read_text(encoding="utf-8")
    section = text.split(f"### `{name}`", 1)[1].split("\n### ", 1)[0]
    for param, value in DEFAULTS[name].items():
        assert f"| `{param}` | `{value:_}` |" in section, param


def test_a_breaker_says_what_its_level_holds_for_and_how_much_it_keeps():
    def mine() -> int:
        return 0

    made = breaker("a", "b", scope="sector", state_words=5)(mine)
    assert (made.params, made.scope, made.state_words) == (("a", "b"), Scope.SECTOR, 5)
    made = breaker()(mine)
    assert (made.params, made.scope, made.state_words) == ((), Scope.INSTRUMENT, 16)
    with pytest.raises(KeyError):
        breaker(scope="planet")


NUMBERS = [0, 1, -1, 100, 10**6, 10**9, 10**12, 36_000 * 10**9, 1 << 40, (1 << 62) - 1, -(1 << 62)]


def fill(random: Random, row: np.void, names: tuple[str, ...]) -> None:
    """Put numbers of every size into the fields of a row."""
    for name in names:
        info = np.iinfo(row.dtype[name])
        row[name] = min(max(random.choice(NUMBERS), int(info.min)), int(info.max))


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("seed", range(5))
def test_any_tick_is_met_with_a_level(name: str, seed: int):
    random = Random(seed)
    detector = Detector(name, (1, 2, 3), **({"doubt_level": 3} if name == "stale" else {}))
    for _ in range(400):
        fill(random, detector.ticks[0], TICK.names or ())
        fill(random, detector.market[random.randrange(1, 4)], MARKET.names or ())
        tick = detector.ticks[0]
        tick["instrument"] = random.randrange(INSTRUMENTS)
        tick["kind"] = random.choice(list(Kind))
        tick["seq"] = abs(int(tick["seq"]))
        for stamp in ("ts_exch_ns", "ts_rx_ns", "ts_decoded_ns"):
            tick[stamp] = abs(int(tick[stamp])) % (1 << 61)
        for row in detector.market:
            row["ts_exch_ns"] = abs(int(row["ts_exch_ns"])) % (1 << 61)
        detector.out[:] = 0
        level = detector.function(
            detector.ticks, 0, detector.market, detector.legs, detector.params, detector.state,
            detector.out,
        )  # fmt: skip
        assert 0 <= level <= 3
        assert -1 <= detector.named < INSTRUMENTS
