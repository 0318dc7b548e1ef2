"""What the tests of captures share: endpoints, and captures of IP datagrams."""

from collections.abc import Iterable
from pathlib import Path

from protocols.pcap import spec
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_frame
from protocols.pcap.reader import CaptureFile
from protocols.pcap.writer import create_capture

CLIENT = Endpoint(0x0A000002, 50_000)
SERVER = Endpoint(0x0A000001, 15_000)
CLIENT6 = Endpoint(0x20010DB8 << 96 | 2, 50_000, 6)
SERVER6 = Endpoint(0x20010DB8 << 96 | 1, 15_000, 6)
GROUP = Endpoint(0xE0000001, 26_400)
GROUP6 = Endpoint(0xFF02 << 112 | 7, 26_400, 6)
START_NS = 1_700_000_000_123_456_789
STEP_NS = 1_000


def save(path: Path, datagrams: Iterable[bytes], link: int = spec.LINK_ETHERNET) -> Path:
    """A capture of IP datagrams, STEP_NS apart; the name says of which format."""
    with create_capture(path, link=link) as writer:
        for number, datagram in enumerate(datagrams):
            writer.write(START_NS + number * STEP_NS, build_frame(datagram, link))
    return path


def payloads(path: Path) -> list[bytes]:
    """The UDP payloads of a capture, as iterating over it gives them."""
    return [item.payload for item in CaptureFile(path).datagrams()]
