"""A real server under the exchange's load: its configuration read again a thousand times, and a
pattern that never returns.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.pair import EXCHANGE, NAMES, Pair, server_with_hub
from tests.end_to_end.support import wait_for
from tools.ctl.client import HubClient

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced, pytest.mark.timeout(300)]

RELOADS = 1_000
MESSAGES = 3_000_000
GROWTH_BYTES = 4 << 20
SESSION = "FHRELOAD01"
SERVER = server_with_hub(
    """\
topology = "{topology}"
shards = 1
keep_market = "analytics"
watchdog_ms = 500
"""
)
OWN = """\
import numpy as np

from feedhandler.core.api import pattern


@pattern("generation", "again", "every")
def told(ticks, slot, market, legs, params, state, out):
    state[0] += 1
    if state[0] % params[2]:
        return 0
    out[0], out[1] = 1_000_000_000, 100
    out[2], out[3], out[4] = params[0], params[1], state[0]
    return 1


@pattern("after")
def never_returns(ticks, slot, market, legs, params, state, out):
    state[0] += 1
    while state[0] > params[0]:
        state[1] += 1
    return 0


@pattern("after")
def reaches_too_far(ticks, slot, market, legs, params, state, out):
    state[0] += 1
    return state[min(state[0] // params[0], 1) * 10 * len(state)]


@pattern("after")
def takes_too_long(ticks, slot, market, legs, params, state, out):
    state[0] += 1
    if state[0] > params[0]:
        for i in range(20_000):
            state[1] = (state[1] * 31 + i) % 1_000_003
    return 0
"""


def told(folder: Path, generation: int) -> str:
    """The patterns of a generation: parameters change with each, patterns and choices with every
    second one.
    """
    text = f"""\
[[patterns]]
name = "told"
function = "{folder}/own.py:told"
params = {{ generation = {generation}, again = {generation}, every = 40 }}
"""
    if generation % 2:
        return text
    return f"""{text}
[[patterns]]
name = "pair"
function = "feedhandler.core.patterns:pair_spread"
legs = [["SYM1", "SYM2"], ["SYM3", "SYM{generation % 12}"]]
[[definitions]]
name = "big"
when = "qty > 100000000"
""".replace('"SYM3", "SYM3"', '"SYM3", "SYM4"')


@pytest.fixture(params=["inline", "pipelined"])
def session(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    (tmp_path / "own.py").write_text(OWN)
    texts = (EXCHANGE, SERVER + told(tmp_path, 1).replace("{", "{{").replace("}", "}}"))
    words = {"session": SESSION, "rate": 15_000, "messages": MESSAGES}
    made = Pair(tmp_path, NAMES, texts, **words, topology=request.param)
    yield made
    made.kill()


def logged(pair: Pair, event: str) -> list[dict[str, Any]]:
    lines = (pair.folder / "server.log").read_text().splitlines()
    return [json.loads(line) for line in lines if f'"{event}"' in line]


def hub_port(pair: Pair) -> int:
    pair.until(lambda: bool(logged(pair, "hub_listening")))
    return int(logged(pair, "hub_listening")[0]["port"])


def resources(pid: int) -> tuple[int, int]:
    """Resident bytes, open descriptors."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Witness(threading.Thread):
    """Reads every signal while the test reloads."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.client = HubClient("127.0.0.1", port)
        assert self.client.call("subscribe", 5_000, kinds=["order"])["ok"]
        self.signals: list[tuple[str, tuple[int, ...]]] = []
        self.others: list[dict[str, Any]] = []

    def run(self) -> None:
        for line in self.client.watch():
            if line["type"] == "order":
                self.signals.append((line["source"], tuple(line["values"])))
            else:
                self.others.append(line)


def test_a_thousand_reloads_lose_no_tick_mix_nothing_and_grow_nothing(session: Pair):
    port = hub_port(session)
    path = session.folder / "server.toml"
    head = path.read_text().split("[[patterns]]")[0]
    witness = Witness(port)
    witness.start()
    operator = HubClient("127.0.0.1", port)
    took_ms = []
    before = (0, 0)
    for generation in range(2, RELOADS + 2):
        path.write_text(head + told(session.folder, generation))
        answer = operator.call("reload", 60_000)
        assert answer["ok"], answer
        if generation == 3:
            # All functions are compiled.
            assert session.exchange.stdin is not None
            session.exchange.stdin.close()
        took_ms.append(answer["result"]["took_ms"])
        if generation == RELOADS // 5:
            before = resources(session.server.pid)
    after = resources(session.server.pid)
    took_ms.sort()
    middle_ms = took_ms[len(took_ms) // 2]
    figures = f"bytes, files: {before} -> {after}; ms: {middle_ms}, at most {took_ms[-1]}"
    (session.folder / "figures").write_text(figures)
    state = operator.call("list", 5_000, what="feeds")["result"][0]["state"]
    assert state == "LIVE", "the load ended before the reloads did"
    # It says how much it has sent, and goes.
    session.exchange.terminate()
    assert session.exchange.wait(30) == 0
    sent = json.loads((session.folder / "exchange.json").read_text())["sent"]
    wait_for("end of the feed", lambda: session.page("readyz").get("feed") == "ENDED", 60)
    assert operator.call("shutdown", 5_000, drain_s=1)["ok"]
    assert session.server.wait(15) == 0
    witness.join(10)
    for client in (operator, witness.client):
        client.close()
    server = json.loads((session.folder / "server.json").read_text())
    assert server["counts"]["applied"] == server["counts"]["ticks"] == sent
    assert sent > RELOADS
    seen = [values for source, values in witness.signals if source == "told"]
    assert all(generation == again for generation, again, _ in seen)
    generations = [generation for generation, _, _ in seen]
    assert generations == sorted(generations)
    assert len(set(generations)) > RELOADS // 10
    assert server["signals_published"] == len(witness.signals) > 1_000
    assert server["control"]["reloads_ok"] == RELOADS
    assert after[1] <= before[1], figures
    assert after[0] - before[0] < GROWTH_BYTES, figures


def test_a_function_that_never_returns_is_named_and_the_next_start_does_without_it(session: Pair):
    path = session.folder / "server.toml"
    fatal = f"""
[[patterns]]
name = "fatal"
function = "{session.folder}/own.py:never_returns"
params = {{ after = 200 }}
"""
    port = hub_port(session)
    path.write_text(path.read_text() + fatal)
    operator = HubClient("127.0.0.1", port)
    assert operator.call("reload", 60_000)["ok"]
    operator.close()
    assert session.exchange.stdin is not None
    session.exchange.stdin.close()
    assert session.server.wait(30) == 70
    (hung,) = logged(session, "function_hung")
    line = OWN.split("\n").index('@pattern("after")') + 1
    assert (hung["function"], hung["stage"]) == ("fatal", "pattern")
    assert hung["place"] == f"{session.folder}/own.py:{line}"
    assert "\nfatal\t" in (session.folder / "store" / "functions.off").read_text()
    session.start_server_again()
    session.until(lambda: bool(logged(session, "function_off")))
    assert logged(session, "function_off")[0]["reason"] == "it did not return"
    session.until(lambda: session.page("readyz").get("feed") == "LIVE")
    server, _ = session.end()
    assert server["counts"]["ticks"] > 0
    assert server["control"]["reloads_ok"] == 0


def test_a_function_that_is_wrong_while_it_runs_is_named_and_switched_off_and_the_others_go_on(
    session: Pair,
):
    path = session.folder / "server.toml"
    text = path.read_text()
    for name in ("reaches_too_far", "takes_too_long"):
        text += f"""
[[patterns]]
name = "{name}"
function = "{session.folder}/own.py:{name}"
params = {{ after = 100 }}
budget_ns = 2_000
"""
    port = hub_port(session)
    path.write_text(text)
    operator = HubClient("127.0.0.1", port)
    assert operator.call("reload", 60_000)["ok"]
    witness = Witness(port)
    witness.start()
    assert session.exchange.stdin is not None
    session.exchange.stdin.close()
    wait_for("both to be off", lambda: len(logged(session, "function_off")) == 2, 60)
    off = {line["function"]: line for line in logged(session, "function_off")}
    reasons = {
        "reaches_too_far": "it used an index outside an array",
        "takes_too_long": "it was over its budget again and again",
    }
    assert {name: line["reason"] for name, line in off.items()} == reasons
    for name, line in off.items():
        first = OWN.split("\n").index(f"def {name}(ticks, slot, market, legs, params, state, out):")
        assert line["place"] == f"{session.folder}/own.py:{first}"
    so_far = len(witness.signals)
    wait_for("signals of the others", lambda: len(witness.signals) > so_far + 100, 60)
    assert operator.call("shutdown", 5_000, drain_s=1)["ok"]
    assert session.server.wait(15) == 0
    witness.join(10)
    for client in (operator, witness.client):
        client.close()
    counts = json.loads((session.folder / "server.json").read_text())["counts"]
    assert counts["applied"] == counts["ticks"] > 0


WRONG = {
    "does not compile": ("return state[0].nothing", "own.py:7: wrong does not compile: "),
    "wrong signature": ("return 0", "own.py:5: wrong takes 6 arguments; write def wrong(ticks, "),
    "no python": ("return (", "own.py:7: SyntaxError: "),
    "not found": ("return 0", "own.py has no function 'wrong'; it has other"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_function_that_is_wrong_is_told_at_start_in_one_line(tmp_path: Path, fault: str):
    body, message = WRONG[fault]
    arguments = "ticks, slot, market, legs, params, state, out"
    if fault == "wrong signature":
        arguments = arguments.removesuffix(", out")
    name = "other" if fault == "not found" else "wrong"
    (tmp_path / "own.py").write_text(
        "from feedhandler.core.api import pattern\n\n\n\n"
        f"@pattern()\ndef {name}({arguments}):\n    {body}\n"
    )
    words = {name: 20_000 + i for i, name in enumerate(NAMES)}
    text = SERVER.format(folder=tmp_path, session=SESSION, topology="inline", **words)
    text += f'[[patterns]]\nname = "mine"\nfunction = "{tmp_path}/own.py:wrong"\n'
    (tmp_path / "server.toml").write_text(text)
    command = [sys.executable, "-m", "feedhandler.server", "serve", "--config"]
    done = subprocess.run(
        [*command, str(tmp_path / "server.toml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert "patterns[0] 'mine'" in errors[0]
    assert message in errors[0]
    assert "Traceback" not in done.stderr
