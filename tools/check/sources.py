"""The files that the house rules look at, and the shape of what they report."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("protocols", "feedhandler", "adapters", "oms_out", "tools")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One broken rule: where, and what to do about it."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Source:
    """A text file of the project: `path` relative to its root with forward slashes."""

    path: str
    text: str

    @property
    def is_python(self) -> bool:
        """Whether the file is a Python module."""
        return self.path.endswith(".py")

    @property
    def is_shipped(self) -> bool:
        """Whether the file is part of the wheel: everything but tests and documents."""
        return self.path.split("/", 1)[0] in PACKAGES


def project_sources(root: Path = ROOT) -> Iterator[Source]:
    """Every text file that git tracks, or would track, under `root`; binary files are left out."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listing = subprocess.run(command, cwd=root, check=True, capture_output=True)
    for name in sorted(filter(None, listing.stdout.decode().split("\0"))):
        path = root / name
        if not path.is_file():
            continue
        try:
            yield Source(name, path.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue
