"""docs/benchmarks.md keeps up with the table of benchmarks."""

from tools.bench.benchmarks import BENCHMARKS
from tools.check.sources import ROOT


def test_the_page_explains_each_benchmark_and_shows_a_figure_for_it():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    names = [benchmark.name for benchmark in BENCHMARKS]
    assert rows == names * 2
