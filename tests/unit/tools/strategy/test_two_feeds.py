"""A pattern over two recordings that are played side by side."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from feedhandler.server.errors import ExitCode
from protocols.errors import Status
from tests.unit.feedhandler.core.support import add, delete, execute
from tests.unit.tools.strategy.conftest import Run
from tests.unit.tools.strategy.truth import S
from tools.strategy.subject import read_subject
from tools.strategy.two_feeds import TwoFeeds, feeds_of

CROSSED = "feedhandler.core.patterns:crossed"
US, MS = 1_000, 1_000_000
# The price goes up at 10 s, so far that the new bid is above the old ask.
DAY = [
    add(1, "B", 100, 99_900, ts_ns=S),
    add(2, "S", 100, 100_000, ts_ns=S),
    execute(2, 100, ts_ns=10 * S),
    add(3, "S", 100, 100_300, ts_ns=10 * S + 10 * US),
    add(4, "B", 300, 100_200, ts_ns=10 * S + 20 * US),
    add(5, "B", 100, 99_000, ts_ns=10 * S + 700 * US),
    add(6, "B", 100, 99_000, ts_ns=20 * S),
]
# The other feed's market stays where it was.
STAYS = [
    add(11, "B", 50, 99_800, locate=3, ts_ns=S),
    add(12, "S", 70, 100_100, locate=3, ts_ns=S),
    add(13, "B", 100, 98_000, locate=3, ts_ns=15 * S),
    delete(13, locate=3),
]
RULES = """
[[patterns]]
name = "x"
function = "feedhandler.core.patterns:crossed"
params = { hold_ns = 0 }
instruments = ["TEST"]
across = ["here", "there"]

[[definitions]]
name = "y"
legs = ["here", "there"]
when = "there.ask_price_e9 > 0 and here.bid_price_e9 > there.ask_price_e9"
side = "sell"
instruments = ["TEST"]
across = ["here", "there"]

[[patterns]]
name = "z"
function = "feedhandler.core.patterns:crossed"
instruments = ["TEST"]
across = ["here", "there", "elsewhere"]
"""
Play = Callable[..., tuple[int, dict[str, object], str]]


def write(path: Path, messages: list[bytes]) -> Path:
    blocks = [len(each).to_bytes(2, "big") + each for each in messages]
    path.write_bytes(b"".join(blocks) + bytes(2))
    return path


@pytest.fixture
def play(tmp_path: Path, run: Run) -> Play:
    """The command on DAY: (exit code, what --json prints, stderr)."""
    tape = write(tmp_path / "day.itch", DAY)

    def call(*words: object) -> tuple[int, dict[str, object], str]:
        status, out, err = run(CROSSED, "--tape", tape, "--json", "--times", 0, *words)
        return status, json.loads(out.splitlines()[-1]) if out else {}, err

    return call


def test_a_cross_between_feeds_is_found_with_both_named(play: Play, tmp_path: Path):
    other = write(tmp_path / "other.itch", STAYS)
    legs = ("--legs", "TEST@a,TEST@b", "--params", "hold_ns=500000")
    status, found, _ = play("--beside", other, *legs)
    assert status == 0
    assert found["legs"] == [["TEST@a", "TEST@b"]]
    assert found["messages"] == len(DAY) + len(STAYS)
    # Sold here, where the bid is above what the other feed asks; told by the message that shows it.
    (cross,) = found["detected"]  # type: ignore[misc]
    assert cross["side"] == -1
    assert cross["ts_ns"] == 10 * S + 700 * US
    assert cross["values"] == [100 * 100_000, 70, 680 * US]


def test_a_late_feed_is_no_cross_unless_it_is_later_than_the_hold(play: Play):
    legs = ("--legs", "TEST@a,TEST@b")
    assert play("--lag-us", 300, *legs)[1]["signals"] == 0
    assert play("--lag-us", 900, *legs, "--params", "hold_ns=500000")[1]["signals"] == 1
    assert play("--lag-us", 300, *legs, "--params", "hold_ns=500000")[1]["signals"] == 0


def test_the_second_feeds_engine_has_the_bindings_that_begin_there(play: Play, tmp_path: Path):
    other = write(tmp_path / "other.itch", STAYS)
    legs = ("--legs", "TEST@b,TEST@a", "--params", "hold_ns=0")
    _, found, _ = play("--beside", other, *legs)
    (cross,) = found["detected"]  # type: ignore[misc]
    assert cross["side"] == 1
    assert found["legs"] == [["TEST@b", "TEST@a"]]


def test_a_pattern_of_a_configuration_keeps_the_feeds_that_it_names(run: Run, tmp_path: Path):
    tape, other = write(tmp_path / "day.itch", DAY), write(tmp_path / "other.itch", STAYS)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    words = ("--tape", tape, "--beside", other, "--times", 1, "--json")
    for name in ("x", "y"):
        status, out, err = run(f"{rules}:{name}", *words)
        assert (status, err) == (0, "")
        found = json.loads(out.splitlines()[-1])
        assert found["legs"] == [["TEST@here", "TEST@there"]]
        assert found["signals"] == 1
        assert found["cost"]["calls"] > 0
    status, _, err = run(f"{rules}:z", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert "across: z names 3 feeds; two are played side by side" in err


def test_what_cannot_be_is_refused_in_one_line(play: Play, tmp_path: Path):
    legs = ("--legs", "TEST@a,TEST@b")
    for words, what in (
        (("--beside", tmp_path / "none.itch", *legs), "no such file"),
        (("--lag-us", 1, "--legs", "TEST@a,TEST@c"), "no feed is named 'c'; there is a, b"),
        (("--lag-us", 1, "--legs", "TEST@a,NONE@b"), "NONE@b: no such symbol"),
        (("--legs", "TEST@a,TEST@b"), "no feed is named"),
        (("--lag-us", 1), "name them: --legs"),
    ):
        status, _, err = play(*words)
        assert status != ExitCode.OK
        assert what in err
        assert err.count("\n") == 1
    cut = tmp_path / "cut.itch"
    cut.write_bytes(write(tmp_path / "whole.itch", STAYS).read_bytes()[:-3])
    status, _, err = play("--beside", cut, *legs)
    assert status != ExitCode.OK
    assert "the file ends within a message" in err


def test_both_are_played_to_their_ends_in_the_order_of_time(tmp_path: Path):
    paths = [write(tmp_path / "a", DAY), write(tmp_path / "b", STAYS)]
    config = feeds_of(read_subject(CROSSED, None).bound_to([["TEST@a", "TEST@b"]]).config)
    feeds = TwoFeeds(config, paths, 0)
    outcome = feeds.run()
    assert feeds.players[0].status == Status.OK
    assert outcome.fault is None
    assert outcome.messages == len(DAY) + len(STAYS)
    assert feeds.instruments() == {"TEST@a": 1, "TEST@b": 3 + (1 << 16)}
