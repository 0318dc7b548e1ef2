"""Mutated FIX by the million: the batch kernels against the plain ones, in one compiled loop.

An input is one to three messages out of a set that has every kind of field, with up to four bytes
changed, sometimes cut, and with its lengths and sums mostly made right again, so that damage gets
past the framing. Both ways must find the same messages, fields and rows, and the counts must agree.
`FIX_FUZZ_INPUTS=10000000` in the environment makes the long run, some minutes on one core; with
`NUMBA_BOUNDSCHECK=1` every index of the kernels is checked on the way.
"""

import os
from typing import NamedTuple

import numpy as np
import pytest

from protocols.errors import Status
from protocols.fix.kernels import decode_nb
from protocols.fix.kernels_entries import (
    INCREMENTAL,
    SNAPSHOT,
    EntryScratch,
    EntryViews,
    allocate_scratch,
    entry_views,
    read_entries_nb,
)
from protocols.fix.kernels_frame import next_frame_nb
from protocols.fix.kernels_tokens import tokenise_nb
from protocols.fix.kernels_views import read_message_nb
from protocols.fix.layout import BODY_BYTES_MAX, FIRST_TOKEN, Decoder, allocate_decoder
from protocols.fix.views import VIEWS, WIDTH, ViewTable, allocate_rows
from protocols.jit import kernel
from tools.bench.fix_corpus import incremental_refreshes

INPUTS = int(os.environ.get("FIX_FUZZ_INPUTS", "20000"))
OK = int(Status.OK)
OUTPUT_FULL = int(Status.OUTPUT_FULL)
MESSAGES_MAX = 3
MESSAGE_BYTES_MAX = 400
ROOM = 64
ROWS = 64
DIFFERENT = 1_000_000


class Side(NamedTuple):
    """A decoder with what reads its entries."""

    decoder: Decoder
    views: EntryViews
    order: ViewTable
    words: np.ndarray
    scratch: EntryScratch


def side() -> Side:
    decoder = allocate_decoder(body_bytes_max=1_000, frame_limit=16)
    _, words = allocate_rows(VIEWS[b"X"], ROWS)
    return Side(decoder, entry_views(), VIEWS[b"8"].table(), words, allocate_scratch(decoder))


@kernel
def random_nb(state: np.ndarray, limit: int):
    """The next number from 0 to limit - 1 (xorshift)."""
    word = state[0]
    word ^= (word << 13) & 0x7FFFFFFFFFFFFFFF
    word ^= word >> 7
    word ^= (word << 17) & 0x7FFFFFFFFFFFFFFF
    state[0] = word
    return (word >> 11) % limit


@kernel
def repair_nb(buf: np.ndarray, start: int, stop: int):
    """Three digits of BodyLength and the sum made right, for a message with sound ends."""
    body = start + 16  # 8=FIX.4.4|9=nnn|
    length = stop - 7 - body
    for i in range(3):
        buf[start + 12 + i] = 48 + length // 10 ** (2 - i) % 10
    total = np.int64(0)
    for i in range(start, stop - 7):
        total += np.int64(buf[i])
    for i in range(3):
        buf[stop - 4 + i] = 48 + total % 256 // 10 ** (2 - i) % 10


@kernel
def make_input_nb(
    corpus: np.ndarray,
    ends: np.ndarray,
    bytes_of_note: np.ndarray,
    state: np.ndarray,
    buf: np.ndarray,
):
    """One input at buf[0:]; its size."""
    size = np.int64(0)
    for _ in range(1 + random_nb(state, MESSAGES_MAX)):
        which = random_nb(state, len(ends) - 1)
        start = size
        for i in range(ends[which], ends[which + 1]):
            buf[size] = corpus[i]
            size += 1
        for _ in range(random_nb(state, 5)):
            at = start + random_nb(state, size - start)
            if random_nb(state, 4) == 0:
                buf[at] = random_nb(state, 256)
            else:
                buf[at] = bytes_of_note[random_nb(state, len(bytes_of_note))]
        if random_nb(state, 4) == 0:
            cut = 1 + random_nb(state, 12)
            at = start + random_nb(state, size - start - cut)
            for i in range(at, size - cut):
                buf[i] = buf[i + cut]
            size -= cut
        if random_nb(state, 4) > 0:
            repair_nb(buf, start, size)
    for i in range(size, size + ROOM):
        buf[i] = bytes_of_note[random_nb(state, len(bytes_of_note))]
    return size


@kernel
def compare_nb(buf: np.ndarray, size: int, fast: Side, plain: Side):
    """Frames both ways; how many, or DIFFERENT and more."""
    plain.decoder.counts[:] = 0
    fast.decoder.counts[:] = 0
    at = np.int64(0)
    other = np.int64(0)
    frames = np.int64(0)
    status = OUTPUT_FULL
    while status == OUTPUT_FULL:
        count, used, status = decode_nb(buf, at, size, fast.decoder)
        at += used
        read_entries_nb(buf, fast.decoder, np.int64(0), count, fast.views, fast.words, fast.scratch)
        for i in range(count):
            frame = fast.decoder.frames[i]
            start, end, _, found = next_frame_nb(
                buf, other, size, plain.decoder.settings[BODY_BYTES_MAX], plain.decoder.counts
            )
            other = end
            if found != OK or start != frame["start"] or end != frame["end"]:
                return DIFFERENT + 1
            different = compare_tokens_nb(buf, i, fast, plain)
            if different:
                return DIFFERENT + different
            different = compare_rows_nb(buf, i, fast, plain)
            if different:
                return DIFFERENT + different
        frames += count
    start, _, _, found = next_frame_nb(
        buf, other, size, plain.decoder.settings[BODY_BYTES_MAX], plain.decoder.counts
    )
    if found == OK or start != at:
        return DIFFERENT + 2
    for i in range(6):
        if fast.decoder.counts[i] != plain.decoder.counts[i]:
            return DIFFERENT + 3
    return frames


