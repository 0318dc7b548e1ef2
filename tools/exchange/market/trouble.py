"""Trouble that a scenario asks for: as windows of a line, as steps of the venue's clock, and as
rows of the truth.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.exchange.day import NS_PER_MS
from tools.exchange.layout import CLOCK_STEP_WORDS
from tools.exchange.lines import CUT, DELAY_NS, DUPLICATE, LOSS, REORDER
from tools.exchange.market.scenario import Scenario, Trouble
from tools.exchange.rng import CHANCE_ONE

_WORDS = {"loss": LOSS, "duplicate": DUPLICATE, "reorder": REORDER, "delay": DELAY_NS, "cut": CUT}
_UNITS = {"delay": 1_000, "cut": 1}
"""What a value is multiplied by, to be in the unit of the line's words; others are chances."""


def windows_of(scenario: Scenario | None, line: str) -> tuple[tuple[int, int, int, int], ...]:
    """The windows of `line` ("a" or "b"), as rows of `lines.Line.windows`."""
    troubles = () if scenario is None else scenario.trouble
    return tuple(_window(each) for each in troubles if each.line in {line, "both"})


def rolls_of(scenario: Scenario | None) -> tuple[int, ...]:
    """When sessions begin that follow the first one, in ns since midnight, ascending."""
    troubles = () if scenario is None else scenario.trouble
    return tuple(sorted({each.at_ns for each in troubles if each.kind == "session_roll"}))


def _window(trouble: Trouble) -> tuple[int, int, int, int]:
    value = int(trouble.value * _UNITS.get(trouble.kind, CHANCE_ONE))
    return _WORDS[trouble.kind], trouble.at_ns, trouble.until_ns, value


def clock_steps_of(scenario: Scenario) -> NDArray[np.int64]:
    """Its steps of the venue's clock, as `Engine.clock_steps`."""
    rows = [
        (each.at_ns, each.until_ns, each.step_ms * NS_PER_MS)
        for each in scenario.trouble
        if each.kind == "clock_step"
    ]
    return np.array(rows, np.int64).reshape(-1, CLOCK_STEP_WORDS)


def told_troubles(scenario: Scenario, until_ns: int) -> list[dict[str, Any]]:
    """A row of the truth for each that had begun by `until_ns` of the market's clock."""
    return [
        {
            "ts_ns": each.at_ns,
            "what": "trouble",
            "kind": each.kind,
            **({} if each.line is None else {"line": each.line}),
            "until_ns": each.until_ns,
            "value": each.value,
        }
        for each in scenario.trouble
        if each.at_ns <= until_ns
    ]
