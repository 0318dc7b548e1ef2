"""Alert rules and runbooks speak of metrics that the server exports, by their names there."""

import re
from pathlib import Path

import pytest

from feedhandler.core.counters import HistogramSpec
from feedhandler.server import metrics, tables

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    *sorted((ROOT / "deploy" / "prometheus").glob("*.rules*.yml")),
    *sorted((ROOT / "docs" / "runbooks").glob("*.md")),
]


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Every sample name of the metrics page, and the names of its histogram families."""
    names = {"feedhandler_build_info", "feedhandler_start_time_seconds"}
    counters = tables.counter_specs("1", ["price_band"], ["imbalance"])
    for spec in (*counters, *tables.histogram_specs()):
        family = metrics._family_name(spec)
        if isinstance(spec, HistogramSpec):
            names |= {family, f"{family}_bucket", f"{family}_count", f"{family}_sum"}
        else:
            names.add(f"{family}_total" if spec.kind == "counter" else family)
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_metric_that_is_named_is_exported(document: Path, exported: set[str]):
    named = set(re.findall(r"\bfeedhandler_\w+", document.read_text(encoding="utf-8")))
    assert sorted(named - exported) == []
