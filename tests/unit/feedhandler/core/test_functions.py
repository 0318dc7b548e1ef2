"""Which function is called for which tick, how often it may fire, and when it is called no more."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import compile_stage
from feedhandler.core.breaker_machine import trip_breaker_nb
from feedhandler.core.breaker_scopes import note_state_nb
from feedhandler.core.calls import FAULT
from feedhandler.core.counts import FUNCTIONS_MAX, Count, Histogram
from feedhandler.core.events import SignalKind
from feedhandler.core.function_layout import allocate_functions
from feedhandler.core.functions import (
    STRIKE_WEIGHT,
    STRIKES_MAX,
    Bound,
    Fn,
    Off,
    Use,
    bind_instrument_nb,
    may_fire_nb,
    note_fired_nb,
    strike_nb,
)
from feedhandler.core.market import Look
from feedhandler.core.shard import Setting
from feedhandler.core.stages import SAMPLE_TICKS
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    Engine,
    add,
    directory,
    packet,
    state_of,
    system_event,
    trade,
    trading_action,
)

A, B, C, NOBODY = (int.from_bytes(name.ljust(8), "little") for name in (b"A", b"B", b"C", b"N"))
TEST = int.from_bytes(b"TEST    ", "little")


def on_trade(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Pattern: buys at every trade; counts its calls."""
    state[0] += 1
    out[0], out[1], out[5] = 7, 8, params[0]
    return np.int64(ticks[slot]["code"] == 80)


