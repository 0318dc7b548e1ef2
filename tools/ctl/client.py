"""A plain client of the hub: one connection, one command at a time."""

import itertools
import json
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

from feedhandler.server.errors import DataError, UnavailableError

CONNECT_S = 5.0
_SLACK_S = 5.0
"""What an answer may take beyond the command's own deadline: by then the server is not well."""

Line = dict[str, Any]


class HubClient:
    """Connected to the hub at an address and port; UnavailableError where there is none."""

    def __init__(self, address: str, port: int) -> None:
        self._where = f"{address}:{port}"
        self._ids = itertools.count(1)
        self._early: deque[Line] = deque()
        try:
            self._sock = socket.create_connection((address, port), CONNECT_S)
        except OSError as error:
            text = f"no hub at {self._where}: {error.strerror or error}; is [hub] port set, and"
            raise UnavailableError(f"{text} does the server run?") from None
        self._lines = self._sock.makefile("rb")

    def call(self, cmd: str, timeout_ms: int, **arguments: Any) -> Line:
        """The answer to a command; what comes before it is kept for `watch`."""
        command_id = next(self._ids)
        command = {"cmd": cmd, "id": command_id, "timeout_ms": timeout_ms, **arguments}
        self._sock.settimeout(timeout_ms / 1_000 + _SLACK_S)
        try:
            self._sock.sendall(json.dumps(command).encode() + b"\n")
            while (line := self._next()).get("id") != command_id or line["type"] != "answer":
                self._early.append(line)
        except TimeoutError:
            raise UnavailableError(f"{self._where}: no answer to {cmd} in time") from None
        return line

    def watch(self) -> Iterator[Line]:
        """Everything that comes, up to the end of the connection, whose last word is `end`."""
        self._sock.settimeout(None)
        while True:
            line = self._early.popleft() if self._early else self._next()
            yield line
            if line["type"] == "end":
                return

    def close(self) -> None:
        """Leave."""
        self._lines.close()
        self._sock.close()

    def _next(self) -> Line:
        try:
            raw = self._lines.readline()
        except TimeoutError:
            raise
        except OSError as error:
            raise UnavailableError(f"{self._where}: connection lost: {error.strerror}") from None
        if not raw:
            raise UnavailableError(f"{self._where}: the server closed the connection")
        try:
            line = json.loads(raw)
        except ValueError:
            line = None
        if not isinstance(line, dict) or "type" not in line:
            raise DataError(f"{self._where}: this is no hub; it said {raw[:60]!r}")
        return line
