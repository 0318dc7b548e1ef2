"""A replay by several shards: what one shard finds, byte for byte, and who had how much of it."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feedhandler.core.events import BBO
from feedhandler.core.limits import SHARDS_MAX
from tests.unit.tools.replay.shards import replay_by, same
from tests.unit.tools.replay.support import (
    Datagram,
    Run,
    end_of_session,
    make_session,
    packets_of,
    server_config,
    session_messages,
    write_capture,
)
from tools.replay import player
from tools.replay.pace import SPEED_MAX, Pace
from tools.replay.player import take_sorted


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session") / "day.bin", messages=1_500)


def blocks(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def test_two_shards_find_what_one_does(session: Path):
    one, two = replay_by(session, 1), replay_by(session, 2)
    assert same(one, two)
    assert one.said["signals"] > 10
    assert len(one.bbo.splitlines()) > 100
    assert (one.shard_messages, sum(two.shard_messages)) == ([1_500], 1_500)
    locates = [int.from_bytes(message[1:3], "big") for message in session_messages(session)]
    assert two.shard_messages == [sum(i % 2 == shard for i in locates) for shard in range(2)]


def test_without_functions_there_is_no_order_to_keep(session: Path):
    assert same(*(replay_by(session, shards, server_config()) for shards in (1, 3)))


def test_more_shards_than_instruments_leave_some_without_work(session: Path):
    one, many = replay_by(session, 1), replay_by(session, 9)
    assert same(one, many)
    assert many.shard_messages.count(0) == 5


def test_signals_and_prices_are_handed_on_in_order_from_slice_to_slice(
    session: Path, monkeypatch: pytest.MonkeyPatch
):
    one = replay_by(session, 1)
    monkeypatch.setattr(player, "_ROUNDS_A_SLICE_RECORDED", 3)
    assert same(one, replay_by(session, 2))


def test_a_shard_without_room_is_emptied_and_goes_on(
    session: Path, monkeypatch: pytest.MonkeyPatch
):
    one = replay_by(session, 1)
    # One row more than a round may record.
    monkeypatch.setattr(player, "_BBO_ROWS", 50_001)
    assert same(one, replay_by(session, 2))


def test_sessions_one_after_another_are_cut_into_the_same_chunks(session: Path, tmp_path: Path):
    messages = session_messages(session)
    path = tmp_path / "day.bin"
    parts = [messages[:100], [], messages[100:107], messages[107:1_000]]
    path.write_bytes(b"\0\0".join(blocks(part) for part in parts) + b"\0\0")
    assert same(replay_by(path, 1), replay_by(path, 3))


def test_a_cut_file_is_a_fault_in_the_same_place(session: Path, tmp_path: Path):
    path = tmp_path / "cut.bin"
    path.write_bytes(session.read_bytes()[:20_011])
    one, two = replay_by(path, 1), replay_by(path, 2)
    assert "ends within a message" in one.fault
    assert same(one, two)


def test_messages_without_an_instrument_and_unreadable_ones_count_once(
    session: Path, tmp_path: Path
):
    messages = session_messages(session)[:600]
    odd = [b"z", b"A\x00", b"\xff" * 30, b"D\x00\x01"]
    path = tmp_path / "day.bin"
    path.write_bytes(blocks(messages[:300] + odd + messages[300:]))
    one, two = replay_by(path, 1), replay_by(path, 2)
    assert one.said["malformed"] == len(odd)
    assert same(one, two)


@pytest.mark.parametrize("shards", [2, 3])
def test_a_capture_with_holes_on_both_lines_is_sequenced_by_every_shard(
    session: Path, tmp_path: Path, shards: int
):
    messages = session_messages(session)[:700]
    packets = packets_of(messages)
    lines = [Datagram(0, each) for i, each in enumerate(packets) if i % 11 not in (3, 4)]
    lines += [Datagram(1, each) for i, each in enumerate(packets) if i % 7 != 3 or i < 1]
    lines.sort(key=lambda each: (each.payload[10:18], each.line))
    lines[20:24] = reversed(lines[20:24])
    capture = write_capture(
        tmp_path / "day.pcap", [*lines, Datagram(0, b"?"), Datagram(0, end_of_session(messages))]
    )
    one, more = replay_by(capture, 1), replay_by(capture, shards)
    assert one.said["gaps"] > 0
    assert one.said["packets"]["malformed"] == 1
    assert same(one, more)


def test_a_paced_replay_gives_the_same(session: Path):
    class Quick(Pace):
        """Waits for nobody."""

        def wait_for(self, event_ns: int) -> int:
            return event_ns

    assert same(replay_by(session, 1), replay_by(session, 2, pace=Quick(SPEED_MAX)))


def ranks_of(firsts: Any, seconds: Any = 0) -> np.ndarray:
    ranks = np.zeros((len(firsts), 2), np.int64)
    ranks[:, 0], ranks[:, 1] = firsts, seconds
    return ranks


def test_rows_of_one_message_go_by_their_turn():
    parts = []
    for place, seconds in enumerate(((0, 0, 4), (1, 9), (3,))):
        rows = np.zeros(len(seconds), BBO)
        rows["seq"], rows["instrument"], rows["bid_qty"] = 5, place, seconds
        parts.append([(rows, ranks_of([7] * len(seconds), seconds))])
    (rows,) = take_sorted(parts, 8)
    assert rows["bid_qty"].tolist() == [0, 0, 1, 3, 4, 9]
    assert rows["instrument"].tolist() == [0, 0, 1, 2, 0, 1]


def test_rows_are_taken_in_order_as_far_as_every_shard_is():
    seqs = ((1, 4, 5, 9), (2, 3, 8), ())
    lists = []
    for numbers in seqs:
        rows = np.zeros(len(numbers), BBO)
        rows["seq"] = numbers
        halves = [(part, ranks_of(part["seq"])) for part in (rows[:2], rows[2:])]
        lists.append([half for half in halves if len(half[0])])
    taken = [take_sorted(lists, below) for below in (1, 5, 5, 9, 100)]
    assert [[row for rows in each for row in rows["seq"].tolist()] for each in taken] == [
        [],
        [1, 2, 3, 4],
        [],
        [5, 8],
        [9],
    ]
    assert lists == [[], [], []]


def test_rows_of_one_rank_go_by_the_number_of_their_message():
    parts = []
    for ranks, seqs in (((7, 7, 8), (10, 12, 3)), ((7, 8), (11, 2))):
        rows = np.zeros(len(seqs), BBO)
        rows["seq"] = seqs
        parts.append([(rows, ranks_of(ranks))])
    (rows,) = take_sorted(parts, 9)
    slow = sorted(itertools.chain([(7, 10), (7, 12), (8, 3)], [(7, 11), (8, 2)]))
    assert rows["seq"].tolist() == [seq for _rank, seq in slow]


def test_the_command_says_who_had_how_much(run: Run, session: Path):
    code, out, _error = run(session, "--shards", 2, "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 0
    assert len(result["shard_messages"]) == 2
    assert sum(result["shard_messages"]) == result["messages"] == 1_500
    code, out, _error = run(session, "--shards", 2)
    assert code == 0
    assert "shard messages" in out
    code, out, _error = run(session, "--json")
    assert code == 0
    assert "shard_messages" not in out


@pytest.mark.parametrize("shards", [0, -1, SHARDS_MAX + 1])
def test_a_number_of_shards_that_is_none_is_refused(run: Run, session: Path, shards: int):
    code, _out, error = run(session, "--shards", shards)
    assert code == 2
    assert f"from 1 to {SHARDS_MAX}" in error


def test_market_data_of_fix_is_refused_by_several(run: Run, tmp_path: Path):
    body = "35=W|49=V|56=C|34=1|52=20260102-10:00:00|55=AB|268=1|269=0|270=1|271=5|".replace(
        "|", "\1"
    )
    head = f"8=FIX.4.4\x019={len(body)}\x01"
    message = head + body + f"10={sum((head + body).encode()) % 256:03d}\x01"
    (tmp_path / "day.fix").write_text(message)
    assert run(tmp_path / "day.fix")[0] == 0
    code, _out, error = run(tmp_path / "day.fix", "--shards", 2)
    assert code == 2
    assert "FIX market data is replayed by one shard" in error
