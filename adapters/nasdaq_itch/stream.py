"""ITCH over SoupBinTCP: the bytes of a stream as packets, message by message in their order.

Source: SoupBinTCP 3.00 to 4.10, packets of a server; offsets are frozen from
`protocols.soupbintcp.spec`. The login is read by the control plane.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import OWN_WORDS, Read, Reason, StreamWord
from feedhandler.core.libc import copy_bytes_nb
from protocols.jit import kernel
from protocols.moldudp64.spec import (
    BLOCK_LENGTH_BYTES,
    COUNT_AT,
    HEADER_BYTES,
    HEARTBEAT,
    SEQUENCE_AT,
)
from protocols.moldudp64.spec import END_OF_SESSION as NO_MORE_PACKETS
from protocols.soupbintcp.spec import (
    DEBUG,
    END_OF_SESSION,
    FRAME_BYTES,
    LENGTH_BYTES,
    SEQUENCED_DATA,
    SERVER_HEARTBEAT,
    TYPE_BYTES,
    UNSEQUENCED_DATA,
)
from protocols.wire import Bytes, read_u16_nb, write_u16_nb, write_u64_nb

BUFFER_BYTES = 1 << 20
"""Room for what was received and is not read: many of the longest packet, 64 KiB."""


def stream_words() -> NDArray[np.int64]:
    """Words of a stream that begins with message 1."""
    words = np.zeros(OWN_WORDS, np.int64)
    words[StreamWord.SEQ] = 1
    return words


@kernel
def _is_known_nb(code: int, length: int) -> bool:
    """Whether a server sends packets of this type and length once a login is over."""
    if code in (SERVER_HEARTBEAT, END_OF_SESSION):
        return length == TYPE_BYTES
    return code in (SEQUENCED_DATA, DEBUG, UNSEQUENCED_DATA)


@kernel
def _write_packet_nb(words: NDArray[np.int64], out: Bytes, count: int, size: int) -> None:
    write_u64_nb(out, SEQUENCE_AT, words[StreamWord.SEQ])
    write_u16_nb(out, COUNT_AT, count)
    words[StreamWord.SIZE] = size


@kernel
def read_stream_nb(buf: Bytes, at: int, stop: int, words: NDArray[np.int64], out: Bytes) -> int:
    """The next packet of buf[at:stop], as `api.READ_STREAM` has it: as many messages as there are
    and fit `out`; none for a heartbeat.
    """
    start = at
    size = np.int64(HEADER_BYTES)
    count = np.int64(0)
    heard = words[StreamWord.HEARD]
    outcome = np.int64(Read.NEED)
    while at + FRAME_BYTES <= stop:
        length = read_u16_nb(buf, at)
        code = np.int64(buf[at + LENGTH_BYTES])
        if length == 0 or not _is_known_nb(code, length):
            outcome = np.int64(Read.BROKEN)
            words[StreamWord.FAULT] = Reason.GARBAGE
            break
        end = at + LENGTH_BYTES + length
        if end > stop:
            break
        if code == SEQUENCED_DATA:
            message_bytes = length - TYPE_BYTES
            if size + BLOCK_LENGTH_BYTES + message_bytes > len(out):
                outcome = np.int64(Read.BROKEN)
                words[StreamWord.FAULT] = Reason.TOO_LONG
                break
            write_u16_nb(out, size, message_bytes)
            size += BLOCK_LENGTH_BYTES
            copy_bytes_nb(out, size, buf, at + FRAME_BYTES, message_bytes)
            size += message_bytes
            count += 1
        elif code == END_OF_SESSION:
            outcome = np.int64(Read.END)
            break
        words[StreamWord.HEARD] += 1
        at = end
    if count > 0 or (words[StreamWord.HEARD] != heard and outcome == Read.NEED):
        # Whatever is behind the messages is found again by the next call.
        _write_packet_nb(words, out, count if count > 0 else np.int64(HEARTBEAT), size)
        words[StreamWord.SEQ] += count
        outcome = np.int64(Read.PACKET)
    elif outcome == Read.END:
        words[StreamWord.HEARD] += 1
        at += FRAME_BYTES
        _write_packet_nb(words, out, np.int64(NO_MORE_PACKETS), size)
    words[StreamWord.OUTCOME] = outcome
    return at - start
