"""`feedhandler bench stages`: the packets, the programs, and what is made of their times."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from feedhandler.core.counts import Count as Row
from feedhandler.core.receiver import allocate_receiver
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import run_cli
from protocols.binaryfile.reader import load_bytes
from protocols.moldudp64.codec import decode_packet
from tests.reference.slow_itch import messages_of_file
from tools.bench import command, stages
from tools.bench.instructions import COUNTED, Count
from tools.bench.kernels_stages import Depth, climb_nb, pass_through_nb
from tools.bench.measure import Workload
from tools.bench.stages import (
    BREAKER,
    COUNTED_STAGES,
    MESSAGES_A_PACKET,
    PATTERN,
    SIGNAL,
    STAGES,
    WHOLE,
    WITH_BOTH,
    costs,
    count_signals,
    session_packets,
    time_stages,
    whole,
)
from tools.bench.warmup import stage_steps
from tools.check.sources import ROOT
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.player import Player
from tools.replay.replay import Replay

MESSAGES = 5_003
NAMES = [stage.name for stage in STAGES]


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("stages")
    generate_file(FlowSettings(1, messages=MESSAGES), folder / "session.bin")
    return Workload(folder, folder / "session.bin", MESSAGES, 1_000)


def test_the_packets_have_every_message_in_its_place(workload: Workload):
    wire, packets = session_packets(workload)
    found = [decode_packet(wire[at : at + size].tobytes()) for _, at, size, _ in packets.T.tolist()]
    assert [packet.sequence for packet in found] == [
        1 + i * MESSAGES_A_PACKET for i in range(len(found))
    ]
    assert packets[1, -1] + packets[2, -1] == len(wire)
    messages = [message for packet in found for message in packet.messages]
    assert messages == list(messages_of_file(load_bytes(workload.path).tobytes()))


def test_each_program_does_what_its_stage_says_and_no_more(workload: Workload):
    wire, packets = session_packets(workload)
    venue = find_adapter("nasdaq_itch").venue()
    replay = Replay()
    replay.run(workload.path, "binaryfile")
    for depth in Depth:
        player = Player()
        rx = allocate_receiver((-1, -1, -1), bytes(10), 64)
        done = climb_nb(player.shard, rx, venue, wire, packets, np.int64(depth))
        assert done == MESSAGES
        assert player.shard.ticks["kind"].any() == (depth >= Depth.DECODE)
        same_book = np.array_equal(player.shard.book.meta, replay.shard.book.meta)
        assert same_book == (depth >= Depth.BOOK)
        known = player.shard.instruments
        assert np.array_equal(known, replay.shard.instruments) == (depth >= Depth.ANALYTICS)
    player = Player()
    player.shard.channel[0]["next_seq"] = 1
    done = pass_through_nb(player.shard, player.rx, venue, player.stages, wire, packets)
    assert done == player.shard.counts[Row.TICKS, 0] == MESSAGES
    assert player.shard.counts[Row.PACKETS, 0] == 0


def test_signals_are_those_of_a_replay(workload: Workload):
    signals = Replay(WITH_BOTH).run(workload.path, "binaryfile").signals
    assert count_signals(workload) == signals > 0


def test_every_program_runs_in_each_round(workload: Workload):
    rounds = time_stages(workload, runs=2)
    assert list(rounds) == [*NAMES, SIGNAL]
    assert all(len(times) == 2 for times in rounds.values())
    assert all(min(times) > 0 for times in rounds.values())


def test_set_up_compiles_the_programs_on_a_session_of_one_message():
    ((title, step),) = stage_steps()
    step()
    assert title


def test_a_stage_costs_what_its_program_takes_more_in_the_same_round():
    rounds = {name: [100 * i, 200 * i, 400 * i] for i, name in enumerate(NAMES, 1)}
    rounds[SIGNAL] = [4_000, 4_100, 4_200]
    instructions = {name: 1_000 * i for i, name in enumerate(NAMES, 1) if name != "stamps"}
    instructions[SIGNAL] = 600_000
    found = {cost.name: cost for cost in costs(rounds, Fraction(1, 200), instructions)}
    for name in NAMES[:-2]:
        assert (found[name].lowest, found[name].median, found[name].highest) == (100, 200, 400)
        assert found[name].instructions == 1_000
    # Both stand on WHOLE, the one or two places before them in these figures.
    assert found["line_b"].median == 200
    assert found["stamps"].median == 400
    assert found["stamps"].instructions is None
    assert found[SIGNAL].median == 20
    assert found[SIGNAL].instructions == 3_000
    assert "410 ns a signal" in found[SIGNAL].what
    total = whole(rounds, instructions)
    chain = [cost for cost in found.values() if cost.name in NAMES[: NAMES.index(WHOLE) + 1]]
    assert total.median == sum(cost.median for cost in chain)
    assert total.instructions == sum(cost.instructions or 0 for cost in chain)


def test_without_counts_there_are_none():
    rounds = {name: [100] for name in [*NAMES, SIGNAL]}
    assert {cost.instructions for cost in costs(rounds, Fraction(0))} == {None}
    assert whole(rounds, None).instructions is None


def test_each_stage_stands_on_one_before_it():
    for i, stage in enumerate(STAGES):
        assert stage.below in ["", *NAMES[:i]]


def test_what_is_counted_can_be():
    assert set(COUNTED_STAGES.values()) <= set(COUNTED)


def test_breaker_and_pattern_are_those_of_the_example():
    example = load_config(ROOT / "examples" / "server.toml", ServerConfig)
    assert BREAKER in example.breakers
    assert PATTERN in example.patterns


def run(*words: str) -> int:
    return run_cli(
        lambda: command.app(list(words), result_action="return_value", exit_on_error=False)
    )


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_MESSAGES", 2_000)
    monkeypatch.setattr(command, "_MESSAGES_QUICK", 1_000)
    monkeypatch.setattr(command, "_LOOPS_QUICK", 1_000)


@pytest.mark.usefixtures("few")
def test_the_command_prints_and_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(command, "why_not", lambda: "")
    monkeypatch.setattr(
        command, "count_instructions", lambda names: dict.fromkeys(names, Count(100, 123_456))
    )
    path = tmp_path / "stages.json"
    assert run("stages", "--quick", "--json", str(path)) == 0
    shown = capsys.readouterr().out
    report = json.loads(path.read_text())
    assert [stage["name"] for stage in report["stages"]] == [*NAMES, SIGNAL]
    assert report["whole"]["instructions"] == 1_234.56
    assert report["whole"]["median_ns"] > 0
    assert "1,234.5" in shown
    for stage in report["stages"]:
        assert stage["name"] in shown
        assert stage["lowest_ns"] <= stage["median_ns"] <= stage["highest_ns"]
    assert "hiccup meanwhile" in shown
    assert "not counted" not in shown


@pytest.mark.usefixtures("few")
def test_the_command_says_why_it_did_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(command, "why_not", lambda: "valgrind is missing")
    monkeypatch.setattr(stages, "RUNS", 1)
    assert run("stages", "--quick") == 0
    assert "instructions not counted: valgrind is missing" in capsys.readouterr().out
    assert run("stages", "--quick", "--no-instructions") == 0
    assert "instructions not counted: not asked for" in capsys.readouterr().out
