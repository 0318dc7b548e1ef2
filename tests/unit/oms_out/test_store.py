import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oms_out.store import FileStore, StoreError

MESSAGES = (b"first", b"", b"third message", b"x" * 300)


def fill(folder: Path) -> Path:
    store = FileStore(folder)
    store.append(MESSAGES[:2])
    store.append(MESSAGES[2:])
    store.set_next_incoming(17)
    store.close()
    return folder / "messages.log"


def test_numbers_and_messages_are_there_after_opening_again(tmp_path: Path):
    fill(tmp_path)
    store = FileStore(tmp_path)
    assert (store.next_outgoing, store.next_incoming) == (5, 17)
    assert list(store.read(1, 99)) == list(enumerate(MESSAGES, 1))
    assert list(store.read(2, 3)) == [(2, b""), (3, MESSAGES[2])]
    assert list(store.read(5, 9)) == []
    assert store.last_message == MESSAGES[3]
    assert store.cut_bytes == 0


def test_a_file_cut_at_any_byte_of_the_last_record_loses_that_record_only(tmp_path: Path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    last_record_bytes = 16 + len(MESSAGES[3])
    for lost in range(1, last_record_bytes + 1):
        path.write_bytes(whole[:-lost])
        store = FileStore(tmp_path)
        assert store.next_outgoing == 4
        assert store.cut_bytes == last_record_bytes - lost
        assert list(store.read(1, 9)) == list(enumerate(MESSAGES[:3], 1))
        store.append((b"again",))
        assert list(store.read(4, 4)) == [(4, b"again")]
        store.close()


def test_a_file_cut_anywhere_opens_with_the_records_before_the_cut(tmp_path: Path):
    path = fill(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        store = FileStore(tmp_path)
        kept = list(store.read(1, 9))
        assert kept == list(enumerate(MESSAGES, 1))[: len(kept)]
        assert store.next_outgoing == len(kept) + 1
        store.close()


def test_zeros_behind_the_last_record_are_cut_off(tmp_path: Path):
    path = fill(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(4096))
    store = FileStore(tmp_path)
    assert (store.next_outgoing, store.cut_bytes) == (5, 4096)


def test_a_damaged_message_keeps_its_number_and_is_never_sent_again(tmp_path: Path):
    path = fill(tmp_path)
    whole = bytearray(path.read_bytes())
    for at in (whole.index(b"third"), len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        store = FileStore(tmp_path)
        assert store.next_outgoing == 5
        assert store.damaged_count == 1
        texts = dict(store.read(1, 9))
        assert texts[3 if at < len(whole) - 1 else 4] == b""
        assert texts[1] == b"first"
        store.close()


def test_damage_with_a_lot_behind_it_is_refused_instead_of_cut_off(tmp_path: Path):
    store = FileStore(tmp_path)
    store.append([b"m" * 1000] * 1200)
    store.close()
    path = tmp_path / "messages.log"
    data = bytearray(path.read_bytes())
    data[12:28] = b"\xff" * 16
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged at byte 12"):
        FileStore(tmp_path)
    assert path.read_bytes() == data


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "messages.log").write_bytes(b"something else entirely")
    with pytest.raises(StoreError, match="no message store"):
        FileStore(tmp_path)


def test_two_openings_at_once_are_refused(tmp_path: Path):
    store = FileStore(tmp_path)
    with pytest.raises(StoreError, match="another process"):
        FileStore(tmp_path)
    store.close()
    FileStore(tmp_path).close()


def test_reset_starts_both_numbers_at_1_also_after_opening_again(tmp_path: Path):
    fill(tmp_path)
    store = FileStore(tmp_path)
    store.reset()
    assert (store.next_outgoing, store.next_incoming) == (1, 1)
    store.append((b"new",))
    store.close()
    store = FileStore(tmp_path)
    assert (store.next_outgoing, store.next_incoming) == (2, 1)
    assert list(store.read(1, 9)) == [(1, b"new")]


def test_a_torn_write_of_the_incoming_number_leaves_the_one_before(tmp_path: Path):
    fill(tmp_path)
    path = tmp_path / "incoming.seq"
    slots = path.read_bytes()
    newest = max((slots[:16], slots[16:]), key=lambda slot: slot[:8])
    for at in range(12):
        torn = bytearray(newest)
        torn[at] ^= 0x01
        path.write_bytes(slots.replace(newest, bytes(torn)))
        store = FileStore(tmp_path)
        assert store.next_incoming == 1
        store.close()


def test_reading_starts_anywhere_in_a_long_file(tmp_path: Path):
    store = FileStore(tmp_path)
    texts = [b"%d" % number * (number % 40) for number in range(1, 1001)]
    for at in range(0, 1000, 25):
        store.append(texts[at : at + 25])
    store.close()
    store = FileStore(tmp_path)
    for first in (1, 2, 63, 64, 65, 128, 129, 500, 999, 1000):
        expected = list(enumerate(texts, 1))[first - 1 : first + 9]
        assert list(store.read(first, first + 9)) == expected


def test_a_disk_that_refuses_leaves_the_numbers_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = FileStore(tmp_path, fsync=True)
    store.append((b"good",))
    real = os.pwrite

    def half_a_write(fd: int, data: bytes, at: int) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) - 10], at)

    monkeypatch.setattr(os, "pwrite", half_a_write)
    with pytest.raises(OSError, match="No space"):
        store.append((b"bad" * 20,))
    monkeypatch.undo()
    assert store.next_outgoing == 2
    store.append((b"after",))
    store.close()
    assert dict(FileStore(tmp_path).read(1, 9)) == {1: b"good", 2: b"after"}


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom oms_out.store import FileStore\n"
        f"store = FileStore(Path({str(tmp_path)!r}))\n"
        "for number in range(1, 10**9):\n"
        "    store.append((b'%d' % number,))\n"
        "    store.set_next_incoming(number)\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(200):
            seen = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        seen = max([seen, *(int(line) for line in process.stdout.read().split()[:-1])])
    store = FileStore(tmp_path)
    assert store.next_outgoing > seen
    assert store.next_incoming >= seen
    kept = list(store.read(1, seen))
    assert kept == [(number, b"%d" % number) for number in range(1, seen + 1)]


def test_the_mapped_file_has_its_space_before_the_disk_can_be_full(tmp_path: Path):
    store = FileStore(tmp_path)
    assert (tmp_path / "incoming.seq").stat().st_blocks > 0
    store.close()
