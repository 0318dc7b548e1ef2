"""Tables of native rows: every field as the codec reads it, in order, whatever stands beside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.binaryfile import kernels as index
from protocols.errors import Status
from protocols.itch50.codec import decode
from protocols.itch50.rows import ROWS, Tables, decode_session
from protocols.itch50.spec import BY_TYPE, MESSAGES
from protocols.message import Message
from protocols.permute import VECTOR_BYTES
from tests.reference.itch_strategies import encoded_messages
from tests.reference.slow_itch import messages_of_file

ANY_MESSAGES = st.lists(st.one_of(encoded_messages(), st.binary(min_size=1, max_size=60)))


def framed(messages: list[bytes]) -> np.ndarray:
    data = b"".join(len(each).to_bytes(2, "big") + each for each in messages)
    return np.frombuffer(data, np.uint8).copy()


def fields_of_row(message_type: str, row: np.void) -> dict[str, int | bytes]:
    return {name: row[name].item() for name in ROWS[message_type].names}


def fields_of_message(data: bytes) -> dict[str, int | bytes]:
    """The slow way: each field by itself; NumPy cuts zeros, not blanks, off the end of a text."""
    message = BY_TYPE[chr(data[0])]
    found: dict[str, int | bytes] = {}
    for item in message.fields[1:]:
        raw = data[item.offset : item.offset + item.size_bytes]
        found[item.name] = raw.rstrip(b"\0") if item.type == "alpha" else int.from_bytes(raw)
    return found


def is_known(data: bytes) -> bool:
    message = BY_TYPE.get(chr(data[0]))
    return message is not None and message.length == len(data)


def check(tables: Tables, buf: np.ndarray) -> None:
    """Everything in `tables` is what the slow twin finds in the first session of `buf`."""
    expected: dict[str, list] = {message.type: [] for message in MESSAGES}
    others, at = [], 2
    for data in messages_of_file(buf.tobytes()[: tables.end]):
        if is_known(data):
            expected[chr(data[0])].append((at, fields_of_message(data)))
        else:
            others.append(at)
        at += len(data) + 2
    assert tables.other_starts.tolist() == others
    for message_type, rows in tables.rows.items():
        starts = tables.starts[message_type].tolist()
        found = [fields_of_row(message_type, row) for row in rows]
        assert list(zip(starts, found, strict=True)) == expected[message_type]


@given(ANY_MESSAGES)
def test_every_field_of_every_message_is_as_the_codec_reads_it(messages: list[bytes]):
    buf = framed(messages)
    tables = decode_session(buf)
    assert (tables.end, tables.status) == (len(buf), Status.OK)
    check(tables, buf)


def test_prices_and_times_stand_as_on_the_wire():
    data = (
        bytes.fromhex("41 0007 0002 1f1a5e9c5b80 0000000000000539 42 00000064")
        + b"ZVZZT   "
        + bytes.fromhex("000f4240")
    )
    row = decode_session(framed([data])).rows["A"][0]
    _, values = decode(data)
    assert row["stock_locate"] == 7
    assert row["timestamp"] == 0x1F1A5E9C5B80
    assert row["order_reference_number"] == 1337
    assert row["buy_sell_indicator"] == b"B"
    assert row["shares"] == 100
    assert row["stock"] == b"ZVZZT   "
    assert row["price"] == 1_000_000
    assert values["price"] == row["price"] / 10_000


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_a_row_fits_one_vector_and_names_every_field(message: Message):
    row = ROWS[message.type]
    assert row.itemsize <= VECTOR_BYTES
    assert row.itemsize % 8 == 0
    assert set(row.names) == {item.name for item in message.fields[1:]}


def test_a_session_ends_where_it_says_and_another_follows():
    first, second = [b"S" + bytes(11)], [b"D" + bytes(18)] * 2
    buf = np.concatenate([framed(first), framed([b""]), framed(second)[:-1]])
    tables = decode_session(buf)
    assert (tables.status, tables.end) == (Status.END_OF_SESSION, 16)
    assert len(tables.rows["S"]) == 1
    rest = decode_session(buf, tables.end)
    assert (rest.status, rest.end) == (Status.TRUNCATED, 16 + 21)
    assert rest.starts["D"].tolist() == [18]


def test_a_long_file_is_decoded_in_pieces_with_nothing_lost():
    rng = np.random.default_rng(5)
    pool = [m.type.encode() + rng.bytes(m.length - 1) for m in MESSAGES] + [b"?", b"A" + bytes(30)]
    messages = [pool[i] for i in rng.integers(0, len(pool), 9_000)]
    buf = framed(messages)
    check(decode_session(buf), buf)


LENGTHS = np.array([0] * 65 + [9, 30] + [0] * 189, np.int64)


def index_both_ways(data: bytes) -> tuple[list, list]:
    buf = np.frombuffer(data, np.uint8).copy()
    out, slow_out = (
        np.zeros(len(data) + index.LEAP_MESSAGES, np.int64),
        np.zeros(len(data) + 1, np.int64),
    )
    count, used, status = index.index_many_nb(buf, 0, len(buf), LENGTHS, out)
    slow = index.index_messages_nb(buf, 0, len(buf), slow_out)
    return (
        [int(count), int(used), int(status), out[: count + 1].tolist()],
        [*map(int, slow), slow_out[: slow[0] + 1].tolist()],
    )


def block(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


EVEN = block(b"A" * 9) * 3 + block(b"B" * 30)
LONG = EVEN * (4 * index.LEAP_BYTES // len(EVEN) // 3)
# A guess that is wrong: within one long text stands what looks like blocks.
FALSE = block(b"C" + EVEN * 6) * (2 * index.LEAP_BYTES // (6 * len(EVEN)))


@pytest.mark.parametrize(
    "data",
    [
        LONG,
        LONG + b"\0\0" + LONG,
        LONG + block(b"D" * 300) + LONG,
        LONG[: index.LEAP_BYTES // 2] + block(b"D" * 300) + LONG,
        LONG[: index.LEAP_BYTES // 3] + b"\0\0" + LONG,
        LONG[:-1],
        block(b"Z" * 200) * (2 * index.LEAP_BYTES // 202),
        FALSE,
        b"\0\1?" * index.LEAP_BYTES,
    ],
    ids=[
        "even",
        "end",
        "long block",
        "early long block",
        "early end",
        "cut",
        "no lengths known",
        "wrong guess",
        "shortest",
    ],
)
def test_two_chains_find_what_one_finds(data: bytes):
    fast, slow = index_both_ways(data)
    assert fast == slow
