"""When a session may be logged on, and whether its numbers go on or start again.

A session's numbers belong to one window of its schedule. Whoever accepts the session asks here at
each Logon and now and then while it is logged on.
"""

from protocols.fix.schedule import Schedule
from protocols.fix.store import MessageStore

CLOSED = "outside of the session's hours"


class Hours:
    """The schedule of one session, over the store whose numbers it governs."""

    def __init__(self, schedule: Schedule, store: MessageStore, last_used_ns: int) -> None:
        """`last_used_ns`: when the store was written to last; 0 for never."""
        self._schedule = schedule
        self._store = store
        self._last_used_ns = last_used_ns

    def are_open(self, now_ns: int) -> bool:
        """Whether a Logon is taken, and a session that is logged on stays so."""
        return self._schedule.is_open(now_ns)

    def begin(self, now_ns: int) -> bool:
        """A Logon comes while they are open: True when it is the first of its window, and the
        numbers of both sides were set to 1.
        """
        is_new = not self._schedule.is_same_session(self._last_used_ns, now_ns)
        is_unused = self._store.next_outgoing == self._store.next_incoming == 1
        self._last_used_ns = now_ns
        if not is_new or is_unused:
            return False
        self._store.reset()
        return True

    def note_use(self, now_ns: int) -> None:
        """The session is logged on now."""
        self._last_used_ns = now_ns
