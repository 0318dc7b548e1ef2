"""After a crash: signals that the hot thread sent to some sessions, and that nobody was left to put
into the stores of the others.
"""

from collections.abc import Sequence
from typing import NamedTuple

from oms_out.outlet import HotMessage, Outlet
from protocols.fix.framing import TRAILER_BYTES
from protocols.fix.message import Identity, decode

_HEADER_FIELDS = 7
"""Those before the SubIDs in a message that `protocols.fix.message.encode` made."""

Message = tuple[bytes, bytes]
"""(MsgType, body)."""


class Survivor(NamedTuple):
    """What the slots of one session still hold, and the newest signal that it is known to have."""

    identity: Identity
    recent: Sequence[HotMessage]
    newest_id: int


def survivor_of(identity: Identity, outlet: Outlet, stored_id: int) -> Survivor:
    """`stored_id` is the newest signal in the session's store; it may have been reset since."""
    newest = max((message.signal_id for message in outlet.recovered), default=0)
    return Survivor(identity, outlet.recent, max(newest, stored_id, outlet.dealt_id))


def newest_id(survivors: Sequence[Survivor]) -> int:
    """The highest signal id in any slot, 0 when there is none."""
    ids = (message.signal_id for survivor in survivors for message in survivor.recent)
    return max(ids, default=0)


def find_missed(survivors: Sequence[Survivor]) -> list[list[Message]]:
    """For each session the messages that others have and it lacks, in the order of their ids."""
    found: dict[int, Message] = {}
    for survivor in survivors:
        for message in survivor.recent:
            found[message.signal_id] = _split(message.wire, survivor.identity)
    return [
        [found[signal_id] for signal_id in sorted(found) if signal_id > survivor.newest_id]
        for survivor in survivors
    ]


def _split(wire: bytes, identity: Identity) -> Message:
    """MsgType and body of a message that was made for the session of `identity`."""
    rest = wire.split(b"\x01", _HEADER_FIELDS)[_HEADER_FIELDS]
    return decode(wire).msg_type, rest[len(identity.sub_ids) : -TRAILER_BYTES]
