"""The receiving half of a session: the expected number, what came above a gap, and the open request
for it.

Source: FIX 4.4 volume 2, message recovery. Memory is bounded: beyond `kept_messages_max` messages
or `kept_bytes_max` bytes nothing is kept above a gap; it comes again with the replay.
"""

from protocols.fix.store import MessageStore


class Inbound:
    """Numbers of the peer; `expected` is the next one to be dealt with.

    While a gap is open, `gap_end` is its last number as far as is known, and 0 otherwise;
    `asked_ns` is when it was last asked for or last shrank, `attempts` the requests since then that
    brought nothing. With `chunk` a gap is asked for so many numbers at a time.
    """

    def __init__(
        self, store: MessageStore, kept_messages_max: int, kept_bytes_max: int, chunk: int
    ) -> None:
        """Continue where the store says; `chunk` 0 asks for everything at once."""
        self.expected = store.next_incoming
        self.gap_end = 0
        self.asked_ns = 0
        self.attempts = 0
        self.kept_bytes = 0
        self._store = store
        self._kept_messages_max = kept_messages_max
        self._kept_bytes_max = kept_bytes_max
        self._chunk = chunk
        self._asked_end = 0
        self._dealt_with: set[int] = set()
        self._kept: dict[int, bytes] = {}
        self._is_uncommitted = False

    def open(self) -> None:
        """A new connection, or numbers that start again: what the store says holds."""
        self.expected = self._store.next_incoming
        self._is_uncommitted = False
        self._dealt_with.clear()
        self._kept.clear()
        self.kept_bytes = 0
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
        while seq in self._dealt_with:
            seq += 1
        self.expected = seq
        self._is_uncommitted = True
        if self.gap_end:
            self.asked_ns, self.attempts = now_ns, 0
            if seq > self.gap_end:
                self.close_gap()
        if self._dealt_with:
            self._dealt_with = {number for number in self._dealt_with if number > seq}
        if self._kept:
            # Kept messages that came again; only a jump needs a look at all of them.
            passed = (old,) if seq == old + 1 else [kept for kept in self._kept if kept < seq]
            for number in passed:
                self._forget(number)

    def keep(self, seq: int, frame: bytes) -> None:
        """Hold a message above a gap, when there is room."""
        has_room = self.kept_bytes + len(frame) <= self._kept_bytes_max
        if seq not in self._kept and has_room and len(self._kept) < self._kept_messages_max:
            self._kept[seq] = frame
            self.kept_bytes += len(frame)

    def take_kept(self) -> bytes | None:
        """The kept message that is expected now."""
        return self._forget(self.expected) if self._kept else None

    def skip_later(self, seq: int) -> None:
        """Number `seq`, above a gap, is dealt with: it is not awaited once the gap is closed.

        Two sides that ask for parts of each other's gaps would else ask for their requests, for
        ever.
        """
        if len(self._dealt_with) < self._kept_messages_max:
            self._dealt_with.add(seq)

    def open_gap(self, last_seq: int, now_ns: int) -> None:
        """Numbers from the expected one up to `last_seq` are missing."""
        self.gap_end, self.attempts, self.asked_ns = last_seq, 0, now_ns

    def next_request(self, now_ns: int) -> tuple[int, int]:
        """The range (BeginSeqNo, EndSeqNo) to ask for now; end 0 means all that there is."""
        self.asked_ns = now_ns
        if self._chunk:
            self._asked_end = min(self.expected + self._chunk - 1, self.gap_end)
        return self.expected, self._asked_end

    @property
    def is_chunk_done(self) -> bool:
        """True when the part that was asked for has come, and the gap goes on."""
        return 0 < self._asked_end < self.expected

    def close_gap(self) -> None:
        """Nothing is missing as far as is known."""
        self.gap_end = self.asked_ns = self.attempts = self._asked_end = 0

    def _forget(self, seq: int) -> bytes | None:
        frame = self._kept.pop(seq, None)
        if frame is not None:
            self.kept_bytes -= len(frame)
        return frame
