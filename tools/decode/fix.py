"""FIX as a stream of bytes and as lines of a log."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from protocols.fix.framing import TRAILER_BYTES, Framer, checksum
from tools.decode.entries import GARBLED, Entry, Fault, Incomplete, Row, SymbolFields
from tools.decode.fixnames import fix_text, read_named

INVALID_FIX = "invalid_fix"
_MESSAGE_BYTES_MAX = 1 << 20
_LINE_BYTES_MAX = 1 << 20
_SOH = b"\x01"
_START = b"8=FIX"
_SEQ = re.compile(rb"\x0134=([0-9]{1,18})\x01")
_HEADER = re.compile(rb"8=FIX[.0-9A-Z]{1,8}\x019=([0-9]{1,9})\x01")
_TRAILER = re.compile(rb"\x0110=([0-9]{3})(?:\x01|$)")
LINE_SEPARATOR = re.compile(rb"8=FIX[.0-9A-Z]{1,8}(\x01|\||\^A)9=")
"""The start of a message in a log, and what separates its fields there."""
BODY_LINE = re.compile(rb"35=[0-9A-Za-z]{1,8}(\x01|\||\^A)")
"""The start of a line that is a message without header and trailer: files of security definitions
have them.
"""


class FixReader:
    """Reads a FIX message with SOH separators; what contradicts the standard is said beside the
    fields. With `is_bare` there is no header and no trailer to check.
    """

    symbol_fields = SymbolFields("Symbol")

    def __init__(self, *, is_bare: bool = False) -> None:
        self._is_bare = is_bare

    def read(self, raw: bytes) -> Row:
        """Type, name and fields of the message."""
        named = read_named(raw)
        text = "" if self._is_bare else frame_problem(raw)
        if not text:
            text = named.message.fault.text if named.message.fault else named.problem
        fault = INVALID_FIX if text else ""
        return Row(fix_text(named.message.msg_type), named.name, named.values, fault, text)

    def time(self, values: Mapping[str, Any]) -> str:
        """SendingTime."""
        return str(values.get("SendingTime", ""))


_READER = FixReader()
_BARE_READER = FixReader(is_bare=True)


def frame_problem(raw: bytes) -> str:
    """What is wrong with the first two fields or the last one; "" nothing."""
    header, trailer = _HEADER.match(raw), _TRAILER.search(raw, max(len(raw) - TRAILER_BYTES - 1, 0))
    if header is None:
        return "BeginString (8) and BodyLength (9) do not begin it"
    if trailer is None:
        return "CheckSum (10) does not end it"
    stated, found = int(header[1]), trailer.start() + 1 - header.end()
    if stated != found:
        return f"BodyLength (9) is {stated}, the body has {found} bytes"
    stated, found = int(trailer[1]), checksum(raw[: trailer.start() + 1])
    return f"CheckSum (10) is {stated:03d}, the bytes make {found:03d}" if stated != found else ""


class FixStreamDecoder:
    """Messages of one direction of a FIX connection; `seq` is MsgSeqNum."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.is_found = False
        """A message has come."""
        self._framer = Framer(_MESSAGE_BYTES_MAX)
        self._fed_bytes = 0
        self._done_bytes = 0

    def feed(self, data: bytes) -> list[Entry]:
        """The messages that are whole now, and what lay before each that was none."""
        entries: list[Entry] = []
        self._framer.feed(data)
        self._fed_bytes += len(data)
        while (frame := self._framer.next_frame()) is not None:
            offset = self._fed_bytes - self._framer.buffered_bytes - len(frame)
            self._note_garbled(entries, offset)
            entries.append(Entry(_seq_of(frame), offset, frame, _READER))
            self.is_found = True
            self._done_bytes = offset + len(frame)
        return entries

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """What is behind the last message."""
        entries: list[Entry] = []
        pending = self._framer.buffered_bytes
        offset = self._fed_bytes - pending
        self._note_garbled(entries, offset)
        if not pending:
            return entries, None
        return entries, Incomplete(offset, f"ends within a message, {pending} bytes of it")

    def _note_garbled(self, entries: list[Entry], offset: int) -> None:
        size = offset - self._done_bytes
        if size:
            text = f"{size} bytes are no FIX message: start, length or checksum is wrong"
            entries.append(Entry(None, self._done_bytes, b"", Fault(GARBLED, text)))
            self._done_bytes = offset


class FixLinesDecoder:
    """Messages of a log, one a line, behind whatever the log puts before them; fields are separated
    by SOH, "|" or "^A". `seq` is MsgSeqNum.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._rest = bytearray()
        self._offset = 0
        self._searched_bytes = 0
        self._is_skipping = False

    def feed(self, data: bytes) -> list[Entry]:
        """The messages of the lines that are whole now."""
        entries: list[Entry] = []
        self._rest += data
        at = 0
        while (end := self._rest.find(b"\n", max(at, self._searched_bytes))) >= 0:
            self._take_line(entries, at, end)
            at = end + 1
        del self._rest[:at]
        self._offset += at
        self._searched_bytes = len(self._rest)
        if self._is_skipping or self._searched_bytes > _LINE_BYTES_MAX:
            self._skip_line(entries)
            self._offset += self._searched_bytes
            self._rest.clear()
            self._searched_bytes = 0
        return entries

    def finish(self) -> tuple[list[Entry], Incomplete | None]:
        """The last line, where no line end follows it."""
        entries: list[Entry] = []
        if self._rest:
            self._take_line(entries, 0, len(self._rest))
            self._rest.clear()
        return entries, None

    def _take_line(self, entries: list[Entry], at: int, end: int) -> None:
        if end - at > _LINE_BYTES_MAX:
            self._skip_line(entries, at)
        elif not self._is_skipping:
            self._add(entries, bytes(self._rest[at:end]), self._offset + at)
        self._is_skipping = False

    def _skip_line(self, entries: list[Entry], at: int = 0) -> None:
        """Leave out a line that is too long to be a message, up to its end."""
        if not self._is_skipping:
            text = f"a line of more than {_LINE_BYTES_MAX} bytes"
            entries.append(Entry(None, self._offset + at, b"", Fault(GARBLED, text)))
        self._is_skipping = True

    def _add(self, entries: list[Entry], line: bytes, offset: int) -> None:
        start = line.find(_START)
        separator, reader = LINE_SEPARATOR.match(line, max(start, 0)), _READER
        if start < 0:
            separator, reader = BODY_LINE.match(line), _BARE_READER
            if separator is None:
                self.counts["line_without_message"] += 1
                return
            start = 0
        raw = line[start:].rstrip(b"\r")
        if separator is not None:
            raw = raw.replace(separator[1], _SOH)
        trailer = _TRAILER.search(raw)
        if trailer is not None:
            raw = raw[: trailer.end()]
        if not raw.endswith(_SOH):
            raw += _SOH
        entries.append(Entry(_seq_of(raw), offset + start, raw, reader))


def _seq_of(frame: bytes) -> int | None:
    found = _SEQ.search(frame)
    return int(found[1]) if found else None
