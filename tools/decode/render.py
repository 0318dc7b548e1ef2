"""One line a message: a JSON object, or columns for a person."""

from collections.abc import Callable
from typing import Any

import msgspec

from tools.decode.entries import Entry, Row, clock_text

Render = Callable[[Entry, Row, int | None, str], bytes]
"""From a message, the time of its capture (None in a file) and its flow to a line."""

_IN_COLUMNS = {"message_type", "timestamp"}
_NS_PER_DAY = 86_400_000_000_000
_SHOWN_BYTES_MAX = 64
_encode = msgspec.json.Encoder().encode


def json_line(entry: Entry, row: Row, ts_ns: int | None, flow: str) -> bytes:
    """An object with `seq`, in captures `ts_ns` and `flow`, `type`, `name` and the fields; of what
    could not be read, `fault`, `error`, `offset` and the bytes as `hex`.
    """
    if ts_ns is None and not flow:
        shown = {"seq": entry.seq, "type": row.type, "name": row.name, **row.values}
    else:
        head = {"seq": entry.seq, "ts_ns": ts_ns, "flow": flow}
        shown = {**head, "type": row.type, "name": row.name, **row.values}
    if row.fault:
        shown |= {"fault": row.fault, "error": row.text, "offset": entry.offset}
        shown["hex"] = entry.raw.hex()
    return _encode(shown) + b"\n"


def text_line(entry: Entry, row: Row, ts_ns: int | None, flow: str) -> bytes:
    """Capture time in UTC and flow (captures only), number, the message's own time, type, name, and
    the fields as name=value.
    """
    parts = []
    if ts_ns is not None:
        parts.append(clock_text(ts_ns % _NS_PER_DAY))
    if flow:
        parts.append(f"{flow:<21}")
    seq = "-" if entry.seq is None else str(entry.seq)
    time = _shown(entry.reader.time(row.values))
    parts.append(f"{seq:>9}  {time:<18}  {_shown(row.type):<2} {row.name:<26}")
    parts += [
        f"{name}={_shown(value)}" for name, value in row.values.items() if name not in _IN_COLUMNS
    ]
    if row.fault:
        raw = entry.raw[:_SHOWN_BYTES_MAX].hex()
        dots = "..." if len(entry.raw) > _SHOWN_BYTES_MAX else ""
        parts.append(f"! {row.text} (offset {entry.offset}) {raw}{dots}")
    return "  ".join(parts).rstrip().encode() + b"\n"


def _shown(value: Any) -> str:
    """A value on a terminal: text that is not plain comes in quotes, with nothing that the terminal
    would take for a command; entries of groups come in braces.
    """
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return ",".join(_shown(item) for item in value)
    if isinstance(value, dict):
        fields = (f"{_shown(name)}={_shown(item)}" for name, item in value.items())
        return f"{{{' '.join(fields)}}}"
    if isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value:
        return value
    return ascii(value)
