"""Many watchers at once, some of which do not read: everybody else gets everything in time, and no
client costs more memory than its limits say.

`HUB_SECONDS=60` in the environment makes the long run; `-s` shows its figures.
"""

import asyncio
import os
import socket
import time
from typing import Any

import msgspec
import pytest
import uvloop

from tests.unit.feedhandler.server.hub_support import Peer, ServedRig, serving, signal_row

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

SECONDS = int(os.environ.get("HUB_SECONDS", "3"))
QUICK, SLOW, SHARING = 20, 12, 8
BATCH = 10
INTERVAL_S = 0.01
QUEUE = 200
LATE_S = 0.25
"""No machine that runs tests keeps a watcher waiting so long."""


class Reader:
    """Reads all that comes, and how old each message is: `seq` carries when it was sent."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.ids: list[int] = []
        self.ages_s: list[float] = []
        self.notices: list[dict[str, Any]] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while line := await self.peer.reader.readline():
            found = msgspec.json.decode(line)
            if found["type"] == "order":
                self.ids.append(found["signal_id"])
                self.ages_s.append(time.monotonic() - found["seq"] / 1e9)
            elif found["type"] == "end":
                return
            elif found["type"] != "heartbeat":
                self.notices.append(found)


async def subscribe(rig: ServedRig, **arguments: Any) -> Peer:
    peer = await rig.connect()
    assert (await peer.ask("subscribe", kinds=["order"], **arguments))["ok"]
    return peer


async def stalled(rig: ServedRig, policy: str) -> socket.socket:
    """A watcher that never reads again, with a small buffer so that it shows soon."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", rig.server.port))
    command = b'{"cmd":"subscribe","id":1,"kinds":["order"],"policy":"%b"}\n' % policy.encode()
    await loop.sock_sendall(sock, command)
    assert b'"ok":true' in await loop.sock_recv(sock, 4_096)
    return sock


async def send(rig: ServedRig) -> int:
    """Signals at a steady pace; how many."""
    number = 0
    until_s = time.monotonic() + SECONDS
    while time.monotonic() < until_s:
        seq = int(time.monotonic() * 1e9)
        rows = [signal_row(number + i, seq=seq, instrument=i % 20) for i in range(BATCH)]
        rig.hub.take_signals(rows)
        number += BATCH
        for client in rig.hub.clients.values():
            assert client.queued <= QUEUE
        await asyncio.sleep(INTERVAL_S)
    rig.hub.deal_all()
    return number


async def run() -> None:
    limits = {"clients": 64, "queue": QUEUE, "stall_s": 3_600}
    async with serving(**limits) as rig:
        quick = [Reader(await subscribe(rig)) for _ in range(QUICK)]
        sharing = [
            Reader(await subscribe(rig, share="desk", deal="message")) for _ in range(SHARING)
        ]
        slow = [await stalled(rig, ("conflate", "cut")[n % 2]) for n in range(SLOW)]
        sent = await send(rig)
        held = [connection._transport for connection in rig.server.connections]
        buffers = [each.get_write_buffer_size() for each in held if each is not None]
        rig.hub.end_all("shutdown", "over")
        await asyncio.wait_for(asyncio.gather(*(r.task for r in (*quick, *sharing))), 20)
        tally = rig.hub.tally
    for sock in slow:
        sock.close()
    everything = list(range(sent))
    for reader in quick:
        assert (reader.notices, reader.ids) == ([], everything)
    assert sorted(number for reader in sharing for number in reader.ids) == everything
    assert min(len(reader.ids) for reader in sharing) > sent // SHARING // 2
    ages = sorted(age for reader in quick for age in reader.ages_s)
    p99_s = ages[len(ages) * 99 // 100]
    print(  # noqa: T201 - the figures of the long run
        f"{sent} signals to {QUICK} watchers, {SHARING} sharing, {SLOW} that do not read:"
        f" p50 {ages[len(ages) // 2] * 1e3:.2f} ms, p99 {p99_s * 1e3:.2f} ms,"
        f" largest write buffer {max(buffers)} bytes, {tally.conflated} conflated, {tally.cut} cut"
    )
    assert p99_s < LATE_S
    assert 0 < max(buffers) < 128 * 1_024
    assert tally.conflated > 0
    assert tally.cut == SLOW // 2


def test_watchers_that_do_not_read_cost_nobody_else_a_message():
    uvloop.run(run())
