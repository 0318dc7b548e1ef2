"""Signal rows from the ring → one FIX message for every session, stored, then sent at once where
somebody is logged on.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import Ring, ring_take_rows_nb
from oms_out.contract import OmsCount, OmsMetrics
from oms_out.encoding import ID_COLUMN, RX_COLUMN, SignalEncoder
from oms_out.link import Link
from protocols.errors import LocalProtocolError
from protocols.fix.session import FixSession

BATCH_ROWS = 32
_BATCHES_PER_TURN = 32


class SignalPublisher:
    """Consumer of the signal ring; runs on the event loop's thread.

    `published_count` signals taken and numbered, `last_signal_id` the newest of them.
    """

    def __init__(
        self,
        signals: Ring,
        encoder: SignalEncoder,
        sessions: Sequence[FixSession],
        link_of: Callable[[FixSession], Link | None],
        metrics: OmsMetrics,
        clock_ns: Callable[[], int],
        note_id: Callable[[int], None],
    ) -> None:
        """`link_of` gives the connection of a session, None while the OMS is away; `note_id` hears
        of the highest id before anything with it leaves.
        """
        self.published_count = 0
        self.sent_count = 0
        self.last_signal_id = 0
        self._signals = signals
        self._rows = np.zeros(BATCH_ROWS, SIGNAL)
        self._encoder = encoder
        self._sessions = sessions
        self._link_of = link_of
        self._metrics = metrics
        self._clock_ns = clock_ns
        self._note_id = note_id
        # Compiles, or loads from the cache, before the first signal waits for it.
        ring_take_rows_nb(signals, self._rows[:0])

    def on_wakeup(self, wakeup_fd: int) -> None:
        """The eventfd became readable: rows were added."""
        try:
            os.eventfd_read(wakeup_fd)
        except BlockingIOError:
            return
        self.drain_some()

    def drain_some(self) -> None:
        """Publish up to a turn's worth of rows; the rest in the loop's next turn, so that clients
        are served too.
        """
        for _ in range(_BATCHES_PER_TURN):
            if not self.drain_batch():
                return
        asyncio.get_running_loop().call_soon(self.drain_some)

    def drain_batch(self) -> int:
        """Publish one batch; how many rows the ring gave."""
        count = int(ring_take_rows_nb(self._signals, self._rows))
        if count:
            self._publish(self._rows[:count].tolist())
        return count

    def _publish(self, rows: list[tuple[Any, ...]]) -> None:
        messages: list[tuple[bytes, bytes]] = []
        rx_stamps_ns: list[int] = []
        for row in rows:
            try:
                messages.append(self._encoder.encode(row))
            except LocalProtocolError:
                self._metrics.count(OmsCount.SIGNALS_MALFORMED)
                continue
            rx_stamps_ns.append(row[RX_COLUMN])
            self.last_signal_id = row[ID_COLUMN]
        if not messages:
            return
        self._note_id(self.last_signal_id)
        self.published_count += len(messages)
        is_measured = False
        for session in self._sessions:
            is_measured |= self._send(session, messages, () if is_measured else rx_stamps_ns)
        self._metrics.count(OmsCount.SIGNALS_PUBLISHED, len(messages))
        if not is_measured:
            self._metrics.count(OmsCount.SIGNALS_UNMEASURED, len(messages))

    def _send(
        self, session: FixSession, messages: list[tuple[bytes, bytes]], stamps_ns: Sequence[int]
    ) -> bool:
        """Store for one session, send when logged on; True when the stamps went with it."""
        try:
            first_seq = session.send(messages, self._clock_ns())
        except OSError:
            # The disk refuses: this session loses these signals, nobody else waits.
            self._metrics.count(OmsCount.SIGNALS_UNSTORED, len(messages))
            return False
        link = self._link_of(session)
        if link is None or not session.is_logged_on:
            return False
        for seq, stamp_ns in enumerate(stamps_ns, first_seq):
            if not link.announce(seq, stamp_ns):
                self._metrics.count(OmsCount.SIGNALS_UNMEASURED)
        link.flush()
        self.sent_count += len(messages)
        self._metrics.count(OmsCount.MESSAGES_SENT, len(messages))
        return bool(stamps_ns)
