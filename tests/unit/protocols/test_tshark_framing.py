"""Wireshark's own dissectors read the MoldUDP64 and the SoupBinTCP that we write."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from protocols.moldudp64.codec import Packet, Request, encode_packet, encode_request
from protocols.moldudp64.rerequest_server import RequestServer
from protocols.moldudp64.sender import Sender
from protocols.moldudp64.spec import SEQUENCE_MAX
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import TcpConversation, build_datagram, build_ethernet_frame
from protocols.pcap.writer import PcapWriter
from protocols.soupbintcp.feed import FeedServer, SequencedFeed
from protocols.soupbintcp.resume import ResumingClient

MOLD_PORT = 26_400
CLIENT = Endpoint(0x7F000001, 40_000)
SERVER = Endpoint(0x7F000002, 26_000)
Read = Callable[..., list[dict[str, list[str]]]]


@pytest.fixture
def tshark(debian_program: Callable[[str, str], str], tmp_path: Path) -> Read:
    """Fields of one protocol in every frame: by name, what tshark shows of each."""
    program = debian_program("tshark", "tshark")

    def read(frames: list[bytes], decode_as: str) -> list[dict[str, list[str]]]:
        path = tmp_path / "written.pcap"
        with path.open("wb") as file:
            writer = PcapWriter(file)
            for at, frame in enumerate(frames):
                writer.write(at * 1_000_000, frame)
        protocol = decode_as.partition(",")[2]
        # OUCH is what tshark takes any sequenced data for.
        command = [program, "-r", str(path), "-d", decode_as, "--disable-protocol", "ouch"]
        output = subprocess.run(
            [*command, "-T", "pdml"], capture_output=True, check=True, timeout=60
        )
        document = ET.fromstring(output.stdout)
        assert not document.findall(".//proto[@name='_ws.malformed']")
        return [fields_of(packet, protocol) for packet in document.findall("packet")]

    return read


def fields_of(packet: ET.Element, protocol: str) -> dict[str, list[str]]:
    """Values of a frame's fields, in their order; numbers are in `showname` where they are
    calculated.
    """
    found: dict[str, list[str]] = {}
    for field in packet.iter("field"):
        name = field.get("name", "")
        if name.startswith(protocol + "."):
            shown = field.get("show", "")
            if shown == "X":
                shown = field.get("showname", "").partition(": ")[2].partition(" (")[0]
            found.setdefault(name.removeprefix(protocol + "."), []).append(shown)
    return found


def udp(payload: bytes, *, to_server: bool = False) -> bytes:
    group, host = Endpoint(0xE9360C6F, MOLD_PORT), Endpoint(0x7F000001, 40_000)
    source, destination = (host, group) if to_server else (group, host)
    return build_ethernet_frame(build_datagram(payload, source, destination))


@pytest.mark.parametrize("first", [1, 14_757_701, SEQUENCE_MAX - 100])
def test_moldudp64_packets_say_to_tshark_what_they_say_to_us(tshark: Read, first: int):
    sender = Sender("000010059B", 0, first_sequence=first)
    for size in (0, 1, 36, 1_300, 40, 255, 256, 1_390, 7):
        sender.send(bytes(range(256)) * 6 if size > 1_400 else bytes(size))
    packets = []
    while data := sender.data_to_send(0):
        packets.append(data)
    sender.handle_timer(1 << 40)
    packets.append(sender.data_to_send(1 << 40))
    server = RequestServer("000010059B", sender.kept)
    packets.append(server.answer(encode_request(Request("000010059B", first + 2, 9)), "me", 0))
    rows = tshark([udp(data) for data in packets], f"udp.port=={MOLD_PORT},moldudp64")
    assert len(rows) == len(packets) > 4
    found = []
    for data, row in zip(packets, rows, strict=True):
        assert row["session"] == ["000010059B"]
        sizes = [int(size) for size in row.get("msglen", [])]
        start = int.from_bytes(data[10:18], "big")
        assert (row["sequence"], row["count"]) == ([str(start)], [str(len(sizes))])
        assert len(data) == 20 + sum(2 + size for size in sizes)
        assert row.get("msgseq", []) == [str(start + at) for at in range(len(sizes))]
        assert not {"count.invalid", "msglen.invalid"} & row.keys()
        found.append((start, sizes))
    sent = [size for _, sizes in found[:-2] for size in sizes]
    assert sent == [0, 1, 36, 1_300, 40, 255, 256, 1_390, 7]
    assert found[-2] == (first + 9, [])
    assert found[-1] == (first + 2, [36, 1_300, 40])


def test_tshark_knows_an_end_of_session_and_a_request_from_packets_of_messages(tshark: Read):
    header_only = [
        encode_packet(Packet("S", 8, ended=True)),
        encode_request(Request("S", 8, 5)),
    ]
    end, request = tshark(
        [udp(header_only[0]), udp(header_only[1], to_server=True)],
        f"udp.port=={MOLD_PORT},moldudp64",
    )
    assert (end["sequence"], end["count"]) == (["8"], ["65535"])
    assert (request["sequence"], request["count"]) == (["8"], ["5"])
    assert not {"msgseq", "end_of_session_extra"} & (end.keys() | request.keys())


def test_soupbintcp_packets_say_to_tshark_what_they_say_to_us(tshark: Read):
    talk, feed = TcpConversation(CLIENT, SERVER), SequencedFeed("SESSION", 100)
    feed.append(b"before the client came")
    client = ResumingClient("user", "secret", sequence=2)
    server = FeedServer(0, feed, lambda _name, _password: True)
    datagrams = talk.open()

    def both_ways(now_ns: int) -> None:
        data = client.data_to_send(now_ns)
        server.receive(data, now_ns)
        answer = server.data_to_send(now_ns)
        client.receive(answer, now_ns)
        datagrams.extend(talk.send(CLIENT, data))
        # In two segments where it is long, so that a packet is split between them. Not the login
        # answer: tshark begins a new stream behind it.
        datagrams.extend(talk.send(SERVER, answer[:100]) + talk.send(SERVER, answer[100:]))

    client.connected(0)
    both_ways(0)
    for size in (0, 1, 36, 300):
        feed.append(bytes(size))
    both_ways(1)
    for side in (client, server):
        side.handle_timer(1_000_000_001)
    client.send_unsequenced(b"order")
    both_ways(1_000_000_001)
    feed.append(b"last")
    feed.end()
    both_ways(1_000_000_002)
    frames = [build_ethernet_frame(datagram) for datagram in datagrams]
    rows = tshark(frames, f"tcp.port=={SERVER.port},soupbintcp")
    shown: dict[str, list[str]] = {}
    for row in rows:
        for name, values in row.items():
            shown.setdefault(name, []).extend(values)
    assert "".join(shown["packet_type"]).replace("'", "") == "LASSSSRUHSZ"
    assert shown["packet_length"] == [
        *("47", "31"),
        *("1", "2", "37", "301"),
        *("1", "6", "1", "5", "1"),
    ]
    assert (shown["username"], shown["password"]) == (["user  "], ["secret    "])
    assert [session.strip() for session in shown["session"]] == ["", "SESSION"]
    assert (shown["req_seq_num"], shown["next_seq_num"]) == (["2"], ["2"])
    assert shown["seq_num"] == ["2", "3", "4", "5", "6"]
    assert client.next_sequence == 7
