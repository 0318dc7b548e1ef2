"""What breakers hold, for whom, who is told, and what leaves then."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import CELL_WORD, NOW_WORD, compile_stage
from feedhandler.core.breaker_machine import Scope
from feedhandler.core.breaker_scopes import Held
from feedhandler.core.counts import FUNCTIONS_MAX, Count
from feedhandler.core.events import Kind, SignalKind
from feedhandler.core.functions import Fn, Meta, Off, Use
from feedhandler.core.responses import RESPONSES
from feedhandler.core.shard import ALL_PARTS, Ask, Control, Order, Setting
from feedhandler.server.snapshots import write_control_nb
from tests.unit.feedhandler.core.support import (
    CAPACITY,
    Engine,
    add,
    decline_status,
    heartbeat,
    state_of,
    trade,
)

S = 10**9
SECTORS = ((int.from_bytes(b"SYM1    ", "little"), int.from_bytes(b"SYM2    ", "little")),)
BREAKER, CANCEL, ORDER = SignalKind.BREAKER, SignalKind.CANCEL, SignalKind.ORDER
INSTRUMENTS = CAPACITY.book.instruments
RESPONSE_USES = tuple(
    Use(each.state_words, asked=True)  # type: ignore[attr-defined]
    for each in RESPONSES
)


def level_of_qty(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: demands the quantity of a trade, less 100; values: 7 and the clock."""
    out[2], out[3] = 7, out[NOW_WORD]
    qty = np.int64(ticks[slot]["qty"])
    return max(qty - 100, 0) if ticks[slot]["code"] == 80 else 0


def counts_calls(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: a trade of more than 100 shares demands caution; state: calls."""
    state[0] += 1
    return int(ticks[slot]["qty"] > 100) if ticks[slot]["code"] == 80 else 0


def names_another(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: a trade of 900 shares demands a halt of the instrument in the parameter."""
    out[CELL_WORD] = params[0] + 1
    return 3 if ticks[slot]["qty"] == 900 else 0


def propose(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Pattern: buys 1,000 at every trade of 5 shares, sells at one of 6."""
    out[0], out[1], out[2], out[5] = 11, 1_000, 22, 5_000
    qty = ticks[slot]["qty"]
    return int(qty == 5) - int(qty == 6)


def doubles(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Response: wants twice as much."""
    out[1] *= 2
    return 3


def engine_with(
    breakers: Sequence[Callable[..., int]] = (level_of_qty,),
    scope: Scope = Scope.INSTRUMENT,
    *,
    responses: Sequence[Callable[..., int]] = RESPONSES,
    **channel: int,
) -> Engine:
    """Breakers that trip with one tick and come down a state with each tick without a demand."""
    uses = [Use(scope=scope) for _ in breakers]
    capacity = CAPACITY._replace(breakers=(*uses, *RESPONSE_USES), sectors=SECTORS)
    places = [compile_stage(each) for each in (*breakers, *responses)]
    engine = Engine(places, [compile_stage(propose)], capacity=capacity, **channel)
    engine.shard.breakers.params[len(breakers) + 1, :2] = 25, 1
    return engine


def named(instrument: int, ref: int) -> bytes:
    return add(ref, "B", 10, 9_000, locate=instrument, symbol=f"SYM{instrument}")


def told(engine: Engine) -> list[tuple[int, int, int]]:
    return [
        (int(row["kind"]), int(row["instrument"]), int(row["level"])) for row in engine.signals()
    ]


def command(engine: Engine, what: Ask, **words: int) -> int:
    """Give the worker a command; how many cells it was about."""
    order = engine.shard.command
    order[:] = 0
    order[Order.WHAT] = what
    for name, value in words.items():
        order[Order[name.upper()]] = value
    write_control_nb(engine.shard.control, Control.COMMAND, 1)
    engine.work()
    assert engine.shard.control[Control.COMMAND] == 0
    return int(order[Order.RESULT])


def test_a_halt_is_told_with_a_request_to_cancel_and_its_values():
    engine = engine_with()
    engine.feed([trade(103, 10_000)])
    cancel, halt = engine.signals()
    assert (cancel["kind"], halt["kind"]) == (CANCEL, BREAKER)
    assert (cancel["level"], halt["level"], halt["value_0"]) == (3, 3, 7)
    assert (cancel["signal_id"], halt["signal_id"]) == (1, 2)
    assert (halt["side"], halt["qty"], halt["source"]) == (0, 0, FUNCTIONS_MAX)


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        (Scope.INSTRUMENT, {1}),
        (Scope.SECTOR, {1, 2}),
        (Scope.MARKET, {1, 2, 3, 4}),
        (Scope.SERVER, {1, 2, 3, 4}),
    ],
)
def test_a_level_holds_for_its_scope_and_everybody_in_it_is_told(scope: Scope, held: set[int]):
    engine = engine_with(scope=scope)
    engine.feed([named(number, number) for number in (1, 2, 3, 4)])
    engine.feed([trade(102, 10_000, locate=1)])
    assert told(engine) == [(BREAKER, number, 2) for number in sorted(held)]


