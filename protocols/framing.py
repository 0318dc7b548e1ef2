"""A stream of blocks, each behind a u16 big-endian length that does not count itself: the framing
of BinaryFILE and SoupBinTCP, for tools that read at their own pace. The hot path has kernels for
each.
"""

LENGTH_BYTES = 2


class BlockFramer:
    """Feed bytes however split, get whole blocks.

    Memory is bounded by the longest block (65,537 bytes) and what one `feed` brings.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._needed_bytes = LENGTH_BYTES
        self._offset = 0

    @property
    def offset(self) -> int:
        """Where in the stream the first byte lies that belongs to no whole block yet."""
        return self._offset

    @property
    def pending_bytes(self) -> int:
        """Bytes of a block that is not whole."""
        return len(self._rest)

    @property
    def missing_bytes(self) -> int:
        """Bytes that have to come at least before there is another block (or its length)."""
        return self._needed_bytes - len(self._rest)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The blocks that are whole now, each with the offset of its length in the stream; a block
        of length 0 is b"".
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed_bytes:
                return []
            data = bytes(self._rest)
        blocks = []
        base, at, size = self._offset, 0, len(data)
        end = LENGTH_BYTES
        while at + LENGTH_BYTES <= size:
            end = at + LENGTH_BYTES + (data[at] << 8 | data[at + 1])
            if end > size:
                break
            blocks.append((base + at, data[at + LENGTH_BYTES : end]))
            at = end
        self._rest = bytearray(data[at:])
        self._needed_bytes = LENGTH_BYTES if size - at < LENGTH_BYTES else end - at
        self._offset = base + at
        return blocks
