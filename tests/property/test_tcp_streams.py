"""TCP streams against a slow twin, and against the bytes that were sent: any segmentation, loss,
repetition and disorder.
"""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from protocols.pcap import spec
from protocols.pcap.flow import Chunk, Hole
from protocols.pcap.tcp import Segment, TcpAssembler, TcpLimits
from tests.reference.slow_tcp import merge, slow_stream

KEY = (0, 0xFFFF_0A00_0001, 0, 0xFFFF_0A00_0002, 40_000 << 16 | 80)
START_SEGMENTS = TcpLimits().start_segments
# Around the end of the sequence space most of all.
ISNS = st.one_of(st.integers(2**32 - 300, 2**32 - 1), st.integers(0, 2**32 - 1), st.just(0))


def cut_up(data: bytes, isn: int, chance: random.Random) -> list[Segment]:
    """The data as segments in their order, some of which overlap the one before."""
    result, at = [], 0
    while at < len(data):
        stop = min(at + chance.randrange(1, 40), len(data))
        start = max(at - chance.choice((0, 0, 0, 7, 30)), 0)
        sequence = (isn + 1 + start) % 2**32
        result.append(Segment(0, sequence, spec.TCP_ACK, data[start:stop]))
        at = stop
    return result


def shuffled(segments: Sequence[Segment], chance: random.Random, reach: int) -> list[Segment]:
    """Each segment up to `reach` places later, and some of them twice."""
    twice = [item for item in segments if chance.random() < 0.2]
    keyed = [(number + chance.random() * reach, item) for number, item in enumerate(segments)]
    keyed += [(chance.random() * len(segments), item) for item in twice if reach]
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def captured(item: Segment, chance: random.Random) -> list[Segment]:
    """The segment as some capture shows it: not at all, cut, changed, or with an acknowledgement of
    the same number behind it.
    """
    fate = chance.random()
    if fate < 0.2:
        return []
    if fate < 0.3:
        kept = chance.randrange(len(item.data) + 1)
        return [item._replace(data=item.data[:kept], cut_bytes=len(item.data) - kept)]
    if fate > 0.95:
        return [item._replace(data=bytes(len(item.data)))]
    return [item, item._replace(data=b"")] if fate > 0.85 else [item]


def assemble(segments: Sequence[Segment], limits: TcpLimits | None = None) -> list[bytes | Hole]:
    assembler = TcpAssembler(limits)
    chunks: list[Chunk] = []
    for segment in segments:
        chunks += assembler.add(KEY, segment)
    chunks += assembler.finish()
    assert assembler._held_bytes == 0
    assert {chunk.flow.connection for chunk in chunks} <= {0}
    return [chunk.data for chunk in chunks]


@given(
    st.binary(max_size=600), ISNS, st.randoms(use_true_random=False), st.sampled_from([0, 3, 20])
)
def test_what_was_not_lost_comes_whole_and_in_order(
    data: bytes, isn: int, chance: random.Random, reach: int
):
    syn = Segment(0, isn, spec.TCP_SYN, b"")
    segments = shuffled(cut_up(data, isn, chance), chance, reach)
    fin = Segment(0, (isn + 1 + len(data)) % 2**32, spec.TCP_FIN | spec.TCP_ACK, b"")
    place = chance.randrange(len(segments) + 1)
    assert b"".join(assemble([syn, *segments[:place], fin, *segments[place:]])) == data


@given(
    st.binary(min_size=1, max_size=400),
    ISNS,
    st.randoms(use_true_random=False),
    st.sampled_from([0, 3, 20]),
    st.booleans(),
    st.booleans(),
)
def test_streams_are_those_of_the_slow_twin(
    data: bytes, isn: int, chance: random.Random, reach: int, with_syn: bool, with_fin: bool
):
    segments: list[Segment] = []
    for item in shuffled(cut_up(data, isn, chance), chance, reach):
        segments += captured(item, chance)
    if with_fin:
        stop = (isn + 1 + len(data)) % 2**32
        segments.append(Segment(0, stop, spec.TCP_FIN | spec.TCP_ACK, b""))
    if with_syn:
        # A FIN alone before the SYN tells nothing, so the SYN comes second behind data only.
        place = chance.randrange(2) if segments and segments[0].data else 0
        segments.insert(place, Segment(0, isn, spec.TCP_SYN, b""))
    assert merge(assemble(segments)) == slow_stream(segments, START_SEGMENTS)


@given(
    st.binary(min_size=1, max_size=2_000),
    ISNS,
    st.randoms(use_true_random=False),
    st.integers(1, 2_000),
    st.integers(1, 2_000),
)
def test_within_any_limits_every_byte_stands_in_its_place(
    data: bytes, isn: int, chance: random.Random, half_bytes: int, total_bytes: int
):
    sent = shuffled(cut_up(data, isn, chance), chance, 60)
    segments = [item for item in sent if chance.random() < 0.8]
    limits = TcpLimits(half_bytes=half_bytes, total_bytes=total_bytes)
    assembler = TcpAssembler(limits)
    chunks = assembler.add(KEY, Segment(0, isn, spec.TCP_SYN, b""))
    for segment in segments:
        chunks += assembler.add(KEY, segment)
        assert assembler._held_bytes <= min(half_bytes, total_bytes)
    chunks += assembler.finish()
    at = 0
    for chunk in chunks:
        if isinstance(chunk.data, Hole):
            assert chunk.data.size_bytes
            at += chunk.data.size_bytes
        else:
            assert data[at : at + len(chunk.data)] == chunk.data
            at += len(chunk.data)
    assert at <= len(data)
    holes = [chunk.data.size_bytes for chunk in chunks if isinstance(chunk.data, Hole)]
    assert assembler.counts.missing_bytes == sum(size or 0 for size in holes)
    assert assembler.counts.holes == len(holes)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 60)),
            st.integers(0, 31),
            st.binary(max_size=9),
            st.integers(0, 3),
        ),
        max_size=60,
    )
)
def test_segments_that_make_no_sense_do_no_harm(
    items: list[tuple[int, int, int, bytes, int]],
):
    limits = TcpLimits(half_bytes=600, total_bytes=900, connections=2, start_segments=3)
    assembler = TcpAssembler(limits)
    chunks: list[Chunk] = []
    for port, sequence, flags, data, cut in items:
        key = (0, 1, 0, 2, port << 16 | (port ^ 1))
        chunks += assembler.add(key, Segment(5, sequence, flags, data, cut))
        assert assembler._held_bytes <= 900
        assert len(assembler._connections) <= 2
    chunks += assembler.finish()
    assert assembler._held_bytes == 0
    assert not assembler._by_key
    given_bytes = sum(len(c.data) for c in chunks if isinstance(c.data, bytes))
    assert given_bytes <= sum(len(item[3]) for item in items)
