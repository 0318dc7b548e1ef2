"""Sessions of a run: ids, numbers of messages, where one ends and the next begins, old requests."""

import asyncio
import socket
from itertools import groupby

import pytest

from protocols.moldudp64.codec import Packet, Request, decode_packet, encode_request
from tests.unit.tools.exchange.support import Receiver, run_with, until
from tools.exchange import sender as sending
from tools.exchange.config import Flow, Session
from tools.exchange.day import OPEN_NS
from tools.exchange.runner import Exchange
from tools.exchange.sessions import allocate_sessions, following_id, place_of_nb, told_sessions

RATE, SECONDS = 2_000, 0.3
ROLLS_NS = (OPEN_NS + 60_000_000, OPEN_NS + 170_000_000)
IDS = ("ROLL09", "ROLL10", "ROLL11")


def stamp_ns(message: bytes) -> int:
    return int.from_bytes(message[5:11], "big")


@pytest.mark.parametrize(
    ("first", "step", "following"),
    [("FH00000001", 0, "FH00000001"), ("FH00000009", 1, "FH00000010"), ("7", 2, "9")],
)
def test_ids_count_on_from_the_first_one(first: str, step: int, following: str):
    assert following_id(first, step) == following


@pytest.mark.parametrize("first", ["FEED", "FH99", ""])
def test_an_id_that_cannot_be_counted_on_from_is_refused_when_another_follows(first: str):
    assert following_id(first, 0) == first
    with pytest.raises(ValueError, match="needs a number at its end"):
        allocate_sessions(first, (1,))


def test_without_a_roll_there_is_one_session():
    sessions = allocate_sessions("ANY")
    assert place_of_nb(sessions, 1 << 40) == 0
    assert told_sessions(sessions, 7) == [{"id": "ANY", "messages": 7}]


def ask(exchange: Exchange, session: str, sequence: int, count: int) -> Packet | None:
    """What the server for requests answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as requester:
        requester.settimeout(0.3)
        requester.connect(("127.0.0.1", exchange.ports["rerequest"]))
        requester.send(encode_request(Request(session, sequence, count)))
        try:
            return decode_packet(requester.recv(2048))
        except TimeoutError:
            return None


async def test_each_session_numbers_from_one_and_its_end_comes_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("tools.exchange.runner.rolls_of", lambda _scenario: ROLLS_NS)
    answers: list[Packet | None] = []

    async def visit(exchange: Exchange) -> None:
        await until(lambda: int(exchange.sender.progress[sending.SENT]) == flow.total)
        firsts = exchange.sender.sessions.firsts.tolist()
        for place, session in enumerate(IDS):
            answers.append(await asyncio.to_thread(ask, exchange, session, 1, 2))
            beyond = firsts[place + 1] - firsts[place] if place < 2 else flow.total
            answers.append(await asyncio.to_thread(ask, exchange, session, beyond, 5))
        answers.append(await asyncio.to_thread(ask, exchange, "ROLL12", 1, 1))

    flow = Flow(
        seed=5, symbols=2, rate=RATE, simulated_rate=RATE, seconds=SECONDS, start_delay_ms=0
    )
    with Receiver() as receiver:
        config = receiver.config(flow, Session(id=IDS[0], heartbeat_ms=20, end_linger_s=3))
        report, _ = await run_with(config, receiver, visit)
    for packets in receiver.packets:
        order = [name for name, _ in groupby(each.session for each in packets if each.messages)]
        assert order == list(IDS)
        for place, session in enumerate(IDS):
            own = [each for each in packets if each.session == session]
            messages, following = [], 1
            for each in own:
                if each.messages:
                    assert each.sequence == following
                    following += len(each.messages)
                    messages += each.messages
            ends = [each.sequence for each in own if each.ended]
            assert ends[:1] == [following]
            assert len(ends) >= 2
            before = [each.ended for each in own].index(True)
            assert not any(each.messages for each in own[before:])
            limits = (0, *ROLLS_NS, 1 << 60)[place : place + 2]
            assert all(limits[0] <= stamp_ns(each) < limits[1] for each in messages)
            assert {"id": session, "messages": len(messages)} == report["sessions"][place]
            start, beyond = answers[2 * place], answers[2 * place + 1]
            assert start == Packet(session, 1, tuple(messages[:2]))
            if place < 2:
                assert beyond == Packet(session, len(messages), (messages[-1],))
    assert sum(each["messages"] for each in report["sessions"]) == report["sent"]
    assert answers[-1] is None
    assert report["rerequest"]["requests_other_session"] == 1
