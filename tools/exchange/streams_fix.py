"""FIX 4.4 market data, written by the sender's thread: framing, W and X.

A book is one of price levels, which side and price name. An X says what one ITCH message did to the
levels; a W is a whole book. Slow obvious twin: `tests/reference/slow_market_data.py`. Source: FIX
4.4 volume 3, MarketDataSnapshotFullRefresh and MarketDataIncrementalRefresh.
"""

import numpy as np

from feedhandler.core.atomics import store_release
from feedhandler.core.libc import CLOCK_REALTIME, clock_ns, copy_bytes_nb
from feedhandler.core.text import write_integer_nb
from protocols.digits import write_padded_nb
from protocols.fix.kernels_write import write_trailer_nb, write_utc_timestamp_nb
from protocols.itch50.spec import BY_TYPE
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes, read_u16_nb, read_u32_nb, write_u32_nb
from tools.exchange.flow import price4_nb
from tools.exchange.itch_writer import (
    LENGTH_BYTES,
    TYPE_EXECUTED,
    TYPE_EXECUTED_AT_PRICE,
    TYPE_TRADE,
)
from tools.exchange.layout import (
    BEST,
    BUY,
    CHANGED_ROW_SHIFT,
    CHANGED_SIDE_SHIFT,
    ENTERED_LEVEL,
    FIRST_ROW,
    LEFT_LEVEL,
    LEVEL_ORDERS,
    LEVEL_QUANTITY,
    LIVE,
    ORDERS,
    Engine,
)
from tools.exchange.streams import (
    ALL_BYTES,
    ALL_ENTRIES,
    BOOK_BYTES,
    BOOK_ENTRIES,
    BOOKS,
    BROKEN,
    CLIENT_WORDS,
    CLIENTS_BROKEN,
    CLIENTS_LATE,
    CURSOR,
    ENTRY_BYTES_MAX,
    FIRST_FIX,
    FIX,
    GONE,
    HAS,
    HEAD,
    HEADER_BYTES_MAX,
    LATE,
    MAIL_A,
    MAIL_B,
    MAIL_BYTES,
    MAIL_C,
    MAIL_SIZE,
    MAIL_WORDS,
    MESSAGES_SENT,
    NEXT,
    OUT_AT,
    OUT_BYTES,
    PENDING,
    REASON,
    REQUESTS_MAX,
    SNAPSHOTS_SENT,
    SOUP,
    SUBSCRIBED,
    TAIL,
    TIME_BYTES,
    Streams,
)

_SOH = 1
_ZERO = ord("0")
_POINT = ord(".")
_DECIMALS = 4
_PRICE4_ONE = 10_000
_TIME_DECIMALS = 3
_NEW, _CHANGE, _DELETE = (np.int64(ord(code)) for code in "012")
_TRADE = np.int64(ord("2"))
_SNAPSHOT, _INCREMENTAL = np.int64(ord("W")), np.int64(ord("X"))
_OWN_NUMBER = np.int64(0)
_SNAPSHOT_BYTES_A_ROUND = 1 << 17


def _word(text: str) -> np.int64:
    return np.int64(int.from_bytes(text.encode(), "big"))


_BEGIN_1, _BEGIN_2, _BEGIN_3 = _word("8=FI"), _word("X.4."), _word("4\x019=")
_TAG_35, _TAG_34 = _word("35=\0"), _word("34=\0")
_TAG_268, _TAG_269, _TAG_279 = _word("268="), _word("269="), _word("279=")
_TAG_270, _TAG_271, _TAG_346 = _word("270="), _word("271="), _word("346=")
_TAG_262, _TAG_123 = _word("262="), _word("123=")
_TAG_43, _TAG_122, _TAG_122_END = _word("43=Y"), _word("\x01122"), _word("=\0\0\0")
_TAG_36 = _word("36=\0")
_TAG_BYTES = 4
_YES = ord("Y")
_SEQUENCE_RESET = np.int64(ord("4"))

