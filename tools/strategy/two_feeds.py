"""Two recordings played side by side in event time, as feeds of one server: what a pattern over
feeds sees, which looks at the second one's best prices beside the first one's messages.

    first:  message ──► books, patterns of both ─┐   by event time, that of the second a `lag_ns`
    second: message ──► books, patterns of both ─┘   later: so much later its messages arrive
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from feedhandler.core.api import Venue
from feedhandler.core.engine import apply_blocks_nb
from feedhandler.core.events import FEED_SHIFT, SIGNAL, symbol_text
from feedhandler.core.quotes import allocate_quotes, show_feed_nb
from feedhandler.core.shard import Shard
from feedhandler.core.stages import drain_lanes_nb
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import ServerConfig
from protocols.binaryfile.kernels import LENGTH_BYTES, index_messages_nb
from protocols.binaryfile.reader import DataFileError, load_readable_bytes
from protocols.errors import Status
from protocols.jit import kernel
from protocols.wire import Bytes, read_u16_nb
from tools.replay.kernels import FOREVER_NS, Cursor, event_time_nb, has_room_nb
from tools.replay.outcome import Outcome, read_outcome
from tools.replay.player import Player
from tools.replay.rounds import Work

FEEDS = ("a", "b")
"""What the feeds are called where the configuration names none."""
_SLICE = 65_536


class Side(NamedTuple):
    """One of the feeds: its engine, what works on its ticks, its bytes, and a replay's cursor."""

    shard: Shard
    work: Work
    buf: Bytes
    cursor: NDArray[np.int64]


@kernel
def _look_ahead_nb(side: Side, venue: Venue) -> int:
    """Note when the next message happened; 0 where there is none. One that the venue does not know,
    or that is cut off, happened with the message before.
    """
    at, stop = side.cursor[Cursor.AT], side.cursor[Cursor.STOP]
    # A block of no length ends a session.
    while at + LENGTH_BYTES <= stop and read_u16_nb(side.buf, at) == 0:
        at += LENGTH_BYTES
    side.cursor[Cursor.AT] = at
    if at >= stop:
        return 0
    if at + LENGTH_BYTES > stop or at + LENGTH_BYTES + read_u16_nb(side.buf, at) > stop:
        return 1
    event_ns = event_time_nb(side.shard, venue, side.buf, at)
    side.cursor[Cursor.EVENT_NS] = max(side.cursor[Cursor.EVENT_NS], event_ns)
    return 1


@kernel
def _work_nb(side: Side) -> None:
    most = side.shard.ticks.shape[0]
    drain_lanes_nb(side.shard, side.work.breakers, side.work.patterns, side.work.sender, most)


@kernel
def _apply_next_nb(side: Side, venue: Venue, lag_ns: int) -> int:
    """Apply the next message; 1, or 0 where the bytes end within it."""
    shard, cursor = side.shard, side.cursor
    at, stop = cursor[Cursor.AT], cursor[Cursor.STOP]
    count, used, _ = index_messages_nb(side.buf, at, stop, shard.split.blocks[:2])
    if count == 0:
        return 0
    packet, channel = shard.packet[0], shard.channel[0]
    packet["seq"] = channel["next_seq"]
    packet["end"] = channel["next_seq"] + 1
    packet["ts_rx_ns"] = cursor[Cursor.EVENT_NS] + lag_ns
    apply_blocks_nb(shard, venue, side.buf, at, shard.packet)
    cursor[Cursor.AT] = at + used
    return 1


