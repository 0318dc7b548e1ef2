"""Whether kernels are compiled, and where they are kept then: known without loading a compiler."""

import hashlib
import os
import sys
from pathlib import Path

JIT_ENABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") in {"", "0"}

_CANNOT_WRITE = 73  # EX_CANTCREAT of sysexits.h
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("protocols", "feedhandler", "adapters", "oms_out", "tools")


def _source_digest() -> str:
    """Short digest of every source file whose kernels may be inlined into each other, and of the
    folder that they lie in: Numba finds what it compiled by the path of its source, so nothing that
    another copy of the same source compiled is of use to this one.
    """
    digest = hashlib.sha256(bytes(_ROOT))
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(_ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_directory() -> Path:
    """Where compiled kernels of exactly this copy of this source are kept: Numba itself notices a
    change of one file only, not of another one that was inlined, so the directory carries the
    digest.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "feedhandler" / f"kernels-{_source_digest()}"


CACHE_DIRECTORY = _cache_directory()


def make_cache_directory(directory: Path) -> None:
    """Make the folder, where there is none; ends the process with one line where it cannot. With
    the JIT off nothing is kept, and nothing made.
    """
    if not JIT_ENABLED:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # Mostly while modules are imported: nobody is there to catch anything better.
        reason = f"{error.strerror}; set NUMBA_CACHE_DIR to a folder this user may write to"
        where = f"cannot keep kernels in {directory}"
        sys.stderr.write(f"feedhandler: error: {where}: {reason}\n")
        raise SystemExit(_CANNOT_WRITE) from None
