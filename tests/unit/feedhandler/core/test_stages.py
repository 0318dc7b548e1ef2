"""Priority, budgets, and which signals may leave."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage, make_sender
from feedhandler.core.breakers import DEFAULTS, price_band
from feedhandler.core.counts import FUNCTIONS_MAX, Count, Histogram
from feedhandler.core.events import BreakerLevel, SignalKind
from feedhandler.core.functions import Use
from feedhandler.core.libc import CLOCK_REALTIME, clock_ns
from feedhandler.core.market import Look
from feedhandler.core.patterns import imbalance_with_trade
from feedhandler.core.shard import Sampling, Setting
from feedhandler.core.stages import REST_TICKS, SAMPLE_TICKS, SUSPICION_TICKS
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    CRITICAL,
    DEEP,
    NORMAL,
    Engine,
    add,
    execute,
    heartbeat,
    packet,
    set_lanes,
    state_of,
    system_event,
    trade,
    trading_action,
)

Stage = Callable[..., int]


def note_seq(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: keeps the order in which it saw ticks, by code, four bits each."""
    state[0] = (state[0] << 4) | (ticks[slot]["seq"] + params[0] + out[7])
    return 0


def follow_qty(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: its level is the quantity of the last trade below 10."""
    tick = ticks[slot]
    out[2] = params[0]
    if tick["code"] == 80:
        state[0] = tick["qty"]
    return state[0]


def side_of_qty(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Pattern: its side is the quantity of a trade less 10."""
    out[0], out[1] = 1 + params[0], 1 + state[0]
    return np.int64(ticks[slot]["qty"]) - 10


def level_of_qty(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: its level is the quantity of a trade less 10."""
    out[2] = params[0] + state[0]
    return np.int64(ticks[slot]["qty"]) - 10


def propose(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Pattern: buys at every trade, and leaves values when the parameter says so."""
    tick = ticks[slot]
    state[0] += 1
    if params[0]:
        out[0], out[1], out[2], out[3], out[4] = 11, 22, 33, 44, 55
    return np.int64(tick["code"] == 80)


def engine_with(
    breakers: Sequence[Stage] = (), patterns: Sequence[Stage] = (), **options: Any
) -> Engine:
    return Engine(
        [compile_stage(function) for function in breakers],
        [compile_stage(function) for function in patterns],
        **options,
    )


def seen(engine: Engine) -> list[int]:
    word = int(state_of(engine.shard.breakers, 0)[0])
    return [(word >> shift) & 15 for shift in range(56, -1, -4) if word >> shift]


def test_critical_tick_waits_for_one_routine_tick_at_most():
    engine = engine_with([note_seq])
    halt = trading_action("T", locate=0)
    engine.take(packet(1, [system_event(), system_event(), system_event()]))
    assert engine.work(1) == 1
    engine.take(packet(4, [halt, halt]))
    engine.work()
    assert seen(engine) == [1, 4, 5, 2, 3]
    assert engine.count(Count.TICKS) == 5
    assert engine.count(Count.LANE_TICKS + CRITICAL) == 2
    assert engine.count(Count.LANE_TICKS + NORMAL) == 3


def test_under_overload_patterns_see_the_newest_quote_and_breakers_see_all():
    engine = engine_with([note_seq], [note_seq])
    set_lanes(engine.shard, policies=("conflate",) * 3, overload_ticks=0, age_every=0)
    adds = [add(ref, "B", 10, 9_900 + ref) for ref in (1, 2)]
    halt = trading_action("T", locate=1)
    other = add(9, "B", 10, 9_900, locate=2)
    engine.take(packet(1, [*adds, trade(5, 9_900), halt, other, add(3, "B", 10, 9_950)]))
    engine.work()
    state = state_of(engine.shard.breakers, 0, 1)[0]
    assert [(int(state) >> shift) & 15 for shift in (16, 12, 8, 4, 0)] == [4, 1, 2, 3, 6]
    state = state_of(engine.shard.patterns, 0, 1)[0]
    assert [(int(state) >> shift) & 15 for shift in (8, 4, 0)] == [4, 3, 6]
    assert state_of(engine.shard.patterns, 0, 2)[0] == 5
    assert engine.count(Count.LANE_CONFLATED + NORMAL) == 2
    assert engine.count(Count.TICKS) == engine.count(Count.APPLIED) == 6


def test_a_lane_that_is_not_overloaded_or_does_not_conflate_shows_every_quote():
    for keys in ({"policies": ("conflate",) * 3, "overload_ticks": 3}, {"overload_ticks": 0}):
        engine = engine_with([], [note_seq])
        set_lanes(engine.shard, **keys)
        engine.take(packet(1, [add(ref, "B", 10, 9_900 + ref) for ref in (1, 2, 3)]))
        engine.work()
        assert state_of(engine.shard.patterns, 0, 1)[0] == 0x123
        assert engine.count(Count.LANE_CONFLATED + NORMAL) == 0


def test_a_lane_that_stopped_conflating_shows_every_quote_again():
    engine = engine_with([], [note_seq])
    set_lanes(engine.shard, policies=("conflate",) * 3, overload_ticks=0)
    engine.take(packet(1, [add(ref, "B", 10, 9_900 + ref) for ref in (1, 2, 3)]))
    assert engine.work(1) == 1
    set_lanes(engine.shard)
    engine.work()
    assert state_of(engine.shard.patterns, 0, 1)[0] == 0x23


def test_ageing_gives_the_lowest_lane_a_turn_and_counts_it():
    engine = engine_with([note_seq])
    set_lanes(engine.shard, age_every=3)
    touch = [add(ref, "B", 10, 9_900 + ref) for ref in (1, 2, 3, 4)]
    engine.take(packet(1, [*touch, add(5, "B", 10, 9_000), add(6, "B", 10, 9_000)]))
    engine.work()
    state = int(state_of(engine.shard.breakers, 0, 1)[0])
    assert [(state >> shift) & 15 for shift in range(20, -1, -4)] == [1, 2, 5, 3, 4, 6]
    assert engine.count(Count.LANE_AGED + DEEP) == 1


def test_empty_lanes_are_no_work():
    engine = engine_with()
    assert engine.work() == 0
    assert engine.count(Count.TICKS) == 0


def test_signal_carries_the_tick_and_what_the_pattern_said():
    engine = engine_with([note_seq], [propose])
    engine.shard.patterns.params[0, 0] = 1
    engine.feed([add(1, "B", 10, 9_900), add(2, "S", 20, 10_100), trade(5, 10_000, ts_ns=42)])
    (signal,) = engine.signals()
    assert (signal["signal_id"], signal["kind"], signal["source"]) == (1, SignalKind.ORDER, 0)
    assert (signal["side"], signal["level"], signal["instrument"]) == (1, 0, 1)
    assert (signal["seq"], signal["ts_exch_ns"], signal["ts_rx_ns"]) == (3, 42, engine.now_ns)
    assert (signal["price_e9"], signal["qty"]) == (11, 22)
    assert [int(signal[name]) for name in ("value_0", "value_1", "value_2")] == [33, 44, 55]
    assert (signal["bid_price_e9"], signal["bid_qty"]) == (990_000_000, 10)
    assert (signal["ask_price_e9"], signal["ask_qty"]) == (1_010_000_000, 20)
    assert engine.count(Count.SIGNALS) == engine.count(Count.PATTERN_SIGNALS) == 1


def test_signal_holds_nothing_that_an_earlier_call_left():
    engine = engine_with([follow_qty], [propose, propose])
    engine.shard.patterns.params[0, 0] = 1
    engine.shard.breakers.params[0, 0] = 99
    engine.feed([trade(0, 10_000)])
    first, second = engine.signals()
    assert (first["price_e9"], second["price_e9"], second["qty"]) == (11, 0, 0)
    assert [int(second[name]) for name in ("value_0", "value_1", "value_2")] == [0, 0, 0]
    assert (second["source"], engine.count(Count.PATTERN_SIGNALS + 1)) == (1, 1)


def test_signal_in_doubt_is_held_back_and_counted():
    engine = engine_with([], [propose], reorder_ns=1 << 40)
    engine.feed([trade(5, 10_000)])
    engine.take(heartbeat(4))
    engine.settle()
    engine.feed([trade(5, 10_000)])
    assert len(engine.signals()) == 1
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 1
    engine.feed([system_event()])
    engine.feed([trade(5, 10_000)])
    assert [int(signal["signal_id"]) for signal in engine.signals()] == [2]


def test_signal_of_a_halted_instrument_is_held_back_until_it_trades_again():
    engine = engine_with([], [propose])
    engine.feed([trading_action("H"), trade(5, 10_000), trade(5, 10_000, locate=2)])
    assert [int(signal["instrument"]) for signal in engine.signals()] == [2]
    engine.feed([trading_action("T"), trade(5, 10_000)])
    assert len(engine.signals()) == 1
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 1


def test_open_breaker_holds_back_the_signals_of_its_instrument_only():
    engine = engine_with([note_seq, follow_qty], [propose])
    engine.feed([trade(1, 10_000), trade(0, 10_000, locate=2)])
    # Without times a level comes down by one state a tick.
    engine.feed([trade(0, 10_000)] * 4)
    kinds = [(int(signal["kind"]), int(signal["instrument"])) for signal in engine.signals()]
    order, breaker = SignalKind.ORDER, SignalKind.BREAKER
    assert kinds == [(breaker, 1), (order, 2), (breaker, 1), (order, 1), (order, 1)]
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 3


def test_pattern_sees_ticks_whose_signals_would_be_held_back():
    engine = engine_with([], [propose])
    engine.feed([trading_action("H"), trade(5, 10_000)])
    assert state_of(engine.shard.patterns, 0, 1)[0] == 2


def test_change_of_a_level_is_published_once():
    engine = engine_with([note_seq, follow_qty], [propose, propose])
    engine.shard.breakers.params[1, 0] = 77
    engine.feed([trade(1, 10_000), trade(1, 10_001), add(1, "B", 5, 9_000), trade(2, 10_002)])
    first, second = engine.signals()
    assert (first["kind"], first["source"], first["level"]) == (
        SignalKind.BREAKER,
        FUNCTIONS_MAX + 1,
        1,
    )
    assert (first["price_e9"], first["qty"], first["side"]) == (1_000_000_000, 0, 0)
    assert (first["value_0"], second["level"], second["seq"]) == (77, 2, 4)
    assert engine.count(Count.BREAKER_TRIPS + 1) == 1
    assert engine.count(Count.BREAKERS_TRIPPED + 1) == 1
    engine.feed([trade(0, 10_000)] * 3)
    probe, normal = (row for row in engine.signals() if row["kind"] == SignalKind.BREAKER)
    assert (probe["level"], normal["level"]) == (1, 0)
    assert (normal["source"], normal["value_0"]) == (FUNCTIONS_MAX + 1, 77)
    assert engine.count(Count.BREAKERS_TRIPPED + 1) == 0
    assert engine.count(Count.BREAKER_TRIPS + 1) == 1


def test_breaker_that_changes_in_doubt_is_published_when_the_doubt_has_ended():
    engine = engine_with([follow_qty], reorder_ns=1 << 40)
    engine.take(heartbeat(3))
    engine.settle()
    engine.feed([trade(1, 10_000)])
    assert engine.signals() == []
    assert engine.count(Count.BREAKER_TRIPS) == 1
    engine.feed([system_event(), system_event(), add(1, "B", 5, 9_000), add(2, "B", 5, 9_000)])
    (signal,) = engine.signals()
    assert (signal["level"], signal["seq"]) == (1, 4)


def test_breaker_that_tripped_and_recovered_in_doubt_is_never_published():
    engine = engine_with([follow_qty], reorder_ns=1 << 40)
    engine.take(heartbeat(7))
    engine.settle()
    engine.feed([trade(1, 10_000), *[trade(0, 10_000)] * 3, *[add(1, "B", 5, 9_000)] * 4])
    assert engine.signals() == []
    assert engine.count(Count.BREAKER_TRIPS) == 1


def test_full_ring_drops_signals_counts_them_and_publishes_a_breaker_later():
    engine = engine_with([follow_qty], [propose], capacity=CAPACITY._replace(signal_ring=2))
    engine.feed([trade(0, 10_000)] * 3)
    assert engine.count(Count.SIGNALS_DROPPED) == 1
    engine.feed([trade(1, 10_000)])
    assert engine.count(Count.SIGNALS_DROPPED) == 2
    assert [int(signal["signal_id"]) for signal in engine.signals()] == [1, 2]
    engine.feed([add(1, "B", 5, 9_000)])
    (signal,) = engine.signals()
    assert (signal["signal_id"], signal["kind"]) == (3, SignalKind.BREAKER)
    assert engine.count(Count.SIGNALS) == 3


def test_side_that_is_none_is_refused_and_counted():
    engine = engine_with([], [side_of_qty])
    engine.feed([trade(qty, 10_000) for qty in (12, 8, 10, 11, 9, 2**31)])
    assert [int(signal["side"]) for signal in engine.signals()] == [1, -1]
    assert engine.count(Count.STAGE_RESULTS_REFUSED + 1) == 3
    assert engine.count(Count.STAGE_RESULTS_REFUSED) == 0


def test_level_that_is_none_is_refused_counted_and_leaves_the_breaker_as_it_was():
    engine = engine_with([level_of_qty])
    engine.feed([trade(qty, 10_000) for qty in (10, 13, 14, 9, 266, 13, 10, 10, 10)])
    assert [int(signal["level"]) for signal in engine.signals()] == [3, 3, 1, 0]
    assert engine.count(Count.STAGE_RESULTS_REFUSED) == 3
    assert engine.count(Count.BREAKERS_TRIPPED) == 0


def test_functions_are_timed_for_a_while_after_an_overrun_and_then_rest():
    engine = Engine()
    settings, sampling = engine.shard.settings, engine.shard.sampling
    settings[Setting.TIMED] = 1
    settings[Setting.BREAKER_BUDGET_NS] = -1
    timed = []
    for number in range(SUSPICION_TICKS + REST_TICKS + 3):
        engine.feed([trade(1, 1 + number)])
        timed.append(int(sampling[Sampling.IS_TIMED]))
    samples = [int((number + 1) % SAMPLE_TICKS == 0) for number in range(len(timed))]
    suspicion = [1] * SUSPICION_TICKS
    assert timed[1 : 1 + SUSPICION_TICKS] == suspicion
    rest = slice(1 + SUSPICION_TICKS, SUSPICION_TICKS + REST_TICKS)
    assert timed[rest] == samples[rest]
    assert timed[-1] == 1, "the next suspicion"


@pytest.mark.parametrize(("budget_ns", "overruns"), [(-1, 1), (1 << 60, 0)])
def test_stages_are_held_to_their_budgets(budget_ns: int, overruns: int):
    engine = engine_with([note_seq], [propose])
    settings = engine.shard.settings
    settings[Setting.TIMED] = 1
    settings[Setting.BREAKER_BUDGET_NS] = settings[Setting.PATTERN_BUDGET_NS] = budget_ns
    engine.feed([trade(5, 10_000)])
    assert engine.count(Count.BREAKER_OVERRUNS) == overruns
    assert engine.count(Count.PATTERN_OVERRUNS) == overruns


def test_timed_stages_record_the_latency_of_every_tick_and_signal():
    engine = engine_with([], [propose])
    engine.shard.settings[Setting.TIMED] = 1
    engine.feed([trade(5, 10_000), system_event()])
    records = engine.shard.histograms[:, 0]
    assert records[Histogram.LATENCY] == records[Histogram.LANE_LATENCY + NORMAL] == 2
    assert records[Histogram.STAGE_BREAKERS] == records[Histogram.STAGE_PATTERNS] == 2
    assert records[Histogram.SIGNAL_READY] == 1
    (signal,) = engine.signals()
    assert signal["ts_signal_ns"] >= signal["ts_decoded_ns"] > 0


def test_built_in_breaker_and_pattern_work_together_on_messages():
    use = Use(price_band.state_words)  # type: ignore[attr-defined]
    prices = CAPACITY._replace(look=Look.PRICES, breakers=(use,))
    engine = engine_with([price_band], [imbalance_with_trade], capacity=prices)
    day = {**DEFAULTS["price_band"], "band_bps": 100, "open_ns": 0}
    engine.shard.breakers.params[0, : len(day)] = list(day.values())
    engine.shard.patterns.params[0, :4] = 8_000, 1_000, 0, 25
    engine.feed(
        [
            add(1, "B", 900, 9_990, ts_ns=1),
            add(2, "S", 100, 10_000, ts_ns=2),
            execute(2, 10, ts_ns=3),
            trade(1, 10_200, ts_ns=4),
            execute(2, 10, ts_ns=5),
            execute(2, 10, ts_ns=5_005),
            execute(2, 10, ts_ns=5_006),
        ]
    )
    signals = engine.signals()
    found = [(int(row["kind"]), int(row["seq"]), int(row["level"])) for row in signals]
    order, breaker = SignalKind.ORDER, SignalKind.BREAKER
    halted, normal = BreakerLevel.HALTED, BreakerLevel.NORMAL
    assert found == [
        *((order, 3, 0), (SignalKind.CANCEL, 4, halted), (breaker, 4, halted)),
        *((breaker, 6, BreakerLevel.CAUTION), (breaker, 7, normal), (order, 7, 0)),
    ]
    assert (signals[0]["price_e9"], signals[0]["qty"]) == (1_000_000_000, 25)
    assert signals[2]["value_2"] == 200


def send_slowly(signals: Any, at: int, symbols: Any, words: Any, texts: Any, scratch: Any) -> int:
    """Sender: notes what it is given, and takes two milliseconds."""
    words[0, 0] += 1
    words[0, 1] = signals[at]["signal_id"]
    words[0, 2] = signals[at]["seq"]
    words[0, 3] = symbols[0]
    words[0, 4] = at + texts[0, 0] + scratch[0]
    until_ns = signals[at]["ts_signal_ns"] + 2_000_000
    now_ns = clock_ns(CLOCK_REALTIME)
    while now_ns < until_ns:
        now_ns = clock_ns(CLOCK_REALTIME)
    return now_ns


def test_a_sender_gets_every_row_and_its_time_is_no_patterns():
    engine = engine_with([], [propose])
    engine.shard.settings[Setting.TIMED] = 1
    engine.shard.settings[Setting.PATTERN_BUDGET_NS] = 1_900_000
    memory = (np.zeros((1, 8), np.int64), np.zeros((1, 1), np.uint8), np.zeros(1, np.uint8))
    engine.stages = engine.stages._replace(sender=make_sender(send_slowly, *memory))
    engine.feed([system_event(), trade(1, 5), trade(1, 7)])
    words = memory[0][0].tolist()
    signals = engine.signals()
    assert len(signals) == words[0] > 0
    assert words[1] == signals[-1]["signal_id"]
    assert words[2] == signals[-1]["seq"]
    assert words[3] == engine.shard.instruments[1]["symbol"]
    assert engine.count(Count.PATTERN_OVERRUNS) == 0
