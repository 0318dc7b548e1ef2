"""What a pattern sees of another feed: the legs' words, who has a binding, when it is called, and
what it may propose from.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.api import compile_stage
from feedhandler.core.away import (
    AWAY_BITS,
    AwayWord,
    away_legs,
    feed_of_leg_nb,
    leg_word,
    legs_on_feed,
)
from feedhandler.core.breaker_machine import Scope
from feedhandler.core.counts import Count
from feedhandler.core.events import FEED_SHIFT, Flag, Kind, SignalKind, symbol_word
from feedhandler.core.functions import Use
from feedhandler.core.limits import FEEDS_MAX
from feedhandler.core.market import Look
from feedhandler.core.patterns import DEFAULTS, crossed
from feedhandler.core.quotes import (
    ENDED_FEED,
    allocate_quotes,
    cell_at_nb,
    place_of_nb,
    show_feed_nb,
    shown_level_nb,
)
from feedhandler.core.shard import Ask, Setting
from feedhandler.core.split import NUMBERS
from feedhandler.core.states import State
from tests.reference.slow_patterns import SlowCrossed
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    NEVER,
    Engine,
    add,
    delete,
    directory,
    packet,
    trade,
    trading_action,
)
from tests.unit.feedhandler.core.test_breaker_stage import command
from tests.unit.feedhandler.core.test_receive_snapshots import offer_snapshot

E9 = 100_000
HERE, THERE = 0, 1
TOUCH = ("bid_price_e9", "bid_qty", "ask_price_e9", "ask_qty")


def notes(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Pattern: what it was called for last, how often, and the prices of its second leg."""
    tick = ticks[slot]
    state[0] += 1
    state[1] = tick["kind"]
    state[2] = tick["instrument"] == legs[1]
    state[3] = tick["flags"]
    state[4] = market[legs[1]]["flags"]
    state[5], state[6] = market[legs[1]]["bid_price_e9"], market[legs[1]]["ask_price_e9"]
    state[7] = market[legs[1]]["mid_e9"]
    state[8] = tick["bid_price_e9"]
    out[0], out[1] = 7, 8
    return np.int64(params[0])


