"""A message to its fields, byte by byte: any tag, and data fields that hold separators.

Source: FIX 4.4 volume 1 (field syntax, data fields), volume 6 (which fields hold data).
"""

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels_frame import EQUALS, ZERO, is_digit_nb
from protocols.fix.layout import TRAILER_BYTES, Decoder
from protocols.fix.spec import SOH
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

OK = int(Status.OK)
BAD_LENGTH = int(Status.BAD_LENGTH)
BAD_VALUE = int(Status.BAD_VALUE)

_DIGITS_MAX = 9


@kernel
def _read_digits_nb(buf: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(number of one to nine digits before buf[stop], or -1 when it is none; where they end)."""
    number = np.int64(0)
    end = at
    while end < stop and end - at < _DIGITS_MAX and is_digit_nb(np.int64(buf[end])):
        number = number * 10 + np.int64(buf[end]) - ZERO
        end += 1
    return (number if end > at else np.int64(-1)), end


@outline_kernel
def tokenise_nb(
    buf: Bytes, start: int, end: int, first: int, decoder: Decoder
) -> tuple[int, int, int]:
    """Fields of the frame buf[start:end] to tokens from `first` on, of which there is room for one
    a byte of the frame.

    A tag has one to nine digits without a leading zero. A data field is one that directly follows
    its length field: it has that many bytes, whatever they are, and then a separator.

    Returns: (tokens, OK, -1), or (tokens before the fault, status, where the faulty field starts):
             BAD_VALUE for a field without a tag, BAD_LENGTH for data that end elsewhere.
    """
    at = start
    count = np.int64(0)
    data_tag = np.int64(0)
    data_bytes = np.int64(0)
    while at < end:
        tag, tag_end = _read_digits_nb(buf, at, end)
        if tag < 0 or buf[at] == ZERO or buf[tag_end] != EQUALS:
            return count, BAD_VALUE, at
        value_at = tag_end + 1
        value_end = value_at
        if tag == data_tag:
            value_end += data_bytes
            if value_end >= end - TRAILER_BYTES or buf[value_end] != SOH:
                return count, BAD_LENGTH, at
        else:
            # The last byte of a frame is a separator.
            while buf[value_end] != SOH:
                value_end += 1
        decoder.tags[first + count] = tag
        decoder.starts[first + count] = value_at
        decoder.ends[first + count] = value_end
        count += 1
        data_tag = np.int64(0)
        if tag < len(decoder.data_tags) and decoder.data_tags[tag] != 0:
            data_bytes, digits_end = _read_digits_nb(buf, value_at, value_end)
            if data_bytes >= 0 and digits_end == value_end:
                data_tag = np.int64(decoder.data_tags[tag])
        at = value_end + 1
    return count, OK, -1
