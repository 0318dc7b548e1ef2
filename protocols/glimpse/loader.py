"""A GLIMPSE client for large snapshots: its messages are written as blocks into memory of the
caller's, by kernels, and become no Python objects. `SnapshotClient` is its slow twin.

Sans-IO: bytes in by `receive`, bytes out by `data_to_send`, time as an argument.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import LocalProtocolError, RemoteProtocolError, Status
from protocols.glimpse.kernels import copy_blocks_nb
from protocols.glimpse.spec import decode_end_of_snapshot
from protocols.moldudp64.spec import SEQUENCE_LIMIT
from protocols.soupbintcp.events import LoginRejected
from protocols.soupbintcp.kernels import scan_sequenced_nb
from protocols.soupbintcp.session import Client

_BATCH = 4_096


class SnapshotLoader:
    """One snapshot, from login to its end; `done` tells when `blocks`, `size_bytes` and `next_seq`
    are valid.
    """

    def __init__(self, out: NDArray[np.uint8], username: str, password: str, now_ns: int) -> None:
        """Log in at once; the blocks go to `out`, from its first byte."""
        self._session = Client(now_ns, hand_over=True)
        self._session.login(username, password, sequence=1)
        self._out = out
        self._pending = bytearray()
        self._index = np.zeros((2, _BATCH), np.int64)
        self.blocks = 0
        self.size_bytes = 0
        self.next_seq = 0
        self.done = False

    def data_to_send(self, now_ns: int) -> bytes:
        """Login request, then heartbeats as they fall due; RemoteProtocolError when the service was
        silent for too long.
        """
        self._session.handle_timer(now_ns)
        if self._session.is_closed and not self.done:
            raise RemoteProtocolError("the GLIMPSE service was silent for too long")
        return self._session.data_to_send(now_ns)

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take what the service sent.

        Raises:
            RemoteProtocolError: the service refuses, or breaks the protocol.
            LocalProtocolError: the snapshot is larger than the memory that it was given.
        """
        self._session.receive(data, now_ns)
        while (event := self._session.next_event()) is not None:
            if isinstance(event, LoginRejected):
                raise RemoteProtocolError(f"GLIMPSE login rejected, reason {event.reason}")
        self._pending += self._session.take_unread(now_ns)
        while not self.done and self._scan():
            pass

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
            raise LocalProtocolError(
                f"snapshot is larger than the {len(self._out)} bytes that are there for it"
            )
        if outcome == Status.END_OF_SESSION:
            at, size = self._index[:, copied]
            self.next_seq = decode_end_of_snapshot(bytes(buf[at : at + size]))
            if self.next_seq >= SEQUENCE_LIMIT:
                raise RemoteProtocolError(
                    f"snapshot ends at sequence number {self.next_seq}: no row holds such a number"
                )
            self.done = True
            return False
        del self._pending[:used]
        if status not in (Status.OK, Status.OUTPUT_FULL):
            raise RemoteProtocolError(f"GLIMPSE stream broke off: {Status(status).name}")
        return bool(status == Status.OUTPUT_FULL)
