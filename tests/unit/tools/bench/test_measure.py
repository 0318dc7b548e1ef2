"""Medians, machine and format of the benchmark table."""

import subprocess
from pathlib import Path

from tools.bench import measure as module
from tools.bench.measure import (
    Benchmark,
    Run,
    Timing,
    Workload,
    cost_tenths,
    describe_machine,
    format_tenths,
    measure,
)

WORKLOAD = Workload(Path(), Path(), 0, 0)


def benchmark(elapsed_ns: list[int], operations: int = 10) -> Benchmark:
    """A benchmark whose runs took these times."""
    left = iter(elapsed_ns)

    def prepare(_workload: Workload) -> Run:
        return lambda: Timing(operations, next(left))

    return Benchmark("sample", "thing done", prepare)


def test_the_first_run_does_not_count_and_the_median_does():
    result = measure(benchmark([999_999, 50, 10, 30, 20, 40]), WORKLOAD, runs=5)
    assert (result.lowest, result.median, result.highest) == (10, 30, 50)
    assert (result.name, result.operation) == ("sample", "thing done")


def test_the_median_of_an_even_number_of_runs_is_one_of_them():
    assert measure(benchmark([0, 10, 20, 30, 40]), WORKLOAD, runs=4).median == 20


def test_a_cost_is_in_tenths_of_a_nanosecond():
    assert cost_tenths(Timing(1_000, 12_345)) == 123
    assert format_tenths(123) == "12.3"
    assert format_tenths(12_345_678) == "1,234,567.8"
    assert format_tenths(4) == "0.4"
    assert format_tenths(-15) == "-1.5"


def test_operations_a_second_follow_from_the_median():
    result = measure(benchmark([0, 250, 250, 250]), WORKLOAD, runs=3)
    assert result.operations_per_s == 40_000_000
    assert result.as_json() == {
        "name": "sample",
        "operation": "thing done",
        "median_ns": 25.0,
        "lowest_ns": 25.0,
        "highest_ns": 25.0,
        "operations_per_s": 40_000_000,
    }


def test_the_machine_is_named():
    machine = describe_machine()
    assert set(machine) == {"cpu", "cores", "date", "commit", "python", "numba", "kernel"}
    assert machine["cpu"]
    assert machine["cores"] >= 1


def test_the_processor_is_the_first_of_its_list_or_the_architecture(tmp_path: Path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Fast One\nprocessor\t: 1\nmodel name\t: B\n")
    assert module._cpu_model(listed) == "Fast One"
    assert module._cpu_model(tmp_path / "none") == module.platform.machine()


def test_the_commit_is_marked_when_files_differ_from_it(tmp_path: Path):
    assert module._commit(tmp_path / "none") == ""
    assert module._commit(tmp_path) == ""

    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(("git", *identity, *words), cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "Begin")
    clean = module._commit(tmp_path)
    assert len(clean) >= 7
    assert not clean.endswith("+")
    (tmp_path / "new").touch()
    assert module._commit(tmp_path) == clean + "+"
