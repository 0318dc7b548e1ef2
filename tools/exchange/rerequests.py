"""Answers to MoldUDP64 requests: as many whole messages as fit one datagram, from the history.

Polled by the sender's loop between its bursts, so it needs no thread and no lock; a flood is
answered BATCH_REQUESTS a poll and the rest waits in, or falls off, the socket's own buffer.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.libc import MSG_DONTWAIT, DatagramBatch, allocate_batch, recvmmsg
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.moldudp64.kernels import check_request_nb, session_matches_nb
from protocols.moldudp64.spec import SESSION_BYTES, RequestCheck
from tools.exchange.datagrams import (
    SOCKADDR_BYTES,
    PacketBatch,
    allocate_packets,
    put_packet_nb,
    send_packets_nb,
)
from tools.exchange.history import History, oldest_sequence_nb, packet_slice_nb
from tools.exchange.layout import EMITTED, Engine
from tools.exchange.sessions import PRESENT, Sessions

BATCH_REQUESTS = 32
PAYLOAD_BYTES_MAX = 1400
"""Blocks in one packet, without its header, where there are no jumbo frames: inside of any
Ethernet's 1,500 bytes.
"""
_SLOT_BYTES = 64
"""More than a request, so that one that is too long is seen to be."""
_OK = int(RequestCheck.OK)

COUNTER_NAMES = (
    "requests_answered",
    "messages_resent",
    "requests_malformed",
    "requests_other_session",
    "requests_unknown",
    "answers_refused",
)
"""Malformed: not 20 bytes, a number that no row holds, or no message asked for; unknown: not sent
yet, or no longer kept.
"""
ANSWERED, RESENT, MALFORMED, OTHER_SESSION, UNKNOWN, REFUSED = range(len(COUNTER_NAMES))
_FIRST_REFUSAL = MALFORMED - int(RequestCheck.MALFORMED)
"""The counters of requests that are not answered are in the order of `RequestCheck`."""


@by_reference
class RerequestServer(NamedTuple):
    """Memory of the server: settings i64[3] is (socket, address of the history's bytes, most that
    an answer holds behind its header).
    """

    settings: NDArray[np.int64]
    counters: NDArray[np.int64]
    sessions: Sessions
    requests: DatagramBatch
    requests_at: NDArray[np.int64]
    answers: PacketBatch


def allocate_rerequests(
    descriptor: int, sessions: Sessions, history: History, payload_bytes: int = PAYLOAD_BYTES_MAX
) -> RerequestServer:
    """A server on the bound UDP socket `descriptor`, which does not block. Its answers are as large
    as the packets of the lines, of `payload_bytes`, or larger.
    """
    requests = allocate_batch(BATCH_REQUESTS, _SLOT_BYTES)
    answers = allocate_packets(BATCH_REQUESTS, addressed=True)
    # Where request i came from is where answer i goes, unless it moves up over one not answered.
    requests.headers["name"] = answers.headers["name"]
    requests.headers["control"] = 0
    requests.headers["controllen"] = 0
    return RerequestServer(
        np.array(
            [descriptor, history.data.ctypes.data, max(payload_bytes, PAYLOAD_BYTES_MAX)], np.int64
        ),
        np.zeros(len(COUNTER_NAMES), np.int64),
        sessions,
        requests,
        np.array([requests.headers.ctypes.data], np.int64),
        answers,
    )


def counters_by_name(server: RerequestServer) -> dict[str, int]:
    """The server's counters, for a report."""
    return dict(zip(COUNTER_NAMES, server.counters.tolist(), strict=True))


@outline_kernel
def serve_rerequests_nb(server: RerequestServer, engine: Engine, history: History) -> int:
    """Receive up to BATCH_REQUESTS requests and answer those that can be; returns the received."""
    headers = server.requests.headers
    descriptor = server.settings[0]
    for i in range(BATCH_REQUESTS):
        headers[i]["namelen"] = SOCKADDR_BYTES
    received = np.int64(
        recvmmsg(descriptor, server.requests_at[0], BATCH_REQUESTS, MSG_DONTWAIT, 0)
    )
    if received <= 0:
        return 0
    filled = np.int64(0)
    for i in range(received):
        filled += _answer_nb(server, engine, history, i, filled)
    if filled > 0:
        server.counters[REFUSED] += send_packets_nb(descriptor, server.answers, filled)
    return received


@kernel
def _place_asked_nb(server: RerequestServer, at: int, size: int) -> int:
    """Which session the request at `at` asks for; the present one when it names none of them."""
    present = np.int64(server.sessions.state[PRESENT])
    if size >= SESSION_BYTES:
        for place in range(present, -1, -1):
            if session_matches_nb(server.requests.payload, at, server.sessions.ids[place]):
                return np.int64(place)
    return present


@kernel
def _answer_nb(
    server: RerequestServer, engine: Engine, history: History, index: int, answer: int
) -> int:
    """Fill answer number `answer` for request `index`; 1, or 0 when there is no answer to it."""
    at = index * _SLOT_BYTES
    size = np.int64(server.requests.headers[index]["size"])
    sessions = server.sessions
    place = _place_asked_nb(server, at, size)
    before = sessions.firsts[place] - 1
    following = engine.state[EMITTED] + 1 - before
    if place < sessions.state[PRESENT]:
        following = sessions.firsts[place + 1] - before
    oldest = max(oldest_sequence_nb(engine, history) - before, np.int64(1))
    own_number, count, check = check_request_nb(
        server.requests.payload, at, size, sessions.ids[place], oldest, following
    )
    if check != _OK:
        server.counters[_FIRST_REFUSAL + check] += 1
        return 0
    sequence = own_number + before
    last = sequence + count - 1
    messages, offset, body_bytes = packet_slice_nb(history, sequence, last, server.settings[2])
    body = (server.settings[1] + offset, body_bytes)
    put_packet_nb(server.answers, answer, sessions.ids[place], (own_number, messages), body)
    for i in range(SOCKADDR_BYTES):
        byte = server.answers.addresses[index * SOCKADDR_BYTES + i]
        server.answers.addresses[answer * SOCKADDR_BYTES + i] = byte
    server.counters[ANSWERED] += 1
    server.counters[RESENT] += messages
    return 1
