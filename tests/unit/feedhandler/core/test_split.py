"""Which shard an instrument belongs to, and what a shard does with messages of the others."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.events import Kind
from feedhandler.core.functions import Use
from feedhandler.core.market import Look
from feedhandler.core.roles import watch_legs
from feedhandler.core.shard import Setting
from feedhandler.core.split import NUMBERS, allocate_split, find_blocks_nb, owns
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    Engine,
    add,
    delete,
    directory,
    packet,
    state_of,
    system_event,
    trade,
)

SHARDS = 3
A, B, C = (int.from_bytes(name.ljust(8), "little") for name in (b"A", b"B", b"C"))


@pytest.mark.parametrize("shards", [2, 3, 7, 64])
def test_every_instrument_belongs_to_one_shard_and_none_has_two_more_than_another(shards: int):
    tables = np.array([allocate_split(i, shards, 64).owned for i in range(shards)])
    assert (tables.sum(axis=0) == 1).all()
    sizes = tables.sum(axis=1)
    assert sizes.sum() == NUMBERS
    assert sizes.max() - sizes.min() <= 1


def test_a_number_beyond_the_table_is_looked_up_by_its_low_bits():
    assert owns(np.array([NUMBERS + 4]), 1, SHARDS) == owns(np.array([4]), 1, SHARDS)


def test_a_shard_on_its_own_has_every_message_in_its_place():
    assert allocate_split(0, 1, 64).offsets.tolist() == list(range(64))


def test_blocks_are_found_by_their_lengths():
    buf = np.frombuffer(b"??\x00\x03abc\x00\x00\x01\x00" + bytes(256) + b"\x00\x01z", np.uint8)
    blocks = np.zeros(5, np.int64)
    assert find_blocks_nb(buf, 2, 4, blocks) == len(buf)
    assert blocks.tolist() == [2, 7, 9, 267, 0]


def day() -> list[bytes]:
    """System events, and ten instruments with an order each, of which every other one goes."""
    added = [add(i, "B", 100, 10_000 + i, locate=i) for i in range(1, 11)]
    gone = [delete(i, locate=i) for i in range(2, 11, 2)]
    return [system_event(), *added, system_event(), *gone, b"?", b"", b"A"]


def test_each_message_is_taken_by_one_shard_and_every_shard_sees_the_feed():
    engines = [Engine(capacity=CAPACITY._replace(shard=i, shards=SHARDS)) for i in range(SHARDS)]
    alone = Engine()
    for engine in (*engines, alone):
        engine.take(packet(1, day()))
        engine.settle()
        engine.work()
    seqs = [engine.channel["next_seq"] for engine in engines]
    assert seqs == [1 + len(day())] * SHARDS
    for row in (Count.APPLIED, Count.UNKNOWN_TYPE, Count.BAD_LENGTH, Count.TICKS):
        assert sum(engine.count(row) for engine in engines) == alone.count(row) > 0
    live = [int(engine.shard.book.meta[ORDERS_LIVE]) for engine in engines]
    assert (sum(live), live[0]) == (5, 2)
    # The locates of shard 1: 1, 4, 7 and 10.
    assert engines[1].shard.types[ord("A")] == 4


def test_messages_that_were_applied_before_are_passed_over():
    engine = Engine(capacity=CAPACITY._replace(shard=1, shards=2))
    engine.take(packet(1, day()[:4]))
    engine.take(packet(3, day()[2:8]))
    assert engine.shard.types[ord("A")] == 4
    assert engine.count(Count.DUPLICATE_REFERENCE) == 0


def never(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern: counts its calls."""
    state[0] += 1
    return 0


def cautious(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: asks for caution at every trade and for nothing else."""
    return int(ticks[slot]["kind"] == Kind.TRADE)


def test_what_a_shard_watches_moves_the_market_and_counts_nowhere():
    uses = (Use(bindings=((A, B),)), Use())
    capacity = CAPACITY._replace(shard=1, shards=2, patterns=uses, look=Look.ANALYTICS)
    stage = compile_stage(never)
    engine = Engine([compile_stage(cautious)], [stage, stage], capacity=capacity)
    shard = engine.shard
    watch_legs(shard.split.roles, shard.breakers, shard.patterns)
    shard.settings[Setting.TIMED] = 1
    for budget in (Setting.BOOK_BUDGET_NS, Setting.BREAKER_BUDGET_NS, Setting.PATTERN_BUDGET_NS):
        shard.settings[budget] = 1 << 60
    # 1 is its own; of the others it watches 2 alone, once it knows that 4 is C.
    engine.feed([directory(1, "A"), directory(2, "B"), directory(4, "C")])
    assert shard.split.roles.taken[:5].tolist() == [1, 1, 1, 1, 0]
    engine.feed([add(i, "B", 10 * i, 100, locate=i, symbol=" ABxC"[i]) for i in (1, 2, 4)])
    engine.feed([trade(5, 7, locate=2), trade(5, 7, locate=4), b"A", b"D\x00\x02" + bytes(9)])
    assert shard.market[:5]["bid_qty"].tolist() == [0, 10, 20, 0, 0]
    assert shard.market[:3]["level"].tolist() == [0, 0, 1]
    calls = shard.patterns.state
    assert (calls[0], state_of(shard.patterns, 1, 1)[0], state_of(shard.patterns, 1, 2)[0]) == (
        *(4, 2, 0),
    )
    assert engine.signals() == []
    expected = {"APPLIED": 2, "TICKS": 2, "ORDERS_LIVE": 1}
    counts = engine.counts()
    assert {name: counts.pop(name) for name in expected} == expected
    assert sum(counts.pop(f"LANE_TICKS{lane}", 0) for lane in ("", "+1", "+2")) == 2
    about_feed = ("PACKETS", "WINS", "NEXT_SEQ", "LAST_PACKET_NS", "STATE", "GAPS")
    assert [name for name in counts if not name.startswith(about_feed)] == []
    assert shard.types.nonzero()[0].tolist() == sorted(map(ord, "AR"))
    for row in (Histogram.LATENCY, Histogram.STAGE_BOOK, Histogram.STAGE_BREAKERS):
        assert shard.histograms[row, 0] == 2
    assert int(shard.book.meta[ORDERS_LIVE]) == 2
