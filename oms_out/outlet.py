"""The control plane's half of an outlet, and the session's store as seen through it.

The event loop's thread touches what is numbered or sent on a session through its store alone, so
the store is where it takes the session over from the hot thread: the first question for a number
takes it, and `Link` gives it back when all is at rest. What the hot thread sent meanwhile goes into
the store without taking anything.
"""

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oms_out.kernels_outlet import check_of_nb, read_word_nb, take_nb, write_word_nb
from oms_out.outlet_layout import (
    FILE_BYTES,
    FILE_HEADER_BYTES,
    FILE_MAGIC,
    MESSAGE_AT,
    SLOT_BYTES,
    SLOT_ID,
    SLOT_SEQ,
    SLOT_SIZE,
    SLOT_TOUCHED,
    SLOTS,
    State,
    Word,
)
from oms_out.store import FileStore, StoreError

FILE_NAME = "hot.ring"
_PAGE_SLOTS = 4_096 // SLOT_BYTES
_ID_END = 1 << 56
_DEALT = 1
"""Word of the file's first page."""


class HotMessage(NamedTuple):
    """A message that the hot thread numbered."""

    seq: int
    signal_id: int
    wire: bytes


class Rest(NamedTuple):
    """What the socket did not take of the newest message, which has this number."""

    seq: int
    wire: bytes
    unsent_bytes: int


