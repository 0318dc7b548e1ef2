"""Slow, obvious twin of sequencing: one set of message numbers instead of a window of packets.

    take(seq, end)    messages seq .. end - 1 have arrived; what is now in order is applied
    holes()           the missing stretches below the highest number that anything has told of

A message is applied when all before it were. No packet is ever refused, so the twin stands for an
engine whose window is large enough.
"""


class SlowSequence:
    """One channel; `applied` lists message numbers in the order of their application."""

    def __init__(self, next_seq: int = 1) -> None:
        self.next_seq = next_seq
        self.highest_seq = next_seq
        self.applied: list[int] = []
        self._arrived: set[int] = set()

    def take(self, seq: int, end: int) -> None:
        """A packet, or a heartbeat when it is empty."""
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
