"""What is due when: a heap of four children a node, ordered by time alone.

The four lie in one cache line: node i is row i + 3. Rows behind the last node hold NEVER, so that
the least of four is found without asking how many there are. A word says what it is: kind in the
lowest 8 bits, and what belongs to it above (`word_nb`).
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from tools.exchange.market.layout import (
    EVENTS_LOST,
    HEAP_EDGES,
    HEAP_ROOT,
    HEAP_SIZE,
    NEVER,
    Market,
)

BACKGROUND = np.int64(1)
"""An event that nothing provoked."""
PROVOKED = np.int64(2)
"""An event in the symbol of its word."""
EXPIRY = np.int64(3)
"""The end of an order: slot, and 24 bits of its reference."""
STEP_DUE = np.int64(4)
SECOND_DUE = np.int64(5)
PHASE_DUE = np.int64(6)
NOTICE = np.int64(7)
"""Imbalances of all symbols; 0 opening, 1 closing."""
ACTION = np.int64(8)
"""What is to be done to a symbol: symbol, action (`rules`)."""
SHOCK_DUE = np.int64(9)
REACTION = np.int64(11)
"""An event of a symbol once more, after a quote of it was corrected."""
BURST = np.int64(10)
"""One more event of the shock with that number."""
REQUOTE = np.int64(12)
"""Somebody corrects a quote of a symbol."""
PLANT = np.int64(13)
"""Something that patterns are to find: number of the shock, and what of it (`plants`)."""

KIND_MASK = 0xFF
KIND_BITS = 8
PLACE_BITS = 28
PLACE_MASK = (1 << PLACE_BITS) - 1
REST_MASK = 0xFFFFFF
"""Bits of the third part."""


@kernel
def word_nb(kind: int, place: int, rest: int) -> int:
    """Kind, place (28 bits) and rest (24 bits) in one word."""
    return kind | (place << KIND_BITS) | ((rest & REST_MASK) << (KIND_BITS + PLACE_BITS))


@outline_kernel
def push_nb(market: Market, due_ns: int, word: int) -> None:
    """Have `word` come at `due_ns`; lost and counted when there is no room."""
    size = market.words[HEAP_SIZE]
    if size + HEAP_EDGES >= market.heap.shape[0]:
        market.words[EVENTS_LOST] += 1
        return
    market.words[HEAP_SIZE] = size + 1
    _rise_nb(market, size, due_ns, word)


@kernel
def _rise_nb(market: Market, at: int, due_ns: int, word: int) -> None:
    """Put an entry where node `at` is free, or as much higher as it belongs."""
    heap = market.heap
    while at > 0:
        parent = (at - 1) >> 2
        if heap[parent + HEAP_ROOT, 0] <= due_ns:
            break
        heap[at + HEAP_ROOT, 0] = heap[parent + HEAP_ROOT, 0]
        heap[at + HEAP_ROOT, 1] = heap[parent + HEAP_ROOT, 1]
        at = parent
    heap[at + HEAP_ROOT, 0] = due_ns
    heap[at + HEAP_ROOT, 1] = word


@outline_kernel
def pop_nb(market: Market) -> None:
    """Take the first entry, heap[HEAP_ROOT], away; there is one.

    The hole that it leaves goes down to a leaf, and what was last comes there and rises: it came
    from a leaf itself, so it seldom rises far.
    """
    heap = market.heap
    size = market.words[HEAP_SIZE] - 1
    market.words[HEAP_SIZE] = size
    due_ns = heap[size + HEAP_ROOT, 0]
    word = heap[size + HEAP_ROOT, 1]
    heap[size + HEAP_ROOT, 0] = NEVER
    at = np.int64(0)
    while 4 * at + 1 < size:
        first = np.uint64(4 * at + 1 + HEAP_ROOT)
        # Sums and not branches: which one is least cannot be foreseen.
        left = first + np.uint64(heap[first + 1, 0] < heap[first, 0])
        right = first + 2 + np.uint64(heap[first + 3, 0] < heap[first + 2, 0])
        least = left + (right - left) * np.uint64(heap[right, 0] < heap[left, 0])
        heap[at + HEAP_ROOT, 0] = heap[least, 0]
        heap[at + HEAP_ROOT, 1] = heap[least, 1]
        at = np.int64(least) - HEAP_ROOT
    if size > 0:
        _rise_nb(market, at, due_ns, word)
