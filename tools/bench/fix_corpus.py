"""FIX messages for benchmarks and tests: the same bytes for the same seed, on any machine.

MarketDataIncrementalRefresh (X) of a venue in FIX 4.4: three to five entries with action, type,
symbol, price, size and sequence number, 300 bytes and 34.5 fields on average; prices have none to
four decimals. Sizes of messages, prices and symbols vary, as a fixed layout would let the processor
learn the branches of every decoder by heart.
"""

import random
from collections.abc import Iterator

from protocols.fix.message import Identity, encode

_SYMBOLS = ("MSFT", "AAPL", "BRK.B", "F", "GOOGL", "ESZ6", "EUR/USD", "TSLA")
_ENTRIES = (3, 4, 4, 4, 4, 5, 5, 5)
_ACTIONS = (0, 1, 1, 1, 1, 2, 2)
_SIZES = (100, 200, 300, 1_000, 57, 12_500)
_DECIMALS = (0, 2, 2, 2, 2, 2, 3, 4)
_FIRST_SEQ = 1_000_000
_IDENTITY = Identity("EXCH", "CLIENT1")


def incremental_refreshes(count: int, seed: int = 1) -> Iterator[bytes]:
    """`count` messages X."""
    chance = random.Random(seed)
    rpt_seq = 1_000
    for seq in range(_FIRST_SEQ, _FIRST_SEQ + count):
        entries = []
        for _ in range(chance.choice(_ENTRIES)):
            rpt_seq += 1
            entries.append(_entry(chance, rpt_seq))
        body = b"268=%d\x01%b" % (len(entries), b"".join(entries))
        sent = b"20261121-14:%02d:%02d.%03d" % (seq // 60_000 % 60, seq // 1_000 % 60, seq % 1_000)
        yield encode(_IDENTITY, b"X", seq, sent, body)


def _entry(chance: random.Random, rpt_seq: int) -> bytes:
    decimals = chance.choice(_DECIMALS)
    whole, fraction = divmod(chance.randint(100, 2_000_000), 10**decimals)
    price = f"{whole}.{fraction:0{decimals}}" if decimals else f"{whole}"
    return (
        f"279={chance.choice(_ACTIONS)}\x01269={chance.randint(0, 1)}\x01"
        f"55={chance.choice(_SYMBOLS)}\x01270={price}\x01271={chance.choice(_SIZES)}\x01"
        f"83={rpt_seq}\x01"
    ).encode()