def test_instruments_are_told_a_few_a_tick_and_none_twice():
    engine = engine_with(scope=Scope.MARKET)
    engine.feed([named(number, number) for number in range(1, INSTRUMENTS)])
    engine.feed([trade(103, 10_000, locate=1)])
    first = [number for kind, number, _ in told(engine) if kind == BREAKER]
    assert (first[0], len(first)) == (1, 5)
    engine.feed([trade(103, 10_000, locate=1)] * 4)
    rest = [number for kind, number, _ in told(engine) if kind == BREAKER]
    assert sorted(first + rest) == list(range(1, INSTRUMENTS))
    assert engine.shard.cells.held[Held.LEFT] == 0


def test_an_instrument_of_no_sector_is_in_nobodys_cell():
    engine = engine_with(scope=Scope.SECTOR)
    engine.feed([named(4, 1), trade(103, 10_000, locate=4), trade(5, 10_000, locate=4)])
    assert [kind for kind, _, _ in told(engine)] == [ORDER]


def test_a_breaker_may_name_the_instrument_that_it_means():
    engine = engine_with([names_another])
    engine.shard.breakers.params[0, 0] = 2
    engine.feed([named(2, 1), trade(900, 10_000, locate=1), trade(5, 10_000, locate=1)])
    assert told(engine) == [(CANCEL, 2, 3), (BREAKER, 2, 3), (ORDER, 1, 0)]


@pytest.mark.parametrize("number", [INSTRUMENTS, -2, 1 << 40])
def test_an_instrument_that_there_is_not_is_refused(number: int):
    engine = engine_with([names_another])
    engine.shard.breakers.params[0, 0] = number
    engine.feed([trade(900, 10_000)])
    assert told(engine) == []
    assert engine.count(Count.STAGE_RESULTS_REFUSED) == 1


def test_at_caution_orders_leave_smaller_and_marked():
    engine = engine_with()
    engine.feed([trade(101, 10_000), trade(5, 10_000)])
    engine.signals()
    engine.feed([trade(101, 10_000), trade(5, 10_000)])
    (order,) = [row for row in engine.signals() if row["kind"] == ORDER]
    assert (order["side"], order["qty"], order["level"]) == (1, 250, 1)
    assert (order["price_e9"], order["value_0"], order["confidence_bps"]) == (11, 22, 5_000)


def test_when_restricted_only_what_reduces_a_known_position_leaves():
    engine = engine_with()
    long_position = {"key": 1, "position": 1_500}
    assert command(engine, Ask.TELL_POSITION, **long_position) == 1
    command(engine, Ask.TRIP, breaker=0, key=1, level=2)
    engine.signals()
    engine.feed([trade(qty, 10_000) for qty in (5, 6, 6, 6)])
    orders = [row for row in engine.signals() if row["kind"] == ORDER]
    assert [(int(row["side"]), int(row["qty"]), int(row["level"])) for row in orders] == [
        (-1, 1_000, 2),
        (-1, 500, 2),
    ]
    assert engine.count(Count.SIGNALS_SUPPRESSED) == 2


