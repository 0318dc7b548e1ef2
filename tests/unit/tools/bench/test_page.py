"""docs/benchmarks.md keeps up with the table of benchmarks."""

import re

from tests.perf.test_ratios import MARGIN_TENTHS
from tools.bench.benchmarks import BENCHMARKS
from tools.check.sources import ROOT


def test_the_page_explains_each_benchmark_and_shows_a_figure_for_it():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    names = [benchmark.name for benchmark in BENCHMARKS]
    assert rows == names * 2


def test_everybody_names_the_limit_that_the_guards_have():
    limit = f"{MARGIN_TENTHS // 10}.{MARGIN_TENTHS % 10} times"
    places = ("docs/benchmarks.md", "Makefile", "tests/perf/test_ratios.py")
    texts = [(ROOT / place).read_text(encoding="utf-8") for place in places]
    found = [set(re.findall(r"\d[.]\d times|twice as \w+", text)) for text in texts]
    assert found == [{limit}] * len(places)