@kernel
def play_two_nb(first: Side, second: Side, venue: Venue, lag_ns: int) -> int:
    """Play messages, each worked on by both before the next, for at most the first one's
    cursor[ROUNDS] of them.

    Returns: Status: OK at the end of both, TRUNCATED within a message, OUTPUT_FULL when the caller
        is to take the signals and call again.
    """
    rounds = first.cursor
    while rounds[Cursor.ROUNDS] > 0:
        rounds[Cursor.ROUNDS] -= 1
        if not (has_room_nb(first.shard, first.work) and has_room_nb(second.shard, second.work)):
            return Status.OUTPUT_FULL
        has_first, has_second = _look_ahead_nb(first, venue), _look_ahead_nb(second, venue)
        if not (has_first or has_second):
            return Status.OK
        due_ns = second.cursor[Cursor.EVENT_NS] + lag_ns
        if has_first and not (has_second and due_ns < first.cursor[Cursor.EVENT_NS]):
            done = _apply_next_nb(first, venue, np.int64(0))
        else:
            done = _apply_next_nb(second, venue, lag_ns)
        if not done:
            return Status.TRUNCATED
        _work_nb(first)
        _work_nb(second)
    return Status.OUTPUT_FULL


def feeds_of(config: ServerConfig, names: Sequence[str] = ()) -> ServerConfig:
    """The configuration with two feeds: of these names, or the first two that it has, or FEEDS."""
    if not names:
        names = config.feed_names[: len(FEEDS)] if config.feeds else FEEDS
    first, second = (structs.replace(config.feed, name=name) for name in names)
    return structs.replace(config, feed=first, feeds=(second,))


class TwoFeeds:
    """Engines of the feeds of `config`, which has two, and what they have come to."""

    def __init__(self, config: ServerConfig, paths: Sequence[Path], lag_ns: int) -> None:
        """Read the files, which are of BinaryFILE."""
        adapter = find_adapter(config.feed.adapter)
        self._venue = adapter.venue()
        self._lag_ns = lag_ns
        self._names = config.feed_names
        self._paths = paths
        self._faults: list[DataFileError | None] = []
        quotes = allocate_quotes(config.engine.instruments, len(self._names))
        self.players, sides = [], []
        for number, path in enumerate(paths):
            player = Player(config, records_bbo=number == 0, feed=number)
            player.shard = player.shard._replace(quotes=quotes)
            show_feed_nb(quotes, number, 1)
            buf, fault = load_readable_bytes(path)
            self._faults.append(fault)
            player.start_blocks(len(buf))
            self.players.append(player)
            sides.append(Side(player.shard, player.stages, buf, player.cursor))
        self._first, self._second = sides

    def run(self) -> Outcome:
        """Play all of it."""
        first, second = self.players
        while first.status == Status.OUTPUT_FULL:
            first.run_slice(self._play, _SLICE, FOREVER_NS)
        second.keep()
        signals = self.signals()
        return Outcome(
            **read_outcome([player.shard for player in self.players], is_capture=False),
            signals=len(signals),
            signals_digest=hashlib.sha256(signals.tobytes()).hexdigest(),
            kernel_ns=first.busy_ns,
            fault=self._fault_at(first.status),
        )

    def _fault_at(self, status: int) -> DataFileError | None:
        """What is wrong with a file."""
        for path, player, fault in zip(self._paths, self.players, self._faults, strict=True):
            if fault is not None:
                return fault
            at, stop = (int(player.cursor[word]) for word in (Cursor.AT, Cursor.STOP))
            if at < stop and status == Status.TRUNCATED:
                return DataFileError(path, at, "the file ends within a message")
        return None

    def _play(self, _player: Player) -> int:
        self.players[1].keep()
        return int(play_two_nb(self._first, self._second, self._venue, self._lag_ns))

    def signals(self) -> NDArray[np.void]:
        """Those of both engines, as they arose."""
        parts = [rows for player in self.players for rows, _ranks in player.signals]
        rows = np.concatenate(parts) if parts else np.zeros(0, SIGNAL)
        return rows[np.argsort(rows["ts_rx_ns"], kind="stable")]

    def instruments(self) -> dict[str, int]:
        """Numbers by SYMBOL@FEED, as signals have them."""
        found: dict[str, int] = {}
        for number, (name, player) in enumerate(zip(self._names, self.players, strict=True)):
            rows: Any = player.shard.instruments
            for i in np.flatnonzero(rows["symbol"]).tolist():
                symbol = symbol_text(int(rows[i]["symbol"]), i)
                found[f"{symbol}@{name}"] = i + (number << FEED_SHIFT)
        return found
