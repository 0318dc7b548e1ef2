import numpy as np
import pytest

from adapters.nasdaq_itch.adapter import ADAPTER
from feedhandler.core.api import Packet
from feedhandler.core.counts import Count
from protocols.glimpse.loader import SnapshotLoader
from protocols.moldudp64.codec import Request, decode_request
from protocols.moldudp64.kernels import request_nb
from protocols.moldudp64.spec import SEQUENCE_LIMIT, SEQUENCE_MAX, PacketKind
from tests.unit.feedhandler.core.support import Engine, heartbeat, packet, system_event


def test_session_stands_in_packets_padded_with_spaces():
    assert ADAPTER.session_bytes("ABC") == b"ABC       "


def test_session_that_is_not_configured_is_zeros():
    assert ADAPTER.session_bytes("") == bytes(10)


def test_adapter_names_itself_and_its_snapshots():
    assert (ADAPTER.name, ADAPTER.snapshot_loader) == ("nasdaq_itch", SnapshotLoader)


def test_engine_understands_packets_through_the_venue():
    engine = Engine()
    engine.take(heartbeat(1))
    engine.take(packet(1, [system_event()]))
    engine.take(b"x")
    assert (engine.count(Count.HEARTBEATS), engine.count(Count.APPLIED)) == (1, 1)
    assert engine.count(Count.REJECTED_MALFORMED) == 1


def test_kinds_of_packets_are_those_of_every_venue():
    assert [(kind.name, kind) for kind in PacketKind] == [(code.name, code) for code in Packet]


def test_request_asks_for_a_stretch_of_the_session():
    out = np.zeros(64, np.uint8)
    session = np.frombuffer(b"TEST000001", np.uint8).copy()
    size = request_nb(out, session, 1_000_000_007, 250)
    assert decode_request(out[:size].tobytes()) == Request("TEST000001", 1_000_000_007, 250)


@pytest.mark.parametrize("sequence", [SEQUENCE_LIMIT, 2**63 - 1, 2**63, SEQUENCE_MAX])
def test_engine_counts_a_number_that_no_row_holds_and_goes_on(sequence: int):
    engine = Engine()
    engine.take(heartbeat(1))
    engine.take(heartbeat(sequence))
    engine.take(packet(1, [system_event()]))
    assert engine.count(Count.REJECTED_MALFORMED) == 1
    assert engine.count(Count.APPLIED) == 1
