"""The checker finds what is planted: one broken rule after the other."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from feedhandler.server.errors import UserError
from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks
from tools.exchange.checker import CROSS_RULE, RULES, check_file
from tools.exchange.checker_kernels import Rule
from tools.exchange.generate import generate_day
from tools.exchange.market.scenario import Scenario

pytestmark = [
    pytest.mark.skipif(not JIT_ENABLED, reason="a day takes too long interpreted"),
    pytest.mark.usefixtures("market_kernels"),
]

Change = Callable[[list[bytes]], list[bytes]]


@pytest.fixture(scope="module")
def day(
    tmp_path_factory: pytest.TempPathFactory, market_kernels: None
) -> tuple[list[bytes], bytes]:
    """Messages of a small day, and the truth about it."""
    assert market_kernels is None
    path = tmp_path_factory.mktemp("checker") / "day.bin"
    generate_day(Scenario(symbols=3, messages=20_000, orders_per_symbol=20), 1, path)
    return list(blocks(path.read_bytes())), Path(f"{path}.truth.json").read_bytes()


def write(path: Path, messages: list[bytes]) -> Path:
    data = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    path.write_bytes(data + bytes(2))
    return path


def first(messages: list[bytes], kinds: bytes, after: int = 0) -> int:
    """Place of the first message of one of those types in market hours."""
    opened = next(i for i, each in enumerate(messages) if each[:1] == b"S" and each[11:12] == b"Q")
    return next(i for i in range(opened + after, len(messages)) if messages[i][:1] in kinds.split())


def again(kinds: bytes) -> Change:
    """The first message of that type a second time."""

    def change(messages: list[bytes]) -> list[bytes]:
        at = first(messages, kinds)
        return [*messages[: at + 1], *messages[at:]]

    return change


def without(kinds: bytes) -> Change:
    def change(messages: list[bytes]) -> list[bytes]:
        at = next(i for i, each in enumerate(messages) if each[:1] in kinds.split())
        return [*messages[:at], *messages[at + 1 :]]

    return change


def patched(kinds: bytes, at: int, value: int, size: int) -> Change:
    """Another number in the first message of that type."""

    def change(messages: list[bytes]) -> list[bytes]:
        place = first(messages, kinds, 300)
        message = messages[place]
        new = message[:at] + value.to_bytes(size, "big") + message[at + size :]
        return [*messages[:place], new, *messages[place + 1 :]]

    return change


def halted(messages: list[bytes]) -> list[bytes]:
    """A halt before an execution, which nobody heeds."""
    at = first(messages, b"E", 200)
    header = messages[at][1:11]
    halt = b"H" + header + b"ARLO    " + b"H" + b" " + b"T1  "
    return [*messages[:at], halt, *messages[at:]]


def better_order(messages: list[bytes]) -> list[bytes]:
    """An order at a better price comes before an execution."""
    added = {each[11:19]: each for each in messages if each[:1] in b"A F".split()}
    at = next(i for i, each in enumerate(messages) if each[:1] == b"E" and each[11:19] in added)
    reference = messages[at][11:19]
    resting = added[reference]
    price4 = int.from_bytes(resting[32:36], "big")
    better4 = price4 + 100 if resting[19:20] == b"B" else price4 - 100
    number = int.from_bytes(reference, "big")
    entered = b"A" + messages[at][1:11] + (1 << 20).to_bytes(8, "big") + resting[19:32]
    assert number < 1 << 20
    return [*messages[:at], entered + better4.to_bytes(4, "big"), *messages[at:]]


def broken_trade(messages: list[bytes]) -> list[bytes]:
    """A trade is taken back that never was."""
    at = first(messages, b"E", 200)
    taken_back = b"B" + messages[at][1:11] + (1 << 40).to_bytes(8, "big")
    return [*messages[:at], taken_back, *messages[at:]]


def same_state(messages: list[bytes]) -> list[bytes]:
    """A symbol that trades is told to trade."""
    at = next(i for i, each in enumerate(messages) if each[:1] == b"H")
    return [*messages[: at + 1], *messages[at:]]


def cut(messages: list[bytes]) -> list[bytes]:
    return [*messages[:-1], messages[-1][:-1]]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (Rule.BLOCK, cut),
        (Rule.TIME, patched(b"A F", 5, 1, 6)),
        (Rule.EVENTS, without(b"S")),
        (Rule.LISTED, without(b"R")),
        (Rule.HOURS, without(b"S")),
        (Rule.NEW_REFERENCE, again(b"A F")),
        (Rule.LIVE_REFERENCE, again(b"D")),
        (Rule.SHARES, patched(b"A F", 20, 0, 4)),
        (Rule.SHARES, patched(b"E", 19, 1 << 30, 4)),
        (Rule.SHARES, patched(b"X", 19, 1 << 30, 4)),
        (Rule.CROSSED, patched(b"A F", 32, 100, 4)),
        (Rule.BEST_PRICE, better_order),
        (Rule.HALTED, halted),
        (Rule.MATCH, again(b"P")),
        (Rule.BROKEN, broken_trade),
        (Rule.STATE, same_state),
        (Rule.PRICE, patched(b"A F", 32, 1_234_567, 4)),
    ],
    ids=lambda value: value.name if isinstance(value, Rule) else "",
)
def test_a_broken_rule_is_found(
    rule: Rule, change: Change, day: tuple[list[bytes], bytes], tmp_path: Path
):
    path = write(tmp_path / "day.bin", change(day[0]))
    assert RULES[rule] in [each["rule"] for each in check_file(path)["broken"]]


def test_a_whole_session_breaks_none(day: tuple[list[bytes], bytes], tmp_path: Path):
    found = check_file(write(tmp_path / "day.bin", day[0]))
    assert found["broken"] == []
    assert found["messages"] == len(day[0])
    assert found["crosses_checked"] == 0


def test_a_cross_of_other_shares_or_at_another_price_is_found(
    day: tuple[list[bytes], bytes], tmp_path: Path
):
    at = next(i for i, each in enumerate(day[0]) if each[:1] == b"Q")
    cross = day[0][at]
    for place, size, more in ((11, 8, 100), (27, 4, 20_000)):
        value = int.from_bytes(cross[place : place + size], "big") + more
        new = cross[:place] + value.to_bytes(size, "big") + cross[place + size :]
        path = write(tmp_path / "day.bin", [*day[0][:at], new, *day[0][at + 1 :]])
        Path(f"{path}.truth.json").write_bytes(day[1])
        assert CROSS_RULE in [each["rule"] for each in check_file(path)["broken"]]


def test_files_that_cannot_be_checked_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="No such file"):
        check_file(tmp_path / "none.bin")
    path = write(tmp_path / "day.bin", [])
    Path(f"{path}.truth.json").write_text("{")
    with pytest.raises(UserError, match=r"truth\.json"):
        check_file(path)


def test_an_empty_file_has_no_end(tmp_path: Path):
    path = tmp_path / "empty.bin"
    path.write_bytes(b"")
    assert [each["rule"] for each in check_file(path)["broken"]] == [RULES[Rule.BLOCK]]
    path.write_bytes(msgspec.json.encode("x")[:1])
    assert [each["rule"] for each in check_file(path)["broken"]] == [RULES[Rule.BLOCK]]
