"""Debian's Prometheus beside a run, with the project's own rules and scrape configuration."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feedhandler.core.states import State
from tests.end_to_end.support import scene, wait_for
from tools.demo.setup import free_ports

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
CUT_AT_S = 5


class Prometheus:
    """A running Prometheus and what it says is firing."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
        return found

    def is_up(self) -> bool:
        try:
            return bool(self.ask("/api/v1/query?query=up%3D%3D1")["data"]["result"])  # type: ignore[index]
        except OSError:
            return False

    def firing(self, severity: str) -> set[str]:
        alerts = self.ask("/api/v1/alerts")["data"]["alerts"]  # type: ignore[index]
        return {
            alert["labels"]["alertname"]
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"]["severity"] == severity
        }


@pytest.fixture
def start_prometheus(
    debian_program: Callable[[str, str], str], tmp_path: Path
) -> Iterator[Callable[[int], Prometheus]]:
    """Starts one that scrapes a port of this machine; it ends with the test."""
    program = debian_program("prometheus", "prometheus")
    children: list[subprocess.Popen[bytes]] = []

    def start(metrics_port: int) -> Prometheus:
        text = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
        assert text.count("127.0.0.1:9464") == text.count("- feedhandler.rules.yml") == 1
        text = text.replace("127.0.0.1:9464", f"127.0.0.1:{metrics_port}")
        config = tmp_path / "prometheus.yml"
        config.write_text(text.replace("feedhandler.rules.yml", f"{DEPLOY}/feedhandler.rules.yml"))
        (port,) = free_ports(1)
        command = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with (tmp_path / "prometheus.log").open("wb") as log:
            children.append(subprocess.Popen(command, stdout=log, stderr=log))
        return Prometheus(port)

    yield start
    for child in children:
        child.terminate()
        child.wait(10)


def test_an_alert_fires_while_both_lines_are_cut_and_none_before(
    tmp_path: Path, start_prometheus: Callable[[int], Prometheus]
):
    options = {"seconds": 30, "rate": 10_000, "cut_at_s": CUT_AT_S, "cut_seconds": 20}
    with scene(tmp_path, **options) as run:
        run.start_server()
        prometheus = start_prometheus(run.plan.ports["metrics"])
        run.processes.start_client()
        run.processes.start_exchange()
        wait_for("the first scrape", prometheus.is_up)
        run.wait_for_applied((CUT_AT_S - 1) * 10_000)
        assert prometheus.firing("critical") == set()
        wait_for("STALE", lambda: run.state() == State.STALE)
        assert prometheus.firing("critical") == set()
        wait_for("FeedHandlerFeedStale", lambda: prometheus.firing("critical"), 10)
        assert prometheus.firing("critical") == {"FeedHandlerFeedStale"}
        run.processes.check("server", "exchange", "oms-client")
