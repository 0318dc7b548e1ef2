"""A replay of FIX market data against the slow twins: books, sessions, and what is lost."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tools.decode.support import fix_message, flipped, muddle
from tests.unit.tools.replay.fix import (
    LOGON,
    expected,
    fix_capture,
    refresh,
    replay,
    replay_stream,
    snapshot,
    without_times,
)
from tests.unit.tools.replay.soup import save

ORDERS, LEVELS = ("MSFT", "ESZ6-ESH7.CALENDAR"), ("EURUSD.SPOT", "EURUSD.SWAP")
PRICES = ("1", "1.5", "1.23456", "2.000001", "7", "1.50", "0")
ODD_PRICES = ("-1", "abc", "1.0000000001")
QTYS = ("1", "5", "100", "4294967295", "0", "3.0")
ODD_QTYS = ("1.5", "4294967296", "-1", "x")
IDS = ("1", "2", "3", "AB-4")

HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

side = st.sampled_from("01")
price = st.sampled_from((*PRICES * 3, *ODD_PRICES))
qty = st.sampled_from((*QTYS * 3, *ODD_QTYS))


def _maybe(tag: int, values: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.one_of(st.just(""), values.map(lambda value: f"|{tag}={value}"))


def _order(symbol: str) -> st.SearchStrategy[str]:
    head = f"55={symbol}|" if symbol else ""
    new = st.builds(
        lambda letter, at, size, name: f"269={letter}|{head}270={at}|271={size}|278={name}",
        side,
        price,
        qty,
        st.sampled_from(IDS),
    ).map(lambda text: f"279=0|{text}")
    parts = (_maybe(270, price), _maybe(271, qty), _maybe(269, side), _maybe(280, ids))
    change = st.builds(
        lambda action, name, *more: f"279={action}|{head}278={name}{''.join(more)}",
        st.sampled_from("112345"),
        ids,
        *parts,
    )
    return st.one_of(new, new, change)


ids = st.sampled_from(IDS)


def _level(symbol: str) -> st.SearchStrategy[str]:
    state = st.builds(
        lambda action, letter, at, size, more: (
            f"279={action}|269={letter}|55={symbol}|270={at}|271={size}{more}"
        ),
        st.sampled_from("0115"),
        side,
        price,
        qty,
        st.sampled_from(("", "|346=3", "|290=1", "|1023=2", "|346=0")),
    )
    delete = st.builds(
        lambda action, letter, at, place: f"279={action}|269={letter}|55={symbol}{at}{place}",
        st.sampled_from("2234"),
        side,
        _maybe(270, price),
        _maybe(290, st.integers(0, 3)),
    )
    return st.one_of(state, state, delete)


others = st.sampled_from(
    (
        "279=0|269=2|55=MSFT|270=1.5|271=3",
        "279=2|269=2|55=MSFT|270=1.5|271=3",
        "279=0|269=4|55=MSFT|270=1.5",
        "279=0|269=J|55=MSFT",
        "279=0|269=J|55=EURUSD.SPOT",
        "279=0|269=0|55=[N/A]|270=1|271=1",
        "279=7|269=0|55=MSFT|270=1|271=1",
        "279=0|269=1|55=MSFT|270=1.5|271=3",
    )
)
entries = st.one_of(
    *map(_order, ORDERS), *map(_order, ORDERS), _order(""), *map(_level, LEVELS), others
)
snapshot_entry = st.builds(
    lambda letter, at, size, name: f"269={letter}|270={at}|271={size}{name}",
    st.sampled_from("00112J"),
    price,
    qty,
    _maybe(278, ids),
)

Build = Callable[[int], bytes]
snapshots = st.builds(
    lambda symbol, items: lambda seq: snapshot(seq, symbol, *items),
    st.sampled_from((*ORDERS, *LEVELS)),
    st.lists(snapshot_entry, max_size=4),
)
refreshes = st.builds(
    lambda items, lies: (
        lambda seq: fix_message(
            seq, "X", f"268={len(items) + lies}|" + "".join(f"{item}|" for item in items)
        )
    ),
    st.lists(entries, min_size=1, max_size=5),
    st.sampled_from((0, 0, 0, 0, 0, 1)),
)
heartbeats = st.just(lambda seq: fix_message(seq, "0", ""))
messages = st.lists(st.one_of(snapshots, refreshes, refreshes, refreshes, heartbeats), max_size=14)


def _check(found, wanted) -> None:  # noqa: ANN001 - Replayed and Expected
    fix = found.outcome.fix
    assert without_times(found.bbo) == wanted.bbo
    assert sorted(found.book) == sorted(wanted.book)
    assert fix["troubles"] == dict(wanted.books.troubles)
    session = wanted.session
    counted = (fix["duplicates"], fix["resent"], fix["gaps"], fix["missing_messages"])
    assert counted == (session.duplicates, session.resent, session.gaps, session.missing)
    in_doubt = {symbol for symbol, book in wanted.books.books.items() if not book.is_sound}
    assert fix["books_in_doubt"] == len(in_doubt)
    assert found.outcome.unknown_references == wanted.books.unknown_levels
    assert found.outcome.not_stored == 0
    types = [placed.message.msg_type for placed in session.placed]
    assert found.outcome.messages == types.count(b"W") + types.count(b"X")


@settings(max_examples=50, suppress_health_check=HEALTH)
@given(builds=messages)
def test_books_are_those_of_the_slow_twin_after_every_message(tmp_path: Path, builds: list[Build]):
    stream = [fix_message(1, "A", LOGON), snapshot(2, "FIRST", "269=0|270=1|271=1")]
    stream += [build(seq) for seq, build in enumerate(builds, 3)]
    _check(replay_stream(tmp_path / "day.fix", stream), expected(stream))


control = st.sampled_from(
    (
        lambda seq: fix_message(seq, "4", f"123=Y|36={seq + 2}|"),
        lambda seq: fix_message(seq, "4", f"36={seq + 3}|"),
        lambda seq: fix_message(seq, "4", f"43=Y|123=Y|36={seq + 1}|"),
        lambda seq: fix_message(1, "A", f"{LOGON}58={seq}|").replace(
            b"05.678", b"%02d.678" % (seq % 60)
        ),
        lambda seq: fix_message(seq, "X", "43=Y|268=1|279=0|269=0|55=EURUSD.SPOT|270=7|271=5|"),
    )
)


@settings(max_examples=25, suppress_health_check=HEALTH)
@given(
    builds=st.lists(
        st.tuples(st.integers(1, 9), st.one_of(refreshes, snapshots, control)),
        min_size=1,
        max_size=12,
    )
)
def test_sessions_are_put_in_order_like_the_slow_twin(
    tmp_path: Path, builds: list[tuple[int, Build]]
):
    stream = [snapshot(4, "FIRST", "269=0|270=1|271=1")]
    stream += [build(seq) for seq, build in builds]
    # A damaged checksum of its own is not what this is about.
    stream = [_again(message) for message in stream]
    _check(replay_stream(tmp_path / "day.fix", stream), expected(stream))


def _again(message: bytes) -> bytes:
    """The message with a checksum that fits."""
    body = message[: message.rindex(b"10=")]
    return body + b"10=%03d\x01" % (sum(body) % 256)


def _day(chance: random.Random, count: int) -> list[bytes]:
    stream = [fix_message(1, "A", LOGON)]
    for seq in range(2, count + 2):
        symbol, letter = chance.choice(LEVELS), chance.choice("01")
        at, size = chance.choice(PRICES[:5]), chance.choice(QTYS[:4])
        stream.append(refresh(seq, f"279=0|269={letter}|55={symbol}|270={at}|271={size}"))
    return stream


@settings(max_examples=12, suppress_health_check=HEALTH)
@given(seed=st.integers(0, 2**32), segment_bytes=st.integers(1, 400))
def test_segments_of_any_size_in_any_order_make_the_same_books(
    tmp_path: Path, seed: int, segment_bytes: int
):
    chance = random.Random(seed)
    stream = _day(chance, 8)
    segments = muddle(chance, fix_capture(stream, segment_bytes=segment_bytes))
    found = replay(save(tmp_path / "day.pcapng", segments))
    _check(found, expected(stream))


@settings(max_examples=8, suppress_health_check=HEALTH)
@given(seed=st.integers(0, 2**32))
def test_a_lost_message_is_a_gap_until_it_is_sent_again(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    stream = _day(chance, 10)
    lost = chance.randrange(2, 10)
    resent = stream[lost].replace(b"\x0152=", b"\x0143=Y\x0152=")
    holed = [*stream[:lost], *stream[lost + 1 :]]
    for kept in (holed, [*holed, _with_length(resent)]):
        _check(replay_stream(tmp_path / "day.fix", kept), expected(kept))
    whole, filled = replay_stream(tmp_path / "a", stream), replay_stream(tmp_path / "b", kept)
    assert whole.outcome.books_digest == filled.outcome.books_digest
    assert [line.split(",", 1)[1] for line in whole.bbo] == [
        line.split(",", 1)[1] for line in filled.bbo
    ]


def _with_length(message: bytes) -> bytes:
    """The message with a BodyLength and a checksum that fit."""
    begin, rest = message.split(b"\x019=", 1)
    body = rest.split(b"\x01", 1)[1]
    body = body[: body.rindex(b"10=")]
    return _again(begin + b"\x019=%d\x01" % len(body) + body + b"10=000\x01")


@pytest.mark.parametrize("kind", ["stream", "log", "capture"])
def test_damage_is_counted_and_never_ends_in_an_exception(tmp_path: Path, kind: str):
    chance = random.Random(7)
    stream = [*_day(chance, 4), snapshot(6, "MSFT", "269=0|270=1.5|271=3|278=1")]
    path = tmp_path / "day"
    whole = replay_stream(path, stream).outcome.messages
    data = b"".join(stream)
    if kind == "log":
        data = b"\n".join(message.replace(b"\x01", b"|") for message in stream) + b"\n"
    cuts = [data[:at] for at in range(20, len(data), 101)]
    wounds = chance.sample(list(flipped(data)), 20)
    for damaged in (*cuts, *wounds):
        if kind == "capture":
            found = replay(save(tmp_path / "day.pcapng", fix_capture([damaged]))).outcome
        elif b"8=FIX.4.4" not in damaged or not damaged.startswith(b"8=FIX"):
            continue
        else:
            path.write_bytes(damaged)
            found = replay(path).outcome
        fix = found.fix
        assert found.messages <= whole
        if found.fault is None and found.messages < whole and damaged in wounds:
            names = ("malformed", "gaps", "incomplete", "duplicates", "other_lines")
            assert any(fix[name] for name in names)


def test_symbols_are_numbered_in_the_order_of_their_appearance(tmp_path: Path):
    stream = [snapshot(1, symbol, "269=0|270=1|271=1") for symbol in ("B",)]
    stream += [snapshot(2, "A" * 64, "269=0|270=1|271=1")]
    found = replay_stream(tmp_path / "day.fix", stream)
    assert [line.split(",")[0] for line in found.book] == ["B", "A" * 64]
