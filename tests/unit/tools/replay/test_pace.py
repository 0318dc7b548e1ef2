"""The pace of a replay, against a clock that only the test moves, and once against the real one."""

import time
from pathlib import Path

import pytest

from tests.unit.tools.replay.support import (
    IMBALANCE,
    INTERVAL_NS,
    START_NS,
    Datagram,
    make_session,
    packets_of,
    replay_file,
    server_config,
    session_messages,
    write_capture,
)
from tools.replay.kernels import FOREVER_NS
from tools.replay.pace import SPEED_MAX, Pace
from tools.replay.replay import Replay

SECOND_NS = 1_000_000_000


class Clock:
    """A clock that a sleep moves, by as much as was asked for."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND_NS
        self.naps: list[float] = []

    def now_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += round(seconds * SECOND_NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pace(clock: Clock, speed: int) -> Pace:
    return Pace(speed, clock.now_ns, clock.sleep)


def test_the_first_event_is_due_at_once(clock: Clock):
    assert pace(clock, 3).wait_for(34_200 * SECOND_NS) == 34_200 * SECOND_NS
    assert clock.naps == []


@pytest.mark.parametrize("speed", [1, 3, 1_000])
def test_an_event_waits_for_its_share_of_the_recorded_time(clock: Clock, speed: int):
    one = pace(clock, speed)
    started_ns = clock.now
    one.wait_for(5)
    assert one.wait_for(5 + 9 * SECOND_NS) >= 5 + 9 * SECOND_NS
    waited_ns = clock.now - started_ns
    assert 9 * SECOND_NS // speed <= waited_ns <= 9 * SECOND_NS // speed + 1_000


def test_events_that_are_due_together_are_told_so(clock: Clock):
    one = pace(clock, 2)
    one.wait_for(100)
    clock.now += SECOND_NS
    assert one.wait_for(200) == 100 + 2 * SECOND_NS
    assert clock.naps == []


def test_a_long_wait_is_slept_in_short_naps(clock: Clock):
    one = pace(clock, 1)
    one.wait_for(0)
    one.wait_for(SECOND_NS)
    assert len(clock.naps) == 20
    assert max(clock.naps) == 0.05


def test_a_paced_replay_takes_the_recorded_time_and_gives_the_same(clock: Clock, tmp_path: Path):
    path = make_session(tmp_path / "day.bin", messages=1_000)
    stamps = [int.from_bytes(message[5:11], "big") for message in session_messages(path)]
    config = server_config((IMBALANCE,))
    fast = Replay(config).run(path, "binaryfile")
    started_ns = clock.now
    paced = Replay(config, pace=pace(clock, 2)).run(path, "binaryfile")
    # The first chunk is due at once, and nothing is early after it.
    most_ns = (stamps[-1] - stamps[0]) // 2
    least_ns = (stamps[-1] - stamps[63]) // 2
    assert least_ns <= clock.now - started_ns <= most_ns + SECOND_NS // 1_000
    assert paced.books_digest == fast.books_digest
    assert paced.signals_digest == fast.signals_digest
    assert fast.signals > 0


def test_a_paced_capture_takes_the_captured_time(tmp_path: Path):
    messages = session_messages(make_session(tmp_path / "day.bin", messages=700))
    datagrams = [Datagram(0, packet) for packet in packets_of(messages)]
    capture = write_capture(tmp_path / "day.pcap", datagrams)
    reached: list[int] = []

    class Watching(Pace):
        def wait_for(self, event_ns: int) -> int:
            reached.append(event_ns)
            return super().wait_for(event_ns)

    started_ns = time.monotonic_ns()
    paced = Replay(server_config(), pace=Watching(1)).run(capture, "pcap")
    took_ns = time.monotonic_ns() - started_ns
    assert took_ns >= (len(datagrams) - 1) * INTERVAL_NS
    assert reached[0] == START_NS
    assert reached == sorted(reached)
    assert paced.books_digest == replay_file(capture).books_digest


def test_what_is_due_after_days_at_the_highest_speed_fits_the_kernels(clock: Clock):
    one = pace(clock, SPEED_MAX)
    one.wait_for(START_NS)
    clock.now += 365 * 86_400 * SECOND_NS
    due_ns = one.wait_for(START_NS + 1)
    assert START_NS < due_ns < FOREVER_NS
    assert one.wait_for(FOREVER_NS - 1) == FOREVER_NS - 1
