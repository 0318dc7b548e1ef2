"""Whatever a session holds, up to four shards find in it what one shard does, byte for byte."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from feedhandler.core.events import symbol_text
from feedhandler.core.functions import Bound, Meta
from feedhandler.core.patterns.correlation import Correlation, correlation_of
from feedhandler.server.config import CorrelationConfig, ServerConfig
from tests.reference.itch_strategies import encoded_messages
from tests.unit.tools.replay.shards import replay_by, same
from tests.unit.tools.replay.support import (
    Datagram,
    packets_of,
    server_config,
    session_messages,
    write_capture,
)
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.replay import Replay

pytestmark = pytest.mark.compiled_only

_MESSAGES = 3_000
_NO_ORDER = b"SRHYLVWKJhPQBINO"
_shared = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

odd_messages = st.lists(
    encoded_messages().filter(lambda each: each[0] in _NO_ORDER) | st.binary(max_size=40),
    max_size=30,
)


def session(folder: Path, seed: int, symbols: int, odd: list[bytes]) -> list[bytes]:
    """A part of a generated day, from anywhere in it, with odd messages thrown in: no message in
    it names an order of another instrument than its own.
    """
    path = folder / "made.bin"
    settings = FlowSettings(seed, symbols, messages=_MESSAGES, orders_per_symbol=20)
    generate_file(settings, path)
    chance = random.Random(seed)
    messages = session_messages(path)[chance.choice((0, 0, 700)) :]
    for each in odd:
        # What is cut short, or of a type about orders, has to stay apart from the orders.
        messages.insert(
            chance.randrange(len(messages)), each if each[:1] not in b"AFECXDU" else b""
        )
    return messages


@_shared
@given(
    seed=st.integers(1, 1_000_000),
    symbols=st.integers(1, 12),
    odd=odd_messages,
    cuts=st.lists(st.integers(0, _MESSAGES), max_size=4),
)
def test_of_a_file(seed: int, symbols: int, odd: list[bytes], cuts: list[int], tmp_path: Path):
    messages = session(tmp_path, seed, symbols, [each for each in odd if each])
    for at in sorted(cuts, reverse=True):
        # An empty one is the end of a session, behind which the next one begins.
        messages.insert(min(at, len(messages)), b"")
    path = tmp_path / "day.bin"
    path.write_bytes(b"".join(len(each).to_bytes(2, "big") + each for each in messages))
    one = replay_by(path, 1)
    assert one.said["messages"] == sum(1 for each in messages if each)
    for shards in (2, 3, 4):
        found = replay_by(path, shards)
        assert same(one, found)
        assert sum(found.shard_messages) == one.said["messages"]


@_shared
@given(
    seed=st.integers(1, 1_000_000),
    symbols=st.integers(1, 12),
    odd=odd_messages,
    size=st.integers(1, 90),
    lost=st.floats(0, 0.2),
)
def test_of_a_capture_of_two_lines(
    seed: int, symbols: int, odd: list[bytes], size: int, lost: float, tmp_path: Path
):
    messages = session(tmp_path, seed, symbols, odd)
    chance = random.Random(seed)
    datagrams = [
        Datagram(line, packet)
        for packet in packets_of(messages, size)
        for line in (0, 1)
        if chance.random() >= lost
    ]
    for _ in range(len(datagrams) // 10):
        at = chance.randrange(len(datagrams))
        datagrams.insert(chance.randrange(max(at - 5, 0), at + 1), datagrams.pop(at))
    capture = write_capture(tmp_path / "day.pcap", [Datagram(0, b"?"), *datagrams])
    one = replay_by(capture, 1)
    for shards in (2, 3, 4):
        assert same(one, replay_by(capture, shards))


def correlations(config: ServerConfig, path: Path, shards: int) -> dict[int, Correlation]:
    """What each pair came to in the shard that has its ticks, by the place of its state."""
    replay = Replay(config, shards=shards)
    replay.run(path, "binaryfile")
    found: dict[int, Correlation] = {}
    for player in replay.players:
        functions = player.shard.patterns
        for binding in functions.bindings[: functions.meta[Meta.BINDINGS]]:
            at = int(binding[Bound.STATE_AT])
            seen = correlation_of(functions.state, at)
            if seen.samples:
                assert at not in found, "two shards have samples of a pair"
                found[at] = seen
    return found


def test_correlations_are_those_of_one_shard(tmp_path: Path):
    path = tmp_path / "made.bin"
    generate_file(FlowSettings(7, 6, messages=60_000, orders_per_symbol=20), path)
    seen = Replay(server_config())
    seen.run(path, "binaryfile")
    words = seen.shard.instruments["symbol"]
    symbols = tuple(symbol_text(int(word), 0) for word in words if word)
    config = structs.replace(
        server_config(),
        groups={"all": symbols},
        correlations=(CorrelationConfig("all pairs", pairs_of="all", window=30, sample_ms=1),),
    )
    one = correlations(config, path, 1)
    assert len(one) == len(symbols) * (len(symbols) - 1) // 2
    assert all(each.samples == 30 for each in one.values())
    assert len({each.correlation_e9 for each in one.values()}) > len(one) // 2
    for shards in (2, 3, 4):
        assert correlations(config, path, shards) == one
