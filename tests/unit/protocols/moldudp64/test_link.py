"""Sender, re-request server and receiver as a pair over links that lose, double and reorder."""

import random
from dataclasses import replace

import pytest

from protocols.moldudp64 import events as mold
from protocols.moldudp64.receiver import Receiver, ReceiverSettings, State
from protocols.moldudp64.rerequest_client import RequestSettings
from protocols.moldudp64.rerequest_server import AnswerSettings, RequestServer
from protocols.moldudp64.sender import Sender, SenderSettings
from protocols.moldudp64.spec import SEQUENCE_MAX
from tests.reference.lossy_link import LossyLink

MS = 1_000_000
SECOND = 1_000_000_000


class Network:
    """A sender, two lines and a re-request server, as one receiver sees them in simulated time."""

    def __init__(
        self, seed: int, first: int, settings: ReceiverSettings, kept: int = 10_000
    ) -> None:
        rng = random.Random(seed)
        self.rng, self.now_ns = rng, 0
        faults = {
            "loss": rng.choice([0, 0.05, 0.4]),
            "duplicate": rng.choice([0, 0.3]),
            "jitter_ns": rng.choice([0, 3 * MS]),
        }
        self.lines = [LossyLink(rng, **faults), LossyLink(rng, **faults)]
        self.asking, self.answering = LossyLink(rng, **faults), LossyLink(rng, **faults)
        self.sender = Sender("SESSION", 0, SenderSettings(200, kept, end_for_ns=60 * SECOND), first)
        self.server = RequestServer(
            "SESSION", self.sender.kept, AnswerSettings(answer_bytes_max=rng.choice([120, 1_400]))
        )
        self.receiver = Receiver(settings)
        self.found: list[mold.Event] = []

    def turn(self) -> None:
        """Move everything that is due at this moment."""
        now_ns = self.now_ns
        self.sender.handle_timer(now_ns)
        while data := self.sender.data_to_send(now_ns):
            for line in self.lines:
                line.send(data, now_ns)
        for request in self.asking.arrived(now_ns):
            answer = self.server.answer(request, "receiver", now_ns)
            if answer:
                self.answering.send(answer, now_ns)
        for link in (*self.lines, self.answering):
            for data in link.arrived(now_ns):
                self.receiver.receive(data, now_ns)
        self.receiver.handle_timer(now_ns)
        while request := self.receiver.data_to_send(now_ns):
            self.asking.send(request, now_ns)
        while (event := self.receiver.next_event()) is not None:
            self.found.append(event)

    def wait(self) -> None:
        """Go on to the next moment at which anything is due."""
        links = (*self.lines, self.asking, self.answering)
        due = [link.next_ns() for link in links]
        due += [self.sender.timer_ns(), self.receiver.timer_ns()]
        self.now_ns = max(self.now_ns + 1, min(at_ns for at_ns in due if at_ns is not None))

    def run(self, count: int) -> list[tuple[int, bytes]]:
        """Send `count` messages and run until the session has ended at the receiver."""
        sent = 0
        while self.receiver.state is not State.ENDED:
            if sent < count:
                for _ in range(min(count - sent, self.rng.randint(0, 20))):
                    sent += 1
                    self.sender.send(b"%d" % sent)
                if sent == count:
                    self.sender.end(self.now_ns)
            self.turn()
            self.wait()
            assert self.now_ns < 50 * SECOND, "the session does not come to its end"
        return [
            (event.sequence + at, message)
            for event in self.found
            if isinstance(event, mold.Messages)
            for at, message in enumerate(event.messages)
        ]


STUBBORN = ReceiverSettings(requests=RequestSettings(timeout_ns=20 * MS, tries_max=1_000))


@pytest.mark.parametrize("first", [1, SEQUENCE_MAX - 500])
@pytest.mark.parametrize("seed", range(20))
def test_every_message_arrives_once_in_order(seed: int, first: int):
    network = Network(seed, first, replace(STUBBORN, first_sequence=first))
    assert network.run(500) == [(first + at, b"%d" % (at + 1)) for at in range(500)]
    assert not any(isinstance(event, mold.Lost) for event in network.found)


@pytest.mark.parametrize("seed", range(10))
def test_with_little_memory_every_message_still_arrives(seed: int):
    settings = replace(STUBBORN, ahead_bytes_max=100)
    assert len(Network(seed, 1, settings).run(500)) == 500


@pytest.mark.parametrize("seed", range(10))
def test_what_cannot_be_had_is_told_and_the_rest_arrives_in_order(seed: int):
    settings = ReceiverSettings(requests=RequestSettings(timeout_ns=20 * MS, tries_max=2))
    network = Network(seed, 1, settings, kept=30)
    found = network.run(500)
    lost = [
        number
        for event in network.found
        if isinstance(event, mold.Lost)
        for number in range(event.sequence, event.end)
    ]
    numbers = [number for number, _ in found]
    assert numbers == sorted(numbers)
    assert sorted(numbers + lost) == list(range(1, 501))
    assert all(message == b"%d" % number for number, message in found)


@pytest.mark.parametrize("seed", range(10))
def test_with_nobody_to_ask_every_message_is_delivered_or_told_lost(seed: int):
    network = Network(seed, 1, ReceiverSettings(requests=None))
    numbers = [number for number, _ in network.run(500)]
    lost = [event for event in network.found if isinstance(event, mold.Lost)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + sum(event.end - event.sequence for event in lost) == 500
