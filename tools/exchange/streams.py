"""Memory of the TCP streams that the sender's thread writes: ITCH over SoupBinTCP, and FIX market
data.

    main thread: logins, requests, everything that comes from clients
       │ WANT, descriptor, mail: what is to be sent, and from where on
       ▼
    sender's thread: numbers, frames and sends; the only writer of a socket that it HAS
       │ HAS, numbers, the reason why it let go
       ▼
    main thread: closes the descriptor

A client is a row of `words`, one part of `out` that waits to be sent, and a ring of mails. Those of
SoupBinTCP come first. All has its final size from the start; what is never used is address space.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.wire import Bytes
from tools.exchange.layout import TICKER, Engine

SOUP = 0
FIX = 1
SERVICES = ("soup", "fix_md")

SOUP_OUT_BYTES = 1 << 18
FIX_OUT_BYTES = 8 << 20
"""At least: a snapshot takes a quarter of it at most."""
ENTRY_BYTES_MAX = 96
"""More than one entry of W or X takes."""
HEADER_BYTES_MAX = 320
"""More than a FIX message takes without what follows its header, or its count of entries."""
REQUESTS_MAX = 16
"""Requests of one client that are live at a time."""
REQUEST_ID_BYTES_MAX = 16
COMP_ID_BYTES_MAX = 48
_TEXT_BYTES = 128
_REQUEST_BYTES = 32
_SYMBOL_BYTES = 16
_SYMBOL_TEXT_BYTES = 8
TIME_BYTES = 21
"""A SendingTime with milliseconds."""

# Words of a client, from `client * CLIENT_WORDS` on. Those of the sender's thread:
HAS = 0
HEAD = 1
"""First byte of the client's part of `out` that was not sent yet."""
TAIL = 2
NEXT = 3
"""Number of its next message."""
LAST_SENT_NS = 4
"""Monotonic."""
TAKEN = 5
"""Mails taken."""
IS_STREAMING = 6
"""SoupBinTCP: the login was accepted."""
IS_LEAVING = 7
"""What is in `out` is the last of it."""
SUBSCRIBED = 8
"""FIX: symbols that the client wants."""
PENDING = 9
"""Those of them whose snapshot is still to come."""
CURSOR = 10
REASON = 11
# Those of the main thread, in a cache line of their own:
WANT = 16
DESCRIPTOR = 17
POSTED = 18
"""Mails posted."""
# Those that never change:
OUT_AT = 24
OUT_BYTES = 25
CLIENT_WORDS = 32

# Values of HAS, and of WANT.
FREE = 0
HELD = 1
GONE = 2
SERVE = 1
ABORT = 2

# Values of REASON.
LEFT = 0
"""The main thread wanted it."""
LATE = 1
BROKEN = 2

# Words of a mail, from `(client * MAIL_SLOTS + slot) * MAIL_WORDS` on; its bytes are in `mail` from
# `(client * MAIL_SLOTS + slot) * MAIL_BYTES` on.
MAIL_KIND = 0
MAIL_SIZE = 1
MAIL_A = 2
MAIL_B = 3
MAIL_C = 4
MAIL_WORDS = 8
MAIL_SLOTS = 16
MAIL_BYTES = 1 << 17

# Values of MAIL_KIND, with what A, B and C are.
RAW = 1
"""Bytes as they are."""
START = 2
"""SoupBinTCP: A is the first message to send."""
MESSAGE = 3
"""FIX: A is the type; B is 1 when numbers begin again with this message; the bytes are its body."""
GAP_FILL = 4
"""FIX: A and B are the first and last number that the client asks for again, 0 for all."""
SUBSCRIBE = 5
"""FIX: A is the request, B the bytes of its id, C is 1 when trades are wanted; the bytes are the id
and then the symbols, u16 little-endian."""
UNSUBSCRIBE = 6
"""FIX: A is the request."""
LEAVE = 7
"""Send what there is, then let go."""

# Words of `state`.
FIRST_FIX = 0
"""The first client of FIX; those before it are of SoupBinTCP."""
BOOKS = 1
"""Clients with a live subscription."""
BOOK_ENTRIES = 2
"""Of the change that is in `body`: entries of the book, then those with the trade; their bytes."""
BOOK_BYTES = 3
ALL_ENTRIES = 4
ALL_BYTES = 5
_STATE_WORDS = 16

