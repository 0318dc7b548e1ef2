"""Queues that are conflated or cut, and streams that are shared."""

from collections import Counter
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.server.hub_messages import Behind, Policy, Subscribe
from feedhandler.server.hub_watchers import (
    Delivery,
    Event,
    Filter,
    Matcher,
    Share,
    Subscription,
    Tally,
)
from tests.unit.feedhandler.server.hub_support import SYMBOLS, Rig, order, signal_row

ORDERS = Filter(("order",), (), ())


def event(symbol: str, number: int) -> Event:
    return Event("order", symbol, order(symbol, number), "imbalance")


def make(policy: Policy = "conflate", limit: int = 4) -> Subscription:
    return Subscription(1, ORDERS, policy, limit, lambda: None, Tally())


def ids(items: list[Any]) -> list[int]:
    return [item.event.message.signal_id for item in items if isinstance(item, Delivery)]


def test_messages_come_in_order_and_are_numbered():
    watcher = make()
    for number in range(4):
        assert watcher.put(event("A", number)) is None
    items = watcher.take(3)
    assert [(item.n, *ids([item])) for item in items] == [(1, 0), (2, 1), (3, 2)]
    assert ids(watcher.take(3)) == [3]
    assert watcher.take(3) == []


def test_watcher_behind_gets_the_newest_of_each_instrument_and_is_told_first():
    watcher = make()
    for number, symbol in enumerate("ABABABA"):
        watcher.put(event(symbol, number))
    assert watcher.queued == 2
    behind, *items = watcher.take(10)
    assert behind == Behind(sub=1, conflated=5, dropped=0, missed=0)
    assert [(item.n, *ids([item])) for item in items] == [(6, 5), (7, 6)]
    watcher.put(event("A", 7))
    assert [type(item) for item in watcher.take(10)] == [Delivery]


def test_more_instruments_than_fit_lose_the_oldest_and_that_is_told():
    watcher = make(limit=3)
    for number in range(10):
        watcher.put(event(f"S{number}", number))
    behind, *items = watcher.take(10)
    assert behind == Behind(sub=1, conflated=0, dropped=7, missed=0)
    assert ids(items) == [7, 8, 9]


def test_watcher_that_drops_has_the_latest_in_their_order_and_is_told_what_it_lost():
    watcher = make("drop", 3)
    for number, symbol in enumerate("AABAA"):
        assert watcher.put(event(symbol, number)) is None
    behind, *items = watcher.take(10)
    assert behind == Behind(sub=1, conflated=0, dropped=2, missed=0)
    assert [(item.n, *ids([item])) for item in items] == [(3, 2), (4, 3), (5, 4)]
    assert (watcher.matched, watcher.delivered, watcher.dropped) == (5, 3, 2)


def test_watcher_that_is_to_be_cut_takes_nothing_beyond_its_queue():
    watcher = make("cut", 2)
    assert [watcher.put(event("A", n)) for n in range(3)] == [None, None, watcher]
    assert watcher.queued == 2


ACTIONS = st.lists(st.one_of(st.integers(0, 8), st.just(-1), st.just(-3)), max_size=120)


@given(ACTIONS, st.integers(1, 5))
def test_every_message_is_delivered_conflated_dropped_or_waiting(actions: list[int], limit: int):
    watcher = make(limit=limit)
    put: list[tuple[str, int]] = []
    got: list[int] = []
    told = [0, 0]
    for action in [*actions, -1_000]:
        if action >= 0:
            put.append((f"S{action}", len(put)))
            watcher.put(event(*put[-1]))
        else:
            for item in watcher.take(-action):
                if isinstance(item, Behind):
                    told[0] += item.conflated
                    told[1] += item.dropped
                else:
                    got += ids([item])
        assert watcher.queued <= limit
        totals = watcher.totals
        known = totals.delivered + totals.conflated + totals.dropped + watcher.queued
        assert totals.matched == len(put) == known
    assert got == sorted(set(got))
    assert told == [watcher.conflated, watcher.dropped]
    assert len(got) + sum(told) == len(put)
    # Whoever reads at last has the newest of all.
    assert not put or got[-1] == put[-1][1]


