"""Signal rows from the ring → one FIX message for every session, stored, then sent at once where
somebody is logged on, unless the thread that made the signal has done so itself.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from feedhandler.core.events import SIGNAL
from oms_out.contract import OmsCount, OmsMetrics
from oms_out.encoding import ID_COLUMN, RX_COLUMN, SignalEncoder
from oms_out.link import Link
from oms_out.outlet import Outlet
from oms_out.sources import SignalSources
from protocols.errors import LocalProtocolError
from protocols.fix.session import FixSession

BATCH_ROWS = 32
_BATCHES_PER_TURN = 32


OnRows = Callable[[list[tuple[Any, ...]]], None]
"""Is shown rows of SIGNAL, as tuples, after every session has had them; must not block or fail."""


def _ignore(_rows: list[tuple[Any, ...]]) -> None:
    """Nobody watches."""


class Peer(NamedTuple):
    """A session that gets every signal, and its outlet where the hot thread may send too."""

    session: FixSession
    outlet: Outlet | None = None


class _Signal(NamedTuple):
    """A signal and its (MsgType, body), which is empty when no session needs it from here."""

    signal_id: int
    message: tuple[bytes, bytes]


class SignalPublisher:
    """Consumer of the rings of signals; runs on the event loop's thread.

    `published_count` signals taken and numbered, `last_signal_id` the newest of them.
    """

    def __init__(
        self,
        signals: SignalSources,
        encoder: SignalEncoder,
        peers: Sequence[Peer],
        link_of: Callable[[FixSession], Link | None],
        metrics: OmsMetrics,
        clock_ns: Callable[[], int],
        note_id: Callable[[int], None],
    ) -> None:
        """`link_of` gives the connection of a session, None while the OMS is away; `note_id` hears
        of the highest id before anything with it leaves from here.
        """
        self.published_count = 0
        self.sent_count = 0
        self.last_signal_id = 0
        self._signals = signals
        self._rows = np.zeros(BATCH_ROWS, SIGNAL)
        self._encoder = encoder
        self._peers = peers
        self._link_of = link_of
        self._metrics = metrics
        self._clock_ns = clock_ns
        self._note_id = note_id
        self._unmeasured: dict[int, int] = {}
        self.on_rows: OnRows = _ignore
        # Compiles, or loads from the cache, before the first signal waits for it.
        signals.take(self._rows[:0])

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
        """Publish one batch; how many rows the rings gave."""
        count = self._signals.take(self._rows)
        if count:
            # A copy: the legs of a tuple look into the array that it came from, and who watches
            # may keep it beyond the next batch.
            rows = self._rows[:count].copy().tolist()
            self._publish(rows)
            self.on_rows(rows)
        return count

    def _publish(self, rows: list[tuple[Any, ...]]) -> None:
        hot_ids = [peer.outlet.collect() if peer.outlet else 0 for peer in self._peers]
        signals = self._signals_of(rows, min(hot_ids, default=0))
        if signals:
            self.last_signal_id = signals[-1].signal_id
            self._note_id(self.last_signal_id)
            self.published_count += len(signals)
            self._metrics.count(OmsCount.SIGNALS_PUBLISHED, len(signals))
        for peer, hot_id in zip(self._peers, hot_ids, strict=True):
            left = [signal for signal in signals if signal.signal_id > hot_id]
            if peer.outlet is not None:
                self._follow_hot(peer, peer.outlet, signals[: len(signals) - len(left)])
            if left:
                self._send(peer.session, left)
            if peer.outlet is not None:
                peer.outlet.note_taken(rows[-1][ID_COLUMN])
        if self._unmeasured:
            self._metrics.count(OmsCount.SIGNALS_UNMEASURED, len(self._unmeasured))
            self._unmeasured.clear()

    def _signals_of(self, rows: list[tuple[Any, ...]], hot_id: int) -> list[_Signal]:
        """Those that are sound, encoded unless every session has them, as it has those up to
        `hot_id`; each awaits its measure.
        """
        signals: list[_Signal] = []
        for row in rows:
            message = (b"", b"")
            if row[ID_COLUMN] > hot_id:
                try:
                    message = self._encoder.encode(row)
                except LocalProtocolError:
                    self._metrics.count(OmsCount.SIGNALS_MALFORMED)
                    continue
            signals.append(_Signal(row[ID_COLUMN], message))
            self._unmeasured[row[ID_COLUMN]] = row[RX_COLUMN]
        return signals

    def _follow_hot(self, peer: Peer, outlet: Outlet, signals: list[_Signal]) -> None:
        """Store, count and measure what the hot thread sent to a session."""
        with suppress(OSError):
            # Refused, they stay in the outlet, which no restart empties: they are not lost.
            outlet.absorb()
        for signal in signals:
            sent_ns = outlet.pop_sent_ns(signal.signal_id)
            rx_stamp_ns = self._unmeasured.pop(signal.signal_id, None)
            if sent_ns and rx_stamp_ns is not None:
                self._metrics.record_signal_latency(sent_ns - rx_stamp_ns)
        if signals:
            self._count_sent(len(signals))
        link = self._link_of(peer.session)
        if link is not None and outlet.is_stuck:
            link.flush()

    def _send(self, session: FixSession, signals: list[_Signal]) -> None:
        """Store for one session, and send when logged on; the first that sends measures."""
        try:
            first_seq = session.send([signal.message for signal in signals], self._clock_ns())
        except OSError:
            # The disk refuses: this session loses these signals, nobody else waits.
            self._metrics.count(OmsCount.SIGNALS_UNSTORED, len(signals))
            return
        link = self._link_of(session)
        if link is None or not session.is_logged_on:
            return
        for seq, signal in enumerate(signals, first_seq):
            rx_stamp_ns = self._unmeasured.pop(signal.signal_id, None)
            if rx_stamp_ns is not None and not link.announce(seq, rx_stamp_ns):
                self._metrics.count(OmsCount.SIGNALS_UNMEASURED)
        link.flush()
        self._count_sent(len(signals))

    def _count_sent(self, count: int) -> None:
        self.sent_count += count
        self._metrics.count(OmsCount.MESSAGES_SENT, count)
