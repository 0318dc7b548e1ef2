"""Index of the messages in a BinaryFILE, as a kernel.

    +--------+-----------------+--------+-----------------+-----+------+
    | length | message         | length | message         | ... | 0000 |   more sessions may follow
    +--------+-----------------+--------+-----------------+-----+------+
      u16 big-endian, counts the message alone                    end of session

Source: Nasdaq BinaryFILE 1.00; SoupBinTCP and MoldUDP64 carry the same messages by other framings.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import Status
from protocols.jit import kernel, outline_kernel
from protocols.vectors import prefetch
from protocols.wire import Bytes, read_u16_nb

LENGTH_BYTES = 2
OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
END_OF_SESSION = int(Status.END_OF_SESSION)
OUTPUT_FULL = int(Status.OUTPUT_FULL)


_SHORT_MAX = 256
_NOT_SHORT = ~(_SHORT_MAX - 1)
"""Bits of `length - 1` that no length from 1 to 256 has."""
_SHORT_BLOCK_BYTES = LENGTH_BYTES + _SHORT_MAX
_SPAN_BYTES = 32_768
"""How far each of two chains goes at once."""
_ALIKE_BLOCKS = 4
_SEARCH_BYTES = 2 * _SHORT_BLOCK_BYTES
_CHAIN_BYTES = _SPAN_BYTES + _SEARCH_BYTES + _ALIKE_BLOCKS * _SHORT_BLOCK_BYTES
_CHAIN_MESSAGES = _CHAIN_BYTES // (LENGTH_BYTES + 1) + 1
LEAP_BYTES = 2 * _CHAIN_BYTES
"""Bytes that must be there for two chains, and below the messages for which there must be room."""
LEAP_MESSAGES = 2 * _CHAIN_MESSAGES
_PREFETCH_BYTES = 2_048
_LINE_BYTES = 64


@kernel
def _index_nb(
    buf: Bytes, start: int, stop: int, count: int, out_at: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Go on with `count` messages found: (messages, where the next block begins, status)."""
    at = np.int64(start)
    room = out_at.shape[0] - 1
    status = OK
    while at < stop:
        if at + LENGTH_BYTES > stop:
            status = TRUNCATED
            break
        length = read_u16_nb(buf, at)
        if length == 0:
            status = END_OF_SESSION
            break
        if at + LENGTH_BYTES + length > stop:
            status = TRUNCATED
            break
        if count == room:
            status = OUTPUT_FULL
            break
        out_at[count] = at
        count += 1
        at += LENGTH_BYTES + length
    out_at[count] = at
    return count, at + (LENGTH_BYTES if status == END_OF_SESSION else 0), status


@kernel
def index_messages_nb(
    buf: Bytes, start: int, stop: int, out_at: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Find the messages in `buf[start:stop]`; where their blocks begin goes to the output.

    Shapes:  buf u8[n]; out_at i64[m + 1], caller-owned: message i is
             buf[out_at[i] + LENGTH_BYTES : out_at[i + 1]], and behind the last one out_at has where
             the next block would begin.
    Returns: (messages found, bytes used, status); whatever the status, those messages are whole.
        OK              the last message ends at `stop`
        TRUNCATED       what is left at `start + bytes used` is no whole message
        END_OF_SESSION  a zero length was read (and is among the bytes used): call again behind it
        OUTPUT_FULL     more messages follow: call again at `start + bytes used`
    """
    count, at, status = _index_nb(buf, start, stop, np.int64(0), out_at)
    return count, at - start, status


@kernel
def _guess_boundary_nb(buf: Bytes, near: int, lengths: NDArray[np.int64]) -> int:
    """The first place from buf[near] on where _ALIKE_BLOCKS blocks in a row have the length that
    `lengths` gives for their first byte: there a block begins, as good as surely. -1 when there is
    none within _SEARCH_BYTES.
    """
    for start in range(near, near + _SEARCH_BYTES):
        at = np.int64(start)
        alike = np.int64(0)
        while alike < _ALIKE_BLOCKS:
            length = read_u16_nb(buf, at)
            if (length - 1) & _NOT_SHORT or lengths[buf[at + LENGTH_BYTES]] != length:
                break
            at += LENGTH_BYTES + length
            alike += 1
        if alike == _ALIKE_BLOCKS:
            return np.int64(start)
    return np.int64(-1)


@kernel
def _walk_nb(
    buf: Bytes, at: int, end: int, count: int, out_at: NDArray[np.int64]
) -> tuple[int, int]:
    """Messages of 1 to 256 bytes from buf[at] until one begins at `end` or behind it; (where,
    count).
    """
    while at < end:
        length = read_u16_nb(buf, at)
        if (length - 1) & _NOT_SHORT:
            break
        out_at[count] = at
        count += 1
        at += LENGTH_BYTES + length
    return at, count


@outline_kernel
def _leap_nb(
    buf: Bytes, at: int, count: int, lengths: NDArray[np.int64], out_at: NDArray[np.int64]
) -> tuple[int, int]:
    """Follow two chains of lengths at once, the second from a guess: it counts only when the first
    one arrives at that very place. Returns where the next block begins, and the count.

    LEAP_BYTES and room for LEAP_MESSAGES must be there. One chain waits for each length before it
    can look for the next one, 2.6 ns a message; two overlap, 1.4 ns, 1.8 ns from memory that is in
    no cache, 2.4 ns there without the hints (AMD EPYC, 2 cores, Numba 0.68.1).
    """
    guess = _guess_boundary_nb(buf, at + _SPAN_BYTES, lengths)
    if guess < 0:
        return _walk_nb(buf, at, at + _SPAN_BYTES, count, out_at)
    ahead = guess
    ahead_end = guess + _SPAN_BYTES
    for line in range(0, _PREFETCH_BYTES, _LINE_BYTES):
        # Where the chains of the next leap begin.
        prefetch(buf, ahead_end + line)
        prefetch(buf, ahead_end + _SPAN_BYTES + line)
    ahead_from = count + _CHAIN_MESSAGES
    ahead_count = ahead_from
    while at < guess and ahead < ahead_end:
        prefetch(buf, at + _PREFETCH_BYTES)
        prefetch(buf, ahead + _PREFETCH_BYTES)
        length = read_u16_nb(buf, at)
        length_ahead = read_u16_nb(buf, ahead)
        if ((length - 1) | (length_ahead - 1)) & _NOT_SHORT:
            break
        out_at[count] = at
        out_at[ahead_count] = ahead
        count += 1
        ahead_count += 1
        at += LENGTH_BYTES + length
        ahead += LENGTH_BYTES + length_ahead
    at, count = _walk_nb(buf, at, guess, count, out_at)
    if at != guess:
        return at, count
    for i in range(ahead_from, ahead_count):
        out_at[count] = out_at[i]
        count += 1
    return ahead, count


@kernel
def index_many_nb(
    buf: Bytes, start: int, stop: int, lengths: NDArray[np.int64], out_at: NDArray[np.int64]
) -> tuple[int, int, int]:
    """`index_messages_nb` for large files and an output of LEAP_MESSAGES and more.

    Shapes:  lengths i64[256], the length of a message by its first byte, 0 where there is none: it
             helps to look ahead, no result depends on it.
    """
    at = np.int64(start)
    count = np.int64(0)
    before = np.int64(-1)
    while at > before and stop - at >= LEAP_BYTES and out_at.shape[0] - count > LEAP_MESSAGES:
        before = at
        at, count = _leap_nb(buf, at, count, lengths, out_at)
    count, at, status = _index_nb(buf, at, stop, count, out_at)
    return count, at - start, status
