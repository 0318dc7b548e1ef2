"""How the messages lie in a file, by its first bytes."""

import re
from typing import Literal

from protocols.framing import BlockFramer
from protocols.soupbintcp import spec as soup
from tools.decode.decoders import (
    ITCH_READER,
    OUCH_CLIENT_READER,
    OUCH_READER,
    SNAPSHOT_READER,
)
from tools.decode.fix import BODY_LINE, LINE_SEPARATOR
from tools.decode.resync import PACKET_LENGTHS

Protocol = Literal["itch50", "ouch42", "fix"]
Framing = Literal["binaryfile", "soupbintcp", "stream", "lines"]

HEAD_BYTES = 1 << 16
_BLOCKS = 64
_SOH = b"\x01"
_LINE_END = re.compile(rb"\x0110=[0-9]{3}\x01?[ \t]*\r?\n")


def sniff(head: bytes, protocol: Protocol | None) -> tuple[Protocol | None, Framing] | None:
    """Protocol (None: SoupBinTCP, whose first message will tell) and framing of a file that begins
    with `head`, up to HEAD_BYTES of it; `protocol` is what the user said. None when it is nothing
    of ours.
    """
    is_fix = LINE_SEPARATOR.search(head) or BODY_LINE.match(head)
    if protocol == "fix" or (protocol is None and is_fix):
        return "fix", _fix_framing(head)
    if protocol == "ouch42":
        return protocol, "soupbintcp"
    framer = BlockFramer()
    blocks = [block for _, block in framer.feed(head)[:_BLOCKS]]
    as_file = sum(ITCH_READER.matches(block) for block in blocks)
    as_soup = sum(_is_soup(block) for block in blocks)
    if as_soup > as_file:
        return protocol, "soupbintcp"
    # A file of nothing but unknown types is still a file of ours when its lengths add up.
    adds_up = bool(blocks) and not framer.pending_bytes
    return ("itch50", "binaryfile") if protocol or as_file or adds_up else None


def _fix_framing(head: bytes) -> Framing:
    """Bare messages one behind the other, or a log of lines."""
    found = LINE_SEPARATOR.match(head)
    is_bare = found is not None and found[1] == _SOH and not _LINE_END.search(head)
    return "stream" if is_bare else "lines"


def _is_soup(packet: bytes) -> bool:
    """Whether a block is a SoupBinTCP packet with a known length or a known message."""
    if not packet:
        return False
    payload = packet[soup.TYPE_BYTES :]
    if packet[0] == soup.SEQUENCED_DATA:
        return SNAPSHOT_READER.matches(payload) or OUCH_READER.matches(payload)
    if packet[0] == soup.UNSEQUENCED_DATA:
        return OUCH_CLIENT_READER.matches(payload)
    return len(packet) in PACKET_LENGTHS.get(packet[0], ())
