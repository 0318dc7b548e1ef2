"""The loader in conversation with a real SoupBinTCP server session."""

import numpy as np
import pytest

from adapters.nasdaq_itch.snapshot import SnapshotLoader
from protocols.errors import RemoteProtocolError
from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.itch50.codec import decode
from protocols.soupbintcp.session import LoginRequested, Server
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


def test_snapshot_that_does_not_fit_names_the_setting():
    talk = Conversation(memory_bytes=50)
    talk.log_in()
    talk.server.accept("SESSION", 1)
    for message in MESSAGES:
        talk.server.send_sequenced(message)
    with pytest.raises(RemoteProtocolError, match="larger than 50 bytes; raise engine"):
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


def test_snapshot_whose_number_no_session_reaches_is_a_fault():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.server.send_sequenced(encode_end_of_snapshot(2**62))
    with pytest.raises(RemoteProtocolError, match="no session gets there"):
        talk.deliver()


def test_silent_loader_sends_heartbeats():
    talk = Conversation()
    talk.log_in()
    talk.server.accept("SESSION", 1)
    talk.deliver()
    assert talk.loader.data_to_send(0) == b""
    assert talk.loader.data_to_send(2_000_000_000) == b"\x00\x01R"


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
