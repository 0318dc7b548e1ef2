"""The loader in conversation with a real SoupBinTCP server session."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.glimpse.loader import SnapshotLoader
from protocols.glimpse.session import SnapshotClient, SnapshotComplete
from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.itch50.codec import decode
from protocols.moldudp64.spec import SEQUENCE_LIMIT
from protocols.soupbintcp.events import LoginRequested
from protocols.soupbintcp.session import Server
from tests.unit.feedhandler.core.support import add, system_event

MESSAGES = [add(7, "B", 100, 10_000), system_event(5), add(8, "S", 200, 10_100)]


def blocks_in(memory: np.ndarray, size: int) -> list[bytes]:
    data, found = memory[:size].tobytes(), []
    while data:
        length = int.from_bytes(data[:2], "big")
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


class Conversation:
    """A loader and a server joined by hand; `pace` bytes are delivered at a time."""

    def __init__(self, memory_bytes: int = 4_096, pace: int = 1 << 20) -> None:
        self.memory = np.zeros(memory_bytes, np.uint8)
        self.loader = SnapshotLoader(self.memory, "user", "secret", 0)
        self.server = Server(0)
        self.pace = pace

    def log_in(self) -> LoginRequested:
        self.server.receive(self.loader.data_to_send(0), 0)
        event = self.server.next_event()
        assert isinstance(event, LoginRequested)
        return event

    def deliver(self) -> None:
        data = self.server.data_to_send(0)
        for at in range(0, len(data), self.pace):
            self.loader.receive(data[at : at + self.pace], 0)


@pytest.mark.parametrize("pace", [1, 7, 1 << 20])
def test_snapshot_becomes_blocks_however_its_bytes_are_cut(pace: int):
    talk = Conversation(pace=pace)
    login = talk.log_in()
    assert (login.username, login.password, login.sequence) == ("user", "secret", 1)
    talk.server.accept("SESSION", 1)
    for message in MESSAGES:
        talk.server.send_sequenced(message)
    talk.deliver()
    assert not talk.loader.done
    talk.server.send_debug("half way")
    talk.server.send_sequenced(encode_end_of_snapshot(1_234))
    talk.server.send_sequenced(system_event(6))
    talk.deliver()
    assert talk.loader.done
    assert (talk.loader.blocks, talk.loader.next_seq) == (len(MESSAGES), 1_234)
    assert blocks_in(talk.memory, talk.loader.size_bytes) == MESSAGES


def test_snapshot_of_many_messages_is_copied_batch_by_batch():
    talk = Conversation(memory_bytes=200_000)
    talk.log_in()
    talk.server.accept("SESSION", 1)
    events = [system_event(i) for i in range(9_000)]
    for event in events:
        talk.server.send_sequenced(event)
    talk.server.send_sequenced(encode_end_of_snapshot(9_001))
    talk.deliver()
    assert (talk.loader.done, talk.loader.blocks) == (True, 9_000)
    last = blocks_in(talk.memory, talk.loader.size_bytes)[-1]
    assert decode(last)[1]["timestamp"] == 8_999


def test_debug_text_before_the_answer_is_passed_over():
    talk = Conversation()
    talk.log_in()
    talk.server.send_debug("one moment")
    talk.deliver()
    talk.server.accept("SESSION", 1)
    talk.server.send_sequenced(encode_end_of_snapshot(1))
    talk.deliver()
    assert (talk.loader.done, talk.loader.blocks) == (True, 0)


def test_refused_login_says_why():
    talk = Conversation()
    talk.log_in()
    talk.server.reject("A")
    with pytest.raises(RemoteProtocolError, match="login rejected, reason A"):
        talk.deliver()


def test_snapshot_that_does_not_fit_is_our_fault():
    talk = Conversation(memory_bytes=50)
    talk.log_in()
    talk.server.accept("SESSION", 1)
    for message in MESSAGES:
        talk.server.send_sequenced(message)
    with pytest.raises(LocalProtocolError, match="larger than the 50 bytes"):
        talk.deliver()


def test_end_of_the_session_before_the_end_of_the_snapshot_is_a_fault():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.server.send_sequenced(MESSAGES[0])
    talk.server.end_session()
    with pytest.raises(RemoteProtocolError, match="broke off: END_OF_SESSION"):
        talk.deliver()
    assert talk.loader.blocks == 1


def test_snapshot_whose_number_no_row_holds_is_a_fault():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.server.send_sequenced(encode_end_of_snapshot(SEQUENCE_LIMIT))
    with pytest.raises(RemoteProtocolError, match="no row holds"):
        talk.deliver()


def test_silent_loader_sends_heartbeats():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.deliver()
    assert talk.loader.data_to_send(0) == b""
    assert talk.loader.data_to_send(2_000_000_000) == b"\x00\x01R"


def test_a_loader_is_kept_alive_by_data_and_gives_a_silent_service_up():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.deliver()
    for second in range(1, 40):
        talk.loader.receive(b"\x00\x01H", second * 1_000_000_000)
        assert talk.loader.data_to_send(second * 1_000_000_000) == b"\x00\x01R"
    with pytest.raises(RemoteProtocolError, match="silent for too long"):
        talk.loader.data_to_send(54 * 1_000_000_000)


def test_a_loader_that_is_done_does_not_mind_silence():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.server.send_sequenced(encode_end_of_snapshot(1))
    talk.deliver()
    assert talk.loader.data_to_send(60 * 1_000_000_000) == b""
    talk.loader.receive(b"anything", 60 * 1_000_000_000)


messages = st.lists(st.binary(min_size=1, max_size=60).filter(lambda m: m[:1] != b"G"), max_size=12)


@given(messages, st.integers(0, SEQUENCE_LIMIT - 1), st.integers(1, 80))
def test_the_loader_finds_what_its_slow_twin_finds(snapshot: list[bytes], number: int, pace: int):
    talk, twin = Conversation(pace=pace), SnapshotClient("user", "secret", 0)
    talk.log_in()
    talk.server.accept("SESSION", 1)
    for message in (*snapshot, encode_end_of_snapshot(number)):
        talk.server.send_sequenced(message)
        talk.server.send_debug("between")
    data = talk.server.data_to_send(0)
    for at in range(0, len(data), pace):
        talk.loader.receive(data[at : at + pace], 0)
        twin.receive(data[at : at + pace], 0)
    found = []
    while (event := twin.next_event()) is not None:
        found.append(event)
    assert found[-1] == SnapshotComplete(talk.loader.next_seq, talk.loader.blocks)
    blocks = blocks_in(talk.memory, talk.loader.size_bytes)
    assert [event.message for event in found[:-1]] == blocks == snapshot


def test_loader_of_a_long_snapshot_sends_heartbeats_to_its_end():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    sent = []
    for second in range(1, 60):
        talk.server.send_sequenced(MESSAGES[0])
        now_ns = second * 1_000_000_000
        talk.loader.receive(talk.server.data_to_send(now_ns), now_ns)
        sent.append(talk.loader.data_to_send(now_ns))
    assert set(sent[2:]) == {b"\x00\x01R"}
