"""The end of a GLIMPSE snapshot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.glimpse.spec import decode_end_of_snapshot, encode_end_of_snapshot


def test_the_number_is_written_with_twenty_digits():
    assert encode_end_of_snapshot(14757701) == b"G00000000000014757701"


@pytest.mark.parametrize(
    "digits", ["00000000000000000120", "120".rjust(20), "120".ljust(20), " 0120".ljust(20)]
)
def test_padding_of_the_number_may_be_spaces_or_zeros_on_either_side(digits: str):
    assert decode_end_of_snapshot(b"G" + digits.encode()) == 120


@pytest.mark.parametrize(
    "message", [b"", b"G", b"S" + b"1" * 20, b"G" + b" " * 20, b"G" + b"-1".rjust(20), b"G" * 22]
)
def test_anything_else_is_the_peers_fault(message: bytes):
    with pytest.raises(RemoteProtocolError):
        decode_end_of_snapshot(message)


def test_a_number_that_does_not_fit_is_our_fault():
    with pytest.raises(LocalProtocolError, match="20 digits"):
        encode_end_of_snapshot(10**20)


@given(st.integers(0, 10**20 - 1))
def test_every_number_comes_back(number: int):
    assert decode_end_of_snapshot(encode_end_of_snapshot(number)) == number


def test_every_truncation_and_every_damaged_byte_is_a_number_or_the_peers_fault():
    sample = encode_end_of_snapshot(14757701)
    for size in range(len(sample)):
        with pytest.raises(RemoteProtocolError):
            decode_end_of_snapshot(sample[:size])
    for at in range(len(sample)):
        for value in range(256):
            damaged = sample[:at] + bytes((value,)) + sample[at + 1 :]
            text = damaged[1:].strip(b" ")
            if damaged[:1] == b"G" and text.isdigit():
                assert decode_end_of_snapshot(damaged) == int(text)
            else:
                with pytest.raises(RemoteProtocolError):
                    decode_end_of_snapshot(damaged)
