"""What the engine needs to know of this venue: found through the entry point `fix_md`."""

from typing import NamedTuple

from adapters.fix_md.normalise import LENGTH_BYTES, normalise_nb, normalise_own_nb
from adapters.fix_md.session import FixSource
from adapters.fix_md.spec import RECORD_BYTES
from adapters.fix_md.stream import read_stream_nb
from feedhandler.core.api import Venue, compile_venue
from feedhandler.core.source import FeedSource
from protocols.fix.message import Identity
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
        return compile_venue(
            parse_packet_nb, normalise_nb, request_nb, normalise_own_nb, read_stream_nb
        )

    @staticmethod
    def fix_source(
        sender_comp_id: str,
        target_comp_id: str,
        symbols: tuple[str, ...],
        heartbeat_s: int,
        instruments: int,
        orders: int,
        session: str,
    ) -> FeedSource:
        """Our side of a session of FIX market data, with memory for so many instruments and live
        orders.
        """
        return FixSource(
            Identity(sender_comp_id, target_comp_id),
            symbols,
            heartbeat_s,
            instruments=instruments,
            orders=orders,
            session=session,
        )

    @staticmethod
    def session_bytes(session: str) -> bytes:
        """A session of MoldUDP64 as it stands in packets; zeros for any."""
        return session.encode("ascii").ljust(SESSION_BYTES) if session else bytes(SESSION_BYTES)


ADAPTER = Adapter()
