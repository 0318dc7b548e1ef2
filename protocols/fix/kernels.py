"""FIX in the hot path: a stream to frames and tokens, a batch at a time.

A batch is read in three passes, each without a branch that depends on the data: 64 bytes at a time
to separators, equals signs, the digits before these, and running sums of all bytes; sixteen fields
at a time to tags; then message by message from CheckSum field to CheckSum field, each held against
its BodyLength and its sum. What is out of the ordinary (garbage, data fields, a long tag, the last
bytes of a buffer) goes to the plain kernels in `kernels_frame.py` and `kernels_tokens.py`, one
message at a time; the results are the same. docs/protocols/fix-decoding.md has the measurements.

Source: FIX 4.4 volume 1 (BodyLength, CheckSum, fields), volume 2 (garbled messages are ignored).
"""

import numpy as np

from protocols.errors import Status
from protocols.fix.kernels_frame import (
    EQUALS,
    FRAMES,
    GARBLED_IN_ROW,
    ZERO,
    is_digit_nb,
    next_frame_nb,
    read_header_nb,
)
from protocols.fix.kernels_tokens import tokenise_nb
from protocols.fix.lanes import FIELDS, parse_tags, store_values
from protocols.fix.layout import (
    BATCH_BYTES,
    BATCH_BYTES_MAX,
    BODY_BYTES_MAX,
    BODY_LENGTH_DIGITS_MAX,
    FIRST_TOKEN,
    POSITION_MAX,
    TRAILER_BYTES,
    Counter,
    Decoder,
)
from protocols.fix.spec import SOH
from protocols.jit import kernel, outline_kernel
from protocols.vectors import (
    BLOCK,
    RUN_BEGINS,
    add_block64,
    count_bits,
    digit_mask64,
    equal_mask64,
    load_word,
    prefetch,
    run_ends,
    store_positions,
    store_positions32,
    sum_between,
    trailing_zeros,
)
from protocols.wire import Bytes

OK = int(Status.OK)
TRUNCATED = int(Status.TRUNCATED)
BAD_LENGTH = int(Status.BAD_LENGTH)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
PLAIN_FRAMES = int(Counter.PLAIN_FRAMES)

TAG_BODY_LENGTH, TAG_MSG_TYPE, TAG_CHECK_SUM = 9, 35, 10

_PREFETCH_BYTES = 4_096
_BATCH_BYTES_MIN = 512
_MSG_TYPE_BYTES_MAX = 8
_WORD_BYTES = 8

TRAILERS = np.array(
    [int.from_bytes(b"\x0110=%03d\x01" % total, "little", signed=True) for total in range(256)],
    np.int64,
)
"""CheckSum field of each sum with the separator before it, as a word: both are right when the last
eight bytes of a message are the word of its sum.
"""


@kernel
def _index_fields_nb(buf: Bytes, base: int, blocks: int, decoder: Decoder) -> int:
    """First pass over `blocks` blocks from buf[base]: ends, starts of values and the digits before
    them, of the fields FIRST_TOKEN, FIRST_TOKEN + 1 …, and the running sums.

    Returns: the number of the first field that has no end or no value there.
    """
    decoder.ends[FIRST_TOKEN - 1] = base - 1
    field = np.int64(FIRST_TOKEN)
    value = np.int64(FIRST_TOKEN)
    state = np.int64(RUN_BEGINS)
    back = np.int64(0)
    for block in range(blocks):
        at = base + block * BLOCK
        prefetch(buf, at + _PREFETCH_BYTES)
        separators = equal_mask64(buf, at, SOH)
        equals = equal_mask64(buf, at, EQUALS)
        digits = digit_mask64(buf, at)
        add_block64(buf, at, decoder.sums, block * BLOCK)
        firsts, after, state = run_ends(separators, digits, state)
        field += store_positions(separators, at, decoder.ends, field)
        found = store_values(after, buf, at, back, decoder.starts, decoder.digits, value)
        # A tag is one digit or more, and then "=".
        wrong = after & (firsts | ~equals)
        if wrong != 0:
            value += count_bits(after & (wrong - 1) & ~wrong)
            break
        value += found
        back = np.int64(BLOCK)
    # The batch begins with BeginString; what is before it may not be read.
    decoder.digits[0, FIRST_TOKEN] = 8
    decoder.digits[1, FIRST_TOKEN] = 0
    # The last field may lack its end, or its value.
    return min(field, value)


