"""A thread that makes signals as the worker does: sends them where it may, then puts them into the
ring and wakes the event loop.
"""

import numpy as np

from feedhandler.core.api import Sender
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.events import LEGS_SHOWN, SignalKind
from feedhandler.core.libc import CLOCK_REALTIME, clock_ns, sched_yield, usleep, write
from feedhandler.core.ring import Ring, ring_commit_nb, ring_reserve_nb
from protocols.jit import kernel

STOP, MADE, SYMBOLS = 0, 8, 16
"""Words of `control`, i64[24]: set by the test, how many were made, and whose they are."""
SYMBOL = int.from_bytes(b"SYM7    ", "little")


def make_control() -> np.ndarray:
    """Nothing made yet, all to be of SYMBOL."""
    control = np.zeros(SYMBOLS + LEGS_SHOWN, np.int64)
    control[SYMBOLS] = SYMBOL
    return control


@kernel
def make_signals_nb(
    ring: Ring, sender: Sender, first_id: int, count: int, pause_us: int, wakeup: np.ndarray,
    control: np.ndarray,
):  # fmt: skip
    """Make `count` signals, or until control[STOP]; a burst of eight, then a pause. wakeup i64[2]:
    1, and the eventfd.
    """
    for signal_id in range(first_id, first_id + count):
        index = ring_reserve_nb(ring)
        while index < 0 and load_acquire(control, STOP) == 0:
            sched_yield()
            index = ring_reserve_nb(ring)
        if load_acquire(control, STOP) != 0:
            return signal_id - first_id
        now_ns = clock_ns(CLOCK_REALTIME)
        row = ring.cells[index]
        row["signal_id"] = signal_id
        row["kind"] = SignalKind.ORDER
        row["side"] = 1
        row["source"] = 0
        row["instrument"] = 7
        row["seq"] = 1000 + signal_id
        row["ts_rx_ns"] = now_ns
        row["ts_signal_ns"] = now_ns
        row["price_e9"] = 101_250_000_000
        row["qty"] = 300
        sender.send_signal(
            ring.cells, index, control[SYMBOLS:], sender.words, sender.texts, sender.scratch
        )
        ring_commit_nb(ring)
        store_release(control, MADE, np.int64(signal_id - first_id + 1))
        write(wakeup[1], wakeup.ctypes.data, 8)
        if pause_us > 0 and signal_id % 8 == 0:
            usleep(pause_us)
    return count
