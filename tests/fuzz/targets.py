"""What is fuzzed: each parser as a function of bytes, and the seeds to start from.

A target returns for any bytes. It lets through what the parser promises (a ProtocolError, a Fault,
a status) and asserts what must hold besides: what came whole gives what came in pieces, counts
add up, and nothing grows. Anything else is a finding.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from feedhandler.server.hub_lines import Line, LineFramer
from feedhandler.server.hub_messages import COMMANDS, HubError, decode_command
from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import ProtocolError, RemoteProtocolError
from protocols.fix.dictionary.check import check_message
from protocols.fix.dictionary.load import load_dictionary
from protocols.fix.framing import Framer, checksum
from protocols.fix.message import Identity, decode, encode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.store import MemoryStore
from protocols.fix.times import format_utc_timestamp
from protocols.itch50.codec import CODEC as ITCH50
from protocols.itch50.rows import decode_session
from protocols.itch50.spec import MESSAGES as ITCH50_MESSAGES
from protocols.message import Codec, Message
from protocols.moldudp64.codec import Packet, decode_packet, encode_packet
from protocols.moldudp64.receiver import Receiver, ReceiverSettings
from protocols.ouch42.codec import INBOUND, OUTBOUND
from protocols.ouch42.spec import INBOUND as OUCH_INBOUND
from protocols.ouch42.spec import OUTBOUND as OUCH_OUTBOUND
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.reader import CaptureFile
from protocols.pcap.writer import PcapngWriter, PcapWriter
from protocols.soupbintcp.session import Client, Server, Settings
from protocols.soupbintcp.spec import Version

NOW_NS = 1_750_000_000_000_000_000
MEMORY_BYTES = 1 << 20
_HUB_LINE_BYTES = 64


class Target(NamedTuple):
    """`run` takes any bytes; `mend`, where there is one, repairs lengths and checksums of mutated
    bytes, so that they get beyond the first check.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mend: Callable[[bytes], bytes] | None = None


# -- ITCH and OUCH ---------------------------------------------------------------------------------


def sample(message: Message) -> bytes:
    """A message of this type with a value in every field."""
    values = {}
    for item in message.fields[1:]:
        if item.type == "alpha":
            values[item.name] = item.values[0] if item.values else "AB"[: item.width]
        else:
            values[item.name] = Decimal(1) if item.decimals else 7
    return message.encode(values)


def run_codec(codec: Codec) -> Callable[[bytes], None]:
    """What is read is what would be written."""

    def run(data: bytes) -> None:
        try:
            message, values = codec.decode(data)
        except RemoteProtocolError:
            return
        assert len(data) == message.length
        assert message.render(data).keys() == values.keys()

    return run


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(each).to_bytes(2, "big") + each for each in messages)


def run_tables(data: bytes) -> None:
    """Every message is in one table, once, and no byte is used twice."""
    buf = np.frombuffer(data, np.uint8).copy()
    out = np.zeros(len(data) + 2, np.int64)
    count, used, status = index_messages_nb(buf, 0, len(buf), out)
    tables = decode_session(buf)
    rows = sum(map(len, tables.rows.values()))
    assert rows + len(tables.other_starts) == count
    assert (tables.end, tables.status) == (used, status)


# -- MoldUDP64, SoupBinTCP -------------------------------------------------------------------------


def run_mold_packet(data: bytes) -> None:
    try:
        packet = decode_packet(data)
    except RemoteProtocolError:
        return
    if packet.messages:
        assert encode_packet(packet) == data[: len(encode_packet(packet))]


def run_mold_receiver(data: bytes) -> None:
    """Datagrams behind one-byte lengths: messages come once, in order, and memory is bounded."""
    receiver = Receiver(ReceiverSettings(ahead_bytes_max=MEMORY_BYTES))
    at = 0
    while at < len(data):
        size = data[at]
        receiver.receive(data[at + 1 : at + 1 + size], NOW_NS + at)
        while receiver.next_event() is not None:
            pass
        while receiver.data_to_send(NOW_NS + at):
            pass
        at += 1 + size
    assert receiver.waiting_bytes <= MEMORY_BYTES


def mold_datagrams() -> bytes:
    packets = [
        encode_packet(Packet("S", 1, (b"one", b"two"))),
        encode_packet(Packet("S", 4, (b"four",))),
        encode_packet(Packet("S", 3, (b"three",))),
        encode_packet(Packet("S", 5, ())),
        encode_packet(Packet("S", 5, (), ended=True)),
    ]
    return b"".join(bytes([len(packet)]) + packet for packet in packets)


