"""Patterns that are defined: what holds when, what is refused, and the file that is made."""

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from feedhandler.core.calls import PARAM_WORDS
from feedhandler.core.events import Flag, Kind
from feedhandler.server.definitions import Definition, compile_definition, write_source
from feedhandler.server.errors import ConfigError
from feedhandler.server.functions import load_file
from tests.unit.feedhandler.core.patterns.desk import (
    BUY,
    CENT_E9,
    MS,
    SECOND,
    SELL,
    Desk,
    machine_code,
)

WHERE = "patterns[2] 'x'"
A, B = 1, 2


def desk(tmp_path: Path, code: Any = None, **keys: Any) -> Desk:
    """The function of a definition, loaded from its file as a user's is, in plain Python."""
    definition = Definition(**{"name": "x", **keys})
    made = compile_definition(definition, WHERE, tmp_path)
    function = getattr(load_file(made.path), made.function)
    legs = (A, B)[: function.legs]
    return Desk(function, legs, code=(code or (lambda same: same))(function), **definition.params)


def touch(at: Desk, ts_ns: int, bid_qty: int, ask_qty: int = 100, **more: int) -> Any:
    return at.quote(ts_ns, A, 999, 1_001, bid_qty=bid_qty, ask_qty=ask_qty, **more)


def test_a_guard_speaks_once_when_it_begins_to_hold(tmp_path: Path):
    at = desk(tmp_path, when="bid_qty > 3 * ask_qty")
    said = [touch(at, i, qty) for i, qty in enumerate((100, 400, 500, 300, 301))]
    assert [bool(signal) for signal in said] == [False, True, False, False, True]
    signal = said[1]
    assert (signal.side, signal.price_e9, signal.qty) == (BUY, 1_001 * CENT_E9, 100)
    assert (signal.values, signal.confidence_bps) == ((0, 0, 0), 10_000)


def test_a_signal_carries_what_the_definition_says(tmp_path: Path):
    at = desk(
        tmp_path,
        when="bid_qty > least",
        params={"least": 250},
        side="bid_qty - ask_qty - 1_000",
        price="bid_price_e9 - 10_000_000",
        qty="min(bid_qty, 60)",
        values=("bid_qty", "-ask_qty", "least * 2"),
        confidence_bps="bid_qty * 20",
    )
    assert touch(at, 0, 250) is None
    signal = touch(at, 1, 300)
    assert (signal.side, signal.price_e9, signal.qty) == (SELL, 998 * CENT_E9, 60)
    assert (signal.values, signal.confidence_bps) == ((300, -100, 500), 6_000)


def test_a_guard_may_have_to_hold_for_a_while(tmp_path: Path):
    at = desk(tmp_path, when="bid_qty > 300", for_ms=10)
    assert touch(at, 0, 400) is None
    assert touch(at, 5 * MS, 300) is None
    assert touch(at, 6 * MS, 400) is None
    assert touch(at, 16 * MS - 1, 400) is None
    assert touch(at, 16 * MS, 400)
    assert touch(at, 30 * MS, 400) is None


def test_a_definition_holds_between_two_times_only(tmp_path: Path):
    at = desk(tmp_path, when="bid_qty > 0", between=("00:00:01", "00:00:02"))
    ends = (0, SECOND - 1, SECOND, 2 * SECOND - 1, 2 * SECOND)
    assert [bool(touch(at, ts_ns, 1)) for ts_ns in ends] == [False, False, True, False, False]


@pytest.mark.parametrize("flag", [Flag.IN_DOUBT, Flag.HALTED])
def test_a_leg_in_doubt_or_halted_stops_a_definition_and_clears_it(tmp_path: Path, flag: Flag):
    at = desk(tmp_path, when="bid_qty > 300", for_ms=1)
    assert touch(at, 0, 400) is None
    assert touch(at, MS, 400, flags=int(flag)) is None
    assert touch(at, MS, 400) is None
    assert touch(at, 2 * MS, 400)


def test_a_definition_waits_for_every_leg(tmp_path: Path):
    at = desk(tmp_path, when="b.bid_qty >= 0", legs=("a", "b"))
    assert touch(at, 0, 100) is None
    assert at.quote(1, B, 1, 2)