COUNTER_NAMES = (
    "messages_sent",
    "bytes_sent",
    "snapshots_sent",
    "clients_late",
    "clients_broken",
)
"""Counters that the sender's thread keeps of each service. Late: did not read for so long that what
it wants next is no longer kept, or there is no room for it.
"""
MESSAGES_SENT, BYTES_SENT, SNAPSHOTS_SENT, CLIENTS_LATE, CLIENTS_BROKEN = range(len(COUNTER_NAMES))


@by_reference
class Streams(NamedTuple):
    """Shapes, with c clients, f of them of FIX, and s symbols: words i64[c * CLIENT_WORDS],
    counters i64[2, n], mail_words i64[c * MAIL_SLOTS * MAIL_WORDS],
    mail u8[c * MAIL_SLOTS * MAIL_BYTES], texts u8[f, n], requests u8[f * REQUESTS_MAX, n],
    symbols u8[s, n] (a row begins with the number of its bytes), wanted i8[f, s],
    trades u8[f, REQUESTS_MAX].

    texts: `49=us|56=client|52=`; requests: `262=id|`; symbols: `55=symbol|`. wanted: 0, or the
    request and one more, below zero until the snapshot has been sent.
    """

    words: NDArray[np.int64]
    counters: NDArray[np.int64]
    out: Bytes
    mail_words: NDArray[np.int64]
    mail: Bytes
    texts: NDArray[np.uint8]
    requests: NDArray[np.uint8]
    symbols: NDArray[np.uint8]
    wanted: NDArray[np.int8]
    trades: NDArray[np.uint8]
    head: Bytes
    body: Bytes
    time_text: Bytes
    state: NDArray[np.int64]


def allocate_streams(engine: Engine, soup_clients: int, fix_clients: int) -> Streams:
    """Memory for so many clients of either service; 0 for none."""
    clients, symbols = soup_clients + fix_clients, len(engine.symbols)
    book_bytes = (int(engine.members.shape[1]) + 1) * ENTRY_BYTES_MAX + HEADER_BYTES_MAX
    fix_bytes = max(FIX_OUT_BYTES, 4 * book_bytes)
    words = np.zeros(clients * CLIENT_WORDS, np.int64)
    sizes = [SOUP_OUT_BYTES] * soup_clients + [fix_bytes] * fix_clients
    words[OUT_BYTES::CLIENT_WORDS] = sizes
    words[OUT_AT::CLIENT_WORDS] = np.cumsum(sizes) - sizes
    state = np.zeros(_STATE_WORDS, np.int64)
    state[FIRST_FIX] = soup_clients
    streams = Streams(
        words=words,
        counters=np.zeros((len(SERVICES), len(COUNTER_NAMES)), np.int64),
        out=np.zeros(sum(sizes), np.uint8),
        mail_words=np.zeros(clients * MAIL_SLOTS * MAIL_WORDS, np.int64),
        mail=np.zeros(clients * MAIL_SLOTS * MAIL_BYTES, np.uint8),
        texts=np.zeros((fix_clients, _TEXT_BYTES), np.uint8),
        requests=np.zeros((fix_clients * REQUESTS_MAX, _REQUEST_BYTES), np.uint8),
        symbols=np.zeros((symbols, _SYMBOL_BYTES), np.uint8),
        wanted=np.zeros((fix_clients, symbols), np.int8),
        trades=np.zeros((fix_clients, REQUESTS_MAX), np.uint8),
        head=np.zeros(_TEXT_BYTES, np.uint8),
        body=np.zeros(max(book_bytes, 8 * ENTRY_BYTES_MAX) if fix_clients else 0, np.uint8),
        time_text=np.zeros(TIME_BYTES, np.uint8),
        state=state,
    )
    for row, name in zip(streams.symbols, symbol_names(engine), strict=True):
        put_text(row, b"55=%b\x01" % name)
    return streams


def symbol_names(engine: Engine) -> list[bytes]:
    """The tickers, without padding."""
    words = engine.symbols[:, TICKER].tolist()
    return [word.to_bytes(_SYMBOL_TEXT_BYTES, "big").rstrip() for word in words]


def put_text(row: NDArray[np.uint8], text: bytes) -> None:
    """A row of `texts`, `requests` or `symbols`."""
    row[0] = len(text)
    row[1 : 1 + len(text)] = np.frombuffer(text, np.uint8)


def counters_by_name(streams: Streams, service: int) -> dict[str, int]:
    """What the sender's thread counted of a service, for a report."""
    return dict(zip(COUNTER_NAMES, streams.counters[service].tolist(), strict=True))
