"""Both lines cut in mid-run: the books are right at the end, and no signal came from them while
they were in doubt.
"""

from pathlib import Path

import pytest

from tests.end_to_end.support import scene

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

CUT_AT_S = 1
CUT_S = 2
NS_PER_S = 1_000_000_000
_SLACK_NS = 20_000_000


@pytest.mark.parametrize(
    ("rate", "is_by_snapshot", "shards"),
    [
        pytest.param(15_000, False, 1, id="re-request"),
        pytest.param(40_000, True, 1, id="snapshot"),
        pytest.param(15_000, False, 2, id="re-request for two shards"),
    ],
)
def test_both_lines_cut_leave_equal_books_and_no_signal_of_doubt(
    tmp_path: Path, rate: int, is_by_snapshot: bool, shards: int
):
    options = {"seconds": 4, "rate": rate, "cut_at_s": CUT_AT_S, "cut_seconds": CUT_S}
    options["shards"] = shards
    with scene(tmp_path, **options) as run:
        run.start_all()
        run.wait_for_end()
        report = run.stop_all()
        seqs = sorted(feed_seq for _number, _id, feed_seq in run.stored_signals())
        late_ns = run.report("exchange")["lateness_ns_max"]
    assert report["faults"] == []
    assert (report["snapshots"] > 0, report["recovered"] > 0) == (
        is_by_snapshot,
        not is_by_snapshot,
    )
    assert report["applied"] + report["covered_by_snapshot"] == report["sent"] == 4 * rate
    # Message i leaves at i / rate, or later by what the exchange admits: on no line came these.
    margin = rate * (late_ns + _SLACK_NS) // NS_PER_S
    first, last = CUT_AT_S * rate + margin, (CUT_AT_S + CUT_S) * rate - margin
    assert first < last
    assert [seq for seq in seqs if first <= seq <= last] == []
    assert seqs[0] < first
    assert seqs[-1] > last
    assert report["signals_published"] == len(seqs)