def test_nobody_to_trade_with_is_no_signal_and_is_told_later(tmp_path: Path):
    at = desk(tmp_path, when="bid_qty > 300")
    assert touch(at, 0, 400, 0) is None
    assert touch(at, 1, 400, 1)


def test_a_tick_that_comes_late_is_passed_over(tmp_path: Path):
    at = desk(tmp_path, when="tick.kind == EXECUTE")
    touch(at, 0, 100)
    assert touch(at, 0, 100, kind=Kind.EXECUTE, seq=0) is None
    assert touch(at, 0, 100, kind=Kind.EXECUTE)


STEPS = ("A: tick.qty == 1", "B: tick.qty == 2", "C: tick.qty == 3")


def steps_seen(at: Desk, *events: tuple[int, int]) -> list[int]:
    """At which of the (ms, quantity) something was said."""
    said = [touch(at, ms * MS, 100, qty=qty) for ms, qty in events]
    return [number for number, signal in enumerate(said) if signal]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([(0, 1), (1, 2), (10, 3)], [2]),
        ([(0, 1), (1, 2), (11, 3)], []),
        ([(0, 2), (1, 1), (2, 3), (3, 2), (4, 3)], [4]),
        ([(0, 1), (1, 2), (8, 1), (9, 2), (12, 3)], [4]),
        ([(0, 1), (9, 1), (12, 2), (13, 3)], [3]),
        ([(0, 1), (1, 2), (8, 1), (9, 3), (10, 2), (10, 3)], [3]),
        ([(0, 1), (1, 2), (2, 9), (3, 3)], []),
        ([(0, 1), (1, 2), (2, 3), (3, 3)], [2]),
        ([(0, 1), (1, 2), (2, 3), (3, 1), (4, 2), (5, 3)], [2, 5]),
    ],
    ids=[
        "in time",
        "too late",
        "other events between",
        "a later run overtakes one that is too old",
        "the first step again restarts",
        "a complete run takes the others with it",
        "unless",
        "once",
        "again",
    ],
)
def test_a_sequence(tmp_path: Path, events: list[tuple[int, int]], said: list[int]):
    at = desk(tmp_path, sequence=STEPS, within_ms=10, unless="tick.qty == 9")
    assert steps_seen(at, *events) == said


def test_one_tick_takes_a_run_one_step_further(tmp_path: Path):
    at = desk(tmp_path, sequence=("A: tick.qty > 0", "B: tick.qty > 0"), within_ms=10)
    assert steps_seen(at, (0, 1), (1, 1), (2, 1), (3, 1)) == [1, 3]


def test_a_tick_on_which_unless_holds_starts_nothing(tmp_path: Path):
    at = desk(tmp_path, sequence=STEPS[:2], within_ms=10, unless="bid_qty == 0")
    assert touch(at, 0, 0, qty=1) is None
    assert touch(at, 1, 100, qty=2) is None


