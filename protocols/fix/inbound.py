"""The receiving half of a session: the expected number, what came above a gap, and the open request
for it.

Source: FIX 4.4 volume 2, message recovery. Memory is bounded: beyond `kept_messages_max` nothing is
kept above a gap; it comes again with the replay.
"""

from protocols.fix.message import FixMessage
from protocols.fix.store import MessageStore


class Inbound:
    """Numbers of the peer; `expected` is the next one to be dealt with.

    While a gap is open, `gap_end` is its last number as far as is known, and 0 otherwise;
    `asked_ns` is when it was last asked for or last shrank, `attempts` the requests since then that
    brought nothing.
    """

    def __init__(self, store: MessageStore, kept_messages_max: int) -> None:
        """Continue where the store says."""
        self.expected = store.next_incoming
        self.gap_end = 0
        self.asked_ns = 0
        self.attempts = 0
        self._store = store
        self._kept_messages_max = kept_messages_max
        self._kept: dict[int, FixMessage] = {}
        self._is_uncommitted = False

    def open(self) -> None:
        """A new connection, or numbers that start again: what the store says holds."""
        self.expected = self._store.next_incoming
        self._is_uncommitted = False
        self._kept.clear()
        self.close_gap()

    def commit(self) -> None:
        """The owner has dealt with everything up to here: the store may say so."""
        if self._is_uncommitted:
            self._is_uncommitted = False
            self._store.set_next_incoming(self.expected)

    def advance(self, seq: int, now_ns: int) -> None:
        """Expect `seq` next; never leads back. The store hears of it with the next `commit`."""
        old = self.expected
        if seq <= old:
            return
        self.expected = seq
        self._is_uncommitted = True
        if self.gap_end:
            self.asked_ns, self.attempts = now_ns, 0
            if seq > self.gap_end:
                self.close_gap()
        if self._kept:
            # Kept messages that came again; only a jump needs a look at all of them.
            passed = (old,) if seq == old + 1 else [kept for kept in self._kept if kept < seq]
            for number in passed:
                self._kept.pop(number, None)

    def keep(self, seq: int, message: FixMessage) -> None:
        """Hold a message above a gap, when there is room."""
        if len(self._kept) < self._kept_messages_max:
            self._kept[seq] = message

    def take_kept(self) -> FixMessage | None:
        """The kept message that is expected now."""
        return self._kept.pop(self.expected, None) if self._kept else None

    def open_gap(self, last_seq: int) -> None:
        """Numbers from the expected one up to `last_seq` are missing."""
        self.gap_end, self.attempts = last_seq, 0

    def close_gap(self) -> None:
        """Nothing is missing as far as is known."""
        self.gap_end = self.asked_ns = self.attempts = 0
