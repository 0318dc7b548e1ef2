"""What the sender's thread does for its TCP clients in every round: takes their mail, makes what
they are to get, and sends as much as each socket takes.
"""

import numpy as np

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.libc import MSG_DONTWAIT, MSG_NOSIGNAL, copy_bytes_nb, errno_now, send
from protocols.jit import kernel, outline_kernel
from protocols.soupbintcp.spec import (
    END_OF_SESSION,
    FRAME_BYTES,
    HEARTBEAT_INTERVAL_NS,
    SEQUENCED_DATA,
    SERVER_HEARTBEAT,
    TYPE_BYTES,
)
from protocols.wire import read_u16_nb, write_u16_nb
from tools.exchange.history import History, oldest_sequence_nb
from tools.exchange.itch_writer import LENGTH_BYTES, MAX_BLOCK_BYTES
from tools.exchange.layout import EMITTED, Engine
from tools.exchange.streams import (
    ABORT,
    BROKEN,
    BYTES_SENT,
    CLIENT_WORDS,
    DESCRIPTOR,
    FIRST_FIX,
    FIX,
    FREE,
    GAP_FILL,
    GONE,
    HAS,
    HEAD,
    HELD,
    IS_LEAVING,
    IS_STREAMING,
    LAST_SENT_NS,
    LATE,
    LEFT,
    MAIL_A,
    MAIL_B,
    MAIL_BYTES,
    MAIL_KIND,
    MAIL_SIZE,
    MAIL_SLOTS,
    MAIL_WORDS,
    MESSAGE,
    MESSAGES_SENT,
    NEXT,
    OUT_AT,
    OUT_BYTES,
    POSTED,
    RAW,
    SOUP,
    START,
    SUBSCRIBE,
    TAIL,
    TAKEN,
    UNSUBSCRIBE,
    WANT,
    Streams,
)
from tools.exchange.streams_fix import (
    fill_gap_nb,
    forget_books_nb,
    let_go_nb,
    put_any_message_nb,
    put_snapshots_nb,
    room_nb,
    stamp_nb,
    subscribe_nb,
    unsubscribe_nb,
)

_EAGAIN = 11
_EINTR = 4
_NOTHING = np.int64(0)
_BROKEN, _LATE, _LEFT = np.int64(BROKEN), np.int64(LATE), np.int64(LEFT)
_HEARTBEAT, _END = np.int64(SERVER_HEARTBEAT), np.int64(END_OF_SESSION)
_SOUP_BYTES_MAX = MAX_BLOCK_BYTES + TYPE_BYTES


@outline_kernel
def serve_streams_nb(
    streams: Streams, engine: Engine, history: History, now_ns: int, is_ended: bool
) -> int:
    """One round for every client; returns how many bytes were sent. `is_ended`: the session has no
    more messages than it has now.
    """
    work = np.int64(0)
    clients = streams.words.shape[0] // CLIENT_WORDS
    if clients > streams.state[FIRST_FIX]:
        stamp_nb(streams)
    for client in range(clients):
        base = client * CLIENT_WORDS
        want = load_acquire(streams.words, base + WANT)
        has = streams.words[base + HAS]
        if has == FREE and want != FREE:
            # Also one that was aborted already: it is let go in the next round.
            _begin_nb(streams, client, now_ns)
        elif has == GONE and want == FREE:
            store_release(streams.words, base + HAS, _NOTHING)
        elif has == HELD and want == ABORT:
            let_go_nb(streams, client, _LEFT)
        elif has == HELD:
            work += _serve_nb(streams, engine, history, client, now_ns, is_ended)
    return work


