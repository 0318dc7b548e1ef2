"""From `exchange generate` to `feedhandler replay`, as two programs."""

import json
from pathlib import Path

import pytest

from tests.programs import run_here, run_program


@pytest.mark.parametrize("name", ["day.bin", "day.bin.gz"])
def test_the_replay_finds_what_the_exchange_says_it_sent(tmp_path: Path, name: str):
    path = tmp_path / name
    arguments = ("--messages", 30_000, "--symbols", 20, "--seed", 9, "--out", path, "--json")
    made = run_program("tools.exchange", "generate", *arguments)
    assert made.returncode == 0, made.stderr
    truth = json.loads(made.stdout.splitlines()[-1])
    done = run_program("feedhandler.server", "replay", path, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for key in ("messages", "types", "orders_live", "books_digest"):
        assert result[key] == truth[key]
    for key in ("unknown_references", "malformed", "gaps", "missing_messages", "not_stored"):
        assert result[key] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("replay",), 2, "requires an argument"),
        (("replay", "a", "b"), 2, "Unused Tokens"),
        (("replay", "a", "--sped", "1"), 2, "Did you mean --speed?"),
        (("replya", "a"), 2, "Unknown command"),
        (("replay", "none.bin"), 65, "No such file"),
    ],
)
def test_every_mistake_is_one_line_and_never_a_traceback(
    arguments: tuple[str, ...], code: int, named: str
):
    done = run_here("feedhandler.server", *arguments)
    assert done.returncode == code
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
