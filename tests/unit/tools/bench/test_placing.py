"""Demos with different places for the server's threads."""

import pytest

from tools.bench import placing
from tools.bench.placing import FIGURES, VARIANTS, medians


def report(ns: int) -> dict[str, object]:
    quantiles = {"p50": ns, "p99": 2 * ns, "p999": 3 * ns}
    groups = {"latency_ns": quantiles, "signal_latency_ns": quantiles, "hiccup_ns": quantiles}
    return {"clean": True, "faults": [], **groups}


def test_figures_are_medians_of_rounds():
    assert medians([report(100), report(300), report(200)]) == [200, 400, 600, 200, 400, 600]


def test_every_variant_has_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[tuple[str, ...]] = []

    def run_demo(words: tuple[str, ...]) -> dict[str, object]:
        asked.append(tuple(words))
        return report(1_500)

    monkeypatch.setattr(placing, "run_demo", run_demo)
    monkeypatch.setattr("sys.argv", ["placing", "--rounds", "2"])
    placing.main()
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(VARIANTS)
    assert rows[2] == "| spin | 1.5 | 3.0 | 4.5 | 1.5 | 3.0 | 4.5 |"
    assert len(FIGURES) == 6
    assert asked[: len(VARIANTS)] == asked[len(VARIANTS) :]