@kernel
def _begin_nb(streams: Streams, client: int, now_ns: int) -> None:
    """Take a new client on: its numbers begin at 1, and nothing waits."""
    words, base = streams.words, client * CLIENT_WORDS
    for word in range(CLIENT_WORDS // 2):
        words[base + word] = 0
    words[base + NEXT] = 1
    words[base + LAST_SENT_NS] = now_ns
    # Behind TAKEN, which the main thread reads once it sees this.
    store_release(words, base + HAS, np.int64(HELD))


@kernel
def _serve_nb(
    streams: Streams, engine: Engine, history: History, client: int, now_ns: int, is_ended: bool
) -> int:
    """One round for a client that is here; returns the bytes that were sent."""
    words, base = streams.words, client * CLIENT_WORDS
    _take_mail_nb(streams, client)
    if words[base + IS_LEAVING] == 0:
        if client >= streams.state[FIRST_FIX]:
            put_snapshots_nb(streams, engine, client)
        elif words[base + IS_STREAMING] == 1:
            _fill_soup_nb(streams, engine, history, client, now_ns, is_ended)
    if words[base + HAS] != HELD:
        return 0
    sent = _flush_nb(streams, client, now_ns)
    if words[base + IS_LEAVING] == 1 and words[base + TAIL] == 0 and words[base + HAS] == HELD:
        let_go_nb(streams, client, _LEFT)
    return sent


@kernel
def _take_mail_nb(streams: Streams, client: int) -> None:
    """Do what the main thread posted, as far as there is room."""
    words, base = streams.words, client * CLIENT_WORDS
    posted = load_acquire(words, base + POSTED)
    taken = words[base + TAKEN]
    while taken < posted and words[base + IS_LEAVING] == 0:
        slot = client * MAIL_SLOTS + (taken & (MAIL_SLOTS - 1))
        if _take_one_nb(streams, client, slot) == 0:
            break
        taken += 1
        store_release(words, base + TAKEN, taken)


@outline_kernel
def _take_one_nb(streams: Streams, client: int, slot: int) -> int:
    """Do what one mail says; 0 when there is no room for it."""
    words, base = streams.words, client * CLIENT_WORDS
    row = slot * MAIL_WORDS
    kind = streams.mail_words[row + MAIL_KIND]
    size = streams.mail_words[row + MAIL_SIZE]
    a, b = streams.mail_words[row + MAIL_A], streams.mail_words[row + MAIL_B]
    done = np.int64(1)
    if kind == RAW:
        done = np.int64(room_nb(streams, client, size))
        if done == 1:
            at = words[base + OUT_AT] + words[base + TAIL]
            copy_bytes_nb(streams.out, at, streams.mail, slot * MAIL_BYTES, size)
            words[base + TAIL] += size
    elif kind == START:
        words[base + NEXT] = a
        words[base + IS_STREAMING] = 1
    elif kind == MESSAGE:
        if b == 1:
            words[base + NEXT] = 1
        body = (streams.mail, np.int64(slot * MAIL_BYTES), size)
        done = np.int64(put_any_message_nb(streams, client, a, _NOTHING, _NOTHING, body))
    elif kind == GAP_FILL:
        done = np.int64(fill_gap_nb(streams, client, a, b))
    elif kind == SUBSCRIBE:
        subscribe_nb(streams, client, slot)
    elif kind == UNSUBSCRIBE:
        unsubscribe_nb(streams, client, a)
    else:
        words[base + IS_LEAVING] = 1
        if client >= streams.state[FIRST_FIX]:
            forget_books_nb(streams, client)
    return done


@outline_kernel
def _fill_soup_nb(
    streams: Streams, engine: Engine, history: History, client: int, now_ns: int, is_ended: bool
) -> None:
    """Frame the messages from the client's next one on, as many as there is room for; or what is
    said when there are none.
    """
    words, base, out = streams.words, client * CLIENT_WORDS, streams.out
    sequence, last = words[base + NEXT], engine.state[EMITTED]
    if sequence < oldest_sequence_nb(engine, history):
        let_go_nb(streams, client, _LATE)
        return
    first = sequence
    at = words[base + OUT_AT] + words[base + TAIL]
    end = words[base + OUT_AT] + words[base + OUT_BYTES] - _SOUP_BYTES_MAX
    mask = history.offsets.shape[0] - 1
    while sequence <= last and at <= end:
        offset = history.offsets[sequence & mask]
        size = read_u16_nb(history.data, offset)
        copy_bytes_nb(out, at + FRAME_BYTES, history.data, offset + LENGTH_BYTES, size)
        write_u16_nb(out, at, size + TYPE_BYTES)
        out[at + LENGTH_BYTES] = SEQUENCED_DATA
        at += FRAME_BYTES + size
        sequence += 1
    words[base + NEXT] = sequence
    words[base + TAIL] = at - words[base + OUT_AT]
    streams.counters[SOUP, MESSAGES_SENT] += sequence - first
    if is_ended and sequence > last and at <= end:
        _put_notice_nb(streams, client, _END)
        words[base + IS_LEAVING] = 1
    elif words[base + TAIL] == 0 and now_ns - words[base + LAST_SENT_NS] >= HEARTBEAT_INTERVAL_NS:
        _put_notice_nb(streams, client, _HEARTBEAT)


@kernel
def _put_notice_nb(streams: Streams, client: int, kind: int) -> None:
    """Queue a packet that is nothing but its type."""
    words, base = streams.words, client * CLIENT_WORDS
    at = words[base + OUT_AT] + words[base + TAIL]
    write_u16_nb(streams.out, at, np.int64(TYPE_BYTES))
    streams.out[at + LENGTH_BYTES] = kind
    words[base + TAIL] += FRAME_BYTES


@kernel
def _flush_nb(streams: Streams, client: int, now_ns: int) -> int:
    """Send what waits, as much as the socket takes; returns the bytes."""
    words, base = streams.words, client * CLIENT_WORDS
    waiting = words[base + TAIL] - words[base + HEAD]
    if waiting == 0:
        return 0
    address = np.int64(streams.out.ctypes.data) + words[base + OUT_AT] + words[base + HEAD]
    flags = MSG_DONTWAIT | MSG_NOSIGNAL
    sent = np.int64(send(words[base + DESCRIPTOR], address, waiting, flags))
    if sent < 0:
        if errno_now() not in (_EAGAIN, _EINTR):
            let_go_nb(streams, client, _BROKEN)
        return 0
    words[base + LAST_SENT_NS] = now_ns
    words[base + HEAD] += sent
    if sent == waiting:
        words[base + HEAD] = words[base + TAIL] = 0
    service = FIX if client >= streams.state[FIRST_FIX] else SOUP
    streams.counters[service, BYTES_SENT] += sent
    return sent
