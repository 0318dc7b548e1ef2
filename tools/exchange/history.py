"""What was sent, kept for re-requests and for packets that a line holds back.

    data     u8[(messages + 1) * MAX_BLOCK_BYTES]   blocks one after the other, wrapping round
    offsets  i64[messages]                          where the block of message n begins: n &
    (messages - 1)

The engine writes straight into `data`, and packets are sent straight out of it. A block never
crosses the end: the next one starts at 0 instead, so a packet is one slice of `data` and ends
there. The last `messages` messages are always whole. Touched as it fills: it costs address space.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes, read_u16_nb
from tools.exchange.flow import emit_next_nb
from tools.exchange.itch_writer import LENGTH_BYTES, MAX_BLOCK_BYTES
from tools.exchange.layout import EMITTED, IS_TAPE, TOTAL, Engine
from tools.exchange.streams import BOOKS, Streams
from tools.exchange.streams_fix import begin_books_nb, publish_change_nb


@by_reference
class History(NamedTuple):
    """The two arrays above, and `position` i64[1]: where the next block goes."""

    data: Bytes
    offsets: NDArray[np.int64]
    position: NDArray[np.int64]


def allocate_history(messages: int) -> History:
    """An empty history of `messages` messages, rounded up to a power of two."""
    if messages < 1:
        raise ValueError(f"a history of {messages} messages: it holds at least one")
    capacity = 1 << (messages - 1).bit_length()
    return History(
        np.zeros((capacity + 1) * MAX_BLOCK_BYTES, np.uint8),
        np.zeros(capacity, np.int64),
        np.zeros(1, np.int64),
    )


@kernel
def oldest_sequence_nb(engine: Engine, history: History) -> int:
    """Sequence number of the oldest message that is kept; one past the last when there is none."""
    return max(1, engine.state[EMITTED] - history.offsets.shape[0] + 1)


@kernel
def _read_tape_nb(engine: Engine, history: History, last: int) -> None:
    """The same from a tape, which is in `data` already: what is made is where each block begins."""
    mask = history.offsets.shape[0] - 1
    emitted = engine.state[EMITTED]
    stop = min(last, engine.state[TOTAL])
    at = history.position[0]
    while emitted < stop:
        emitted += 1
        history.offsets[emitted & mask] = at
        at += LENGTH_BYTES + read_u16_nb(history.data, at)
    engine.state[EMITTED] = emitted
    history.position[0] = at


@outline_kernel
def extend_history_nb(engine: Engine, history: History, streams: Streams, last: int) -> None:
    """Generate messages up to sequence number `last`, or to the end of the session before it, and
    tell those who have its books of each.
    """
    if engine.state[IS_TAPE] == 1:
        _read_tape_nb(engine, history, last)
        return
    mask = history.offsets.shape[0] - 1
    begin_books_nb(streams, engine)
    while engine.state[EMITTED] < last:
        at = history.position[0]
        if at + MAX_BLOCK_BYTES > history.data.shape[0]:
            at = 0
        size = emit_next_nb(engine, history.data, at)
        if size == 0:
            break
        history.offsets[engine.state[EMITTED] & mask] = at
        history.position[0] = at + size
        if streams.state[BOOKS] > 0:
            publish_change_nb(streams, engine, history.data, at)


@outline_kernel
def packet_slice_nb(
    history: History, sequence: int, last: int, limit_bytes: int
) -> tuple[int, int, int]:
    """The most whole messages from `sequence` to `last` that lie together in `limit_bytes`.

    Returns: (messages, first byte in `data`, bytes); at least one message, when `limit_bytes` is at
    least MAX_BLOCK_BYTES.
    """
    mask = history.offsets.shape[0] - 1
    start = history.offsets[sequence & mask]
    end = start
    count = 0
    while sequence + count <= last and history.offsets[(sequence + count) & mask] == end:
        size = LENGTH_BYTES + read_u16_nb(history.data, end)
        if end + size - start > limit_bytes:
            break
        end += size
        count += 1
    return count, start, end - start
