"""One feed of a server while it runs: where it comes from, its engines, and who fetches snapshots
for it.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog

from feedhandler.core.api import Sender
from feedhandler.core.book.views import books_digest
from feedhandler.core.counts import HISTOGRAM_ROWS, Count, Histogram
from feedhandler.core.events import FEED_SHIFT, symbol_text
from feedhandler.core.latency import merged, summary
from feedhandler.core.receiver import Receiver, allocate_receiver
from feedhandler.core.states import State
from feedhandler.server.assemble import Prepared, make_source
from feedhandler.server.config import Endpoint, ServerConfig
from feedhandler.server.engines import Engines
from feedhandler.server.net import open_line, open_requester
from feedhandler.server.snapshots import SnapshotService
from feedhandler.server.streams import StreamFeed
from feedhandler.server.tables import ControlCount

CountControl = Callable[[ControlCount], None]


class Feed:
    """Feed number `number`; `config` is the server's as if this were its only feed."""

    def __init__(
        self,
        number: int,
        config: ServerConfig,
        prepared: Prepared,
        count_control: CountControl,
        signal_fd: int | None,
    ) -> None:
        """Open its sockets."""
        self.number = number
        self.name = config.feed.name
        self._config = config
        self._adapter = prepared.adapter
        self._count_control = count_control
        self._log = structlog.get_logger()
        self._sockets: list[socket.socket] = []
        self._stream: StreamFeed | None = None
        self.engines = Engines(config.engine, prepared, self._open(), signal_fd)
        self._snapshots = self._make_snapshots()
        self._last_state = -1

    def _open(self) -> Receiver:
        feed, engine = self._config.feed, self._config.engine
        session = self._adapter.session_bytes(feed.session)
        if feed.connection is not None:
            self._stream = self._make_stream(feed.connection)
            return allocate_receiver(
                (-1, -1, -1), session, engine.packet_bytes, self._stream.stream
            )
        fds = [-1, -1, -1]
        for i, (name, line) in enumerate((("line_a", feed.line_a), ("line_b", feed.line_b))):
            if line is None:
                continue
            sock, granted_bytes = open_line(line, feed.receive_buffer_bytes, name)
            self._sockets.append(sock)
            fds[i] = sock.fileno()
            self._log.info(
                "line_open",
                line=name,
                address=line.address,
                port=line.port,
                receive_buffer_bytes=granted_bytes,
                asked_bytes=feed.receive_buffer_bytes,
            )
        if feed.rerequest is not None:
            sock = open_requester(feed.rerequest, feed.receive_buffer_bytes)
            self._sockets.append(sock)
            fds[2] = sock.fileno()
        return allocate_receiver(
            (fds[0], fds[1], fds[2]), session, engine.packet_bytes, follows=not feed.session
        )

    def _make_stream(self, endpoint: Endpoint) -> StreamFeed:
        feed, engine = self._config.feed, self._config.engine
        source = make_source(self._config, self._adapter)
        stream = StreamFeed(source, endpoint, engine.packet_bytes, feed.receive_buffer_bytes)
        stream.on_connect = lambda: self._count_control(ControlCount.FEED_CONNECTS)
        stream.on_loss = lambda: self._count_control(ControlCount.FEED_LOSSES)
        return stream

    def _make_snapshots(self) -> SnapshotService | None:
        glimpse = self._config.feed.glimpse
        if glimpse is None:
            return None
        loader = self._adapter.snapshot_loader
        return SnapshotService(
            self.engines.sequencer,
            loader,
            glimpse,
            lambda: self._count_control(ControlCount.SNAPSHOT_FAILURES),
        )

    # -- what it is -------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The channel's, as last exported."""
        return State(int(self.engines.sequencer.counts[Count.STATE, 0]))

    def is_ready(self) -> bool:
        """Whether every shard may send signals, and no book waits to be subscribed to again."""
        in_doubt = self._stream is not None and self._stream.books_in_doubt > 0
        return self.engines.is_ready() and not in_doubt

    def symbol_of(self, instrument: int) -> str:
        """Name of an instrument of this feed."""
        row = self.engines.owner_of(instrument).instruments[instrument]
        return symbol_text(int(row["symbol"]), instrument + (self.number << FEED_SHIFT))

    def told_symbol_of(self, instrument: int) -> str:
        """The same, empty while no message has told it."""
        row = self.engines.owner_of(instrument).instruments[instrument]
        return self.symbol_of(instrument) if row["symbol"] else ""

    def log_state(self) -> None:
        """Log the channel's state if it is another one than at the last look."""
        state = self.state
        if state != self._last_state:
            self._log.info(
                "channel_state",
                channel=self.name,
                state=state.name,
                next_seq=int(self.engines.sequencer.counts[Count.NEXT_SEQ, 0]),
            )
            self._last_state = state

    def report(self, totals: list[int], histograms: list[Any]) -> dict[str, Any]:
        """What it has done, by its counters and histograms; after its end."""
        counts = {row.name.lower(): totals[row] for row in Count}
        types = np.sum([shard.types for shard in self.engines.shards], axis=0)
        return {
            "counts": counts,
            "types": {chr(code): int(types[code]) for code in types.nonzero()[0]},
            "shard_messages": [int(shard.types.sum()) for shard in self.engines.shards],
            "latency_ns": summary(histograms[Histogram.LATENCY]),
            "signal_ready_ns": summary(histograms[Histogram.SIGNAL_READY]),
            "orders_live": counts["orders_live"],
            "books_digest": books_digest(*(shard.book for shard in self.engines.shards)),
        }

    # -- life -------------------------------------------------------------------------------------

    def start(self, sender: Sender) -> None:
        """Start its threads, and connect where it comes over TCP."""
        if self._snapshots is not None:
            loop = asyncio.get_running_loop()
            loop.add_reader(self.engines.control_fd, self._on_control)
        self.engines.start(sender)
        if self._stream is not None:
            self._stream.start()

    def _on_control(self) -> None:
        os.eventfd_read(self.engines.control_fd)
        if self._snapshots is not None:
            self._snapshots.on_wanted()

    async def stop(self, most_s: float | None = None) -> None:
        """Read no more, finish every tick, and wait for the threads' ends, for `most_s` at most."""
        if self._snapshots is not None:
            await self._snapshots.stop()
        if self._stream is not None:
            await self._stream.stop()
        self.engines.stop()
        await asyncio.to_thread(self.engines.join, most_s)

    def close(self) -> None:
        """Close its sockets."""
        for sock in self._sockets:
            sock.close()


def totals_of_feed(parts: list[tuple[Any, Any]]) -> list[Any]:
    """Histograms of one feed's engines together, from (counters, histograms) of each."""
    found = merged([histograms for _, histograms in parts])
    return [found[row] for row in range(HISTOGRAM_ROWS)]
