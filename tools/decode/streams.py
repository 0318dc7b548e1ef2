"""Which decoder reads a stream of bytes: by its framing where that is known, else by its start."""

from collections import Counter
from collections.abc import Callable, Mapping

from tools.decode.decoders import BinaryFileDecoder, SoupDecoder
from tools.decode.entries import Decoder, Entry, Incomplete
from tools.decode.fix import FixLinesDecoder, FixNames, FixStreamDecoder
from tools.decode.sniff import Framing, Protocol

_FIX_START = b"8=FIX"

DECODERS: Mapping[Framing, Callable[[Protocol | None, FixNames], Decoder]] = {
    "binaryfile": lambda _protocol, _names: BinaryFileDecoder(),
    "soupbintcp": lambda protocol, _names: SoupDecoder(None if protocol == "fix" else protocol),
    "stream": lambda _protocol, names: FixStreamDecoder(names),
    "lines": lambda _protocol, names: FixLinesDecoder(names),
}
"""A decoder for every way in which messages lie in a stream of bytes."""

_FRAMING_OF_CONNECTION: Mapping[Protocol, Framing] = {
    "itch50": "soupbintcp",
    "ouch42": "soupbintcp",
    "fix": "stream",
}


def stream_decoder(framing: Framing | None, protocol: Protocol | None, names: FixNames) -> Decoder:
    """The decoder of a file with this framing, or of a TCP connection, whose framing is None."""
    if framing is None and protocol is not None:
        framing = _FRAMING_OF_CONNECTION[protocol]
    if framing is None:
        return ConnectionDecoder(names)
    return DECODERS[framing](protocol, names)


class ConnectionDecoder:
    """One direction of a TCP connection of which nothing is known: FIX when it begins like FIX,
    else SoupBinTCP.
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
        if self._decoder is None:
            self._head += data
            is_fix = self._head.startswith(_FIX_START)
            if not is_fix and _FIX_START.startswith(self._head):
                return []
            data = self._head
            self._decoder = DECODERS["stream" if is_fix else "soupbintcp"](None, self._names)
        return self._decoder.feed(data)

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """What the end of the stream reveals."""
        if self._decoder is not None:
            return self._decoder.finish()
        size = len(self._head)
        return [], Incomplete(0, f"ends after {size} bytes of a message") if size else None
