"""IP datagrams from fragments against a slow twin: any order, copies, overlaps, contradictions."""

import random

from hypothesis import given
from hypothesis import strategies as st

from protocols.pcap.fragments import FragmentAssembler, FragmentLimits
from protocols.pcap.layout import COLUMNS, FRAGMENT_MORE_SHIFT, FRAGMENT_PROTOCOL_SHIFT, Column
from protocols.pcap.spec import IPV4_MAPPED
from tests.reference.slow_fragments import slow_datagram


def row(start: int, more: bool, number: int = 1, ts_ns: int = 0, protocol: int = 17) -> list[int]:
    result = [0] * COLUMNS
    result[Column.TS_NS] = ts_ns
    result[Column.SOURCE_LOW] = IPV4_MAPPED | 1
    result[Column.TARGET_LOW] = IPV4_MAPPED | 2
    result[Column.NUMBER] = number
    flags = start | more << FRAGMENT_MORE_SHIFT | protocol << FRAGMENT_PROTOCOL_SHIFT
    result[Column.FLAGS] = flags
    return result


def pieces_of(data: bytes, chance: random.Random) -> list[tuple[int, bytes, bool]]:
    """Fragments that cover the data, with copies and overlaps, in any order."""
    result, at = [], 0
    while at < len(data):
        stop = min(at + chance.randrange(1, 6) * 8, len(data))
        start = max(at - chance.choice((0, 0, 8, 16)), 0)
        result.append((start, data[start:stop], stop < len(data)))
        at = stop
    result += [item for item in result if chance.random() < 0.2]
    chance.shuffle(result)
    return result


@given(st.binary(min_size=1, max_size=300), st.randoms(use_true_random=False))
def test_fragments_in_any_order_give_the_datagram_once(data: bytes, chance: random.Random):
    assembler = FragmentAssembler()
    pieces = pieces_of(data, chance)
    found = [assembler.add(row(start, more), part) for start, part, more in pieces]
    assert [whole for whole in found if whole] == [(17, data)]
    assembler.finish()
    assert assembler.dropped == len(pieces) - 1 - next(i for i, whole in enumerate(found) if whole)


@given(
    st.binary(min_size=1, max_size=300),
    st.randoms(use_true_random=False),
    st.sampled_from(["lose", "change", "cut", "lengthen"]),
)
def test_damaged_fragments_give_what_the_slow_twin_gives(
    data: bytes, chance: random.Random, damage: str
):
    pieces = pieces_of(data, chance)
    victim = chance.randrange(len(pieces))
    start, part, more = pieces[victim]
    if damage == "lose":
        del pieces[victim]
    elif damage == "change":
        pieces[victim] = (start, bytes((part[0] ^ 1,)) + part[1:], more)
    elif damage == "cut":
        pieces[victim] = (start, part[:8], more)
    else:
        pieces[victim] = (start, part + bytes(-len(part) % 8 + 8), True)
    assembler = FragmentAssembler()
    found = (assembler.add(row(start, more), part) for start, part, more in pieces)
    whole = next((whole for whole in found if whole), None)
    expected = slow_datagram(pieces)
    assert whole == (None if expected is None else (17, expected))


@given(st.randoms(use_true_random=False))
def test_memory_stays_within_its_limits(chance: random.Random):
    limits = FragmentLimits(datagrams=5, size_bytes=500)
    assembler = FragmentAssembler(limits)
    fragments, whole = 0, 0
    for number in range(200):
        start, more = chance.randrange(30) * 8, chance.random() < 0.7
        part = bytes(8 * chance.randrange(1, 4))
        fragments += 1
        whole += assembler.add(row(start, more, chance.randrange(9), number), part) is not None
        assert len(assembler._partials) <= limits.datagrams
        held = sum(len(partial.data) for partial in assembler._partials.values())
        assert held == assembler._size_bytes <= limits.size_bytes
    assembler.finish()
    assert assembler._size_bytes == 0
    assert assembler.dropped <= fragments - whole
