"""Which decoder reads a stream of bytes: by its framing where that is known, else by its start."""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from tools.decode.decoders import BinaryFileDecoder, SoupDecoder
from tools.decode.entries import Decoder, Entry, Incomplete
from tools.decode.fix import FixLinesDecoder, FixNames, FixStreamDecoder
from tools.decode.resync import PacketFinder
from tools.decode.sniff import Framing, Protocol

_FIX_START = b"8=FIX"
_FIX_FIELD = re.compile(rb"\x01[0-9]{1,5}=")
_DECISIVE_BYTES = 64
"""So many bytes of a FIX stream hold the start of a field, wherever they are taken from; only a
long text or data field hides it.
"""

DECODERS: Mapping[Framing, Callable[[Protocol | None, FixNames], Decoder]] = {
    "binaryfile": lambda _protocol, _names: BinaryFileDecoder(),
    "soupbintcp": lambda protocol, _names: SoupDecoder(None if protocol == "fix" else protocol),
    "stream": lambda _protocol, names: FixStreamDecoder(names),
    "lines": lambda _protocol, names: FixLinesDecoder(names),
}
"""A decoder for every way in which messages lie in a stream of bytes."""


def stream_decoder(framing: Framing | None, protocol: Protocol | None, names: FixNames) -> Decoder:
    """The decoder of a file with this framing, or of a TCP connection, whose framing is None; the
    capture may have begun, or go on behind a hole, in the middle of it.
    """
    if framing is not None:
        return DECODERS[framing](protocol, names)
    if protocol is None:
        return ConnectionDecoder(names)
    return FixStreamDecoder(names) if protocol == "fix" else SoupDecoder(protocol, PacketFinder())


class ConnectionDecoder:
    """One direction of a TCP connection of which nothing is known: FIX when its first bytes look
    like a message's start or fields, else SoupBinTCP.
    """

    def __init__(self, names: FixNames) -> None:
        self._names = names
        self._head = b""
        self._decoder: Decoder | None = None

    @property
    def counts(self) -> Counter[str]:
        """What the decoder counted."""
        return self._decoder.counts if self._decoder else Counter()

    def feed(self, data: bytes) -> list[Entry]:
        """The messages that are whole now."""
        if self._decoder is not None:
            return self._decoder.feed(data)
        self._head += data
        if len(self._head) < _DECISIVE_BYTES:
            return []
        self._decoder = self._decide()
        return self._decoder.feed(self._head)

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """What the end of the stream reveals."""
        if self._decoder is not None:
            return self._decoder.finish()
        self._decoder = self._decide()
        entries = self._decoder.feed(self._head)
        last, incomplete = self._decoder.finish()
        return entries + last, incomplete

    def _decide(self) -> Decoder:
        head = self._head[:_DECISIVE_BYTES]
        is_fix = head[: len(_FIX_START)] == _FIX_START[: len(head)] or _FIX_FIELD.search(head)
        return FixStreamDecoder(self._names) if is_fix else SoupDecoder(None, PacketFinder())
