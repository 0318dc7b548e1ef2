"""One replay: a file, an engine of its own, and what comes out of it."""

import csv
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.book.views import books_digest, levels, live_instruments
from feedhandler.core.counts import Count
from feedhandler.core.engine import Setting, Shard, allocate_shard
from feedhandler.core.events import SIGNAL
from feedhandler.core.receive import Receiver, allocate_receiver
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
from protocols.pcap.reader import open_capture
from protocols.pcap.sniff import sniff_format
from tools.replay.csv_kernels import ROW_BYTES_MAX, format_bbo_nb
from tools.replay.kernels import (
    CURSOR_WORDS,
    Cursor,
    flush_window_nb,
    replay_blocks_nb,
    replay_datagrams_nb,
)

_BBO_ROWS = 65_536
_BBO_HEADER = b"seq,ts_ns,symbol,bid_price,bid_qty,ask_price,ask_qty\n"
_BOOK_HEADER = ("symbol", "side", "price", "qty", "orders")
_FOREVER_NS = 2**62
_ROUNDS_A_SLICE = 65_536
_REORDER_NS = 50_000_000
_NAP_S = 0.0005
_PACKET_BYTES = 65_536
_WINDOW_PACKETS = 1_024


@dataclass(slots=True)
class Outcome:
    """What a replay found; times are those of the kernels alone."""

    messages: int
    types: dict[str, int]
    orders_live: int
    unknown_references: int
    malformed: int
    gaps: int
    missing_messages: int
    signals: int
    kernel_ns: int
    books_digest: str
    fault: DataFileError | None
    skipped: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        seconds_ns = max(self.kernel_ns, 1)
        return {
            "messages": self.messages,
            "types": self.types,
            "orders_live": self.orders_live,
            "unknown_references": self.unknown_references,
            "malformed": self.malformed,
            "gaps": self.gaps,
            "missing_messages": self.missing_messages,
            "signals": self.signals,
            "messages_per_second": self.messages * 1_000_000_000 // seconds_ns,
            "ns_per_message": round(self.kernel_ns / max(self.messages, 1), 1),
            "books_digest": self.books_digest,
            **({"skipped_frames": self.skipped} if self.skipped else {}),
        }


