"""The process whose hot thread sends signals is killed at random moments: no id is lost or comes
twice, and the numbers go on.
"""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import allocate_ring, ring_take_rows_nb
from oms_out.outlets import Outlets, warm_up_outlets
from oms_out.store import FileStore
from protocols.fix.message import decode
from tests.stress.signal_source import make_control, make_signals_nb
from tests.unit.oms_out.support import until
from tools.demo.setup import free_ports
from tools.oms_client.client import ClientSettings, OmsClient

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

KILLS = 6
PAUSE_US = 10_000
"""Between bursts of eight: what a client in Python takes with ease."""
START_S = 60


def start(store_dir: Path, port: int) -> subprocess.Popen[bytes]:
    words = ["-m", "tests.stress.signal_server", str(store_dir), str(port), str(PAUSE_US)]
    return subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)


def compile_kernels() -> None:
    """Here, so that no child has to, and none is killed while it fills the cache."""
    warm_up_outlets()
    ring, control = allocate_ring(2, SIGNAL), make_control()
    ring_take_rows_nb(ring, np.zeros(1, SIGNAL))
    make_signals_nb(ring, Outlets(()).sender(), 1, 0, 0, np.array([1, -1], np.int64), control)


def stored(folder: Path) -> list[tuple[int, int]]:
    """(number, signal id) of every signal in a store."""
    store = FileStore(folder)
    try:
        assert store.damaged_count == 0
        found = [(seq, decode(raw)) for seq, raw in store.read(1, store.next_outgoing) if raw]
        return [(seq, message.number(5001) or 0) for seq, message in found]
    finally:
        store.close()


async def test_a_server_killed_in_mid_send_loses_and_doubles_nothing(tmp_path: Path):
    rng = random.Random(5)
    port = free_ports(1)[0]
    settings = ClientSettings(
        host="127.0.0.1",
        port=port,
        sender="OMS1",
        target="FEEDHANDLER",
        store_dir=tmp_path / "client",
        connect_timeout_s=START_S,
    )
    compile_kernels()
    client, stop = OmsClient(settings, None), asyncio.Event()
    running = asyncio.create_task(client.run(stop))
    child = start(tmp_path / "oms", port)
    try:
        for turn in range(KILLS):
            # Something of this very server: the client may still read from the one before.
            await until(lambda logons=turn: client.report()["logons"] > logons, START_S)
            seen = int(client.report()["distinct"])
            await until(lambda above=seen: client.report()["distinct"] > above, START_S)
            await asyncio.sleep(0.05 + rng.random() * 0.3)
            child.kill()
            child.wait()
            child = start(tmp_path / "oms", port)
        await until(lambda: client.report()["logons"] > KILLS, START_S)
        seen = int(client.report()["distinct"])
        await until(lambda: client.report()["distinct"] > seen + 100, START_S)
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, 30) == 0
    finally:
        child.kill()
        child.wait()
        stop.set()
        await running
    report = client.report()
    client.close()
    last_id = int((tmp_path / "oms/last-id").read_text())
    assert (report["distinct"], report["missing"], report["duplicates"]) == (last_id, 0, 0)
    assert report["logons"] == KILLS + 1
    mine = stored(tmp_path / "oms/session-OMS1")
    assert [signal_id for _, signal_id in mine] == list(range(1, last_id + 1))
    # The session that nobody ever logged on to has them all as well, and nothing but them.
    away = stored(tmp_path / "oms/session-AWAY")
    assert away == [(signal_id, signal_id) for signal_id in range(1, last_id + 1)]
