"""Whatever two lines do to a stream, a replay of both gives the books of what at least one of them
brought, and counts the rest.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tools.replay.support import (
    Datagram,
    end_of_session,
    make_session,
    packets_of,
    replay_file,
    session_messages,
    slow_book,
    write_capture,
)

pytestmark = pytest.mark.compiled_only

_PACKET_MESSAGES = 3
_PACKETS = 60
_DELAY_MAX = 8
"""Packets: times the four copies at most of each, fewer than pass before a hole is given up."""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = make_session(tmp_path_factory.mktemp("session") / "day.bin", messages=500, seed=11)
    return session_messages(path)[-_PACKETS * _PACKET_MESSAGES :]


# What becomes of the packets of a line, in turn: lost, or how many packets late each copy comes.
fates = st.lists(
    st.sampled_from([(), (0,), (0, 1), (5,), (_DELAY_MAX, 2)]), min_size=1, max_size=12
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.tuples(fates, fates))
def test_two_lossy_lines_are_one_stream(
    lines: tuple[list[tuple[int, ...]], ...], messages: list[bytes], tmp_path: Path
):
    packets = packets_of(messages, size=_PACKET_MESSAGES)
    arrivals: list[tuple[int, int, Datagram]] = [(0, 0, Datagram(0, packets[0]))]
    present = list(messages[:_PACKET_MESSAGES])
    for number in range(1, _PACKETS):
        fate = [line[number % len(line)] for line in lines]
        for line, delays in enumerate(fate):
            arrivals += [(number + late, line, Datagram(line, packets[number])) for late in delays]
        if any(fate):
            start = number * _PACKET_MESSAGES
            present += messages[start : start + _PACKET_MESSAGES]
    arrivals.sort(key=lambda arrival: arrival[:2])
    datagrams = [datagram for _, _, datagram in arrivals]
    capture = tmp_path / "day.pcap"
    write_capture(capture, [*datagrams, Datagram(1, end_of_session(messages))])
    outcome = replay_file(capture)
    assert outcome.messages == len(present)
    assert outcome.missing_messages == len(messages) - len(present)
    twin = slow_book(present)
    assert outcome.books_digest == twin.digest()
    assert outcome.unknown_references == twin.unknown_references
    assert (outcome.gaps == 0) == (outcome.missing_messages == 0)
