"""Decoders of what carries ITCH and OUCH: BinaryFILE, MoldUDP64 and SoupBinTCP.

All of them only look: they answer nothing, need no login, and may join in the middle of a session.
"""

from collections import Counter
from typing import Literal

from protocols.errors import RemoteProtocolError
from protocols.framing import LENGTH_BYTES, BlockFramer
from protocols.glimpse.spec import END_OF_SNAPSHOT
from protocols.itch50.codec import CODEC as ITCH50
from protocols.itch50.spec import MESSAGES as ITCH50_MESSAGES
from protocols.message import Codec, index_by_type
from protocols.moldudp64.codec import decode_packet
from protocols.moldudp64.spec import BLOCK_LENGTH_BYTES, HEADER_BYTES
from protocols.ouch42.codec import INBOUND, OUTBOUND
from protocols.soupbintcp import spec as soup
from tools.decode.entries import (
    GARBLED,
    MALFORMED_PACKET,
    UNKNOWN_TYPE,
    Entry,
    Fault,
    Incomplete,
    TableReader,
)
from tools.decode.resync import PACKET_LENGTHS, PacketFinder

TableProtocol = Literal["itch50", "ouch42"]

_LOCATE = ("stock_locate",)
_TOKENS = (
    "order_token",
    "existing_order_token",
    "replacement_order_token",
    "previous_order_token",
)
ITCH_READER = TableReader(ITCH50, _LOCATE)
SNAPSHOT_READER = TableReader(
    Codec("ITCH 5.0 and GLIMPSE 5.0", index_by_type((*ITCH50_MESSAGES, END_OF_SNAPSHOT))), _LOCATE
)
OUCH_READER = TableReader(OUTBOUND, _TOKENS)
OUCH_CLIENT_READER = TableReader(INBOUND, _TOKENS)

HEARTBEAT = "heartbeat"
END_OF_SESSION = "end_of_session"
OTHER_DATAGRAM = "other_datagram"