@kernel
def _read_fields_nb(fields: int, decoder: Decoder) -> tuple[int, int]:
    """Second pass: tags of the fields FIRST_TOKEN to `fields` - 1, and in `found` which of them are
    CheckSums.

    Returns: (first field that is for the plain tokeniser, or `fields`; CheckSum fields before it,
             at least).
    """
    trailers = np.int64(0)
    for at in range(FIRST_TOKEN, fields, FIELDS):
        masks = parse_tags(
            decoder.ends, decoder.starts, decoder.digits, at, TAG_CHECK_SUM, decoder.tags
        )
        trailers += store_positions32(masks >> FIELDS, at, decoder.found, trailers)
        trouble = masks & ((1 << FIELDS) - 1)
        if trouble != 0:
            return min(at + trailing_zeros(trouble), fields), trailers
    return fields, trailers


@kernel
def _same_version_nb(buf: Bytes, base: int, start: int, size: int) -> bool:
    """Whether the first `size` bytes at `start` are those at `base`, by two words that overlap."""
    if size < _WORD_BYTES:
        same = np.int64(0)
        for i in range(size):
            same += np.int64(buf[start + i] == buf[base + i])
        return same == size
    tail = size - _WORD_BYTES
    return load_word(buf, start) == load_word(buf, base) and load_word(
        buf, start + tail
    ) == load_word(buf, base + tail)


@kernel
def _body_length_nb(buf: Bytes, start: int, first: int, decoder: Decoder) -> int:
    """BodyLength of the message at `start` whose fields begin with token `first`, when its first
    three are what they must be; else -1. Its BeginString must be that of the first message of the
    batch, which is known to be sound.
    """
    tags, starts, ends = decoder.tags, decoder.starts, decoder.ends
    base = np.int64(ends[FIRST_TOKEN - 1]) + 1
    size = np.int64(ends[first]) - start
    if (
        tags[first + 1] != TAG_BODY_LENGTH
        or tags[first + 2] != TAG_MSG_TYPE
        or size != np.int64(ends[FIRST_TOKEN]) - base
        or not _same_version_nb(buf, base, start, size)
    ):
        return -1
    size = np.int64(ends[first + 1]) - np.int64(starts[first + 1])
    if size < 1 or size > BODY_LENGTH_DIGITS_MAX:
        return -1
    length = np.int64(0)
    for at in range(np.int64(starts[first + 1]), np.int64(ends[first + 1])):
        byte = np.int64(buf[np.uint64(at)])
        if not is_digit_nb(byte):
            return -1
        length = length * 10 + byte - ZERO
    return length


@kernel
def pack_msg_type_nb(buf: Bytes, at: int, end: int) -> int:
    """MsgType buf[at:end] as `layout.pack_msg_type` packs it."""
    packed = np.int64(0)
    if end - at <= _MSG_TYPE_BYTES_MAX:
        for i in range(at, end):
            packed |= np.int64(buf[i]) << (8 * (i - at))
    return packed


@kernel
def _write_frame_nb(buf: Bytes, start: int, end: int, first: int, decoder: Decoder, i: int) -> None:
    frame = decoder.frames[i]
    frame["start"] = start
    frame["end"] = end
    frame["first"] = first
    token = first + 2
    frame["msg_type"] = pack_msg_type_nb(
        buf, np.int64(decoder.starts[token]), np.int64(decoder.ends[token])
    )
    frame["row_first"] = 0
    frame["row_count"] = 0
    frame["row_status"] = OK
    frame["row_fault_at"] = -1


