"""Which decoder reads a stream of bytes: by its framing where that is known, else by its start."""

import re
from collections import Counter
from collections.abc import Callable, Mapping

from tools.decode.decoders import BinaryFileDecoder, SoupDecoder
from tools.decode.entries import Decoder, Entry, Incomplete
from tools.decode.fix import FixLinesDecoder, FixStreamDecoder
from tools.decode.resync import PacketFinder, packet_length
from tools.decode.sniff import Framing, Protocol

OTHER_STREAM_BYTES = "other_stream_bytes"
_FIX_START = b"8=FIX"
_FIX_FIELD = re.compile(rb"\x01[0-9]{1,5}=")
DECISIVE_BYTES = 64
"""So many bytes of a FIX stream hold the start of a field, wherever they are taken from; only a
long text or data field hides it.
"""

DECODERS: Mapping[Framing, Callable[[Protocol | None], Decoder]] = {
    "binaryfile": lambda _protocol: BinaryFileDecoder(),
    "soupbintcp": lambda protocol: SoupDecoder(None if protocol == "fix" else protocol),
    "stream": lambda _protocol: FixStreamDecoder(),
    "lines": lambda _protocol: FixLinesDecoder(),
}
"""A decoder for every way in which messages lie in a stream of bytes."""


def looks_like_fix(head: bytes | bytearray) -> bool:
    """Whether a stream that goes on with `head` is FIX: a message's start, or fields."""
    head = head[:DECISIVE_BYTES]
    is_start = head[: len(_FIX_START)] == _FIX_START[: len(head)]
    return is_start or _FIX_FIELD.search(head) is not None


class ConnectionDecoder:
    """One direction of a TCP connection, which may be of another protocol altogether; what shows no
    message and does not begin like FIX is counted as other_stream_bytes.

    `protocol` is what the user said of the capture. With `is_whole` the bytes are those from the
    connection's begin on, else they may begin in the middle of a message. With `is_ours` the bytes
    before a hole had messages, so that these are damaged if they have none.
    """

    def __init__(
        self, protocol: Protocol | None = None, *, is_whole: bool = False, is_ours: bool = False
    ) -> None:
        self._protocol = protocol
        self._is_whole = is_whole
        self._is_ours = is_ours
        self._head = b""
        self._fed_bytes = 0
        self._decoder: SoupDecoder | FixStreamDecoder | None = None
        self._other = Counter[str]()

    @property
    def counts(self) -> Counter[str]:
        """What the decoder counted."""
        return self._decoder.counts + self._other if self._decoder else self._other

    def feed(self, data: bytes) -> list[Entry]:
        """The messages that are whole now."""
        self._fed_bytes += len(data)
        if self._decoder is not None:
            return self._decoder.feed(data)
        self._head += data
        self._decide()
        return self._start()

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """What the end of the stream reveals."""
        entries: list[Entry] = []
        if self._decoder is None:
            self._decoder = self._guess()
            entries = self._start()
        last, incomplete = self._decoder.finish()
        if self._is_ours or self._decoder.is_found:
            return entries + last, incomplete
        self._other[OTHER_STREAM_BYTES] = self._fed_bytes
        return [], None

    def behind_hole(self) -> "ConnectionDecoder":
        """The decoder of what comes after missing bytes; this one is finished."""
        decoder = self._decoder
        if decoder is None or not (self._is_ours or decoder.is_found):
            return ConnectionDecoder(self._protocol)
        protocol = decoder.protocol if isinstance(decoder, SoupDecoder) else "fix"
        return ConnectionDecoder(protocol, is_ours=True)

    def _start(self) -> list[Entry]:
        """Hand what has been kept to the decoder, if one was chosen."""
        if self._decoder is None:
            return []
        head, self._head = self._head, b""
        return self._decoder.feed(head)

    def _decide(self) -> None:
        """Choose the decoder as soon as the bytes say enough."""
        head, protocol = self._head, self._protocol
        if self._is_whole and protocol != "fix":
            length = packet_length(head)
            if length:
                self._decoder = SoupDecoder(protocol)
            if length or length is None:
                return
        is_clear = protocol is not None or head.startswith(_FIX_START)
        if len(head) >= (len(_FIX_START) if is_clear else DECISIVE_BYTES):
            self._decoder = self._guess()

    def _guess(self) -> SoupDecoder | FixStreamDecoder:
        """By what there is: FIX where it looks like a message's start or fields, else a search."""
        head, protocol = self._head, self._protocol
        if protocol == "fix" or (protocol is None and looks_like_fix(head)):
            self._is_ours = self._is_ours or head.startswith(_FIX_START)
            return FixStreamDecoder()
        return SoupDecoder(protocol, PacketFinder())
