"""The map that tells perf the names of kernels: object files, addresses, names."""

import itertools
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from tools.bench.perf_map import functions, map_lines, plain_name
from tools.check.sources import ROOT

SOURCE = """
define i32 @first() noinline { ret i32 1 }
define internal i32 @second() noinline { ret i32 2 }
define i32 @third() {
  %a = call i32 @first()
  %b = call i32 @second()
  %c = add i32 %a, %b
  ret i32 %c
}
"""


@pytest.fixture(scope="module")
def elf() -> bytes:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine().emit_object(llvm.parse_assembly(SOURCE))


def test_functions_of_an_object_file_follow_one_another(elf: bytes):
    found = sorted(functions(elf), key=lambda each: each.at)
    assert [each.name for each in found] == ["first", "second", "third"]
    assert len({each.section for each in found}) == 1
    for one, following in itertools.pairwise(found):
        assert 0 < one.size <= following.at - one.at


def test_a_function_that_is_not_seen_from_outside_gets_its_address_too(elf: bytes):
    at = {each.name: each.at for each in functions(elf)}
    known = {"first": 0x7F0000001000 + at["first"], "third": 0x7F0000001000 + at["third"]}
    lines = map_lines([(elf, lambda name: known.get(name, 0))] * 2)
    assert [line.split()[2] for line in lines] == ["first", "second", "third"]
    assert int(lines[1].split()[0], 16) == 0x7F0000001000 + at["second"]


def test_without_any_address_there_is_no_line(elf: bytes):
    assert map_lines([(elf, lambda _name: 0)]) == []


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        (
            "_ZN11feedhandler4core6engine12take_rows_nbB4v106B52c8tJTI",
            "feedhandler.core.engine.take_rows_nb",
        ),
        ("cfunc._ZN8adapters12normalise_nbB3v78", "cfunc.adapters.normalise_nb"),
        ("memcpy", "memcpy"),
        ("_ZN", "_ZN"),
    ],
)
def test_a_name_is_module_and_function(mangled: str, plain: str):
    assert plain_name(mangled) == plain


PROGRAM = """
from tools.bench import perf_map
perf_map._MESSAGES, perf_map._ROUNDS = 1_000, 1
perf_map.main()
"""


@pytest.mark.compiled_only
def test_the_program_writes_the_names_of_the_kernels_that_it_ran():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    path = Path(done.stdout.strip())
    names = {line.split()[2] for line in path.read_text().splitlines()}
    path.unlink()
    assert "feedhandler.core.engine.take_rows_nb" in names
    assert "adapters.nasdaq_itch.normalise.normalise_nb" in names
    assert any(name.startswith("feedhandler.core.patterns.imbalance.entry_") for name in names)
