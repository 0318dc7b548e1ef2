"""What is tripped survives a restart."""

import os
import struct
import zlib
from datetime import date
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.breaker_machine import (
    BreakerState,
    Manual,
    Scope,
    level_of_cell_nb,
    reset_breaker_nb,
    step_breaker_nb,
    trip_breaker_nb,
)
from feedhandler.core.breaker_scopes import Cells, allocate_cells
from feedhandler.server.breaker_store import (
    BadFileError,
    BreakerStore,
    Held,
    Saved,
    decode,
    encode,
    is_legal,
)

S, MS = 10**9, 10**6
TODAY, TOMORROW = date(2026, 3, 2), date(2026, 3, 3)
NAMES = ("band", "sector", "market")
SCOPES = (Scope.INSTRUMENT, Scope.SECTOR, Scope.SERVER)
SECTORS = ("tech", "banks")
INSTRUMENTS = 5
CELL_COUNT = 8
BAND, SECTOR, SERVER = 2, 6, 7
"""Rows: the breaker `band` of instrument 2, `sector` of banks, `market`."""


def make_cells() -> Cells:
    cells = allocate_cells(SCOPES, INSTRUMENTS, [()] * len(SECTORS))
    cells.tuning[:] = 5 * S, 10 * S, 40 * S, 8 * S
    return cells


def make_store(path: Path, cells: Cells, names: tuple[str, ...] = NAMES) -> BreakerStore:
    return BreakerStore(path, [cells], names, SECTORS, lambda number: f"SYM{number}")


def known(_scope: Scope, key: str) -> int | None:
    """Numbers of the names, as they are when every symbol is known."""
    if key.startswith("SYM"):
        return int(key[3:])
    return SECTORS.index(key) if key else 0


def unknown(scope: Scope, key: str) -> int | None:
    """No symbol is known yet."""
    return None if scope is Scope.INSTRUMENT else known(scope, key)


def step(cells: Cells, at: int, demand: int, second: int) -> int:
    return int(step_breaker_nb(cells.rows, at, demand, second * S, cells.tuning[0]))


def cooling(path: Path) -> Cells:
    """Cells saved with `band` of instrument 2 four seconds into its cooling after a halt."""
    cells = make_cells()
    store = make_store(path, cells)
    step(cells, BAND, 3, 1_000)
    for second in range(1_001, 1_011):
        step(cells, BAND, 0, second)
    assert cells.rows[BAND]["state"] == BreakerState.COOLING
    assert cells.rows[BAND]["spent_ns"] == 4 * S
    assert store.save(TODAY)
    return cells


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "breakers"


def test_a_cooling_goes_on_where_it_was(path: Path):
    cooling(path)
    cells = make_cells()
    loaded = make_store(path, cells).load(TODAY, unknown)
    assert [held.key for held in loaded.placed] == ["SYM2"]
    assert not loaded.warnings
    assert not loaded.later
    levels = [step(cells, BAND, 0, 5_000 + second) for second in range(16)]
    # Six seconds of cooling are left, then eight of the probe.
    assert levels == [3] * 6 + [1] * 8 + [0] * 2


def test_everything_that_is_tripped_comes_back(path: Path):
    cells = make_cells()
    trip_breaker_nb(cells.rows, SECTOR, 2, 0, cells.tuning[0])
    trip_breaker_nb(cells.rows, SERVER, 1, 30 * S, cells.tuning[0])
    step(cells, BAND, 3, 1_000)
    assert make_store(path, cells).save(TODAY)
    back = make_cells()
    loaded = make_store(path, back).load(TODAY, known)
    assert [(held.breaker, held.key) for held in loaded.placed] == [
        ("band", "SYM2"),
        ("sector", "banks"),
        ("market", ""),
    ]
    for name in ("state", "level", "manual", "manual_left_ns", "wait_ns", "relapses"):
        assert back.rows[name].tolist() == cells.rows[name].tolist()
    assert [int(level_of_cell_nb(back.rows, at)) for at in (BAND, SECTOR, SERVER)] == [3, 2, 1]


def test_a_tripped_one_waits_for_calm_anew(path: Path):
    cells = make_cells()
    step(cells, BAND, 3, 1_000)
    for second in range(1_001, 1_006):
        step(cells, BAND, 0, second)
    make_store(path, cells).save(TODAY)
    back = make_cells()
    make_store(path, back).load(TODAY, known)
    for second in range(1_006, 1_011):
        step(back, BAND, 0, second)
    assert back.rows[BAND]["state"] == BreakerState.TRIPPED
    step(back, BAND, 0, 1_011)
    assert back.rows[BAND]["state"] == BreakerState.COOLING


