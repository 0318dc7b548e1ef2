"""Captures of TCP connections through `feedhandler decode`: whatever became of their segments."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.moldudp64.codec import Packet, encode_packet
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import TcpConversation, build_datagram, build_ethernet_frame
from protocols.pcap.writer import create_capture
from tests.unit.protocols.pcap.support import (
    CLIENT,
    CLIENT6,
    GROUP,
    SERVER,
    SERVER6,
    START_NS,
    STEP_NS,
    save,
)
from tests.unit.tools.decode.support import (
    ITCH,
    OUCH_IN,
    OUCH_OUT,
    call,
    dialogue,
    fix_message,
    muddle,
    soup_packet,
    soup_stream,
)
from tools.decode import job
from tools.decode.job import Job
from tools.decode.render import json_line
from tools.decode.selection import Wanted
from tools.decode.sources import open_source

Shown = list[dict[str, Any]]
Run = Callable[..., tuple[int, Shown, str]]

OTHER = Endpoint(0x0A000003, 50_001)
LOGIN = soup_packet("L", b"user  password            " + b"1".rjust(20))
ORDERS = LOGIN + soup_packet("R") + b"".join(soup_packet("U", message) for message in OUCH_IN)
SNAPSHOT = [*ITCH[1:5], encode_end_of_snapshot(5)]
FIX = [
    fix_message(1, "A", "98=0|108=30|"),
    *(fix_message(seq, "W", "55=AAPL|268=1|269=0|270=1.50|") for seq in range(2, 40)),
]
DIALOGUES: dict[str, tuple[bytes, bytes, list[str], list[str]]] = {
    "itch": (LOGIN, soup_stream(ITCH * 9), [], [raw[:1].decode() for raw in ITCH * 9]),
    "ouch": (
        ORDERS,
        soup_stream(OUCH_OUT),
        [raw[:1].decode() for raw in OUCH_IN],
        [raw[:1].decode() for raw in OUCH_OUT],
    ),
    "glimpse": (LOGIN, soup_stream(SNAPSHOT), [], [raw[:1].decode() for raw in SNAPSHOT]),
    "fix": (FIX[0] + fix_message(2, "0", ""), b"".join(FIX), ["A", "0"], ["A"] + ["W"] * 38),
}
"""What a client and a server say, and the types of the messages in it."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def decode(*words: object) -> tuple[int, Shown, str]:
        code = call([*words, "--json"])
        printed = capsys.readouterr()
        return code, [json.loads(line) for line in printed.out.splitlines()], printed.err.strip()

    return decode


def flow(sender: Endpoint, receiver: Endpoint, connection: int = 0) -> str:
    return f"{sender}>{receiver}#{connection}"


def types(shown: Shown, name: str) -> list[str]:
    return [row["type"] for row in shown if row["flow"] == name]


def whole(
    chance: Random, kind: str, client: Endpoint = CLIENT, server: Endpoint = SERVER
) -> list[bytes]:
    """A connection from its handshake to its end, cut at random, repeated and disordered."""
    talk = TcpConversation(client, server, chance.randrange(2**32), 2**32 - chance.randrange(999))
    begin = talk.open()
    said = dict(zip((client, server), DIALOGUES[kind][:2], strict=True))
    segments = muddle(chance, dialogue(chance, talk, said, 200))
    return [*begin, *segments, talk.close(client), talk.close(server)]


@pytest.mark.parametrize("name", ["a.pcap", "a.pcapng", "a.pcap.gz", "a.pcapng.zst"])
@pytest.mark.parametrize("kind", DIALOGUES)
@pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT6, SERVER6)])
def test_both_directions_of_a_connection_are_shown_whatever_its_segments(
    run: Run, tmp_path: Path, name: str, kind: str, client: Endpoint, server: Endpoint
):
    path = save(tmp_path / name, whole(Random(name + kind), kind, client, server))
    code, shown, error = run(path)
    _, _, questions, answers = DIALOGUES[kind]
    assert code == 0
    assert not [row for row in shown if "fault" in row]
    assert types(shown, flow(client, server)) == questions
    assert types(shown, flow(server, client)) == answers
    assert error.startswith(f"messages {len(shown)}, shown {len(shown)}")
    assert "lost" not in error
    assert "other" not in error
    sequenced = [row["seq"] for row in shown if row["flow"] == flow(server, client)]
    assert sequenced == list(range(1, len(answers) + 1))


