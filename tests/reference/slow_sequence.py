"""Slow, obvious twin of sequencing: one set of message numbers instead of a window of packets.

    take(seq, end)    messages seq .. end - 1 have arrived; what is now in order is applied
    holes()           the missing stretches below the highest number that anything has told of
    hear(end, now)    a line's packet tells of messages below `end`, at a time
    ask(), load(seq)  a snapshot is asked for; it comes, and is the state before message `seq`

A message is applied when all before it were. No packet is ever refused, so the twin stands for an
engine whose window is large enough.
"""


class SlowSequence:
    """One channel; `applied` lists message numbers in the order of their application."""

    def __init__(self, next_seq: int = 1, stale_after_ns: int = 1 << 62) -> None:
        self.next_seq = next_seq
        self.highest_seq = next_seq
        self.applied: list[int] = []
        self._arrived: set[int] = set()
        self._stale_after_ns = stale_after_ns
        self._told_less: list[tuple[int, int]] = []
        self._told_since_asked: list[int] = []

    def hear(self, end: int, now_ns: int) -> None:
        """The highest number holds until nothing but less was told for a while. Packets that are
        old say nothing; the caller leaves them out.
        """
        self._told_since_asked.append(end)
        if end >= self.highest_seq:
            self.highest_seq = end
            self._told_less = []
            return
        self._told_less.append((now_ns, end))
        if now_ns - self._told_less[0][0] > self._stale_after_ns:
            self.highest_seq = max(self.next_seq, *(each for _, each in self._told_less))
            self._told_less = []

    def ask(self) -> None:
        """A snapshot is asked for: what was told before may be false."""
        self._told_since_asked = []

    def load(self, seq: int) -> bool:
        """A snapshot has come; False when it is older than what was applied."""
        if seq < self.next_seq:
            return False
        self.next_seq = seq
        self._arrived = {number for number in self._arrived if number >= seq}
        shown = (number + 1 for number in self._arrived)
        self.highest_seq = max(seq, *self._told_since_asked, *shown, 0)
        self.take(seq, seq)
        return True

    def take(self, seq: int, end: int) -> None:
        """A packet, or a heartbeat when it is empty."""
        self._told_since_asked.append(end)
        self.highest_seq = max(self.highest_seq, end)
        self._arrived.update(range(seq, end))
        while self.next_seq in self._arrived:
            self.applied.append(self.next_seq)
            self.next_seq += 1

    def give_up(self) -> int:
        """Skip the first hole; how many messages are lost for good."""
        first, end = self.holes()[0]
        self.next_seq = end
        self.take(end, end)
        return end - first

    def holes(self) -> list[tuple[int, int]]:
        """(first missing message, first one after the hole that is not), in order."""
        found: list[tuple[int, int]] = []
        for seq in range(self.next_seq, self.highest_seq):
            if seq in self._arrived:
                continue
            if found and found[-1][1] == seq:
                found[-1] = (found[-1][0], seq + 1)
            else:
                found.append((seq, seq + 1))
        return found
