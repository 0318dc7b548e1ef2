"""Bytes of a stream to one message, byte by byte: the rules of `framing.py` as kernels.

Source: FIX 4.4 volume 1 (BodyLength, CheckSum, the first three fields), volume 2 (garbled messages
are ignored).
"""

import numpy as np

from protocols.errors import Status
from protocols.fix.layout import (
    BODY_LENGTH_DIGITS_MAX,
    TRAILER_BYTES,
    VERSION_BYTES_MAX,
    Counter,
    Int64s,
)
from protocols.fix.spec import SOH
from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes

OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
BAD_VALUE = int(Status.BAD_VALUE)
FRAMES = int(Counter.FRAMES)
GARBLED_RUNS = int(Counter.GARBLED_RUNS)
GARBLED_BYTES = int(Counter.GARBLED_BYTES)
BAD_HEADERS = int(Counter.BAD_HEADERS)
BAD_LENGTHS = int(Counter.BAD_LENGTHS)
BAD_CHECKSUMS = int(Counter.BAD_CHECKSUMS)
GARBLED_IN_ROW = int(Counter.GARBLED_IN_ROW)
SEARCHED = int(Counter.SEARCHED)

EQUALS = ord("=")
NINE = ord("9")
ZERO = ord("0")
POINT = ord(".")
UPPER_A, UPPER_Z = ord("A"), ord("Z")
START = np.frombuffer(b"8=FIX", np.uint8).copy()
BODY_LENGTH = np.frombuffer(b"9=", np.uint8).copy()
MSG_TYPE = np.frombuffer(b"35=", np.uint8).copy()
CHECK_SUM = np.frombuffer(b"10=", np.uint8).copy()

_LATER_TRAILER_BYTES_MAX = 13
_CHECK_SUM_BYTES_MAX = 8
_BEYOND_BODY_BYTES = 64
"""How far beyond the largest body the end of a message with a wrong BodyLength is looked for."""


@kernel
def is_digit_nb(byte: int) -> bool:
    """Whether `byte` is one of 0 to 9."""
    return ZERO <= byte <= NINE


@kernel
def is_version_nb(byte: int) -> bool:
    """Whether `byte` may stand in BeginString after "8=FIX"."""
    return is_digit_nb(byte) or UPPER_A <= byte <= UPPER_Z or byte == POINT


@kernel
def match_nb(buf: Bytes, at: int, stop: int, wanted: Bytes) -> int:
    """OK when buf[at:] goes on with `wanted`; TRUNCATED when `stop` comes first, BAD_VALUE when
    another byte does.
    """
    for i in range(len(wanted)):
        if at + i >= stop:
            return TRUNCATED
        if buf[at + i] != wanted[i]:
            return BAD_VALUE
    return OK


@kernel
def find_start_nb(buf: Bytes, at: int, stop: int) -> int:
    """Where "8=FIX", or as much of it as there is before `stop`, next begins; `stop` for never."""
    while at < stop and match_nb(buf, at, stop, START) == BAD_VALUE:
        at += 1
    return at


@kernel
def _read_version_nb(buf: Bytes, at: int, stop: int) -> tuple[int, int]:
    """(byte after the version and its separator, status)."""
    for i in range(VERSION_BYTES_MAX + 1):
        if at + i >= stop:
            return at, TRUNCATED
        if buf[at + i] == SOH and i > 0:
            return at + i + 1, OK
        if not is_version_nb(np.int64(buf[at + i])):
            return at, BAD_VALUE
    return at, BAD_VALUE


@outline_kernel
def read_header_nb(buf: Bytes, at: int, stop: int) -> tuple[int, int, int]:
    """BeginString and BodyLength of what starts at `at`, in a window of HEADER_BYTES_MAX bytes.

    Returns: (byte after them, BodyLength, status): TRUNCATED when what there is may go on as a
             header, BAD_VALUE when not.
    """
    status = match_nb(buf, at, stop, START)
    if status != OK:
        return at, 0, status
    after, status = _read_version_nb(buf, at + len(START), stop)
    if status != OK:
        return at, 0, status
    status = match_nb(buf, after, stop, BODY_LENGTH)
    if status != OK:
        return at, 0, status
    after += len(BODY_LENGTH)
    length = np.int64(0)
    for i in range(BODY_LENGTH_DIGITS_MAX + 1):
        if after + i >= stop:
            return at, 0, TRUNCATED
        byte = np.int64(buf[after + i])
        if byte == SOH and i > 0:
            return after + i + 1, length, OK
        if not is_digit_nb(byte):
            return at, 0, BAD_VALUE
        length = length * 10 + byte - ZERO
    return at, 0, BAD_VALUE


