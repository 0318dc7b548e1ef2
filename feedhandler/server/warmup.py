"""Compile every kernel once: two processes that fill one cache at the same time can crash, and a
market does not wait.

The cache belongs to exactly this source (`protocols.jit`), so a mark in it says that nothing is
left to compile.
"""

import fcntl
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from protocols.jit import CACHE_DIRECTORY, JIT_ENABLED

WARMUP_GROUP = "feedhandler.warmups"
_DONE = "complete"
_KEEP = 3

Step = tuple[str, Callable[[], None]]


def is_warm() -> bool:
    """Whether every kernel of this source is in the cache."""
    return not JIT_ENABLED or (CACHE_DIRECTORY / _DONE).exists()


@contextmanager
def compiling_alone() -> Iterator[None]:
    """While this lasts no other process adds to the cache; a no-op with the JIT off."""
    if not JIT_ENABLED:
        yield
        return
    CACHE_DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (CACHE_DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def warm_up() -> None:
    """Compile what is missing, with a progress bar; does nothing when all is there. Other processes
    wait for the one that compiles.
    """
    if is_warm():
        return
    with compiling_alone():
        if is_warm():
            return
        started_ns = time.monotonic_ns()
        _run_steps(_find_steps())
        (CACHE_DIRECTORY / _DONE).touch()
    _forget_old_caches()
    seconds = (time.monotonic_ns() - started_ns) / 1e9
    sys.stderr.write(f"kernels compiled in {seconds:.0f} s, kept in {CACHE_DIRECTORY}\n")


def _find_steps() -> list[Step]:
    """Steps of every installed package: an entry point names a function that returns a list of
    (title, function).
    """
    steps: list[Step] = []
    for point in sorted(entry_points(group=WARMUP_GROUP), key=lambda point: point.name):
        steps += point.load()()
    return steps


def _run_steps(steps: list[Step]) -> None:
    console = Console(stderr=True)
    columns = (
        TextColumn("compiling kernels"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(steps))
        for title, compile_step in steps:
            progress.update(task, description=title)
            compile_step()
            progress.advance(task)


def _forget_old_caches() -> None:
    """Keep the caches of the last few versions of the source, so that switching between branches
    stays fast.
    """
    caches = [path for path in CACHE_DIRECTORY.parent.glob("kernels-*") if path.is_dir()]
    for path in sorted(caches, key=_last_use, reverse=True)[_KEEP:]:
        shutil.rmtree(path, ignore_errors=True)


def _last_use(path: Path) -> float:
    return path.stat().st_mtime
