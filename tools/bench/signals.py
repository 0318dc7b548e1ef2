"""What a signal costs on its way out: its bytes by Python and by a kernel, and up to the socket."""

import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import SIGNAL, SignalKind
from oms_out.encoding import SignalEncoder
from oms_out.outlets import Outlets
from oms_out.store import FileStore
from protocols.fix.message import Identity, encode
from protocols.fix.rules import SessionSettings
from protocols.fix.times import format_utc_timestamp
from tools.bench.kernels_signals import leg_symbols, send_signals_nb, write_signals_nb
from tools.bench.measure import Run, Timing, Workload, timed

_ROWS = 1_000
_ROWS_SENT = 200
"""Fewer than an outlet has slots: nobody stores them meanwhile."""
_LOOPS_A_ROUND = 100_000
_SOURCE = "imbalance"
_IDENTITY = Identity("FEEDHANDLER", "OMS1")
_READ_BYTES = 4_096


def _rows() -> NDArray[Any]:
    """Orders to buy and sell, all different."""
    order = np.arange(_ROWS)
    rows = np.zeros(_ROWS, SIGNAL)
    rows["signal_id"] = order + 1
    rows["kind"] = SignalKind.ORDER
    rows["side"] = np.where(order % 2, 1, -1)
    rows["price_e9"] = 101_250_000_000 + 10_000_000 * order
    rows["qty"] = 100
    rows["seq"] = order * 97
    for stamp in ("ts_exch_ns", "ts_rx_ns", "ts_signal_ns"):
        rows[stamp] = 1_700_000_000_123_456_789 + 1_000_003 * order
    return rows


def fix_encode(workload: Workload) -> Run:
    """A signal's row to the whole message (NewOrderSingle), in Python."""
    table: list[Any] = _rows().tolist()
    encoder = SignalEncoder(lambda _instrument: "ZVZZT", [_SOURCE])
    rounds = max(workload.loops // (_LOOPS_A_ROUND * 10), 1)
    stamp_column = (SIGNAL.names or ()).index("ts_signal_ns")

    def run() -> None:
        for _ in range(rounds):
            for seq, row in enumerate(table, 1):
                msg_type, body = encoder.encode(row)
                sending_time = format_utc_timestamp(row[stamp_column] + 1_000)
                encode(_IDENTITY, msg_type, seq, sending_time, body)

    return lambda: timed(rounds * _ROWS, run)


def fix_signal(workload: Workload) -> Run:
    """The same bytes by the kernel."""
    rows = _rows()
    with _Line(workload.folder) as line:
        sender = line.outlets.sender()
    symbols = leg_symbols()
    rounds = max(workload.loops // _LOOPS_A_ROUND, 1)
    write_signals_nb(rows, 0, symbols, sender)
    return lambda: timed(rounds * _ROWS, lambda: write_signals_nb(rows, rounds, symbols, sender))


def fix_signal_sent(workload: Workload) -> Run:
    """The same, kept in a slot and sent over loopback TCP, and read at the other end."""
    rows = _rows()[:_ROWS_SENT]
    buf, symbols = np.zeros(_READ_BYTES, np.uint8), leg_symbols()

    def run() -> Timing:
        with _Line(workload.folder) as line:
            sender, fd = line.outlets.sender(), line.peer.fileno()
            send_signals_nb(rows[:0], symbols, sender, fd, buf)
            return timed(_ROWS_SENT, lambda: send_signals_nb(rows, symbols, sender, fd, buf))

    return run


class _Line:
    """A session's outlet, free to be sent from, on one end of a connection."""

    def __init__(self, folder: Path) -> None:
        self._folder = TemporaryDirectory(dir=folder)
        self.outlets = Outlets([_SOURCE])

    def __enter__(self) -> Self:
        path = Path(self._folder.name)
        self._store = FileStore(path)
        settings = SessionSettings(_IDENTITY, False, frozenset())
        self._outlet = self.outlets.open(path, self._store, settings)
        self.outlets.allow_ids(_ROWS + 1)
        listener = socket.create_server(("127.0.0.1", 0))
        self._ours = socket.create_connection(listener.getsockname())
        self._ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer = listener.accept()[0]
        listener.close()
        self._outlet.offer(self._ours.fileno())
        return self

    def __exit__(self, *_error: object) -> None:
        self._outlet.close()
        self._store.close()
        self._ours.close()
        self.peer.close()
        self._folder.cleanup()
