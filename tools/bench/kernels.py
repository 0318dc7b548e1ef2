"""Loops around the measured kernels, with arguments that the compiler cannot foresee, so that it
cannot do the work of many operations in one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.nasdaq_itch.normalise import normalise_nb
from feedhandler.core.book.apply import (
    apply_tick_nb,
    prefetch_level_of_tick_nb,
    prefetch_tick_nb,
)
from feedhandler.core.book.layout import Book
from feedhandler.core.engine import LEVELS_AHEAD
from feedhandler.core.latency import Histogram
from feedhandler.core.libc import CLOCK_REALTIME, clock_ns
from feedhandler.core.recording import add_nb, record_nb
from feedhandler.core.ring import Ring, ring_pop_nb, ring_push_nb
from feedhandler.core.sequence import Window, window_drop_first_nb, window_store_nb
from feedhandler.core.shard import CHUNK
from protocols.binaryfile.kernels import index_many_nb
from protocols.errors import Status
from protocols.itch50.rows import Scratch, decode_tables_nb
from protocols.jit import kernel
from protocols.wire import Bytes

_HASH_PRIME = 0x01000193
_HASH_MASK = 0xFFFFFFFF
_VALUE_MASK = 0xFFFFF
_ROW_MASK = 63

VALUES = 4_096
"""Length of the arrays of values, a power of two."""


@kernel
def hash_bytes_nb(buf: Bytes, size: int) -> int:
    """FNV-1a of buf[:size]: one multiplication after the other, the reference of `tests/perf`."""
    result = np.int64(0x811C9DC5)
    for i in range(size):
        result = ((result ^ np.int64(buf[i])) * _HASH_PRIME) & _HASH_MASK
    return result


@kernel
def frame_nb(buf: Bytes, lengths: NDArray[np.int64], blocks: NDArray[np.int64]) -> int:
    """Find every message of the first session in `buf`, as many at a time as `blocks` takes.

    Shapes:  lengths i64[256] and blocks i64[m + 1], as `index_many_nb` has them.
    Returns: messages.
    """
    at = np.int64(0)
    messages = np.int64(0)
    while True:
        count, used, status = index_many_nb(buf, at, buf.shape[0], lengths, blocks)
        messages += count
        at += used
        if status != Status.OUTPUT_FULL:
            return messages


@kernel
def fields_nb(
    buf: Bytes, scratch: Scratch, out: Bytes, first_at: NDArray[np.int64], at: NDArray[np.int64]
) -> int:
    """Decode all fields of every message of the first session into tables, which are filled anew
    for each round of `scratch`.

    Shapes:  out u8[k]; first_at i64[OTHER], where each table begins in it; at i64[OTHER], scratch.
    Returns: messages.
    """
    start = np.int64(0)
    messages = np.int64(0)
    while True:
        for table in range(at.shape[0]):
            at[table] = first_at[table]
        count, used, status = decode_tables_nb(buf, start, scratch, out, at)
        messages += count
        start += used
        if status != Status.OUTPUT_FULL:
            return messages


@kernel
def decode_nb(buf: Bytes, messages: int, ticks: NDArray[np.void], slots: NDArray[np.int32]) -> int:
    """Normalise the first `messages` blocks of `buf`, CHUNK at a time, into the same CHUNK ticks.

    Shapes:  ticks TICK[n]; slots i32[CHUNK].
    Returns: bytes used.
    """
    at = np.int64(0)
    for done in range(0, messages, CHUNK):
        at = normalise_nb(buf, at, min(CHUNK, messages - done), ticks, slots)
    return at


@kernel
def decode_and_book_nb(
    book: Book, buf: Bytes, messages: int, ticks: NDArray[np.void], slots: NDArray[np.int32]
) -> int:
    """As `decode_nb`, and apply every tick to the book; how many were applied."""
    at = np.int64(0)
    applied = np.int64(0)
    for done in range(0, messages, CHUNK):
        count = min(CHUNK, messages - done)
        at = normalise_nb(buf, at, count, ticks, slots)
        for i in range(count):
            prefetch_tick_nb(book, ticks, np.int64(slots[i]))
        for i in range(count):
            if i + LEVELS_AHEAD < count:
                prefetch_level_of_tick_nb(book, ticks, np.int64(slots[i + LEVELS_AHEAD]))
            applied += np.int64(apply_tick_nb(book, ticks, np.int64(slots[i])) == 0)
    return applied


@kernel
def ring_round_trips_nb(ring: Ring, count: int) -> int:
    """Push and pop `count` integers on one thread; their sum."""
    total = np.int64(0)
    for i in range(count):
        ring_push_nb(ring, i & _VALUE_MASK)
        total += ring_pop_nb(ring)
    return total


@kernel
def ring_produce_nb(ring: Ring, count: int) -> int:
    """Push `count` integers, trying again while the ring is full; how often it was."""
    full = np.int64(0)
    for i in range(count):
        while ring_push_nb(ring, i & _VALUE_MASK) == 0:
            full += 1
    return full


@kernel
def ring_consume_nb(ring: Ring, count: int) -> int:
    """Pop `count` integers, trying again while the ring is empty; their sum."""
    total = np.int64(0)
    done = np.int64(0)
    while done < count:
        value = ring_pop_nb(ring)
        if value >= 0:
            total += value
            done += 1
    return total


@kernel
def ring_answer_nb(asked: Ring, answered: Ring, count: int) -> None:
    """Send `count` integers back, each as soon as it is there."""
    for _ in range(count):
        value = ring_pop_nb(asked)
        while value < 0:
            value = ring_pop_nb(asked)
        ring_push_nb(answered, value)


@kernel
def ring_ask_nb(asked: Ring, answered: Ring, count: int, histogram: Histogram) -> None:
    """Send an integer and wait for it, `count` times; each time there and back is recorded, the
    reading of the clock in it.
    """
    sent_ns = clock_ns(CLOCK_REALTIME)
    for i in range(count):
        ring_push_nb(asked, i & _VALUE_MASK)
        value = ring_pop_nb(answered)
        while value < 0:
            value = ring_pop_nb(answered)
        back_ns = clock_ns(CLOCK_REALTIME)
        record_nb(histogram, back_ns - sent_ns)
        sent_ns = back_ns


@kernel
def record_values_nb(histogram: Histogram, values: NDArray[np.int64], count: int) -> int:
    """Record `count` values, `values` i64[VALUES] over and over; how many the histogram holds."""
    for i in range(count):
        record_nb(histogram, values[i & (VALUES - 1)])
    total: int = histogram[0]
    return total


@kernel
def add_counts_nb(table: NDArray[np.int64], values: NDArray[np.int64], count: int) -> int:
    """Add `count` values to counters, rows of `table` i64[64, 8] that their low bits choose; the
    first counter.
    """
    for i in range(count):
        value = values[i & (VALUES - 1)]
        add_nb(table, value & _ROW_MASK, value)
    first: int = table[0, 0]
    return first


@kernel
def add_words_nb(words: NDArray[np.int64], values: NDArray[np.int64], count: int) -> int:
    """The same with words i64[64] and nothing of ours in it: the reference of `tests/perf`."""
    for i in range(count):
        value = values[i & (VALUES - 1)]
        words[value & _ROW_MASK] += value
    first: int = words[0]
    return first


@kernel
def store_packets_nb(window: Window, packet: NDArray[Any], buf: Bytes, count: int) -> int:
    """Keep `count` packets, each pair in the wrong order, and drop them again as they come up.

    Shapes:  packet ENTRY[1], its size filled in; buf u8[size].
    Returns: packets kept.
    """
    kept = np.int64(0)
    row = packet[0]
    for i in range(0, count, 2):
        for seq in range(i + 1, i - 1, -1):
            row["seq"] = seq
            row["end"] = seq + 1
            kept += np.int64(window_store_nb(window, packet, buf, 0, 0) == 0)
        window_drop_first_nb(window)
        window_drop_first_nb(window)
    return kept
