import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.fix.framing import checksum
from protocols.fix.kernels_write import write_trailer_nb, write_utc_timestamp_nb
from protocols.fix.times import format_utc_timestamp

_TIMES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.builds(
        lambda day, off: day * 86_400_000_000_000 + off,
        st.integers(-100_000, 100_000),
        st.integers(-3_000_000_000, 3_000_000_000),
    ),
)


@given(time_ns=_TIMES, decimals=st.integers(0, 9))
@example(time_ns=-(2**63), decimals=9)
@example(time_ns=2**63 - 1, decimals=9)
@example(time_ns=-1, decimals=3)
@example(time_ns=-1, decimals=0)
def test_a_timestamp_is_written_as_it_is_formatted(time_ns: int, decimals: int):
    out = np.full(40, ord("x"), np.uint8)
    end = write_utc_timestamp_nb(out, np.int64(3), np.int64(time_ns), np.int64(decimals))
    expected = format_utc_timestamp(time_ns, decimals)
    assert out[:end].tobytes() == b"xxx" + expected
    assert out[end] == ord("x")


@pytest.mark.parametrize(
    "message", [b"8=FIX.4.4\x019=5\x0135=0\x01", b"", b"\xff" * 700, bytes(range(256))]
)
def test_the_trailer_sums_up_what_stands_before_it(message: bytes):
    out = np.zeros(len(message) + 20, np.uint8)
    out[4 : 4 + len(message)] = np.frombuffer(message, np.uint8)
    end = write_trailer_nb(out, np.int64(4), np.int64(4 + len(message)))
    assert out[4:end].tobytes() == message + b"10=%03d\x01" % checksum(message)
