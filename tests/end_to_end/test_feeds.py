"""One server takes the same session by three ways: MoldUDP64, SoupBinTCP, FIX market data."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.demo.setup import free_ports

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
SERVER = """\
counters_file = "{folder}/counters"
report_file = "{folder}/server.json"
[feed]
name = "mold"
session = "{session}"
line_a = {{ port = {line_a} }}
line_b = {{ port = {line_b} }}
rerequest = {{ port = {rerequest} }}
glimpse = {{ port = {glimpse} }}
[[feeds]]
name = "soup"
session = "{session}"
soup = {{ port = {soup} }}
[[feeds]]
name = "fix"
adapter = "fix_md"
fix = {{ port = {fix}, sender_comp_id = "FH", target_comp_id = "EXCHANGE" }}
[engine]
instruments = 64
orders = 65536
overflow_orders = 1024
level_blocks = 4096
level_arena = 65536
window_packets = 1024
snapshot_bytes = 1048576
[oms]
store_dir = "{folder}/store"
allowed = ["OMS1"]
port = {oms}
[metrics]
port = {metrics}
"""


class Session:
    """An exchange that waits, and the server that takes its session."""

    def __init__(self, folder: Path) -> None:
        ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        words = {"folder": folder, "session": SESSION, "messages": MESSAGES, **ports}
        self.folder, self.metrics_port = folder, ports["metrics"]
        for name, text in (("exchange", EXCHANGE), ("server", SERVER)):
            (folder / f"{name}.toml").write_text(text.format(**words))
        self.exchange = self._start("exchange", "tools.exchange", "run", "--wait")
        self.until((folder / "status.json").exists)
        self.server = self._start("server", "feedhandler.server", "serve")

    def _start(self, name: str, module: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *words, "--config", f"{self.folder}/{name}.toml"]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def until(self, holds: Callable[[], bool], within_s: float = 60) -> None:
        """Wait; the test fails when it does not come true, or a process ends."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline_s, (self.folder / "server.log").read_text()[-2_000:]
            assert self.exchange.poll() is None, (self.folder / "exchange.log").read_text()
            time.sleep(0.05)

    def page(self, path: str) -> dict[str, Any]:
        """A JSON page of the server, empty while there is none."""
        try:
            url = f"http://127.0.0.1:{self.metrics_port}/{path}"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def end(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reports of server and exchange."""
        for process in (self.server, self.exchange):
            process.terminate()
            assert process.wait(15) == 0
        found = [
            json.loads((self.folder / f"{n}.json").read_text()) for n in ("server", "exchange")
        ]
        return found[0], found[1]

    def kill(self) -> None:
        for process in (self.server, self.exchange):
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    made = Session(tmp_path)
    yield made
    made.kill()


def test_best_prices_are_the_same_after_every_event_whichever_way_they_come(session: Session):
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
