import numpy as np
import pytest

from protocols.digits import write_padded_nb


@pytest.mark.parametrize(
    ("value", "width", "text"), [(7, 3, b"007"), (1234, 3, b"234"), (0, 1, b"0"), (5, 0, b"")]
)
def test_a_padded_number_has_its_width(value: int, width: int, text: bytes):
    out = np.zeros(8, np.uint8)
    end = write_padded_nb(out, np.int64(2), np.int64(value), np.int64(width))
    assert out[2:end].tobytes() == text