_E_SHARES = BY_TYPE["E"].offset("executed_shares")
_C_SHARES = BY_TYPE["C"].offset("executed_shares")
_C_PRINTABLE = BY_TYPE["C"].offset("printable")
_C_PRICE = BY_TYPE["C"].offset("execution_price")
_P_SHARES = BY_TYPE["P"].offset("shares")
_P_PRICE = BY_TYPE["P"].offset("price")
_LOCATE = BY_TYPE["P"].offset("stock_locate")
_PRINTABLE = ord("Y")


@kernel
def _digit_count_nb(value: int) -> int:
    """Decimal digits of `value` >= 0, which is below 10**18."""
    count = np.int64(1)
    limit = np.int64(10)
    while value >= limit:
        limit *= 10
        count += 1
    return count


@kernel
def _put_row_nb(out: Bytes, at: int, rows: Bytes, row: int) -> int:
    """A row of texts, which begins with the number of its bytes; where the next byte goes."""
    size = np.int64(rows[row, 0])
    for i in range(size):
        out[at + i] = rows[row, 1 + i]
    return at + size


@kernel
def _put_code_nb(out: Bytes, at: int, tag: int, code: int) -> int:
    """`tag=c|`, the tag as a word of four letters."""
    write_u32_nb(out, at, tag)
    out[at + _TAG_BYTES] = code
    out[at + _TAG_BYTES + 1] = _SOH
    return at + _TAG_BYTES + 2


@kernel
def _put_integer_nb(out: Bytes, at: int, tag: int, value: int) -> int:
    write_u32_nb(out, at, tag)
    at = write_integer_nb(out, at + _TAG_BYTES, value)
    out[at] = _SOH
    return at + 1


