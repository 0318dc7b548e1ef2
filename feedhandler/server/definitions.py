"""Patterns that are defined in the configuration, by conditions and not by a function: read,
checked, and written out as a Python file with a function of the pattern signature.

A definition is a guard (`when`) or a sequence (`sequence`, `within_ms`, `unless`). The file lies
beside the compiled kernels under a name that its content decides, is not written again while it is
the same, and is loaded as a user's file is: errors have file and line, and Numba's cache finds it.

How a sequence of n steps is followed: for each k below n, the latest start of a run that has done
its first k steps. A tick on which `unless` holds clears all runs and does nothing else. Otherwise,
from the last step down to the first, a run whose next step holds on the tick goes on; so a tick
takes a run one step further at most. A start that is more than `within_ms` ago is no run. When one
is complete, all others are dropped with it, and the tick starts nothing. Runs may overlap: of two
that have done as many steps, the one that started later can do all that the earlier one can.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

from msgspec import Meta, Struct

from feedhandler.core.calls import PARAM_WORDS
from feedhandler.server.errors import ConfigError
from feedhandler.server.expressions import Expression, Names, check_names
from protocols.kernel_cache import CACHE_DIRECTORY

FOLDER = CACHE_DIRECTORY / "definitions"
STEPS_MAX = 8
LEGS_MAX = 16
VALUES_MAX = 3
_NS_PER_MS = 1_000_000
_MS_MAX = 86_400_000
_SIDES = {"buy": "1", "sell": "-1"}
_LABEL = re.compile(r"\s*([A-Za-z][A-Za-z0-9_]*)\s*:")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)")

Milliseconds = Annotated[int, Meta(ge=0, le=_MS_MAX)]
Word = Annotated[int, Meta(ge=-(1 << 62), le=(1 << 62) - 1)]


class Definition(Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a pattern that is defined and not written; those that choose its instruments
    belong to whoever has the list of them.
    """

    name: Annotated[str, Meta(max_length=64, pattern="^[!-~]+$")]
    when: str = ""
    sequence: Annotated[tuple[str, ...], Meta(max_length=STEPS_MAX)] = ()
    unless: str = ""
    within_ms: Annotated[int, Meta(ge=0, le=_MS_MAX)] = 0
    for_ms: Milliseconds = 0
    between: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    legs: Annotated[tuple[str, ...], Meta(min_length=1, max_length=LEGS_MAX)] = ("a",)
    params: dict[str, Word] = {}
    side: str = "buy"
    price: str = ""
    qty: int | str = 100
    values: Annotated[tuple[str, ...], Meta(max_length=VALUES_MAX)] = ()
    confidence_bps: int | str = 10_000


@dataclass(frozen=True, slots=True)
class Compiled:
    """A definition as a function's source, and the file that it was written to."""

    path: Path
    function: str
    source: str

    @property
    def reference(self) -> str:
        """As the key `function` of a pattern names it."""
        return f"{self.path}:{self.function}"


def compile_definition(definition: Definition, where: str, folder: Path = FOLDER) -> Compiled:
    """Check a definition and write its function to a file in `folder`; `where` begins the text of
    every ConfigError.
    """
    function = re.sub(r"\W", "_", f"defined_{definition.name}")
    source = write_source(definition, function, where)
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    path = folder / f"{function}_{digest}.py"
    _write(path, source)
    return Compiled(path, function, source)


def _write(path: Path, source: str) -> None:
    """Put the file there at once or not at all; one that is there stays as old as it is, as what
    was compiled of it is found by its age.
    """
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == source:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(source, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write the pattern {path}: {error.strerror}; set NUMBA_CACHE_DIR to a folder"
            " this user may write to"
        ) from None


def write_source(definition: Definition, function: str, where: str) -> str:
    """The text of the file. Raises ConfigError, which names key, column and what is known."""
    return _Writer(definition, where).source(function)


