"""Heartbeats: when one of ours is due, when the peer has been silent for too long.

Source: FIX 4.4 volume 2, Heartbeat and TestRequest; session test cases 4 and 6. Times are ns since
the epoch.
"""

from protocols.fix.times import NS_PER_S


class Liveness:
    """What was last heard, and since when a test request waits for its answer (0: none does)."""

    def __init__(self, heartbeat_s: int) -> None:
        """No connection yet."""
        self.heartbeat_s = heartbeat_s
        self.received_ns = 0
        self.test_request_ns = 0

    def open(self, heartbeat_s: int, now_ns: int) -> None:
        """A connection exists; silence counts from now on."""
        self.heartbeat_s = heartbeat_s
        self.heard(now_ns)

    def heard(self, now_ns: int) -> None:
        """Any sound message proves that the peer lives."""
        self.received_ns, self.test_request_ns = now_ns, 0

    def due_ns(self, last_sent_ns: int) -> int | None:
        """When there is something to do next; None without heartbeats."""
        if not self.heartbeat_s:
            return None
        silent_ns = self._silent_ns()
        if self.test_request_ns:
            return silent_ns
        return min(silent_ns, self._heartbeat_ns(last_sent_ns))

    def is_peer_silent(self, now_ns: int) -> bool:
        """True when an interval and a fifth passed since the last message, or the test request."""
        return self.heartbeat_s > 0 and now_ns >= self._silent_ns()

    def is_heartbeat_due(self, last_sent_ns: int, now_ns: int) -> bool:
        """True when we said nothing for an interval.

        While a test request is open nothing more is said: its answer or the end comes next.
        """
        if not self.heartbeat_s or self.test_request_ns:
            return False
        return now_ns >= self._heartbeat_ns(last_sent_ns)

    def follow_clock_back(self, now_ns: int) -> None:
        """A clock that was set back must not stop the heartbeats until it has caught up."""
        self.received_ns = min(self.received_ns, now_ns)
        self.test_request_ns = min(self.test_request_ns, now_ns)

    def _heartbeat_ns(self, last_sent_ns: int) -> int:
        return last_sent_ns + self.heartbeat_s * NS_PER_S

    def _silent_ns(self) -> int:
        """The heartbeat interval "plus a reasonable transmission time": a fifth of it."""
        since_ns = self.test_request_ns or self.received_ns
        return since_ns + self.heartbeat_s * NS_PER_S * 6 // 5