def both_sides(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Pattern over two instruments: buys when both have a bid; values: their bids."""
    state[0] += 1
    first, second = market[legs[0]], market[legs[1]]
    out[2], out[3] = first["bid_qty"], second["bid_qty"]
    return np.int64(first["bid_qty"] > 0 and second["bid_qty"] > 0)


def far_out(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Uses the word of its state that its parameter names."""
    state[params[0]] += 1
    return 0


def spins(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    """Takes as long as its parameter says."""
    for i in range(params[0]):
        state[0] = (state[0] * 5 + i) & 1023
    return 0


def functions_of(*uses: Use, instruments: int = 8) -> Any:
    return allocate_functions(uses, instruments)


def test_large_states_are_an_odd_number_of_cache_lines_apart():
    functions = functions_of(Use(16), Use(17), Use(25), Use(250, cooldown_ns=1), instruments=2)
    assert functions.rows[:4, Fn.STRIDE].tolist() == [16, 24, 40, 264]
    assert functions.rows[:4, Fn.STATE_AT].tolist() == [0, 32, 80, 160]


def test_a_function_without_a_choice_has_a_state_for_each_instrument():
    functions = functions_of(Use(16), Use(3))
    assert functions.rows[0, : Fn.FATE].tolist() == [0, 16, 16]
    assert functions.rows[1, : Fn.FATE].tolist() == [8 * 16, 3, 8]
    assert len(functions.state) == 8 * 16 + 8 * 8
    assert functions.wild[:2].tolist() == [0, 1]


def test_a_binding_waits_for_all_its_instruments():
    functions = functions_of(Use(bindings=((A, B), (B, C))))
    assert bind_instrument_nb(functions, 5, A, 1) == 1
    assert functions.bindings[:, Bound.MISSING].tolist() == [1, 2]
    assert bind_instrument_nb(functions, 2, B, 1) == 2
    assert functions.bindings[:, Bound.MISSING].tolist() == [0, 1]
    assert functions.legs.tolist() == [5, 2, 2, -1]
    assert bind_instrument_nb(functions, 3, NOBODY, 1) == -1
    assert bind_instrument_nb(functions, 4, 0, 1) == 0
    assert functions.wanted_by.tolist() == [0, 0, 2, -1, 0, 1, 0, 0]


def test_a_symbol_that_gets_another_number_takes_its_place_with_it():
    functions = functions_of(Use(bindings=((A, B),)))
    bind_instrument_nb(functions, 1, A, 1)
    bind_instrument_nb(functions, 6, A, 1)
    assert functions.legs.tolist() == [6, -1]
    assert functions.bindings[0, Bound.MISSING] == 1


def test_a_number_that_another_symbol_gets_leaves_what_it_was_bound_to():
    functions = functions_of(Use(bindings=((A, B), (B, C))))
    for number, symbol in enumerate((A, B, C), 1):
        bind_instrument_nb(functions, number, symbol, 1)
    functions.state[:] = 7
    assert bind_instrument_nb(functions, 1, NOBODY, 1) == -1
    assert functions.legs.tolist() == [-1, 2, 2, 3]
    assert functions.bindings[:, Bound.MISSING].tolist() == [1, 0]
    assert functions.state.tolist() == [0] * 16 + [7] * 16, "the other one goes on"
    # The next session has B where C was, and then A where B was.
    assert bind_instrument_nb(functions, 3, B, 1) == 2
    assert functions.legs.tolist() == [-1, 3, 3, -1]
    assert functions.wanted_by[2] == -1, "what comes by the old number is not B's"
    assert bind_instrument_nb(functions, 2, A, 1) == 1
    assert functions.legs.tolist() == [2, 3, 3, -1]
    assert functions.bindings[:, Bound.MISSING].tolist() == [0, 1]
    assert not functions.state.any()


def test_told_the_same_again_a_binding_goes_on():
    functions = functions_of(Use(cooldown_ns=5, bindings=((A, B),)))
    for number, symbol in ((1, A), (2, B)):
        bind_instrument_nb(functions, number, symbol, 1)
    functions.state[:] = 7
    assert bind_instrument_nb(functions, 2, B, 1) == 2
    assert functions.state.all()


def test_a_binding_is_that_of_the_shard_which_owns_its_first_leg():
    functions = functions_of(Use(bindings=((A, B),)), Use(bindings=((A, C),)))
    functions.rows[1, Fn.EVERYWHERE] = 1
    for number, symbol, own in ((1, A, 0), (2, B, 1), (3, C, 1)):
        bind_instrument_nb(functions, number, symbol, own)
    assert functions.legs.tolist() == [-1, 2, 1, 3]
    assert functions.bindings[:, Bound.MISSING].tolist() == [1, 0]
    # A following session deals the first leg to this shard, and back again.
    bind_instrument_nb(functions, 4, A, 1)
    assert functions.legs.tolist() == [4, 2, 4, 3]
    bind_instrument_nb(functions, 1, A, 0)
    assert functions.legs.tolist() == [-1, 2, 1, 3]
    assert functions.bindings[:, Bound.MISSING].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("later_ns", "fires"), [(0, 0), (1, 0), (999, 0), (1_000, 1), (5_000, 1), (-1, 0), (-50, 0)]
)
def test_a_cool_down_holds_back_what_comes_within_it(later_ns: int, fires: int):
    functions = functions_of(Use(2, cooldown_ns=1_000))
    assert may_fire_nb(functions, 0, 0, 50) == 1
    note_fired_nb(functions, 0, 0, 50)
    assert may_fire_nb(functions, 0, 0, 50 + later_ns) == fires
    assert may_fire_nb(functions, 0, 8, 50) == 1, "another instrument's is its own"
    assert functions.state[:2].tolist() == [0, 0]


def test_only_overruns_again_and_again_end_a_function():
    functions = functions_of(Use(budget_ns=100))
    for _ in range(1_000):
        assert strike_nb(functions, 0, 101) == 1
        for _ in range(STRIKE_WEIGHT):
            assert strike_nb(functions, 0, 100) == 0
    assert functions.rows[0, Fn.OFF] == Off.NO
    for _ in range(STRIKES_MAX):
        strike_nb(functions, 0, 101)
    assert functions.rows[0, Fn.OFF] == Off.OVERRUNS


def test_a_function_without_a_budget_is_never_over_it():
    functions = functions_of(Use())
    assert strike_nb(functions, 0, 1 << 60) == 0


def engine_with(*patterns: Any, uses: tuple[Use, ...] = (), **capacity: Any) -> Engine:
    sizes = CAPACITY._replace(patterns=uses, **capacity)
    return Engine(patterns=[compile_stage(each) for each in patterns], capacity=sizes)


def test_a_pattern_of_one_symbol_sees_no_other():
    engine = engine_with(on_trade, uses=(Use(bindings=((TEST,),)),))
    # Number 3 gets its symbol by the add; number 5 has none, and is nobody's.
    engine.feed([add(1, "B", 10, 100, locate=3), system_event(), trade(5, 7, locate=3)])
    assert engine.shard.patterns.state[0] == 2
    (signal,) = engine.signals()
    assert (signal["instrument"], signal["leg_count"], signal["legs"][0]) == (3, 1, 3)
    assert signal["confidence_bps"] == 10_000


def test_what_a_function_says_of_its_confidence_is_in_the_signal():
    engine = engine_with(on_trade)
    engine.shard.patterns.params[0, 0] = 1_234
    engine.feed([trade(5, 7)])
    assert engine.signals()[0]["confidence_bps"] == 1_234


def define(symbol: str, locate: int) -> bytes:
    """A message that names the instrument and changes no book."""
    return add(1_000 + locate, "S", 1, 1_000_000 + locate, locate=locate, symbol=symbol)


LOOKS = [Look.PRICES, Look.ANALYTICS]


@pytest.mark.parametrize("look", LOOKS)
def test_a_pattern_of_two_instruments_sees_both(look: Look):
    engine = engine_with(both_sides, uses=(Use(bindings=((A, B),)),), look=look)
    engine.feed([define("A", 1), define("B", 2), define("C", 3)])
    engine.feed([add(1, "B", 10, 100, locate=1, symbol="A")])
    assert engine.signals() == []
    engine.feed([add(2, "B", 20, 100, locate=2, symbol="B")])
    (signal,) = engine.signals()
    assert (signal["value_0"], signal["value_1"]) == (10, 20)
    assert signal["kind"] == SignalKind.ORDER
    assert (signal["instrument"], signal["bid_qty"]) == (1, 10)
    assert signal["legs"].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
    # Ticks of A and B since both were known, and none of C.
    assert engine.shard.patterns.state[0] == 3


def test_a_number_that_a_new_session_gives_to_another_symbol_is_looked_at_no_more():
    engine = engine_with(both_sides, uses=(Use(bindings=((A, B),)),), look=Look.ANALYTICS)
    engine.feed([directory(1, "A"), directory(2, "B")])
    engine.feed([add(i, "B", 10 * i, 100, locate=i, symbol="AB"[i - 1]) for i in (1, 2)])
    assert [signal["legs"][:2].tolist() for signal in engine.signals()] == [[1, 2]]
    engine.feed([directory(1, "C")])
    assert engine.shard.patterns.bindings[0, Bound.MISSING] == 1
    engine.feed([add(5, "B", 70, 100, locate=1, symbol="C"), trade(5, 7, locate=2)])
    assert engine.signals() == []
    # A is number 3 now; its binding begins anew, and sees its new book.
    engine.feed([directory(3, "A"), add(6, "B", 80, 100, locate=3, symbol="A")])
    (signal,) = engine.signals()
    assert (signal["legs"][:2].tolist(), signal["value_0"]) == ([3, 2], 80)
    assert engine.shard.patterns.state[0] == 2


@pytest.mark.parametrize("look", LOOKS)
def test_books_that_were_replaced_hold_signals_back_until_both_are_seen_again(look: Look):
    engine = engine_with(both_sides, uses=(Use(bindings=((A, B),)),), look=look)
    engine.feed([define("A", 1), define("B", 2)])
    engine.feed([add(2, "B", 20, 100, locate=2, symbol="B")])
    engine.shard.epoch[0] = 1
    engine.feed([add(1, "B", 10, 100, locate=1, symbol="A")])
    assert engine.signals() == []
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 1
    engine.feed([add(3, "B", 20, 90, locate=2, symbol="B")])
    assert len(engine.signals()) == 1


@pytest.mark.parametrize("look", LOOKS)
def test_one_halted_instrument_holds_the_signals_of_both_back(look: Look):
    engine = engine_with(both_sides, uses=(Use(bindings=((A, B),)),), look=look)
    engine.feed([define("A", 1), define("B", 2), trading_action("H", locate=1)])
    engine.feed([add(1, "B", 10, 100, locate=1, symbol="A")])
    engine.feed([add(2, "B", 20, 100, locate=2, symbol="B")])
    assert engine.signals() == []
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 1


def test_the_cool_down_of_a_pattern_is_the_engines():
    engine = engine_with(on_trade, uses=(Use(cooldown_ns=100),))
    engine.feed([trade(1, 5, ts_ns=ts_ns) for ts_ns in (10, 50, 109, 110, 300)])
    assert [int(signal["ts_exch_ns"]) for signal in engine.signals()] == [10, 110, 300]
    assert engine.count(Count.PATTERN_REPEATS) == 2


@pytest.mark.parametrize("place", [16, 1 << 40, -17])
def test_an_index_outside_its_state_ends_a_function_and_nothing_else(place: int):
    engine = engine_with(far_out, on_trade)
    engine.shard.patterns.params[0, 0] = place
    engine.feed([trade(5, 7), trade(5, 7)])
    assert engine.shard.patterns.rows[0, Fn.OFF] == Off.FAULT
    assert engine.count(Count.FUNCTION_OFF + FUNCTIONS_MAX) == Off.FAULT
    assert engine.count(Count.STAGE_RESULTS_REFUSED + 1) == 0
    assert len(engine.signals()) == 2
    assert FAULT < 0


def test_a_breaker_that_ends_keeps_its_level():
    engine = Engine([compile_stage(far_out)])
    cells = engine.shard.cells
    trip_breaker_nb(cells.rows, 1, 2, 0, cells.tuning[0])
    note_state_nb(cells, 0, 1, 0)
    cells.due[1] = 1
    engine.shard.breakers.params[0, 0] = 99
    engine.feed([trade(5, 7), trade(5, 7)])
    assert engine.shard.breakers.rows[0, Fn.OFF] == Off.FAULT
    assert [int(row["level"]) for row in engine.signals()] == [2]
    assert engine.count(Count.STAGE_RESULTS_REFUSED) == 0


def test_one_tick_in_many_is_timed():
    engine = engine_with(on_trade)
    engine.shard.settings[Setting.TIMED] = 1
    engine.shard.settings[Setting.BREAKER_BUDGET_NS] = 1 << 60
    engine.shard.settings[Setting.PATTERN_BUDGET_NS] = 1 << 60
    engine.take(packet(1, [system_event(i) for i in range(2 * SAMPLE_TICKS)]))
    engine.work()
    assert engine.shard.histograms[Histogram.FUNCTION + FUNCTIONS_MAX, 0] == 2
    assert state_of(engine.shard.patterns, 0)[0] == 2 * SAMPLE_TICKS


def test_a_function_that_is_too_slow_is_found_and_not_called_any_more():
    engine = engine_with(on_trade, spins, uses=(Use(), Use(budget_ns=1)))
    engine.shard.patterns.params[1, 0] = 1_000
    engine.shard.settings[Setting.TIMED] = 1
    engine.shard.settings[Setting.BREAKER_BUDGET_NS] = 1 << 60
    for seq in range(10):
        engine.take(packet(1 + 40 * seq, [system_event(i) for i in range(40)]))
        engine.work()
    assert engine.shard.patterns.rows[1, Fn.OFF] == Off.OVERRUNS
    overruns = Count.FUNCTION_OVERRUNS + FUNCTIONS_MAX
    assert engine.count(overruns + 1) == STRIKES_MAX
    assert engine.count(overruns) == 0
    assert state_of(engine.shard.patterns, 0)[0] == 400
