import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedhandler.core.events import symbol_text
from feedhandler.core.text import (
    INTEGER_BYTES_MAX,
    SYMBOL_BYTES_MAX,
    write_integer_nb,
    write_padded_nb,
    write_signed_nb,
    write_symbol_nb,
)

_WORDS = st.integers(-(2**63), 2**63 - 1)


@given(st.one_of(_WORDS, st.integers(-1_000, 1_000)))
@example(-(2**63))
@example(2**63 - 1)
@example(-10)
@example(10**18)
@example(10**18 - 1)
def test_a_number_is_written_as_python_prints_it(value: int):
    out = np.zeros(INTEGER_BYTES_MAX + 1, np.uint8)
    end = write_signed_nb(out, np.int64(1), np.int64(value))
    assert out[1:end].tobytes() == b"%d" % value
    if value >= 0:
        assert write_integer_nb(out, np.int64(1), np.int64(value)) == end
        assert out[1:end].tobytes() == b"%d" % value


@pytest.mark.parametrize(
    ("value", "width", "text"), [(7, 3, b"007"), (1234, 3, b"234"), (0, 1, b"0"), (5, 0, b"")]
)
def test_a_padded_number_has_its_width(value: int, width: int, text: bytes):
    out = np.zeros(8, np.uint8)
    end = write_padded_nb(out, np.int64(2), np.int64(value), np.int64(width))
    assert out[2:end].tobytes() == text


@given(st.one_of(_WORDS, st.just(0)), st.integers(0, 2**32 - 1))
def test_a_symbol_is_written_as_every_output_shows_it(symbol: int, instrument: int):
    out = np.zeros(SYMBOL_BYTES_MAX, np.uint8)
    end = write_symbol_nb(out, np.int64(0), np.int64(symbol), np.int64(instrument))
    assert out[:end].tobytes() == symbol_text(symbol, instrument).encode()
