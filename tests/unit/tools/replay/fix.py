"""What the tests of FIX replays share: messages, and what a replay of them wrote."""

import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from feedhandler.server.config import ServerConfig
from protocols.fix.message import FixMessage, decode
from protocols.pcap.flow import Endpoint
from tests.reference.slow_fix_book import SlowFixBooks, best_lines, in_order
from tests.unit.tools.decode.support import fix_message
from tests.unit.tools.replay.soup import CLIENT, SERVER, Connection
from tests.unit.tools.replay.support import server_config
from tools.replay.outcome import Outcome
from tools.replay.replay import Replay
from tools.replay.sniff import sniff_recording

LOGON = "98=0|108=30|141=Y|"


def snapshot(seq: int, symbol: str, *entries: str) -> bytes:
    """A W with entries such as `269=0|270=1.5|271=100`."""
    return fix_message(seq, "W", f"55={symbol}|268={len(entries)}|" + "".join(map(_ended, entries)))


def refresh(seq: int, *entries: str, header: str = "") -> bytes:
    """An X with entries such as `279=0|269=0|55=A|270=1.5|271=100`; `header` are more fields."""
    return fix_message(seq, "X", f"{header}268={len(entries)}|" + "".join(map(_ended, entries)))


def _ended(entry: str) -> str:
    return f"{entry}|"


class Replayed(NamedTuple):
    """A replay's outcome and files, and its symbols in doubt."""

    outcome: Outcome
    bbo: list[str]
    book: list[str]
    player: Replay


def replay(path: Path, config: ServerConfig | None = None) -> Replayed:
    """Replay a file in small books."""
    bbo, book = io.BytesIO(), io.BytesIO()
    player = Replay(config or server_config(), bbo)
    outcome = player.run(path, sniff_recording(path))
    player.write_book(book)
    lines = [file.getvalue().decode().splitlines()[1:] for file in (bbo, book)]
    return Replayed(outcome, lines[0], lines[1], player)


def replay_stream(path: Path, messages: Sequence[bytes]) -> Replayed:
    """Replay messages that lie in a file one behind the other."""
    path.write_bytes(b"".join(messages))
    return replay(path)


def price_text(price: Decimal) -> str:
    """Four decimals, or as many more as there are."""
    whole, _, rest = f"{price:.9f}".partition(".")
    return f"{whole}.{rest.rstrip('0'):0<4}"


def _side(price: Decimal, qty: int) -> str:
    return f"{price_text(price)},{qty}" if qty else ","


class Expected(NamedTuple):
    """What the slow twins say: best prices by message, the final books, and all they counted."""

    bbo: list[list[str]]
    book: list[str]
    books: SlowFixBooks
    session: object


def expected(messages: Iterable[bytes | FixMessage]) -> Expected:
    """The replay of the messages of one session by the slow twins. Rows are without the time; those
    of one message are sorted.
    """
    decoded = [each if isinstance(each, FixMessage) else decode(each) for each in messages]
    session, books = in_order(decoded), SlowFixBooks()
    changes = best_lines(session.placed, books)
    bbo = [
        sorted(
            f"{ordinal},{symbol.decode()},{_side(*best[:2])},{_side(*best[2:])}"
            for symbol, best in symbols.items()
        )
        for ordinal, symbols in changes.items()
    ]
    book = [
        f"{symbol.decode()},{letter},{_side(price, qty)},{orders}"
        for symbol, each in books.books.items()
        for side, letter in ((1, "B"), (-1, "S"))
        for price, qty, orders in each.side(side)
    ]
    return Expected(bbo, book, books, session)


def without_times(lines: Iterable[str]) -> list[list[str]]:
    """Rows of best prices as `expected` has them."""
    messages: dict[str, list[str]] = {}
    for line in lines:
        seq, _, rest = line.split(",", 2)
        messages.setdefault(seq, []).append(f"{seq},{rest}")
    return [sorted(rows) for rows in messages.values()]


def fix_capture(
    messages: Sequence[bytes],
    *,
    segment_bytes: int = 300,
    client: Endpoint = CLIENT,
    server: Endpoint = SERVER,
) -> list[bytes]:
    """A connection in which the server sends the messages, as IP datagrams."""
    connection = Connection(client, server)
    begin = connection.open()
    said = connection.server(b"".join(messages), segment_bytes)
    logon = connection.client(fix_message(1, "A", LOGON).replace(b"49=A\x0156=B", b"49=B\x0156=A"))
    return [*begin, *logon, *said]
