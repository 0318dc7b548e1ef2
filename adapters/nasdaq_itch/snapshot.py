"""GLIMPSE: a snapshot of the books over SoupBinTCP, written as message blocks into the engine's
snapshot memory.

Sans-IO: bytes in by `receive`, bytes out by `data_to_send`, time as an argument. Rule of the
splice: the snapshot is the state before the ITCH message that its last message (G) names, so the
live stream goes on from that number.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.errors import RemoteProtocolError, Status
from protocols.glimpse.spec import decode_end_of_snapshot
from protocols.jit import kernel
from protocols.moldudp64.spec import SEQUENCE_LIMIT
from protocols.soupbintcp.kernels import scan_sequenced_nb
from protocols.soupbintcp.session import Client, LoginAccepted, LoginRejected
from protocols.soupbintcp.spec import LENGTH_BYTES
from protocols.wire import write_u16_nb

_END_OF_SNAPSHOT = ord("G")
_BATCH = 4_096
_BLOCK_HEADER_BYTES = 2


@kernel
def copy_blocks_nb(buf: Any, index: Any, count: int, out: Any, out_at: int) -> tuple[int, int, int]:
    """Messages index[0:count] (rows: at, size) of `buf` to out[out_at:] as blocks, up to an end of
    snapshot.

    Returns: (messages copied, next free byte of `out`, Status: OK, END_OF_SESSION when message
    `copied` is the end of the snapshot, OUTPUT_FULL when `out` is too small).
    """
    for i in range(count):
        at = index[0, i]
        size = index[1, i]
        if size > 0 and buf[at] == _END_OF_SNAPSHOT:
            return i, out_at, Status.END_OF_SESSION
        if out_at + _BLOCK_HEADER_BYTES + size > out.shape[0]:
            return i, out_at, Status.OUTPUT_FULL
        write_u16_nb(out, out_at, size)
        for k in range(size):
            out[out_at + _BLOCK_HEADER_BYTES + k] = buf[at + k]
        out_at += _BLOCK_HEADER_BYTES + size
    return count, out_at, Status.OK


class SnapshotLoader:
    """One snapshot, from login to its end; `done` tells when `blocks`, `size_bytes` and `next_seq`
    are valid.
    """

    def __init__(self, out: NDArray[np.uint8], username: str, password: str, now_ns: int) -> None:
        """Log in at once; the blocks go to `out`, from its first byte."""
        self._session = Client(now_ns)
        self._session.login(username, password, sequence=1)
        self._out = out
        self._pending = bytearray()
        self._index = np.zeros((2, _BATCH), np.int64)
        self._logged_in = False
        self.blocks = 0
        self.size_bytes = 0
        self.next_seq = 0
        self.done = False

    def data_to_send(self, now_ns: int) -> bytes:
        """Login request, then heartbeats as they fall due."""
        self._session.handle_timer(now_ns)
        return self._session.data_to_send(now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take what the service sent; RemoteProtocolError when it refuses or breaks the
        protocol.
        """
        self._pending += data
        if not self._logged_in and not self._login(now_ns):
            return
        if data:
            self._session.note_received(now_ns)
        while not self.done and self._scan():
            pass

    def _login(self, now_ns: int) -> bool:
        """Give the session the packets before the first message, which it alone may answer."""
        while len(self._pending) >= LENGTH_BYTES:
            end = LENGTH_BYTES + int.from_bytes(self._pending[:LENGTH_BYTES], "big")
            if len(self._pending) < end:
                return False
            self._session.receive(bytes(self._pending[:end]), now_ns)
            del self._pending[:end]
            event = self._session.next_event()
            if isinstance(event, LoginAccepted):
                self._logged_in = True
                return True
            if isinstance(event, LoginRejected):
                raise RemoteProtocolError(f"GLIMPSE login rejected, reason {event.reason}")
        return False

    def _scan(self) -> bool:
        """Copy one batch of messages; whether there may be more to copy."""
        buf = np.frombuffer(bytes(self._pending), np.uint8)
        found, used, status = scan_sequenced_nb(
            buf, 0, len(buf), self._index[0], self._index[1], _BATCH
        )
        copied, self.size_bytes, outcome = copy_blocks_nb(
            buf, self._index, found, self._out, self.size_bytes
        )
        self.blocks += copied
        if outcome == Status.OUTPUT_FULL:
            raise RemoteProtocolError(
                f"snapshot is larger than {len(self._out)} bytes; raise engine.snapshot_bytes"
            )
        if outcome == Status.END_OF_SESSION:
            at, size = self._index[:, copied]
            self.next_seq = decode_end_of_snapshot(bytes(buf[at : at + size]))
            if self.next_seq >= SEQUENCE_LIMIT:
                raise RemoteProtocolError(
                    f"snapshot ends at sequence number {self.next_seq}: no session gets there"
                )
            self.done = True
            return False
        del self._pending[:used]
        if status not in (Status.OK, Status.OUTPUT_FULL):
            raise RemoteProtocolError(f"GLIMPSE stream broke off: {Status(status).name}")
        return bool(status == Status.OUTPUT_FULL)