def silent(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Breaker: never demands anything."""
    return np.int64(0)


class Feeds:
    """Two engines with one table of best prices; a pattern looks at TEST on both."""

    def __init__(
        self,
        pattern: Any,
        *params: int,
        use: Use = Use(),  # noqa: B008
        breakers: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        bindings = ((leg_word("TEST", HERE), leg_word("TEST", THERE)),)
        use = use._replace(bindings=bindings)
        quotes = allocate_quotes(8, 2)
        self.engines = []
        for feed in (HERE, THERE):
            capacity = CAPACITY._replace(patterns=(use,), look=Look.PRICES, feed=feed, away_room=2)
            engine = Engine(
                breakers,
                patterns=(compile_stage(pattern),),
                capacity=capacity,
                stale_after_ns=NEVER,
                **options,
            )
            engine.shard = engine.shard._replace(quotes=quotes)
            engine.shard.patterns.params[0, : len(params)] = params
            self.engines.append(engine)
            show_feed_nb(quotes, feed, 1)
        self.quotes = quotes
        self.work()

    def quote(self, feed: int, bid: int, ask: int, qty: int = 100, ts_ns: int = 0) -> None:
        """New best prices in place of those before, on instrument 1 here and 2 there."""
        engine = self.engines[feed]
        ref = 10 * int(engine.channel["next_seq"])
        locate = 1 + feed
        messages = [delete(old, locate=locate) for old in getattr(engine, "refs", ())]
        messages += [
            add(ref + i, side, qty, price, locate=locate, ts_ns=ts_ns)
            for i, (side, price) in enumerate((("B", bid), ("S", ask)))
        ]
        engine.refs = (ref, ref + 1)  # type: ignore[attr-defined]
        engine.take(packet(int(engine.channel["next_seq"]), messages))
        engine.settle()
        self.work()

    def work(self) -> None:
        for engine in self.engines:
            engine.work()

    @property
    def state(self) -> list[int]:
        """What `notes` knows in the engine that has the binding."""
        return self.engines[HERE].shard.patterns.state[:9].tolist()

    def signals(self) -> list[Any]:
        """Of both engines."""
        return [row for engine in self.engines for row in engine.signals()]


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8),
    st.integers(0, FEEDS_MAX - 1),
)
def test_a_leg_has_its_symbol_and_its_feed(symbol: str, feed: int):
    word = leg_word(symbol, feed)
    assert feed_of_leg_nb(np.int64(word)) == feed
    assert word & ~AWAY_BITS == symbol_word(symbol)
    assert feed_of_leg_nb(np.int64(symbol_word(symbol))) == -1


def test_a_choice_belongs_to_the_feed_of_its_first_leg():
    choice = (leg_word("A", 2), leg_word("B", 0), leg_word("C", 2))
    assert legs_on_feed(choice, 0) is None
    assert legs_on_feed(choice, 2) == (symbol_word("A"), leg_word("B", 0), symbol_word("C"))
    plain = (symbol_word("A"), symbol_word("B"))
    assert legs_on_feed(plain, 0) == legs_on_feed(plain, 2) == plain
    assert away_legs([choice, plain], 2) == {leg_word("B", 0)}
    assert away_legs([choice, plain], 0) == set()


def test_a_pattern_is_called_for_messages_here_and_for_best_prices_there():
    feeds = Feeds(notes, 0)
    feeds.quote(HERE, 9_900, 10_000)
    assert feeds.state[0] == 2
    assert feeds.state[4:7] == [1, 0, 0]
    feeds.quote(THERE, 9_910, 10_010)
    assert feeds.state[:4] == [3, Kind.AWAY_QUOTE, 1, 0]
    assert feeds.state[4:9] == [0, 9_910 * E9, 10_010 * E9, 9_960 * E9, 9_910 * E9]
    assert feeds.engines[HERE].count(Count.AWAY_QUOTES) == 1
    # What changed twice between two looks is seen once.
    there = feeds.engines[THERE]
    for ref, bid in ((900, 9_920), (901, 9_930)):
        there.feed([add(ref, "B", 1, bid, locate=2)])
    feeds.work()
    assert feeds.state[0] == 4
    assert feeds.state[5] == 9_930 * E9
    feeds.work()
    assert feeds.state[0] == 4
    # The engine of the other feed has no binding, and calls it for no instrument alone.
    assert not there.shard.patterns.state.any()
    assert there.count(Count.AWAY_QUOTES) == 0


def test_a_signal_names_each_leg_with_its_feed():
    feeds = Feeds(notes, 1)
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    (signal,) = feeds.signals()
    assert signal["instrument"] == 1
    assert signal["legs"][:2].tolist() == [1, 2 + (THERE << FEED_SHIFT)]
    assert signal["seq"] == 2
    assert [signal[name] for name in TOUCH] == [9_900 * E9, 100, 10_000 * E9, 100]


def test_a_pattern_hears_of_doubt_and_halts_there_and_proposes_nothing():
    feeds = Feeds(notes, 1)
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    assert len(feeds.signals()) == 1
    show_feed_nb(feeds.quotes, THERE, 0)
    feeds.work()
    assert feeds.state[4] == 1
    feeds.quote(HERE, 9_901, 10_000)
    assert feeds.signals() == []
    calls = feeds.state[0]
    show_feed_nb(feeds.quotes, THERE, 1)
    feeds.work()
    assert feeds.state[0] == calls, "what is shown again is as old as it was"
    feeds.engines[THERE].feed([trading_action("H", locate=2)])
    feeds.work()
    assert feeds.state[4] == 2
    assert feeds.signals() == []
    feeds.engines[THERE].feed([trading_action("T", locate=2)])
    feeds.work()
    assert feeds.state[4] == 0
    assert len(feeds.signals()) == 1


def test_nothing_is_proposed_while_the_feed_of_the_first_leg_is_in_doubt():
    feeds = Feeds(notes, 1, reorder_ns=0, can_snapshot=1)
    here = feeds.engines[HERE]
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    assert len(feeds.signals()) == 1
    here.take(packet(20, [add(77, "B", 1, 9_950)]))
    here.poll()
    here.poll()
    feeds.quote(THERE, 9_920, 10_010)
    assert feeds.state[3] == Flag.IN_DOUBT
    assert feeds.signals() == []
    # Behind a snapshot the books are others: what was seen here before counts no more.
    offer_snapshot(here, [add(78, "B", 1, 9_940), add(79, "S", 1, 9_990)], 20)
    here.poll()
    feeds.quote(THERE, 9_930, 10_010)
    assert feeds.signals() == []
    here.poll()
    here.settle()
    feeds.work()
    assert feeds.signals() == []
    here.feed([add(80, "B", 1, 9_941)])
    assert len(feeds.signals()) == 1
    feeds.quote(THERE, 9_935, 10_010)
    assert len(feeds.signals()) == 1


def test_breakers_of_the_other_feed_hold_its_leg_here_too():
    feeds = Feeds(notes, 1, breakers=(compile_stage(silent),))
    here, there = feeds.engines
    row = here.shard.market[len(here.shard.numbers)]
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    assert [signal["kind"] for signal in feeds.signals()] == [SignalKind.ORDER]
    calls, in_doubt = feeds.state[0], here.count(Count.SIGNALS_SUPPRESSED)
    command(there, Ask.TRIP, breaker=0, key=2, level=2)
    feeds.work()
    # The row has it, and nobody is called: it brings no prices.
    assert (row["level"], feeds.state[0]) == (2, calls)
    feeds.quote(HERE, 9_901, 10_000)
    feeds.quote(THERE, 9_911, 10_010)
    # Without a response nothing leaves above NORMAL.
    assert [signal["kind"] for signal in feeds.signals()] == [SignalKind.BREAKER]
    assert here.count(Count.SIGNALS_SUPPRESSED) - in_doubt == feeds.state[0] - calls > 1
    assert row["level"] == 2
    command(there, Ask.RESET, breaker=0, key=2)
    # Before the next look: the leg's own word counts, and not the row.
    here.feed([add(77, "B", 1, 9_902)])
    assert [signal["level"] for signal in feeds.signals()] == [0, 0]
    feeds.work()
    assert row["level"] == 0


def test_a_breaker_that_trips_with_a_change_of_prices_there_keeps_neither_back():
    feeds = Feeds(notes, 1, breakers=(compile_stage(silent),))
    here, there = feeds.engines
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    there.feed([add(700, "B", 1, 9_920, locate=2)])
    command(there, Ask.TRIP, breaker=0, key=2, level=3)
    calls, in_doubt = feeds.state[0], here.count(Count.SIGNALS_SUPPRESSED)
    feeds.work()
    assert feeds.state[0] == calls + 1
    assert feeds.state[5] == 9_920 * E9
    assert here.count(Count.SIGNALS_SUPPRESSED) == in_doubt + 1


def levels_there(feeds: Feeds, *symbols: str) -> list[int]:
    """What the other feed shows that its breakers hold symbols to."""
    places = [place_of_nb(feeds.quotes, symbol_word(symbol)) for symbol in symbols]
    return [
        int(shown_level_nb(feeds.quotes, cell_at_nb(feeds.quotes, place, THERE)))
        for place in places
    ]


def test_a_number_that_gets_another_symbol_takes_its_level_there():
    feeds = Feeds(notes, 1, breakers=(compile_stage(silent),))
    there = feeds.engines[THERE]
    for number, name in enumerate(("ONE", "TWO"), 3):
        there.feed([add(number, "B", 1, 9_000, locate=number, symbol=name)])
        command(there, Ask.TRIP, breaker=0, key=number, level=number - 2)
    assert levels_there(feeds, "ONE", "TWO") == [1, 2]
    # The next session: 4 is ONE, and 3 something else; whichever comes first.
    there.feed([directory(4, "ONE"), directory(3, "NEW")])
    there.feed([add(9, "B", 1, 9_000, locate=3, symbol="NEW")])
    assert levels_there(feeds, "ONE", "TWO", "NEW") == [2, 0, 1]
    command(there, Ask.RESET, breaker=0, key=3)
    assert levels_there(feeds, "ONE", "TWO", "NEW") == [2, 0, 0]
    command(there, Ask.RESET, breaker=0, key=4)
    assert levels_there(feeds, "ONE", "TWO", "NEW") == [0, 0, 0]


def test_a_level_that_was_told_of_a_number_without_a_name_is_shown_once_it_has_one():
    feeds = Feeds(notes, 1, breakers=(compile_stage(silent),))
    there = feeds.engines[THERE]
    there.feed([trade(1, 9_000, locate=3)])
    command(there, Ask.TRIP, breaker=0, key=3, level=3)
    there.feed([trade(1, 9_000, locate=3)])
    there.feed([add(1, "B", 1, 9_000, locate=3, symbol="LATE")])
    assert levels_there(feeds, "LATE") == [3]
    there.feed([add(2, "B", 1, 9_000, locate=3, symbol="LATE")])
    assert there.shard.cells.due[3] == 0


@pytest.mark.parametrize("shown", [0, 1])
def test_a_level_of_a_whole_market_is_shown_of_all_its_symbols(shown: int):
    feeds = Feeds(notes, 1, breakers=(compile_stage(silent),))
    there = feeds.engines[THERE]
    there.shard.cells.scope[0] = Scope.MARKET
    names = [f"SYM{number}" for number in range(1, 6)]
    there.feed([add(n, "B", 1, 9_000, locate=n, symbol=name) for n, name in enumerate(names, 1)])
    if shown == 0:
        # Not this shard's instruments: another one shows them.
        there.shard.settings[Setting.SHARDS] = 2
        owned = (np.arange(NUMBERS) % 2 == 0).astype(there.shard.split.owned.dtype)
        there.shard = there.shard._replace(
            split=there.shard.split._replace(owned=owned),
            ranks=np.zeros((len(there.shard.signals.cells), 2), np.int64),
        )
    command(there, Ask.TRIP, breaker=0, key=0, level=2)
    mine = [2 if shown or n % 2 == 0 else 0 for n in range(1, 6)]
    assert levels_there(feeds, *names) == mine


@pytest.mark.parametrize("feed", [HERE, THERE])
def test_a_feed_that_has_ended_is_no_market_any_more(feed: int):
    feeds = Feeds(notes, 1)
    feeds.quote(HERE, 9_900, 10_000)
    feeds.quote(THERE, 9_910, 10_010)
    assert len(feeds.signals()) == 1
    feeds.engines[feed].channel["state"] = State.ENDED
    show_feed_nb(feeds.quotes, feed, ENDED_FEED)
    feeds.work()
    if feed == THERE:
        assert feeds.state[4] == 1
        feeds.engines[HERE].feed([add(77, "B", 1, 9_901)])
    else:
        feeds.engines[THERE].feed([add(77, "B", 1, 9_990, locate=2)])
        feeds.work()
        assert feeds.state[3] == Flag.IN_DOUBT
    assert feeds.signals() == []


def test_without_a_table_of_best_prices_the_other_leg_stays_in_doubt():
    feeds = Feeds(notes, 1)
    here = feeds.engines[HERE]
    here.shard = here.shard._replace(quotes=allocate_quotes(0, 0))
    here.shard.away.words[AwayWord.IS_UNBOUND] = 1
    feeds.quote(HERE, 9_900, 10_000)
    assert feeds.state[4] == 1
    assert feeds.signals() == []


CROSSED = {**DEFAULTS["crossed"], "hold_ns": 3, "order_qty": 50}
steps = st.lists(
    st.tuples(
        st.sampled_from((HERE, THERE)), st.integers(0, 4), st.integers(1, 3), st.integers(0, 4)
    ),
    max_size=40,
)


@pytest.mark.parametrize("edge_e9", [0, 2 * E9])
@given(steps)
def test_markets_crossed_between_feeds_are_found_as_by_the_slow_twin(
    edge_e9: int, moves: list[tuple[int, int, int, int]]
):
    params = {**CROSSED, "edge_e9": edge_e9}
    feeds = Feeds(crossed, *(params[name] for name in crossed.params))  # type: ignore[attr-defined]
    twin = SlowCrossed((HERE, THERE), **params)
    rows: dict[int, dict[str, int]] = {
        feed: {**dict.fromkeys(TOUCH, 0), "seq": 0, "flags": 0} for feed in (HERE, THERE)
    }
    expected, now_ns = [], 0
    for feed, bid, spread, wait_ns in moves:
        now_ns += wait_ns
        old = rows[feed]["bid_qty"]
        feeds.quote(feed, 9_900 + bid, 9_900 + bid + spread, ts_ns=now_ns)
        prices = ((9_900 + bid) * E9, 100, (9_900 + bid + spread) * E9, 100)
        # Here the pattern sees each message, there only what came of all of them.
        parts = [(*prices[:2], 0, 0), prices]
        if old:
            gone = rows[feed]
            parts = [(0, 0, gone["ask_price_e9"], gone["ask_qty"]), (0, 0, 0, 0), *parts]
        for part in parts if feed == HERE else parts[-1:]:
            rows[feed].update(zip(TOUCH, part, strict=True))
            rows[feed]["seq"] += 1
            tick = {"ts_exch_ns": now_ns, "seq": rows[feed]["seq"], "instrument": feed}
            expected.append(twin.see(tick, rows))
    found = feeds.signals()
    told = [each for each in expected if each]
    assert len(found) == len(told)
    for signal, each in zip(found, told, strict=True):
        assert (int(signal["side"]), int(signal["price_e9"]), int(signal["qty"])) == each[:3]
