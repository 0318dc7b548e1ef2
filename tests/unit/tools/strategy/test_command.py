"""`feedhandler strategy test` as a user calls it, over a tape of a few messages."""

import json
import sys
from pathlib import Path

import pytest

from tests.unit.feedhandler.core.support import add, execute, trading_action
from tests.unit.tools.strategy.conftest import Run
from tests.unit.tools.strategy.truth import S

MESSAGES = [
    trading_action("T"),
    add(1, "B", 900, 99_900, ts_ns=S),
    *(add(2 + i, "S", 100, 100_000 + 100 * i, ts_ns=S) for i in range(9)),
    *(execute(2 + i, 100, ts_ns=10 * S) for i in range(3)),
    *(execute(5 + i, 100, ts_ns=20 * S) for i in range(3)),
    add(30, "B", 100, 99_900, ts_ns=40_000 * S),
]
SWEEP = {
    "ts_ns": 10 * S,
    "until_ns": 10 * S,
    "what": "planted",
    "kind": "sweep",
    "locate": 1,
    "symbol": "TEST",
    "direction": 1,
    "seq": 12,
}
MISSED = {**SWEEP, "ts_ns": 30 * S, "until_ns": 30 * S}
TRUTH = {
    "happened": [SWEEP, MISSED],
    "relations": [],
    "asked": {"symbols": [["TEST", "energy", 20]]},
}
PATTERN = '''
from feedhandler.core.api import breaker, pattern
from feedhandler.core.events import Kind

@pattern("levels", "order_qty")
def three(ticks, slot, market, legs, params, state, out):
    """After so many executions."""
    if ticks[slot]["kind"] != Kind.EXECUTE:
        return 0
    state[0] += 1
    if state[0] % params[0] != 0:
        return 0
    out[0], out[1], out[2] = market[legs[0]]["ask_price_e9"], params[1], state[0]
    return 1
'''
MORE = '''
@pattern("levels", "order_qty", legs=2)
def two_legs(ticks, slot, market, legs, params, state, out):
    """Of two instruments."""
    return 0

@breaker("most")
def too_many(ticks, slot, market, legs, params, state, out):
    """Halts after so many ticks."""
    state[0] += 1
    return 3 if state[0] > params[0] else 0
'''
RULE = """
[[definitions]]
name = "taken"
when = "tick.kind == EXECUTE and tick.qty >= least"
params = { least = 100 }
cooldown_ms = 1_000

[[patterns]]
name = "three"
function = "FILE:three"
params = { levels = 3, order_qty = 100 }
"""
OVER_FEEDS = """
[[patterns]]
name = "x"
function = "all.py:two_legs"
params = { levels = 3, order_qty = 100 }
instruments = ["TEST"]
across = ["n", "p"]

[[definitions]]
name = "y"
legs = ["here", "there"]
when = "there.bid_qty > here.bid_qty"
instruments = ["TEST"]
across = ["n", "p"]
"""
GOOD = ("--params", "levels=3,order_qty=100", "--times", 0)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "day.itch"
    blocks = [len(each).to_bytes(2, "big") + each for each in MESSAGES]
    path.write_bytes(b"".join(blocks) + bytes(2))
    Path(f"{path}.truth.json").write_text(json.dumps(TRUTH))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PATTERN)
    return path


def test_a_function_is_held_against_the_truth(run: Run, tape: Path, file: Path):
    code, out, error = run(file, "--tape", tape, *GOOD, "--json")
    assert (code, error) == (0, "")
    result = json.loads(out.splitlines()[-1])
    assert (result["messages"], result["signals"], result["detections"]) == (18, 2, 2)
    assert (result["right"], result["wrong"], result["precision"], result["recall"]) == (
        1,
        1,
        0.5,
        0.5,
    )
    (kind,) = result["kinds"]
    assert (kind["kind"], kind["planted"], kind["found"]) == ("sweep", 2, 1)
    assert (kind["delay_ms_median"], kind["delay_messages_p99"]) == (0, 2)
    first, second = result["detected"]
    assert (first["planted"], first["symbols"], first["values"]) == ("sweep", ["TEST"], [3, 0, 0])
    assert (second["planted"], second["delay_ns"]) == (None, None)
    assert [each["ts_ns"] for each in result["missed"]] == [30 * S]


def test_a_person_gets_tables(run: Run, tape: Path, file: Path):
    code, out, error = run(f"{file}:three", "--tape", tape, *GOOD)
    assert (code, error) == (0, "")
    for text in ("precision", "0.5", "what was planted", "nothing", "missed: 1 of 1"):
        assert text in out


def test_the_cost_is_that_of_its_calls(run: Run, tape: Path, file: Path):
    _, out, _ = run(file, "--tape", tape, *GOOD[:2], "--times", 1, "--json")
    cost = json.loads(out.splitlines()[-1])["cost"]
    assert cost["calls"] == len(MESSAGES)
    assert cost["fired_share"] == pytest.approx(2 / len(MESSAGES))
    assert cost["ns_per_call"] >= 0


def test_a_tape_without_a_truth_has_detections_alone(run: Run, tape: Path, file: Path):
    Path(f"{tape}.truth.json").unlink()
    code, out, _ = run(file, "--tape", tape, *GOOD, "--json")
    result = json.loads(out.splitlines()[-1])
    assert (code, len(result["detected"])) == (0, 2)
    assert "precision" not in result