@kernel
def sum_bytes_nb(buf: Bytes, start: int, stop: int) -> int:
    """Sum of buf[start:stop] modulo 256 (volume 1, CheckSum)."""
    total = np.int64(0)
    for i in range(start, stop):
        total += np.int64(buf[i])
    return total & 0xFF


@kernel
def read_trailer_nb(buf: Bytes, at: int) -> int:
    """CheckSum of the trailer `10=nnn` with its separator at `at`, -1 when there is none."""
    if match_nb(buf, at, at + len(CHECK_SUM), CHECK_SUM) != OK or buf[at + 6] != SOH:
        return -1
    total = np.int64(0)
    for i in range(at + 3, at + 6):
        byte = np.int64(buf[i])
        if not is_digit_nb(byte):
            return -1
        total = total * 10 + byte - ZERO
    return total


@kernel
def _later_trailer_nb(buf: Bytes, at: int, stop: int) -> int:
    """Byte after the next CheckSum field in buf[at:stop], however it is worded; 0 for none."""
    for i in range(at, stop - 4):
        if buf[i] == SOH and match_nb(buf, i + 1, stop, CHECK_SUM) == OK:
            for end in range(i + 4, min(i + 5 + _CHECK_SUM_BYTES_MAX, stop)):
                if buf[end] == SOH:
                    return end + 1
    return 0


@kernel
def skip_nb(counts: Int64s, size_bytes: int) -> None:
    """Count bytes that belong to no message, as one run when they follow each other."""
    if counts[GARBLED_IN_ROW] == 0:
        counts[GARBLED_RUNS] += 1
    counts[GARBLED_BYTES] += size_bytes
    counts[GARBLED_IN_ROW] += size_bytes
    counts[SEARCHED] = 0


@kernel
def _end_of_garbled_nb(
    buf: Bytes, start: int, trailer_at: int, stop: int, body_bytes_max: int, counts: Int64s
) -> int:
    """Where to go on after a message whose trailer is not at `trailer_at`; 0 when more bytes must
    tell.

    It ends with the first trailer at or after its claimed end: to look for a new start inside it
    would run a message that travels in a data field.
    """
    window = start + body_bytes_max + _BEYOND_BODY_BYTES
    limit = min(stop, window)
    searched = max(trailer_at - 1, start + counts[SEARCHED])
    end = _later_trailer_nb(buf, searched, limit)
    if end == 0 and limit == window:
        end = start + len(START)
    if end == 0:
        counts[SEARCHED] = max(limit - start - _LATER_TRAILER_BYTES_MAX, 0)
    return end


@outline_kernel
def next_frame_nb(
    buf: Bytes, at: int, stop: int, body_bytes_max: int, counts: Int64s
) -> tuple[int, int, int, int]:
    """The next message in buf[at:stop] with the right BodyLength, third field and CheckSum; what is
    before it is skipped and counted.

    Shapes:  counts i64[9], see `Counter`.
    Returns: (start, end, byte after BodyLength, OK), or (where the next call must begin, the same,
             0, TRUNCATED) when more bytes are needed. The result does not depend on how the stream
             was cut into calls.
    """
    start = at
    while True:
        found = find_start_nb(buf, start, stop)
        if found > start:
            skip_nb(counts, found - start)
            start = found
        body_at, length, status = read_header_nb(buf, start, stop)
        if status == TRUNCATED:
            return start, start, 0, TRUNCATED
        if status != OK or length > body_bytes_max:
            counts[BAD_HEADERS] += 1
            skip_nb(counts, len(START))
            start += len(START)
            continue
        trailer_at = body_at + length
        end = trailer_at + TRAILER_BYTES
        if end > stop:
            return start, start, 0, TRUNCATED
        expected = read_trailer_nb(buf, trailer_at)
        if expected < 0 or buf[trailer_at - 1] != SOH:
            end = _end_of_garbled_nb(buf, start, trailer_at, stop, body_bytes_max, counts)
            if end == 0:
                return start, start, 0, TRUNCATED
            counts[BAD_LENGTHS] += 1
        elif match_nb(buf, body_at, stop, MSG_TYPE) != OK or expected != sum_bytes_nb(
            buf, start, trailer_at
        ):
            counts[BAD_CHECKSUMS] += 1
        else:
            counts[FRAMES] += 1
            counts[GARBLED_IN_ROW] = 0
            return start, end, body_at, OK
        skip_nb(counts, end - start)
        start = end