def test_a_symbol_with_another_number_is_placed_by_its_name(path: Path):
    cooling(path)
    cells = make_cells()
    loaded = make_store(path, cells).load(TODAY, lambda _scope, _key: 4)
    assert loaded.placed[0].number == 4
    assert np.flatnonzero(cells.rows["level"]).tolist() == [4]


def test_of_another_day_only_what_a_hand_tripped_until_reset_comes_back(path: Path):
    cells = make_cells()
    trip_breaker_nb(cells.rows, BAND, 3, 0, cells.tuning[0])
    trip_breaker_nb(cells.rows, SERVER, 1, 30 * S, cells.tuning[0])
    step(cells, SECTOR, 2, 1_000)
    make_store(path, cells).save(TODAY)
    back = make_cells()
    loaded = make_store(path, back).load(TOMORROW, known)
    assert [held.key for held in loaded.placed] == ["SYM2"]
    assert back.rows[BAND]["manual"] == Manual.UNTIL_RESET
    assert not back.rows["state"][SECTOR:].any()
    assert len(loaded.warnings) == 2
    assert all("tripped on another day; passed over" in each for each in loaded.warnings)


def test_of_another_day_an_instrument_waits_until_its_symbol_is_known(path: Path):
    cells = make_cells()
    trip_breaker_nb(cells.rows, BAND, 3, 0, cells.tuning[0])
    make_store(path, cells).save(TODAY)
    back = make_cells()
    loaded = make_store(path, back).load(TOMORROW, unknown)
    assert not loaded.placed
    assert [(held.key, held.level) for held in loaded.later] == [("SYM2", 3)]
    assert not back.rows["state"].any()


def test_a_breaker_that_is_not_configured_any_more_is_passed_over_with_a_warning(path: Path):
    cooling(path)
    cells = make_cells()
    loaded = make_store(path, cells, ("renamed", *NAMES[1:])).load(TODAY, known)
    assert not loaded.placed
    (warning,) = loaded.warnings
    assert "breaker 'band' of SYM2: no breaker has this name now" in warning
    assert not cells.rows["state"].any()


@pytest.mark.parametrize(
    ("names", "number"), [(("x", "band", "y"), 1), (NAMES, INSTRUMENTS), (NAMES, -1)]
)
def test_a_cell_that_there_is_none_of_any_more_is_passed_over(
    path: Path, names: tuple[str, ...], number: int
):
    cooling(path)
    cells = make_cells()
    loaded = make_store(path, cells, names).load(TODAY, lambda _scope, _key: number)
    assert "it has no such cell now" in loaded.warnings[0]
    assert not cells.rows["state"].any()


def test_without_a_file_there_is_nothing_to_bring_back(path: Path):
    assert make_store(path, make_cells()).load(TODAY, known) == ((), (), ())


def test_a_file_that_cannot_be_read_is_one_warning(tmp_path: Path):
    loaded = make_store(tmp_path, make_cells()).load(TODAY, known)
    assert "no breaker is brought back" in loaded.warnings[0]