def pieces_of(data: bytes) -> list[bytes]:
    """The data in two pieces, at a place that they themselves give; some of them byte by byte.

    Each way to split a sample is tried by the unit tests; here it is the number of inputs that
    counts, and byte by byte costs ten times as much.
    """
    mark = zlib.crc32(data)
    if mark % 16 == 0:
        return [data[i : i + 1] for i in range(len(data))]
    cut = (mark >> 4) % (len(data) + 1)
    return [data[:cut], data[cut:]]


def run_soup(side: Callable[[], Client | Server]) -> Callable[[bytes], None]:
    """Whole is as in pieces, to the very event and the very error."""

    def outcome(pieces: list[bytes]) -> tuple[list, str]:
        session, found = side(), []
        try:
            for piece in pieces:
                session.receive(piece, 0)
                while (event := session.next_event()) is not None:
                    found.append(event)
        except ProtocolError as error:
            while (event := session.next_event()) is not None:
                found.append(event)
            return found, str(error)
        return found, ""

    def run(data: bytes) -> None:
        whole = outcome([data])
        assert whole == outcome(pieces_of(data))

    return run


_NEWEST = Settings(version=Version.V4_10)


def soup_client() -> Client:
    client = Client(0, _NEWEST)
    client.login("user", "secret")
    client.data_to_send(0)
    return client


def soup_server() -> Server:
    return Server(0, _NEWEST)


def soup_to_client() -> bytes:
    server, client = soup_server(), Client(0, _NEWEST)
    client.login("user", "secret")
    server.receive(client.data_to_send(0), 0)
    server.next_event()
    server.accept("S", 1)
    for message in (b"one", b"", b"x" * 100):
        server.send_sequenced(message)
    server.send_debug("text")
    server.send_unsequenced(b"two")
    server.end_session()
    return server.data_to_send(0)


def soup_to_server() -> bytes:
    client = Client(0, _NEWEST)
    client.login("user", "secret", "SESSION", 17)
    return client.data_to_send(0) + b"\x00\x04Uabc\x00\x01R\x00\x01O"


# -- FIX -------------------------------------------------------------------------------------------

_IDENTITY = Identity("THEM", "US")
_ORDER = ((11, "1"), (55, "X"), (54, "1"), (60, "20260101-00:00:00"), (38, "5"), (40, "1"))
_BOOKS = (load_dictionary("FIX.4.4"), load_dictionary("FIX.4.4"))
_DATA = ((262, "1"), (268, "2"), (279, "0"), (269, "0"), (270, "1.5"), (271, "3"), (279, "2"),
         (269, "1"), (95, "3"), (96, "a\x02b"))  # fmt: skip


def fix_messages() -> list[bytes]:
    stamp = format_utc_timestamp(NOW_NS)

    def message(msg_type: bytes, seq: int, *fields: tuple[int, str]) -> bytes:
        return encode(_IDENTITY, msg_type, seq, stamp, encode_fields(*fields))

    return [
        message(b"A", 1, (98, "0"), (108, "30")),
        message(b"0", 2),
        message(b"1", 3, (112, "T")),
        message(b"D", 4, *_ORDER),
        message(b"2", 5, (7, "1"), (16, "0")),
        message(b"4", 6, (123, "Y"), (36, "9")),
        message(b"X", 9, *_DATA),
        message(b"3", 10, (45, "2")),
        message(b"5", 11),
    ]


def run_fix_messages(data: bytes) -> None:
    """Frames of any bytes: decoded and checked; the same frames in pieces."""

    def frames(pieces: list[bytes]) -> list[bytes]:
        framer, found = Framer(4_096), []
        for piece in pieces:
            framer.feed(piece)
            while (frame := framer.next_frame()) is not None:
                found.append(frame)
        return found

    whole = frames([data])
    for frame in whole:
        check_message(decode(frame), *_BOOKS)
    assert whole == frames(pieces_of(data))


def run_fix_session(data: bytes) -> None:
    """An acceptor that is given any bytes ends or goes on; what it keeps is bounded."""
    settings = SessionSettings(
        Identity("US", "THEM"), False, frozenset({b"D"}), kept_messages_max=16
    )
    session = FixSession(settings, MemoryStore())
    session.connected(NOW_NS)
    session.receive(data, NOW_NS)
    for _ in range(10 * len(data) + 100):
        if session.next_event() is None:
            break
    else:
        raise AssertionError("events without an end")
    for second in (1, 40, 80, 200):
        while session.data_to_send(NOW_NS):
            pass
        session.handle_timer(NOW_NS + second * 1_000_000_000)
    assert session.framer.buffered_bytes <= len(data)


