"""`@kernel`: the only place that sets compile flags.

A kernel holds no GIL, allocates nothing and raises nothing. The suffix `_nb` makes it visible wherever it is called.
`NUMBA_DISABLE_JIT=1` runs the same source as plain Python (branch coverage); `NUMBA_BOUNDSCHECK=1` checks every index (fuzzing).
"""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from numba import config, njit
from numba.core.errors import NumbaExperimentalFeatureWarning

# First-class functions (the user's patterns and breakers) are announced as experimental on every call that has one.
warnings.simplefilter("ignore", NumbaExperimentalFeatureWarning)

F = TypeVar("F", bound=Callable[..., Any])

JIT_ENABLED: bool = not config.DISABLE_JIT


def kernel(function: F) -> F:
    """Compile `function` at its first call, cached on disk; refuses a name that does not end in `_nb`."""
    if not function.__name__.endswith("_nb"):
        raise TypeError(f"{function.__module__}.{function.__name__}: a kernel's name ends in _nb")
    compiled: F = njit(nogil=True, cache=True, error_model="numpy")(function)
    return compiled
