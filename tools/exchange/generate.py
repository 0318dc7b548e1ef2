"""`exchange generate`: a whole session in a BinaryFILE, and the truth about it.

BinaryFILE: a u16 length and the message, one after the other; a length of zero ends the session.
"""

import gzip
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from feedhandler.server.errors import ExitCode, UserError
from tools.exchange.day import SESSION_S_MAX, fits_a_day
from tools.exchange.flow import generate_nb
from tools.exchange.layout import CLOSING_COUNT, FlowSettings, allocate_engine
from tools.exchange.truth import summary

_BUFFER_BYTES = 4 << 20
_BATCH_MESSAGES = 1 << 20
_END = bytes(2)
_COMPRESSION = 1
"""gzip's fastest: the files are for tests, and made more often than kept."""


def generate_file(settings: FlowSettings, path: Path) -> dict[str, Any]:
    """Write the session to `path`, gzipped when so named, and its truth beside it; returns that.

    UserError when the session is too short to hold its own end, or too long for a day; OSError from
    the disk.
    """
    if settings.messages < CLOSING_COUNT:
        raise UserError(
            f"--messages {settings.messages}: a session ends with {CLOSING_COUNT} messages, "
            f"so it has at least as many",
            ExitCode.USAGE,
        )
    if not fits_a_day(settings.messages, settings.simulated_rate):
        raise UserError(
            f"--messages {settings.messages}: at --simulated-rate {settings.simulated_rate} they"
            f" last beyond midnight; {SESSION_S_MAX * settings.simulated_rate} at most",
            ExitCode.USAGE,
        )
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            # No name and no time in the file, so that the same session is the same file.
            with gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed:
                truth = _write_session(settings, packed)
        else:
            truth = _write_session(settings, raw)
    Path(f"{path}.truth.json").write_bytes(msgspec.json.encode(truth) + b"\n")
    return truth


def _write_session(settings: FlowSettings, file: BinaryIO | gzip.GzipFile) -> dict[str, Any]:
    engine = allocate_engine(settings)
    buffer = np.zeros(_BUFFER_BYTES, np.uint8)
    while True:
        count, size = generate_nb(engine, buffer, _BATCH_MESSAGES)
        if count == 0:
            break
        file.write(buffer[:size].data)
    file.write(_END)
    return summary(engine)
