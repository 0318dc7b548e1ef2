"""What the server needs to know of this venue: found through the entry point `nasdaq_itch`."""

from typing import NamedTuple

from adapters.nasdaq_itch.normalise import normalise_nb, normalise_own_nb
from adapters.nasdaq_itch.source import SoupSource
from adapters.nasdaq_itch.stream import read_stream_nb
from feedhandler.core.api import Venue, compile_venue
from feedhandler.core.source import FeedSource
from protocols.binaryfile.kernels import LENGTH_BYTES
from protocols.glimpse.loader import SnapshotLoader
from protocols.itch50.spec import LENGTHS
from protocols.moldudp64.kernels import parse_packet_nb, request_nb
from protocols.moldudp64.spec import SESSION_BYTES

_BLOCK_BYTES_MIN = LENGTH_BYTES + min(length for length in LENGTHS if length)


class Adapter(NamedTuple):
    """The venue's name and what makes its functions."""

    name: str = "nasdaq_itch"
    snapshot_loader: type[SnapshotLoader] = SnapshotLoader
    block_bytes_min: int = _BLOCK_BYTES_MIN
    """Shortest message that becomes a tick, with its length before it."""

    @staticmethod
    def venue() -> Venue:
        """Functions that the engine calls, compiled."""
        return compile_venue(
            parse_packet_nb, normalise_nb, request_nb, normalise_own_nb, read_stream_nb
        )

    @staticmethod
    def soup_source(username: str, password: str, session: str) -> FeedSource:
        """Our side of a feed over SoupBinTCP."""
        return SoupSource(username, password, session)

    @staticmethod
    def session_bytes(session: str) -> bytes:
        """A configured session as it stands in packets; zeros (take the first one seen) when it is
        empty.
        """
        if not session:
            return bytes(SESSION_BYTES)
        return session.encode("ascii").ljust(SESSION_BYTES)


ADAPTER = Adapter()
