"""One replay: a file, an engine of its own, and what comes out of it."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from adapters.fix_md.adapter import ADAPTER as FIX_MD
from feedhandler.core.analytics import INSTRUMENT
from feedhandler.core.book.layout import price_step, set_price_step
from feedhandler.core.book.views import levels, live_instruments
from feedhandler.core.counts import LANES_MAX
from feedhandler.core.engine import owns_nb
from feedhandler.core.events import plain_text, symbol_text
from feedhandler.core.receiver import RECOVERY
from feedhandler.core.shard import Shard
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import EngineConfig, ServerConfig, Topology
from feedhandler.server.errors import ExitCode, UserError
from protocols.binaryfile.reader import DataFileError, load_readable_bytes
from protocols.errors import Status
from protocols.pcap.flow import Chunk
from protocols.pcap.reader import Capture, CaptureFile, open_capture
from protocols.wire import Bytes
from tools.replay.csv_kernels import (
    ROW_BYTES_MAX,
    format_bbo_nb,
)
from tools.replay.fix import (
    ORDERS_MAX,
    FixRecords,
    FixStreams,
    name_table,
    price_steps,
    read_fix_file,
)
from tools.replay.kernels import (
    FOREVER_NS,
    Cursor,
    finish_datagrams_nb,
    has_data_nb,
    number_lines_nb,
    replay_blocks_nb,
    replay_datagrams_nb,
)
from tools.replay.outcome import Outcome, read_outcome
from tools.replay.pace import Pace
from tools.replay.player import Crew, Player, take_sorted
from tools.replay.signal_rows import SIGNALS_HEADER, SignalRows, price_text
from tools.replay.sniff import RecordingFormat, fix_framing
from tools.replay.soup import SoupPackets, read_sessions

_FORMAT_ROWS = 65_536
_BBO_HEADER = b"seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty\n"
_BOOK_HEADER = b"symbol,side,price,qty,orders\n"
_PAGE_BYTES = 4_096
_FIX_REASON = "; the FIX in it has no market data (W or X), feedhandler decode shows it"


class Replay:
    """Engines without threads or sockets, fed from a file.

    `shard` is the first engine, for a look at its books; `signals` are handed to `on_signals` as
    rows SIGNAL[n] in their order, valid during the call.
    """

    def __init__(
        self,
        config: ServerConfig | None = None,
        bbo: BinaryIO | None = None,
        pace: Pace | None = None,
        on_signals: Callable[[NDArray[np.void]], None] | None = None,
        *,
        shards: int = 1,
        topology: Topology = "inline",
        signals: BinaryIO | None = None,
    ) -> None:
        """`config` gives sizes, rules, breakers and patterns (none without it), `pace` the speed
        (as fast as possible without it); best prices go to `bbo` as CSV, and signals to `signals`.
        Of several `shards` each has its share of the instruments, sizes as configured, and a
        thread, or two when `topology` is "pipelined".
        """
        engine = config.engine if config else EngineConfig()
        adapter = find_adapter(config.feed.adapter if config else "nasdaq_itch")
        self._venue = adapter.venue()
        session = adapter.session_bytes(config.feed.session if config else "")
        self.players = [
            Player(
                config,
                session,
                number=i,
                shards=shards,
                records_bbo=bbo is not None,
                is_pipelined=topology == "pipelined",
            )
            for i in range(shards)
        ]
        self._crew = Crew(self.players, pace)
        # Alone, a shard names its instruments itself.
        self._instruments = (
            self.shard.instruments if shards == 1 else np.zeros(engine.instruments, INSTRUMENT)
        )
        self._bbo = bbo
        self._bbo_text = np.zeros(_FORMAT_ROWS * ROW_BYTES_MAX if bbo else 1, np.uint8)
        self._on_signals = on_signals
        self._signal_rows = SignalRows(config, self._symbol_of) if signals else None
        self._signals_file = signals
        self._signals = 0
        self._signals_hash = hashlib.sha256()
        self._orders_max = min(engine.orders, ORDERS_MAX)
        self._names = np.zeros((0, 1), np.uint8)
        self._ordinals = np.zeros(0, np.int64)
        if bbo:
            bbo.write(_BBO_HEADER)
        if signals:
            signals.write(SIGNALS_HEADER)

    @property
    def shard(self) -> Shard:
        """The first shard, which is all of the engine where there is only one."""
        return self.players[0].shard

    def run(self, path: Path, kind: RecordingFormat) -> Outcome:
        """Replay the whole file, which is of `kind` (see `sniff_recording`).

        Damage in it is in the outcome's `fault`; what came before it is applied. DataFileError when
        there is nothing to apply.
        """
        if kind == "binaryfile":
            buf, fault = load_readable_bytes(path)
            return self._run_blocks(path, buf, fault)
        if kind == "fix":
            return self._run_fix_file(path)
        return self._run_capture(path)

    def _run_blocks(self, path: Path, buf: Bytes, fault: DataFileError | None) -> Outcome:
        for player in self.players:
            player.start_blocks(len(buf))
        _touch(buf)
        venue = self._venue
        status = self._crew.run(
            lambda each: replay_blocks_nb(each.shard, venue, each.stages, buf, each.cursor),
            self._collect,
        )
        if status == Status.TRUNCATED and fault is None:
            at = int(self.players[0].cursor[Cursor.AT])
            fault = DataFileError(path, at, "the file ends within a message")
        outcome = self._outcome(fault, is_capture=False)
        if 0 < outcome.messages == outcome.not_understood:
            reason = f"no BinaryFILE of this venue: not one of {outcome.messages} messages is known"
            outcome.fault = DataFileError(path, None, reason)
        return outcome

    def _run_capture(self, path: Path) -> Outcome:
        capture = open_capture(path)
        has_fix = False
        packets = np.stack([capture.ts_ns, capture.at, capture.size, capture.flow])
        rx = self.players[0].rx
        session = np.zeros_like(rx.session)
        if capture.skipped["tcp"] and not has_data_nb(
            self._venue, capture.buf, capture.extra, packets, session, rx.parsed.copy()
        ):
            fix = FixStreams()
            streams = self._read_streams(path, fix)
            if streams.packets.size:
                return self._run_streams(capture, streams)
            records = fix.records(len(self.shard.instruments), self._orders_max)
            if records.packets.size:
                outcome = self._run_records(records, capture.fault)
                outcome.skipped_frames = _other_frames(capture)
                return outcome
            has_fix = streams.counts.fix_streams > 0
        packets[3] = self._lines_of_flows(capture, packets)[capture.flow]
        self._run_packets(capture.buf, capture.extra, packets)
        outcome = self._outcome(capture.fault, is_capture=True)
        outcome.skipped_frames = {reason: n for reason, n in capture.skipped.items() if n}
        if outcome.fault is None and 0 < packets.shape[1] == outcome.packets["malformed"]:
            reason = f"none of its {packets.shape[1]} UDP datagrams is a packet of this venue"
            outcome.fault = DataFileError(path, None, reason + _FIX_REASON * has_fix)
        elif outcome.fault is None and not packets.size and capture.skipped["tcp"]:
            reason = "no UDP datagram, and no SoupBinTCP session with messages of this venue"
            outcome.fault = DataFileError(path, None, reason + _FIX_REASON * has_fix)
        return outcome

    def _lines_of_flows(self, capture: Capture, packets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Line of each flow of the capture: the first to carry the session is line a, the others
        line b; what carries something else is neither, so that it is not in their figures.
        """
        numbers = np.full(len(capture.flows), -1, np.int64)
        rx = self.players[0].rx
        session = rx.session.copy()
        number_lines_nb(
            self._venue, capture.buf, capture.extra, packets, session, rx.parsed, numbers
        )
        return np.where(numbers < 0, RECOVERY, np.minimum(numbers, 1))

    def _read_streams(self, path: Path, fix: FixStreams) -> SoupPackets:
        chunks = fix.watch(_up_to_damage(CaptureFile(path).streams()))
        session = self.players[0].rx.session
        return read_sessions(chunks, session.tobytes().decode("latin-1").strip("\0 "))

    def _run_streams(self, capture: Capture, streams: SoupPackets) -> Outcome:
        self._run_packets(streams.buf, capture.extra, streams.packets)
        outcome = self._outcome(capture.fault, is_capture=False)
        outcome.skipped_frames = _other_frames(capture)
        outcome.streams = streams.counts.as_json()
        return outcome

    def _run_fix_file(self, path: Path) -> Outcome:
        framing = fix_framing(path)
        instruments = len(self.shard.instruments)
        records, fault = read_fix_file(path, framing or "stream", instruments, self._orders_max)
        outcome = self._run_records(records, fault)
        if not records.packets.size and fault is None:
            outcome.fault = DataFileError(path, None, "no market data (W or X) of FIX is in it")
        return outcome

    def _run_records(self, records: FixRecords, fault: DataFileError | None) -> Outcome:
        """Replay the records of FIX market data, whose books begin empty."""
        if len(self.players) > 1:
            raise UserError(
                f"--shards {len(self.players)}: FIX market data is replayed by one shard: a doubt"
                " about one book may be one about all",
                ExitCode.USAGE,
            )
        self._venue = FIX_MD.venue()
        self.players[0].rx.session[:] = 0
        self.shard.channel[0]["strict"] = 1
        for instrument, step_e9, fits in price_steps(records.feed):
            set_price_step(self.shard.book, instrument, step_e9)
            records.counts.price_ranges += not fits
        self._names = name_table(records.feed)
        self._ordinals = records.ordinals
        self._run_packets(records.buf, np.zeros(1, np.uint8), records.packets)
        if self.shard.channel[0]["suspect"]:
            records.counts.books_in_doubt = records.counts.symbols
        outcome = self._outcome(fault, is_capture=False)
        outcome.add_fix(records.types, records.counts)
        return outcome

    def _run_packets(self, buf: Bytes, extra: Bytes, packets: NDArray[np.int64]) -> None:
        """Replay packets i64[4, n] of ts_ns, at (through buf and then extra), size, line."""
        # A damaged stamp must neither lie beyond every due time nor overflow a sum.
        packets[0] = np.clip(packets[0], 0, FOREVER_NS - 1)
        for player in self.players:
            player.cursor[Cursor.STOP] = packets.shape[1]
            player.cursor[Cursor.IS_SETTLED] = 1
        _touch(buf)
        venue = self._venue
        self._crew.run(
            lambda each: replay_datagrams_nb(
                each.shard, each.rx, venue, each.stages, buf, extra, packets, each.cursor
            ),
            self._collect,
        )
        self._crew.run(
            lambda each: finish_datagrams_nb(each.shard, each.rx, venue, each.stages, each.cursor),
            self._collect,
        )

    def _collect(self, *, is_last: bool = False) -> None:
        """Hand on what the shards have recorded, as far as all of them are: a shard on its own, or
        one that is at the end, waits for nobody.
        """
        next_seq = min(player.next_seq for player in self.players)
        if is_last or len(self.players) == 1:
            next_seq = FOREVER_NS // LANES_MAX
        for rows in take_sorted([player.signals for player in self.players], next_seq * LANES_MAX):
            self._take_signals(rows)
        if self._bbo:
            for rows in take_sorted([player.bbo for player in self.players], next_seq):
                self._write_best_prices(self._bbo, rows)

    def _take_signals(self, rows: NDArray[np.void]) -> None:
        self._number_messages(rows)
        # Each shard has numbered its own.
        rows["signal_id"] = np.arange(self._signals + 1, self._signals + 1 + len(rows))
        self._signals += len(rows)
        self._signals_hash.update(rows.tobytes())
        if self._signals_file and self._signal_rows:
            self._signals_file.write(self._signal_rows.text(rows))
        if self._on_signals is not None:
            self._on_signals(rows)

    def _write_best_prices(self, file: BinaryIO, rows: NDArray[np.void]) -> None:
        self._number_messages(rows)
        shards = len(self.players)
        for i in range(shards if shards > 1 else 0):
            known = self.players[i].shard.instruments
            self._instruments["symbol"][i::shards] = known["symbol"][i::shards]
        for first in range(0, len(rows), _FORMAT_ROWS):
            part = rows[first : first + _FORMAT_ROWS]
            size = format_bbo_nb(part, len(part), self._instruments, self._names, self._bbo_text)
            file.write(self._bbo_text[:size].data)

    def _number_messages(self, rows: NDArray[np.void]) -> None:
        """Of FIX a user sees the number of the message, not that of the entry in all of them."""
        if len(self._ordinals):
            rows["seq"] = self._ordinals[rows["seq"] - 1]

    def _outcome(self, fault: DataFileError | None, *, is_capture: bool) -> Outcome:
        self._collect(is_last=True)
        return Outcome(
            **read_outcome([player.shard for player in self.players], is_capture=is_capture),
            signals=self._signals,
            signals_digest=self._signals_hash.hexdigest(),
            kernel_ns=self._crew.kernel_ns,
            fault=fault,
        )

    def write_book(self, file: BinaryIO) -> None:
        """The final books as CSV: symbol, side, price, qty, orders; best level first."""
        file.write(_BOOK_HEADER)
        found = [
            (int(instrument), player.shard)
            for player in self.players
            for instrument in live_instruments(player.shard.book)
            if owns_nb(player.shard, int(instrument))
        ]
        for instrument, shard in sorted(found, key=lambda each: each[0]):
            symbol = self._symbol(shard, instrument)
            step_e9 = price_step(shard.book, instrument)
            for side, letter in ((1, "B"), (-1, "S")):
                for price, qty, orders in levels(shard.book, instrument, side):
                    text = price_text(price * step_e9)
                    file.write(f"{symbol},{letter},{text},{qty},{orders}\n".encode())

    def _symbol_of(self, instrument: int) -> str:
        return self._symbol(self.players[instrument % len(self.players)].shard, instrument)

    def _symbol(self, shard: Shard, instrument: int) -> str:
        if instrument < len(self._names) and self._names[instrument, 0]:
            name = self._names[instrument, 1 : 1 + self._names[instrument, 0]]
            return plain_text(name.tobytes().decode("latin-1"))
        return symbol_text(int(shard.instruments[instrument]["symbol"]), instrument)


def _other_frames(capture: Capture) -> dict[str, int]:
    """What is neither datagram nor segment, by reason."""
    return {reason: n for reason, n in capture.skipped.items() if n and reason != "tcp"}


def _up_to_damage(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """All chunks; the damage behind them is in `Capture.fault` as well."""
    with suppress(DataFileError):
        yield from chunks


def _touch(buf: Bytes) -> None:
    """Read one byte of each page, so that the disk's time is not counted as the kernels'."""
    buf[::_PAGE_BYTES].max(initial=0)
