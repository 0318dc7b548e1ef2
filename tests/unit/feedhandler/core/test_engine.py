"""From message blocks to ticks in lanes, and what is counted on the way."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from feedhandler.core.book.views import books_digest
from feedhandler.core.counts import Count, Histogram
from feedhandler.core.engine import _SPINS, fill_stash_nb
from feedhandler.core.events import Flag, Kind
from feedhandler.core.ring import ring_push_nb, ring_size_nb
from feedhandler.core.shard import CHUNK, Control, Setting, Shard
from tests.unit.feedhandler.core.support import (
    BOOK,
    CAPACITY,
    CRITICAL,
    DEEP,
    NORMAL,
    SECOND,
    Engine,
    add,
    cancel,
    delete,
    execute,
    execute_at,
    free_slots,
    make_shard,
    packet,
    replace,
    system_event,
    trade,
    trading_action,
)


def slots_at_hand(shard: Shard) -> int:
    return len(free_slots(shard))


def engine_after(messages: list[bytes], **options: Any) -> Engine:
    engine = Engine(**options)
    engine.take(packet(1, messages))
    engine.settle()
    return engine


def test_every_slot_is_free_at_first_and_again_after_the_work():
    engine = engine_after([system_event() for _ in range(10)])
    assert slots_at_hand(engine.shard) == CAPACITY.pool - 10
    engine.work()
    assert slots_at_hand(engine.shard) == CAPACITY.pool
    assert sorted(free_slots(engine.shard)) == list(range(CAPACITY.pool))


def test_tick_says_where_it_came_from():
    engine = Engine()
    engine.shard.settings[Setting.FEED] = 3
    engine.take(packet(1, [system_event(5), add(9, "B", 10, 100, locate=2, ts_ns=6)]), line=1)
    first, second = engine.ticks()
    assert (first["seq"], first["kind"], first["code"]) == (1, Kind.SYSTEM_EVENT, ord("S"))
    assert (second["seq"], second["feed"], second["line"]) == (2, 3, 1)
    assert (second["instrument"], second["ts_exch_ns"]) == (2, 6)
    assert (second["ts_rx_ns"], second["ts_decoded_ns"]) == (engine.now_ns, 0)
    assert engine.shard.types[ord("A")] == 1


def test_ticks_go_to_the_lane_of_their_rule():
    engine = engine_after(
        [add(1, "B", 10, 100), add(2, "B", 10, 99), trading_action("H"), trade(1_000_000, 100)]
    )
    lanes = [(int(tick["priority"]), int(tick["seq"])) for tick in engine.ticks()]
    assert lanes == [(CRITICAL, 3), (CRITICAL, 4), (NORMAL, 1), (DEEP, 2)]


FAULTS = [
    (b"", Count.UNKNOWN_TYPE),
    (b"?", Count.UNKNOWN_TYPE),
    (system_event()[:-1], Count.BAD_LENGTH),
    (delete(99), Count.UNKNOWN_REFERENCE),
    (execute(99, 1), Count.UNKNOWN_REFERENCE),
    (add(1, "B", 1, 1), Count.DUPLICATE_REFERENCE),
    (replace(1, 2, 5, 5), Count.DUPLICATE_REFERENCE),
    (add(7, "B", 1, 2**31), Count.BAD_VALUE),
    (add(7, "B", 0, 1), Count.BAD_VALUE),
    (add(7, "Z", 1, 1), Count.BAD_VALUE),
    (add(7, "B", 1, 1, locate=16), Count.BAD_VALUE),
    (trade(1, 1, locate=16), Count.BAD_VALUE),
]


@pytest.mark.parametrize(("message", "row"), FAULTS)
def test_message_that_cannot_be_applied_is_counted_by_its_reason(message: bytes, row: Count):
    engine = engine_after([add(1, "B", 10, 100), add(2, "S", 10, 200)])
    before = books_digest(engine.shard.book)
    engine.take(packet(3, [message]))
    assert (engine.count(row), engine.count(Count.APPLIED)) == (1, 2)
    assert len(engine.ticks()) == 2
    assert books_digest(engine.shard.book) == before
    assert engine.channel["next_seq"] == 4
    engine.work()
    assert slots_at_hand(engine.shard) == CAPACITY.pool


ABOUT_ORDERS = [
    add(7, "B", 1, 2**31),
    add(7, "B", 1, 1, locate=16),
    add(7, "B", 1, 1)[:-1],
    add(1, "B", 1, 1),
    replace(1, 2, 5, 5),
    replace(1, 9, 5, 2**31),
    delete(99),
    execute(1, 11),
]
ABOUT_OTHER_THINGS = [b"?", b"", system_event()[:-1], trade(1, 1, locate=16)]


@pytest.mark.parametrize("strict", [0, 1])
@pytest.mark.parametrize(
    ("message", "about_order"),
    [(message, 1) for message in ABOUT_ORDERS] + [(message, 0) for message in ABOUT_OTHER_THINGS],
)
def test_message_about_an_order_that_contradicts_whole_books_makes_them_suspect(
    message: bytes, about_order: int, strict: int
):
    engine = engine_after([add(1, "B", 10, 100), add(2, "S", 10, 200)], strict=strict)
    engine.take(packet(3, [message, system_event()]))
    assert engine.channel["suspect"] == engine.count(Count.BOOKS_SUSPECT) == about_order * strict
    last = [int(tick["flags"]) & Flag.IN_DOUBT for tick in engine.ticks()][2:]
    assert set(last) == {Flag.IN_DOUBT if about_order * strict else Flag.NONE}


def test_ticks_behind_an_order_without_memory_are_in_doubt_at_once():
    capacity = CAPACITY._replace(book=BOOK._replace(level_blocks=2))
    engine = Engine(capacity=capacity)
    orders = [add(ref, "B", 1, price) for ref, price in ((1, 100), (2, 101), (3, 9_000), (4, 101))]
    engine.take(packet(1, orders))
    engine.take(packet(5, [add(5, "B", 5, 101)]))
    doubts = {int(tick["seq"]): int(tick["flags"]) & Flag.IN_DOUBT for tick in engine.ticks()}
    assert doubts == {1: 0, 2: 0, 4: Flag.IN_DOUBT, 5: Flag.IN_DOUBT}


def test_overfill_is_applied_and_counted():
    engine = engine_after([add(1, "B", 10, 100), execute(1, 11)])
    assert (engine.count(Count.OVERFILL), engine.count(Count.APPLIED)) == (1, 2)
    assert len(engine.ticks()) == 2


def test_order_without_memory_makes_the_books_suspect():
    engine = engine_after(
        [add(1, "B", 10, 100), add(2, "B", 10, 101), add(3, "B", 10, 100)],
        capacity=CAPACITY._replace(book=BOOK._replace(level_blocks=1)),
    )
    assert (engine.count(Count.CAPACITY), engine.count(Count.BOOKS_SUSPECT)) == (1, 1)
    assert engine.channel["suspect"] == 1
    assert engine.count(Count.ORDERS_LIVE) == 2


def test_messages_of_many_chunks_are_all_taken_in_order():
    count = 2 * CHUNK + 7
    engine = engine_after([system_event(i) for i in range(count)])
    assert [int(tick["ts_exch_ns"]) for tick in engine.ticks()] == list(range(count))
    assert engine.count(Count.NEXT_SEQ) == count + 1


def test_messages_that_are_known_already_are_passed_over():
    engine = engine_after([system_event(i) for i in (1, 2, 3)])
    engine.take(packet(2, [b"?", b"?", system_event(4), system_event(5)]))
    assert [int(tick["ts_exch_ns"]) for tick in engine.ticks()] == [1, 2, 3, 4, 5]
    assert engine.count(Count.UNKNOWN_TYPE) == 0


def test_ticks_of_a_channel_that_is_not_live_are_in_doubt():
    engine = Engine()
    engine.channel["suspect"] = 1
    engine.take(packet(1, [execute_at(1, 1, 1, printable="N"), system_event()]))
    assert [int(tick["flags"]) for tick in engine.ticks()] == [Flag.IN_DOUBT]


def test_flags_of_the_message_are_kept_beside_those_of_the_channel():
    engine = engine_after(
        [trading_action("H"), add(1, "B", 9, 100), execute_at(1, 1, 99, printable="N")]
    )
    flags = int(engine.ticks()[-1]["flags"])
    assert flags == Flag.NOT_PRINTABLE | Flag.BBO_CHANGED | Flag.HALTED


def test_best_prices_are_recorded_whenever_they_change():
    engine = Engine()
    engine.shard.settings[Setting.RECORD_BBO] = 1
    engine.take(
        packet(1, [add(1, "B", 10, 100, ts_ns=4), add(2, "B", 10, 99), cancel(1, 3), delete(2)])
    )
    rows = engine.shard.bbo[: engine.shard.bbo_count[0]]
    assert rows["seq"].tolist() == [1, 3]
    assert rows[0].item() == (1, 4, 1, 10_000_000, 10, 0, 0)
    assert rows[1]["bid_qty"] == 7


def test_timed_shard_stamps_ticks_and_measures_the_book():
    engine = Engine()
    settings = engine.shard.settings
    settings[Setting.TIMED], settings[Setting.BOOK_BUDGET_NS] = 1, 60 * SECOND
    engine.take(packet(1, [add(1, "B", 10, 100), b"?", add(2, "B", 10, 100)]))
    stamps = [int(tick["ts_decoded_ns"]) for tick in engine.ticks()]
    assert stamps == sorted(stamps)
    assert min(stamps) > 10**18
    assert engine.shard.histograms[Histogram.STAGE_BOOK, 0] == 2
    assert engine.count(Count.BOOK_OVERRUNS) == 0
    settings[Setting.BOOK_BUDGET_NS] = -1
    engine.take(packet(4, [add(3, "B", 10, 100)]))
    assert engine.count(Count.BOOK_OVERRUNS) == 1


def test_stash_is_filled_to_what_is_wanted_and_no_further():
    shard = make_shard()
    assert fill_stash_nb(shard, 5) == 1
    assert fill_stash_nb(shard, 3) == 1
    assert shard.stash_size[0] == 5
    assert sorted(shard.stash[:5]) == [0, 1, 2, 3, 4]
    assert sorted(free_slots(shard)) == list(range(CAPACITY.pool))


def test_the_whole_pool_can_be_had_and_what_came_back_after_a_burst_is_laid_by():
    shard = make_shard()
    pool, at_once = CAPACITY.pool, len(shard.stash)
    going_round = int(ring_size_nb(shard.free))
    taken: list[int] = []
    while len(taken) < pool:
        wanted = min(at_once, pool - len(taken))
        assert fill_stash_nb(shard, wanted) == 1
        taken += shard.stash[:wanted].tolist()
        shard.stash_size[0] = 0
    assert sorted(taken) == list(range(pool))
    for slot in taken:
        ring_push_nb(shard.free, slot)
    for _ in range(pool):
        assert fill_stash_nb(shard, at_once) == 1
        for slot in shard.stash[:at_once]:
            ring_push_nb(shard.free, slot)
        shard.stash_size[0] = 0
    assert ring_size_nb(shard.free) == going_round
    assert sorted(free_slots(shard)) == list(range(pool))


def test_same_messages_give_the_same_rows_and_books_again():
    messages = [add(i, "BS"[i % 2], 10 + i, 100 + 5 * (i % 2) + i % 3) for i in range(1, 60)]
    messages += [execute(i, 5) for i in range(1, 30)] + [delete(i) for i in range(30, 40)]
    runs = [engine_after(messages) for _ in range(2)]
    assert np.array(runs[0].ticks()).tobytes() == np.array(runs[1].ticks()).tobytes()
    assert books_digest(runs[0].shard.book) == books_digest(runs[1].shard.book)


def test_receiver_without_ticks_ends_when_it_is_told_to_stop():
    engine = Engine(capacity=CAPACITY._replace(pool=128))
    engine.take(packet(1, [system_event(i) for i in range(1, 101)]))
    more = packet(101, [system_event(i) for i in range(101, 201)])
    receiver = threading.Thread(target=engine.take, args=(more,), daemon=True)
    receiver.start()
    deadline_ns = time.monotonic_ns() + 20 * SECOND
    while engine.count(Count.POOL_WAITS) <= _SPINS:
        assert time.monotonic_ns() < deadline_ns
    assert receiver.is_alive()
    engine.shard.control[Control.STOP] = 1
    receiver.join(timeout=20)
    assert not receiver.is_alive()
    assert engine.count(Count.APPLIED) == engine.channel["next_seq"] - 1 < 200


def test_receiver_waits_for_the_worker_when_the_pool_is_used_up():
    engine = Engine(capacity=CAPACITY._replace(pool=128))
    engine.take(packet(1, [system_event(i) for i in range(1, 101)]))
    more = packet(101, [system_event(i) for i in range(101, 201)])
    receiver = threading.Thread(target=engine.take, args=(more,), daemon=True)
    receiver.start()
    deadline_ns = time.monotonic_ns() + 20 * SECOND
    while engine.count(Count.POOL_WAITS) == 0:
        assert time.monotonic_ns() < deadline_ns
    assert receiver.is_alive()
    worked = 0
    while worked < 200:
        worked += engine.work()
        assert time.monotonic_ns() < deadline_ns
    receiver.join(timeout=20)
    assert (engine.count(Count.APPLIED), worked) == (200, 200)
    assert slots_at_hand(engine.shard) == 128
