import io
import os
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from feedhandler.core.counters import CounterFile, CounterSpec, HistogramSpec
from feedhandler.core.recording import add_nb, record_nb
from feedhandler.core.states import State
from feedhandler.server.errors import ExitCode, UserError
from tools.top.command import is_running, top, watch
from tools.top.render import format_value, group_of, rate_per_s, render_table, take_sample

SECOND_NS = 1_000_000_000
COUNTERS = (
    CounterSpec("messages_applied", "", "Applied.", labels=(("channel", "1"),)),
    CounterSpec("channel_state", "", "State.", "gauge"),
    CounterSpec("lane_taken", "", "Ticks.", labels=(("lane", "critical"),)),
    CounterSpec("odd", "", "Odd."),
)
HISTOGRAMS = (
    HistogramSpec("wire_to_signal", "ns", "Latency."),
    HistogramSpec("batch", "", "Batch."),
)


@pytest.fixture
def counter_file(tmp_path: Path):
    return CounterFile.create(tmp_path / "counters", COUNTERS, HISTOGRAMS, start_time_ns=SECOND_NS)


def text_of(renderable: RenderableType):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def line_with(text: str, word: str):
    (line,) = [line for line in text.splitlines() if word in line]
    return line.split()


def test_rates_and_latencies_are_those_between_two_samples(counter_file: CounterFile):
    add_nb(counter_file.values, 0, 5_000_000)
    record_nb(counter_file.histograms[0], 900_000_000)
    before = take_sample(counter_file, 10 * SECOND_NS)
    add_nb(counter_file.values, 0, 3_000)
    record_nb(counter_file.histograms[0], 2_000)
    counter_file.values[1, 0] = 2
    now = take_sample(counter_file, 12 * SECOND_NS)
    text = text_of(render_table(counter_file, now, before))
    assert line_with(text, "messages_applied")[1:] == ["channel=1", "5,003,000", "1,500"]
    assert line_with(text, "channel_state")[1:] == ["LIVE"]
    assert line_with(text, "wire_to_signal")[1:] == ["1", *["2.0", "us"] * 4]
    assert "up 11 s" in text


def test_without_an_earlier_sample_there_are_totals_and_no_rates(counter_file: CounterFile):
    add_nb(counter_file.values, 0, 7)
    record_nb(counter_file.histograms[1], 12)
    now = take_sample(counter_file, 12 * SECOND_NS)
    text = text_of(render_table(counter_file, now))
    assert line_with(text, "messages_applied")[1:] == ["channel=1", "7"]
    assert line_with(text, "batch")[1:] == ["1", "12", "12", "12", "12"]


def test_rows_stand_under_the_title_of_their_group(counter_file: CounterFile):
    text = text_of(render_table(counter_file, take_sample(counter_file, 0)))
    order = ["Feed", "messages_applied", "channel_state", "Lanes", "lane_taken", "Other", "odd"]
    positions = [text.index(word) for word in order]
    assert positions == sorted(positions)


def test_a_file_without_rows_still_has_its_title(tmp_path: Path):
    empty = CounterFile.create(tmp_path / "empty", (), ())
    assert str(os.getpid()) in text_of(render_table(empty, take_sample(empty, 0)))


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("lane_depth", "Lanes"),
        ("breaker_trips", "Breakers"),
        ("signals_published", "Signals and sessions"),
        ("messages_recovered", "Gaps and recovery"),
        ("line_lost_packets", "Gaps and recovery"),
        ("packets_received", "Feed"),
        ("uptime", "Other"),
    ],
)
def test_a_name_decides_the_group(name: str, group: str):
    assert group_of(name) == group


@pytest.mark.parametrize(
    ("spec", "value", "text"),
    [
        (CounterSpec("channel_state", "", "", "gauge"), 5, "STALE"),
        (CounterSpec("channel_state", "", "", "gauge"), 77, "77"),
        (CounterSpec("x", "", ""), 1_234_567, "1,234,567"),
        (CounterSpec("age", "ns", "", "gauge"), 2_500, "2.5 us"),
        (CounterSpec("last_timestamp", "ns", "", "gauge"), 8 * SECOND_NS, "2.0 s ago"),
        (CounterSpec("last_timestamp", "ns", "", "gauge"), 0, "never"),
    ],
)
def test_values_are_shown_as_a_person_reads_them(spec: CounterSpec, value: int, text: str):
    assert format_value(spec, value, 10 * SECOND_NS) == text


def test_no_time_gives_no_rate():
    assert rate_per_s(5, 1, 0) == 0


def test_once_prints_plain_text_and_ends(
    counter_file: CounterFile, capsys: pytest.CaptureFixture[str]
):
    top(counter_file.path, once=True, interval=0.05)
    output = capsys.readouterr().out
    assert "messages_applied" in output
    assert "\x1b" not in output


def test_a_server_that_started_again_is_followed_without_a_rate_across_the_restart(
    counter_file: CounterFile,
):
    tables = watch(counter_file.path, 0.01)
    add_nb(counter_file.values, 0, 1_000)
    next(tables)
    CounterFile.create(counter_file.path, COUNTERS, HISTOGRAMS, start_time_ns=2 * SECOND_NS)
    text = text_of(next(tables))
    assert line_with(text, "messages_applied")[1:] == ["channel=1", "0"]


def test_a_server_that_has_ended_is_said_to_have(
    counter_file: CounterFile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tools.top.command.is_running", lambda _: False)
    assert "has ended" in text_of(next(watch(counter_file.path, 0.01)))


def test_running_is_asked_of_the_system(monkeypatch: pytest.MonkeyPatch):
    assert is_running(os.getpid())
    assert is_running(1)

    def refuse(*_: object) -> None:
        raise ProcessLookupError

    monkeypatch.setattr("tools.top.command.os.kill", refuse)
    assert not is_running(os.getpid())


@pytest.mark.parametrize("interval", [0.0, -1.0, float("nan"), float("inf"), 1e11, 3_601.0])
def test_an_interval_that_makes_no_sense_is_refused(interval: float):
    with pytest.raises(UserError, match=r"--interval .*: from 0\.05 to 3600 seconds") as caught:
        top(interval=interval)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("state", State)
def test_every_state_of_a_channel_has_its_name(state: State):
    assert format_value(COUNTERS[1], int(state), 0) == state.name
