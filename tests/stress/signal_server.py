"""A process that is only an OMS side and a thread that makes signals: something to kill.

`python -m tests.stress.signal_server STORE_DIR PORT PAUSE_US`; writes the last id beside the
stores when it was told to stop.
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import allocate_ring
from oms_out.config import OmsConfig
from oms_out.server import OmsServer
from tests.stress.signal_source import STOP, make_control, make_signals_nb
from tests.unit.oms_out.support import SOURCES, Metrics

_ENDLESS = 1 << 40


async def serve(store_dir: Path, port: int, pause_us: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ring, wakeup_fd = allocate_ring(65_536, SIGNAL), os.eventfd(0, os.EFD_NONBLOCK)
    config = OmsConfig(store_dir=str(store_dir), allowed=("OMS1", "AWAY"), port=port)
    metrics = Metrics()
    server = OmsServer(config, lambda at: f"SYM{at}", SOURCES, [ring], wakeup_fd, metrics)
    await server.start()
    control, wakeup = make_control(), np.array([1, wakeup_fd], np.int64)
    arguments = (server.last_signal_id + 1, _ENDLESS, pause_us, wakeup, control)
    sender = server.sender()
    source = threading.Thread(target=lambda: make_signals_nb(ring, sender, *arguments))
    source.start()
    await stop.wait()
    control[STOP] = 1
    source.join()
    await server.stop(2.0)
    (store_dir / "last-id").write_text(str(server.last_signal_id))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
