"""`@kernel`: the only place that sets compile flags.

A kernel holds no GIL, allocates nothing and raises nothing. The suffix `_nb` makes it visible
wherever it is called. `NUMBA_DISABLE_JIT=1` runs the same source as plain Python (branch coverage);
`NUMBA_BOUNDSCHECK=1` checks every index (fuzzing).
"""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import config, njit
from numba.core.errors import NumbaExperimentalFeatureWarning

from protocols.kernel_cache import CACHE_DIRECTORY, JIT_ENABLED, make_cache_directory

# First-class functions (the user's patterns and breakers) are announced as experimental on every
# call that has one.
warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)

F = TypeVar("F", bound=Callable[..., Any])

make_cache_directory(CACHE_DIRECTORY)
config.DISABLE_JIT = int(not JIT_ENABLED)
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
