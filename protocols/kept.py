"""The newest messages of a numbered stream, kept to be sent again: bounded, found by number."""

from protocols.errors import LocalProtocolError


class KeptMessages:
    """Messages numbered from `first_sequence` on; the newest `messages_max` of them are kept.

    Numbers are Python integers, so nothing wraps where a 64-bit number ends.
    """

    def __init__(self, messages_max: int, first_sequence: int = 1) -> None:
        if messages_max < 1:
            raise LocalProtocolError(f"at least one message is kept, not {messages_max}")
        self.next_sequence = first_sequence
        self._messages_max = messages_max
        self._ring: list[bytes] = []
        self._first_sequence = first_sequence

    @property
    def first_kept(self) -> int:
        """Number of the oldest message that is kept; the next one's when there is none."""
        return self.next_sequence - len(self._ring)

    def append(self, message: bytes) -> None:
        """Keep the next message; the oldest one goes when there is no room."""
        if len(self._ring) < self._messages_max:
            self._ring.append(message)
        else:
            self._ring[self._place(self.next_sequence)] = message
        self.next_sequence += 1

    def __getitem__(self, sequence: int) -> bytes:
        """A message that is kept; LocalProtocolError for any other number."""
        if not self.first_kept <= sequence < self.next_sequence:
            raise LocalProtocolError(
                f"message {sequence} is not kept: {self.first_kept} to {self.next_sequence - 1} are"
            )
        return self._ring[self._place(sequence)]

    def _place(self, sequence: int) -> int:
        return (sequence - self._first_sequence) % self._messages_max
