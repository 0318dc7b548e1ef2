"""The sending half of a session: numbers, storing, replay of what the peer missed, always in order
and bounded.

While a replay runs, new messages are only stored; they follow from the store when the replay has
ended, so memory holds at most one chunk and a few session messages, however far behind the peer is.
Source: FIX 4.4 volume 2, ResendRequest and SequenceReset-GapFill.
"""

from collections.abc import Iterable

from protocols.fix.message import Identity, encode, encode_again, encode_fields
from protocols.fix.spec import MsgType, Tag
from protocols.fix.store import MessageStore
from protocols.fix.times import format_utc_timestamp

CHUNK_BYTES = 16_384
CHUNK_MESSAGES = 512
DEFERRED_ADMIN_MAX = 64


class Outbound:
    """Messages of one session on their way out; `handed_seq` is the highest number given to the
    transport.
    """

    def __init__(self, identity: Identity, store: MessageStore, time_decimals: int = 3) -> None:
        """Nothing queued, no connection; SendingTime has so many decimals."""
        self.identity = identity
        self.store = store
        self.handed_seq = 0
        self.last_sent_ns = 0
        self.queued_bytes = 0
        self.replayed_count = 0
        self.is_live = False
        """Application messages go out at once; set while both sides are logged on."""
        self._time_decimals = time_decimals
        self._queue: list[bytes] = []
        self._replay_next = 1
        self._replay_end = 0
        self._live_next: int | None = None
        self._deferred_admin: dict[int, bytes] = {}

    def open(self, now_ns: int) -> None:
        """A connection exists: session messages go to it from now on."""
        self.clear()
        self.last_sent_ns = now_ns
        self.handed_seq = self.store.next_outgoing - 1

    def clear(self) -> None:
        """Drop queue and replay: the connection is gone, or both sides start at 1 again."""
        self._queue.clear()
        self._deferred_admin.clear()
        self.queued_bytes = 0
        self._replay_next, self._replay_end, self._live_next = 1, 0, None

    @property
    def has_output(self) -> bool:
        """True when `take` has something to give."""
        return bool(self._queue) or self._live_next is not None

    def send_admin(self, msg_type: bytes, body: bytes, now_ns: int) -> None:
        """Number and queue a session message; only its number is stored."""
        seq = self.store.next_outgoing
        wire = encode(self.identity, msg_type, seq, self._time_text(now_ns), body)
        self.store.append((b"",))
        self.last_sent_ns = now_ns
        if self._live_next is None:
            self._push(wire)
        elif len(self._deferred_admin) < DEFERRED_ADMIN_MAX:
            self._deferred_admin[seq] = wire

    def send_application(self, messages: Iterable[tuple[bytes, bytes]], now_ns: int) -> int:
        """Number, store and (when live) queue (msg_type, body) pairs; the number of the first."""
        first_seq = self.store.next_outgoing
        sending_time = self._time_text(now_ns)
        wires = [
            encode(self.identity, msg_type, seq, sending_time, body)
            for seq, (msg_type, body) in enumerate(messages, first_seq)
        ]
        self.store.append(wires)
        if self.is_live and self._live_next is None:
            self.last_sent_ns = now_ns
            for wire in wires:
                self._push(wire)
        return first_seq

    def replay(self, begin_seq: int, end_seq: int) -> bool:
        """Send a range again (`end_seq` 0: all); False when nothing of it was ever sent.

        A request during a replay replaces it: the peer asks from the first number that it still
        misses.
        """
        last = (self._live_next or self.store.next_outgoing) - 1
        end = last if end_seq == 0 else min(end_seq, last)
        if not 1 <= begin_seq <= end:
            return False
        if self._live_next is None:
            self._live_next = last + 1
        self._replay_next, self._replay_end = begin_seq, end
        return True

    def take(self, now_ns: int) -> bytes:
        """Bytes for the transport: the queue, else part of the replay, else what came meanwhile."""
        if self._queue:
            data = b"".join(self._queue)
            self._queue.clear()
            self.queued_bytes = 0
            self.handed_seq = (self._live_next or self.store.next_outgoing) - 1
            return data
        if self._live_next is None:
            return b""
        self.last_sent_ns = now_ns
        if self._replay_next <= self._replay_end:
            data = self._chunk(self._replay_next, self._replay_end, now_ns, again=True)
        else:
            data = self._chunk(self._live_next, self.store.next_outgoing - 1, now_ns, again=False)
        if self._replay_next > self._replay_end and self._live_next == self.store.next_outgoing:
            self._live_next = None
        return data

    def _time_text(self, now_ns: int) -> bytes:
        return format_utc_timestamp(now_ns, self._time_decimals)

    def _push(self, wire: bytes) -> None:
        self._queue.append(wire)
        self.queued_bytes += len(wire)

    def _chunk(self, first_seq: int, last_seq: int, now_ns: int, *, again: bool) -> bytes:
        """Up to a chunk of stored messages from `first_seq`; moves the cursor of the phase behind
        what it gave.
        """
        sending_time = self._time_text(now_ns)
        parts: list[bytes] = []
        size, gap_from, seq = 0, 0, first_seq - 1
        last_seq = min(last_seq, first_seq + CHUNK_MESSAGES - 1)
        for seq, stored in self.store.read(first_seq, last_seq):
            wire = stored if again else self._deferred_admin.pop(seq, stored)
            if not wire:
                gap_from = gap_from or seq
                continue
            if gap_from:
                parts.append(self._gap_fill(gap_from, seq, sending_time))
                gap_from = 0
            parts.append(encode_again(self.identity, wire, sending_time) if again else wire)
            size += len(parts[-1])
            self.replayed_count += again
            if size >= CHUNK_BYTES:
                break
        if gap_from:
            parts.append(self._gap_fill(gap_from, seq + 1, sending_time))
        if again:
            self._replay_next = seq + 1
        else:
            self._live_next = seq + 1
            self.handed_seq = seq
        return b"".join(parts)

    def _gap_fill(self, first_seq: int, new_seq: int, sending_time: bytes) -> bytes:
        """SequenceReset-GapFill over `first_seq` … `new_seq - 1`."""
        body = encode_fields((Tag.GAP_FILL_FLAG, b"Y"), (Tag.NEW_SEQ_NO, new_seq))
        kind = MsgType.SEQUENCE_RESET
        return encode(self.identity, kind, first_seq, sending_time, body, sending_time)
