"""Small engines and the messages that go into them, shared by the tests of the engine."""

import socket
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from adapters.nasdaq_itch.adapter import ADAPTER
from feedhandler.core.api import fill_places, no_sender
from feedhandler.core.book.layout import BookCapacity
from feedhandler.core.counters import VALUE_WORDS
from feedhandler.core.counts import COUNT_ROWS, FUNCTIONS_MAX, HISTOGRAM_ROWS, Count
from feedhandler.core.events import SIGNAL, TICK
from feedhandler.core.functions import Fn, Functions, Use
from feedhandler.core.latency import HISTOGRAM_WORDS
from feedhandler.core.libc import SO_TIMESTAMPNS
from feedhandler.core.receive import drain_window_nb, poll_once_nb, take_packet_nb
from feedhandler.core.receiver import Receiver, allocate_receiver
from feedhandler.core.recovery import advance_nb
from feedhandler.core.ring import HEAD, TAIL, ring_take_rows_nb
from feedhandler.core.shard import SPARE_SIZE, Shard, ShardCapacity, allocate_shard
from feedhandler.core.stages import drain_lanes_nb
from feedhandler.server.config import PriorityConfig
from feedhandler.server.functions import Stages
from feedhandler.server.priority import apply_priority
from protocols.itch50.codec import encode
from protocols.moldudp64.codec import Packet, Request, decode_request, encode_packet

SESSION = "TEST000001"
SECOND = 1_000_000_000
CRITICAL, NORMAL, DEEP = 0, 1, 2
NEVER = 1 << 62
LINE_A, LINE_B, RECOVERY = range(3)
POLLS = 2_000

BOOK = BookCapacity(
    instruments=16,
    orders=4_096,
    overflow_orders=64,
    level_blocks=256,
    arena=4_096,
)
CAPACITY = ShardCapacity(
    book=BOOK,
    pool=1_024,
    signal_ring=64,
    window_packets=64,
    packet_bytes=2_048,
    snapshot_bytes=65_536,
)


def state_of(functions: Functions, function: int, instrument: int = 0) -> Any:
    """The state of a function that is bound to each instrument alone, for one of them."""
    row = functions.rows[function]
    at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
    return functions.state[at : at + row[Fn.STATE_WORDS]]


def free_slots(shard: Shard) -> list[int]:
    """Every slot of the pool that holds no tick: at hand, going round, or spare."""
    (cursors, cells), sizes = shard.free, shard.stash_size
    round_slots = [int(cells[at % len(cells)]) for at in range(cursors[HEAD], cursors[TAIL])]
    lists = (shard.stash[: sizes[0]], shard.spare[: sizes[SPARE_SIZE]])
    return [*round_slots, *(int(slot) for slots in lists for slot in slots)]


def set_lanes(shard: Shard, *, deep: int = DEEP, **other: Any) -> None:
    """Halts to CRITICAL, quotes behind the touch to `deep`, all else to NORMAL; `other` keys of
    [priority] as they are given.
    """
    keys: dict[str, Any] = {
        "from_score": (60, 30),
        "kinds": {"trading_status": 100},
        "deep_quote_score": -30 if deep == DEEP else 0,
        "large_trade_qty": 1_000_000,
        "large_trade_notional": 1_000_000_000_000,
        "moves": (),
    }
    apply_priority(shard, PriorityConfig(**(keys | other)), {}, is_live=True)


def make_shard(capacity: ShardCapacity = CAPACITY, **channel: int) -> Shard:
    """A shard that waits for message 1; `channel` overrides its settings."""
    counts = np.zeros((COUNT_ROWS, VALUE_WORDS), np.int64)
    histograms = np.zeros((HISTOGRAM_ROWS, HISTOGRAM_WORDS), np.int64)
    shard = allocate_shard(capacity, counts, histograms)
    set_lanes(shard)
    defaults = {
        "next_seq": 1,
        "highest_seq": 1,
        "reorder_ns": 1_000,
        "request_timeout_ns": 10_000,
        "tries_max": 2,
        "request_chunk": 4,
        "request_window": 1_000,
        "snapshot_above": 1_000,
        "stale_after_ns": SECOND,
    }
    for name, value in (defaults | channel).items():
        shard.channel[0][name] = value
    return shard