def test_at_halt_nothing_leaves_until_the_probe():
    engine = engine_with()
    engine.feed([trade(103, 10_000), trade(5, 10_000), trade(5, 10_000), trade(5, 10_000)])
    assert told(engine) == [
        *((CANCEL, 1, 3), (BREAKER, 1, 3), (BREAKER, 1, 1)),
        *((ORDER, 1, 1), (BREAKER, 1, 0), (ORDER, 1, 0)),
    ]


def test_a_response_of_the_user_replaces_the_one_of_its_level():
    engine = engine_with(responses=(RESPONSES[0], doubles, *RESPONSES[2:]))
    command(engine, Ask.TRIP, breaker=0, key=1, level=1)
    engine.feed([trade(5, 10_000)])
    assert ORDER not in {kind for kind, _, _ in told(engine)}
    assert engine.count(Count.STAGE_RESULTS_REFUSED) == 1


def test_the_normal_response_is_asked_when_there_is_one():
    engine = engine_with(responses=(RESPONSES[3], *RESPONSES[1:]))
    engine.feed([trade(5, 10_000)])
    assert told(engine) == [(ORDER, 1, 0)]
    engine.shard.breakers.meta[Meta.ASKS_NORMAL] = 1
    engine.feed([trade(5, 10_000)])
    assert told(engine) == []


def test_a_response_that_is_off_lets_nothing_leave_and_tells_all_the_same():
    engine = engine_with()
    engine.shard.breakers.rows[1:, Fn.OFF] = Off.FAULT
    engine.feed([named(1, 1)])
    command(engine, Ask.TRIP, breaker=0, key=1, level=1)
    assert told(engine) == [(BREAKER, 1, 1)]
    engine.feed([trade(5, 10_000)])
    assert told(engine) == []


def test_a_trip_by_hand_is_told_without_a_tick_and_holds_until_it_is_reset():
    engine = engine_with()
    engine.feed([named(1, 1), named(2, 2)])
    assert command(engine, Ask.TRIP, breaker=0, key=2, level=3) == 1
    assert told(engine) == [(CANCEL, 2, 3), (BREAKER, 2, 3)]
    engine.feed([trade(5, 10_000, locate=2)] * 20)
    assert told(engine) == []
    assert command(engine, Ask.RESET, breaker=0, key=2) == 1
    assert told(engine) == [(BREAKER, 2, 0)]
    engine.feed([trade(5, 10_000, locate=2)])
    assert told(engine) == [(ORDER, 2, 0)]
    assert command(engine, Ask.RESET, breaker=0, key=2) == 0
    assert engine.count(Count.BREAKERS_TRIPPED) == 0


def test_a_trip_of_all_parts_is_told_to_those_that_have_a_name():
    engine = engine_with()
    engine.feed([named(1, 1), named(2, 2)])
    assert command(engine, Ask.TRIP, breaker=0, key=ALL_PARTS, level=1) == INSTRUMENTS
    assert told(engine) == [(BREAKER, 1, 1), (BREAKER, 2, 1)]
    engine.feed([named(3, 3)])
    assert told(engine) == [(BREAKER, 3, 1)]
    assert command(engine, Ask.RESET, breaker=0, key=ALL_PARTS) == INSTRUMENTS


def test_a_trip_for_a_time_ends_by_itself():
    engine = engine_with()
    engine.feed([named(1, 1), trade(1, 10_000, ts_ns=S)])
    command(engine, Ask.TRIP, breaker=0, key=1, level=2, for_ns=5 * S)
    engine.feed([trade(1, 10_000, ts_ns=at * S) for at in (2, 3, 4, 5, 6)])
    assert told(engine) == [(BREAKER, 1, 2)]
    engine.feed([trade(1, 10_000, ts_ns=at * S) for at in (7, 8, 9, 10)])
    assert [level for _, _, level in told(engine)] == [1, 0]


