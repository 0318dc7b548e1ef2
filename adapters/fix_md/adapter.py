"""What the engine needs to know of this venue: found through the entry point `fix_md`."""

from typing import NamedTuple

from adapters.fix_md.normalise import LENGTH_BYTES, normalise_nb, normalise_own_nb
from adapters.fix_md.spec import RECORD_BYTES
from feedhandler.core.api import Venue, compile_venue
from protocols.glimpse.loader import SnapshotLoader
from protocols.moldudp64.kernels import parse_packet_nb, request_nb
from protocols.moldudp64.spec import SESSION_BYTES


class Adapter(NamedTuple):
    """The venue's name and what makes its functions."""

    name: str = "fix_md"
    snapshot_loader: type[SnapshotLoader] = SnapshotLoader
    """Unused: a snapshot is a message (W) of the feed itself."""
    block_bytes_min: int = LENGTH_BYTES + RECORD_BYTES

    @staticmethod
    def venue() -> Venue:
        """Functions that the engine calls, compiled."""
        return compile_venue(parse_packet_nb, normalise_nb, request_nb, normalise_own_nb)

    @staticmethod
    def session_bytes(session: str) -> bytes:
        """A session of MoldUDP64 as it stands in packets; zeros for any."""
        return session.encode("ascii").ljust(SESSION_BYTES) if session else bytes(SESSION_BYTES)


ADAPTER = Adapter()
