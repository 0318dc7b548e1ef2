"""docs/benchmarks.md keeps up with the table of benchmarks."""

import re

from tests.perf.test_ratios import MARGIN_PERCENT, MARGIN_PERCENT_ELSEWHERE
from tools.bench.benchmarks import BENCHMARKS
from tools.check.sources import ROOT


def test_the_page_explains_each_benchmark_and_shows_a_figure_for_it():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    names = [benchmark.name for benchmark in BENCHMARKS]
    assert rows == names * 2


def test_everybody_names_the_limit_that_the_guards_have():
    guards = "tests/perf/test_ratios.py"
    texts = {
        place: (ROOT / place).read_text(encoding="utf-8")
        for place in ("docs/benchmarks.md", "Makefile", guards)
    }
    for place, text in texts.items():
        assert f"{MARGIN_PERCENT} % " in text, place
    elsewhere = f"{1 + MARGIN_PERCENT_ELSEWHERE / 100:.1f} times"
    for place in ("docs/benchmarks.md", guards):
        assert set(re.findall(r"\d[.]\d times|twice as \w+", texts[place])) == {elsewhere}, place
