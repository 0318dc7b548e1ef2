"""Bytes to lines for the hub, without socket or clock: bounded, whoever sends what."""

import re
from collections import deque

_HTTP = re.compile(rb"[A-Z]{3,10} \S* ?HTTP/|host:", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class TooLong:
    """Stands for a line that was longer than the limit, of which nothing was kept."""


class NotTheProtocol:
    """Stands for a line that no hub client sends: HTTP, which a web page could make a browser send,
    with a command in its body; or binary, such as TLS.
    """


Line = bytes | TooLong | NotTheProtocol


class LineFramer:
    """Feed it bytes, ask it for lines: without their ends, and without empty ones. It keeps at most
    one line of `line_bytes`, and what one `feed` brought.
    """

    def __init__(self, line_bytes: int) -> None:
        self._line_bytes = line_bytes
        self._partial = bytearray()
        self._is_skipping = False
        self._lines: deque[Line] = deque()

    @property
    def is_partial(self) -> bool:
        """Whether a line has begun that has no end yet."""
        return bool(self._partial) or self._is_skipping

    @property
    def has_line(self) -> bool:
        """Whether a line waits."""
        return bool(self._lines)

    def feed(self, data: bytes | memoryview) -> None:
        """Take in what came."""
        *whole, rest = bytes(data).split(b"\n")
        for piece in whole:
            self._add(piece)
            self._finish()
        self._add(rest)

    def next_line(self) -> Line | None:
        """The next one, None when there is none yet."""
        return self._lines.popleft() if self._lines else None

    def _add(self, piece: bytes) -> None:
        if self._is_skipping:
            return
        if len(self._partial) + len(piece) > self._line_bytes:
            self._partial += piece[: self._line_bytes - len(self._partial)]
            self._lines.append(_judge(bytes(self._partial)) or TooLong())
            self._partial.clear()
            self._is_skipping = True
        else:
            self._partial += piece

    def _finish(self) -> None:
        line = bytes(self._partial).strip(b" \t\r")
        self._partial.clear()
        was_skipping, self._is_skipping = self._is_skipping, False
        if line and not was_skipping:
            self._lines.append(_judge(line) or line)


def _judge(line: bytes) -> NotTheProtocol | None:
    """What a line shows itself to be, if not one of ours."""
    if _HTTP.match(line) or _CONTROL.search(line):
        return NotTheProtocol()
    return None
