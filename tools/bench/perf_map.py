"""All stages again and again, for perf, and a map that tells perf the names of the kernels.

    perf record -e cpu-clock -o perf.data python -m tools.bench.perf_map
    perf report -i perf.data --sort symbol --stdio

Only kernels that are called and not inlined have a name of their own. Source: perf reads
/tmp/perf-PID.map, lines of address, size and name (tools/perf/Documentation/jit-interface.txt of
Linux); ELF-64 (System V ABI, chapter 4); names as Numba mangles them, a subset of the Itanium C++
ABI.
"""

import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from numba.core.codegen import CPUCodeLibrary

from tools.bench.measure import Workload
from tools.bench.stages import STAGES, WHOLE
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

_MESSAGES = 1_000_000
_ROUNDS = 20
_SECTIONS_AT, _SECTION_SIZES_AT = 0x28, 0x3A
_MAPS = Path("/tmp")  # noqa: S108 - where perf looks, wherever else temporary files lie
_SYMBOL_TABLE = 2
_FUNCTION = 2

AddressOf = Callable[[str], int]


class Symbol(NamedTuple):
    """A function of an object file: mangled name, number of its section, where it begins in there,
    and its size in bytes.
    """

    name: str
    section: int
    at: int
    size: int


def functions(elf: bytes) -> Iterator[Symbol]:
    """The functions of an object file of this machine."""
    (sections_at,) = struct.unpack_from("<Q", elf, _SECTIONS_AT)
    section_bytes, sections = struct.unpack_from("<HH", elf, _SECTION_SIZES_AT)

    def section(number: int) -> tuple[int, int, int, int]:
        header = struct.unpack_from("<IIQQQQIIQQ", elf, sections_at + number * section_bytes)
        return header[1], header[4], header[5], header[6]

    for number in range(sections):
        kind, at, size, names = section(number)
        if kind != _SYMBOL_TABLE:
            continue
        names_at = section(names)[1]
        for entry in struct.iter_unpack("<IBBHQQ", elf[at : at + size]):
            name, info, _, where, value, length = entry
            if info & 0xF == _FUNCTION and length:
                end = elf.index(b"\0", names_at + name)
                yield Symbol(elf[names_at + name : end].decode(), where, value, length)


def plain_name(mangled: str) -> str:
    """Module and function of a mangled name, joined by dots; the name itself where it is none."""
    prefix, found, rest = mangled.partition("_ZN")
    parts = []
    while found and rest[:1].isdigit():
        digits = len(rest) - len(rest.lstrip("0123456789"))
        size = int(rest[:digits])
        parts.append(rest[digits : digits + size])
        rest = rest[digits + size :]
    return prefix + ".".join(parts) if parts else mangled


def map_lines(objects: Iterable[tuple[bytes, AddressOf]]) -> list[str]:
    """Lines of perf's map, by address: of object files, each with what knows the addresses of those
    of its functions that are seen from outside, 0 for the others.
    """
    found: set[tuple[int, int, str]] = set()
    for elf, address_of in objects:
        symbols = list(functions(elf))
        loaded_at = {
            symbol.section: address - symbol.at
            for symbol in symbols
            if (address := address_of(symbol.name))
        }
        found.update(
            (loaded_at[symbol.section] + symbol.at, symbol.size, plain_name(symbol.name))
            for symbol in symbols
            if symbol.section in loaded_at
        )
    return [f"{at:x} {size:x} {name}\n" for at, size, name in sorted(found)]


def _keep_objects() -> list[tuple[bytes, AddressOf]]:
    """What Numba loads from its cache or puts there from now on. It lets go of an object file once
    that is loaded, so it is caught on the way; for a program of its own only.
    """
    kept: list[tuple[bytes, AddressOf]] = []
    load = CPUCodeLibrary._set_compiled_object  # noqa: SLF001 - there is no public way
    save = CPUCodeLibrary._get_compiled_object  # noqa: SLF001 - the same

    def keep(library: Any, elf: bytes) -> bytes:
        engine = library._codegen._engine._ee  # noqa: SLF001 - the same
        kept.append((elf, engine.get_function_address))
        return elf

    CPUCodeLibrary._set_compiled_object = (  # noqa: SLF001 - the same
        lambda library, elf: load(library, keep(library, elf))
    )
    CPUCodeLibrary._get_compiled_object = (  # noqa: SLF001 - the same
        lambda library: keep(library, save(library))
    )
    return kept


def main() -> int:
    """Run the program of all stages, and write the map."""
    objects = _keep_objects()
    whole = next(stage for stage in STAGES if stage.name == WHOLE)
    with tempfile.TemporaryDirectory(prefix="feedhandler-perf-") as name:
        path = Path(name) / "session.bin"
        generate_file(FlowSettings(1, messages=_MESSAGES), path)
        run = whole.prepare(Workload(Path(name), path, _MESSAGES, 1))
        for _ in range(_ROUNDS):
            run()
    path = _MAPS / f"perf-{os.getpid()}.map"
    path.write_text("".join(map_lines(objects)), encoding="utf-8")
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
