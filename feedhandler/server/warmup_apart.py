"""Compile in several processes at once, each into a folder of its own; then put all of it together.

Two processes that add to one of Numba's indices can mix up what it points to; so none of them
sees another's. What two of them compiled is taken from one: a compiled kernel holds what it calls.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_INDEX = ".nbi"


def compile_apart(
    families: Sequence[str], into: Path, at_once: int, on_step: Callable[[str], None]
) -> None:
    """Compile each family of steps in a process of its own, `at_once` at a time, the first ones
    first; then all of it is in `into`.

    `on_step` gets the title of each step when it is done. What a process that fails did not
    compile is missing: the caller runs every step once more, and meets the reason.
    """
    parts = into / "apart"
    shutil.rmtree(parts, ignore_errors=True)
    folders = [parts / family for family in families]
    try:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(_compile_family, families, folders, [on_step] * len(families)))
        for folder in folders:
            # As `protocols.jit` names them, below the folder that it is told to use.
            _take_over(folder / into.parent.name / into.name, into)
    finally:
        shutil.rmtree(parts, ignore_errors=True)


def _command(family: str) -> list[str]:
    return [sys.executable, "-m", "feedhandler.server.warmup", family]


def _compile_family(family: str, folder: Path, on_step: Callable[[str], None]) -> None:
    with subprocess.Popen(  # noqa: S603 - this very program
        _command(family),
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        for line in process.stdout or ():
            on_step(line.strip())


def _take_over(source: Path, into: Path) -> None:
    """Move what `into` does not have: the code of each kernel, then the index that names it."""
    for index in source.rglob(f"*{_INDEX}"):
        folder = into / index.relative_to(source).parent
        if (folder / index.name).exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for code in index.parent.glob(f"{index.name.removesuffix(_INDEX)}.*.nbc"):
            code.replace(folder / code.name)
        index.replace(folder / index.name)