def test_a_file_cut_at_any_byte_brings_nothing_back_and_says_so(path: Path):
    cooling(path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        cells = make_cells()
        loaded = make_store(path, cells).load(TODAY, known)
        assert len(loaded.warnings) == 1
        assert "no breaker is brought back" in loaded.warnings[0]
        assert not cells.rows["state"].any()
    path.write_bytes(whole + b"\0")
    assert make_store(path, make_cells()).load(TODAY, known).warnings


def test_a_file_with_any_byte_changed_brings_nothing_back(path: Path):
    cooling(path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 + at % 255
        with pytest.raises(BadFileError):
            decode(bytes(changed))


@pytest.mark.parametrize("seed", range(50))
def test_garbage_is_refused(seed: int):
    random = Random(seed)
    data = random.randbytes(random.randrange(400))
    with pytest.raises(BadFileError):
        decode(data)
    with pytest.raises(BadFileError):
        decode(b"FHBREAK1" + data)


def test_another_version_is_named():
    data = bytearray(encode(Saved(1, ())))
    data[9] = 7
    with pytest.raises(BadFileError, match="version 7 is not known here, 1 is"):
        decode(bytes(data))


texts = st.text(max_size=60)
times = st.integers(0, 1 << 61)
helds = st.builds(
    Held,
    texts,
    st.sampled_from(Scope),
    st.integers(0, (1 << 32) - 1),
    texts,
    st.sampled_from(BreakerState),
    st.integers(0, 5),
    st.sampled_from(Manual),
    times,
    times,
    times,
    times,
)


@given(st.integers(1, 3_000_000), st.lists(helds.filter(is_legal), max_size=5))
def test_what_is_written_is_read(day: int, found: list[Held]):
    assert decode(encode(Saved(day, tuple(found)))) == (day, tuple(found))


@given(helds)
def test_what_no_cell_can_be_is_refused_though_its_checksum_is_right(held: Held):
    if is_legal(held):
        return
    with pytest.raises(BadFileError, match="record 0: no cell can be"):
        decode(encode(Saved(1, (held,))))


def sealed(body: bytes, count: int) -> bytes:
    """A file of these bytes whose checksum is right."""
    front = (b"FHBREAK1", 1, 0, count, 1)
    checked = zlib.crc32(struct.pack(">8sHHIII", *front, len(body)))
    return struct.pack(">8sHHIIII", *front, zlib.crc32(body, checked), len(body)) + body


@pytest.mark.parametrize("count", [0, 2, 1 << 31])
def test_a_count_that_does_not_fit_is_refused(count: int):
    whole = encode(Saved(1, (Held("band", Scope.SERVER, 0, "", BreakerState.TRIPPED, 1),)))
    assert sealed(whole[28:], 1) == whole
    with pytest.raises(BadFileError):
        decode(sealed(whole[28:], count))


@pytest.mark.parametrize("body", [b"\x05ab", b"\x02\xff\xfe" + bytes(60), b"\x01a\x09" + bytes(60)])
def test_a_record_that_is_none_is_refused(body: bytes):
    with pytest.raises(BadFileError, match="record 0: "):
        decode(sealed(body, 1))


def test_a_trip_that_waits_for_its_symbol_stays_in_the_file(path: Path):
    cells = make_cells()
    trip_breaker_nb(cells.rows, BAND, 3, 0, cells.tuning[0])
    make_store(path, cells).save(TODAY)
    back = make_cells()
    store = make_store(path, back)
    (waiting,) = store.load(TOMORROW, unknown).later
    step(back, SERVER, 1, 1_000)
    store.save(TOMORROW)
    assert [held.breaker for held in decode(path.read_bytes()).held] == ["market", "band"]
    store.settle(waiting)
    store.poll(0, TOMORROW)
    assert store.poll(S, TOMORROW)
    assert [held.breaker for held in decode(path.read_bytes()).held] == ["market"]


def test_an_instrument_that_was_not_named_again_keeps_its_name(path: Path):
    cooling(path)
    cells = make_cells()
    store = BreakerStore(path, [cells], NAMES, SECTORS, lambda _number: "")
    store.load(TODAY, unknown)
    store.save(TODAY)
    assert [held.key for held in decode(path.read_bytes()).held] == ["SYM2"]


def test_a_change_is_saved_when_it_has_waited_a_little(path: Path):
    cells = make_cells()
    store = make_store(path, cells)
    assert not store.poll(1_000 * MS, TODAY)
    step(cells, BAND, 3, 1_000)
    assert not store.poll(1_050 * MS, TODAY)
    step(cells, SECTOR, 3, 1_000)
    assert not store.poll(1_249 * MS, TODAY)
    assert store.poll(1_250 * MS, TODAY)
    assert not store.poll(1_300 * MS, TODAY)
    assert store.saves == 1
    assert len(decode(path.read_bytes()).held) == 2


def test_a_reset_is_saved_too(path: Path):
    cells = cooling(path)
    store = make_store(path, cells)
    reset_breaker_nb(cells.rows, BAND)
    store.poll(0, TODAY)
    assert store.poll(S, TODAY)
    assert decode(path.read_bytes()).held == ()


def test_ticks_that_change_nothing_are_not_saved(path: Path):
    cells = cooling(path)
    store = make_store(path, cells)
    for second in range(1_011, 1_014):
        step(cells, BAND, 0, second)
        assert not store.poll(second * S, TODAY)
    assert store.saves == 0


def test_what_was_loaded_is_not_saved_again(path: Path):
    cooling(path)
    cells = make_cells()
    store = make_store(path, cells)
    store.load(TODAY, known)
    assert not any(store.poll(second * S, TODAY) for second in range(5))


def test_a_disk_that_refuses_is_counted_and_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    cells = cooling(path)
    before = path.read_bytes()
    store = make_store(path, cells)
    trip_breaker_nb(cells.rows, SERVER, 3, 0, cells.tuning[0])

    def refuse(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        store.poll(0, TODAY)
        assert not store.poll(S, TODAY)
    assert (store.failures, store.fault) == (1, f"{path}: No space left on device")
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    store.poll(2 * S, TODAY)
    assert store.poll(3 * S, TODAY)
    assert (store.saves, store.fault) == (1, "")


def test_a_row_that_was_read_half_changed_is_left_for_the_next_time(path: Path):
    cells = make_cells()
    store = make_store(path, cells)
    step(cells, BAND, 3, 1_000)
    cells.rows[BAND]["level"] = 0
    assert store.save(TODAY)
    assert decode(path.read_bytes()).held == ()
