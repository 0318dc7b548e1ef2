"""Compile every kernel once: two processes that fill one cache at the same time can crash, and a
market does not wait.

The cache belongs to exactly this source (`protocols.jit`), so a mark in it says that nothing is
left to compile.
"""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from feedhandler.server.warmup_apart import compile_apart
from protocols.kernel_cache import CACHE_DIRECTORY, JIT_ENABLED, make_cache_directory

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
    make_cache_directory(CACHE_DIRECTORY)
    with (CACHE_DIRECTORY / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def warm_up() -> None:
    """Compile what is missing, with a progress bar; does nothing when all is there. Other processes
    wait for the one that compiles.
    """
    started_ns = time.monotonic_ns()
    if not _compile_once(_DONE, _find_families):
        return
    _forget_old_caches()
    seconds = (time.monotonic_ns() - started_ns) / 1e9
    sys.stderr.write(f"kernels compiled in {seconds:.0f} s, kept in {CACHE_DIRECTORY}\n")


def warm_up_now(name: str, steps: list[Step]) -> None:
    """Compile what set-up leaves out because few want it: once, with a progress bar, when somebody
    does. `name` is that of a mark in the cache.
    """
    _compile_once(name, lambda: {name: steps})


def _compile_once(name: str, find_families: Callable[[], dict[str, list[Step]]]) -> bool:
    """Compile families whose mark the cache does not have; whether that was done here."""
    mark = CACHE_DIRECTORY / name
    if not JIT_ENABLED or mark.exists():
        return False
    with compiling_alone():
        if mark.exists():
            return False
        _compile(find_families())
        mark.touch()
    return True


def run_family(family: str) -> None:
    """Run the steps of one family, and print the title of each when it is done."""
    for title, compile_step in _find_families()[family]:
        compile_step()
        print(title, flush=True)  # noqa: T201 - read by the process that started this one


def _find_families() -> dict[str, list[Step]]:
    """Steps of every installed package: an entry point names a function that returns a list of
    (title, function). Those whose names have the same first part (engine, engine-replay) share
    kernels, so one process compiles them.
    """
    families: dict[str, list[Step]] = {}
    for point in sorted(entry_points(group=WARMUP_GROUP), key=lambda point: point.name):
        families.setdefault(point.name.partition("-")[0], []).extend(point.load()())
    return families


def _compile(families: dict[str, list[Step]]) -> None:
    """Run every step: where there are the cores for it, in a process for each family first, so that
    this one finds in the cache what they compiled.
    """
    columns = (
        TextColumn("compiling kernels"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    steps = [step for steps in families.values() for step in steps]
    cores = len(os.sched_getaffinity(0))
    is_apart = cores > 1 and len(families) > 1
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(steps))

        def advance(title: str) -> None:
            progress.update(task, advance=1, description=title)

        if is_apart:
            compile_apart(list(families), CACHE_DIRECTORY, cores, advance)
            progress.update(task, completed=0, description="reading them")
        for title, compile_step in steps:
            compile_step()
            advance(title)


def _forget_old_caches() -> None:
    """Keep the caches of the last few versions of the source, so that switching between branches
    stays fast.
    """
    caches = [path for path in CACHE_DIRECTORY.parent.glob("kernels-*") if path.is_dir()]
    for path in sorted(caches, key=_last_use, reverse=True)[_KEEP:]:
        shutil.rmtree(path, ignore_errors=True)


def _last_use(path: Path) -> float:
    return path.stat().st_mtime


if __name__ == "__main__":
    run_family(sys.argv[1])