class Engine:
    """A shard with a receiver, a venue and stages, fed by hand; `now_ns` is the test's clock."""

    def __init__(
        self,
        breakers: Sequence[Any] = (),
        patterns: Sequence[Any] = (),
        *,
        capacity: ShardCapacity = CAPACITY,
        fds: tuple[int, int, int] = (-1, -1, -1),
        session: str = SESSION,
        **channel: int,
    ) -> None:
        uses = {"breakers": (Use(),) * len(breakers), "patterns": (Use(),) * len(patterns)}
        own = {name: value for name, value in uses.items() if not getattr(capacity, name)}
        self.shard = make_shard(capacity._replace(**own), **channel)
        self.rx: Receiver = allocate_receiver(
            fds, ADAPTER.session_bytes(session), 2_048, follows=not session
        )
        self.venue = ADAPTER.venue()
        self.stages = Stages(
            fill_places(breakers, FUNCTIONS_MAX), fill_places(patterns, FUNCTIONS_MAX), no_sender()
        )
        self.now_ns = SECOND

    @property
    def channel(self) -> Any:
        """The channel's row."""
        return self.shard.channel[0]

    def count(self, row: int) -> int:
        """A counter's value."""
        return int(self.shard.counts[row, 0])

    def counts(self) -> dict[str, int]:
        """Every counter that is not 0, by name; those of a block by the block's name and place."""
        starts = sorted(Count, reverse=True)
        found = {}
        for row in np.flatnonzero(self.shard.counts[:, 0]):
            start = next(start for start in starts if start <= row)
            name = start.name if row == start else f"{start.name}+{row - start}"
            found[name] = int(self.shard.counts[row, 0])
        return found

    def take(self, datagram: bytes, line: int = 0) -> None:
        """One datagram of a line, as `receive_line_nb` hands it over."""
        packet = self.shard.packet[0]
        packet["line"] = line
        packet["ts_rx_ns"] = self.now_ns
        packet["size"] = len(datagram)
        buf = np.frombuffer(datagram or b"\0", np.uint8).copy()
        take_packet_nb(self.shard, self.rx, self.venue, buf, 0, self.now_ns)

    def settle(self) -> None:
        """Apply what has become due in the window and move the channel's state."""
        while drain_window_nb(self.shard, self.venue, self.now_ns):
            pass
        advance_nb(self.shard, self.rx, self.venue, self.now_ns)

    def work(self, most: int = 1 << 30) -> int:
        """Run the stages; how many ticks."""
        return int(drain_lanes_nb(self.shard, *self.stages, most))

    def feed(self, messages: Iterable[bytes]) -> None:
        """Messages in sequence on line A, each in a packet of its own, worked on at once."""
        for message in messages:
            self.take(packet(int(self.channel["next_seq"]), [message]))
            self.settle()
            self.work()

    def poll(self) -> int:
        """One round of the receiving thread, by the real clock."""
        return int(poll_once_nb(self.shard, self.rx, self.venue))

    def ticks(self) -> list[Any]:
        """Copies of the ticks in the lanes, lane by lane, oldest first."""
        found = []
        for cursors, cells in zip(self.shard.lane_cursors, self.shard.lane_cells, strict=True):
            slots = [cells[at % len(cells)] for at in range(cursors[16], cursors[0])]
            found += [self.shard.ticks[slot].copy() for slot in slots]
        return found

    def signals(self) -> list[Any]:
        """Rows taken from the ring of signals."""
        rows = np.zeros(len(self.shard.signals.cells), SIGNAL)
        return list(rows[: ring_take_rows_nb(self.shard.signals, rows)])


class Wire:
    """Lines A and B and a re-request server on loopback, with an engine at the other end."""

    def __init__(
        self, breakers: Sequence[Any] = (), patterns: Sequence[Any] = (), **options: Any
    ) -> None:
        self.lines = [self._bound() for _ in range(3)]
        self.sender = self._bound()
        self.server = self._bound()
        self.server.settimeout(5)
        self.lines[RECOVERY].connect(self.server.getsockname())
        for line in self.lines:
            line.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        fds = tuple(line.fileno() for line in self.lines)
        self.engine = Engine(
            breakers, patterns, fds=fds, reorder_ns=0, stale_after_ns=NEVER, **options
        )

    @staticmethod
    def _bound() -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        return bound

    def send(self, line: int, data: bytes) -> None:
        """One datagram to a line."""
        self.sender.sendto(data, self.lines[line].getsockname())

    def request(self) -> Request:
        """The next request that the engine sent."""
        return decode_request(self.server.recv(2_048))

    def answer(self, data: bytes) -> None:
        """One datagram from the re-request server."""
        self.server.sendto(data, self.lines[RECOVERY].getsockname())

    def poll_until(self, condition: Callable[[], bool]) -> None:
        """Poll until the condition holds."""
        for _ in range(POLLS):
            self.engine.poll()
            if condition():
                return
        pytest.fail(f"not after {POLLS} rounds: {self.engine.counts()}")

    def close(self) -> None:
        """Close every socket."""
        for each in (*self.lines, self.sender, self.server):
            each.close()


