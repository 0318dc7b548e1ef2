"""What the tests of SoupBinTCP captures share: sessions as segments, and captures of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import TcpConversation, build_ethernet_frame
from protocols.pcap.writer import create_capture
from protocols.soupbintcp import spec
from tests.unit.tools.replay.support import INTERVAL_NS, SESSION, START_NS

CLIENT = Endpoint(0x0A000002, 50_000)
SERVER = Endpoint(0x0A000001, 15_000)


def frame(packet_type: int | str, payload: bytes = b"") -> bytes:
    """A SoupBinTCP packet."""
    code = ord(packet_type) if isinstance(packet_type, str) else packet_type
    return (len(payload) + 1).to_bytes(2, "big") + bytes((code,)) + payload


def accepted(sequence: int, session: str = SESSION) -> bytes:
    """Login Accepted: the next message is number `sequence`."""
    return frame("A", session.rjust(10).encode() + str(sequence).rjust(20).encode())


def login(sequence: int = 1) -> bytes:
    """Login Request for everything from `sequence` on."""
    text = "me".ljust(6) + "secret".ljust(10) + SESSION.rjust(10) + str(sequence).rjust(20)
    return frame("L", text.encode())


def sequenced(messages: Iterable[bytes]) -> bytes:
    """Sequenced Data packets."""
    return b"".join(frame(spec.SEQUENCED_DATA, message) for message in messages)


class Connection(TcpConversation):
    """A client that logged in; `server(data)` and `client(data)` give the IP datagrams."""

    def __init__(self, client: Endpoint = CLIENT, server: Endpoint = SERVER, isn: int = 7) -> None:
        super().__init__(client, server, client_isn=isn, server_isn=2**32 - 900)

    def client(self, data: bytes) -> list[bytes]:
        return self.send(self._client, data)

    def server(self, data: bytes, segment_bytes: int = 1_460) -> list[bytes]:
        return self.send(self._server, data, segment_bytes)

    def log_in(self, sequence: int = 1, session: str = SESSION) -> list[bytes]:
        """Handshake, login, and its answer."""
        begin = [*self.open(), *self.client(login(sequence))]
        return [*begin, *self.server(accepted(sequence, session))]


def logged_in_stream(messages: Sequence[bytes], segment_bytes: int = 500) -> list[bytes]:
    """A whole session: login, heartbeats, all messages, end of session."""
    connection = Connection()
    begin = connection.log_in()
    half = len(messages) // 2
    stream = sequenced(messages[:half]) + frame("H") + frame("+", b"text") + frame("U", b"x")
    stream += sequenced(messages[half:]) + frame("Z")
    answers = connection.server(stream, segment_bytes)
    return [*begin, *answers, connection.close(CLIENT), connection.close(SERVER)]


def save(path: Path, datagrams: Iterable[bytes]) -> Path:
    """A capture of IP datagrams, INTERVAL_NS apart."""
    with create_capture(path) as writer:
        for number, datagram in enumerate(datagrams):
            writer.write(START_NS + number * INTERVAL_NS, build_ethernet_frame(datagram))
    return path
