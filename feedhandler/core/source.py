"""What the control plane needs of a venue whose feed comes over TCP: its side of the session, sans
I/O, and the memory that `read_stream` works on.

    connected ─► receive … ─► is_open: take_unread, the connection is handed over ─►
        heard, told, note_gap, note_doubt, timer_ns, handle_timer, data_to_send … ─►
        disconnected ─► connected …

Times `now_ns` are of one steady clock.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Notice(NamedTuple):
    """Something for the log: its level, the event, and what belongs to it."""

    level: str
    event: str
    fields: dict[str, object]


class FeedSource(Protocol):
    """One feed, over as many connections as it takes; it raises RemoteProtocolError alone."""

    words: NDArray[np.int64]
    """For `Stream.words`."""
    memory: Any
    """A tuple of all arrays besides that the source works with."""
    buffer_bytes: int
    """Room for what is received."""
    session: str
    """What stands in the packets that `read_stream` makes."""

    def connected(self, now_ns: int, epoch_ns: int) -> None:
        """A new connection exists, and its login is to be sent; `epoch_ns` is now_ns by the clock
        of the day.
        """

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes of the connection until `is_open`."""

    @property
    def is_open(self) -> bool:
        """The peer let us in: whatever it sends from now on is for `read_stream`."""

    @property
    def is_closed(self) -> bool:
        """Give the connection up; `reason` says why."""

    @property
    def reason(self) -> str:
        """Why the connection is to be given up, or ended; "" without a reason of the session."""

    def take_unread(self, now_ns: int) -> bytes:
        """Bytes behind the login that came with it; `words` are ready for the connection then."""

    def heard(self, now_ns: int) -> None:
        """The last whole message of the peer came then."""

    def told(self, message: bytes, now_ns: int) -> None:
        """A message that `read_stream` left to the session."""

    def note_gap(self, now_ns: int) -> None:
        """Messages of the peer are missing."""

    def note_doubt(self, books: int, now_ns: int) -> None:
        """So many books are in doubt."""

    def data_to_send(self, now_ns: int) -> bytes:
        """Take the bytes to send now; b"" when there are none."""

    def timer_ns(self) -> int | None:
        """When to call `handle_timer` at the latest; None when nothing is due."""

    def handle_timer(self, now_ns: int) -> None:
        """Do what is due."""

    def log_out(self, now_ns: int) -> None:
        """Queue the end of the session by us."""

    def disconnected(self) -> None:
        """The connection is gone."""

    def next_notice(self) -> Notice | None:
        """Oldest notice that was not taken yet, or None."""