@pytest.mark.parametrize(
    ("names", "good", "bad"),
    [
        ((), ["A", "B"], []),
        (("A", "B"), ["A", "B"], ["AB", "C"]),
        (("*",), ["A", ""], []),
        (("A*", "Z"), ["A", "AB", "Z"], ["ZA", "BA"]),
        (("A?[CD]",), ["ABC", "ABD"], ["ABE", "AC"]),
        (("[",), ["["], ["A"]),
    ],
)
def test_names_may_stand_for_others(names: tuple[str, ...], good: list[str], bad: list[str]):
    matcher = Matcher(names)
    assert [name for name in good + bad if matcher(name)] == good


@pytest.mark.parametrize("deal", ["instrument", "message"])
def test_each_message_of_a_share_goes_to_exactly_one_member(deal: Any):
    share = Share("desk", ORDERS, deal)
    members = [Subscription(n, ORDERS, "conflate", 1_000, lambda: None, Tally()) for n in range(4)]
    for member in members:
        share.join(member)
    for number in range(800):
        share.put(event(SYMBOLS[number % 20], number))
    got = [ids(member.take(1_000)) for member in members]
    assert sorted(chain(*got)) == list(range(800))
    if deal == "message":
        assert {len(each) for each in got} == {200}
    else:
        owners = Counter(number % 20 for each in got for number in {n % 20 for n in each})
        assert set(owners.values()) == {1}
        assert all(each for each in got)


def test_symbols_of_a_share_stay_where_they_are_when_another_member_leaves():
    share = Share("desk", ORDERS, "instrument")
    members = [Subscription(n, ORDERS, "conflate", 1_000, lambda: None, Tally()) for n in range(4)]
    for member in members:
        share.join(member)

    def owners() -> dict[str, int]:
        for symbol in SYMBOLS:
            share.put(event(symbol, 0))
        return {
            item.event.name: member.number
            for member in members
            for item in member.take(1_000)
            if isinstance(item, Delivery)
        }

    before = owners()
    share.leave(members[1])
    after = owners()
    assert 1 in before.values()
    assert 1 not in after.values()
    assert all(after[symbol] == owner for symbol, owner in before.items() if owner != 1)


SHARED = Subscribe(id=1, kinds=("order",), share="desk", queue=40)


async def test_member_that_leaves_gives_what_waits_to_the_others_in_order():
    rig = Rig()
    clients = [rig.hub.connect(str(n)) for n in range(3)]
    for client in clients:
        assert (await client.call(SHARED)).ok
    rig.signals(*(signal_row(n, instrument=n % 20) for n in range(60)))
    clients[0].close()
    got = [ids(client.take(1_000)) for client in clients[1:]]
    assert sorted(chain(*got)) == list(range(60))
    for each in got:
        for instrument in range(20):
            of_one = [number for number in each if number % 20 == instrument]
            assert of_one == sorted(of_one)
    assert rig.hub.tally.dropped == 0
    clients[1].close()
    clients[2].close()
    assert rig.hub.subscription_count == 0
    rig.signals(signal_row(99))


async def test_member_that_is_cut_gives_its_part_to_the_others_and_is_told():
    rig = Rig()
    slow, quick = rig.hub.connect("slow"), rig.hub.connect("quick")
    command = Subscribe(id=1, kinds=("order",), share="desk", queue=10, policy="cut")
    roomy = Subscribe(id=1, kinds=("order",), share="desk", queue=1_000)
    assert (await slow.call(command)).ok
    assert (await quick.call(roomy)).ok
    got: list[int] = []
    for number in range(200):
        rig.signals(signal_row(number, instrument=number % 20))
        got += ids(quick.take(1_000))
    assert sorted(got) == list(range(200))
    (cut,) = slow.take(10)
    assert (cut.undelivered, cut.given_on, slow.subscriptions) == (11, True, {})  # type: ignore[union-attr]


async def test_share_whose_members_are_all_too_slow_ends_with_every_loss_counted():
    rig = Rig(subscriptions=4)
    command = Subscribe(id=1, kinds=("order",), share="desk", queue=3, policy="cut", deal="message")
    clients = [rig.hub.connect(str(n)) for n in range(30)]
    for client in clients:
        for _ in range(4):
            assert (await client.call(command)).ok
    rig.signals(*(signal_row(number, instrument=number % 20) for number in range(500)))
    assert rig.hub.subscription_count == 0
    assert rig.hub.tally.cut == 120
    assert rig.hub.tally.dropped == 120 * 3 + 1
    assert all(len(client.take(10)) == 4 for client in clients)
