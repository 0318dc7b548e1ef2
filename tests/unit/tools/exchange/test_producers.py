"""The threads behind a session of parts: whose turn it is, and what becomes of a failure."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from feedhandler.server.errors import UserError
from tools.exchange import parts as parted
from tools.exchange import producers as made_by
from tools.exchange.flow import generate_nb
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.parts import PartedSession
from tools.exchange.producers import BLOCKS, Producers

FLOW = FlowSettings(4, 6, messages=3_000, orders_per_symbol=20, parts=3)


def running() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("producer-")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert running() == []


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_of_a_part_come_in_order_and_none_is_filled_while_it_is_read(threads: int):
    parts, blocks = 3, 40
    rows = np.zeros(parts * BLOCKS, np.int64)
    made, inside = [0] * parts, [0] * parts

    def fill(part: int, row: int) -> int:
        inside[part] += 1
        assert inside[part] == 1, "two threads in one part"
        assert row // BLOCKS == part
        made[part] += 1
        rows[row] = made[part]
        inside[part] -= 1
        return made[part]

    with Producers(fill, parts, threads) as producers:
        for number in range(1, blocks):
            taken = [producers.next_block(part) for part in range(parts)]
            assert [size for _, size in taken] == [number] * parts
            assert [rows[row] for row, _ in taken] == [number] * parts
            for part, (row, _) in enumerate(taken):
                producers.give_back(part, row)
        assert len(running()) == threads


def test_a_part_is_no_more_than_its_blocks_ahead():
    made: list[int] = []
    is_ahead = threading.Event()

    def fill(part: int, row: int) -> int:
        made.append(row)
        if len(made) == BLOCKS:
            is_ahead.set()
        return part + 1

    with Producers(fill, 1, 2) as producers:
        assert is_ahead.wait(10)
        assert producers.next_block(0) == (0, 1)
        assert made == list(range(BLOCKS))


def test_a_failure_in_a_thread_reaches_whoever_waits_for_a_block():
    def fill(part: int, row: int) -> int:
        raise MemoryError(f"part {part}, row {row}")

    with Producers(fill, 1, 1) as producers:
        with pytest.raises(UserError, match="a producer failed: MemoryError: part 0, row 0"):
            producers.next_block(0)
        with pytest.raises(UserError, match="a producer failed"):
            producers.next_block(0)


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(made_by, "_PATIENCE_S", 0.05)
    is_over = threading.Event()
    threads = []

    def fill(part: int, row: int) -> int:
        threads.append(threading.current_thread())
        is_over.wait(10)
        return part + row

    error = pytest.raises(UserError, match="no producer made a block of part 0 in 0 s")
    with Producers(fill, 1, 1) as producers, error:
        producers.next_block(0)
    is_over.set()
    threads[0].join(10)


def test_a_session_that_is_left_early_stops_its_threads():
    out = np.zeros(1 << 12, np.uint8)
    with PartedSession(FLOW, 3, 1_000) as session:
        while session.generate(out, 100)[0]:
            if session.truth()["messages"] > 500:
                break
        assert len(running()) == 3
    assert running() == []


@pytest.mark.parametrize("messages", [3, 10, 21])
def test_a_session_without_flow_starts_no_thread(messages: int):
    out = np.zeros(1 << 12, np.uint8)
    with PartedSession(FLOW._replace(messages=messages), 3) as session:
        while session.generate(out, 100)[0]:
            assert running() == []
        assert session.truth()["messages"] == messages


def test_no_more_threads_than_parts():
    with PartedSession(FLOW, 64, 1_000) as session:
        while not running():
            session.generate(np.zeros(1 << 12, np.uint8), 100)
        assert len(running()) == 3


def test_a_disk_that_is_full_stops_the_threads():
    with pytest.raises(OSError, match="No space left"):
        generate_file(FLOW, Path("/dev/full"), 2)


def failing_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the third block of a producer fail."""
    calls = []

    def generate(engine: object, out: object, limit: int) -> tuple[int, int]:
        if threading.current_thread().name.startswith("producer-"):
            calls.append(1)
            if len(calls) == 3:
                raise RuntimeError("a fault in an engine")
        return generate_nb(engine, out, limit)  # type: ignore[arg-type]

    monkeypatch.setattr(parted, "generate_nb", generate)


@pytest.mark.parametrize("producers", [1, 2, 3])
def test_a_producer_that_fails_ends_the_session(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, producers: int
):
    failing_producer(monkeypatch)
    with pytest.raises(UserError, match="a producer failed: RuntimeError: a fault in an engine"):
        generate_file(FLOW._replace(messages=200_000), tmp_path / "day.bin", producers)
    assert not (tmp_path / "day.bin.truth.json").exists()
