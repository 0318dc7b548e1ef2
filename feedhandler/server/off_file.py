"""Functions that a server does not call, as one of them never returned: they stay off over restarts
until a person says otherwise.

    # words of explanation
    NAME <tab> UTC time <tab> reason <tab> file:line of the function

A line for each; only the name is read. To have one called again: `feedhandler ctl enable NAME`, or
delete its line and reload or restart.
"""

from datetime import UTC, datetime
from pathlib import Path

from feedhandler.server.errors import ConfigError, ExitCode, UserError

_HEAD = (
    "# Patterns and breakers that the server does not call. `feedhandler ctl enable NAME` has one\n"
    "# called again; so does deleting its line, with the next reload or start.\n"
)
_NAME = "functions.off"


def off_path(off_file: str, state_folder: str) -> Path:
    """Where it lies: as configured, or in the folder of what the server keeps."""
    return Path(off_file) if off_file else Path(state_folder) / _NAME


def read_off(path: Path) -> frozenset[str]:
    """Names of the functions; none without a file. ConfigError for one that cannot be read."""
    return frozenset(line.split("\t")[0].strip() for line in _lines(path))


def add_off(path: Path, name: str, reason: str, place: str) -> None:
    """Note a function; UserError when that cannot be written."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = [line for line in _lines(path) if line.split("\t")[0].strip() != name]
    _write(path, [*kept, f"{name}\t{now}\t{reason}\t{place}"])


def remove_off(path: Path, name: str) -> bool:
    """Forget a function; whether it was there."""
    lines = _lines(path)
    kept = [line for line in lines if line.split("\t")[0].strip() != name]
    if len(kept) == len(lines):
        return False
    _write(path, kept)
    return True


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"off_file: cannot read {path}: {error}; mend or delete it") from None
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _write(path: Path, lines: list[str]) -> None:
    """The whole file at once."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(_HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise UserError(
            f"off_file: cannot write {path}: {error.strerror}", ExitCode.CANNOT_WRITE
        ) from None
