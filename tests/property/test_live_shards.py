"""Whatever the lines bring, a sequencer and its shards come to what one engine comes to."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feedhandler.core.book.views import books_digest
from feedhandler.core.counts import Count
from feedhandler.core.functions import Use
from feedhandler.core.market import Look
from feedhandler.core.recovery import skip_hole_nb
from feedhandler.core.shard import Shard, ShardCapacity
from feedhandler.core.snapshot import load_snapshot_nb
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    NEVER,
    Engine,
    add,
    delete,
    execute,
    heartbeat,
    packet,
    system_event,
)
from tests.unit.feedhandler.core.team import Team

MESSAGES = 60
INSTRUMENTS = 7
ROOMY = CAPACITY._replace(window_packets=128)
LEGS = [int.from_bytes(f"S{i}".encode().ljust(8), "little") for i in range(INSTRUMENTS)]
WATCHING = ROOMY._replace(
    patterns=(Use(bindings=((LEGS[1], LEGS[2]), (LEGS[5], LEGS[0], LEGS[3]))),),
    look=Look.ANALYTICS,
)
"""Functions that make a shard take instruments of others."""
_OF_EACH_ENGINE = {Count.NEXT_SEQ, Count.STATE, Count.BOOKS_SUSPECT, Count.ORDERS_LIVE}
"""Rows that tell how things stand, and not what has happened."""


def message(seq: int) -> bytes:
    """Message `seq` of the day, with its number as its timestamp: orders come and go."""
    if seq % 9 == 0:
        return system_event(seq)
    ref, locate = seq // 2, (seq // 2) % INSTRUMENTS
    if seq % 2 == 0:
        symbol = f"S{locate}"
        return add(ref, "BS"[ref % 2], 100, 10_000 + seq, locate=locate, ts_ns=seq, symbol=symbol)
    if seq % 4 == 1:
        return delete(ref, locate=locate)
    found = execute(ref, 10, ts_ns=seq)
    return found[:1] + locate.to_bytes(2, "big") + found[3:]


def datagram(seq: int, count: int) -> bytes:
    """Messages from `seq` on; none at all is a heartbeat."""
    messages = [message(each) for each in range(seq, seq + count)]
    return packet(seq, messages) if messages else heartbeat(seq)


class Arrival(NamedTuple):
    """A datagram, then perhaps a hole is given up, or a snapshot comes that is so far ahead."""

    seq: int
    count: int
    line: int
    gives_up: bool
    ahead: int
    lag: int


arrivals = st.lists(
    st.builds(
        Arrival,
        st.integers(1, MESSAGES),
        st.integers(0, 9),
        st.integers(0, 2),
        st.sampled_from([False] * 9 + [True]),
        st.sampled_from([-1] * 14 + [0, 5]),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=40,
)


def offer(shard: Shard, next_seq: int) -> int:
    """A snapshot of what the day is before message `next_seq`; how many blocks."""
    alive = {}
    for each in (message(seq) for seq in range(1, next_seq)):
        ref = int.from_bytes(each[11:19], "big")
        if each[:1] == b"A":
            alive[ref] = each
        elif each[:1] == b"D":
            alive.pop(ref, None)
    blocks = b"".join(len(each).to_bytes(2, "big") + each for each in alive.values())
    shard.snapshot[: len(blocks)] = np.frombuffer(blocks, np.uint8)
    return len(alive)


def as_one(engine: Engine, arrival: Arrival) -> None:
    engine.take(datagram(arrival.seq, arrival.count), arrival.line)
    engine.settle()
    if arrival.gives_up:
        skip_hole_nb(engine.shard, engine.rx)
        engine.settle()
    if arrival.ahead >= 0:
        next_seq = int(engine.channel["next_seq"]) + arrival.ahead
        load_snapshot_nb(engine.shard, engine.venue, offer(engine.shard, next_seq), next_seq)
        engine.settle()


def as_team(team: Team, arrival: Arrival) -> None:
    """The same, with shards that lag behind by some records."""
    front = team.front
    front.take(datagram(arrival.seq, arrival.count), arrival.line)
    team.settle()
    if arrival.gives_up:
        skip_hole_nb(front.shard, front.rx)
        team.settle()
    if arrival.ahead >= 0:
        next_seq = int(front.channel["next_seq"]) + arrival.ahead
        blocks = offer(front.shard, next_seq)
        with team.following():
            load_snapshot_nb(front.shard, front.venue, blocks, next_seq)
        team.settle()
    team.follow(arrival.lag)


def seen(tick: Any) -> dict[str, int]:
    """All of a tick but what the clock says."""
    names = [name for name in tick.dtype.names if name != "ts_decoded_ns"]
    return {name: tick[name].item() for name in names if not name.startswith("unused")}


@settings(max_examples=25, deadline=None)
@given(arrivals, st.integers(2, 4), st.sampled_from([ROOMY, WATCHING]))
def test_every_tick_book_and_count_is_that_of_one_engine(
    steps: list[Arrival], shards: int, capacity: ShardCapacity
):
    one = Engine(capacity=capacity, reorder_ns=NEVER)
    team = Team(shards, capacity=capacity, reorder_ns=NEVER, records=1_024)
    for step in steps:
        as_one(one, step)
        as_team(team, step)
    team.follow()
    ticks = sorted(one.ticks(), key=lambda tick: int(tick["seq"]))
    assert [seen(tick) for tick in team.ticks()] == [seen(tick) for tick in ticks]
    assert books_digest(*(each.shard.book for each in team.shards)) == books_digest(one.shard.book)
    for row in range(len(one.shard.counts)):
        if row not in _OF_EACH_ENGINE:
            assert team.total(row) == one.count(row), Count(row)
    assert team.front.channel == one.channel
    for each in team.shards:
        for word in ("state", "next_seq", "suspect"):
            assert each.channel[word] == one.channel[word], word
    assert sum(each.shard.types for each in team.shards).tolist() == one.shard.types.tolist()
    live = [each.shard.counts[Count.ORDERS_LIVE, 0] for each in team.shards]
    assert sum(live) == one.shard.counts[Count.ORDERS_LIVE, 0]