def mend_fix(data: bytes) -> bytes:
    """Every stretch from 8=FIX to the next is given its length and checksum."""
    parts = data.split(b"8=FIX")
    mended = [parts[0]]
    for part in parts[1:]:
        fields = part.split(b"\x01")
        body = [field for field in fields[1:] if not field.startswith((b"9=", b"10="))]
        inner = b"\x01".join(body).rstrip(b"\x01") + b"\x01"
        whole = b"8=FIX" + fields[0] + b"\x01" + b"9=%d\x01" % len(inner) + inner
        mended.append(whole + b"10=%03d\x01" % checksum(whole))
    return b"".join(mended)


# -- captures --------------------------------------------------------------------------------------

# In memory where there is such a folder: on a disk, opening a file is half of an input's time.
_SHARED_MEMORY = Path("/dev/shm")
_KEPT = TemporaryDirectory(
    prefix="feedhandler-fuzz-", dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
)
_FOLDER = Path(_KEPT.name)


def run_capture(data: bytes) -> None:
    """A file of any bytes: items, then an end or an error that says where."""
    path = _FOLDER / "capture"
    path.write_bytes(data)
    said = str(path)
    try:
        for item in CaptureFile(path):
            assert item.ts_ns is not None
    except ProtocolError as error:
        said = str(error)
    assert str(path) in said


def captures() -> list[bytes]:
    made = []
    for kind in (PcapWriter, PcapngWriter):
        path = _FOLDER / "seed"
        with path.open("wb") as file:
            writer = kind(file)
            if isinstance(writer, PcapngWriter):
                writer.add_interface()
            for number in range(3):
                payload = encode_packet(Packet("S", number + 1, (b"m",)))
                datagram = build_datagram(payload, Endpoint(1, 2), Endpoint(3, 4))
                writer.write(number, build_ethernet_frame(datagram))
        made.append(path.read_bytes())
    return made


# -- the hub ---------------------------------------------------------------------------------------


def run_hub_lines(data: bytes) -> None:
    """Lines are the same whole and in pieces, within their bound, and commands or refused."""
    whole, pieces = LineFramer(_HUB_LINE_BYTES), LineFramer(_HUB_LINE_BYTES)
    whole.feed(data)
    for at in range(0, len(data), 7):
        pieces.feed(data[at : at + 7])
    lines = hub_lines(whole)
    assert list(map(type, lines)) == list(map(type, hub_lines(pieces)))
    for line in lines:
        if not isinstance(line, bytes):
            continue
        assert 0 < len(line) <= _HUB_LINE_BYTES
        with suppress(HubError):
            command = decode_command(line)
            assert COMMANDS[command.__struct_config__.tag] is type(command)


def hub_lines(framer: LineFramer) -> list[Line]:
    lines = []
    while (line := framer.next_line()) is not None:
        lines.append(line)
    return lines


def hub_commands() -> list[bytes]:
    arguments = (b"", b',"symbols":["A*"],"share":"x"', b',"what":"feeds"', b',"breaker":"b"')
    return [
        b"".join(
            b'{"cmd":"%b","id":1%b}\n' % (name.encode(), arguments[number % len(arguments)])
            for number, name in enumerate(COMMANDS)
        ),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ]


TARGETS: dict[str, Target] = {
    "itch50": Target(run_codec(ITCH50), lambda: [sample(each) for each in ITCH50_MESSAGES]),
    "itch50_tables": Target(
        run_tables, lambda: [framed([sample(each) for each in ITCH50_MESSAGES])]
    ),
    "ouch42_in": Target(run_codec(INBOUND), lambda: [sample(each) for each in OUCH_INBOUND]),
    "ouch42_out": Target(run_codec(OUTBOUND), lambda: [sample(each) for each in OUCH_OUTBOUND]),
    "moldudp64": Target(run_mold_packet, lambda: [encode_packet(Packet("S", 1, (b"a", b"bc")))]),
    "moldudp64_receiver": Target(run_mold_receiver, lambda: [mold_datagrams()]),
    "soupbintcp_client": Target(run_soup(soup_client), lambda: [soup_to_client()]),
    "soupbintcp_server": Target(run_soup(soup_server), lambda: [soup_to_server()]),
    "fix_messages": Target(run_fix_messages, fix_messages, mend_fix),
    "fix_session": Target(run_fix_session, lambda: [b"".join(fix_messages())], mend_fix),
    "captures": Target(run_capture, captures),
    "hub_lines": Target(run_hub_lines, hub_commands),
}
"""Every target by name."""