def refused(keys: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        write_source(Definition(**{"name": "x", **keys}), "x", WHERE)
    text = str(error.value)
    assert text.startswith(f"{WHERE}: ")
    return text.removeprefix(f"{WHERE}: ")


@pytest.mark.parametrize(
    ("when", "text"),
    [
        ("imbalance_bp > 1", "column 1: no field or parameter 'imbalance_bp', did you mean 'imba"),
        ("1 < a.bid_prise_e9", "column 7: no field of a 'bid_prise_e9', did you mean 'bid_price_"),
        ("bid_qty > tick.quantity", "column 16: no field of tick 'quantity'"),
        ("  c.bid_qty > 1", "column 3: no leg 'c'. Known: a, tick"),
        ("bid_qty", "column 1: a number where a condition belongs: compare it"),
        ("bid_qty > 1 and ask_qty", "column 17: a number where a condition belongs"),
        ("(bid_qty > 1) + 1 > 2", "column 2: a condition where a number belongs"),
        ("not bid_qty > 1 > on(a)", "column 19: a condition where a number belongs"),
        ("bid_qty / 2 > 1", "column 11: / makes fractions: write //"),
        ("bid_qty ** 2 > 1", "column 12: ** is not possible"),
        ("bid_qty > 1.5", "column 11: 1.5 is no integer; scale it"),
        ("bid_qty > 1 if 1 else 2", "column 1: if ... else is not possible"),
        ("bid_qty in (1, 2)", "column 12: in is not possible"),
        ("bid_qty is 1", "column 12: is has no meaning for numbers"),
        ("bid_qty >> 1 > 2", "column 12: >> is not possible"),
        ("bid_qty > (1, 2)", "column 11: a comma has no meaning here"),
        ("bid_qty > True", "column 11: True is no integer"),
        ("bid_qty > 4611686018427387904", "column 11: 4611686018427387904 is above"),
        ("bid_qty > 'x'", 'column 11: "\'" has no meaning in an expression'),
        ("bid_qty > [1]", "column 11: '[' has no meaning"),
        ("(x := bid_qty) > 1", "column 4: ':' has no meaning"),
        ("bid_qty >\x0c 1", "column 10: '\\x0c' has no meaning"),
        ("bid_qty >\r 1", "column 10: '\\r' has no meaning"),
        ("bid_qty > é", "column 11: 'é' has no meaning"),
        ("a.bid_qty.real > 1", "column 1: only a leg or tick has fields"),
        ("a > 1", "column 1: name a field of 'a', as in a.bid_qty"),
        ("print(1) > 1", "column 1: no function 'print'. Known: abs, max"),
        ("a.bid_qty() > 1", "column 1: no function 'this'"),
        ("abs(1, 2) > 1", "column 1: abs() takes one number, not 2"),
        ("max(bid_qty) > 1", "column 1: max() takes 2 to 8 numbers, not 1"),
        ("max(bid_qty, key=1) > 1", "column 1: a function takes no named arguments"),
        ("max(*bid_qty, 1) > 1", "column 5: * unpacks nothing here"),
        ("on(1)", "column 1: on() takes a leg"),
        ("on(c)", "column 4: no leg 'c'"),
        ("bid_qty >", "column 10: not an expression: invalid syntax"),
        ("   ", "column 4: nothing is there"),
        ("bid_qty ask_qty > 1", "column "),
        ("(bid_qty > 1", "column 1: not an expression: '(' was never closed"),
        ("bid_qty > 1\n  and ask_qt > 1", "column 19: no field or parameter 'ask_qt'"),
        ("(" * 300 + "1" + ")" * 300 + " > 1", "column "),
        ("-" * 50 + "1 > 1", "column 41: too long: split the definition"),
        ("1 + " * 450 + "1 > 1", "column "),
        ("1 > " * 600 + "1", "longer than 2000 characters"),
    ],
)
def test_an_expression_that_is_none_is_refused_with_its_place(when: str, text: str):
    assert refused({"when": when}).startswith(f"when: {text}")


GUARD = {"when": "bid_qty > 1"}
SEQUENCE: dict[str, Any] = {"sequence": ("A: bid_qty > 1", "B: bid_qty > 2"), "within_ms": 1}


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "give either when = '...' or sequence"),
        ({**GUARD, **SEQUENCE}, "give either when = '...' or sequence"),
        ({**SEQUENCE, "sequence": ("A: bid_qty > 1",)}, "sequence: has one step"),
        ({**SEQUENCE, "within_ms": 0}, "within_ms: say how long"),
        ({**SEQUENCE, "for_ms": 1}, "for_ms: belongs to when"),
        ({**GUARD, "unless": "bid_qty > 1"}, "unless: belongs to a sequence"),
        ({**GUARD, "within_ms": 1}, "within_ms: belongs to a sequence"),
        ({**SEQUENCE, "sequence": ("A: bid_qty > 1", "bid_qty > 2")}, "sequence[1]: column 1: beg"),
        ({**SEQUENCE, "sequence": ("A: bid_qty > 1", "A: x > 2")}, "sequence[1]: column 1: there"),
        ({**SEQUENCE, "sequence": ("A: bid_qty > 1", "B:  x > 2")}, "sequence[1]: column 5: no fi"),
        ({**SEQUENCE, "unless": "x > 1"}, "unless: column 1: no field"),
        ({**GUARD, "between": ("09:30:00",)}, "between: give two times"),
        ({**GUARD, "between": ("16:00:00", "09:30:00")}, "between: give two times"),
        ({**GUARD, "between": ("9:30", "16:00")}, "between: give two times"),
        ({**GUARD, "legs": ("a", "a")}, "legs: 'a' already means something else"),
        ({**GUARD, "legs": ("tick",)}, "legs: 'tick' already means something else"),
        ({**GUARD, "legs": ("A",)}, "legs: 'A' is no name"),
        ({**GUARD, "legs": ("not",)}, "legs: 'not' is no name"),
        ({**GUARD, "params": {"bid_qty": 1}}, "params: 'bid_qty' already means"),
        ({**GUARD, "params": {'x"': 1}}, "params: 'x\"' is no name"),
        ({**GUARD, "params": {f"p{i}": 1 for i in range(PARAM_WORDS + 1)}}, "params: "),
        ({**GUARD, "side": "up"}, "side: column 1: no field or parameter 'up'"),
        ({**GUARD, "price": "x"}, "price: column 1: no field"),
        ({**GUARD, "qty": "x"}, "qty: column 1: no field"),
        ({**GUARD, "values": ("1", "x")}, "values[1]: column 1: no field"),
        ({**GUARD, "confidence_bps": "x"}, "confidence_bps: column 1: no field"),
    ],
)
def test_a_definition_that_is_none_is_refused_with_its_key(keys: dict[str, Any], text: str):
    assert refused(keys).startswith(text)


