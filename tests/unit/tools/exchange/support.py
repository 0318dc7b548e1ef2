"""Runs of an exchange on loopback, and what receivers on its lines get."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.moldudp64.codec import decode_packet
from tools.exchange.config import ExchangeConfig, Flow, Line, Session
from tools.exchange.layout import FIRST_ROW, LEVEL, QUANTITY, Engine
from tools.exchange.market.scenario import Scenario
from tools.exchange.runner import Exchange, open_sockets
from tools.exchange.tape import Tape

Visit = Callable[[Exchange], Awaitable[Any]]


class Receiver:
    """Two sockets for the lines, and what came by each."""

    def __init__(self) -> None:
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        self.packets = [[], []]
        for one in self.sockets:
            one.bind(("127.0.0.1", 0))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            one.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.sockets:
            one.close()

    def config(
        self, flow: Flow, session: Session, line_a: dict[str, Any] | None = None, **other: Any
    ) -> ExchangeConfig:
        ports = [one.getsockname()[1] for one in self.sockets]
        return ExchangeConfig(
            line_a=Line(port=ports[0], **(line_a or {})),
            line_b=Line(port=ports[1]),
            flow=flow,
            session=session,
            **other,
        )

    def drain(self) -> None:
        for one, packets in zip(self.sockets, self.packets, strict=True):
            with contextlib.suppress(BlockingIOError):
                while True:
                    packets.append(decode_packet(one.recv(2048)))

    def messages(self, line: int) -> dict[int, bytes]:
        found = {}
        for packet in self.packets[line]:
            for index, message in enumerate(packet.messages):
                found[packet.sequence + index] = message
        return found


async def run_with(
    config: ExchangeConfig,
    receiver: Receiver,
    visit: Visit | None = None,
    *,
    is_waiting: bool = False,
    tape: Tape | None = None,
    scenario: Scenario | None = None,
):
    """Run an exchange, collect what its lines carry, and let `visit` do something meanwhile."""
    with open_sockets(config) as sockets:
        exchange = Exchange(config, sockets, is_waiting=is_waiting, tape=tape, scenario=scenario)
        task = asyncio.create_task(exchange.run())
        visited = asyncio.create_task(visit(exchange)) if visit else None
        while not task.done():
            receiver.drain()
            await asyncio.wait({task}, timeout=0.002)
        receiver.drain()
        return await task, (await visited if visited else None)


async def reached(exchange: Exchange, phase: int) -> None:
    """Wait until the sender's thread is in `phase`."""
    for _ in range(2000):
        if exchange.phase() == phase:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"the exchange did not reach phase {phase}")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test fails when it does not come true."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the awaited condition did not come true")


def recount_levels(engine: Engine) -> NDArray[np.int64]:
    """Shares and orders of every level, (levels, 2), from the live orders."""
    slots = np.flatnonzero(engine.orders[:, QUANTITY])
    orders = engine.orders[slots]
    rows = engine.symbols[(slots - 1) // engine.members.shape[1], FIRST_ROW] + orders[:, LEVEL]
    found = np.zeros((len(engine.levels), 2), np.int64)
    np.add.at(found, rows, np.stack([orders[:, QUANTITY], np.ones(len(slots), np.int64)], axis=1))
    return found
