"""A feed that comes over TCP: the memory of its connection, and its bytes as packets.

    socket ──recv──► buf[at:stop] ──venue.read_stream──► out: a packet as on a line ──► the channel
                                            └──────────► told: messages for the control plane

The control plane connects and logs in. It gives the connection over with LINK = OPEN and what it
has read already in `buf`; from then on the thread that receives reads, until it finds the end (LINK
= LOST, with the reason), be it because the control plane asked for it (ASKED). Meanwhile the
control plane alone writes to the socket, and closes it only afterwards.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import OWN_WORDS, Read, Reason, StreamWord, Venue
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.libc import MSG_DONTWAIT, copy_bytes_nb, errno_now, recv, write
from feedhandler.core.lines import zeros
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

READ_BYTES = 65_536
"""Bytes taken from the socket at a time: bounds what a round may find in them."""
TOLD_BYTES_MAX = 65_536
"""Longest message for the control plane."""
_MARGIN_BYTES = 64
_TOLD_RING_BYTES = 4 * TOLD_BYTES_MAX
_LENGTH_BYTES = 4
_EAGAIN = 11


class Link(IntEnum):
    """Who has the connection."""

    CLOSED = 0
    """There is none, or the control plane has it."""
    OPEN = 1
    """The thread that receives."""
    LOST = 2
    """The thread that receives gave it back: its end."""


class Shared(IntEnum):
    """Words of `Stream.shared`, a cache line each, only touched through atomics. The control plane
    writes LINK (to CLOSED and OPEN), ASKED and TOLD_READ, the thread that receives all others.
    """

    LINK = 0
    ASKED = 8
    """1: give the connection back."""
    REASON = 16
    HEARD_NS = 24
    """When a whole message came last, ns of the clock for timers."""
    GAPS = 32
    """Gaps in the peer's numbers so far."""
    DOUBT = 40
    """Books that may be wrong, or are not there yet."""
    TOLD = 48
    """Bytes ever put into the ring `told`."""
    TOLD_READ = 56


class Place(IntEnum):
    """Words of `Stream.places`, which only the reading thread uses while the link is open."""

    FD = 0
    AT = 1
    STOP = 2
    IS_IDLE = 3
    """1: nothing whole is left in `buf`."""
    IS_OVER = 4
    """1: the peer closed the connection."""
    RX_NS = 5
    WAKE_FD = 6
    HEARD = 7
    """StreamWord.HEARD when HEARD_NS was noted."""
    NEW_BYTES = 8
    """Bytes that came and are not counted yet."""


@by_reference
class Stream(NamedTuple):
    """Shapes: buf u8[n + margin], out u8[packet bytes], told u8[ring], shared i64[64], places
    i64[9], words i64[OWN_WORDS + the venue's own]. Without a stream `buf` has no room.
    """

    buf: NDArray[np.uint8]
    out: NDArray[np.uint8]
    told: NDArray[np.uint8]
    shared: NDArray[np.int64]
    places: NDArray[np.int64]
    words: NDArray[np.int64]
    wakeup: NDArray[np.int64]


def allocate_stream(buffer_bytes: int, packet_bytes: int, words: NDArray[np.int64]) -> Stream:
    """A stream without a connection. `packet_bytes` is the longest packet that the engine takes,
    `words` are OWN_WORDS and the venue's own.
    """
    told_bytes = _TOLD_RING_BYTES if buffer_bytes else 1
    wakeup = zeros(1)
    wakeup[0] = 1
    stream = Stream(
        buf=zeros(buffer_bytes + _MARGIN_BYTES, np.uint8),
        out=zeros(packet_bytes, np.uint8),
        told=zeros(told_bytes, np.uint8),
        shared=zeros(64),
        places=zeros(len(Place)),
        words=words,
        wakeup=wakeup,
    )
    stream.places[Place.FD] = stream.places[Place.WAKE_FD] = -1
    stream.shared[Shared.DOUBT] = words[StreamWord.DOUBT]
    return stream


