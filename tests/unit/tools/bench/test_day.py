"""A long day, shortened."""

import json
from pathlib import Path

import pytest

from tests.programs import run_here
from tools.bench.day import DAY_MIN, MESSAGES_A_BATCH, PARTS, run_day


def test_every_message_is_worked_on_and_nothing_grows():
    seen = []
    parts = run_day(DAY_MIN, seen.append)
    assert parts == seen
    assert [part.messages for part in parts] == [MESSAGES_A_BATCH] * PARTS
    assert sum(part.signals for part in parts) > 0
    assert all(0 < part.p50 <= part.p99 for part in parts)


@pytest.mark.compiled_only
def test_the_command_prints_and_writes_the_same(tmp_path: Path):
    path = tmp_path / "day.json"
    words = ("bench", "day", "--messages", str(2 * DAY_MIN), "--json", str(path))
    done = run_here("feedhandler.server", *words)
    assert done.returncode == 0
    found = json.loads(path.read_bytes())
    assert found["messages"] == 2 * DAY_MIN
    assert len(found["parts"]) == PARTS
    resident = [part["resident_bytes"] for part in found["parts"]]
    assert resident[-1] - resident[0] < 1 << 20
    for part in found["parts"]:
        assert f"{part['resident_bytes']:,}" in done.stdout
        assert part["p99_ns"] in done.stdout


def test_too_short_a_day_is_refused_in_one_line():
    done = run_here("feedhandler.server", "bench", "day", "--messages", "7")
    assert done.returncode == 2
    assert "messages" in done.stderr
