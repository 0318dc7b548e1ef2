"""Any bytes, in any pieces, through every decoder of `feedhandler decode`: rows and counts, no
error, and the same ones as in one piece.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.itch50 import spec as itch50
from protocols.ouch42 import spec as ouch42
from tests.reference.table_strategies import table_bytes
from tests.unit.tools.decode.support import Outcome, binary_file, fix_message, run, soup_packet
from tools.decode.decoders import MoldDecoder
from tools.decode.entries import Decoder
from tools.decode.sniff import Framing, Protocol, sniff
from tools.decode.streams import DECODERS, OTHER_STREAM_BYTES, ConnectionDecoder

MESSAGES = table_bytes(itch50.MESSAGES + ouch42.INBOUND + ouch42.OUTBOUND)
PARTS = st.one_of(
    st.binary(max_size=40),
    MESSAGES.map(lambda message: binary_file([message], end=False)),
    MESSAGES.map(lambda message: soup_packet("S", message)),
    MESSAGES.map(lambda message: soup_packet("U", message)),
    st.builds(fix_message, st.integers(0, 99)),
    st.sampled_from([b"\n", b"\0\0", b"|", b"^A", soup_packet("H"), b"8=FIX.4.4\x019=9"]),
)
DATA = st.lists(PARTS, max_size=8).map(b"".join)
CUTS = st.lists(st.integers(0, 400), max_size=6)


@pytest.mark.parametrize("framing", DECODERS)
@given(data=DATA, cuts=CUTS)
def test_any_stream_gives_the_same_rows_however_it_is_split(
    framing: Framing, data: bytes, cuts: list[int]
):
    pieces = _split(data, cuts)
    _judge(lambda: DECODERS[framing](None), data, pieces, is_log=framing == "lines")


@pytest.mark.parametrize("protocol", [None, "itch50", "fix"])
@pytest.mark.parametrize("is_whole", [False, True])
@given(data=DATA, cuts=CUTS)
def test_any_connection_gives_the_same_rows_however_it_is_split(
    protocol: Protocol | None, is_whole: bool, data: bytes, cuts: list[int]
):
    def make() -> Decoder:
        return ConnectionDecoder(protocol, is_whole=is_whole)

    found = _judge(make, data, _split(data, cuts))
    other_bytes = found.counts.get(OTHER_STREAM_BYTES, 0)
    assert other_bytes in {0, len(data)}
    assert not (other_bytes and found.rows)
    assert other_bytes or found.rows or found.incomplete or found.counts or not data


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def _judge(
    make: Callable[[], Decoder], data: bytes, pieces: list[bytes], *, is_log: bool = False
) -> Outcome:
    found = run(make(), pieces)
    assert found == run(make(), [data])
    for (_, at, raw), row in zip(found.entries, found.rows, strict=True):
        assert 0 <= at <= len(data)
        # A line of a log is shown with the separators of the standard, all else as it is.
        assert is_log or data[at : at + len(raw)] == raw
        assert bool(row.fault) == bool(row.text)
    assert found.incomplete is None or 0 <= found.incomplete.offset < len(data)
    return found


@given(datagrams=st.lists(DATA, max_size=5))
def test_any_datagrams_give_rows_or_counts(datagrams: list[bytes]):
    found = run(MoldDecoder(certain=False), datagrams)
    assert len(found.entries) + found.counts.total() >= len(datagrams)


@given(data=DATA)
def test_any_file_is_of_a_form_that_has_a_decoder_or_none_of_ours(data: bytes):
    found = sniff(data, None)
    assert found is None or found[1] in DECODERS
