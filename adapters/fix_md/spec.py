"""The record as data: what one market data entry does to a book, in 49 bytes.

Records are made by `entries.py` from the messages of a FIX session, and travel in MoldUDP64 packets
like the messages of any other venue. All integers are big-endian.
"""

from protocols.message import Field, Message

RECORD_TYPE = "M"
RECORD_CODE = ord(RECORD_TYPE)
"""First byte of every record."""

RECORD = Message(
    RECORD_TYPE,
    "Market data entry",
    "1",
    49,
    (
        Field("message_type", "alpha", "", 1, (RECORD_TYPE,)),
        Field("kind", "u8", "number of the `Kind` of the tick"),
        Field("side", "u8", "0 none, 1 buy, 2 sell"),
        Field("flags", "u8", "bits of `Flag`: IN_DOUBT 1, PART 32, SETTLES 64"),
        Field("instrument", "u32", "number of the symbol, from 0 in the order of appearance"),
        Field("code", "u8", "MDEntryType (269), 0 for what follows from another entry"),
        Field(
            "status", "u16", "SET_LEVEL: place to replace; CLEAR_LEVELS: a Clear; STATISTIC: 269"
        ),
        Field("ts_exch", "u48", "SendingTime (52), ns since midnight UTC"),
        Field("price", "u64", "MDEntryPx (270) in 1e-9, two's complement"),
        Field("quantity", "u64", "MDEntrySize (271)"),
        Field("reference", "u64", "number of the live order"),
        Field("aux", "u64", "SET_LEVEL: orders; CLEAR_LEVELS: place; REPLACE: new reference"),
    ),
)
RECORD_BYTES = RECORD.length