@kernel
def _read_batch_nb(
    buf: Bytes, base: int, stop: int, blocks: int, decoder: Decoder
) -> tuple[int, int]:
    """All three passes over `blocks` blocks from buf[base], where a message starts.

    Returns: (frames written, where the next message starts). Without a frame, the first message is
             for the plain kernels.
    """
    fields = _index_fields_nb(buf, base, blocks, decoder)
    plain_from, trailers = _read_fields_nb(fields, decoder)
    ends = decoder.ends
    count = np.int64(0)
    start = base
    first = np.int64(FIRST_TOKEN)
    for i in range(min(trailers, len(decoder.frames))):
        last = np.int64(decoder.found[i])
        if last >= plain_from or last < first + 3:
            break
        length = _body_length_nb(buf, start, first, decoder)
        body_at = np.int64(ends[first + 1]) + 1
        trailer_at = np.int64(ends[last - 1]) + 1
        end = trailer_at + TRAILER_BYTES
        # A length of -1 never fits, as a third field is there.
        if (
            body_at + length != trailer_at
            or length > decoder.settings[BODY_BYTES_MAX]
            or end > stop
        ):
            break
        total = sum_between(buf, base, decoder.sums, start - base, trailer_at - base)
        if load_word(buf, end - _WORD_BYTES) != TRAILERS[np.uint64(total)]:
            break
        _write_frame_nb(buf, start, end, first, decoder, i)
        decoder.frames[i]["count"] = last + 1 - first
        decoder.frames[i]["is_plain"] = 0
        decoder.frames[i]["status"] = OK
        decoder.frames[i]["fault_at"] = -1
        count += 1
        start = end
        first = last + 1
    return count, start


@kernel
def _blocks_of_batch_nb(buf: Bytes, at: int, stop: int, settings: np.ndarray) -> int:
    """How many blocks to read at once from a message at `at`, 0 when it is for the plain kernels:
    no whole message, or too near to the end of the buffer.
    """
    body_at, length, status = read_header_nb(buf, at, stop)
    if status != OK or length > settings[BODY_BYTES_MAX]:
        return 0
    size = body_at + length + TRAILER_BYTES - at
    if size > stop - at:
        return 0
    wanted = max(size, min(settings[BATCH_BYTES], stop - at))
    blocks = min((wanted + BLOCK - 1) // BLOCK, (len(buf) - at) // BLOCK)
    return blocks if blocks * BLOCK >= size else 0


@kernel
def _read_plain_nb(buf: Bytes, at: int, stop: int, decoder: Decoder) -> tuple[int, int]:
    """One message by the plain kernels, after what garbage is before it; as `_read_batch_nb`."""
    start, end, _, status = next_frame_nb(
        buf, at, stop, decoder.settings[BODY_BYTES_MAX], decoder.counts
    )
    if status != OK:
        return 0, start
    count, status, fault_at = tokenise_nb(buf, start, end, np.int64(FIRST_TOKEN), decoder)
    _write_frame_nb(buf, start, end, np.int64(FIRST_TOKEN), decoder, np.int64(0))
    decoder.frames[0]["count"] = count
    decoder.frames[0]["is_plain"] = 1
    decoder.frames[0]["status"] = status
    decoder.frames[0]["fault_at"] = fault_at
    decoder.counts[PLAIN_FRAMES] += 1
    return 1, end


@outline_kernel
def decode_nb(buf: Bytes, at: int, stop: int, decoder: Decoder) -> tuple[int, int, int]:
    """The next batch of messages in buf[at:stop]: framed, checked by BodyLength and CheckSum, and
    in tokens. Garbage is skipped and counted in `decoder.counts`.

    Full speed takes 63 bytes of room in `buf` after `stop`: the last message of a buffer that ends
    with it is read plainly. What the room holds does not matter.

    Returns: (frames, bytes used, status): OUTPUT_FULL when more messages may be there and the next
             call must begin after the bytes used; OK when every byte is used; TRUNCATED when the
             bytes after those used may become a message. BAD_LENGTH, and nothing done, when `stop`
             is beyond POSITION_MAX. Frames and tokens stay until the next call.
    """
    if stop > POSITION_MAX:
        return 0, 0, BAD_LENGTH
    settings = decoder.settings
    frames = np.int64(0)
    end = at
    blocks = _blocks_of_batch_nb(buf, at, stop, settings)
    if blocks > 0:
        frames, end = _read_batch_nb(buf, at, stop, blocks, decoder)
        if frames > 0:
            decoder.counts[FRAMES] += frames
            decoder.counts[GARBLED_IN_ROW] = 0
            settings[BATCH_BYTES] = min(2 * settings[BATCH_BYTES], settings[BATCH_BYTES_MAX])
        else:
            # Where most messages are for the plain kernels, little is read in vain.
            settings[BATCH_BYTES] = max(settings[BATCH_BYTES] // 2, _BATCH_BYTES_MIN)
    if frames == 0:
        frames, end = _read_plain_nb(buf, at, stop, decoder)
        if frames == 0 and end < stop:
            return 0, end - at, TRUNCATED
    return frames, end - at, (OK if end == stop else OUTPUT_FULL)
