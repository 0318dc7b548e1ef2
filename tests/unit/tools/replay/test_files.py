"""Replay of BinaryFILEs: what is in them is applied, what is wrong with them is said."""

import gzip
from collections import Counter
from pathlib import Path

import pytest

from protocols.binaryfile.reader import DataFileError
from tests.unit.tools.replay.support import (
    SMALL,
    make_session,
    replay_file,
    server_config,
    session_messages,
    slow_book,
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("session") / "day.bin")


def block(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def blocks(messages: list[bytes]) -> bytes:
    return b"".join(block(message) for message in messages)


def test_a_session_gives_the_books_of_the_slow_twin(session: Path):
    messages = session_messages(session)
    twin = slow_book(messages)
    outcome = replay_file(session)
    assert outcome.fault is None
    assert outcome.messages == len(messages) == 2_000
    assert outcome.types == Counter(chr(message[0]) for message in messages)
    assert outcome.books_digest == twin.digest()
    assert outcome.orders_live == len(twin.orders()) > 0
    assert (outcome.unknown_references, outcome.malformed, outcome.gaps) == (0, 0, 0)


def test_a_gzip_file_gives_the_same_books_whatever_its_name(session: Path, tmp_path: Path):
    plain = replay_file(session)
    for name in ("day.bin.gz", "day.bin"):
        (tmp_path / name).write_bytes(gzip.compress(session.read_bytes()))
        packed = replay_file(tmp_path / name)
        assert packed.books_digest == plain.books_digest
        assert packed.types == plain.types


def test_more_sessions_may_follow_a_length_of_zero(session: Path, tmp_path: Path):
    messages = session_messages(session)
    path = tmp_path / "day.bin"
    for cut in (1, 63, 64, 65, 1_000):
        path.write_bytes(blocks(messages[:cut]) + b"\0\0\0\0" + blocks(messages[cut:]))
        outcome = replay_file(path)
        assert outcome.fault is None
        assert outcome.messages == len(messages)
        assert outcome.books_digest == slow_book(messages).digest()


def test_a_file_of_nothing_but_ends_of_session_holds_no_message(tmp_path: Path):
    (tmp_path / "day.bin").write_bytes(bytes(6))
    outcome = replay_file(tmp_path / "day.bin")
    assert outcome.fault is None
    assert outcome.messages == 0
    assert outcome.as_json()["ns_per_message"] >= 0


@pytest.mark.parametrize("whole", [1, 64, 130])
@pytest.mark.parametrize("extra_bytes", [1, 2, 5])
def test_what_came_before_a_cut_is_replayed_and_the_cut_is_named(
    session: Path, tmp_path: Path, whole: int, extra_bytes: int
):
    messages = session_messages(session)
    good = blocks(messages[:whole])
    path = tmp_path / "cut.bin"
    path.write_bytes(good + block(messages[whole])[:extra_bytes])
    outcome = replay_file(path)
    assert outcome.messages == whole
    assert outcome.books_digest == slow_book(messages[:whole]).digest()
    assert outcome.fault is not None
    assert outcome.fault.offset == len(good)
    assert "ends within a message" in str(outcome.fault)


def test_what_a_cut_gzip_file_still_gives_is_replayed(session: Path, tmp_path: Path):
    packed = gzip.compress(session.read_bytes())
    path = tmp_path / "cut.bin.gz"
    path.write_bytes(packed[: len(packed) // 2])
    outcome = replay_file(path)
    assert outcome.fault is not None
    assert "gzip" in str(outcome.fault)
    assert 0 < outcome.messages < 2_000
    messages = session_messages(session)[: outcome.messages]
    assert outcome.books_digest == slow_book(messages).digest()


def test_unknown_types_and_wrong_lengths_are_counted_and_the_rest_is_applied(
    session: Path, tmp_path: Path
):
    messages = session_messages(session)
    junk = [b"\xff" * 30, b"A" * 20, b"z"]
    path = tmp_path / "day.bin"
    path.write_bytes(blocks(messages[:500] + junk + messages[500:]))
    outcome = replay_file(path)
    assert outcome.fault is None
    assert outcome.messages == len(messages) + len(junk)
    assert outcome.malformed == len(junk)
    assert outcome.books_digest == slow_book(messages).digest()


def test_bytes_without_framing_in_the_middle_end_in_a_fault(session: Path, tmp_path: Path):
    messages = session_messages(session)
    path = tmp_path / "day.bin"
    path.write_bytes(blocks(messages[:500]) + b"\xff" * 10_000 + blocks(messages[500:]))
    outcome = replay_file(path)
    assert outcome.fault is not None
    assert outcome.fault.offset == len(blocks(messages[:500]))
    assert outcome.messages == 500


def test_messages_that_name_no_live_order_are_counted(session: Path, tmp_path: Path):
    messages = session_messages(session)
    deletes = [message for message in messages if message[:1] == b"D"]
    path = tmp_path / "day.bin"
    path.write_bytes(blocks(messages + deletes))
    outcome = replay_file(path)
    twin = slow_book(messages + deletes)
    assert outcome.unknown_references == twin.unknown_references == len(deletes)
    assert outcome.books_digest == twin.digest()


def test_a_well_framed_file_of_another_venue_is_a_fault(tmp_path: Path):
    (tmp_path / "other.bin").write_bytes(blocks([b"other venue"] * 70))
    outcome = replay_file(tmp_path / "other.bin")
    assert outcome.messages == outcome.malformed == 70
    assert "not one of 70 messages is known" in str(outcome.fault)


def test_orders_that_do_not_fit_the_configured_books_are_counted(session: Path):
    config = server_config(engine=type(SMALL)(level_blocks=4, level_arena=64, orders=256))
    outcome = replay_file(session, config)
    assert outcome.not_stored > 0
    assert outcome.messages == 2_000


@pytest.mark.parametrize("name", ["", "missing.bin", "empty.bin"])
def test_what_is_no_file_or_holds_nothing_is_an_error(tmp_path: Path, name: str):
    (tmp_path / "empty.bin").touch()
    with pytest.raises(DataFileError, match=r"is a directory|No such file|the file is empty"):
        replay_file(tmp_path / name)