def test_what_an_operator_does_has_stamps_of_its_own_and_no_number_of_a_message():
    engine = engine_with()
    engine.shard.settings[Setting.TIMED] = 1
    engine.feed([named(1, 1)])
    command(engine, Ask.TRIP, breaker=0, key=1, level=2)
    (row,) = engine.signals()
    assert (row["seq"], row["ts_exch_ns"], row["price_e9"]) == (0, 0, 0)
    assert 0 < row["ts_rx_ns"] <= row["ts_signal_ns"]


def test_a_change_that_did_not_fit_is_told_the_next_time():
    engine = engine_with()
    engine.shard.signals.cursors[0] += len(engine.shard.signals.cells)
    engine.feed([trade(103, 10_000)])
    assert engine.count(Count.SIGNALS_DROPPED) == 1
    engine.shard.signals.cursors[0] -= len(engine.shard.signals.cells)
    engine.feed([trade(103, 10_000)])
    assert told(engine) == [(CANCEL, 1, 3), (BREAKER, 1, 3)]


def test_in_doubt_nothing_is_told_but_what_an_operator_wants():
    engine = engine_with(reorder_ns=1 << 40)
    engine.feed([named(1, 1)])
    engine.take(heartbeat(9))
    engine.settle()
    engine.feed([trade(103, 10_000), trade(5, 10_000)])
    assert told(engine) == []
    command(engine, Ask.TRIP, breaker=0, key=1, level=3)
    assert told(engine) == [(CANCEL, 1, 3), (BREAKER, 1, 3)]


def test_a_breaker_sees_the_workers_clock():
    engine = engine_with()
    engine.shard.settings[Setting.TIMED] = 1
    engine.feed([trade(101, 10_000)])
    (row,) = engine.signals()
    assert 0 < row["value_1"] <= row["ts_signal_ns"]
    untimed = engine_with()
    untimed.feed([trade(101, 10_000)])
    assert untimed.signals()[0]["value_1"] == 0


def test_a_breaker_of_some_kinds_is_called_for_these_and_for_all_while_it_is_tripped():
    engine = engine_with([counts_calls])
    engine.shard.breakers.rows[0, Fn.KINDS] = 1 << Kind.TRADE
    state = state_of(engine.shard.breakers, 0, 1)
    engine.feed([named(1, 1), named(1, 2), trade(5, 10_000), named(1, 3)])
    assert state[0] == 1
    engine.feed([trade(101, 10_000), named(1, 4), named(1, 5), named(1, 6), named(1, 7)])
    # Tripped with the trade, normal again three ticks later.
    assert state[0] == 2 + 3


def hears_the_venue(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Breaker: what the venue says of the market restricts it; state: calls."""
    state[0] += 1
    return 2 if ticks[slot]["kind"] == Kind.MARKET_DECLINE_STATUS else 0


@pytest.mark.parametrize(
    ("scope", "calls", "held"), [(Scope.MARKET, 3, [1, 2, 3]), (Scope.INSTRUMENT, 2, [])]
)
def test_a_wide_breaker_of_chosen_instruments_hears_what_is_about_the_market(
    scope: Scope, calls: int, held: list[int]
):
    use = Use(scope=scope, bindings=(SECTORS[0],))
    capacity = CAPACITY._replace(breakers=(use, *RESPONSE_USES))
    places = [compile_stage(each) for each in (hears_the_venue, *RESPONSES)]
    engine = Engine(places, [compile_stage(propose)], capacity=capacity)
    engine.feed([named(1, 1), named(2, 2), named(2, 3), decline_status("1")])
    engine.feed([named(3, 4)])
    assert engine.shard.breakers.state[0] == calls
    assert sorted(instrument for _, instrument, _ in told(engine)) == held