@kernel
def put_price_nb(out: Bytes, at: int, price4: int) -> int:
    """`270=`, a price with exactly the decimals that it needs, and the separator."""
    write_u32_nb(out, at, _TAG_270)
    at = write_integer_nb(out, at + _TAG_BYTES, price4 // _PRICE4_ONE)
    rest = price4 % _PRICE4_ONE
    if rest > 0:
        out[at] = _POINT
        width = _DECIMALS
        while rest % 10 == 0:
            rest //= 10
            width -= 1
        at = write_padded_nb(out, at + 1, rest, width)
    out[at] = _SOH
    return at + 1


@kernel
def _put_level_nb(engine: Engine, out: Bytes, at: int, symbol: int, level: int) -> int:
    """Price, quantity and number of orders of a level that has some."""
    row = engine.symbols[symbol, FIRST_ROW] + level
    at = put_price_nb(out, at, price4_nb(engine, symbol, level))
    at = _put_integer_nb(out, at, _TAG_271, np.int64(engine.levels[row, LEVEL_QUANTITY]))
    return _put_integer_nb(out, at, _TAG_346, np.int64(engine.levels[row, LEVEL_ORDERS]))


@kernel
def _level_of_nb(engine: Engine, symbol: int, changed: int) -> int:
    """The level of LEFT_LEVEL or ENTERED_LEVEL."""
    return (changed >> CHANGED_ROW_SHIFT) - 1 - engine.symbols[symbol, FIRST_ROW]


@outline_kernel
def _put_change_nb(streams: Streams, engine: Engine, at: int, symbol: int, changed: int) -> int:
    """The entry of X for a changed level, as LEFT_LEVEL and ENTERED_LEVEL have it, at `body[at]`;
    where the next one goes.
    """
    body = streams.body
    level = _level_of_nb(engine, symbol, changed)
    orders = engine.levels[engine.symbols[symbol, FIRST_ROW] + level, LEVEL_ORDERS]
    action = _NEW if changed & 1 else _CHANGE
    if orders == 0:
        action = _DELETE
    at = _put_code_nb(body, at, _TAG_279, action)
    at = _put_code_nb(body, at, _TAG_269, _ZERO + ((changed >> CHANGED_SIDE_SHIFT) & 1))
    at = _put_row_nb(body, at, streams.symbols, symbol)
    if orders == 0:
        return put_price_nb(body, at, price4_nb(engine, symbol, level))
    return _put_level_nb(engine, body, at, symbol, level)


@kernel
def _put_trade_nb(streams: Streams, at: int, symbol: int, price4: int, shares: int) -> int:
    """The entry of a trade; where the next one goes."""
    body = streams.body
    at = _put_code_nb(body, at, _TAG_279, _NEW)
    at = _put_code_nb(body, at, _TAG_269, _TRADE)
    at = _put_row_nb(body, at, streams.symbols, symbol)
    at = put_price_nb(body, at, price4)
    return _put_integer_nb(body, at, _TAG_271, shares)


@outline_kernel
def _encode_change_nb(
    streams: Streams, engine: Engine, block: Bytes, at: int, left: int, entered: int
) -> None:
    """All entries of the message at block[at] to `body`; the words of `state` say how many."""
    state = streams.state
    message_at = at + LENGTH_BYTES
    symbol = np.int64(read_u16_nb(block, message_at + _LOCATE)) - 1
    size = np.int64(0)
    entries = np.int64(0)
    # A replace may leave and enter one and the same level: that was not empty before.
    if left != 0 and (left ^ entered) >> CHANGED_SIDE_SHIFT != 0:
        size = np.int64(_put_change_nb(streams, engine, size, symbol, left))
        entries += 1
    if entered != 0:
        is_same = left != 0 and (left ^ entered) >> CHANGED_SIDE_SHIFT == 0
        changed = left if is_same else entered
        size = np.int64(_put_change_nb(streams, engine, size, symbol, changed))
        entries += 1
    state[BOOK_ENTRIES] = entries
    state[BOOK_BYTES] = size
    kind = block[message_at]
    shares = np.int64(0)
    price4 = np.int64(0)
    if kind == TYPE_EXECUTED:
        shares = read_u32_nb(block, message_at + _E_SHARES)
        price4 = price4_nb(engine, symbol, _level_of_nb(engine, symbol, left))
    elif kind == TYPE_EXECUTED_AT_PRICE and block[message_at + _C_PRINTABLE] == _PRINTABLE:
        shares = read_u32_nb(block, message_at + _C_SHARES)
        price4 = read_u32_nb(block, message_at + _C_PRICE)
    elif kind == TYPE_TRADE:
        shares = read_u32_nb(block, message_at + _P_SHARES)
        price4 = read_u32_nb(block, message_at + _P_PRICE)
    if shares > 0:
        size = _put_trade_nb(streams, size, symbol, price4, shares)
        entries += 1
    state[ALL_ENTRIES] = entries
    state[ALL_BYTES] = size


@outline_kernel
def publish_change_nb(streams: Streams, engine: Engine, block: Bytes, at: int) -> None:
    """Queue what the message at block[at], which was made just now, did to its book, for those who
    have the book. Only while somebody has a subscription.
    """
    left, entered = engine.state[LEFT_LEVEL], engine.state[ENTERED_LEVEL]
    engine.state[LEFT_LEVEL] = engine.state[ENTERED_LEVEL] = 0
    message_at = at + LENGTH_BYTES
    if left | entered == 0 and block[message_at] != TYPE_TRADE:
        return
    symbol = np.int64(read_u16_nb(block, message_at + _LOCATE)) - 1
    is_encoded = False
    first_fix = streams.state[FIRST_FIX]
    for fix in range(streams.wanted.shape[0]):
        request = np.int64(streams.wanted[fix, symbol]) - 1
        if request < 0:
            continue
        if not is_encoded:
            _encode_change_nb(streams, engine, block, at, left, entered)
            is_encoded = True
        has_trades = streams.trades[fix, request] != 0
        entries = streams.state[ALL_ENTRIES if has_trades else BOOK_ENTRIES]
        size = streams.state[ALL_BYTES if has_trades else BOOK_BYTES]
        if entries == 0:
            continue
        head_bytes = _put_row_nb(
            streams.head, np.int64(0), streams.requests, fix * REQUESTS_MAX + request
        )
        head_bytes = _put_code_nb(streams.head, head_bytes, _TAG_268, _ZERO + entries)
        if put_message_nb(streams, first_fix + fix, _INCREMENTAL, head_bytes, size) == 0:
            let_go_nb(streams, first_fix + fix, np.int64(LATE))


@kernel
def room_nb(streams: Streams, client: int, size: int) -> int:
    """1 when `size` more bytes can wait to be sent, else 0; what waits may be moved for it."""
    words, base = streams.words, client * CLIENT_WORDS
    head, tail, limit = words[base + HEAD], words[base + TAIL], words[base + OUT_BYTES]
    if tail + size <= limit:
        return 1
    # Rarely, so that no byte is moved often: what was sent is a quarter at least.
    if head < limit >> 2 or tail - head + size > limit:
        return 0
    at = words[base + OUT_AT]
    waiting, moved = tail - head, np.int64(0)
    while moved < waiting:
        # In steps that do not overlap.
        step = min(head, waiting - moved)
        copy_bytes_nb(streams.out, at + moved, streams.out, at + head + moved, step)
        moved += step
    words[base + HEAD] = 0
    words[base + TAIL] = waiting
    return 1


@outline_kernel
def put_message_nb(streams: Streams, client: int, kind: int, head_bytes: int, size: int) -> int:
    """Queue a message of `head[:head_bytes]` and `body[:size]` under the client's next number; 0
    when there is no room for it.
    """
    return put_any_message_nb(
        streams, client, kind, _OWN_NUMBER, head_bytes, (streams.body, np.int64(0), size)
    )


@outline_kernel
def put_any_message_nb(
    streams: Streams,
    client: int,
    kind: int,
    number: int,
    head_bytes: int,
    body: tuple[Bytes, int, int],
) -> int:
    """The same with a body of (array, first byte, bytes); under `number`, unless that is 0."""
    source, source_at, size = body
    if room_nb(streams, client, HEADER_BYTES_MAX + head_bytes + size) == 0:
        return 0
    words, base = streams.words, client * CLIENT_WORDS
    fix = client - streams.state[FIRST_FIX]
    seq = number if number > 0 else words[base + NEXT]
    out = streams.out
    start = words[base + OUT_AT] + words[base + TAIL]
    # 35=?| 34=?| texts SendingTime| head body
    fixed = 5 + 4 + np.int64(streams.texts[fix, 0]) + TIME_BYTES + 1
    write_u32_nb(out, start, _BEGIN_1)
    write_u32_nb(out, start + 4, _BEGIN_2)
    write_u32_nb(out, start + 8, _BEGIN_3)
    body_bytes = fixed + _digit_count_nb(seq) + head_bytes + size
    at = write_integer_nb(out, start + 12, body_bytes)
    out[at] = _SOH
    write_u32_nb(out, at + 1, _TAG_35)
    out[at + 4] = kind
    out[at + 5] = _SOH
    write_u32_nb(out, at + 6, _TAG_34)
    at = write_integer_nb(out, at + 9, seq)
    out[at] = _SOH
    at = _put_row_nb(out, at + 1, streams.texts, fix)
    for i in range(TIME_BYTES):
        out[at + i] = streams.time_text[i]
    at += TIME_BYTES
    out[at] = _SOH
    at += 1
    for i in range(head_bytes):
        out[at + i] = streams.head[i]
    at += head_bytes
    copy_bytes_nb(out, at, source, source_at, size)
    end = write_trailer_nb(out, start, at + size)
    words[base + TAIL] += end - start
    streams.counters[FIX, MESSAGES_SENT] += 1
    if number == 0:
        words[base + NEXT] = seq + 1
    return 1


@kernel
def stamp_nb(streams: Streams) -> None:
    """Take the time that messages say until the next call."""
    now_ns = clock_ns(CLOCK_REALTIME)
    write_utc_timestamp_nb(streams.time_text, np.int64(0), now_ns, _TIME_DECIMALS)


@kernel
def begin_books_nb(streams: Streams, engine: Engine) -> None:
    """Before messages are made that `publish_change_nb` is to see."""
    if streams.state[BOOKS] > 0:
        stamp_nb(streams)
        # Of what nobody asked for until now.
        engine.state[LEFT_LEVEL] = engine.state[ENTERED_LEVEL] = 0


@outline_kernel
def _encode_book_nb(streams: Streams, engine: Engine, symbol: int) -> tuple[int, int]:
    """The entries of W to `body`, bids first, best first; (entries, bytes)."""
    body = streams.body
    at = np.int64(0)
    entries = np.int64(0)
    first_row = engine.symbols[symbol, FIRST_ROW]
    for side in range(2):
        level = engine.symbols[symbol, BEST + side]
        step = -1 if side == BUY else 1
        orders = np.int64(0)
        while orders < engine.symbols[symbol, ORDERS + side]:
            here = np.int64(engine.levels[first_row + level, LEVEL_ORDERS])
            if here > 0:
                at = _put_code_nb(body, at, _TAG_269, _ZERO + side)
                at = _put_level_nb(engine, body, at, symbol, level)
                entries += 1
                orders += here
            level += step
    return entries, at


@kernel
def _put_snapshot_nb(streams: Streams, engine: Engine, fix: int, symbol: int) -> int:
    """Queue the book of a symbol; 0 when it has to wait for room."""
    client = streams.state[FIRST_FIX] + fix
    base = client * CLIENT_WORDS
    room = engine.symbols[symbol, LIVE] * ENTRY_BYTES_MAX + HEADER_BYTES_MAX
    waiting = streams.words[base + TAIL] - streams.words[base + HEAD]
    # The other half is for what changes meanwhile.
    if waiting + room > streams.words[base + OUT_BYTES] >> 1:
        return 0
    request = -np.int64(streams.wanted[fix, symbol]) - 1
    entries, size = _encode_book_nb(streams, engine, symbol)
    head = streams.head
    at = _put_row_nb(head, np.int64(0), streams.requests, fix * REQUESTS_MAX + request)
    at = _put_row_nb(head, at, streams.symbols, symbol)
    at = _put_integer_nb(head, at, _TAG_268, entries)
    if put_message_nb(streams, client, _SNAPSHOT, at, size) == 0:
        return 0
    streams.wanted[fix, symbol] = request + 1
    streams.counters[FIX, SNAPSHOTS_SENT] += 1
    return 1


@outline_kernel
def put_snapshots_nb(streams: Streams, engine: Engine, client: int) -> int:
    """Queue the snapshots that the client waits for, as many as a round and its room allow; how
    many.
    """
    words, base = streams.words, client * CLIENT_WORDS
    fix = client - streams.state[FIRST_FIX]
    count = np.int64(0)
    limit = words[base + TAIL] + _SNAPSHOT_BYTES_A_ROUND
    while words[base + PENDING] > 0 and words[base + TAIL] <= limit:
        symbol = words[base + CURSOR]
        while streams.wanted[fix, symbol] >= 0:
            symbol += 1
        words[base + CURSOR] = symbol
        if _put_snapshot_nb(streams, engine, fix, symbol) == 0:
            break
        words[base + PENDING] -= 1
        count += 1
    return count


@outline_kernel
def subscribe_nb(streams: Streams, client: int, slot: int) -> None:
    """Take the SUBSCRIBE in mail slot `slot`."""
    words, base = streams.words, client * CLIENT_WORDS
    fix = client - streams.state[FIRST_FIX]
    mail, mail_at = streams.mail, slot * MAIL_BYTES
    request = streams.mail_words[slot * MAIL_WORDS + MAIL_A]
    id_bytes = streams.mail_words[slot * MAIL_WORDS + MAIL_B]
    streams.trades[fix, request] = streams.mail_words[slot * MAIL_WORDS + MAIL_C]
    row = streams.requests[fix * REQUESTS_MAX + request]
    write_u32_nb(row, np.int64(1), _TAG_262)
    for i in range(id_bytes):
        row[1 + _TAG_BYTES + i] = mail[mail_at + i]
    row[1 + _TAG_BYTES + id_bytes] = _SOH
    row[0] = _TAG_BYTES + id_bytes + 1
    end = mail_at + streams.mail_words[slot * MAIL_WORDS + MAIL_SIZE]
    for at in range(mail_at + id_bytes, end, 2):
        symbol = np.int64(mail[at]) | (np.int64(mail[at + 1]) << 8)
        streams.wanted[fix, symbol] = -request - 1
    words[base + CURSOR] = 0
    _count_wanted_nb(streams, client)


@outline_kernel
def unsubscribe_nb(streams: Streams, client: int, request: int) -> None:
    """Forget a request and what it asked for."""
    fix = client - streams.state[FIRST_FIX]
    for symbol in range(streams.wanted.shape[1]):
        if abs(np.int64(streams.wanted[fix, symbol])) == request + 1:
            streams.wanted[fix, symbol] = 0
    _count_wanted_nb(streams, client)


@outline_kernel
def _count_wanted_nb(streams: Streams, client: int) -> None:
    """Bring the counts of subscriptions in line with `wanted`."""
    words, base = streams.words, client * CLIENT_WORDS
    fix = client - streams.state[FIRST_FIX]
    was_subscribed = words[base + SUBSCRIBED] > 0
    subscribed = np.int64(0)
    pending = np.int64(0)
    for symbol in range(streams.wanted.shape[1]):
        subscribed += np.int64(streams.wanted[fix, symbol] != 0)
        pending += np.int64(streams.wanted[fix, symbol] < 0)
    words[base + SUBSCRIBED] = subscribed
    words[base + PENDING] = pending
    streams.state[BOOKS] += np.int64(subscribed > 0) - np.int64(was_subscribed)


@outline_kernel
def forget_books_nb(streams: Streams, client: int) -> None:
    """Send no more market data to a client."""
    fix = client - streams.state[FIRST_FIX]
    for symbol in range(streams.wanted.shape[1]):
        streams.wanted[fix, symbol] = 0
    _count_wanted_nb(streams, client)


@outline_kernel
def let_go_nb(streams: Streams, client: int, reason: int) -> None:
    """Never touch the client's descriptor again, and say why."""
    words, base = streams.words, client * CLIENT_WORDS
    service = np.int64(SOUP)
    if client >= streams.state[FIRST_FIX]:
        service = np.int64(FIX)
        forget_books_nb(streams, client)
    if reason == LATE:
        streams.counters[service, CLIENTS_LATE] += 1
    elif reason == BROKEN:
        streams.counters[service, CLIENTS_BROKEN] += 1
    words[base + REASON] = reason
    store_release(words, base + HAS, np.int64(GONE))


@outline_kernel
def fill_gap_nb(streams: Streams, client: int, begin: int, end: int) -> int:
    """Queue a SequenceReset that fills the numbers from `begin` to `end`, 0 for all that were used;
    0 when there is no room. Source: FIX 4.4 volume 2, SequenceReset-GapFill.
    """
    last = streams.words[client * CLIENT_WORDS + NEXT] - 1
    if end == 0 or end > last:
        end = last
    if begin > end:
        return 1
    head = streams.head
    write_u32_nb(head, np.int64(0), _TAG_43)
    write_u32_nb(head, np.int64(4), _TAG_122)
    write_u32_nb(head, np.int64(8), _TAG_122_END)
    at = np.int64(9)
    for i in range(TIME_BYTES):
        head[at + i] = streams.time_text[i]
    at += TIME_BYTES
    head[at] = _SOH
    at = _put_code_nb(head, at + 1, _TAG_123, _YES)
    write_u32_nb(head, at, _TAG_36)
    at = write_integer_nb(head, at + 3, end + 1)
    head[at] = _SOH
    body = (streams.body, np.int64(0), np.int64(0))
    return put_any_message_nb(streams, client, _SEQUENCE_RESET, begin, at + 1, body)