def test_a_file_that_is_the_same_is_not_written_again(tmp_path: Path):
    definition = Definition(name="x", when="bid_qty > 1")
    made = compile_definition(definition, WHERE, tmp_path)
    os.utime(made.path, (1, 1))
    assert compile_definition(definition, WHERE, tmp_path) == made
    assert made.path.stat().st_mtime == 1
    assert made.reference == f"{made.path}:defined_x"
    other = compile_definition(Definition(name="x", when="bid_qty > 2"), WHERE, tmp_path)
    assert other.path != made.path
    assert sorted(tmp_path.iterdir()) == sorted([made.path, other.path])


def test_a_file_that_was_spoilt_is_written_anew(tmp_path: Path):
    definition = Definition(name="x", when="bid_qty > 1")
    made = compile_definition(definition, WHERE, tmp_path)
    made.path.write_text("nonsense", encoding="utf-8")
    compile_definition(definition, WHERE, tmp_path)
    assert made.path.read_text(encoding="utf-8") == made.source


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot write the pattern .*set NUMBA_CACHE_DIR"):
        compile_definition(Definition(name="x", when="1 > 0"), WHERE, tmp_path / "file")


@pytest.mark.parametrize(
    "keys",
    [
        {"name": '"""\u0021import-os', "when": "bid_qty > 1"},
        {"when": "bid_qty >\n 1"},
        {**SEQUENCE, "sequence": ("A:\nbid_qty > 1", "B: bid_qty >\t 2")},
    ],
)
def test_no_text_of_a_definition_gets_out_of_its_place(keys: dict[str, Any]):
    source = write_source(Definition(**{"name": "x", **keys}), "x", WHERE)
    tree = ast.parse(source)
    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == ["Expr", "Import", "ImportFrom", "ImportFrom", "ImportFrom", "FunctionDef"]
    assert "import-os" not in source


def both(tmp_path: Path, events: Sequence[tuple[int, int]], **keys: Any) -> None:
    plain, compiled = desk(tmp_path, **keys), desk(tmp_path, machine_code, **keys)
    said = [touch(plain, ms * MS, 100 + qty, qty=qty) for ms, qty in events]
    assert said == [touch(compiled, ms * MS, 100 + qty, qty=qty) for ms, qty in events]
    assert any(said)


@pytest.mark.compiled_only
def test_a_definition_compiles_to_what_it_is_in_plain_python(tmp_path: Path):
    events = [(i, i * 7 % 5) for i in range(40)]
    rich = {
        "params": {"least": 2},
        "side": "tick.qty - 2",
        "qty": "bid_qty // 0 + tick.qty % 3",
        "values": ("min(1, 2, bid_qty)", "abs(-bid_qty) & 255", "bid_price_e9 * bid_price_e9"),
        "confidence_bps": "bid_qty",
    }
    both(tmp_path, events, sequence=STEPS, within_ms=10, unless="tick.qty == 9", **rich)
    both(tmp_path, events, when="tick.qty >= least and not on(a) or tick.qty == 4", **rich)