class Outlet:
    """One session's outlet; belongs to the event loop's thread, and is the control plane's (held)
    until `offer`.

    `is_hot` says whether the hot thread knows of it. `store` must not be written but through
    `OutletStore`. `recovered` are the messages that an earlier process had numbered, and perhaps
    sent, and not stored any more; `recent`
    those and older ones that are still in the slots. Signals up to `dealt_id` had been dealt with
    for this session.
    """

    def __init__(
        self, folder: Path, store: FileStore, words: NDArray[np.int64], decimals: int
    ) -> None:
        """Open or create the slots beside a store; StoreError when the file is something else,
        another OSError when the disk has no room for it. words i64[OUTLET_WORDS].
        """
        self.store = store
        self.is_hot = True
        self.on_rest: Callable[[Rest], None] | None = None
        self.note_id: Callable[[int], None] = lambda _id: None
        self._words = words
        self._is_held = True
        self._mapped, is_new = _map_file(folder / FILE_NAME)
        self._header = np.frombuffer(self._mapped, "<i8", FILE_HEADER_BYTES // 8)
        slots = np.frombuffer(self._mapped, np.uint8, offset=FILE_HEADER_BYTES)
        self._slots = slots.reshape(SLOTS, SLOT_BYTES)
        self._heads = self._slots.view("<i8")
        self._waiting: list[HotMessage] = []
        self._sent_ns: dict[int, int] = {}
        self._collected_seq = store.next_outgoing
        words[Word.STATE] = State.CONTROL
        words[Word.DECIMALS] = decimals
        words[Word.SLOTS_AT] = slots.ctypes.data
        words[Word.STORED] = store.next_outgoing
        if is_new:
            # What came before is no business of a session that was not there.
            self._header[_DEALT] = _ID_END
        self.dealt_id = int(self._header[_DEALT])
        self.recent: tuple[HotMessage, ...] = ()
        self._recover()
        self.recovered = tuple(self._waiting)

    @property
    def next_outgoing(self) -> int:
        """Number that the next message gets, whoever sends it; nothing is taken over."""
        return int(read_word_nb(self._words, Word.NEXT_SEQ))

    @property
    def last_sent_ns(self) -> int:
        """When the hot thread sent last, ns since the epoch."""
        return int(read_word_nb(self._words, Word.LAST_SENT_NS))

    @property
    def is_stuck(self) -> bool:
        """True when the socket did not take all of a message, and nobody cares for the rest yet."""
        return bool(read_word_nb(self._words, Word.STATE) == State.STUCK)

    def take(self) -> None:
        """Own the session from here on; never fails, and waits for one `send` at most."""
        if self._is_held:
            return
        while not take_nb(self._words):
            pass
        self._is_held = True
        self._collect()
        unsent_bytes = int(self._words[Word.UNSENT])
        if unsent_bytes and self.on_rest is not None:
            self._words[Word.UNSENT] = 0
            seq = int(self._words[Word.NEXT_SEQ]) - 1
            self.on_rest(Rest(seq, self._wire_of(seq), unsent_bytes))

    def offer(self, fd: int) -> None:
        """Let the hot thread send on this socket: nothing is queued, the session is logged on."""
        if not self._is_held:
            return
        try:
            self.absorb()
        except OSError:
            # What is in the slots only must stay the newest: others would get its place.
            return
        words = self._words
        words[Word.FD] = fd
        self._is_held = False
        write_word_nb(words, Word.STATE, int(State.FREE))

    def collect(self) -> int:
        """Look at what the hot thread sent since; the highest signal id that it did send, 0 when
        there is none.
        """
        self._collect()
        return int(read_word_nb(self._words, Word.HOT_ID))

    def absorb(self) -> None:
        """Put what the hot thread sent into the store; OSError when the disk refuses: then it stays
        in the slots, which do for a restart as well.
        """
        self._collect()
        waiting = self._waiting
        if not waiting:
            return
        # No slot may be used again before the id in it is noted: it would be given twice.
        self.note_id(waiting[-1].signal_id)
        self.store.append([message.wire for message in waiting])
        waiting.clear()
        self._note_stored()

    def pop_sent_ns(self, signal_id: int) -> int | None:
        """When a signal from here had left, ns; 0 when its rest went to `on_rest`, None when it is
        none of the hot thread's.
        """
        return self._sent_ns.pop(signal_id, None)

    def note_taken(self, signal_id: int) -> None:
        """Signals up to this one are dealt with for this session."""
        self._header[_DEALT] = signal_id
        write_word_nb(self._words, Word.TAKEN, signal_id)

    def allow_ids(self, limit: int) -> None:
        """Ids below `limit` may leave."""
        write_word_nb(self._words, Word.ID_LIMIT, limit)

    def append(self, messages: Sequence[bytes]) -> None:
        """Number and keep messages of the control plane, which owns the session; OSError as of
        `absorb`.
        """
        self.take()
        self.absorb()
        self.store.append(messages)
        self._note_stored()
        self._collected_seq = self.store.next_outgoing
        self._words[Word.NEXT_SEQ] = self.store.next_outgoing

    def reset(self) -> None:
        """Both numbers are 1, and no slot is left that a restart could find."""
        self.take()
        with suppress(OSError):
            self.absorb()
        self._waiting.clear()
        self._heads[:, SLOT_SEQ] = 0
        self.store.reset()
        self._note_stored()
        self._collected_seq = 1
        self._words[Word.NEXT_SEQ] = 1

    def forget_recent(self) -> None:
        """Empty every slot whose message is in the store, or behind the last one: numbers there are
        given again.
        """
        kept = [message.seq & (SLOTS - 1) for message in self._waiting]
        self._heads[np.setdiff1d(np.arange(SLOTS), kept), SLOT_SEQ] = 0
        self.recent = ()

    def touch(self) -> None:
        """Write to every page, so that it is this thread which waits when the system has just
        written one to the disk, and not the hot one at its next signal.
        """
        self._heads[::_PAGE_SLOTS, SLOT_TOUCHED] += 1

    def close(self) -> None:
        """Store what is left; the hot thread has ended, or does not know of this outlet. Closing
        again does nothing.
        """
        self.take()
        with suppress(OSError):
            self.absorb()
        self.forget_recent()
        self._words[Word.SLOTS_AT] = 0

    def _note_stored(self) -> None:
        write_word_nb(self._words, Word.STORED, self.store.next_outgoing)

    def _collect(self) -> None:
        """What was added since: number, id and bytes from the slots, and when it had left."""
        for seq in range(self._collected_seq, self.next_outgoing):
            message = self._message_of(seq)
            self._waiting.append(message)
            sent_ns = int(self._words[Word.SENT_NS + (seq & (SLOTS - 1))])
            self._sent_ns[message.signal_id] = sent_ns
            self._collected_seq = seq + 1

    def _message_of(self, seq: int) -> HotMessage:
        head = self._heads[seq & (SLOTS - 1)]
        return HotMessage(seq, int(head[SLOT_ID]), self._wire_of(seq))

    def _wire_of(self, seq: int) -> bytes:
        slot = seq & (SLOTS - 1)
        size = int(self._heads[slot, SLOT_SIZE])
        return self._slots[slot, MESSAGE_AT : MESSAGE_AT + size].tobytes()

    def _is_whole(self, seq: int) -> bool:
        """Whether the slot of `seq` holds a message with this number, untorn."""
        slot = seq & (SLOTS - 1)
        found, signal_id, size, check = (int(word) for word in self._heads[slot, :SLOT_TOUCHED])
        has_room = 0 < size <= SLOT_BYTES - MESSAGE_AT
        if found != seq or not has_room or not 0 < signal_id < _ID_END:
            return False
        return check == check_of_nb(self._slots[slot], seq, signal_id, size)

    def _recover(self) -> None:
        """Find what is in the slots and not in the store."""
        seq = self.store.next_outgoing
        while len(self._waiting) < SLOTS and self._is_whole(seq):
            self._waiting.append(self._message_of(seq))
            seq += 1
        oldest = max(1, seq - SLOTS)
        self.recent = tuple(self._message_of(at) for at in range(oldest, seq) if self._is_whole(at))
        self._collected_seq = seq
        self._words[Word.NEXT_SEQ] = seq


class OutletStore:
    """A `protocols.fix.store.MessageStore` that takes the session over from the hot thread when its
    numbers are asked for.
    """

    def __init__(self, outlet: Outlet) -> None:
        """Of the outlet's own store."""
        self._outlet = outlet
        self._store = outlet.store

    @property
    def next_outgoing(self) -> int:
        """Number that the next sent message gets, from here; OSError as of `Outlet.absorb`."""
        self._outlet.take()
        self._outlet.absorb()
        return self._store.next_outgoing

    @property
    def next_incoming(self) -> int:
        """Number that the next received message should have."""
        return self._store.next_incoming

    def append(self, messages: Sequence[bytes]) -> None:
        """Keep messages under the next numbers, all or none."""
        self._outlet.append(messages)

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        """(number, message) in order."""
        return self._store.read(first_seq, last_seq)

    def set_next_incoming(self, seq: int) -> None:
        """Remember what was received: the hot thread has no part in that."""
        self._store.set_next_incoming(seq)

    def reset(self) -> None:
        """Forget everything: both numbers are 1."""
        self._outlet.reset()


def has_slots(folder: Path) -> bool:
    """Whether an earlier process kept an outlet in this folder of a session."""
    return (folder / FILE_NAME).exists()


def _map_file(path: Path) -> tuple[mmap.mmap, bool]:
    """The slots of a session, and whether they were made just now."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        found_bytes = os.fstat(fd).st_size
        magic = os.pread(fd, len(FILE_MAGIC), 0)
        # A kill may have come between the blocks and the first bytes.
        is_new = found_bytes == 0 or (found_bytes == FILE_BYTES and not any(magic))
        if is_new:
            _fill_file(path, fd)
        elif (found_bytes, magic) != (FILE_BYTES, FILE_MAGIC):
            text = f"{path}: no slots of a session; move it away or use another folder"
            raise StoreError(text)
        return mmap.mmap(fd, FILE_BYTES, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE), is_new
    finally:
        os.close(fd)


def _fill_file(path: Path, fd: int) -> None:
    """Give a new file all its blocks and its first bytes, or take it away again: a hole in a mapped
    file on a full disk would kill the process at its first write.
    """
    try:
        os.posix_fallocate(fd, 0, FILE_BYTES)
        os.pwrite(fd, FILE_MAGIC, 0)
    except OSError:
        path.unlink()
        raise
