"""Functions over several instruments give the same signals by any number of shards, on one thread
each or on two.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from feedhandler.core.counts import FUNCTIONS_MAX, Count
from feedhandler.core.events import SIGNAL
from feedhandler.core.functions import Fn
from tests.unit.tools.replay.seeing import CONFIG, SYMBOLS, config_with_legs
from tests.unit.tools.replay.shards import Found, replay_by, same
from tests.unit.tools.replay.support import (
    Datagram,
    Run,
    packets_of,
    session_messages,
    write_capture,
)
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay import player as player_module
from tools.replay import rounds
from tools.replay.replay import Replay

WAYS = [(shards, way) for shards in (1, 2, 4) for way in ("inline", "pipelined")][1:]
MESSAGES = 1_500


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("session") / "day.bin"
    settings = FlowSettings(5, len(SYMBOLS), messages=MESSAGES, orders_per_symbol=20)
    generate_file(settings, path)
    return path


@pytest.fixture(scope="module")
def alone(session: Path) -> Found:
    return replay_by(session, 1, config_with_legs())


def signals_of(found: Found) -> np.ndarray:
    return np.frombuffer(found.signals, SIGNAL)


def test_the_tape_is_one_on_which_every_function_speaks(alone: Found):
    rows = signals_of(alone)
    by_source = Counter(rows["source"].tolist())
    assert set(by_source) == {*range(6), FUNCTIONS_MAX}, by_source
    several = rows[rows["leg_count"] > 1]
    bound = {(int(row["source"]), *row["legs"].tolist()) for row in several}
    assert len(bound) > 15 + 2
    assert (rows["signal_id"] == np.arange(1, len(rows) + 1)).all()


@pytest.mark.parametrize(("shards", "topology"), WAYS)
def test_every_way_gives_the_same_signals_in_the_same_order(
    session: Path, alone: Found, shards: int, topology: Any
):
    found = replay_by(session, shards, config_with_legs(), topology=topology)
    assert found.signals == alone.signals
    assert same(found, alone)
    assert sum(found.shard_messages) == MESSAGES


@pytest.mark.parametrize(("shards", "topology"), WAYS)
def test_of_a_capture_with_holes_too(session: Path, tmp_path: Path, shards: int, topology: Any):
    packets = packets_of(session_messages(session)[:900])
    # What both lines lose comes late: from there on no signal leaves.
    lines = [Datagram(0, each) for i, each in enumerate(packets) if i % 11 not in (3, 4)]
    lines += [Datagram(1, each) for i, each in enumerate(packets) if i % 7 != 3 or i < 90]
    lines.sort(key=lambda each: (each.payload[10:18], each.line))
    lines[20:24] = reversed(lines[20:24])
    capture = write_capture(tmp_path / "day.pcap", lines)
    config = config_with_legs()
    one = replay_by(capture, 1, config)
    assert one.said["signals"] > 100
    assert same(one, replay_by(capture, shards, config, topology=topology))


@pytest.mark.parametrize("first", [20, 300])
def test_of_a_tape_that_begins_without_definitions(session: Path, tmp_path: Path, first: int):
    messages = session_messages(session)[first:]
    path = tmp_path / "late.bin"
    path.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in messages))
    config = config_with_legs()
    one = replay_by(path, 1, config)
    assert one.said["signals"] > 100
    for shards, topology in WAYS:
        assert same(one, replay_by(path, shards, config, topology=topology))


def test_a_worker_that_is_far_behind_is_waited_for_and_its_signals_are_taken(
    session: Path, alone: Found, monkeypatch: pytest.MonkeyPatch
):
    # The ring is full but for a round after some signals, and few rounds fit between the two.
    monkeypatch.setattr(player_module, "_SIGNAL_RING", 65_536)
    monkeypatch.setattr(rounds, "ROWS_A_ROUND_MAX", 65_500)
    monkeypatch.setattr(rounds, "MARKS", 64)
    found = replay_by(session, 2, config_with_legs(), topology="pipelined")
    assert same(found, alone)


def test_counts_are_those_of_one_shard(session: Path):
    counts = []
    for shards, topology in [(1, "inline"), *WAYS]:
        replay = Replay(config_with_legs(), shards=shards, topology=topology)
        replay.run(session, "binaryfile")
        counts.append(sum(each.shard.counts[:, 0] for each in replay.players))
    for found in counts[1:]:
        different = np.flatnonzero(found != counts[0])
        assert set(different.tolist()) <= {Count.NEXT_SEQ}


def taken(replay: Replay) -> list[list[int]]:
    """Instruments that each shard takes in the end, of those that there are."""
    tables = [each.shard.split.roles.taken for each in replay.players]
    return [np.flatnonzero(table[: len(SYMBOLS) + 1]).tolist() for table in tables]


def test_a_shard_takes_what_its_bindings_look_at_and_no_more(session: Path):
    config = config_with_legs()
    basket_alone = config.patterns[2:3]
    replay = Replay(replace(config, patterns=basket_alone), shards=4)
    replay.run(session, "binaryfile")
    # ESTO is number 5, of shard 1, with ARLO 1 and CIRQ 3; FYNN 6 of shard 2 with DELV 4 and ARLO.
    # What is about no instrument, as the events of the market are, is for all.
    assert taken(replay) == [[0, 4], [0, 1, 3, 5], [0, 1, 2, 4, 6], [0, 3]]


def test_without_such_bindings_a_shard_takes_its_own_from_the_start(session: Path):
    config = config_with_legs()
    replay = Replay(replace(config, patterns=config.patterns[5:]), shards=2)
    replay.run(session, "binaryfile")
    assert taken(replay) == [[0, 2, 4, 6], [0, 1, 3, 5]]


def test_a_function_that_is_needed_everywhere_makes_every_shard_take_all(
    session: Path, alone: Found, monkeypatch: pytest.MonkeyPatch
):
    set_params = player_module.set_params

    def set_and_mark(shard: Any, loaded: Any) -> None:
        set_params(shard, loaded)
        shard.breakers.rows[0, Fn.EVERYWHERE] = 1

    monkeypatch.setattr(player_module, "set_params", set_and_mark)
    replay = Replay(config_with_legs(), shards=3)
    replay.run(session, "binaryfile")
    assert taken(replay) == [list(range(7))] * 3
    assert same(alone, replay_by(session, 3, config_with_legs()))


def test_a_function_that_raises_ends_the_replay_of_a_worker_too(
    session: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: Any) -> int:
        raise RuntimeError("no")

    monkeypatch.setattr(player_module, "work_rounds_nb", fails_second(fails))
    with pytest.raises(RuntimeError, match="no"):
        replay_by(session, 1, config_with_legs(), topology="pipelined")


def fails_second(fails: Any) -> Any:
    """The kernel at its first call, which compiles it, and then what fails."""
    calls: list[int] = []

    def call(view: Any, work: Any) -> int:
        calls.append(1)
        return rounds.work_rounds_nb(view, work) if len(calls) == 1 else fails()

    return call


def test_the_command_writes_signals_that_any_way_gives(run: Run, session: Path, tmp_path: Path):
    config = tmp_path / "server.toml"
    config.write_text(CONFIG)
    texts = []
    for number, words in enumerate(
        ([], ["--shards", 2], ["--topology", "pipelined"], ["--shards", 3, "--topology", "inline"])
    ):
        out = tmp_path / f"{number}.csv"
        code, said, _error = run(session, "--config", config, "--signals", out, "--json", *words)
        assert code == 0
        lines = out.read_text().splitlines()
        assert len(lines) == 1 + json.loads(said.splitlines()[-1])["signals"] > 50
        texts.append(lines)
    assert texts[1:] == texts[:1] * 3
    head, *rows = texts[0]
    names = head.split(",")
    cells = dict(zip(names, rows[0].split(","), strict=True))
    assert (cells["signal_id"], cells["kind"], cells["side"]) == ("1", "order", "B")
    assert cells["source"] in ("pairs", "baskets")
    assert cells["legs"].split()[0] == cells["symbol"]
    assert {row.split(",")[3] for row in rows} == {"order", "breaker", "cancel"}
