"""The meaning of each counter row, by the conventions of Prometheus."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from feedhandler.core.counters import CounterFile, CounterSpec
from feedhandler.core.counts import COUNT_ROWS, FUNCTIONS_MAX, HISTOGRAM_ROWS, Count
from feedhandler.server.metrics import MetricsPage
from feedhandler.server.tables import (
    CONTROL_FIRST,
    OMS_ROWS,
    ControlCount,
    ControlHistogram,
    counter_specs,
    histogram_specs,
)
from oms_out.contract import OmsCount, OmsGauge

NAMES = (["band"], ["imbalance", "sweep"])
# Both are the difference of two others: sent + replayed, and published - measured.
NOT_EXPORTED = {OmsCount.MESSAGES_SENT, OmsCount.SIGNALS_UNMEASURED}


@pytest.fixture(scope="module")
def specs() -> list[CounterSpec]:
    return counter_specs("itch", *NAMES)


def test_every_row_has_its_specification(specs: list[CounterSpec]):
    assert len(specs) == COUNT_ROWS + len(ControlCount)
    assert len(histogram_specs()) == HISTOGRAM_ROWS + len(ControlHistogram)


def test_the_rows_make_a_counter_file_without_doubles(specs: list[CounterSpec], tmp_path: Path):
    file = CounterFile.create(tmp_path / "counters", specs, histogram_specs())
    assert file.row("messages_applied", channel="itch") == Count.APPLIED
    assert file.row("line_lost_messages", channel="itch", line="b") == Count.LOST + 1
    assert file.row("breaker_trips", breaker="band") == Count.BREAKER_TRIPS
    assert file.row("pattern_signals", pattern="sweep") == Count.PATTERN_SIGNALS + 1
    assert file.row("signals_published") == CONTROL_FIRST + ControlCount.SIGNALS_PUBLISHED
    assert file.row("wire_to_signal") == HISTOGRAM_ROWS + ControlHistogram.WIRE_TO_SIGNAL


def test_each_reason_for_a_loss_is_a_label_of_one_counter(specs: list[CounterSpec]):
    reasons = {dict(spec.labels)["reason"] for spec in specs if spec.name == "messages_dropped"}
    assert reasons == {
        "unrecovered_gap",
        "unknown_type",
        "bad_length",
        "unknown_reference",
        "duplicate_reference",
        "bad_value",
        "capacity",
    }


def test_names_are_lower_case_without_prefix_unit_or_total(specs: list[CounterSpec]):
    for spec in (*specs, *histogram_specs()):
        assert re.fullmatch(r"[a-z][a-z_]*[a-z]", spec.name)
        assert not spec.name.startswith("feedhandler")
        assert not spec.name.endswith(("_total", "_ns", "_seconds", "_count", "_sum", "_bucket"))


def test_help_is_a_sentence_on_one_line(specs: list[CounterSpec]):
    for spec in (*specs, *histogram_specs()):
        assert re.fullmatch(r"[0-9A-Z][^\n]*[^\n.]", spec.help), spec


def test_places_without_a_function_have_names_that_no_function_can_have():
    full = counter_specs("itch", [f"b{i}" for i in range(FUNCTIONS_MAX)], [])
    labels = [value for spec in full for key, value in spec.labels if key in ("breaker", "pattern")]
    assert labels.count("b7") == 2
    assert {label for label in labels if " " in label} == {
        f"(unused {i})" for i in range(FUNCTIONS_MAX)
    }


def test_what_the_oms_side_reports_has_a_row():
    names = {
        value
        for kind in (OmsCount, OmsGauge)
        for key, value in vars(kind).items()
        if not key.startswith("_")
    }
    assert set(OMS_ROWS) == names - NOT_EXPORTED
    assert len(set(OMS_ROWS.values())) == len(OMS_ROWS)


def test_the_page_is_good_in_the_eyes_of_prometheus_own_linter(
    specs: list[CounterSpec], tmp_path: Path, debian_program: Callable[[str, str], str]
):
    file = CounterFile.create(tmp_path / "counters", specs, histogram_specs())
    promtool = debian_program("promtool", "prometheus")
    page = MetricsPage(file).render()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, check=False
    )
    complaints = [
        line
        for line in (done.stdout + done.stderr).decode().splitlines()
        if line.startswith("feedhandler_")
    ]
    assert complaints == []
    assert done.returncode in (0, 3)
