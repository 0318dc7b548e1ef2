"""What the OMS tests share: a server on loopback with a ring that the test fills, and counters that
it reads.
"""

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from feedhandler.core.events import LEGS_SHOWN, SIGNAL, SignalKind
from feedhandler.core.ring import allocate_ring, ring_commit_nb, ring_reserve_nb
from oms_out.config import OmsConfig
from oms_out.outlet import Outlet
from oms_out.outlet_layout import State, Word
from oms_out.server import OmsServer
from protocols.fix.framing import Framer
from protocols.fix.message import Identity, decode, encode, encode_fields
from protocols.fix.times import format_utc_timestamp

SOURCES = ("imbalance", "price_band")
INSTRUMENT_COLUMN = (SIGNAL.names or ()).index("instrument")


class Metrics:
    """OmsMetrics that keeps everything."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, int] = {}
        self.latencies_ns: list[int] = []

    def count(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount

    def gauge(self, name: str, value: int) -> None:
        self.gauges[name] = value

    def record_signal_latency(self, latency_ns: int) -> None:
        self.latencies_ns.append(latency_ns)


def signal_row(signal_id: int, **changes: Any) -> tuple[Any, ...]:
    """A row of SIGNAL: an order to buy 300 SYM7 at 101.25, unless changed."""
    now_ns = time.time_ns()
    row = dict.fromkeys(SIGNAL.names or (), 0)
    row |= {"signal_id": signal_id, "kind": SignalKind.ORDER, "side": 1, "instrument": 7}
    row |= {"seq": 1000 + signal_id, "ts_exch_ns": 34_200_000_000_000, "ts_rx_ns": now_ns}
    row |= {"ts_signal_ns": now_ns, "price_e9": 101_250_000_000, "qty": 300}
    row |= {"leg_count": 1, "legs": (7, 0, 0, 0, 0, 0, 0, 0)}
    return tuple((row | changes).values())


class Rig:
    """An OmsServer with its rings, of which `signals` is the first; `restart` gives a new one on
    the same stores.
    """

    def __init__(self, store_dir: Path, *, rings: int = 1, **changes: object) -> None:
        settings: dict[str, object] = {"store_dir": str(store_dir), "allowed": ("OMS1", "OMS2")}
        self.config = OmsConfig(**(settings | changes))  # type: ignore[arg-type]
        self.rings = [allocate_ring(65_536, SIGNAL) for _ in range(rings)]
        self.signals = self.rings[0]
        self.wakeup_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.metrics = Metrics()
        self.server = OmsServer(
            self.config,
            lambda at: f"SYM{at}",
            SOURCES,
            self.rings,
            self.wakeup_fd,
            self.metrics,
        )

    def push(self, *rows: tuple[int, ...], ring: int = 0) -> None:
        """What the producer's kernel does: rows, then the wake-up."""
        signals = self.rings[ring]
        for row in rows:
            at = ring_reserve_nb(signals)
            assert at >= 0
            signals.cells[at] = row
            ring_commit_nb(signals)
        os.eventfd_write(self.wakeup_fd, 1)

    def emit(self, *rows: tuple[int, ...]) -> None:
        """What the producer's kernel does with a sender: rows are sent where that can be done at
        once, then put into the ring; the wake-up is left to `wake`.
        """
        sender = self.server.sender()
        for row in rows:
            at = ring_reserve_nb(self.signals)
            assert at >= 0
            self.signals.cells[at] = row
            symbols = np.zeros(LEGS_SHOWN, np.int64)
            symbols[0] = int.from_bytes(b"SYM%d    " % row[INSTRUMENT_COLUMN], "little")
            memory = (sender.words, sender.texts, sender.scratch)
            sender.send_signal(self.signals.cells, np.int64(at), symbols, *memory)
            ring_commit_nb(self.signals)

    def wake(self) -> None:
        os.eventfd_write(self.wakeup_fd, 1)

    def outlet(self, comp_id: str = "OMS1") -> Outlet:
        found = self.server._accounts[comp_id].outlet
        assert found is not None
        return found

    def is_free(self, comp_id: str = "OMS1") -> bool:
        """Whether the producer may send to this session now."""
        return bool(self.outlet(comp_id)._words[Word.STATE] == State.FREE)

    def status(self, comp_id: str = "OMS1"):
        return next(item for item in self.server.statuses() if item.target_comp_id == comp_id)

    async def stop(self) -> None:
        await self.server.stop(2.0)
        with suppress(OSError):
            os.close(self.wakeup_fd)


class RawPeer:
    """A peer that does only what the test says."""

    def __init__(self, sock: socket.socket, sender: str = "OMS1") -> None:
        self.sock = sock
        self.identity = Identity(sender, "FEEDHANDLER")
        self.framer = Framer()
        self.seq = 0

    async def say(self, msg_type: bytes, body: bytes = b"") -> None:
        self.seq += 1
        stamp = format_utc_timestamp(time.time_ns())
        wire = encode(self.identity, msg_type, self.seq, stamp, body)
        await asyncio.get_running_loop().sock_sendall(self.sock, wire)

    async def log_on(self) -> None:
        await self.say(b"A", encode_fields((98, 0), (108, 30)))
        assert (await self.hear()).msg_type == b"A"

    async def hear(self):
        while (frame := self.framer.next_frame()) is None:
            async with asyncio.timeout(5):
                data = await asyncio.get_running_loop().sock_recv(self.sock, 65_536)
            assert data, "the server closed the connection"
            self.framer.feed(data)
        return decode(frame)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition; the test fails when it does not come true."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "the awaited condition did not come true"
        await asyncio.sleep(0.005)


async def dial(port: int) -> socket.socket:
    """A raw client connection."""
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def read_to_end(sock: socket.socket, seconds: float = 5.0) -> bytes:
    """Everything until the server closes; a reset counts as the end."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(seconds):
        with suppress(ConnectionResetError):
            while piece := await loop.sock_recv(sock, 65_536):
                data += piece
    sock.close()
    return data
