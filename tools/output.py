"""Files that a command writes for its user."""

from pathlib import Path
from typing import BinaryIO

from feedhandler.server.errors import ExitCode, UserError


def open_output(path: Path) -> BinaryIO:
    """The file at `path`, empty and open for writing; UserError (exit code 73) when it cannot be.

    To be opened before the work: a long one must not find at its end that it cannot write.
    """
    try:
        return path.open("wb")
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{path}: cannot be written: {reason}; choose another file"
        raise UserError(message, ExitCode.CANNOT_WRITE) from None
