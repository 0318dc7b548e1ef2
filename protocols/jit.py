"""`@kernel`: the only place that sets compile flags.

A kernel holds no GIL, allocates nothing and raises nothing. The suffix `_nb` makes it visible
wherever it is called. `NUMBA_DISABLE_JIT=1` runs the same source as plain Python (branch coverage);
`NUMBA_BOUNDSCHECK=1` checks every index (fuzzing).
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import config, njit
from numba.core.errors import NumbaExperimentalFeatureWarning

# First-class functions (the user's patterns and breakers) are announced as experimental on every
# call that has one.
warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)

F = TypeVar("F", bound=Callable[..., Any])

JIT_ENABLED: bool = not config.DISABLE_JIT

_ROOT = Path(__file__).resolve().parent.parent
_CANNOT_WRITE = 73  # EX_CANTCREAT of sysexits.h
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


def _cache_directory(*, is_used: bool) -> Path:
    """Where compiled kernels of exactly this copy of this source are kept: Numba itself notices a
    change of one file only, not of another one that was inlined, so the directory carries the
    digest.
    """
    base = config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    found = Path(base) / "feedhandler" / f"kernels-{_source_digest()}"
    if is_used:
        try:
            found.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # While modules are imported nobody is there to catch anything better.
            reason = f"{error.strerror}; set NUMBA_CACHE_DIR to a folder this user may write to"
            sys.stderr.write(f"feedhandler: error: cannot keep kernels in {found}: {reason}\n")
            raise SystemExit(_CANNOT_WRITE) from None
    return found


CACHE_DIRECTORY = _cache_directory(is_used=JIT_ENABLED)
config.CACHE_DIR = str(CACHE_DIRECTORY)


def _compiled(function: F, *, inline: bool) -> F:
    if not function.__name__.endswith("_nb"):
        raise TypeError(f"{function.__module__}.{function.__name__}: a kernel's name ends in _nb")
    # Without the reference-counting runtime (_nrt=False) a kernel that allocates does not compile,
    # and arrays that travel in tuples are not counted: an operation on a book took 600 ns with it,
    # 75 ns without, 29 ns inlined as well (AMD EPYC, 2 cores, Numba 0.68.1).
    options = {"nogil": True, "cache": True, "error_model": "numpy", "_nrt": False}
    result: F = njit(forceinline=inline, **options)(function)
    return result


def kernel(function: F) -> F:
    """Compile `function` at its first call, cached on disk, inlined into its callers; refuses a
    name that does not end in `_nb`.
    """
    return _compiled(function, inline=True)


def outline_kernel(function: F) -> F:
    """A kernel that is called, not inlined: for large ones with several callers, where a call costs
    less than a second copy.
    """
    return _compiled(function, inline=False)