def no_stream() -> Stream:
    """The stream of a feed that comes in datagrams."""
    return allocate_stream(0, 1, np.zeros(OWN_WORDS, np.int64))


@kernel
def has_stream_nb(stream: Stream) -> bool:
    """Whether the feed comes over TCP."""
    return len(stream.buf) > _MARGIN_BYTES


@outline_kernel
def open_link_nb(
    stream: Stream, fd: int, unread: int, wake_fd: int, now_ns: int, wall_ns: int
) -> None:
    """Give a connection, of which the first `unread` bytes of buf are read already, to the thread
    that receives. `now_ns` is of the clock for timers, `wall_ns` of CLOCK_REALTIME.
    """
    places = stream.places
    places[Place.FD] = fd
    places[Place.AT] = 0
    places[Place.STOP] = unread
    places[Place.IS_IDLE] = np.int64(unread == 0)
    places[Place.IS_OVER] = 0
    places[Place.RX_NS] = wall_ns
    places[Place.NEW_BYTES] = unread
    places[Place.WAKE_FD] = wake_fd
    store_release(stream.shared, Shared.ASKED, np.int64(0))
    store_release(stream.shared, Shared.REASON, np.int64(Reason.NONE))
    store_release(stream.shared, Shared.HEARD_NS, np.int64(now_ns))
    # What the last connection told is of no interest to this one.
    store_release(stream.shared, Shared.TOLD_READ, load_acquire(stream.shared, Shared.TOLD))
    store_release(stream.shared, Shared.LINK, np.int64(Link.OPEN))


@kernel
def _wake_control_nb(stream: Stream) -> None:
    if stream.places[Place.WAKE_FD] >= 0:
        write(stream.places[Place.WAKE_FD], stream.wakeup.ctypes.data, 8)


@outline_kernel
def lose_link_nb(stream: Stream, reason: int) -> None:
    """Give the connection back."""
    store_release(stream.shared, Shared.REASON, np.int64(reason))
    store_release(stream.shared, Shared.LINK, np.int64(Link.LOST))
    _wake_control_nb(stream)


@outline_kernel
def fill_stream_nb(stream: Stream, wall_ns: int) -> int:
    """Receive what is there, up to READ_BYTES; a Reason when there is no room, or the connection
    failed. `wall_ns` becomes the receive stamp of what came.
    """
    places = stream.places
    room = len(stream.buf) - _MARGIN_BYTES
    at, stop = places[Place.AT], places[Place.STOP]
    if room - stop < READ_BYTES and at > 0:
        copy_down_nb(stream.buf, at, stop)
        places[Place.AT] = 0
        places[Place.STOP] = stop = stop - at
    if stop >= room:
        return Reason.TOO_LONG
    address = np.int64(stream.buf.ctypes.data) + stop
    count = recv(places[Place.FD], address, min(room - stop, np.int64(READ_BYTES)), MSG_DONTWAIT)
    if count > 0:
        places[Place.STOP] = stop + count
        places[Place.NEW_BYTES] += count
        places[Place.IS_IDLE] = 0
        places[Place.RX_NS] = wall_ns
    elif count == 0:
        places[Place.IS_OVER] = 1
    else:
        error = errno_now()
        if error != _EAGAIN:
            stream.words[StreamWord.ERROR] = error
            return Reason.FAILED
    return Reason.NONE


@kernel
def copy_down_nb(buf: NDArray[np.uint8], at: int, stop: int) -> None:
    """buf[at:stop] to the front; in pieces that do not overlap what they are copied to."""
    to = np.int64(0)
    while to < at < stop:
        size = min(at - to, stop - at)
        copy_bytes_nb(buf, to, buf, at, size)
        to += size
        at += size


@kernel
def has_room_to_tell_nb(stream: Stream) -> bool:
    """Whether a message of any length fits the ring for the control plane."""
    waiting = stream.shared[Shared.TOLD] - load_acquire(stream.shared, Shared.TOLD_READ)
    return len(stream.told) - waiting >= TOLD_BYTES_MAX + _LENGTH_BYTES


