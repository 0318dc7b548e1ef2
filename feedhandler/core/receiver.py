"""What a shard receives with: sockets, the memory behind them, and who is woken."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.libc import POLLFD, POLLIN, DatagramBatch, allocate_batch, write
from feedhandler.core.lines import zeros
from feedhandler.core.sessions import Sessions, allocate_sessions
from feedhandler.core.shard import Shard
from feedhandler.core.stream import Stream, no_stream
from protocols.by_reference import by_reference
from protocols.jit import kernel

LINES = 3
RECOVERY = 2
BATCH = 16
"""Datagrams a line and poll: bounds the work before the lanes are looked at."""


@by_reference
class Receiver(NamedTuple):
    """Sockets of a channel and the memory that they receive into; fd -1 where there is no such
    line. A feed over TCP comes in `stream` instead, as line A.
    """

    stream: Stream
    fds: NDArray[np.int32]
    batch: DatagramBatch
    headers_at: int
    slot_bytes: int
    session: NDArray[np.uint8]
    sessions: Sessions
    parsed: NDArray[np.int64]
    hole: NDArray[np.int64]
    line_next: NDArray[np.int64]
    pollfds: NDArray[np.void]
    work_pollfd: NDArray[np.void]
    wakeup: NDArray[np.int64]
    drained: NDArray[np.int64]


def allocate_receiver(
    fds: tuple[int, int, int],
    session: bytes,
    slot_bytes: int,
    stream: Stream | None = None,
    *,
    follows: bool = False,
) -> Receiver:
    """Receiver for lines A, B and recovery, or for a stream; `session` as it stands in the packets,
    zeros to take the first one seen, and those that follow it when it `follows`.
    """
    batch = allocate_batch(LINES * BATCH, slot_bytes)
    pollfds = zeros(LINES, POLLFD)
    pollfds["fd"] = fds
    pollfds["events"] = POLLIN
    work_pollfd = zeros(1, POLLFD)
    work_pollfd["events"] = POLLIN
    wakeup = zeros(1)
    wakeup[0] = 1
    known = zeros(len(session), np.uint8)
    known[:] = np.frombuffer(session, np.uint8)
    return Receiver(
        stream=stream or no_stream(),
        fds=np.array(fds, np.int32),
        batch=batch,
        headers_at=batch.headers.ctypes.data,
        slot_bytes=slot_bytes,
        session=known,
        sessions=allocate_sessions(len(session), follows=follows),
        parsed=zeros(4),
        hole=zeros(2),
        line_next=zeros(LINES),
        pollfds=pollfds,
        work_pollfd=work_pollfd,
        wakeup=wakeup,
        drained=zeros(1),
    )


@kernel
def wake_nb(shard: Shard, rx: Receiver, which: int) -> None:
    """Make an event descriptor readable: that of Setting.SIGNAL_FD, CONTROL_FD or WORK_FD."""
    fd = shard.settings[which]
    if fd >= 0:
        write(fd, rx.wakeup.ctypes.data, 8)
