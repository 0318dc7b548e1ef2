"""Captures as tshark reads them: frames, UDP lengths, and the bytes of streams put together."""

import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from protocols.pcap import spec
from protocols.pcap.flow import Endpoint, Hole
from protocols.pcap.frames import TcpConversation, build_datagram, fragment_datagram
from protocols.pcap.reader import CaptureFile
from tests.unit.protocols.pcap.support import (
    CLIENT,
    CLIENT6,
    GROUP,
    GROUP6,
    SERVER,
    SERVER6,
    save,
)

# What it says of the bytes does not depend on who wrote them.
pytestmark = pytest.mark.compiled_only

Tshark = Callable[..., list[str]]
NAMES = ["a.pcap", "a.pcapng", "a.pcap.gz"]


@pytest.fixture(scope="session")
def tshark(debian_program: Callable[[str, str], str]) -> Tshark:
    program = debian_program("tshark", "tshark")

    def run(path: Path, *options: str) -> list[str]:
        command = [program, "-n", "-r", str(path), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.splitlines()

    return run


def fields(tshark: Tshark, path: Path, *names: str) -> list[list[str]]:
    wanted = [word for name in names for word in ("-e", name)]
    checks = ("udp.check_checksum", "tcp.check_checksum", "ip.check_checksum")
    options = [word for check in checks for word in ("-o", f"{check}:TRUE")]
    return [line.split("\t") for line in tshark(path, "-T", "fields", *wanted, *options)]


@pytest.mark.parametrize("link", spec.LINKS_SUPPORTED)
@pytest.mark.parametrize("name", NAMES[:2])
def test_datagrams_have_the_lengths_and_checksums_that_tshark_sees(
    tmp_path: Path, tshark: Tshark, name: str, link: int
):
    sizes = [0, 1, 7, 500, 1_400]
    pairs = [(CLIENT, GROUP), (CLIENT6, GROUP6)]
    if link in (spec.LINK_IPV4, spec.LINK_IPV6):
        pairs = [pairs[link == spec.LINK_IPV6]]
    datagrams = [build_datagram(bytes(size), *pair) for size in sizes for pair in pairs]
    path = save(tmp_path / name, datagrams, link)
    rows = fields(tshark, path, "udp.length", "udp.checksum.status", "frame.time_epoch")
    items = list(CaptureFile(path).datagrams())
    assert [int(row[0]) - 8 for row in rows] == [len(item.payload) for item in items]
    assert len(items) == len(datagrams)
    assert {row[1] for row in rows} == {"1"}
    seconds = [f"{item.ts_ns // 10**9}.{item.ts_ns % 10**9:09d}" for item in items]
    assert [row[2] for row in rows] == seconds


@pytest.mark.parametrize(
    ("source", "destination"), [(CLIENT, GROUP), (CLIENT6, GROUP6)], ids=["ipv4", "ipv6"]
)
def test_fragments_become_the_datagrams_that_tshark_sees(
    tmp_path: Path, tshark: Tshark, source: Endpoint, destination: Endpoint
):
    chance = random.Random(5)
    datagrams = []
    for number in range(20):
        whole = build_datagram(chance.randbytes(chance.randrange(3_000)), source, destination)
        parts = fragment_datagram(whole, 256, number)
        chance.shuffle(parts)
        datagrams += parts
    path = save(tmp_path / "a.pcapng", datagrams)
    rows = fields(tshark, path, "udp.length", "udp.checksum.status")
    seen = [int(row[0]) - 8 for row in rows if row[0]]
    assert seen == [len(item.payload) for item in CaptureFile(path).datagrams()]
    assert len(seen) == 20
    assert {row[1] for row in rows if row[0]} == {"1"}


def follow(tshark: Tshark, path: Path, connection: int) -> tuple[bytes, bytes]:
    """What the side that spoke first and the other one said, by tshark."""
    lines = tshark(path, "-q", "-z", f"follow,tcp,raw,{connection}")
    body = lines[lines.index(next(line for line in lines if line.startswith("Node 1"))) + 1 : -1]
    first = [line for line in body if not line.startswith("\t")]
    second = [line[1:] for line in body if line.startswith("\t")]
    return bytes.fromhex("".join(first)), bytes.fromhex("".join(second))


def ours(path: Path, source: Endpoint, connection: int) -> bytes:
    chunks = [
        item.data
        for item in CaptureFile(path).streams()
        if item.flow.source == source and item.flow.connection == connection
    ]
    assert not any(isinstance(chunk, Hole) for chunk in chunks)
    return b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))


def talk(
    chance: random.Random, client: Endpoint, server: Endpoint, said: Sequence[bytes]
) -> list[bytes]:
    """A conversation as a capture shows it that has all of it: retransmissions and disorder.

    The answer comes behind the whole question: what was acknowledged before it was captured, tshark
    calls missing.
    """
    isns = (2**32 - chance.randrange(3_000), chance.randrange(2**32))
    conversation = TcpConversation(client, server, *isns)
    begin = conversation.open()
    question = muddle(chance, conversation.send(client, said[0], 100))
    answer = muddle(chance, conversation.send(server, said[1], 400))
    tail = [conversation.close(client), conversation.close(server)]
    return [*begin, *question, *answer, *tail]


def muddle(chance: random.Random, segments: list[bytes]) -> list[bytes]:
    """Every segment, some of them twice, each up to five places late."""
    segments = segments + [segment for segment in segments if chance.random() < 0.2]
    places = [number + chance.randrange(6) for number in range(len(segments))]
    return [segments[number] for number in sorted(range(len(segments)), key=places.__getitem__)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)], ids=["ipv4", "ipv6"]
)
def test_streams_with_retransmission_and_disorder_are_those_that_tshark_follows(
    tmp_path: Path, tshark: Tshark, name: str, client: Endpoint, server: Endpoint
):
    chance = random.Random(name)
    said = [[chance.randbytes(3_000), chance.randbytes(20_000)] for _ in range(2)]
    # The second one on the same ports: tshark counts it as another connection, as we do.
    datagrams = [item for one in said for item in talk(chance, client, server, one)]
    path = save(tmp_path / name, datagrams)
    assert fields(tshark, path, "tcp.checksum.status") == [["1"]] * len(datagrams)
    for connection, (question, answer) in enumerate(said):
        assert follow(tshark, path, connection) == (question, answer)
        assert ours(path, client, connection) == question
        assert ours(path, server, connection) == answer


def test_a_hole_is_where_and_as_large_as_tshark_says(tmp_path: Path, tshark: Tshark):
    conversation = TcpConversation(CLIENT, SERVER)
    begin = conversation.open()
    data = random.Random(9).randbytes(6_000)
    segments = conversation.send(SERVER, data, 1_000)
    tail = [conversation.acknowledge(CLIENT), conversation.close(SERVER)]
    path = save(tmp_path / "a.pcap", [*begin, *segments[:2], *segments[4:], *tail])
    _, answer = follow(tshark, path, 0)
    assert answer == data[:2_000] + b"[2000 bytes missing in capture file]\0" + data[4_000:]
    found = [item.data for item in CaptureFile(path).streams()]
    assert found == [data[:1_000], data[1_000:2_000], Hole(2_000), data[4_000:5_000], data[5_000:]]
