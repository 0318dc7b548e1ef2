"""The sender: what it packs, and when it says that nothing or no more comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError
from protocols.moldudp64.codec import Packet, decode_packet
from protocols.moldudp64.sender import TRANSITIONS, Sender, SenderSettings, State
from protocols.moldudp64.spec import HEADER_BYTES, MESSAGES_MAX, SEQUENCE_MAX

SECOND = 1_000_000_000


def datagrams(sender: Sender, now_ns: int = 0) -> list[Packet]:
    found = []
    while data := sender.data_to_send(now_ns):
        assert len(data) <= sender.settings.datagram_bytes_max
        found.append(decode_packet(data))
    return found


def test_a_packet_has_the_bytes_of_the_specification():
    sender = Sender("SESS", 0, first_sequence=7)
    sender.send(b"x")
    sender.send(b"yy")
    header = b"SESS      " + bytes.fromhex("0000000000000007 0002")
    assert sender.data_to_send(0) == header + bytes.fromhex("0001 78 0002 7979")
    sender.handle_timer(SECOND)
    assert sender.data_to_send(SECOND) == b"SESS      " + bytes.fromhex("0000000000000009 0000")
    sender.end(SECOND)
    assert sender.data_to_send(SECOND) == b"SESS      " + bytes.fromhex("0000000000000009 ffff")


@given(st.lists(st.binary(max_size=50), max_size=40), st.integers(72, 200))
def test_every_message_leaves_once_and_packets_are_full(messages: list[bytes], size_max: int):
    sender = Sender("S", 0, SenderSettings(datagram_bytes_max=size_max))
    for message in messages:
        sender.send(message)
    packets = datagrams(sender)
    assert [message for packet in packets for message in packet.messages] == messages
    sequence = 1
    for at, packet in enumerate(packets):
        assert packet.sequence == sequence
        sequence += len(packet.messages)
        size = HEADER_BYTES + sum(2 + len(message) for message in packet.messages)
        if at + 1 < len(packets):
            assert size + 2 + len(packets[at + 1].messages[0]) > size_max
    assert [sender.kept[number] for number in range(1, sequence)] == messages


def test_a_packet_never_has_as_many_messages_as_would_end_the_session():
    sender = Sender("S", 0, SenderSettings(datagram_bytes_max=1 << 20))
    for _ in range(MESSAGES_MAX + 1):
        sender.send(b"")
    packets = [decode_packet(sender.data_to_send(0)), decode_packet(sender.data_to_send(0))]
    assert [len(packet.messages) for packet in packets] == [MESSAGES_MAX, 1]
    assert not any(packet.ended for packet in packets)


def test_an_idle_sender_says_every_second_what_comes_next():
    sender = Sender("S", 0)
    assert sender.timer_ns() == SECOND
    sender.handle_timer(SECOND - 1)
    assert datagrams(sender) == []
    sender.handle_timer(SECOND)
    assert datagrams(sender, SECOND) == [Packet("S", 1)]
    assert sender.timer_ns() == 2 * SECOND
    sender.send(b"x")
    sender.handle_timer(2 * SECOND)
    # The packet says it all: no heartbeat behind it.
    assert datagrams(sender, 2 * SECOND) == [Packet("S", 1, (b"x",))]


def test_the_end_is_said_behind_the_last_message_and_over_and_over():
    sender = Sender("S", 0)
    sender.send(b"x")
    sender.end(0)
    assert datagrams(sender) == [Packet("S", 1, (b"x",)), Packet("S", 2, ended=True)]
    for second in range(1, 10):
        assert sender.timer_ns() == second * SECOND
        sender.handle_timer(second * SECOND)
        assert datagrams(sender, second * SECOND) == [Packet("S", 2, ended=True)]
    sender.handle_timer(10 * SECOND)
    assert (sender.state, sender.timer_ns(), datagrams(sender)) == (State.CLOSED, None, [])
    sender.handle_timer(11 * SECOND)
    assert datagrams(sender) == []


def test_the_end_comes_even_when_the_queue_is_taken_late():
    sender = Sender("S", 0, SenderSettings(datagram_bytes_max=30))
    for _ in range(3):
        sender.send(b"12345678")
    sender.end(0)
    assert [packet.ended for packet in datagrams(sender)] == [False, False, False, True]


def test_nothing_is_sent_behind_the_end():
    sender = Sender("S", 0)
    sender.end(0)
    with pytest.raises(LocalProtocolError, match="ENDING"):
        sender.send(b"x")
    with pytest.raises(LocalProtocolError, match="ENDING already"):
        sender.end(0)


def test_a_message_that_fits_no_datagram_is_our_fault():
    sender = Sender("S", 0, SenderSettings(datagram_bytes_max=30))
    sender.send(bytes(8))
    with pytest.raises(LocalProtocolError, match="a datagram holds 8"):
        sender.send(bytes(9))


def test_a_session_is_full_when_its_end_could_not_be_numbered_any_more():
    sender = Sender("S", 0, first_sequence=SEQUENCE_MAX - 2)
    sender.send(b"a")
    sender.send(b"b")
    with pytest.raises(LocalProtocolError, match="the session is full"):
        sender.send(b"c")
    sender.end(0)
    assert datagrams(sender) == [
        Packet("S", SEQUENCE_MAX - 2, (b"a", b"b")),
        Packet("S", SEQUENCE_MAX, ended=True),
    ]


def test_every_state_is_in_the_table():
    assert set(TRANSITIONS) == set(State)