@kernel
def compare_tokens_nb(buf: np.ndarray, i: int, fast: Side, plain: Side):
    frame, twin = fast.decoder.frames[i], plain.decoder.frames[0]
    first = np.int64(FIRST_TOKEN)
    count, status, fault_at = tokenise_nb(
        buf, np.int64(frame["start"]), np.int64(frame["end"]), first, plain.decoder
    )
    if count != frame["count"] or status != frame["status"] or fault_at != frame["fault_at"]:
        return 4
    for j in range(count):
        token = np.int64(frame["first"]) + j
        if (
            fast.decoder.tags[token] != plain.decoder.tags[first + j]
            or fast.decoder.starts[token] != plain.decoder.starts[first + j]
            or fast.decoder.ends[token] != plain.decoder.ends[first + j]
        ):
            return 5
    twin["start"], twin["end"] = frame["start"], frame["end"]
    twin["first"], twin["count"] = first, count
    return 0


@kernel
def compare_rows_nb(buf: np.ndarray, i: int, fast: Side, plain: Side):
    frame, twin = fast.decoder.frames[i], plain.decoder.frames[0]
    msg_type = frame["msg_type"]
    if msg_type not in (SNAPSHOT, INCREMENTAL):
        read_message_nb(buf, plain.decoder, np.int64(0), plain.order, plain.words, np.int64(0))
        return 0
    table = plain.views.snapshots if msg_type == SNAPSHOT else plain.views.incrementals
    count, _ = read_message_nb(buf, plain.decoder, np.int64(0), table, plain.words, np.int64(0))
    if (
        count != frame["row_count"]
        or frame["row_status"] != twin["row_status"]
        or frame["row_fault_at"] != twin["row_fault_at"]
    ):
        return 6
    base = np.int64(frame["row_first"]) * table.meta[WIDTH]
    for word in range(count * table.meta[WIDTH]):
        same = fast.words[base + word] == plain.words[word]
        if not same and word % table.meta[WIDTH] != 0:  # the number of the frame differs
            return 7
    return 0


@kernel
def fuzz_nb(
    corpus: np.ndarray,
    ends: np.ndarray,
    bytes_of_note: np.ndarray,
    state: np.ndarray,
    buf: np.ndarray,
    fast: Side,
    plain: Side,
    inputs: int,
):
    """(inputs done, frames found, kind of the first difference or 0)."""
    frames = np.int64(0)
    for i in range(inputs):
        size = make_input_nb(corpus, ends, bytes_of_note, state, buf)
        found = compare_nb(buf, size, fast, plain)
        if found >= DIFFERENT:
            return i, size, found - DIFFERENT
        frames += found
    return inputs, frames, 0


def wire(body: str) -> bytes:
    head = f"8=FIX.4.4|9={len(body):03}|{body}".replace("|", "\x01").encode("latin-1")
    return head + b"10=%03d\x01" % (sum(head) % 256)


def corpus() -> list[bytes]:
    """Messages with a BodyLength of three digits."""
    ordinary = [
        message for message in incremental_refreshes(50) if message[12:16].endswith(b"\x01")
    ]
    return [
        *ordinary,
        wire("35=W|34=1|55=ES|268=2|269=0|270=5|271=1|269=1|270=5.25|271=0.5|273=14:30:00.5|"),
        wire(
            "35=X|268=3|279=0|269=0|55=A|270=1|271=2|279=2|278=E|279=1|269=1|270=-1.5|83=7|346=2|"
        ),
        wire("35=X|268=1|279=0|55=A|270=1|271=2|5001=x|20001=y|58=text|272=20261121|1023=4|"),
        wire("35=B|148=news|358=5|359=a|b=c|33=1|58=x|354=3|355=|||"),
        wire(
            "35=8|37=O|17=E|150=0|39=0|55=A|54=1|38=100|44=1.25|151=0|14=0|6=0|60=20261121-14:30:00|"
        ),
        wire("35=0|"),
    ]


@pytest.mark.compiled_only
@pytest.mark.timeout(7_200)
def test_batch_and_plain_kernels_agree_on_damaged_messages():
    messages = corpus()
    assert max(map(len, messages)) <= MESSAGE_BYTES_MAX
    data = np.frombuffer(b"".join(messages), np.uint8)
    ends = np.cumsum([0, *map(len, messages)])
    note = np.frombuffer(b"\x01\x01=0123456789.-8X", np.uint8)
    buf = np.zeros(MESSAGES_MAX * MESSAGE_BYTES_MAX + 2 * ROOM, np.uint8)
    state = np.array([88_172_645_463_325_252], np.int64)
    done, found, different = fuzz_nb(data, ends, note, state, buf, side(), side(), INPUTS)
    stream = buf[:found].tobytes() if different else b""
    assert different == 0, f"difference {different} in input {done}: {stream!r}"
    assert done == INPUTS
    assert found > INPUTS // 2, "most inputs must get past the framing"
