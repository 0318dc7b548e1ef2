"""Memory is taken at start or not at all: what the engine needs is compared with what there is, and
every page is touched, so that no message pays for a page fault later.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.engine import Shard
from feedhandler.server.errors import OsLimitError

_PAGE_BYTES = 4096
_MIB = 1 << 20
_LARGEST_NAMED = 3


def blocks(owner: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name and array of everything that a shard, a receiver or any other tuple of arrays has
    allocated, `book.words` for a nested one.
    """
    yield from _named_arrays("", owner)


def _named_arrays(prefix: str, parts: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in parts._fields:
        value = getattr(parts, name)
        if isinstance(value, np.ndarray):
            yield prefix + name, value
        elif hasattr(value, "_fields"):
            yield from _named_arrays(f"{prefix}{name}.", value)


def blocks_once(owners: Sequence[Shard]) -> Iterator[tuple[int, str, NDArray[Any]]]:
    """Place of the owner, name and array of everything that several have; what they share is the
    first one's.
    """
    known: set[int] = set()
    for place, owner in enumerate(owners):
        for name, array in blocks(owner):
            if array.ctypes.data not in known:
                yield place, name, array
            known.add(array.ctypes.data)


def reserve_memory(shards: Sequence[Shard], available_bytes: int | None = None) -> int:
    """Touch every page of the shards' memory; how many bytes that is.

    Raises OsLimitError, naming the largest blocks, when the machine has less than that to give.
    """
    sizes = sorted(((each.nbytes, name) for _, name, each in blocks_once(shards)), reverse=True)
    needed = sum(size for size, _name in sizes)
    available = available_bytes_now() if available_bytes is None else available_bytes
    if needed > available:
        largest = ", ".join(f"{name} {size // _MIB} MiB" for size, name in sizes[:_LARGEST_NAMED])
        raise OsLimitError(
            f"engine: {needed // _MIB} MiB are needed and {available // _MIB} MiB are available;"
            f" the largest blocks are {largest}: lower their sizes in [engine]"
        )
    for _place, _name, array in blocks_once(shards):
        pages = array.reshape(-1).view(np.uint8)[::_PAGE_BYTES]
        # A write of what is there already: reading alone would map the one shared page of zeros.
        pages |= 0
    return needed


def available_bytes_now() -> int:
    """What the kernel thinks that a new process could have (`MemAvailable`, man 5 proc)."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - not a file of ours
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62
