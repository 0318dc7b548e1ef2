"""Sessions one after the other over two bad lines: every message once, in order, whatever was lost
or overtaken around the change.
"""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feedhandler.core.counts import Count
from feedhandler.core.sequence import next_hole_nb
from tests.unit.feedhandler.core.support import (
    LINE_B,
    NEVER,
    RECOVERY,
    Engine,
    end_of_session,
    heartbeat,
    packet,
    system_event,
)

ENDS = 3
ROUNDS_MAX = 400


def id_of(place: int) -> str:
    return f"FH{place:08d}"


def messages_of(sizes: list[int], place: int) -> list[bytes]:
    """Those of a session, with their numbers over all sessions as stamps."""
    first = sum(sizes[:place])
    return [system_event(first + number) for number in range(1, sizes[place] + 1)]


def sent_by_a_line(
    random: Random, sizes: list[int], place: int, trouble: tuple[float, int]
) -> list[bytes]:
    """Packets of a line in one session, as they arrive."""
    loss, disorder = trouble
    packets, messages, at = [], messages_of(sizes, place), 0
    while at < sizes[place]:
        count = random.randint(1, 4)
        packets.append(packet(at + 1, messages[at : at + count], id_of(place)))
        at += count
    packets += ENDS * [end_of_session(sizes[place] + 1, id_of(place))]
    arrived = [(at + random.randint(0, disorder), data) for at, data in enumerate(packets)]
    arrived.sort(key=lambda each: each[0])
    return [data for _, data in arrived if random.random() >= loss]


def session_of(engine: Engine) -> int:
    return int(bytes(engine.rx.session).decode()[2:])


def help_once(engine: Engine, sizes: list[int]) -> None:
    """What the venue's services and its next heartbeats bring."""
    place = session_of(engine)
    first, hole = sum(sizes[:place]), np.zeros(2, np.int64)
    if next_hole_nb(engine.shard.channel, engine.shard.window, 0, hole):
        start, stop = int(hole[0]) - first, int(hole[1]) - first
        lacking = messages_of(sizes, place)[start - 1 : stop - 1]
        engine.take(packet(start, lacking, id_of(place)), RECOVERY)
    else:
        engine.take(end_of_session(sizes[place] + 1, id_of(place)))
        if place + 1 < len(sizes):
            engine.take(heartbeat(sizes[place + 1] + 1, id_of(place + 1)), LINE_B)
    engine.settle()


@settings(max_examples=60, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.tuples(st.floats(0, 0.6), st.integers(0, 6)),
    st.integers(0, 2),
)
def test_every_message_of_every_session_comes_once_and_in_order(
    random: Random, sizes: list[int], trouble: tuple[float, int], lag: int
):
    """Line B is up to `lag` sessions behind; a session lasts until the engine is in it."""
    engine = Engine(session="", reorder_ns=NEVER, stale_after_ns=NEVER)
    engine.take(heartbeat(1, id_of(0)))
    for place in range(len(sizes) + lag):
        lines: list[list[bytes]] = [[], []]
        if place < len(sizes):
            lines[0] = sent_by_a_line(random, sizes, place, trouble)
        if place >= lag:
            lines[1] = sent_by_a_line(random, sizes, place - lag, trouble)
        while any(lines):
            line = random.choice([number for number, packets in enumerate(lines) if packets])
            engine.take(lines[line].pop(0), line)
            engine.settle()
        for _ in range(ROUNDS_MAX):
            if session_of(engine) >= min(place, len(sizes) - 1):
                break
            help_once(engine, sizes)
    for _ in range(ROUNDS_MAX):
        if engine.channel["next_seq"] > sum(sizes):
            break
        help_once(engine, sizes)
    every = list(range(1, sum(sizes) + 1))
    ticks = engine.ticks()
    assert [int(tick["seq"]) for tick in ticks] == every
    assert [int(tick["ts_exch_ns"]) for tick in ticks] == every
    assert engine.count(Count.SESSION_CHANGES) == len(sizes) - 1
    assert engine.count(Count.UNRECOVERED) == 0
    assert engine.channel["suspect"] == 0