def packet(seq: int, messages: Sequence[bytes], session: str = SESSION) -> bytes:
    """A MoldUDP64 packet."""
    return encode_packet(Packet(session, seq, tuple(messages)))


def heartbeat(seq: int, session: str = SESSION) -> bytes:
    """A packet that only says which message comes next."""
    return packet(seq, [], session)


def end_of_session(seq: int, session: str = SESSION) -> bytes:
    """The packet after the last message."""
    return encode_packet(Packet(session, seq, ended=True))


def header(locate: int, ts_ns: int) -> dict[str, Any]:
    """The fields that every message has."""
    return {"stock_locate": locate, "tracking_number": 0, "timestamp": ts_ns}


def price(price_e4: int) -> Decimal:
    """A price as the codec takes it."""
    return Decimal(price_e4).scaleb(-4)


def add(
    ref: int,
    side: str,
    qty: int,
    price_e4: int,
    *,
    locate: int = 1,
    ts_ns: int = 0,
    symbol: str = "TEST",
) -> bytes:
    """A new order."""
    fields = {
        "order_reference_number": ref,
        "buy_sell_indicator": side,
        "shares": qty,
        "stock": symbol,
        "price": price(price_e4),
    }
    return encode("A", header(locate, ts_ns) | fields)


def execute(ref: int, qty: int, *, ts_ns: int = 0) -> bytes:
    """An execution at the order's price."""
    fields = {"order_reference_number": ref, "executed_shares": qty, "match_number": 77}
    return encode("E", header(1, ts_ns) | fields)


def execute_at(ref: int, qty: int, price_e4: int, *, printable: str = "Y", ts_ns: int = 0) -> bytes:
    """An execution at another price."""
    fields = {
        "order_reference_number": ref,
        "executed_shares": qty,
        "match_number": 78,
        "printable": printable,
        "execution_price": price(price_e4),
    }
    return encode("C", header(1, ts_ns) | fields)


def cancel(ref: int, qty: int) -> bytes:
    """A partial cancel."""
    return encode("X", header(1, 0) | {"order_reference_number": ref, "cancelled_shares": qty})


def delete(ref: int, *, locate: int = 1) -> bytes:
    """A whole order goes."""
    return encode("D", header(locate, 0) | {"order_reference_number": ref})


def replace(ref: int, new_ref: int, qty: int, price_e4: int) -> bytes:
    """An order makes way for another."""
    fields = {
        "original_order_reference_number": ref,
        "new_order_reference_number": new_ref,
        "shares": qty,
        "price": price(price_e4),
    }
    return encode("U", header(1, 0) | fields)


def trade(qty: int, price_e4: int, *, locate: int = 1, ts_ns: int = 0) -> bytes:
    """A trade against an order that was not displayed."""
    fields = {
        "order_reference_number": 0,
        "buy_sell_indicator": "B",
        "shares": qty,
        "stock": "TEST",
        "price": price(price_e4),
        "match_number": 79,
    }
    return encode("P", header(locate, ts_ns) | fields)


def trading_action(state: str, *, locate: int = 1) -> bytes:
    """Halted (H), paused (P), quotation only (Q), trading (T)."""
    fields = {"stock": "TEST", "trading_state": state, "reserved": "", "reason": ""}
    return encode("H", header(locate, 0) | fields)


def directory(locate: int, stock: str, ts_ns: int = 1) -> bytes:
    """The message that gives an instrument its symbol."""
    fields = header(locate, ts_ns) | {
        "stock": stock,
        "market_category": "Q",
        "financial_status_indicator": "N",
        "round_lot_size": 100,
        "round_lots_only": "N",
        "issue_classification": "C",
        "issue_sub_type": "Z",
        "authenticity": "P",
        "short_sale_threshold_indicator": "N",
        "ipo_flag": "N",
        "luld_reference_price_tier": "1",
        "etp_flag": "N",
        "etp_leverage_factor": 0,
        "inverse_indicator": "N",
    }
    return encode("R", fields)


def system_event(ts_ns: int = 0, code: str = "Q") -> bytes:
    """The shortest message; its timestamp can tell which one it is."""
    return encode("S", header(0, ts_ns) | {"event_code": code})


def decline_status(level: str) -> bytes:
    """The venue says that the market has declined to a level."""
    return encode("W", header(0, 0) | {"breached_level": level})


def blank_ticks(count: int = 1, **values: int) -> Any:
    """Ticks with the given columns set in each."""
    ticks = np.zeros(count, TICK)
    for name, value in values.items():
        ticks[name] = value
    return ticks
