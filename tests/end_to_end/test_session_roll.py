"""A server stays with a venue that goes from session to session, on lines that lose packets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pair import MOLD_LINES, SERVER_END, SERVER_HEAD, SMALL_ENGINE, Pair

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone, pytest.mark.usefixtures("live_market")]

NAMES = ("line_a", "line_b", "rerequest", "glimpse", "oms", "metrics")
SCENARIO = """\
symbols = 10
orders_per_symbol = 20
messages = 30_000
[[trouble]]
kind = "session_roll"
at = "09:45:00"
[[trouble]]
kind = "session_roll"
at = "11:00:00"
[[trouble]]
kind = "session_roll"
at = "15:00:00"
"""
EXCHANGE = """\
status_file = "{folder}/status.json"
report_file = "{folder}/exchange.json"
[session]
id = "ROLL000009"
end_linger_s = 20
[flow]
rate = 10000
[scenario]
name = "{folder}/rolls.toml"
speed = 0
[rerequest]
port = {rerequest}
[glimpse]
port = {glimpse}
[line_a]
port = {line_a}
loss = 0.1
[line_b]
port = {line_b}
loss = 0.1
"""
SERVER = (
    SERVER_HEAD
    + MOLD_LINES
    + SMALL_ENGINE
    + """\
{engine}
"""
    + SERVER_END
)


@pytest.fixture(params=["", "shards = 2"])
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    (tmp_path / "rolls.toml").write_text(SCENARIO)
    made = Pair(tmp_path, NAMES, (EXCHANGE, SERVER), engine=request.param)
    yield made
    made.kill()


def test_books_and_counts_go_on_from_session_to_session(pair: Pair):
    pair.until(lambda: pair.page("readyz").get("feed") == "LIVE")
    assert pair.exchange.stdin is not None
    pair.exchange.stdin.close()
    pair.until(lambda: pair.page("readyz").get("feed") == "ENDED")
    server, exchange = pair.end()
    ids = [each["id"] for each in exchange["sessions"]]
    assert ids == ["ROLL000009", "ROLL000010", "ROLL000011", "ROLL000012"]
    assert sum(each["messages"] for each in exchange["sessions"]) == exchange["sent"]
    counts = server["counts"]
    assert counts["session_changes"] == 3
    assert counts["applied"] + counts["covered_by_snapshot"] == exchange["sent"]
    assert counts["unrecovered"] == 0
    assert counts["recovered"] > 0
    assert server["books_digest"] == exchange["books_digest"]
    assert exchange["rerequest"]["requests_other_session"] == 0
