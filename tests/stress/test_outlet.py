"""Two threads on one FIX session. Forbidden: a number or a signal lost, doubled or out of order on
the wire, a message in the store that differs from the one sent, a signal measured twice or never.
"""

import asyncio
import random
import threading
from pathlib import Path

import numpy as np
import pytest

from oms_out.contract import OmsCount
from oms_out.outlet_layout import Word
from oms_out.store import FileStore
from protocols.fix.message import FixMessage, encode_fields
from tests.stress.signal_source import MADE, STOP, make_control, make_signals_nb
from tests.unit.oms_out.support import RawPeer, Rig, dial, until

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

SIGNALS = 20_000
PAUSE_US = 300


class Listener:
    """Reads a session to the end of the signals, and sorts what came."""

    def __init__(self, peer: RawPeer, last_id: int) -> None:
        self.fresh: list[FixMessage] = []
        self.repeats = 0
        self.is_done = asyncio.Event()
        self._peer = peer
        self._last_id = last_id

    async def run(self) -> None:
        while not self.is_done.is_set():
            message = await self._peer.hear()
            if message.flag(43):
                self.repeats += 1
                continue
            self.fresh.append(message)
            if message.number(5001) == self._last_id:
                self.is_done.set()


async def disturb(rig: Rig, peer: RawPeer, listener: Listener) -> None:
    """Make the control plane number and send as well: answers, replays, and turns in which it only
    holds the session for a moment.
    """
    rng = random.Random(11)
    while not listener.is_done.is_set():
        choice = rng.randrange(4)
        if choice < 2:
            await peer.say(b"1", encode_fields((112, "T")))
        elif choice == 2 and len(listener.fresh) > 10:
            newest = listener.fresh[-1].number(34) or 1
            await peer.say(b"2", encode_fields((7, max(1, newest - 40)), (16, newest)))
        else:
            rig.outlet().take()
            await asyncio.sleep(0.0005)
            link = rig.server._accounts["OMS1"].link
            assert link is not None
            link.flush()
        await asyncio.sleep(rng.random() * 0.004)


async def test_two_threads_share_a_session_without_a_lock(tmp_path: Path):
    rig = Rig(tmp_path, allowed=("OMS1",), outbound_cap_bytes=64 << 20)
    await rig.server.start()
    peer = RawPeer(await dial(rig.server.port))
    await peer.log_on()
    await until(rig.is_free)
    listener = Listener(peer, SIGNALS)
    control, wakeup = make_control(), np.array([1, rig.wakeup_fd], np.int64)
    source = threading.Thread(
        target=lambda: make_signals_nb(
            rig.signals, rig.server.sender(), 1, SIGNALS, PAUSE_US, wakeup, control
        )
    )
    source.start()
    try:
        async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.run())
            tasks.create_task(disturb(rig, peer, listener))
    finally:
        control[STOP] = 1
        source.join()
    await until(lambda: rig.server.published_count == SIGNALS)
    assert control[MADE] == SIGNALS
    await until(rig.is_free)
    words = rig.outlet()._words
    assert words[Word.HOT_ID] > 0, "the hot thread never sent"
    assert words[Word.LEFT] > 0, "the hot thread never met the control plane"
    numbers = [message.number(34) for message in listener.fresh]
    ids = [message.number(5001) for message in listener.fresh if message.msg_type == b"D"]
    assert ids == list(range(1, SIGNALS + 1))
    # Session messages that were sent while a replay ran are gap filled when there are many.
    assert numbers == sorted(set(numbers))
    assert len(rig.metrics.latencies_ns) == SIGNALS
    assert rig.metrics.counts[OmsCount.SIGNALS_UNMEASURED] == 0
    assert rig.metrics.counts[OmsCount.SIGNALS_UNSTORED] == 0
    assert listener.repeats > 0
    peer.sock.close()
    await rig.stop()
    sent = {message.number(34): message for message in listener.fresh if message.number(5001)}
    store = FileStore(tmp_path / "session-OMS1")
    stored = {seq: raw for seq, raw in store.read(1, store.next_outgoing) if raw}
    store.close()
    assert stored.keys() == sent.keys()
    for seq, raw in stored.items():
        assert b"\x01".join(b"%d=%b" % item for item in sent[seq].fields) + b"\x01" == raw
