"""One server takes the same session by three ways: MoldUDP64, SoupBinTCP, FIX market data."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.pair import MOLD_LINES, SERVER_END, SERVER_HEAD, SMALL_ENGINE, Pair

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

SESSION = "FHTHREE001"
NAMES = ("line_a", "line_b", "rerequest", "glimpse", "soup", "fix", "oms", "metrics")
MESSAGES = 30_000
EXCHANGE = """\
status_file = "{folder}/status.json"
report_file = "{folder}/exchange.json"
[session]
id = "{session}"
end_linger_s = 20
[flow]
symbols = 12
orders_per_symbol = 40
rate = 15000
messages = {messages}
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
[soup]
port = {soup}
[fix_md]
port = {fix}
"""
SERVER = (
    SERVER_HEAD
    + """\
name = "mold"
session = "{session}"
"""
    + MOLD_LINES
    + """\
[[feeds]]
name = "soup"
session = "{session}"
soup = {{ port = {soup} }}
[[feeds]]
name = "fix"
adapter = "fix_md"
fix = {{ port = {fix}, sender_comp_id = "FH", target_comp_id = "EXCHANGE" }}
"""
    + SMALL_ENGINE
    + SERVER_END
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, NAMES, (EXCHANGE, SERVER), session=SESSION, messages=MESSAGES)
    yield made
    made.kill()


def test_best_prices_are_the_same_after_every_event_whichever_way_they_come(session: Pair):
    log = session.folder / "server.log"
    session.until(lambda: log.read_text().count("feed_connected") == 2)
    # Every symbol's first snapshot, of an empty book, comes before the first message.
    session.until(lambda: session.page("readyz").get("feeds", {}).get("fix") == "LIVE")
    assert session.exchange.stdin is not None
    session.exchange.stdin.close()
    session.until(lambda: session.page("readyz").get("feeds", {}).get("mold") == "LIVE")
    quotes = session.page("bbo")
    assert quotes["feeds"] == ["mold", "soup", "fix"]
    ways = ("mold", "soup")
    session.until(lambda: all(session.page("readyz")["feeds"][way] == "ENDED" for way in ways))
    time.sleep(0.5)
    server, exchange = session.end()
    assert exchange["sent"] == MESSAGES
    for way in ways:
        assert server["feeds"][way]["counts"]["applied"] == MESSAGES
        assert server["feeds"][way]["books_digest"] == exchange["books_digest"]
    found = server["quotes"]
    assert (found["symbols"], found["different"]) == (12, [])
    (changes,) = set(found["changes"].values())
    assert changes > MESSAGES // 10
    assert server["counts"]["recovered"] > 0, "the first feed's counters are its own"
    assert server["feeds"]["soup"]["counts"]["recovered"] == 0
