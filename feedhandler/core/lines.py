"""Arrays that share no cache line with anything else.

What one thread writes must not lie beside what another one writes: each store would take the line
away from the other. An allocator puts small arrays side by side, those of two shards too.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE_BYTES = 128
"""Two lines of 64 bytes: processors fetch them in pairs."""


def zeros(shape: int | tuple[int, ...], dtype: Any = np.int64) -> NDArray[Any]:
    """As `numpy.zeros`, from the beginning of a line, and with the rest of its last one unused."""
    kind = np.dtype(dtype)
    cells = int(np.prod(shape))
    (array,) = carve([(cells, kind)], LINE_BYTES)
    return array.reshape(shape)


def carve(sizes: Iterable[tuple[int, Any]], align_bytes: int) -> list[NDArray[Any]]:
    """Zeroed arrays (count, dtype), each from the beginning of a line, one behind the other in a
    single stretch of memory that begins at a multiple of `align_bytes`.
    """
    wanted = [(count, np.dtype(kind)) for count, kind in sizes]
    places = [0]
    for count, kind in wanted:
        places.append(-(-(places[-1] + count * kind.itemsize) // LINE_BYTES) * LINE_BYTES)
    memory = np.zeros(places[-1] + align_bytes, np.uint8)
    first = -memory.ctypes.data % align_bytes
    return [
        memory[first + at : first + at + count * kind.itemsize].view(kind)
        for at, (count, kind) in zip(places, wanted, strict=False)
    ]