class Replay:
    """An engine without threads or sockets, fed from a file."""

    def __init__(self, config: ServerConfig | None, bbo: BinaryIO | None, speed: int | None) -> None:
        """`config` gives sizes, rules, breakers and patterns (none without it); `speed` None is as fast as possible, else a multiple
        of the recorded pace; best prices go to `bbo`."""
        engine = config.engine if config else EngineConfig()
        capacity = shard_capacity(engine, _BBO_ROWS if bbo else 0)
        capacity = capacity._replace(packet_bytes=_PACKET_BYTES, window_packets=_WINDOW_PACKETS, snapshot_bytes=1)
        self.shard: Shard = allocate_shard(
            capacity, *scratch_tables()
        )
        apply_settings(self.shard, engine, config.budgets if config else BudgetConfig())
        apply_priority(self.shard, config.priority if config else PriorityConfig())
        self.shard.settings[Setting.TIMED] = 0
        self.shard.settings[Setting.RECORD_BBO] = bbo is not None
        channel = self.shard.channel[0]
        channel["reorder_ns"] = _REORDER_NS
        channel["stale_after_ns"] = _FOREVER_NS
        stages = build_stages(
            self.shard, config.breakers if config else (), config.patterns if config else ()
        )
        self._stages = (stages.breakers, stages.patterns)
        adapter = find_adapter(config.feed.adapter if config else "nasdaq_itch")
        self._venue = adapter.venue()
        session = adapter.session_bytes(config.feed.session if config else "")
        self._rx: Receiver = allocate_receiver((-1, -1, -1), session, 64)
        self._bbo = bbo
        self._bbo_text = np.zeros(_BBO_ROWS * ROW_BYTES_MAX if bbo else 1, np.uint8)
        self._speed = speed
        self._signal_rows = np.zeros(4_096, SIGNAL)
        self._signals = 0
        self._kernel_ns = 0
        self._pace_from: tuple[int, int] | None = None
        if bbo:
            bbo.write(_BBO_HEADER)

    def run(self, path: Path) -> Outcome:
        """Replay the whole file; damage in it is in the outcome's `fault`, what came before it is applied."""
        kind = sniff_format(path)
        skipped: dict[str, int] = {}
        if kind == "binaryfile":
            fault = self._run_blocks(path)
        else:
            fault, skipped = self._run_capture(path)
        return self._outcome(fault, skipped)

    def _run_blocks(self, path: Path) -> DataFileError | None:
        buf, fault = load_readable_bytes(path)
        self.shard.channel[0]["state"] = State.LIVE
        self.shard.channel[0]["next_seq"] = 1
        cursor = np.zeros(CURSOR_WORDS, np.int64)
        cursor[Cursor.STOP] = len(buf)
        index = np.zeros((2, 64), np.int64)
        status = int(Status.OUTPUT_FULL)
        while status == Status.OUTPUT_FULL:
            self._set_pace(cursor, int(self.shard.channel[0]["last_exch_ns"]))
            started_ns = time.perf_counter_ns()
            status = replay_blocks_nb(
                self.shard, self._venue, self._stages, buf, cursor, index
            )
            self._kernel_ns += time.perf_counter_ns() - started_ns
            self._collect()
        if status == Status.TRUNCATED and fault is None:
            return DataFileError(path, int(cursor[Cursor.AT]), "the file ends within a message")
        return fault

    def _run_capture(self, path: Path) -> tuple[DataFileError | None, dict[str, int]]:
        capture = open_capture(path)
        packets = np.stack(
            [capture.ts_ns, capture.at, capture.size, np.minimum(capture.flow, 1)]
        )
        cursor = np.zeros(CURSOR_WORDS, np.int64)
        cursor[Cursor.STOP] = packets.shape[1]
        status = int(Status.OUTPUT_FULL)
        while status == Status.OUTPUT_FULL:
            at = int(cursor[Cursor.AT])
            self._set_pace(cursor, int(capture.ts_ns[min(at, packets.shape[1] - 1)]) if packets.size else 0)
            started_ns = time.perf_counter_ns()
            status = replay_datagrams_nb(
                self.shard, self._rx, self._venue, self._stages, capture.buf, packets, cursor
            )
            self._kernel_ns += time.perf_counter_ns() - started_ns
            self._collect()
        if packets.size:
            end_ns = int(capture.ts_ns[-1])
            while flush_window_nb(self.shard, self._rx, self._venue, self._stages, end_ns):
                self._collect()
                end_ns += 2 * _REORDER_NS
            self._collect()
        return capture.fault, {reason: n for reason, n in capture.skipped.items() if n}

    def _set_pace(self, cursor: NDArray[np.int64], event_ns: int) -> None:
        """Let the next slice run to the end, or up to the event time that is due now."""
        cursor[Cursor.ROUNDS] = _ROUNDS_A_SLICE
        cursor[Cursor.UNTIL_NS] = _FOREVER_NS
        if self._speed is None:
            return
        now_ns = time.monotonic_ns()
        if self._pace_from is None:
            if event_ns == 0:
                cursor[Cursor.ROUNDS] = 1
                return
            self._pace_from = (now_ns, event_ns)
        started_ns, first_event_ns = self._pace_from
        due_ns = first_event_ns + (now_ns - started_ns) * self._speed
        if event_ns > due_ns:
            time.sleep(_NAP_S)
            due_ns = first_event_ns + (time.monotonic_ns() - started_ns) * self._speed
        cursor[Cursor.ROUNDS] = 1 if event_ns > due_ns else _ROUNDS_A_SLICE
        cursor[Cursor.UNTIL_NS] = due_ns

    def _collect(self) -> None:
        """Take signals and recorded best prices out of the engine."""
        count = 1
        while count:
            count = ring_take_rows_nb(self.shard.signals, self._signal_rows)
            self._signals += count
        if self._bbo:
            rows = int(self.shard.bbo_count[0])
            size = format_bbo_nb(self.shard.bbo, rows, self.shard.instruments, self._bbo_text)
            self._bbo.write(self._bbo_text[:size].data)
            self.shard.bbo_count[0] = 0

    def _outcome(self, fault: DataFileError | None, skipped: dict[str, int]) -> Outcome:
        counts = self.shard.counts[:, 0]
        types = self.shard.types
        return Outcome(
            messages=int(types.sum()),
            types={chr(code): int(types[code]) for code in np.flatnonzero(types)},
            orders_live=int(self.shard.book.meta[ORDERS_LIVE]),
            unknown_references=int(counts[Count.UNKNOWN_REFERENCE]),
            malformed=int(
                counts[Count.UNKNOWN_TYPE]
                + counts[Count.BAD_LENGTH]
                + counts[Count.BAD_VALUE]
                + counts[Count.DUPLICATE_REFERENCE]
                + counts[Count.OVERFILL]
                + counts[Count.REJECTED_MALFORMED]
            ),
            gaps=int(counts[Count.GAPS]),
            missing_messages=int(counts[Count.UNRECOVERED]),
            signals=self._signals,
            kernel_ns=self._kernel_ns,
            books_digest=books_digest(self.shard.book),
            fault=fault,
            skipped=skipped,
        )

    def write_book(self, path: Path) -> None:
        """The final books as CSV: symbol, side, price, qty, orders; best level first."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_BOOK_HEADER)
            for instrument in live_instruments(self.shard.book):
                symbol = symbol_text(self.shard, int(instrument))
                for side, letter in ((1, "B"), (-1, "S")):
                    for price_e4, qty, orders in levels(self.shard.book, int(instrument), side):
                        price = f"{price_e4 // 10_000}.{price_e4 % 10_000:04d}"
                        writer.writerow((symbol, letter, price, qty, orders))


def symbol_text(shard: Shard, instrument: int) -> str:
    """Symbol of an instrument without padding, or #locate when no message has named it."""
    symbol = int(shard.instruments[instrument]["symbol"])
    return symbol.to_bytes(8, "little").decode("latin-1").rstrip() if symbol else f"#{instrument}"