class BinaryFileDecoder:
    """ITCH messages behind their lengths; `seq` is the message's place in the file, from 1."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._framer = BlockFramer()
        self._seq = 0

    def feed(self, data: bytes) -> list[Entry]:
        """The messages that are whole now."""
        entries = []
        for offset, block in self._framer.feed(data):
            if not block:
                self.counts[END_OF_SESSION] += 1
                continue
            self._seq += 1
            entries.append(Entry(self._seq, offset + LENGTH_BYTES, block, ITCH_READER))
        return entries

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """A message that is cut off, if there is one."""
        return [], _incomplete(self._framer, "message")


class MoldDecoder:
    """ITCH messages of MoldUDP64 datagrams; `seq` is the sequence number of the session.

    A flow is taken for MoldUDP64 from its first datagram on that is, or from the start where it is
    `certain`; datagrams before that are somebody else's, and counted.
    """

    def __init__(self, *, certain: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._certain = certain

    def feed(self, data: bytes) -> list[Entry]:
        """The messages of one datagram."""
        try:
            packet = decode_packet(data)
        except RemoteProtocolError as error:
            if self._certain:
                return [Entry(None, 0, data, Fault(MALFORMED_PACKET, str(error)))]
            self.counts[OTHER_DATAGRAM] += 1
            return []
        if not self._certain and not (packet.session.isascii() and packet.session.isprintable()):
            self.counts[OTHER_DATAGRAM] += 1
            return []
        self._certain = True
        if not packet.messages:
            self.counts[END_OF_SESSION if packet.ended else HEARTBEAT] += 1
        entries, offset = [], HEADER_BYTES
        for seq, message in enumerate(packet.messages, packet.sequence):
            offset += BLOCK_LENGTH_BYTES
            entries.append(Entry(seq, offset, message, ITCH_READER))
            offset += len(message)
        return entries

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """Nothing: a datagram is whole."""
        return [], None


_PACKET_NAMES = {
    soup.DEBUG: "debug",
    ord(soup.LOGIN_ACCEPTED.type): "login_accepted",
    ord(soup.LOGIN_REJECTED.type): "login_rejected",
    ord(soup.LOGIN_REQUEST.type): "login_request",
    soup.SERVER_HEARTBEAT: HEARTBEAT,
    soup.CLIENT_HEARTBEAT: HEARTBEAT,
    soup.END_OF_SESSION: END_OF_SESSION,
    soup.LOGOUT_REQUEST: "logout_request",
}


class SoupDecoder:
    """Messages of one direction of a SoupBinTCP connection.

    `seq` is the number that Login Accepted announced and every sequenced message raises, from 1
    without a login; unsequenced messages have none. Without `protocol` the first message tells ITCH
    from OUCH: no type has the same length in both. A stream that may have been joined in its middle
    is searched for its first packet (`finder`); its messages have no number before a login.
    """

    def __init__(
        self, protocol: TableProtocol | None = None, finder: PacketFinder | None = None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.protocol = protocol
        self._finder = finder
        self._framer = BlockFramer()
        self._skipped_bytes = 0
        self._seq = None if finder else 1

    @property
    def is_found(self) -> bool:
        """A packet has come, as far as it had to be searched for."""
        return self._finder is None

    def feed(self, data: bytes) -> list[Entry]:
        """The messages that are whole now."""
        return self._find_start(self._finder, data) if self._finder else self._entries(data)

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """A packet that is cut off, if there is one."""
        entries = self._find_start(self._finder, b"", is_end=True) if self._finder else []
        return entries, _incomplete(self._framer, "packet", self._skipped_bytes)

    def _find_start(
        self, finder: PacketFinder, data: bytes, *, is_end: bool = False
    ) -> list[Entry]:
        found = finder.find(data, is_end=is_end)
        self._skipped_bytes = size = finder.skipped_bytes
        if found is None:
            text = f"{size} bytes without a packet"
            return [Entry(None, 0, b"", Fault(GARBLED, text))] if is_end and size else []
        self._finder = None
        text = f"{size} bytes before the first packet"
        garbled = [Entry(None, 0, b"", Fault(GARBLED, text))] if size else []
        return garbled + self._entries(found)

    def _entries(self, data: bytes) -> list[Entry]:
        entries = []
        for offset, packet in self._framer.feed(data):
            entry = self._entry(self._skipped_bytes + offset, packet)
            if entry is not None:
                entries.append(entry)
        return entries

    def _entry(self, offset: int, packet: bytes) -> Entry | None:
        if not packet:
            return Entry(None, offset, b"", Fault(MALFORMED_PACKET, "a packet without a type"))
        kind = packet[0]
        if kind in {soup.SEQUENCED_DATA, soup.UNSEQUENCED_DATA}:
            sequenced = kind == soup.SEQUENCED_DATA
            payload = packet[soup.TYPE_BYTES :]
            reader = self._reader(payload, sequenced=sequenced)
            entry = Entry(
                self._seq if sequenced else None, offset + soup.FRAME_BYTES, payload, reader
            )
            if self._seq is not None:
                self._seq += sequenced
            return entry
        name = _PACKET_NAMES.get(kind)
        if name is None:
            text = f"packet type {packet[:1]!r} is none of SoupBinTCP"
            return Entry(None, offset + LENGTH_BYTES, packet, Fault(UNKNOWN_TYPE, text))
        problem = self._check(kind, packet)
        if problem:
            fault = Fault(MALFORMED_PACKET, f"{name}: {problem}")
            return Entry(None, offset + LENGTH_BYTES, packet, fault)
        self.counts[name] += 1
        return None

    def _reader(self, payload: bytes, *, sequenced: bool) -> TableReader:
        if self.protocol is None:
            ours = OUCH_READER if sequenced else OUCH_CLIENT_READER
            self.protocol = "ouch42" if ours.matches(payload) else "itch50"
        if self.protocol == "itch50":
            return SNAPSHOT_READER
        return OUCH_READER if sequenced else OUCH_CLIENT_READER

    def _check(self, kind: int, packet: bytes) -> str:
        """What is wrong with a packet that carries no message; a login sets the number."""
        stated = PACKET_LENGTHS[kind]
        if stated and len(packet) not in stated:
            known = " or ".join(str(length) for length in stated)
            return f"{len(packet)} bytes, specification says {known}"
        if kind == ord(soup.LOGIN_ACCEPTED.type):
            number = str(soup.LOGIN_ACCEPTED.decode(packet)["sequence_number"]).strip()
            if not (number.isascii() and number.isdigit()):
                return f"sequence number {number!r} is not made of decimal digits"
            self._seq = int(number)
        return ""


def _incomplete(framer: BlockFramer, what: str, skipped_bytes: int = 0) -> Incomplete | None:
    if not framer.pending_bytes:
        return None
    missing = framer.missing_bytes
    reason = f"ends within a {what}: {framer.pending_bytes} bytes of it, {missing} or more missing"
    return Incomplete(skipped_bytes + framer.offset, reason)
