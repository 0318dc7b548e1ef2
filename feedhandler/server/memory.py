"""Memory is taken at start or not at all: what the engine needs is compared with what there is, and
every page is touched, so that no message pays for a page fault later.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import compare_exchange
from feedhandler.core.shard import Shard
from feedhandler.server.errors import OsLimitError
from protocols.jit import outline_kernel

_PAGE_BYTES = 4096
_WORD_BYTES = 8
_MIB = 1 << 20
_STRETCH_BYTES = 8 * _MIB
"""What one thread touches at a time."""
_THREADS_MAX = 4
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
    """Touch every page of the shards' memory, so many bytes; errors as `memory_reserved`."""
    with memory_reserved(shards, available_bytes) as needed:
        return needed


@contextmanager
def memory_reserved(shards: Sequence[Shard], available_bytes: int | None = None) -> Iterator[int]:
    """Touch every page of the shards' memory, so many bytes, while the body runs, which may use it.

    By several threads: a machine that has to get the pages from its host first takes seconds for a
    GiB with one. Raises OsLimitError, naming the largest blocks, when the machine has less to give.
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
    threads = min(len(os.sched_getaffinity(0)), _THREADS_MAX)
    with ThreadPoolExecutor(threads, "touch") as pool:
        touched = [pool.submit(touch_pages_nb, each) for each in _stretches(shards)]
        yield needed
        for each in touched:
            each.result()


def _stretches(shards: Sequence[Shard]) -> Iterator[NDArray[np.int64]]:
    """All memory of the shards in pieces; what is left of a last word is on a page of its piece."""
    for _place, _name, array in blocks_once(shards):
        words = array.reshape(-1).view(np.uint8)[: array.nbytes & -_WORD_BYTES].view(np.int64)
        step = _STRETCH_BYTES // _WORD_BYTES
        yield from (words[at : at + step] for at in range(0, len(words), step))


@outline_kernel
def touch_pages_nb(words: NDArray[np.int64]) -> None:
    """Write what is there already to each page of `words`: reading alone would map the one shared
    page of zeros. Atomic, as the body of `memory_reserved` may write there too.
    """
    last = words.shape[0] - 1
    for i in range(0, last, _PAGE_BYTES // _WORD_BYTES):
        compare_exchange(words, i, 0, 0)
    if last >= 0:
        compare_exchange(words, last, 0, 0)


def available_bytes_now() -> int:
    """What the kernel thinks that a new process could have (`MemAvailable`, man 5 proc)."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - not a file of ours
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62
