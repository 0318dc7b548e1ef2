"""The two sides of an outlet: the hot thread's `send_signal_nb`, and what the control plane does to
the shared words. Layout and owners: `outlet_layout.py`.

Why order and numbers are right in every interleaving:

1. Whoever numbers or sends owns the session: STATE went from FREE to HOT or to CONTROL in one step,
   so never both. What the owner wrote is seen by the next one, as a take acquires what a give or a
   store to STATE released. So numbers are used once, and messages lie on the wire in their order.
2. The hot thread numbers a signal only while nothing older waits for the control plane: it notes in
   LEFT what it leaves to the ring, and waits until TAKEN has come up to it. TAKEN is stored after
   the control plane has dealt with a signal, so signals leave in the order in which they arose.
3. A message is in its slot before `send`, and NEXT_SEQ tells of it afterwards, before the signal's
   row is in the ring. So whoever takes a row from the ring sees by HOT_ID whether it has been sent:
   if so, then HOT_ID is not below its id; if not, nothing younger was sent (2), and HOT_ID is.
4. A slot is used again only when STORED is above its number.
5. The hot thread never waits: what it cannot have at once it leaves to the ring. The control plane
   waits for HOT to end, which takes one `send` that does not block.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import compare_exchange, load_acquire, store_release
from feedhandler.core.libc import (
    CLOCK_REALTIME,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    clock_ns,
    memcpy,
    sched_yield,
    send,
)
from oms_out.kernels_wire import write_signal_nb
from oms_out.outlet_layout import (
    CHECK_FACTOR,
    MESSAGE_AT,
    SLOT_BYTES,
    SLOT_CHECK,
    SLOT_ID,
    SLOT_SEQ,
    SLOT_SIZE,
    SLOTS,
    State,
    Word,
)
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

_TAKE_TRIES = 10_000
Words = NDArray[np.int64]


@outline_kernel
def check_of_nb(slot: Bytes, seq: int, signal_id: int, size: int) -> int:
    """What SLOT_CHECK of a slot u8[SLOT_BYTES] must be: a torn one has another."""
    total = np.int64(0)
    for i in range(size):
        total += (i + 1) * np.int64(slot[MESSAGE_AT + i])
    return total + CHECK_FACTOR * (seq + signal_id + size)


@kernel
def _write_word_nb(slot: Bytes, word: int, value: int) -> None:
    """A little-endian 64-bit word of a slot's head."""
    for i in range(8):
        slot[8 * word + i] = (value >> (8 * i)) & 0xFF


@kernel
def _keep_nb(peer: Words, scratch: Bytes, seq: int, signal_id: int, end: int) -> None:
    """Complete the slot in `scratch` and copy it to its place in the mapped file."""
    size = end - MESSAGE_AT
    _write_word_nb(scratch, SLOT_SEQ, seq)
    _write_word_nb(scratch, SLOT_ID, signal_id)
    _write_word_nb(scratch, SLOT_SIZE, size)
    _write_word_nb(scratch, SLOT_CHECK, check_of_nb(scratch, seq, signal_id, size))
    to = peer[Word.SLOTS_AT] + (seq & (SLOTS - 1)) * SLOT_BYTES
    memcpy(to, scratch.ctypes.data, end)


@kernel
def _leave_nb(peer: Words, signal_id: int) -> int:
    """Leave a signal to the ring."""
    peer[Word.LEFT] = signal_id
    return 0


@kernel
def _may_send_nb(peer: Words, signal_id: int) -> bool:
    """Whether the hot thread, which owns the outlet, may number this signal now."""
    seq = peer[Word.NEXT_SEQ]
    return (
        load_acquire(peer, Word.TAKEN) >= peer[Word.LEFT]
        and seq - load_acquire(peer, Word.STORED) < SLOTS
        and signal_id < load_acquire(peer, Word.ID_LIMIT)
    )


@kernel
def _send_slot_nb(peer: Words, scratch: Bytes, seq: int, signal_id: int, end: int) -> int:
    """Send what is kept, tell of it, and let the outlet go; when it had left, ns."""
    size = end - MESSAGE_AT
    flags = MSG_DONTWAIT | MSG_NOSIGNAL
    sent = send(peer[Word.FD], scratch.ctypes.data + MESSAGE_AT, size, flags)
    now_ns = clock_ns(CLOCK_REALTIME)
    unsent = size - max(sent, 0)
    peer[Word.SENT_NS + (seq & (SLOTS - 1))] = now_ns if unsent == 0 else 0
    peer[Word.UNSENT] = unsent
    peer[Word.HOT_ID] = signal_id
    peer[Word.LAST_SENT_NS] = now_ns
    store_release(peer, Word.NEXT_SEQ, seq + 1)
    state = np.int64(State.FREE) if unsent == 0 else np.int64(State.STUCK)
    store_release(peer, Word.STATE, state)
    return now_ns


@kernel
def _send_to_nb(
    signals: NDArray[Any],
    at: int,
    symbols: Words,
    words: NDArray[np.int64],
    texts: NDArray[np.uint8],
    scratch: Bytes,
    outlet: int,
) -> int:
    """Send signals[at] to one session, or leave it to the ring; when it had left, ns, or 0."""
    peer = words[outlet]
    signal_id = np.int64(signals[at]["signal_id"])
    free, hot = np.int64(State.FREE), np.int64(State.HOT)
    if load_acquire(peer, Word.STATE) != free or not compare_exchange(peer, Word.STATE, free, hot):
        return _leave_nb(peer, signal_id)
    end = np.int64(0)
    seq = peer[Word.NEXT_SEQ]
    if _may_send_nb(peer, signal_id):
        sending = (clock_ns(CLOCK_REALTIME), peer[Word.DECIMALS])
        end = write_signal_nb(scratch, signals, at, symbols, texts, outlet, seq, sending)
    if end == 0:
        store_release(peer, Word.STATE, free)
        return _leave_nb(peer, signal_id)
    _keep_nb(peer, scratch, seq, signal_id, end)
    return _send_slot_nb(peer, scratch, seq, signal_id, end)


@kernel
def send_signal_nb(
    signals: NDArray[Any],
    at: int,
    symbols: Words,
    words: NDArray[np.int64],
    texts: NDArray[np.uint8],
    scratch: Bytes,
) -> int:
    """`feedhandler.core.api.SEND_SIGNAL`: to every session that can be sent to at once."""
    last_ns = np.int64(0)
    for outlet in range(words.shape[0]):
        sent_ns = _send_to_nb(signals, at, symbols, words, texts, scratch, outlet)
        last_ns = max(last_ns, sent_ns)
    return last_ns


# -- control plane ---------------------------------------------------------------------------------


@outline_kernel
def take_nb(peer: Words) -> int:
    """Make a FREE or STUCK outlet the control plane's; 0 when the hot thread is at it for longer
    than usual.
    """
    free, stuck, control = np.int64(State.FREE), np.int64(State.STUCK), np.int64(State.CONTROL)
    for _ in range(_TAKE_TRIES):
        if compare_exchange(peer, Word.STATE, free, control):
            return 1
        if compare_exchange(peer, Word.STATE, stuck, control):
            return 1
        sched_yield()
    return 0


@outline_kernel
def read_word_nb(peer: Words, word: int) -> int:
    """A word that the other thread may write."""
    return load_acquire(peer, word)


@outline_kernel
def write_word_nb(peer: Words, word: int, value: int) -> None:
    """Store a word of the control plane's, after all that was done before."""
    store_release(peer, word, value)
