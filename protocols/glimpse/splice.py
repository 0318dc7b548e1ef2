"""Joining a snapshot and the live feed: no message twice, none missing, nothing applied too early.

    live(sequence, messages) ─► kept while LOADING ─► complete(N): below N dropped, from N on given
                                                      ─► JOINED: passed through

Source: GLIMPSE 5.0, the Snapshot message: process real-time messages beginning with its number.
"""

from collections.abc import Sequence
from enum import Enum, auto

from protocols.ahead import AheadMessages
from protocols.errors import LocalProtocolError


class State(Enum):
    """Where the join stands."""

    LOADING = auto()
    """The snapshot is not complete: live messages wait."""
    MISSING = auto()
    """The next live message is not there, but later ones are: ask for it."""
    JOINED = auto()


class Step(Enum):
    """What moves a join from one state to the next."""

    WHOLE = auto()
    """The snapshot is complete, and nothing is missing behind it."""
    LACK = auto()
    """The snapshot is complete, and a later live message is there but not the next one."""


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.LOADING: {Step.WHOLE: State.JOINED, Step.LACK: State.MISSING},
    State.MISSING: {Step.WHOLE: State.JOINED, Step.LACK: State.MISSING},
    State.JOINED: {Step.WHOLE: State.JOINED, Step.LACK: State.MISSING},
}


class Splice:
    """One join. `live` and `complete` return the messages that may be applied now, in order, as
    (sequence number of the first, messages); `missing` says what has to be asked for again.

    Live messages come in any order of packets, each as often as it likes. When more than
    `bytes_max` wait for the snapshot the oldest go, as they are the likeliest to be in it; when
    they wait for a missing one the newest go. Those that are needed after all are missing then.
    """

    def __init__(self, bytes_max: int) -> None:
        self.state = State.LOADING
        self.next_sequence = 0
        self._waiting = AheadMessages(bytes_max, sheds_oldest=True)

    @property
    def missing(self) -> tuple[int, int] | None:
        """First missing live message and one past the last of them; None when nothing is."""
        first = self._waiting.first
        if self.state is not State.MISSING or first is None:
            return None
        return self.next_sequence, first

    @property
    def waiting_bytes(self) -> int:
        """Memory in use for live messages that wait."""
        return self._waiting.size_bytes

    def live(self, sequence: int, messages: Sequence[bytes]) -> tuple[int, list[bytes]]:
        """Live messages `sequence`, `sequence` + 1, …."""
        known = self.next_sequence - sequence
        if self.state is State.LOADING or not 0 <= known < len(messages):
            self._waiting.add(sequence, messages)
            return (0, []) if self.state is State.LOADING else self._take([])
        # In its turn, so that it needs no room.
        return self._take(messages[known:])

    def complete(self, next_sequence: int) -> tuple[int, list[bytes]]:
        """The snapshot is whole: live messages from `next_sequence` on follow it."""
        if self.state is not State.LOADING:
            raise LocalProtocolError(f"a snapshot was joined already: {self.state.name}")
        self.next_sequence = next_sequence
        self._waiting.sheds_oldest = False
        return self._take([])

    def _take(self, messages: Sequence[bytes]) -> tuple[int, list[bytes]]:
        """`messages`, which begin with the next one, and what waits behind them; then see whether
        anything is missing.
        """
        start = self.next_sequence
        found = [*messages, *self._waiting.take(start + len(messages))]
        self.next_sequence += len(found)
        step = Step.LACK if self._waiting.first is not None else Step.WHOLE
        self.state = TRANSITIONS[self.state][step]
        return start, found
