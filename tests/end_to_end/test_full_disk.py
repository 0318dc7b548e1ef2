"""The disk of the FIX store runs full: the feed goes on, and what was not stored is counted."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.support import scene

pytestmark = [pytest.mark.compiled_only, pytest.mark.paced]

RATE = 30_000


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB where a demo in tmp_path / "run" keeps its FIX messages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"a tmpfs cannot be mounted here: {done.stderr.strip()}"
        if os.environ.get("FEEDHANDLER_REQUIRE_DEBIAN"):
            pytest.fail(reason)
        pytest.skip(reason)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_feed_goes_on_and_lost_signals_are_counted(tmp_path: Path, tiny_disk: Path):
    with scene(tmp_path / "demo", seconds=3, rate=RATE) as run:
        run.plan.store.symlink_to(tiny_disk)
        run.start_all()
        run.wait_for_end()
        unstored = run.value("signals_unstored")
        report = run.stop_all()
        stored = run.stored_signals()
    assert report["applied"] == report["sent"] == 3 * RATE
    assert report["books_equal"] is True
    assert unstored > 0
    assert 0 < len(stored) == report["signals_published"] - unstored
    assert report["exits"] == {"server": 0, "oms-client": 0, "exchange": 0}
    assert report["faults"] == ["signals published and delivered differ"]
