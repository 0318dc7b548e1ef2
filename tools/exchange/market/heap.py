"""What is due when: a heap of four children a node, ordered by time alone.

A word says what it is: kind in the lowest 8 bits, and what belongs to it above (`word_nb`).
"""

import numpy as np

from protocols.jit import kernel, outline_kernel
from tools.exchange.market.layout import EVENTS_LOST, HEAP_SIZE, Market

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
BURST = np.int64(10)
"""One more event of the shock with that number."""

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
    if size == market.heap.shape[0]:
        market.words[EVENTS_LOST] += 1
        return
    market.words[HEAP_SIZE] = size + 1
    heap = market.heap
    at = size
    while at > 0:
        parent = (at - 1) >> 2
        if heap[parent, 0] <= due_ns:
            break
        heap[at, 0] = heap[parent, 0]
        heap[at, 1] = heap[parent, 1]
        at = parent
    heap[at, 0] = due_ns
    heap[at, 1] = word


@outline_kernel
def pop_nb(market: Market) -> None:
    """Take the first entry, heap[0], away; there is one."""
    heap = market.heap
    size = market.words[HEAP_SIZE] - 1
    market.words[HEAP_SIZE] = size
    due_ns = heap[size, 0]
    word = heap[size, 1]
    at = np.int64(0)
    while True:
        child = 4 * at + 1
        if child >= size:
            break
        least = child
        for other in range(child + 1, min(child + 4, size)):
            if heap[other, 0] < heap[least, 0]:
                least = other
        if heap[least, 0] >= due_ns:
            break
        heap[at, 0] = heap[least, 0]
        heap[at, 1] = heap[least, 1]
        at = least
    heap[at, 0] = due_ns
    heap[at, 1] = word
