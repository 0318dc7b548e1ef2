"""Loops around what a signal costs on its way out, for `signals.py`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Sender
from feedhandler.core.events import LEGS_SHOWN
from feedhandler.core.libc import MSG_DONTWAIT, recv
from oms_out.kernels_wire import write_signal_nb
from protocols.jit import kernel
from protocols.wire import Bytes

_SYMBOL = int.from_bytes(b"ZVZZT   ", "little")


def leg_symbols() -> NDArray[np.int64]:
    """Symbols of a signal's legs."""
    return np.full(LEGS_SHOWN, _SYMBOL, np.int64)


@kernel
def write_signals_nb(
    rows: NDArray[Any], rounds: int, symbols: NDArray[np.int64], sender: Sender
) -> int:
    """Every row as the message of the first outlet, `rounds` times; bytes written."""
    total = np.int64(0)
    for turn in range(rounds):
        for i in range(rows.shape[0]):
            seq = turn * rows.shape[0] + i + 1
            sending = (np.int64(rows[i]["ts_signal_ns"]) + 1_000, np.int64(3))
            total += write_signal_nb(
                sender.scratch, rows, i, symbols, sender.texts, np.int64(0), seq, sending
            )
    return total


@kernel
def send_signals_nb(
    rows: NDArray[Any], symbols: NDArray[np.int64], sender: Sender, fd: int, buf: Bytes
) -> int:
    """Send every row by the sender, and read it at the other end; how many had left at once."""
    sent = np.int64(0)
    for i in range(rows.shape[0]):
        done_ns = sender.send_signal(rows, i, symbols, sender.words, sender.texts, sender.scratch)
        sent += np.int64(done_ns > 0)
        recv(fd, buf.ctypes.data, buf.shape[0], MSG_DONTWAIT)
    return sent
