"""The answering side of MoldUDP64 retransmission, without socket or clock: a request datagram and
where it came from in, at most one datagram back to that place out.

What the server sends to an address that may be forged is bounded twice: one datagram of
`answer_bytes_max` for a request, and the bytes of `Limits` for a source and for all of them.

Source: MoldUDP64 1.00, request packet; a request for unknown messages is answered by nothing.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from protocols.errors import RemoteProtocolError
from protocols.kept import KeptMessages
from protocols.moldudp64.codec import Packet, Request, decode_request, encode_packet
from protocols.moldudp64.limiter import Limits, SourceLimiter
from protocols.moldudp64.sender import DATAGRAM_BYTES_MAX
from protocols.moldudp64.spec import BLOCK_LENGTH_BYTES, HEADER_BYTES, MESSAGES_MAX, RequestCheck

COUNTER_NAMES = (
    "requests_answered",
    "messages_resent",
    "bytes_resent",
    "requests_malformed",
    "requests_other_session",
    "requests_unknown",
    "answers_too_large",
    "requests_limited",
)
"""Malformed: not 20 bytes, or no message asked for; unknown: not sent yet, or no longer kept; too
large: not even the first message fits an answer; limited: the source, or all of them together, had
their share.
"""
_REFUSALS = {
    RequestCheck.MALFORMED: "requests_malformed",
    RequestCheck.OTHER_SESSION: "requests_other_session",
    RequestCheck.UNKNOWN: "requests_unknown",
}


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Largest answer in bytes, header included, and in messages; what sources may be sent."""

    answer_bytes_max: int = DATAGRAM_BYTES_MAX
    messages_max: int = MESSAGES_MAX
    limits: Limits = _LIMITS


_DEFAULTS = AnswerSettings()


class RequestServer:
    """Answers requests for one session from the messages that a `Sender` kept."""

    def __init__(
        self, session: str, kept: KeptMessages, settings: AnswerSettings = _DEFAULTS
    ) -> None:
        self.session = session
        self.settings = settings
        self.counters = dict.fromkeys(COUNTER_NAMES, 0)
        self.limiter = SourceLimiter(settings.limits)
        self._kept = kept

    def answer(self, data: bytes, source: Hashable, now_ns: int) -> bytes:
        """The datagram that goes back to `source`, b"" when there is no answer to its `data`."""
        request, check = check_request(
            data, self.session, self._kept.first_kept, self._kept.next_sequence
        )
        if request is None:
            self.counters[_REFUSALS[check]] += 1
            return b""
        messages = self._most_that_fit(request)
        if not messages:
            self.counters["answers_too_large"] += 1
            return b""
        packet = encode_packet(Packet(self.session, request.sequence, messages))
        if not self.limiter.allows(source, len(packet), now_ns):
            self.counters["requests_limited"] += 1
            return b""
        self.counters["requests_answered"] += 1
        self.counters["messages_resent"] += len(messages)
        self.counters["bytes_resent"] += len(packet)
        return packet

    def _most_that_fit(self, request: Request) -> tuple[bytes, ...]:
        """The first messages of the request, as many as one answer holds."""
        room = self.settings.answer_bytes_max - HEADER_BYTES
        messages: list[bytes] = []
        for sequence in range(request.sequence, request.sequence + request.count):
            message = self._kept[sequence]
            room -= BLOCK_LENGTH_BYTES + len(message)
            if room < 0 or len(messages) == self.settings.messages_max:
                break
            messages.append(message)
        return tuple(messages)


def check_request(
    data: bytes, session: str, oldest: int, next_sequence: int
) -> tuple[Request | None, RequestCheck]:
    """The request in `data`, cut to messages below `next_sequence`, when it can be answered from
    messages `oldest` on; else None and why. The slow twin of `kernels.check_request_nb`.
    """
    try:
        request = decode_request(data)
    except RemoteProtocolError:
        return None, RequestCheck.MALFORMED
    if request.count == 0:
        return None, RequestCheck.MALFORMED
    if request.session != session:
        return None, RequestCheck.OTHER_SESSION
    if not oldest <= request.sequence < next_sequence:
        return None, RequestCheck.UNKNOWN
    count = min(request.count, next_sequence - request.sequence)
    return Request(session, request.sequence, count), RequestCheck.OK
