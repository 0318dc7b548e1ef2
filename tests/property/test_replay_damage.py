"""Whatever is done to the bytes of a recording: a replay ends, and accounts for every message."""

import io
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedhandler.core.counts import Count
from protocols.binaryfile.reader import DataFileError
from protocols.pcap.sniff import sniff_format
from tests.unit.tools.replay.soup import logged_in_stream, save
from tests.unit.tools.replay.support import (
    IMBALANCE,
    Datagram,
    make_session,
    packets_of,
    server_config,
    session_messages,
    write_capture,
)
from tools.replay.replay import Replay

pytestmark = pytest.mark.compiled_only

_NOT_APPLIED = (
    Count.UNKNOWN_TYPE,
    Count.BAD_LENGTH,
    Count.UNKNOWN_REFERENCE,
    Count.DUPLICATE_REFERENCE,
    Count.BAD_VALUE,
    Count.CAPACITY,
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("recordings")
    messages = session_messages(make_session(folder / "binaryfile", messages=600))
    datagrams = [Datagram(line, packet) for packet in packets_of(messages) for line in (0, 1)]
    write_capture(folder / "pcap", datagrams)
    write_capture(folder / "pcapng", datagrams, pcapng=True)
    save(folder / "soup.pcapng", logged_in_stream(messages))
    (folder / "soup.pcapng").rename(folder / "soup")
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.suffix}


def damage(data: bytes, chance: random.Random, wounds: int) -> bytes:
    """`data` with bits flipped, bytes replaced, stretches moved, cut out and put in."""
    result = bytearray(data)
    for _ in range(wounds):
        at, other = chance.randrange(len(result)), chance.randrange(len(result))
        wound = chance.randrange(4)
        if wound == 0:
            result[at] = chance.randrange(256)
        elif wound == 1:
            result[at] ^= 1 << chance.randrange(8)
        elif wound == 2:
            result[at : at + 20] = result[other : other + 20]
        else:
            result[at : at + chance.randrange(40)] = bytes(chance.randrange(40))
    return bytes(result)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(("binaryfile", "pcap", "pcapng", "soup")),
    seed=st.integers(0, 2**32),
    wounds=st.sampled_from((1, 3, 30, 300)),
)
def test_damage_is_counted_or_named_and_never_more(
    kind: str, seed: int, wounds: int, recordings: dict[str, bytes], tmp_path: Path
):
    path = tmp_path / "damaged"
    path.write_bytes(damage(recordings[kind], random.Random(seed), wounds))
    best_prices, books = io.BytesIO(), io.BytesIO()
    player = Replay(server_config((IMBALANCE,)), best_prices)
    try:
        outcome = player.run(path, sniff_format(path))
    except DataFileError:
        return
    counts = player.shard.counts[:, 0]
    applied = int(counts[Count.APPLIED])
    assert outcome.messages == applied + sum(int(counts[row]) for row in _NOT_APPLIED)
    assert outcome.messages == sum(outcome.types.values())
    player.write_book(books)
    assert all(line.count(b",") == 6 for line in best_prices.getvalue().splitlines())
    assert all(line.count(b",") == 4 for line in books.getvalue().splitlines())
