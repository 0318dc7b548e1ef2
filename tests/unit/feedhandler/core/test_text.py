import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from feedhandler.core.events import symbol_text
from feedhandler.core.text import (
    INTEGER_BYTES_MAX,
    SYMBOL_BYTES_MAX,
    write_integer_nb,
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


@given(st.one_of(_WORDS, st.just(0)), st.integers(0, 2**32 - 1))
def test_a_symbol_is_written_as_every_output_shows_it(symbol: int, instrument: int):
    out = np.zeros(SYMBOL_BYTES_MAX, np.uint8)
    end = write_symbol_nb(out, np.int64(0), np.int64(symbol), np.int64(instrument))
    assert out[:end].tobytes() == symbol_text(symbol, instrument).encode()
