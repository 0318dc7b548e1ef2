"""Files that a server writes: the counter file is owned by one server alone, as a second one would
pull it from under the first one's readers.
"""

import fcntl
import os
from pathlib import Path

from feedhandler.server.errors import ExitCode, OsLimitError, UserError


def own_counter_file(path: Path) -> int:
    """Descriptor of a lock beside the counter file; held until the process ends, however it ends.

    Raises OsLimitError when another server has it, UserError when the folder cannot be written.
    """
    lock_path = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(
            f"counters_file: cannot write to {path.parent}: {error.strerror};"
            " name a file in a folder that this user may write to",
            ExitCode.CANNOT_WRITE,
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OsLimitError(
            f"counters_file: another server is running with {path}; stop it or name another file"
        ) from None
    return descriptor