class _Writer:
    """Turns one definition into source."""

    def __init__(self, definition: Definition, where: str) -> None:
        self.definition = definition
        self.where = where
        self.names = Names(definition.legs, tuple(definition.params))
        check_names(self.names, self.refuse)
        self._check_kind()

    def refuse(self, reason: str) -> NoReturn:
        raise ConfigError(f"{self.where}: {reason}")

    def _check_kind(self) -> None:
        """A guard or a sequence, with the keys that belong to it."""
        given = self.definition
        if bool(given.when) == bool(given.sequence):
            self.refuse("give either when = '...' or sequence = ['A: ...', 'B: ...']")
        if given.sequence and len(given.sequence) < 2:
            self.refuse("sequence: has one step; give two or more, or write when = '...'")
        if given.sequence and not given.within_ms:
            self.refuse("within_ms: say how long a sequence may take")
        if given.sequence and given.for_ms:
            self.refuse("for_ms: belongs to when, not to a sequence")
        for key in ("unless", "within_ms"):
            if given.when and getattr(given, key):
                self.refuse(f"{key}: belongs to a sequence, not to when")
        if len(given.params) > PARAM_WORDS:
            self.refuse(f"params: {len(given.params)}, at most {PARAM_WORDS} are possible")

    def condition(self, key: str, text: str, shift: int = 0) -> str:
        return Expression(self.where, key, text, self.names, shift).condition()

    def number(self, key: str, value: int | str) -> str:
        if isinstance(value, int):
            return str(value)
        return Expression(self.where, key, value, self.names).number()

    def source(self, function: str) -> str:
        """The whole file."""
        given = self.definition
        body = self._sequence() if given.sequence else self._guard()
        params = "".join(f'"{name}", ' for name in given.params)
        lines = [
            '"""Made of a definition; a change of that in the configuration makes another file."""',
            "",
            "import numpy as np",
            "",
            "from feedhandler.core.api import pattern",
            "from feedhandler.core.guards import magnitude_nb, minus_nb, over_nb, plus_nb, rest_nb",
            "from feedhandler.core.guards import sign_nb, times_nb",
            "",
            "",
            f"@pattern({params}legs={len(given.legs)}, state_words=16)",
            f"def {function}(ticks, slot, market, legs, params, state, out):",
            *(f"    {line}" if line else "" for line in (*self._head(), *body)),
            "",
        ]
        return "\n".join(lines)

    def _head(self) -> list[str]:
        """What comes before any condition: rows, late ticks, books that cannot be traded, time."""
        numbers = range(len(self.definition.legs))
        lines = [
            "tick = ticks[slot]",
            'now_ns = np.int64(tick["ts_exch_ns"])',
            *(f"leg_{i} = market[legs[{i}]]" for i in numbers),
            "# A newer tick of its instrument has been looked at.",
            'if tick["seq"] < market[np.int64(tick["instrument"])]["seq"]:',
            "    return 0",
            "# What is in doubt, halted or not yet known may have missed anything.",
            f"if {' or '.join(_unusable(i) for i in numbers)}:",
            *_clear(),
            "    return 0",
        ]
        if self.definition.between:
            first_ns, last_ns = self._between()
            lines += [
                "# between",
                f"if not {first_ns} <= now_ns < {last_ns}:",
                *_clear(),
                "    return 0",
            ]
        return lines

    def _between(self) -> tuple[int, int]:
        """From when until when, ns since midnight."""
        found = [_TIME.fullmatch(text) for text in self.definition.between]
        times = [_ns(match) for match in found if match]
        if len(times) != 2 or times[0] >= times[1]:
            self.refuse('between: give two times, the earlier first, as ["09:30:00", "16:00:00"]')
        return times[0], times[1]

    def _guard(self) -> list[str]:
        """state[0]: since when it holds, ns and 1 (0: it does not); state[1]: 1 when proposed."""
        given = self.definition
        return [
            f"# when = {_comment(given.when)}",
            f"if not {self.condition('when', given.when)}:",
            *_clear(),
            "    return 0",
            "if state[0] == 0:",
            "    state[0] = now_ns + 1",
            f"if state[1] != 0 or now_ns + 1 - state[0] < {given.for_ms * _NS_PER_MS}:",
            "    return 0",
            *self._side(),
            "state[1] = 1",
            *self._order(),
        ]

    def _sequence(self) -> list[str]:
        """state[k]: latest start, ns and 1, of a run that has done k steps (0: none)."""
        given = self.definition
        last = len(given.sequence) - 1
        lines = []
        if given.unless:
            lines += [
                f"# unless = {_comment(given.unless)}",
                f"if {self.condition('unless', given.unless)}:",
                *_clear(),
                "    return 0",
            ]
        steps = [self._step(number) for number in range(last + 1)]
        lines += ["is_complete = False"]
        for number in range(last, 0, -1):
            live = f"state[{number}] != 0 and now_ns + 1 - state[{number}] <= "
            live += str(given.within_ms * _NS_PER_MS)
            step = given.sequence[number]
            done = "is_complete = True"
            if number < last:
                done = f"state[{number + 1}] = max(state[{number + 1}], state[{number}])"
            lines += [f"# {_comment(step)}", f"if {live} and {steps[number]}:", f"    {done}"]
        lines += [
            "if not is_complete:",
            f"    # {_comment(given.sequence[0])}",
            f"    if {steps[0]}:",
            "        state[1] = max(state[1], now_ns + 1)",
            "    return 0",
            *(line[4:] for line in _clear()),
            *self._side(),
            *self._order(),
        ]
        return lines

    def _step(self, number: int) -> str:
        """The guard behind the label of a step."""
        key, text = f"sequence[{number}]", self.definition.sequence[number]
        label = _LABEL.match(text)
        if label is None:
            self.refuse(f"{key}: column 1: begin with a label, as in 'A: imbalance_bps > 6000'")
        labels = [_LABEL.match(each) for each in self.definition.sequence[:number]]
        if any(each and each[1] == label[1] for each in labels):
            self.refuse(f"{key}: column 1: there is another step {label[1]!r}")
        return self.condition(key, text[label.end() :], label.end())

    def _side(self) -> list[str]:
        """The side, and nothing when there is none or nobody to trade with."""
        given = self.definition
        side = _SIDES.get(given.side.strip().lower())
        if side is None:
            side = f"sign_nb({self.number('side', given.side)})"
        return [
            f"side = np.int64({side})",
            'touch_qty = leg_0["ask_qty"] if side > 0 else leg_0["bid_qty"]',
            "if side == 0 or touch_qty <= 0:",
            "    return 0",
        ]

    def _order(self) -> list[str]:
        """What the signal carries."""
        given = self.definition
        lines = ['out[0] = leg_0["ask_price_e9"] if side > 0 else leg_0["bid_price_e9"]']
        if given.price:
            lines = [f"out[0] = {self.number('price', given.price)}"]
        lines.append(f"out[1] = max(np.int64({self.number('qty', given.qty)}), np.int64(0))")
        for number, text in enumerate(given.values):
            lines.append(f"out[{2 + number}] = {self.number(f'values[{number}]', text)}")
        confidence = self.number("confidence_bps", given.confidence_bps)
        lines.append(f"out[5] = min(max(np.int64({confidence}), np.int64(0)), np.int64(10_000))")
        return [*lines, "return side"]


def _unusable(leg: int) -> str:
    return f'leg_{leg}["seq"] == 0 or leg_{leg}["flags"] != 0'


def _clear() -> Sequence[str]:
    return [f"    for i in range({STEPS_MAX + 1}):", "        state[i] = 0"]


def _comment(text: str) -> str:
    """A user's text on a line of its own, where none of it can be code."""
    return " ".join(text.split())


def _ns(match: re.Match[str]) -> int:
    hours, minutes, seconds = (int(part) for part in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000
