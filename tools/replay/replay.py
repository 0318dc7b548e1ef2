"""One replay: a file, an engine of its own, and what comes out of it."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from adapters.fix_md.adapter import ADAPTER as FIX_MD
from feedhandler.core.book.layout import price_step, set_price_step
from feedhandler.core.book.views import levels, live_instruments
from feedhandler.core.engine import CHUNK, Setting, Shard, allocate_shard
from feedhandler.core.events import ONE_E9, SIGNAL, plain_text, symbol_text
from feedhandler.core.receive import RECOVERY, Receiver, allocate_receiver
from feedhandler.core.ring import ring_take_rows_nb
from feedhandler.core.sequence import State
from feedhandler.server.assemble import (
    apply_priority,
    apply_settings,
    build_stages,
    find_adapter,
    scratch_tables,
    shard_capacity,
)
from feedhandler.server.config import BudgetConfig, EngineConfig, PriorityConfig, ServerConfig
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
    CURSOR_WORDS,
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
from tools.replay.sniff import RecordingFormat, fix_framing
from tools.replay.soup import SoupPackets, read_sessions

_BBO_ROWS = 65_536
_BBO_HEADER = b"seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty\n"
_BOOK_HEADER = b"symbol,side,price,qty,orders\n"
_ROUNDS_A_SLICE = 65_536
_REORDER_NS = 50_000_000
_PACKET_BYTES = 65_536
_WINDOW_PACKETS = 1_024
_SIGNAL_RING = 131_072
_SIGNAL_BATCH = 4_096
_PAGE_BYTES = 4_096
_FIX_REASON = "; the FIX in it has no market data (W or X), feedhandler decode shows it"


class Replay:
    """An engine without threads or sockets, fed from a file.

    `shard` is the engine, for a look at its books; `signals` are handed to `on_signals` as rows
    SIGNAL[n] in their order, valid during the call.
    """

    def __init__(
        self,
        config: ServerConfig | None = None,
        bbo: BinaryIO | None = None,
        pace: Pace | None = None,
        on_signals: Callable[[NDArray[np.void]], None] | None = None,
    ) -> None:
        """`config` gives sizes, rules, breakers and patterns (none without it), `pace` the speed
        (as fast as possible without it); best prices go to `bbo` as CSV.
        """
        engine = config.engine if config else EngineConfig()
        capacity = shard_capacity(engine, _BBO_ROWS if bbo else 0)._replace(
            packet_bytes=_PACKET_BYTES,
            window_packets=_WINDOW_PACKETS,
            snapshot_bytes=1,
            signal_ring=_SIGNAL_RING,
        )
        self.shard: Shard = allocate_shard(capacity, *scratch_tables())
        apply_settings(self.shard, engine, config.budgets if config else BudgetConfig())
        apply_priority(self.shard, config.priority if config else PriorityConfig())
        self.shard.settings[Setting.TIMED] = 0
        self.shard.settings[Setting.RECORD_BBO] = bbo is not None
        channel = self.shard.channel[0]
        channel["reorder_ns"] = _REORDER_NS
        channel["stale_after_ns"] = FOREVER_NS
        stages = build_stages(
            self.shard, config.breakers if config else (), config.patterns if config else ()
        )
        self._stages = stages
        adapter = find_adapter(config.feed.adapter if config else "nasdaq_itch")
        self._venue = adapter.venue()
        session = adapter.session_bytes(config.feed.session if config else "")
        self._rx: Receiver = allocate_receiver((-1, -1, -1), session, 64)
        self._cursor = np.zeros(CURSOR_WORDS, np.int64)
        self._bbo = bbo
        self._bbo_text = np.zeros(_BBO_ROWS * ROW_BYTES_MAX if bbo else 1, np.uint8)
        self._pace = pace
        self._on_signals = on_signals
        self._signal_rows = np.zeros(_SIGNAL_BATCH, SIGNAL)
        self._signals = 0
        self._signals_hash = hashlib.sha256()
        self._kernel_ns = 0
        self._orders_max = min(engine.orders, ORDERS_MAX)
        self._names = np.zeros((0, 1), np.uint8)
        self._ordinals = np.zeros(0, np.int64)
        if bbo:
            bbo.write(_BBO_HEADER)

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
        self.shard.channel[0]["state"] = State.LIVE
        self.shard.channel[0]["next_seq"] = 1
        self._cursor[Cursor.STOP] = len(buf)
        blocks = np.zeros(CHUNK + 1, np.int64)
        _touch(buf)
        status = self._run_slices(
            lambda: replay_blocks_nb(
                self.shard, self._venue, self._stages, buf, self._cursor, blocks
            )
        )
        if status == Status.TRUNCATED and fault is None:
            at = int(self._cursor[Cursor.AT])
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
        session = np.zeros_like(self._rx.session)
        if capture.skipped["tcp"] and not has_data_nb(
            self._venue, capture.buf, capture.extra, packets, session, self._rx.parsed.copy()
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
        session = self._rx.session.copy()
        number_lines_nb(
            self._venue, capture.buf, capture.extra, packets, session, self._rx.parsed, numbers
        )
        return np.where(numbers < 0, RECOVERY, np.minimum(numbers, 1))

    def _read_streams(self, path: Path, fix: FixStreams) -> SoupPackets:
        chunks = fix.watch(_up_to_damage(CaptureFile(path).streams()))
        return read_sessions(chunks, self._rx.session.tobytes().decode("latin-1").strip("\0 "))

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
        self._venue = FIX_MD.venue()
        self._rx.session[:] = 0
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
        self._cursor[Cursor.STOP] = packets.shape[1]
        self._cursor[Cursor.IS_SETTLED] = 1
        _touch(buf)
        shard, rx, venue, cursor = self.shard, self._rx, self._venue, self._cursor
        self._run_slices(
            lambda: replay_datagrams_nb(shard, rx, venue, self._stages, buf, extra, packets, cursor)
        )
        self._run_slices(lambda: finish_datagrams_nb(shard, rx, venue, self._stages, cursor))

    def _run_slices(self, run_slice: Callable[[], int]) -> int:
        """Call a replay loop until it has an end, in the pace asked for; its last Status."""
        # Once without a round: what is compiled or read from the cache is no time of the kernels.
        self._cursor[Cursor.ROUNDS] = 0
        run_slice()
        self._cursor[Cursor.ROUNDS] = _ROUNDS_A_SLICE
        self._cursor[Cursor.UNTIL_NS] = FOREVER_NS if self._pace is None else -1
        status = int(Status.OUTPUT_FULL)
        while status == Status.OUTPUT_FULL:
            started_ns = time.perf_counter_ns()
            status = run_slice()
            self._kernel_ns += time.perf_counter_ns() - started_ns
            self._collect()
            if self._pace is not None and status == Status.OUTPUT_FULL:
                event_ns = int(self._cursor[Cursor.EVENT_NS])
                self._cursor[Cursor.UNTIL_NS] = self._pace.wait_for(event_ns)
        return status

    def _collect(self) -> None:
        """Take signals and recorded best prices out of the engine."""
        while count := int(ring_take_rows_nb(self.shard.signals, self._signal_rows)):
            rows = self._signal_rows[:count]
            self._number_messages(rows)
            self._signals += count
            self._signals_hash.update(rows.tobytes())
            if self._on_signals is not None:
                self._on_signals(rows)
        if self._bbo:
            rows_count = int(self.shard.bbo_count[0])
            self._number_messages(self.shard.bbo[:rows_count])
            size = format_bbo_nb(
                self.shard.bbo, rows_count, self.shard.instruments, self._names, self._bbo_text
            )
            self._bbo.write(self._bbo_text[:size].data)
            self.shard.bbo_count[0] = 0

    def _number_messages(self, rows: NDArray[np.void]) -> None:
        """Of FIX a user sees the number of the message, not that of the entry in all of them."""
        if len(self._ordinals):
            rows["seq"] = self._ordinals[rows["seq"] - 1]

    def _outcome(self, fault: DataFileError | None, *, is_capture: bool) -> Outcome:
        return Outcome(
            **read_outcome(self.shard, is_capture=is_capture),
            signals=self._signals,
            signals_digest=self._signals_hash.hexdigest(),
            kernel_ns=self._kernel_ns,
            fault=fault,
        )

    def write_book(self, file: BinaryIO) -> None:
        """The final books as CSV: symbol, side, price, qty, orders; best level first."""
        file.write(_BOOK_HEADER)
        for instrument in live_instruments(self.shard.book):
            symbol = self._symbol(int(instrument))
            step_e9 = price_step(self.shard.book, int(instrument))
            for side, letter in ((1, "B"), (-1, "S")):
                for price, qty, orders in levels(self.shard.book, int(instrument), side):
                    text = _price_text(price * step_e9)
                    file.write(f"{symbol},{letter},{text},{qty},{orders}\n".encode())

    def _symbol(self, instrument: int) -> str:
        if instrument < len(self._names) and self._names[instrument, 0]:
            name = self._names[instrument, 1 : 1 + self._names[instrument, 0]]
            return plain_text(name.tobytes().decode("latin-1"))
        return symbol_text(int(self.shard.instruments[instrument]["symbol"]), instrument)


def _price_text(price_e9: int) -> str:
    """Four decimals, or as many more as the price has."""
    whole, rest = divmod(price_e9, ONE_E9)
    decimals = f"{rest:09d}".rstrip("0")
    return f"{whole}.{decimals:0<4}"


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
