import mmap
from pathlib import Path

import pytest

from oms_out.signal_ids import BLOCK_IDS, SignalIds, read_boot_id
from oms_out.store import StoreError

BOOT, LATER_BOOT, UNKNOWN = b"a" * 16, b"b" * 16, bytes(16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "signal-ids"


def test_a_killed_process_is_followed_by_the_very_next_id(path: Path):
    ids = SignalIds(path, BOOT)
    assert (ids.last, ids.is_new) == (0, True)
    for last in (3, 4, 900):
        ids.note(last)
        again = SignalIds(path, BOOT)
        assert (again.last, again.is_new) == (last, False)


def test_a_lower_id_takes_nothing_back(path: Path):
    ids = SignalIds(path, BOOT)
    ids.note(9)
    ids.note(5)
    assert ids.last == SignalIds(path, BOOT).last == 9


@pytest.mark.parametrize("boot_id", [LATER_BOOT, UNKNOWN])
def test_after_a_power_cut_no_id_can_come_again(path: Path, boot_id: bytes):
    ids = SignalIds(path, BOOT)
    ids.note(7)
    on_disk = path.read_bytes()
    for last in (8, BLOCK_IDS + 6):
        ids.note(last)
        # What was not flushed is gone, and what was is there.
        path.with_name("after").write_bytes(on_disk)
        assert SignalIds(path.with_name("after"), boot_id).last > last


def test_a_block_is_on_the_disk_before_its_first_id_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Mapped(mmap.mmap):
        flushed = 0

        def flush(self, *_range: int) -> None:
            Mapped.flushed += 1

    monkeypatch.setattr(mmap, "mmap", Mapped)
    ids = SignalIds(path, BOOT)
    for last in range(1, BLOCK_IDS + 1):
        ids.note(last)
    assert Mapped.flushed == 1
    ids.note(BLOCK_IDS + 1)
    assert Mapped.flushed == 2


def test_a_clean_end_leaves_no_id_out(path: Path):
    ids = SignalIds(path, BOOT)
    ids.note(7)
    ids.close()
    again = SignalIds(path, LATER_BOOT)
    assert again.last == 7
    again.note(8)
    again.close()
    assert SignalIds(path, BOOT).last == 8


def test_a_torn_write_leaves_the_mark_before_it(path: Path):
    ids = SignalIds(path, BOOT)
    for last in (5, 6):
        ids.note(last)
    whole = path.read_bytes()
    half = len(whole) // 2
    newest = max((whole[:half], whole[half:]), key=lambda slot: slot[:8])
    for at in range(half - 4):
        torn = bytearray(newest)
        torn[at] ^= 1
        path.write_bytes(whole.replace(newest, bytes(torn)))
        assert SignalIds(path, BOOT).last == 5
        assert SignalIds(path, LATER_BOOT).last > 6


def test_a_file_without_one_good_mark_is_refused(path: Path):
    path.write_bytes(b"\xff" * 96)
    with pytest.raises(StoreError, match="damaged; restore it, or move it away"):
        SignalIds(path, BOOT)


def test_a_file_of_another_kind_is_refused(path: Path):
    path.write_bytes(b"something else")
    with pytest.raises(StoreError, match="no file of signal ids"):
        SignalIds(path, BOOT)


def test_a_disk_that_refuses_is_asked_again_for_the_same_block(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Mapped(mmap.mmap):
        is_failing = True

        def flush(self, *_range: int) -> None:
            if self.is_failing:
                raise OSError(5, "Input/output error")

    monkeypatch.setattr(mmap, "mmap", Mapped)
    ids = SignalIds(path, BOOT)
    for last in (1, 2):
        with pytest.raises(OSError, match="Input/output"):
            ids.note(last)
    assert ids.last == 2
    Mapped.is_failing = False
    ids.note(3)
    assert SignalIds(path, LATER_BOOT).last > 3


def test_ids_are_reserved_before_the_last_one_is_used(path: Path):
    ids = SignalIds(path, BOOT)
    limit = ids.reserve_ahead()
    assert limit == BLOCK_IDS
    assert SignalIds(path, LATER_BOOT).last == limit
    ids.note(BLOCK_IDS // 2)
    assert ids.reserve_ahead() == limit
    ids.note(BLOCK_IDS // 2 + 1)
    assert ids.reserve_ahead() == BLOCK_IDS // 2 + 1 + BLOCK_IDS
    assert SignalIds(path, LATER_BOOT).last == BLOCK_IDS // 2 + 1 + BLOCK_IDS


def test_this_machine_tells_which_start_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert len(read_boot_id()) == 16
    assert read_boot_id() == read_boot_id()
    monkeypatch.setattr("oms_out.signal_ids._BOOT_ID", tmp_path / "missing")
    assert read_boot_id() == bytes(16)
