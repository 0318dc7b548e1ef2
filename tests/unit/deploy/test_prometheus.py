"""The alert rules as Prometheus' own tools judge them, and the page that each alert points at."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES = (DEPLOY / "feedhandler.rules.yml").read_text(encoding="utf-8")
ALERTS = re.findall(r"- alert: (\w+)", RULES)
PAGE_HEADINGS = ["## What it means", "## What to look at", "## What to do"]


@pytest.fixture(scope="session")
def promtool(debian_program: Callable[[str, str], str]) -> str:
    return debian_program("promtool", "prometheus")


def run(promtool: str, *arguments: str, cwd: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    command = [promtool, *arguments]
    return subprocess.run(command, cwd=cwd, check=False, text=True, capture_output=True)


def assert_good(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid(promtool: str):
    done = run(promtool, "check", "rules", "feedhandler.rules.yml")
    assert_good(done)
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_the_scrape_configuration_is_valid_and_loads_the_rules(promtool: str):
    done = run(promtool, "check", "config", "prometheus.yml")
    assert_good(done)
    assert "1 rule files found" in done.stdout


def test_each_alert_fires_and_stays_quiet_as_its_cases_say(promtool: str):
    assert_good(run(promtool, "test", "rules", "feedhandler.rules.test.yml"))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        pytest.param(r"expr: .*?(\n +(?:for|labels):)", r"expr: vector(0) > 1\1", id="never fires"),
        pytest.param(r"expr: .*?(\n +(?:for|labels):)", r"expr: vector(1)\1", id="always fires"),
    ],
)
def test_the_cases_notice_an_alert_that(
    promtool: str, tmp_path: Path, pattern: str, replacement: str
):
    rules, count = re.subn(pattern, replacement, RULES, flags=re.DOTALL)
    assert count == len(ALERTS)
    (tmp_path / "feedhandler.rules.yml").write_text(rules)
    shutil.copy(DEPLOY / "feedhandler.rules.test.yml", tmp_path)
    done = run(promtool, "test", "rules", "feedhandler.rules.test.yml", cwd=tmp_path)
    assert done.returncode != 0
    assert [alert for alert in ALERTS if alert not in done.stdout + done.stderr] == []


def test_the_file_holds_the_alerts_that_were_promised():
    assert sorted(ALERTS) == [
        "FeedHandlerBookSuspect",
        "FeedHandlerBreakerTripped",
        "FeedHandlerDown",
        "FeedHandlerFeedStale",
        "FeedHandlerFunctionOff",
        "FeedHandlerFunctionSlow",
        "FeedHandlerGapUnrecovered",
        "FeedHandlerLatencyBudgetBreached",
        "FeedHandlerLineDegraded",
        "FeedHandlerMessageLoss",
    ]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_names_its_severity_and_a_page_that_exists(alert: str):
    rule = RULES.split(f"- alert: {alert}\n")[1].split("- alert:")[0]
    assert re.search(r"severity: (critical|warning|info)\n", rule)
    assert all(f"{key}: " in rule for key in ("summary", "description"))
    assert f"runbook_url: docs/runbooks/{alert}.md\n" in rule
    page = (ROOT / "docs" / "runbooks" / f"{alert}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {alert}\n")
    assert re.findall(r"^## .*$", page, re.MULTILINE) == PAGE_HEADINGS


def test_no_page_is_left_without_an_alert():
    assert {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} == set(ALERTS)
