"""Counting instructions: what a program asks of valgrind while it runs under its tool callgrind,
and how to start one so.

A count does not depend on what else the machine does. For it not to depend on which machine it is
either, kernels are compiled for one processor, x86-64-v3, whose instructions valgrind knows.
Source: valgrind 3.19, client requests (Valgrind User Manual, 3.1) and Callgrind (6.3), numbers and
code from its headers valgrind.h and callgrind.h.
"""

import ctypes
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from protocols.kernel_cache import CACHE_DIRECTORY

_ROOT = Path(__file__).resolve().parents[2]

# mov rax, rdi; xor edx, edx; then what valgrind looks for, which changes nothing elsewhere:
# rol rdi, 3; rol rdi, 13; rol rdi, 61; rol rdi, 51; xchg rbx, rbx; then mov rax, rdx; ret
_ASK = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_ARGUMENTS = 6
_MACHINE = "x86_64"
_TOOL = ord("C") << 24 | ord("T") << 16

COMPILED_FOR = {
    "NUMBA_CPU_NAME": "x86-64-v3",
    "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+fma,+lzcnt,+popcnt,+sse4.2,+f16c,+movbe",
    # The order of a set of Python's changes what is executed on the way to a kernel.
    "PYTHONHASHSEED": "0",
}
COUNTED_FOLDER = "counted"
"""Where kernels compiled so are kept, below the others."""
_NEEDED = {"avx2", "bmi1", "bmi2", "fma", "f16c", "movbe"}


class Request(IntEnum):
    """Client requests; each is passed on in six words."""

    RUNNING_ON_VALGRIND = 0x1001
    ZERO_STATS = _TOOL + 1
    DUMP_STATS_AT = _TOOL + 3
    START_INSTRUMENTATION = _TOOL + 4
    STOP_INSTRUMENTATION = _TOOL + 5


class Counter:
    """A context whose instructions, all threads', are counted: each time it is left callgrind
    writes them to a file, see `read_counts`. Outside of callgrind it does nothing.
    """

    def __init__(self) -> None:
        self.title = ""
        self._words = (ctypes.c_uint64 * _ARGUMENTS)()
        self._ask: Callable[[int], int] | None = None
        if platform.machine() == _MACHINE:
            can = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=can)
            self._code.write(_ASK)
            address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
            self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def request(self, request: Request, argument: int = 0) -> int:
        """What valgrind answers, 0 where there is none."""
        self._words[0] = request
        self._words[1] = argument
        return self._ask(ctypes.addressof(self._words)) if self._ask else 0

    def __enter__(self) -> Self:
        self.request(Request.START_INSTRUMENTATION)
        self.request(Request.ZERO_STATS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        title = ctypes.create_string_buffer(self.title.encode())
        self.request(Request.DUMP_STATS_AT, ctypes.addressof(title))
        self.request(Request.STOP_INSTRUMENTATION)


def why_not() -> str:
    """Why nothing can be counted here, "" where it can."""
    if platform.machine() != _MACHINE:
        return f"instructions are counted on x86-64 only, this is {platform.machine()}"
    lacking = _NEEDED - set(_cpu_flags())
    if lacking:
        return f"this processor is no x86-64-v3: it lacks {', '.join(sorted(lacking))}"
    if shutil.which("valgrind") is None:
        return "valgrind is missing; it comes with the Debian package valgrind"
    return ""


def _cpu_flags(path: Path = Path("/proc/cpuinfo")) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.split() for line in lines if line.startswith("flags")), [])


def run_counted(module: str, words: Sequence[str], folder: Path) -> dict[str, int]:
    """Run `python -m module words` twice: first as it is, which compiles what it needs, then under
    callgrind; instructions by title of its Counter. Files of the counts go to `folder`.
    """
    command = [sys.executable, "-m", module, *words]
    environment = {
        **os.environ,
        **COMPILED_FOR,
        "NUMBA_CACHE_DIR": str(CACHE_DIRECTORY / COUNTED_FOLDER),
    }
    out = folder / "callgrind.out"
    tool = ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no"]
    for prefix in ([], [*tool, f"--callgrind-out-file={out}"]):
        subprocess.run([*prefix, *command], cwd=_ROOT, env=environment, check=True)
    return read_counts(folder)


def read_counts(folder: Path) -> dict[str, int]:
    """Instructions by title, of the files that callgrind wrote for a Counter."""
    found = {}
    for path in folder.glob("callgrind.out.*"):
        text = path.read_text(encoding="utf-8", errors="replace")
        title = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if title and total:
            found[title[1]] = int(total[1])
    return found
