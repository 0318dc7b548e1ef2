"""A packet that nobody brings, wherever in the session: up to it the signals are those of the whole
session, and behind it, where books may be wrong, there are none.
"""

from pathlib import Path

import pytest

from protocols.pcap.sniff import sniff_format
from tests.unit.tools.replay.seeing import SYMBOLS, config_with_legs
from tests.unit.tools.replay.support import (
    Datagram,
    end_of_session,
    packets_of,
    session_messages,
    write_capture,
)
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.replay import Replay

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(600)]

_PACKET_MESSAGES = 3
_MESSAGES = 600
_LEAST_SIGNALS = 200

Signals = list[tuple[int, ...]]


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    path = tmp_path_factory.mktemp("session") / "day.bin"
    settings = FlowSettings(11, len(SYMBOLS), messages=_MESSAGES, orders_per_symbol=20)
    generate_file(settings, path)
    return session_messages(path)


def signals_of(messages: list[bytes], lost: frozenset[tuple[int, int]], path: Path) -> Signals:
    """What a replay of both lines signals; `lost` are packets by (line, number)."""
    packets = packets_of(messages, _PACKET_MESSAGES)
    arrivals = [
        Datagram(line, packet)
        for number, packet in enumerate(packets)
        for line in (0, 1)
        if (line, number) not in lost
    ]
    write_capture(path, [*arrivals, Datagram(0, end_of_session(messages))])
    found: Signals = []
    fields = ["signal_id", "kind", "source", "instrument", "seq", "side", "level", "price_e9"]
    fields += ["qty", "value_0", "value_1", "value_2"]
    replay = Replay(config_with_legs(), on_signals=lambda rows: found.extend(rows[fields].tolist()))
    replay.run(path, sniff_format(path))
    return found


def test_a_book_in_doubt_yields_no_signal_wherever_the_gap_is(
    messages: list[bytes], tmp_path: Path
):
    path = tmp_path / "day.pcap"
    whole = signals_of(messages, frozenset(), path)
    assert len(whole) > _LEAST_SIGNALS
    packets = -(-len(messages) // _PACKET_MESSAGES)
    assert packets >= _MESSAGES // _PACKET_MESSAGES
    for number in range(1, packets):
        first_lost = 1 + number * _PACKET_MESSAGES
        found = signals_of(messages, frozenset({(0, number), (1, number)}), path)
        assert found == [each for each in whole if each[4] < first_lost], number


def test_a_gap_that_the_other_line_fills_changes_no_signal(messages: list[bytes], tmp_path: Path):
    path = tmp_path / "day.pcap"
    whole = signals_of(messages, frozenset(), path)
    packets = -(-len(messages) // _PACKET_MESSAGES)
    for number in range(1, packets):
        assert signals_of(messages, frozenset({(number % 2, number)}), path) == whole, number