def test_a_definition_and_a_pattern_of_a_configuration_are_tested_by_name(
    run: Run, tape: Path, file: Path
):
    rules = file.with_suffix(".toml")
    rules.write_text(RULE.replace("FILE", str(file)))
    _, out, _ = run(f"{rules}:taken", "--tape", tape, "--times", 1, "--json")
    result = json.loads(out.splitlines()[-1])
    assert (result["function"], result["signals"]) == ("taken", 1)
    _, out, _ = run(f"{rules}:three", "--tape", tape, "--times", 0, "--json")
    assert json.loads(out.splitlines()[-1])["params"] == {"levels": 3, "order_qty": 100}


def test_a_breaker_trips_once(run: Run, tape: Path, file: Path):
    file.write_text(PATTERN + MORE)
    words = ("--tape", tape, "--params", "most=11", "--times", 1, "--json")
    _, out, _ = run(f"{file}:too_many", *words)
    result = json.loads(out.splitlines()[-1])
    assert [each["level"] for each in result["detected"]] == [3]


def test_a_page_shows_prices_and_marks(run: Run, tape: Path, file: Path, tmp_path: Path):
    page = tmp_path / "plot.html"
    code, _, _ = run(file, "--tape", tape, *GOOD, "--plot", page)
    text = page.read_text()
    assert code == 0
    assert "<polyline" in text
    assert "sweep missed, 00:00:30" in text
    assert text.count("<path") >= 2
    assert text.count("<rect") >= 2
    # It needs nobody else.
    assert "http" not in text
    assert "<script" not in text


def test_a_picture_needs_matplotlib_and_says_so(
    run: Run, tape: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, error = run(file, "--tape", tape, *GOOD, "--plot", tmp_path / "plot.png")
    assert code == 2
    assert "pip install 'feedhandler[plot]'" in error


def test_a_picture_is_written(run: Run, tape: Path, file: Path, tmp_path: Path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "plot.png"
    code, _, _ = run(file, "--tape", tape, *GOOD, "--plot", picture)
    assert code == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("mine.py",), 2, "--scenario or --tape is needed"),
        (("mine.py", "--tape", "day.itch", "--scenario", "sweeps"), 2, "and not both"),
        (("none.py", "--tape", "day.itch"), 78, "none.py: no such file"),
        (("mine.py:four", "--tape", "day.itch"), 78, "no function 'four'"),
        (("mine", "--tape", "day.itch"), 2, "MODULE:FUNCTION"),
        (("json:dumps", "--tape", "day.itch"), 78, "@pattern"),
        (("mine.py", "--tape", "none.itch"), 65, "none.itch: no such file"),
        (("mine.py", "--tape", "day.itch"), 78, "params missing: levels, order_qty"),
        (("mine.py", "--tape", "day.itch", "--params", "level=3"), 2, "no parameter level"),
        (("mine.py", "--tape", "day.itch", "--params", "levels=x"), 2, "name=number"),
        (("mine.py", "--tape", "day.itch", "--finds", "sweeps"), 2, "--finds 'sweeps'"),
        (("mine.py", "--tape", "day.itch", "--plot", "p.pdf"), 2, ".html or .png"),
        (("mine.py", "--tape", "day.itch", "--plot", "no/p.html"), 73, "cannot write no/p.html"),
        (("mine.py", "--scenario", "nothing"), 2, "no scenario 'nothing'"),
        (("all.py", "--tape", "day.itch"), 78, "three, two_legs, too_many"),
        (("all.py:two_legs", "--tape", "day.itch", *GOOD), 2, "--legs AAA,BBB"),
        (("all.py:two_legs", "--tape", "day.itch", *GOOD, "--legs", "TEST,NONE"), 2, "NONE"),
        (("all.py:two_legs", "--tape", "day.itch", *GOOD, "--legs", "A,B,C"), 78, "looks at 2"),
        (("bad.py", "--tape", "day.itch"), 78, "bad.py: cannot load it: SyntaxError"),
        (("rules.toml:x", "--tape", "day.itch"), 78, "nothing is named 'x'"),
        (("rules.toml", "--tape", "day.itch"), 78, "it has 2 functions"),
        (("all.py:too_many", "--tape", "day.itch", "--cooldown-ms", 1), 2, "a breaker has none"),
        (("none.toml", "--tape", "day.itch"), 78, "no such configuration file"),
        (("feeds.toml:x", "--tape", "day.itch", *GOOD), 2, "--legs AAA,BBB"),
        (("feeds.toml:y", "--tape", "day.itch", "--times", 0), 2, "--legs AAA,BBB"),
        (("feeds.toml:x", "--tape", "day.itch", *GOOD, "--legs", "TEST,NONE"), 2, "NONE"),
        (("feeds.toml:x", "--tape", "day.itch", *GOOD, "--legs", "A@q,B@p"), 78, "named 'q'"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Run,
    tape: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    text: str,
):
    assert tape.is_file()
    monkeypatch.chdir(file.parent)
    Path("all.py").write_text(PATTERN + MORE)
    Path("bad.py").write_text("def")
    Path("rules.toml").write_text(RULE.replace("FILE", "mine.py"))
    Path("feeds.toml").write_text(OVER_FEEDS)
    ended, out, error = run(*words)
    assert (ended, out) == (code, ""), error
    (line,) = error.splitlines()
    assert text in line