def test_a_flow_has_one_name_a_direction_and_the_number_of_its_connection(run: Run, tmp_path: Path):
    chance = Random(5)
    path = save(tmp_path / "a.pcap", [*whole(chance, "ouch"), *whole(chance, "fix")])
    _, shown, _ = run(path)
    for kind, number in (("ouch", 0), ("fix", 1)):
        assert types(shown, flow(CLIENT, SERVER, number)) == DIALOGUES[kind][2]
        assert types(shown, flow(SERVER, CLIENT, number)) == DIALOGUES[kind][3]
    assert flow(CLIENT, SERVER) == "10.0.0.2:50000>10.0.0.1:15000#0"
    path = save(tmp_path / "b.pcap", whole(chance, "ouch", CLIENT6, SERVER6))
    names = {row["flow"] for row in run(path)[1]}
    assert "[2001:db8::2]:50000>[2001:db8::1]:15000#0" in names


def test_a_message_has_the_time_at_which_it_could_be_read(run: Run, tmp_path: Path):
    talk = TcpConversation(CLIENT, SERVER)
    begin = talk.open()
    data = soup_stream(ITCH[:3])
    cut = len(data) - len(ITCH[2])
    one, two = talk.send(SERVER, data[:cut]), talk.send(SERVER, data[cut:])
    late = talk.send(SERVER, soup_packet("S", ITCH[3]))
    path = save(tmp_path / "a.pcap", [*begin, *one, *late, *two])
    _, shown, _ = run(path)
    places = [(row["ts_ns"] - START_NS) // STEP_NS for row in shown]
    assert places == [3, 3, 5, 5]


def test_datagrams_and_streams_come_in_the_order_of_the_capture(run: Run, tmp_path: Path):
    talk = TcpConversation(CLIENT, SERVER)
    datagrams = talk.open()
    datagrams += talk.send(SERVER, soup_stream([]))
    for seq in range(1, 6):
        datagrams += talk.send(SERVER, soup_packet("S", ITCH[seq]))
        datagrams.append(build_datagram(encode_packet(Packet("S", seq, (ITCH[0],))), CLIENT, GROUP))
        datagrams += talk.send(CLIENT, soup_packet("U", OUCH_IN[0]))
    _, shown, error = run(save(tmp_path / "a.pcap", datagrams))
    turn = [flow(SERVER, CLIENT), str(GROUP), flow(CLIENT, SERVER)]
    assert [row["flow"] for row in shown] == turn * 5
    assert [row["ts_ns"] for row in shown] == sorted(row["ts_ns"] for row in shown)
    assert error == "messages 15, shown 15, debug 1, heartbeat 1, login_accepted 1"


@pytest.mark.parametrize("kind", ["itch", "fix"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_lost_segments_cost_the_messages_in_them_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
):
    chance = Random(seed)
    talk = TcpConversation(CLIENT, SERVER)
    begin = talk.open()
    stream = DIALOGUES[kind][1]
    segments, spans, at = [], [], 0
    while at < len(stream):
        size = chance.randint(40, 300)
        segments += talk.send(SERVER, stream[at : at + size])
        spans.append((at, min(at + size, len(stream))))
        at += size
    lost = set(chance.sample(range(1, len(segments) - 1), chance.randint(1, 3)))
    kept = [segment for number, segment in enumerate(segments) if number not in lost]
    path = save(tmp_path_factory.mktemp("lost") / "a.pcap", [*begin, *kept, talk.close(SERVER)])
    shown, counts = decode_here(path)
    gone = sum(spans[number][1] - spans[number][0] for number in lost)
    assert counts["lost_bytes"] == gone
    messages = FIX if kind == "fix" else ITCH * 9
    spans_of, at = [], 0
    for message in messages:
        at = stream.index(message, at)
        spans_of.append((at - (0 if kind == "fix" else 3), at + len(message)))
        at += len(message)
    holes = [spans[number] for number in lost]
    expected = [
        (seq, raw)
        for seq, (raw, (start, stop)) in enumerate(zip(messages, spans_of, strict=True), 1)
        if not any(start < hole_stop and hole_start < stop for hole_start, hole_stop in holes)
    ]
    found = [row for row in shown if "fault" not in row]
    if kind == "fix":
        assert [row["seq"] for row in found] == [seq for seq, _ in expected]
    else:
        assert [row["type"] for row in found] == [raw[:1].decode() for _, raw in expected]
        # Behind a hole nobody knows how many went by.
        known = sum(stop <= min(holes)[0] for _, stop in spans_of)
        numbers = [*range(1, known + 1), *([None] * (len(found) - known))]
        assert [row["seq"] for row in found] == numbers
    assert {row["fault"] for row in shown if "fault" in row} <= {"garbled"}


def decode_here(path: Path) -> tuple[Shown, dict[str, int]]:
    """Lines and counts without a command, which hypothesis cannot capture the output of."""
    whole = Job(open_source(path), None, None, Wanted(), json_line)
    return [json.loads(line) for line in b"".join(whole.batches()).splitlines()], whole.counts()


def joined(data: bytes, skip: int) -> list[bytes]:
    """A connection whose handshake and first bytes were not captured."""
    talk = TcpConversation(CLIENT, SERVER)
    talk.open()
    talk.send(SERVER, data[:skip])
    return talk.send(SERVER, data[skip:], 100)


@pytest.mark.parametrize("kind", ["itch", "fix"])
def test_a_capture_that_begins_in_the_middle_shows_what_is_whole(
    run: Run, tmp_path: Path, kind: str
):
    data, answers = DIALOGUES[kind][1], DIALOGUES[kind][3]
    for skip in (100, 333, 500):
        code, shown, error = run(save(tmp_path / "a.pcap", joined(data, skip)))
        assert code == 0
        found = [row["type"] for row in shown if "fault" not in row]
        assert found == answers[len(answers) - len(found) :]
        assert len(answers) - 20 < len(found) < len(answers)
        assert "lost_bytes" not in error
        assert {row["seq"] for row in shown} == {None} or kind == "fix"


def test_bytes_that_a_snaplen_cut_off_are_lost(run: Run, tmp_path: Path):
    talk = TcpConversation(CLIENT, SERVER)
    datagrams = [*talk.open(), *talk.send(SERVER, b"".join(FIX), 400)]
    with create_capture(tmp_path / "a.pcap") as writer:
        for number, datagram in enumerate(datagrams):
            frame = build_ethernet_frame(datagram)
            writer.write(START_NS + number, frame[:300], wire_bytes=len(frame))
    code, shown, error = run(tmp_path / "a.pcap")
    assert code == 0
    lost = sum(max(len(datagram) + 14 - 300, 0) for datagram in datagrams)
    assert f"lost_bytes {lost}" in error
    assert 5 < len([row for row in shown if "fault" not in row]) < len(FIX)


def test_what_is_neither_fix_nor_soupbintcp_is_counted(run: Run, tmp_path: Path):
    chance = Random(4)
    web = TcpConversation(OTHER, SERVER)
    said = {OTHER: b"GET / HTTP/1.1\r\n" * 30, SERVER: chance.randbytes(2_000)}
    other = [*web.open(), *dialogue(chance, web, said, 300)]
    path = save(tmp_path / "a.pcap", [*other, *whole(chance, "fix")])
    code, shown, error = run(path)
    assert code == 0
    assert error == "messages 41, shown 41, other_stream_bytes 2480"
    assert len(shown) == 41


def test_a_protocol_that_is_named_is_the_only_one_shown(run: Run, tmp_path: Path):
    chance = Random(6)
    path = save(tmp_path / "a.pcap", [*whole(chance, "ouch"), *whole(chance, "fix")])
    sizes = {kind: len(DIALOGUES[kind][0] + DIALOGUES[kind][1]) for kind in ("ouch", "fix")}
    _, shown, error = run(path, "--protocol", "fix")
    assert {row["flow"][-1] for row in shown} == {"1"}
    assert error == f"messages 41, shown 41, other_stream_bytes {sizes['ouch']}"
    _, shown, error = run(path, "--protocol", "ouch42")
    assert {row["flow"][-1] for row in shown} == {"0"}
    assert f"other_stream_bytes {sizes['fix']}" in error


def test_the_port_of_either_side_chooses_a_connection(run: Run, tmp_path: Path):
    chance = Random(7)
    second = Endpoint(SERVER.ip, 15_001)
    datagrams = [*whole(chance, "ouch"), *whole(chance, "fix", OTHER, second)]
    datagrams.append(build_datagram(encode_packet(Packet("S", 1, (ITCH[0],))), second, GROUP))
    path = save(tmp_path / "a.pcap", datagrams)
    for port, kind, number in (
        (SERVER.port, "ouch", 0),
        (CLIENT.port, "ouch", 0),
        (second.port, "fix", 1),
        (OTHER.port, "fix", 1),
    ):
        code, shown, error = run(path, "--port", port)
        _, _, questions, answers = DIALOGUES[kind]
        assert code == 0
        assert len(shown) == len(questions + answers)
        assert {row["flow"][-1] for row in shown} == {str(number)}
        assert "other_port" in error
    # Of datagrams the port is the one that they went to.
    assert [row["flow"] for row in run(path, "--port", GROUP.port)[1]] == [str(GROUP)]


def test_symbols_are_found_in_groups_and_follow_no_locate(run: Run, tmp_path: Path):
    talk = TcpConversation(CLIENT, SERVER)
    body = "268=2|279=0|55={}|270=1|279=0|55={}|270=2|"
    messages = [
        fix_message(1, "X", body.format("AAPL", "MSFT")),
        fix_message(2, "X", body.format("MSFT", "IBM")),
        fix_message(3, "0", ""),
    ]
    path = save(tmp_path / "a.pcap", [*talk.open(), *talk.send(SERVER, b"".join(messages))])
    assert [row["seq"] for row in run(path, "--symbol", "AAPL")[1]] == [1]
    assert [row["seq"] for row in run(path, "--symbol", "MSFT")[1]] == [1, 2]


def test_a_damaged_capture_shows_what_comes_before_the_damage(run: Run, tmp_path: Path):
    path = save(tmp_path / "a.pcap", whole(Random(8), "fix"))
    path.write_bytes(path.read_bytes()[:-2_500])
    code, shown, error = run(path)
    assert code == 65
    assert 20 < len(shown) < 41
    assert "the file ends within a record" in error


def test_a_capture_comes_from_standard_input_packed_or_not(run: Run, tmp_path: Path):
    for name in ("a.pcap", "a.pcapng.zst", "a.pcap.gz"):
        path = save(tmp_path / name, whole(Random(9), "ouch"))
        program = "import sys; from tests.unit.tools.decode.support import call; "
        done = subprocess.run(
            [sys.executable, "-c", program + "sys.exit(call(sys.argv[1:]))", "-", "--json"],
            input=path.read_bytes(),
            capture_output=True,
            check=False,
            timeout=100,
            cwd=Path(__file__).parents[4],
        )
        assert done.returncode == 0
        assert [json.loads(line) for line in done.stdout.splitlines()] == run(path)[1]


def test_flows_that_were_silent_longest_are_ended_for_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "_FLOWS_MAX", 4)
    chance = Random(10)
    datagrams: list[bytes] = []
    for number in range(20):
        datagrams += whole(chance, "ouch", Endpoint(CLIENT.ip, 20_000 + number))
    _, shown, error = run(save(tmp_path / "a.pcap", datagrams))
    assert len(shown) == 20 * len(OUCH_IN + OUCH_OUT)
    assert "login_request 20" in error


def test_segments_that_contradict_each_other_are_counted(run: Run, tmp_path: Path):
    talk, liar = TcpConversation(CLIENT, SERVER), TcpConversation(CLIENT, SERVER)
    begin = talk.open()
    liar.open()
    data = b"".join(FIX)
    segments = talk.send(SERVER, data, 100)
    wrong = liar.send(SERVER, bytes(len(data)), 100)
    order: Sequence[bytes] = [*segments[1:3], wrong[1], segments[0], *segments[3:]]
    _, shown, error = run(save(tmp_path / "a.pcap", [*begin, *order]))
    assert len(shown) == len(FIX)
    assert "tcp_contradictions 1" in error
