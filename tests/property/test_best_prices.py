"""Books and tables of best prices straight from the bytes, against the slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.nasdaq_itch.books import best_prices
from feedhandler.core.book.changes import (
    AT_ONCE,
    FAULTS,
    MESSAGES,
    UNREADABLE,
    Work,
    allocate_work,
)
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import Book, allocate_book
from feedhandler.core.book.views import books_digest
from tests.property.test_books import INSTRUMENTS, ROOMY, conversations
from tests.reference import slow_itch
from tests.reference.itch_strategies import encoded_messages
from tests.reference.slow_book import SlowBook
from tests.unit.feedhandler.core import support

Row = tuple[int, ...]
END = bytes(2)


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def table(book: Book, work: Work, data: bytes, at: int = 0) -> list[Row]:
    pieces = best_prices(book, work, np.frombuffer(data, np.uint8), at)
    return [row.item() for piece in pieces for row in piece]


def slow_table(messages: list[bytes]) -> tuple[list[Row], SlowBook]:
    """The rows of the slow twin: after each message that changed a best price or quantity."""
    twin = SlowBook()
    rows: list[Row] = []
    before = dict.fromkeys(range(INSTRUMENTS), (0, 0, 0, 0))
    for seq, message in enumerate(messages, start=1):
        message_type, fields = slow_itch.decode(message)
        twin.apply(message_type, fields)
        for instrument in range(INSTRUMENTS):
            best = twin.best(instrument)
            if best != before[instrument]:
                before[instrument] = best
                bid, bid_qty, ask, ask_qty = best
                e9 = (bid * 100_000, bid_qty, ask * 100_000, ask_qty)
                rows.append((seq, fields["timestamp"], instrument, *e9))
    return rows, twin


@given(conversations)
def test_rows_and_books_are_those_of_the_slow_twin(messages: list[bytes]):
    book, work = allocate_book(ROOMY), allocate_work(0)
    rows, twin = slow_table(messages)
    assert table(book, work, framed(messages) + END) == rows
    assert work.totals[MESSAGES] == len(messages)
    assert work.totals[UNREADABLE] == 0
    faults = {outcome.name.lower(): int(work.totals[FAULTS + outcome]) for outcome in Outcome}
    expected = dict.fromkeys(faults, 0) | dict(twin.malformed)
    assert faults == expected | {"unknown_reference": twin.unknown_references}
    assert books_digest(book) == twin.digest()


@given(st.lists(encoded_messages(), max_size=6), st.binary(max_size=40))
def test_messages_of_every_type_and_bytes_of_none_leave_the_others_in_place(
    messages: list[bytes], junk: bytes
):
    book, work = allocate_book(ROOMY), allocate_work(0)
    first = support.add(2**40, "B", 5, 77, locate=1)
    others = [message for message in messages if message[:1] not in b"AFU"]
    junk_blocks = [b"\0" + junk, first[:-1]]
    rows = table(book, work, framed([first, *others, *junk_blocks, support.delete(2**40)]))
    assert [row[0] for row in rows] == [1, len(others) + 4]
    assert work.totals[UNREADABLE] == len(junk_blocks)


@given(st.data())
def test_a_session_that_is_cut_off_anywhere_gives_what_came_before(data: st.DataObject):
    messages = [support.add(i, "B", 5, 100 + i) for i in range(4)]
    blocks = framed(messages)
    cut = data.draw(st.integers(0, len(blocks)))
    book, work = allocate_book(ROOMY), allocate_work(0)
    # Nothing behind the cut may be looked at: it is not in the array.
    table(book, work, blocks[:cut])
    assert work.totals[MESSAGES] == cut // (len(messages[0]) + 2)


@pytest.mark.parametrize("count", [AT_ONCE - 1, AT_ONCE, 3 * AT_ONCE + 7])
def test_long_sessions_come_in_pieces_that_fit(count: int):
    messages = [support.add(i, "B", 5, 100 * i) for i in range(count)]
    book, work = allocate_book(ROOMY._replace(orders=1_024)), allocate_work(AT_ONCE + 3)
    rows = table(book, work, b"\xff" * 5 + framed(messages) + END + framed(messages), at=5)
    assert rows == slow_table(messages)[0]
    assert len(rows) == count
