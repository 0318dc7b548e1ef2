"""Commands as they come: good ones, wrong ones, and anything at all."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.server.hub_lines import LineFramer, NotTheProtocol, TooLong
from feedhandler.server.hub_messages import (
    COMMANDS,
    TIMEOUT_MS,
    Command,
    HubError,
    Subscribe,
    decode_command,
    refusal,
)

GOOD: dict[str, dict[str, Any]] = {
    "ping": {},
    "subscribe": {"symbols": ("AAPL", "MS*"), "kinds": ("quote",), "share": "desk", "queue": 5},
    "unsubscribe": {"sub": 3},
    "get_stats": {"counters": ("*",), "symbols": ("AAPL",)},
    "list": {"what": "patterns"},
    "trip": {"breaker": "band", "target": "AAPL", "level": "restrict", "reason": "news at noon"},
    "reset": {"breaker": "band"},
    "position": {"symbol": "AAPL", "qty": -500},
    "set_priority": {"symbol": "AAPL", "lane": 0, "for_ms": 60_000},
    "get_bars": {"symbols": ("AAPL",)},
    "get_correlations": {"names": ("tech",), "symbols": ("AAPL",)},
    "reset_stats": {"symbols": ("AAPL",)},
    "reload": {},
    "enable": {"name": "spread"},
    "shutdown": {"drain_s": 9},
}


def test_every_command_is_read_by_its_name():
    assert set(GOOD) == set(COMMANDS)
    for name, arguments in GOOD.items():
        line = json.dumps({"cmd": name, "id": "a-1", **arguments}).encode()
        command = decode_command(line)
        assert type(command) is COMMANDS[name]
        assert (command.id, command.timeout_ms) == ("a-1", TIMEOUT_MS)
        found = msgspec.to_builtins(command)
        assert {key: found[key] for key in arguments} == arguments


@pytest.mark.parametrize(
    ("line", "code", "named", "command_id"),
    [
        (b"hello", "malformed", "no JSON", None),
        (b"\xff\xfe", "malformed", "no JSON", None),
        (b"[1,2]", "malformed", "list", None),
        (b"7", "malformed", "one object a line", None),
        (b"[" * 5_000, "malformed", "no JSON", None),
        (b'{"id":4}', "unknown_command", 'no "cmd"', 4),
        (b'{"cmd":7,"id":4}', "unknown_command", 'no "cmd"', 4),
        (b'{"cmd":"subscrib","id":4}', "unknown_command", "did you mean 'subscribe'", 4),
        (b'{"cmd":"zzzz","id":"x"}', "unknown_command", "there are ping", "x"),
        (b'{"cmd":"ping"}', "bad_argument", "`id`", None),
        (b'{"cmd":"ping","id":true}', "bad_argument", "$.id", None),
        (b'{"cmd":"ping","id":-1}', "bad_argument", "$.id", None),
        (b'{"cmd":"ping","id":1,"x":2}', "bad_argument", "`x`", 1),
        (b'{"cmd":"ping","id":1,"timeout_ms":0}', "bad_argument", "$.timeout_ms", 1),
        (b'{"cmd":"list","id":1,"what":"all"}', "bad_argument", "$.what", 1),
        (b'{"cmd":"subscribe","id":1,"symbols":["A B"]}', "bad_argument", "$.symbols", 1),
        (b'{"cmd":"subscribe","id":1,"symbols":["A\\n"]}', "bad_argument", "$.symbols", 1),
        (b'{"cmd":"subscribe","id":1,"kinds":["trade"]}', "bad_argument", "$.kinds", 1),
        (b'{"cmd":"set_priority","id":1,"symbol":"A","lane":16}', "bad_argument", "$.lane", 1),
        (b'{"cmd":"shutdown","id":1,"drain_s":0}', "bad_argument", "$.drain_s", 1),
    ],
)
def test_a_wrong_line_is_refused_with_what_is_wrong(
    line: bytes, code: str, named: str, command_id: int | str | None
):
    with pytest.raises(HubError) as caught:
        decode_command(line)
    answer = refusal(caught.value)
    assert (caught.value.code, answer.id, answer.ok) == (code, command_id, False)
    assert named in caught.value.text
    assert "\n" not in caught.value.text


PIECES = st.sampled_from(
    [b'{"cmd":"', b"subscribe", b'","id":', b'"symbols":["*"]', b"ping", b"list", b"9" * 30]
    + [bytes([each]) for each in b'1{}[]":,-\xc3']
)


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=12).map(b"".join)))
def test_any_line_is_a_command_or_is_refused(line: bytes):
    try:
        found: Any = decode_command(line)
    except HubError as error:
        found = json.loads(msgspec.json.encode(refusal(error)))
    assert isinstance(found, Command) or found["ok"] is False


def test_too_many_names_are_refused():
    line = json.dumps({"cmd": "subscribe", "id": 1, "symbols": ["A"] * 257}).encode()
    with pytest.raises(HubError, match="symbols"):
        decode_command(line)
    assert len(decode_command(line.replace(b'"A", ', b"", 1)).symbols) == 256  # type: ignore[attr-defined]


def test_what_is_left_out_of_a_subscription_is_open():
    command = decode_command(b'{"cmd":"subscribe","id":1}')
    assert command == Subscribe(id=1)


def lines_of(framer: LineFramer) -> list[Any]:
    found = []
    while (line := framer.next_line()) is not None:
        found.append(line if isinstance(line, bytes) else type(line))
    return found


def slow_lines(data: bytes, line_bytes: int) -> list[Any]:
    """What the framer should make of text, the obvious way."""
    found: list[Any] = []
    *whole, rest = data.split(b"\n")
    for line in whole:
        if len(line) > line_bytes:
            found.append(TooLong)
        elif line.strip(b" \t\r"):
            found.append(line.strip(b" \t\r"))
    return [*found, TooLong] if len(rest) > line_bytes else found


@given(
    st.lists(st.sampled_from([b"ab", b"\n", b" ", b"\r\n", b"0123456789", b"{}"]), max_size=40),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_lines_are_the_same_however_the_bytes_are_cut(pieces: list[bytes], sizes: list[int]):
    data = b"".join(pieces)
    framer = LineFramer(12)
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        framer.feed(data[at : at + size])
        assert len(framer._partial) <= 12
        at, turn = at + size, turn + 1
    assert lines_of(framer) == slow_lines(data, 12)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1",
        b"POST /x?y=1 HTTP/1.1",
        b"Host: 127.0.0.1:26420",
        b"HOST: here",
        b"\x16\x03\x01\x02\x00",
        b'{"cmd":"ping"\x00}',
        b"PRI * HTTP/2.0",
        b"GET /" + b"a" * 200 + b" HTTP/1.1",
    ],
)
def test_what_a_browser_or_tls_would_send_is_seen_for_what_it_is(line: bytes):
    framer = LineFramer(1_000)
    framer.feed(line + b"\n")
    assert lines_of(framer) == [NotTheProtocol]


def test_the_rest_of_a_long_line_is_passed_over_and_the_next_line_counts():
    framer = LineFramer(8)
    framer.feed(b"0123456789")
    assert framer.is_partial
    for _ in range(1_000):
        framer.feed(b"0123456789")
    framer.feed(b"\n{}\n")
    assert lines_of(framer) == [TooLong, b"{}"]
    assert not framer.is_partial
