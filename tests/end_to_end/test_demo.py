"""The demo as its user runs it: one command, a report, an exit code."""

import json
from functools import cache
from pathlib import Path

import pytest

from tests.end_to_end.support import run_demo
from tests.programs import run_program

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

SECONDS = 2
RATE = 50_000
QUANTILES = {"p50", "p99", "p999", "max"}
KEYS = {
    "sent": int,
    "applied": int,
    "recovered": int,
    "unexplained": int,
    "gaps": int,
    "books_equal": bool,
    "signals_published": int,
    "signals_delivered": int,
    "latency_ns": dict,
    "signal_latency_ns": dict,
    "hiccup_ns": dict,
    "rate": int,
}


@cache
def lossy_report() -> dict[str, object]:
    return run_demo("--seconds", SECONDS, "--rate", RATE, "--loss", 0.01)


def test_with_one_percent_lost_on_each_line_nothing_is_missing():
    report = lossy_report()
    assert report["sent"] == report["applied"] == SECONDS * RATE
    assert report["unexplained"] == 0
    assert report["dropped"] == {}
    assert report["gaps"] > 0
    assert report["recovered"] > 0
    assert report["books_equal"] is True
    assert report["signals_delivered"] == report["signals_published"] > 0
    assert report["exits"] == {"server": 0, "oms-client": 0, "exchange": 0}


def test_the_report_has_every_key_that_was_promised():
    report = lossy_report()
    assert {key: type(report.get(key)) for key in KEYS} == KEYS
    for key in ("latency_ns", "signal_latency_ns"):
        found = report[key]
        assert set(found) >= QUANTILES
        assert 0 < found["p50"] <= found["p99"] <= found["p999"] <= found["max"]
    assert set(report["hiccup_ns"]) >= {"p999", "max"}
    assert report["latency_ns"]["count"] == report["applied"]
    assert report["signal_latency_ns"]["count"] == report["signals_published"]


def test_two_threads_in_bursts_end_with_the_very_books_of_one():
    words = ("--seconds", SECONDS, "--rate", RATE, "--topology", "pipelined", "--idle", "backoff")
    report = run_demo(*words, "--burst", 10)
    assert report["sent"] == report["applied"] == SECONDS * RATE
    assert report["gaps"] == report["recovered"] == 0
    assert report["books_digest"] == lossy_report()["books_digest"]


def test_two_shards_end_with_the_very_books_of_one():
    words = ("--seconds", SECONDS, "--rate", RATE, "--loss", 0.05, "--shards", 2)
    report = run_demo(*words, "--topology", "pipelined")
    assert report["sent"] == report["applied"] == SECONDS * RATE
    assert report["gaps"] > 0
    assert report["recovered"] > 0
    assert report["books_digest"] == lossy_report()["books_digest"]
    assert report["signals_delivered"] == report["signals_published"] > 0
    assert report["latency_ns"]["count"] == report["applied"]
    assert report["signal_latency_ns"]["count"] == report["signals_published"]


def test_garbage_at_every_port_is_counted_and_changes_nothing():
    report = run_demo("--seconds", SECONDS, "--rate", RATE, "--garbage", 20_000)
    assert report["books_digest"] == lossy_report()["books_digest"]
    assert report["rejected_packets"] > 10_000
    assert report["fix_connections_refused"] > 0
    assert report["http_rejected"] > 0
    assert report["exits"]["garbage"] == 0


@pytest.mark.parametrize("shards", [1, 2])
def test_a_server_that_starts_late_ends_with_the_same_books(shards: int):
    words = ("--rate", RATE, "--late-start", 2, "--shards", shards)
    report = run_demo("--seconds", 6, *words)
    assert report["covered_by_snapshot"] > 0
    assert report["snapshots"] > 0
    assert report["applied"] + report["covered_by_snapshot"] == report["sent"] == 6 * RATE


def test_a_tape_is_sent_at_any_pace_and_all_of_it_explained(tmp_path: Path):
    tape = tmp_path / "day.bin"
    words = ("generate", "--messages", 1_000_000, "--out", tape, "--json")
    done = run_program("tools.exchange", *words)
    report = run_demo("--tape", tape, "--rate", 500_000, "--loss", 0.01)
    assert report["sent"] == report["applied"] == 1_000_000
    assert report["books_digest"] != ""
    assert report["orders_live"] == json.loads(done.stdout)["orders_live"]
