"""The verdict: clean when all is right, and one fault in words for each thing that is not."""

import copy
from typing import Any

import pytest

from feedhandler.core.states import State
from tools.demo.verdict import judge

DROP_REASONS = (
    "unrecovered",
    "unknown_type",
    "bad_length",
    "unknown_reference",
    "duplicate_reference",
    "bad_value",
    "capacity",
)
LATENCY = {"count": 90, "p50": 1, "p99": 2, "p999": 3, "max": 4}
GOOD: dict[str, dict[str, Any]] = {
    "exchange": {
        "sent": 100,
        "books_digest": "d",
        "rate": 1000.4,
        "lateness_ns_max": 5,
        "state": "ended",
    },
    "server": {
        "counts": {
            **dict.fromkeys(DROP_REASONS, 0),
            "applied": 90,
            "covered_by_snapshot": 10,
            "recovered": 7,
            "gaps": 2,
            "snapshots": 1,
            "rejected_malformed": 3,
            "rejected_session": 4,
            "signals_suppressed": 5,
            "signals_dropped": 0,
            "books_suspect": 0,
            "state": State.ENDED,
        },
        "control": {"fix_connections_refused": 8, "http_rejected": 9},
        "books_digest": "d",
        "orders_live": 11,
        "signals_published": 12,
        "latency_ns": LATENCY,
        "signal_latency_ns": LATENCY,
        "hiccup_ns": LATENCY,
    },
    "client": {"distinct": 12, "breaker_changes": 1, "ids_contiguous": True, "missing": 0},
    "exits": {"server": 0, "oms-client": 0, "exchange": 0},
}


def judged(**changes: Any) -> dict[str, Any]:
    """The verdict on a good run with `changes`: part__key or part__key__key = value."""
    parts = copy.deepcopy(GOOD)
    for name, value in changes.items():
        *keys, last = name.split("__")
        table: Any = parts
        for key in keys:
            table = table[key]
        table[last] = value
    return judge(parts["exchange"], parts["server"], parts["client"], parts["exits"])


def test_a_good_run_is_clean_and_its_figures_are_those_of_the_parts():
    report = judged()
    assert (report["clean"], report["faults"]) == (True, [])
    assert {
        key: report[key]
        for key in ("sent", "applied", "recovered", "covered_by_snapshot", "unexplained", "gaps")
    } == {
        "sent": 100,
        "applied": 90,
        "recovered": 7,
        "covered_by_snapshot": 10,
        "unexplained": 0,
        "gaps": 2,
    }
    assert (report["rejected_packets"], report["rate"], report["dropped"]) == (7, 1000, {})
    assert (report["fix_connections_refused"], report["http_rejected"]) == (8, 9)
    assert (report["signals_published"], report["signals_delivered"]) == (12, 12)
    assert report["latency_ns"] == report["signal_latency_ns"] == report["hiccup_ns"] == LATENCY


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"exchange__sent": 103}, ["3 messages unexplained"]),
        ({"server__counts__applied": 91}, ["-1 messages unexplained"]),
        ({"server__books_digest": "x"}, ["the server's books differ from the exchange's"]),
        ({"server__counts__signals_dropped": 6}, ["6 signals dropped"]),
        (
            {"server__signals_published": 0, "client__distinct": 0},
            ["no signal was published"],
        ),
        ({"client__distinct": 11}, ["signals published and delivered differ"]),
        ({"client__distinct": 13}, ["signals published and delivered differ"]),
        ({"client__missing": 1}, ["signals published and delivered differ"]),
        ({"client__ids_contiguous": False}, ["signals published and delivered differ"]),
        ({"server__counts__books_suspect": 1}, ["the books are suspect at the end"]),
        ({"server__counts__state": State.STALE}, ["the server stopped in state STALE"]),
        ({"exchange__state": "stopped"}, ["the exchange was stopped before its end"]),
        ({"exits__server": 1}, ["server exited with 1"]),
        ({"exits__exchange": -9}, ["exchange exited with -9"]),
        (
            {"exits__oms-client": 69, "exits__garbage": 1},
            ["oms-client exited with 69", "garbage exited with 1"],
        ),
    ],
)
def test_each_thing_that_is_wrong_is_one_fault(changes: dict[str, Any], faults: list[str]):
    report = judged(**changes)
    assert report["faults"] == faults
    assert report["clean"] is False


@pytest.mark.parametrize("reason", DROP_REASONS)
def test_a_message_that_was_dropped_is_explained_but_a_fault(reason: str):
    report = judged(**{f"server__counts__{reason}": 2, "server__counts__applied": 88})
    assert report["unexplained"] == 0
    assert report["dropped"] == {reason: 2}
    assert report["faults"] == [f"messages dropped: {{'{reason}': 2}}"]


def test_all_faults_are_told_not_only_the_first():
    report = judged(exchange__sent=101, exchange__books_digest="x", exits__server=1)
    assert len(report["faults"]) == 3
