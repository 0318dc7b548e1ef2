"""The asking side of MoldUDP64 retransmission: which requests to send for a hole, and when again.

Source: MoldUDP64 1.00, request packet. A server answers with as many messages as fit one datagram,
so a request may be answered in part: the rest is asked for at once.
"""

from collections import deque
from dataclasses import dataclass

from protocols.moldudp64.codec import Request, encode_request
from protocols.moldudp64.spec import MESSAGES_MAX


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """`count_max` messages are asked for at a time (1 to 0xFFFE) by at most `window` requests that
    wait for their answer; each is sent `tries_max` times, `timeout_ns` apart.
    """

    count_max: int = 1_000
    window: int = 4
    timeout_ns: int = 100_000_000
    tries_max: int = 5


@dataclass(slots=True)
class _Asked:
    """A request under way: of what was asked for from `origin` on, `first` to `end` - 1 are still
    missing.
    """

    origin: int
    first: int
    end: int
    deadline_ns: int
    tries: int


class RequestClient:
    """Asks for one hole after the other; `is_hopeless` once its beginning was asked for
    `tries_max` times in vain.
    """

    def __init__(self, settings: RequestSettings) -> None:
        if (
            not 1 <= settings.count_max <= MESSAGES_MAX
            or min(settings.window, settings.tries_max) < 1
        ):
            raise ValueError(
                f"{settings}: counts from 1 to {MESSAGES_MAX}, window and tries from 1"
            )
        self.settings = settings
        self.is_hopeless = False
        self.request_count = 0
        self._session = ""
        self._first = 0
        self._asked_to = 0
        self._asked: list[_Asked] = []
        self._outbound: deque[Request] = deque()

    def want(self, session: str, first: int, end: int, now_ns: int) -> None:
        """Messages `first` to `end` - 1 are the first that are missing; what is below is no longer
        asked for.
        """
        self._session, self._first = session, first
        self._asked = [asked for asked in self._asked if asked.end > first]
        for asked in self._asked:
            asked.first = max(asked.first, first)
        self._asked_to = max(self._asked_to, first) if self._asked else first
        while self._asked_to < end and len(self._asked) < self.settings.window:
            stop = min(end, self._asked_to + self.settings.count_max)
            self._ask(self._asked_to, stop, 1, now_ns)
            self._asked_to = stop

    def answered(self, first: int, end: int, now_ns: int) -> None:
        """Messages `first` to `end` - 1 came: when they are the beginning of an answer, ask for its
        rest.
        """
        for asked in self._asked:
            if asked.origin == first:
                self._asked.remove(asked)
                if end < asked.end:
                    self._ask(end, asked.end, 1, now_ns)
                return

    def clear(self) -> None:
        """Nothing is missing."""
        self._asked.clear()
        self._outbound.clear()
        self._first = self._asked_to = 0
        self.is_hopeless = False

    def data_to_send(self) -> bytes:
        """The next request as a datagram, b"" when there is none now."""
        while self._outbound:
            request = self._outbound.popleft()
            if request.sequence + request.count > self._first:
                self.request_count += 1
                return encode_request(request)
        return b""

    def timer_ns(self) -> int | None:
        """When to call `handle_timer`, None when nothing is under way."""
        return min((asked.deadline_ns for asked in self._asked), default=None)

    def handle_timer(self, now_ns: int) -> None:
        """Ask again for what was not answered in time."""
        for asked in [item for item in self._asked if item.deadline_ns <= now_ns]:
            self._asked.remove(asked)
            if asked.tries < self.settings.tries_max:
                self._ask(asked.first, asked.end, asked.tries + 1, now_ns)
            elif asked.first == self._first:
                self.is_hopeless = True

    def _ask(self, first: int, end: int, tries: int, now_ns: int) -> None:
        deadline_ns = now_ns + self.settings.timeout_ns
        self._asked.append(_Asked(first, first, end, deadline_ns, tries))
        self._outbound.append(Request(self._session, first, end - first))
