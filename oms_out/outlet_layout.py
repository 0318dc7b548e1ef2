"""What the hot thread and the control plane share to send signals, one outlet a session.

    words    i64[outlets, OUTLET_WORDS]   as in `Word`
    texts    u8[rows, TEXT_BYTES]         length, then so many bytes; rows 0 .. SOURCES_MAX - 1 name
                                          the sources, then two for each outlet: CompIDs, SubIDs
    slots    a mapped file in the session's folder: in its first page FILE_MAGIC, then i64 the id
             up to which signals were dealt with for this session; then SLOTS slots

    slot     seq i64 | signal id i64 | size i64 | check i64 | unused i64[4] | message, from byte 64
             of message `seq` is slot `seq` modulo SLOTS; integers are little-endian

A slot is written before its message is sent, and is not used again before its message is in the
session's store: so a message that left survives a killed process. The file is in the page cache,
as the store is; it is there for the time between `send` and the store, a millisecond or so.
"""

from enum import IntEnum

SLOTS = 256
SLOT_BYTES = 2_048
SLOT_SEQ, SLOT_ID, SLOT_SIZE, SLOT_CHECK, SLOT_TOUCHED = range(5)
"""Words of a slot's head; the last one carries nothing and is in no check."""
MESSAGE_AT = 64
FILE_MAGIC = b"FIXHOT02"
FILE_HEADER_BYTES = 4_096
FILE_BYTES = FILE_HEADER_BYTES + SLOTS * SLOT_BYTES
CHECK_FACTOR = 1_009

SOURCES_MAX = 128
"""As many patterns and breakers as there can be."""
TEXT_BYTES = 192
TEXT_MAX = TEXT_BYTES - 1
OUTLETS_MAX = 8
"""More of them would keep the hot thread in `send` for longer than signals save."""


class State(IntEnum):
    """Who may number and send on a session; word STATE, changed by compare-and-exchange alone.

    FREE ──► HOT ──► FREE        the hot thread sends one signal
             HOT ──► STUCK       ... and the socket did not take all of it
    FREE, STUCK ──► CONTROL      the event loop's thread takes over
    CONTROL ──► FREE             and gives back what is at rest
    """

    FREE = 0
    HOT = 1
    CONTROL = 2
    STUCK = 3


class Word(IntEnum):
    """Words of an outlet, a cache line for each writer. Those from FD on are the control plane's,
    those from NEXT_SEQ on the hot thread's, or the control plane's while STATE is CONTROL.
    """

    STATE = 0
    FD = 8
    DECIMALS = 9
    """Of SendingTime."""
    SLOTS_AT = 10
    """Address of the first slot."""
    STORED = 16
    """Messages below this number are in the store: their slots may be used again."""
    TAKEN = 17
    """Signals up to this id were dealt with: of those that were left to the ring, none is left."""
    ID_LIMIT = 18
    """Signal ids below this are reserved on the disk."""
    NEXT_SEQ = 24
    """Number of the next message."""
    HOT_ID = 25
    """Signal id of the newest message from here."""
    UNSENT = 26
    """Bytes at the end of the newest message that the socket did not take."""
    LAST_SENT_NS = 27
    LEFT = 28
    """Newest signal that was left to the ring; the hot thread's own."""
    SENT_NS = 32
    """From here on: when the message in slot 0, 1, ... had left, ns; 0 when it had not."""


OUTLET_WORDS = Word.SENT_NS + SLOTS
