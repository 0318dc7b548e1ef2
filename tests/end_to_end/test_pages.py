"""What a running server shows of itself, to Prometheus and to people."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.support import Scene, scene
from tests.programs import run_program

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "feedhandler.rules.yml"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server with a live feed and a client; the tests only look at it."""
    with scene(tmp_path_factory.mktemp("run"), seconds=60, rate=20_000) as run:
        run.start_all()
        run.wait_for_applied(10_000)
        yield run


def test_the_metrics_page_parses_and_has_what_the_alerts_need(running: Scene):
    status, text = running.get("/metrics")
    assert status == 200
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    named = set(re.findall(r"\bfeedhandler_\w+", RULES.read_text(encoding="utf-8")))
    assert sorted(named - set(samples)) == []
    assert samples["feedhandler_messages_applied_total"] >= 10_000
    assert samples["feedhandler_channel_state"] == 2
    assert samples["feedhandler_signals_published_total"] > 0
    assert samples["feedhandler_fix_sessions_up"] == 1


def test_the_book_page_shows_a_whole_uncrossed_book(running: Scene):
    for _ in range(20):
        status, text = running.get("/book")
        assert status == 200
        book = json.loads(text)
        bids = [level["price_e4"] for level in book["bids"]]
        asks = [level["price_e4"] for level in book["asks"]]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert 0 < bids[0] < asks[0]
        assert all(level["qty"] >= level["orders"] > 0 for level in book["bids"] + book["asks"])
        assert book["state"] == "LIVE"
        assert re.fullmatch(r"[A-Z]{1,8}", book["symbol"])


def test_health_pages_say_that_all_is_well(running: Scene):
    assert running.get("/livez")[0] == 200
    status, text = running.get("/readyz")
    assert status == 200
    assert json.loads(text)["oms_sessions"] == {"OMS1": "ACTIVE"}


def test_an_unknown_page_names_those_that_there_are(running: Scene):
    status, text = running.get("/book.html")
    assert status == 404
    assert "/book /livez /metrics /readyz" in text


def test_a_second_server_on_the_same_ports_is_refused_in_one_line(running: Scene, tmp_path: Path):
    text = running.plan.server_config.read_text()
    config = tmp_path / "server.toml"
    config.write_text(text.replace("feedhandler.counters", "other.counters"))
    done = run_program("feedhandler.server", "serve", "--config", config)
    assert done.returncode == 71
    port = running.plan.ports["line_a"]
    assert done.stderr == (
        f"feedhandler: error: feed.line_a: cannot listen on 127.0.0.1:{port}: Address already in"
        " use; another process has this port; stop it or choose another port\n"
    )


def test_a_second_server_with_the_same_configuration_leaves_the_first_one_alone(running: Scene):
    done = run_program("feedhandler.server", "serve", "--config", running.plan.server_config)
    assert done.returncode == 71
    assert "counters_file: another server is running with" in done.stderr
    assert done.stderr.count("\n") == 1
    before = running.value("messages_applied")
    running.wait_for_applied(before + 1_000)
    assert running.get("/livez")[0] == 200
