"""Books and best prices of sessions of several kinds: the same files for us and for others."""

from collections import deque
from collections.abc import Callable
from pathlib import Path

from adapters.nasdaq_itch.books import best_prices
from feedhandler.core.book.changes import allocate_work
from feedhandler.core.book.layout import BookCapacity, allocate_book
from protocols.binaryfile.reader import load_bytes
from tools.bench.measure import Run, Timing, Workload, timed
from tools.bench.order_flow import DEEP, MILLION, Profile, write_flow
from tools.bench.peers import peer
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

_SEED = 1
_CAPACITY = BookCapacity(instruments=8_192)
_ROWS = 65_536
_PROFILES = {"deep": DEEP, "million": MILLION}


def session_file(kind: str) -> Callable[[Workload], Path]:
    """What finds, or makes, a session: of the exchange, with `kind` symbols, or of a Profile. One
    at a time is kept, as they are large.
    """

    def find(workload: Workload) -> Path:
        path = workload.folder / f"books-{kind}.bin"
        if not path.exists():
            for other in workload.folder.glob("books-*"):
                other.unlink()
            _make(kind, workload.messages, path)
        return path

    return find


def _make(kind: str, messages: int, path: Path) -> None:
    profile: Profile | None = _PROFILES.get(kind)
    if profile:
        write_flow(profile, messages, path)
    else:
        generate_file(FlowSettings(_SEED, int(kind), messages=messages), path)


def book_peer(kind: str) -> Callable[[Workload], Run]:
    """The same by itch-book: the whole session, as its first part has other books."""
    return peer("itch_book", session_file(kind), messages_max=None)


def books(kind: str) -> Callable[[Workload], Run]:
    """The `prepare` of a benchmark: bytes in memory to books, and a row of the table of best prices
    for each message that changes one.
    """

    def prepare(workload: Workload) -> Run:
        buf = load_bytes(session_file(kind)(workload))
        work = allocate_work(_ROWS)

        def run() -> Timing:
            work.totals[:] = 0
            book = allocate_book(_CAPACITY)
            return timed(workload.messages, lambda: deque(best_prices(book, work, buf), maxlen=0))

        return run

    return prepare
