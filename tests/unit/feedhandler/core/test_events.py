import numpy as np
import pytest

from feedhandler.core.events import E9_PER_E4, SIGNAL, TICK, BreakerLevel, Flag, Kind, SignalKind


@pytest.mark.parametrize(("row", "lines"), [(TICK, 2), (SIGNAL, 3)])
def test_a_row_is_whole_cache_lines_with_every_field_on_its_own_boundary(row: np.dtype, lines: int):
    assert row.itemsize == 64 * lines
    for name in row.names:
        field, offset = row.fields[name][:2]
        assert offset % min(field.itemsize, 8) == 0, name


@pytest.mark.parametrize("row", [TICK, SIGNAL])
def test_a_row_has_no_hole(row: np.dtype):
    assert sum(row.fields[name][0].itemsize for name in row.names) == row.itemsize


@pytest.mark.parametrize("row", [TICK, SIGNAL])
def test_a_row_holds_integers_only(row: np.dtype):
    assert {row.fields[name][0].base.kind for name in row.names} <= {"i", "u"}


def test_kinds_and_levels_fit_their_bytes_and_are_distinct():
    for codes in (Kind, SignalKind, BreakerLevel):
        assert len({int(code) for code in codes}) == len(codes)
        assert max(codes) <= np.iinfo(np.uint8).max


def test_flags_are_single_bits_that_fit_the_field():
    bits = [int(flag) for flag in Flag]
    assert all(bit & (bit - 1) == 0 for bit in bits)
    assert max(bits) <= np.iinfo(np.uint16).max


def test_a_wire_price_of_four_decimals_becomes_nine():
    assert 1_234_500 * E9_PER_E4 == 123_450_000_000
