"""An exchange and a server, each a process of its own."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools.demo.setup import free_ports

# Parts of a server's configuration, with places for ports and the folder.
SERVER_HEAD = """\
counters_file = "{folder}/counters"
report_file = "{folder}/server.json"
[feed]
"""
MOLD_LINES = """\
line_a = {{ port = {line_a} }}
line_b = {{ port = {line_b} }}
rerequest = {{ port = {rerequest} }}
glimpse = {{ port = {glimpse} }}
"""
SMALL_ENGINE = """\
[engine]
instruments = 64
orders = 65536
overflow_orders = 1024
level_blocks = 4096
level_arena = 65536
window_packets = 1024
snapshot_bytes = 1048576
"""
SERVER_END = """\
[oms]
store_dir = "{folder}/store"
allowed = ["OMS1"]
port = {oms}
[metrics]
port = {metrics}
"""

EXCHANGE = """\
status_file = "{folder}/status.json"
report_file = "{folder}/exchange.json"
[session]
id = "{session}"
end_linger_s = 120
[flow]
symbols = 12
orders_per_symbol = 40
rate = {rate}
messages = {messages}
[rerequest]
port = {rerequest}
[glimpse]
port = {glimpse}
[line_a]
port = {line_a}
[line_b]
port = {line_b}
"""
"""Twelve symbols on two lines that lose nothing."""
OF_SESSION = """\
name = "mold"
session = "{session}"
"""
HUB = """\
[hub]
port = {hub}
queue = 65536
line_s = 2
"""
LARGE_TRADE = """\
[[patterns]]
name = "large_trade"
function = "examples.my_pattern:follow_large_trade"
params = {{ large_qty = 200, order_qty = 100 }}
"""
NAMES = ("line_a", "line_b", "rerequest", "glimpse", "oms", "metrics", "hub")
"""Ports of these parts."""


def server_with_hub(engine: str = "") -> str:
    """A server of the session with a hub; `engine` is what else stands in that table."""
    return SERVER_HEAD + OF_SESSION + MOLD_LINES + SMALL_ENGINE + engine + SERVER_END + HUB


def start(folder: Path, name: str, module: str, *words: str) -> subprocess.Popen[bytes]:
    """A process with the configuration of its name in `folder`, where its log goes."""
    command = [sys.executable, "-m", module, *words, "--config", f"{folder}/{name}.toml"]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)


class Pair:
    """An exchange that waits, and the server that takes its session."""

    def __init__(
        self, folder: Path, ports: Sequence[str], texts: tuple[str, str], *more: str, **words: Any
    ) -> None:
        """`ports` are the names of the ports that the texts of both configurations, exchange and
        server, have places for, `words` what else they have; `more` is for the exchange.
        """
        words |= {"folder": folder, **dict(zip(ports, free_ports(len(ports)), strict=True))}
        self.folder, self.words = folder, words
        for name, text in zip(("exchange", "server"), texts, strict=True):
            (folder / f"{name}.toml").write_text(text.format(**words))
        self.exchange = start(folder, "exchange", "tools.exchange", "run", "--wait", *more)
        self.until((folder / "status.json").exists)
        self.server = start(folder, "server", "feedhandler.server", "serve")

    def start_server_again(self) -> None:
        """Another server in the place of one that has ended; its log begins anew."""
        if self.server.stdin is not None:
            self.server.stdin.close()
        self.server = start(self.folder, "server", "feedhandler.server", "serve")

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
            url = f"http://127.0.0.1:{self.words['metrics']}/{path}"
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
        """End what still runs."""
        for process in (self.server, self.exchange):
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