@kernel
def _put_nb(stream: Stream, place: int, byte: int) -> None:
    stream.told[place % len(stream.told)] = byte


@outline_kernel
def tell_nb(stream: Stream, at: int, end: int) -> None:
    """Put buf[at:end] into the ring for the control plane, behind its length, and wake it."""
    place = stream.shared[Shared.TOLD]
    size = end - at
    for i in range(_LENGTH_BYTES):
        _put_nb(stream, place + i, (size >> (8 * i)) & 0xFF)
    for i in range(size):
        _put_nb(stream, place + _LENGTH_BYTES + i, np.int64(stream.buf[at + i]))
    store_release(stream.shared, Shared.TOLD, np.int64(place + _LENGTH_BYTES + size))
    _wake_control_nb(stream)


def take_told(stream: Stream, written: int, taken: int) -> tuple[list[bytes], int]:
    """The messages in the ring between two values of Shared.TOLD, and the second of them."""
    messages = []
    while taken < written:
        head = _from_ring(stream, taken, _LENGTH_BYTES)
        size = int.from_bytes(head, "little")
        messages.append(_from_ring(stream, taken + _LENGTH_BYTES, size))
        taken += _LENGTH_BYTES + size
    return messages, taken


def _from_ring(stream: Stream, at: int, size: int) -> bytes:
    room = len(stream.told)
    first = at % room
    piece = stream.told[first : first + size].tobytes()
    return piece + stream.told[: size - len(piece)].tobytes()


@kernel
def _note_words_nb(stream: Stream, now_ns: int) -> None:
    """Show the control plane what reading changed."""
    words, shared = stream.words, stream.shared
    if words[StreamWord.HEARD] != stream.places[Place.HEARD]:
        stream.places[Place.HEARD] = words[StreamWord.HEARD]
        store_release(shared, Shared.HEARD_NS, np.int64(now_ns))
    if words[StreamWord.DOUBT] != shared[Shared.DOUBT]:
        store_release(shared, Shared.DOUBT, np.int64(words[StreamWord.DOUBT]))
    if words[StreamWord.GAPS] != shared[Shared.GAPS]:
        store_release(shared, Shared.GAPS, np.int64(words[StreamWord.GAPS]))
        _wake_control_nb(stream)


@outline_kernel
def read_packet_nb(stream: Stream, venue: Venue, now_ns: int) -> int:
    """The next packet into `out`; its bytes, or 0 when there is none now. The end of the
    connection is noted once all that came before it is read.
    """
    places, words = stream.places, stream.words
    while places[Place.IS_IDLE] == 0:
        if not has_room_to_tell_nb(stream):
            return 0
        at, stop = places[Place.AT], places[Place.STOP]
        words[StreamWord.SIZE] = 0
        places[Place.AT] = at + venue.read_stream(stream.buf, at, stop, words, stream.out)
        outcome = words[StreamWord.OUTCOME]
        if outcome == Read.NEED:
            places[Place.IS_IDLE] = 1
        elif outcome == Read.TOLD:
            if words[StreamWord.TOLD_END] - words[StreamWord.TOLD_AT] > TOLD_BYTES_MAX:
                lose_link_nb(stream, np.int64(Reason.TOO_LONG))
                return 0
            tell_nb(stream, words[StreamWord.TOLD_AT], words[StreamWord.TOLD_END])
        elif outcome == Read.BROKEN:
            _note_words_nb(stream, now_ns)
            lose_link_nb(stream, words[StreamWord.FAULT])
            return 0
        else:
            _note_words_nb(stream, now_ns)
            if outcome == Read.END:
                lose_link_nb(stream, np.int64(Reason.ENDED))
            return words[StreamWord.SIZE]
    _note_words_nb(stream, now_ns)
    if places[Place.IS_OVER]:
        lose_link_nb(stream, np.int64(Reason.CLOSED))
    return 0
