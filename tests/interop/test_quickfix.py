"""QuickFIX at the other end, as acceptor and as initiator, with gaps on both sides.

`make interop` sets up the environment that has QuickFIX (it compiles for some minutes) and runs
these; without it they are skipped.
"""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from oms_out.link import Link
from protocols.fix.events import ApplicationMessage, Event, GapDetected, LoggedOn
from protocols.fix.message import Identity, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MemoryStore
from tools.demo.setup import free_ports
from tools.fix_echo.server import ECHOED_TYPES, EchoServer

PYTHON = Path(os.environ.get("FEEDHANDLER_PEERS", ".venv-peers")) / "bin" / "python"
PEER = Path(__file__).with_name("quickfix_peer.py")
VERSIONS = ("FIX.4.2", "FIX.4.4", "FIXT.1.1")
WAIT_S = 15.0
TICK_S = 0.05

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="needs QuickFIX: make interop")


class Peer:
    """The QuickFIX process: what it said, and what it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, role: str, port: int, version: str, store: Path) -> Self:
        words = ["--role", role, "--port", str(port), "--begin", version, "--store", str(store)]
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(PYTHON, PEER, *words, stdin=pipe, stdout=pipe)
        )

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.events.append(json.loads(line))

    async def tell(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self.sees(event="done", command=command)

    async def sees(self, **wanted: str) -> None:
        """Wait until an event has all these values."""
        deadline = time.monotonic() + WAIT_S
        while not any(wanted.items() <= event.items() for event in self.events):
            assert time.monotonic() < deadline, (wanted, self.events)
            await asyncio.sleep(TICK_S)

    def ids(self, **wanted: str) -> list[str]:
        """ClOrdIDs of the orders that came, first arrivals or those with these values."""
        return [
            event["id"]
            for event in self.events
            if event["event"] == "app_in" and wanted.items() <= event.items()
        ]

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._process.stdin is not None:
                self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), WAIT_S)
            except TimeoutError:
                self._process.kill()
        await self._reader


class Initiator:
    """Our session as an initiator on one connection; counts what it is told."""

    def __init__(self, session: FixSession) -> None:
        self.session = session
        self.events: list[Event] = []
        self.link: Link | None = None
        self.was_clean: bool | None = None

    async def dial(self, port: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            except ConnectionRefusedError:
                sock.close()
                assert time.monotonic() < deadline
                await asyncio.sleep(TICK_S)
            else:
                break
        self.link = Link(
            sock, self.session, self, outbound_cap_bytes=1 << 20, clock_ns=time.time_ns
        )
        self.link.start()
        self._ticks = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while self.link is not None:
            self.link.tick(time.time_ns())
            await asyncio.sleep(TICK_S)

    async def sees(self, kind: type) -> None:
        deadline = time.monotonic() + WAIT_S
        while not any(isinstance(event, kind) for event in self.events):
            assert time.monotonic() < deadline, self.events
            await asyncio.sleep(TICK_S)

    def ids(self) -> list[str]:
        found = [event for event in self.events if isinstance(event, ApplicationMessage)]
        return [event.message.get(Tag.CL_ORD_ID).decode() for event in found]

    def send_order(self, order_id: str) -> None:
        made_at = time.strftime("%Y%m%d-%H:%M:%S", time.gmtime())
        body = encode_fields(
            (Tag.CL_ORD_ID, order_id), (21, "1"), (55, "ZVZZT"), (54, "1"), (60, made_at),
            (38, 100), (40, "2"), (44, "10.5"),
        )  # fmt: skip
        self.session.send(((MsgType.NEW_ORDER_SINGLE, body),), time.time_ns())
        assert self.link is not None
        self.link.flush()

    def on_event(self, _link: Link, event: Event) -> None:
        self.events.append(event)

    def on_sent(self, _stamps: list[int]) -> None:
        """Nothing is measured here."""

    def on_closed(self, _link: Link, _reason: str, *, was_clean: bool) -> None:
        self.link, self.was_clean = None, was_clean


def settings(version: str, *, is_initiator: bool) -> SessionSettings:
    identity = Identity("OURS", "QUICK", version.encode())
    return SessionSettings(identity, is_initiator, ECHOED_TYPES)


@contextlib.asynccontextmanager
async def echo_server(version: str) -> AsyncIterator[EchoServer]:
    server, stop = (
        EchoServer(settings(version, is_initiator=False), lambda _line: None),
        asyncio.Event(),
    )
    server.listen("127.0.0.1", 0)
    task = asyncio.create_task(server.run(stop))
    yield server
    stop.set()
    await task


@pytest.mark.parametrize("version", VERSIONS)
async def test_quickfix_as_initiator_gets_every_order_back_through_gaps_on_both_sides(
    version: str, tmp_path: Path
):
    async with echo_server(version) as server:
        peer = await Peer.start("initiator", server.port, version, tmp_path)
        try:
            await peer.sees(event="logon")
            await peer.tell("send 3 1")
            await peer.sees(event="app_in", id="Q3")
            # Numbers left out: we ask, QuickFIX fills, and the order behind the gap is answered.
            await peer.tell("skip 4")
            await peer.tell("send 1 10")
            await peer.sees(event="admin_in", type="2", begin="5")
            await peer.sees(event="app_in", id="Q10")
            # QuickFIX expects an old number: it asks, and gets ours again as possible duplicates.
            await peer.tell("expect 2")
            await peer.tell("send 1 20")
            await peer.sees(event="admin_out", type="2", begin="2")
            await peer.sees(event="app_in", id="Q20")
            assert peer.ids(dup="Y") == ["Q1", "Q2", "Q3", "Q10"]
            await peer.tell("logout")
            await peer.sees(event="logout")
        finally:
            await peer.stop()
    assert server.echoed_count == 5
    assert not [event for event in peer.events if event.get("type") == "3"], "a Reject"


@pytest.mark.parametrize("version", VERSIONS)
async def test_quickfix_as_acceptor_takes_every_order_through_gaps_on_both_sides(
    version: str, tmp_path: Path
):
    (port,) = free_ports(1)
    ours = Initiator(FixSession(settings(version, is_initiator=True), MemoryStore()))
    peer = await Peer.start("acceptor", port, version, tmp_path)
    try:
        await peer.sees(event="started")
        await ours.dial(port)
        await ours.sees(LoggedOn)
        await peer.sees(event="logon")
        for number in range(3):
            ours.send_order(f"O{number}")
        await peer.sees(event="app_in", id="O2")
        # QuickFIX leaves numbers out: we ask and go on.
        await peer.tell("skip 4")
        await peer.tell("send 1 10")
        await ours.sees(GapDetected)
        await ours.sees(ApplicationMessage)
        assert ours.ids() == ["Q10"]
        # It expects an old number of ours: our orders come again, marked.
        await peer.tell("expect 2")
        ours.send_order("O9")
        await peer.sees(event="app_in", id="O9")
        assert peer.ids(dup="Y") == ["O0", "O1", "O2"]
        assert ours.link is not None
        ours.link.log_out("done")
        await peer.sees(event="logout")
    finally:
        await peer.stop()
    assert ours.was_clean
    assert not [event for event in peer.events if event.get("type") == "3"], "a Reject"
