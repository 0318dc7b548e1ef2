"""What a session remembers between connections: both sequence numbers and what it sent. A Protocol,
and one in memory.

An implementation that survives a crash lives with whoever may touch files.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol


class MessageStore(Protocol):
    """Sequence numbers and sent messages of one session; numbers count from 1."""

    @property
    def next_outgoing(self) -> int:
        """Number that the next sent message gets."""

    @property
    def next_incoming(self) -> int:
        """Number that the next received message should have."""

    def append(self, messages: Sequence[bytes]) -> None:
        """Keep messages under the next outgoing numbers; empty bytes mark a session message (never
        sent again).
        """

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        """(number, message) in order for each number of the range; empty bytes where there is
        nothing to send again.
        """

    def set_next_incoming(self, seq: int) -> None:
        """Remember what was received."""

    def reset(self) -> None:
        """Forget everything: both numbers are 1."""


class MemoryStore:
    """Keeps the last `capacity` messages; older ones are gap-filled."""

    def __init__(
        self, capacity: int = 65_536, next_outgoing: int = 1, next_incoming: int = 1
    ) -> None:
        """An empty store that starts at the given numbers."""
        self._messages: deque[bytes] = deque(maxlen=capacity)
        self._next_outgoing = next_outgoing
        self._next_incoming = next_incoming

    @property
    def next_outgoing(self) -> int:
        """Number that the next sent message gets."""
        return self._next_outgoing

    @property
    def next_incoming(self) -> int:
        """Number that the next received message should have."""
        return self._next_incoming

    def append(self, messages: Sequence[bytes]) -> None:
        """Keep messages under the next outgoing numbers."""
        self._messages.extend(messages)
        self._next_outgoing += len(messages)

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        """(number, message) for each number of the range that was used."""
        base = self._next_outgoing - len(self._messages)
        for seq in range(max(1, first_seq), min(last_seq, self._next_outgoing - 1) + 1):
            yield seq, self._messages[seq - base] if seq >= base else b""

    def set_next_incoming(self, seq: int) -> None:
        """Remember what was received."""
        self._next_incoming = seq

    def reset(self) -> None:
        """Forget everything: both numbers are 1."""
        self._messages.clear()
        self._next_outgoing = self._next_incoming = 1
