"""Messages that came before their turn: sorted pieces without overlap, bounded in bytes."""

from bisect import bisect_left
from collections.abc import Sequence

_BLOCK_LENGTH_BYTES = 2


class AheadMessages:
    """Pieces of consecutive messages, by sequence number; `size_bytes` counts a message as it lies
    in a packet with its length, so that empty ones are not free.

    When `bytes_max` is passed the pieces with the highest numbers go, the last that will be needed;
    with `sheds_oldest` those with the lowest.
    """

    def __init__(self, bytes_max: int, *, sheds_oldest: bool = False) -> None:
        self.bytes_max = bytes_max
        self.size_bytes = 0
        self.sheds_oldest = sheds_oldest
        self._firsts: list[int] = []
        self._pieces: list[Sequence[bytes]] = []

    @property
    def first(self) -> int | None:
        """Lowest sequence number, None when there is none."""
        return self._firsts[0] if self._firsts else None

    def add(self, first: int, messages: Sequence[bytes]) -> int:
        """Keep those of `messages`, numbered from `first` on, that are not here yet; returns how
        many were new and stay.
        """
        end = first + len(messages)
        at = bisect_left(self._firsts, first)
        cursor = max(first, self._end(at - 1)) if at else first
        kept = 0
        while cursor < end:
            is_last = at == len(self._firsts)
            stop = end if is_last else min(end, self._firsts[at])
            if stop > cursor:
                self._insert(at, cursor, messages[cursor - first : stop - first])
                kept += stop - cursor
            else:
                stop = self._end(at)
            cursor = stop
            at += 1
        return kept - self._shed(first, end)

    def take(self, sequence: int) -> list[bytes]:
        """Remove and return the messages that follow one another from `sequence` on; older ones are
        removed with them.
        """
        found: list[bytes] = []
        taken = 0
        for first, piece in zip(self._firsts, self._pieces, strict=True):
            if first > sequence:
                break
            taken += 1
            self.size_bytes -= _size_bytes(piece)
            rest = piece[sequence - first :]
            found += rest
            sequence += len(rest)
        del self._firsts[:taken], self._pieces[:taken]
        return found

    def clear(self) -> None:
        """Forget all of them."""
        self._firsts.clear()
        self._pieces.clear()
        self.size_bytes = 0

    def _end(self, at: int) -> int:
        return self._firsts[at] + len(self._pieces[at])

    def _insert(self, at: int, first: int, messages: Sequence[bytes]) -> None:
        self._firsts.insert(at, first)
        self._pieces.insert(at, messages)
        self.size_bytes += _size_bytes(messages)

    def _shed(self, first: int, end: int) -> int:
        """Remove pieces until the rest fits; how many of `first` to `end` - 1 went."""
        went = 0
        while self.size_bytes > self.bytes_max:
            at = 0 if self.sheds_oldest else -1
            start, piece = self._firsts.pop(at), self._pieces.pop(at)
            self.size_bytes -= _size_bytes(piece)
            went += max(0, min(end, start + len(piece)) - max(first, start))
        return went


def _size_bytes(messages: Sequence[bytes]) -> int:
    return sum(map(len, messages)) + _BLOCK_LENGTH_BYTES * len(messages)
