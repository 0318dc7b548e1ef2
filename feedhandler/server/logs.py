"""Logging at the edge: one JSON object a line on standard error, or coloured lines on a terminal.

    {"ts":"2026-01-02T03:04:05.123456789Z","level":"info","event":"channel_live",...}

`FEEDHANDLER_LOG_FORMAT` (json or console) and `FEEDHANDLER_LOG_LEVEL` choose. Secrets of FIX
messages never appear: the values of passwords and raw data are replaced in every string, and SOH is
shown as `|`. Nothing on the hot path logs.
"""

import contextlib
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import msgspec
import structlog

from feedhandler.server.errors import ConfigError

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("json", "console")
REDACTED = "***"
_NS_PER_S = 1_000_000_000

# These fields may hold any byte, a separator too; the field before says their length.
_SIZED_SECRET = re.compile(r"(?:^|(?<=[\x01|]))(?:95|1401|1403)=(\d{1,9})[\x01|](?:96|1402|1404)=")
_PLAIN_SECRET = re.compile(r"(^|[\x01| ])(554|925|96|1402|1404)=(?!\*\*\*)[^\x01|]*")

Event = MutableMapping[str, Any]


class _Sink:
    """A stream for log lines; one that cannot be written is lost, and nothing else is: whoever logs
    must not fail as the disk of the log is full or its reader is gone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Characters written, 0 when the stream refuses."""
        try:
            return self._stream.write(text)
        except OSError:
            return 0

    def flush(self) -> None:
        """Write what is held back, or lose it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logging(
    component: str,
    *,
    environ: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up structlog and the standard library's logging (asyncio uses it) for this process.

    `component` is on every line that names no other. `environ` is os.environ and `stream` standard
    error unless given. Raises ConfigError for an unknown level or format.
    """
    variables = os.environ if environ is None else environ
    output = sys.stderr if stream is None else stream
    sink = _Sink(output)
    level_name = _choice(variables, "FEEDHANDLER_LOG_LEVEL", "info", LOG_LEVELS)
    default_format = "console" if output.isatty() else "json"
    log_format = _choice(variables, "FEEDHANDLER_LOG_FORMAT", default_format, LOG_FORMATS)
    level = logging.getLevelNamesMapping()[level_name.upper()]

    def add_component(_logger: Any, _method: str, event: Event) -> Event:
        event.setdefault("component", component)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        add_component,
        _add_time,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    final: list[structlog.typing.Processor]
    if log_format == "json":
        final = [redact_event, _render_json]
    else:
        final = [redact_event, structlog.dev.ConsoleRenderer(colors=output.isatty())]
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", sink)),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sink)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[remove_meta, *final], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


def redact(text: str) -> str:
    """`text` without the values of FIX tags 554, 925, 96, 1402 and 1404, and with `|` for SOH."""
    parts, start = [], 0
    while match := _SIZED_SECRET.search(text, start):
        parts.append(text[start : match.end()] + REDACTED)
        start = match.end() + int(match[1])
    parts.append(text[start:])
    return _PLAIN_SECRET.sub(rf"\1\2={REDACTED}", "".join(parts)).replace("\x01", "|")


def redact_event(_logger: Any, _method: str, event: Event) -> Event:
    """Redact every string in a log event, however deep."""
    for key, value in event.items():
        event[key] = _redact_value(value)
    return event


def rfc3339_ns(time_ns: int) -> str:
    """UTC of `time_ns` since the epoch with nine decimals: `2026-01-02T03:04:05.123456789Z`."""
    seconds, nanoseconds = divmod(time_ns, _NS_PER_S)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def _redact_value(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _redact_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    return value


def _choice(
    environ: Mapping[str, str], variable: str, default: str, choices: tuple[str, ...]
) -> str:
    """Value of a variable that takes one of a few words."""
    value = environ.get(variable, default).lower()
    if value not in choices:
        raise ConfigError(
            f"environment variable {variable}: unknown value {value!r}; choose one of"
            f" {', '.join(choices)}"
        )
    return value


def _add_time(_logger: Any, _method: str, event: Event) -> Event:
    """`ts` first, then level and event, whatever the caller's order was."""
    head = {"ts": rfc3339_ns(time.time_ns()), "level": event["level"], "event": event["event"]}
    return head | {key: value for key, value in event.items() if key not in head}


def _render_json(_logger: Any, _method: str, event: Event) -> str:
    """One line; what JSON does not know is written as its text."""
    return msgspec.json.encode(event, enc_hook=str).decode()
