"""The live table, rendered from counters that a test has set."""

from pathlib import Path

import pytest
from rich.console import Console

from feedhandler.core.counters import CounterFile
from feedhandler.core.recording import record_nb
from feedhandler.core.states import State
from feedhandler.server.tables import counter_specs, histogram_specs
from tools.demo import live
from tools.demo.live import LiveTable
from tools.demo.setup import Options, Plan, make_plan

BOOK = {
    "symbol": "ABCD",
    "state": "LIVE",
    "next_seq": 1_001,
    "bids": [{"price_e4": 1_000_100, "qty": 2_000, "orders": 3}],
    "asks": [
        {"price_e4": 1_000_200, "qty": 40, "orders": 1},
        {"price_e4": 1_000_300, "qty": 50, "orders": 2},
    ],
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path, Options())


@pytest.fixture
def counters(plan: Plan) -> CounterFile:
    file = CounterFile.create(
        plan.counters, counter_specs("itch", ["band"], ["imbalance"]), histogram_specs()
    )
    values = {
        "messages_applied": 5_000,
        "sequence_gaps": 4,
        "messages_recovered": 321,
        "channel_state": State.GAP,
    }
    for name, value in values.items():
        file.values[file.row(name, channel="itch"), 0] = value
    file.values[file.row("signals_published"), 0] = 77
    record_nb(file.histogram("latency"), 1_500)
    return file


def text_of(table: LiveTable, elapsed_ns: int) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(table.render(elapsed_ns))
        return console.export_text()


def test_the_line_for_a_file_names_state_rates_and_latency(plan: Plan, counters: CounterFile):
    line = LiveTable(plan, counters).line(2.5)
    assert line.startswith("  2.5 s  GAP ")
    for part in ("applied        5,000", "gaps 4", "signals 77", "p50 1.5 us"):
        assert part in line


def test_the_table_shows_feed_latency_and_book(
    plan: Plan, counters: CounterFile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(live, "_fetch_book", lambda _port: BOOK)
    plan.exchange_status.write_text('{"sent": 6000}')
    table = LiveTable(plan, counters)
    first = text_of(table, 1_000_000_000)
    for part in ("GAP", "6,000", "5,000   5,000/s", "4, 321, 0", "77, 0", "ABCD  LIVE"):
        assert part in first
    assert "100.0100" in first
    assert "100.0200" in first
    counters.values[counters.row("messages_applied", channel="itch"), 0] += 200
    assert "5,200   400/s" in text_of(table, 1_500_000_000)


def test_a_server_that_does_not_answer_leaves_the_book_empty(plan: Plan, counters: CounterFile):
    assert "ABCD" not in text_of(LiveTable(plan, counters), 1)
