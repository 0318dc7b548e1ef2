"""The index kernels over any bytes: one outcome each, nothing outside of the file, always on.

Run under NUMBA_BOUNDSCHECK=1 as well, where an index outside of an array is an IndexError.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from protocols.binaryfile.kernels import index_messages_nb
from protocols.errors import Status
from protocols.pcap import spec
from protocols.pcap.kernels import index_pcap_nb, index_pcapng_nb
from protocols.pcap.layout import Column, allocate_section, allocate_table
from tests.reference.itch_strategies import encoded_messages

# Words that begin or bound something in a capture, so that random files pass the first checks.
WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, 6, 9, 12, 16, 20, 28, 32, 36, 40, 44, 64, 0xFFFFFFFF]),
    st.sampled_from([spec.BLOCK_SECTION, spec.BYTE_ORDER_MAGIC, 0x00010000, 0x08004500]),
    st.integers(0, 2**32 - 1),
)


def capture_bytes() -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda words, tail: b"".join(word.to_bytes(4, "little") for word in words) + tail,
        st.lists(WORDS, max_size=60),
        st.binary(max_size=7),
    )


def run_to_the_end(index_nb: Callable[..., Any], data: bytes, link: int, rows: int) -> int:
    """Every call makes progress and stays inside; the number of datagrams and skipped frames."""
    buf = np.frombuffer(data, np.uint8)
    section, table = allocate_section(), allocate_table(rows)
    section.words[:] = (1, 1)
    section.interfaces[0] = (link, spec.RESOLUTION_NS, 0, 0)
    at, found, status = 0, 0, int(Status.OUTPUT_FULL)
    while status == Status.OUTPUT_FULL:
        count, used, status = (int(value) for value in index_nb(buf, at, section, table))
        starts, sizes = table.rows[:count, Column.AT], table.rows[:count, Column.SIZE]
        stops = starts + sizes
        assert (starts >= at).all()
        assert (sizes >= 0).all()
        assert (stops <= at + used).all()
        assert used > 0 or status != Status.OUTPUT_FULL
        at += used
        found += count
    assert at <= len(data)
    assert (at == len(data)) == (status == Status.OK)
    return found + int(table.skipped.sum())


@given(capture_bytes(), st.sampled_from(spec.LINKS_SUPPORTED), st.integers(1, 3))
def test_classic_captures_of_any_bytes(data: bytes, link: int, rows: int):
    total = run_to_the_end(index_pcap_nb, data, link, rows)
    assert total == run_to_the_end(index_pcap_nb, data, link, 64)


@given(capture_bytes(), st.sampled_from(spec.LINKS_SUPPORTED), st.integers(1, 3))
def test_pcapng_captures_of_any_bytes(data: bytes, link: int, rows: int):
    total = run_to_the_end(index_pcapng_nb, data, link, rows)
    assert total == run_to_the_end(index_pcapng_nb, data, link, 64)


@given(st.lists(encoded_messages(), max_size=20), st.binary(max_size=80))
def test_messages_in_front_of_any_bytes_are_found_whole(messages: list[bytes], garbage: bytes):
    data = b"".join(len(item).to_bytes(2, "big") + item for item in messages) + garbage
    buf = np.frombuffer(data, np.uint8)
    out_at = np.zeros(201, np.int64)
    count, used, status = index_messages_nb(buf, 0, len(data), out_at)
    found = [data[at + 2 : end] for at, end in itertools.pairwise(out_at[: count + 1].tolist())]
    assert found[: len(messages)] == messages
    assert sum(map(len, found)) + 2 * count + 2 * (status == Status.END_OF_SESSION) == used
    assert used <= len(data)
