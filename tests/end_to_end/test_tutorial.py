"""The tutorial, done as it says: its files are written, its commands run, in its order."""

import re
import shlex
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.demo.setup import free_ports

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial-first-pattern.md").read_text(encoding="utf-8")
PROGRAMS = {"feedhandler": "feedhandler.server", "exchange": "tools.exchange"}
PORTS = sorted(set(re.findall(r"\b(?:264\d\d|9464)\b", PAGE)))
STAYING = ("serve", "run")


def steps() -> Iterator[tuple[str, str]]:
    """(file, its text) and ("", command) in the order of the page, with ports that are free."""
    page = PAGE
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        page = re.sub(rf"\b{port}\b", str(free), page)
    for kind, file, text in re.findall(
        r"^```(\w+) ?(\S*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        if file:
            yield file, text
        elif kind == "sh":
            yield from (("", line) for line in text.splitlines())


class Reader:
    """Somebody who does what the page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staying: list[subprocess.Popen[bytes]] = []
        self.said: dict[str, str] = {}

    def do(self, line: str) -> None:
        words = shlex.split(line)
        program = words[0].removeprefix(".venv/bin/")
        if program == "mkdir":
            (self.folder / words[-1]).mkdir()
        elif program == "curl":
            self.said[line] = self.fetch(words[-1])
        elif words[1] in STAYING:
            command = [sys.executable, "-m", PROGRAMS[program], *words[1:]]
            with (self.folder / f"{words[1]}.log").open("wb") as log:
                process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
            self.staying.append(process)
            if words[1] == "serve":
                self.wait_until_it_answers(self.folder / words[-1])
        else:
            command = [sys.executable, "-m", PROGRAMS[program], *words[1:]]
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=600
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            self.said[line] = done.stdout

    def wait_until_it_answers(self, config: Path) -> None:
        """The server compiles what is new to it, and then has its pages."""
        port = tomllib.loads(config.read_text())["metrics"]["port"]
        log = self.folder / "serve.log"
        for _ in range(6_000):
            assert self.staying[-1].poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10):
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(log.read_text())

    @staticmethod
    def fetch(url: str) -> str:
        """The page once the pattern has spoken: the day takes some seconds."""
        text = ""
        for _ in range(600):
            with urllib.request.urlopen(url, timeout=10) as answer:
                text = answer.read().decode()
            if signals(text) > 0:
                break
            time.sleep(0.1)
        return text


def signals(metrics: str) -> int:
    """What the counter says that the page names."""
    found = re.search(
        r'^feedhandler_pattern_signals_total\{[^}]*pattern="first"[^}]*\} (\S+)',
        metrics,
        re.MULTILINE,
    )
    return int(float(found[1])) if found else 0


def share(report: str, name: str) -> float:
    found = re.search(rf"│ {name} +│ (\S+)", report)
    assert found, report
    return float(found[1])


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    made = Reader(tmp_path)
    yield made
    for process in reversed(made.staying):
        process.terminate()
        process.wait(timeout=60)


def test_the_tutorial_does_what_it_says(reader: Reader):
    for file, text in steps():
        if file:
            (reader.folder / file).write_text(text)
        else:
            reader.do(text)
    first, second, third, *_ = (
        said for line, said in reader.said.items() if "strategy test" in line
    )
    assert share(first, "precision") < 0.5 < share(first, "recall")
    for report in (second, third):
        assert share(report, "precision") > 0.9
        assert share(report, "recall") > 0.7
    assert "<svg" in (reader.folder / "run/first.html").read_text()
    (metrics,) = (said for line, said in reader.said.items() if line.startswith("curl"))
    assert signals(metrics) > 0
