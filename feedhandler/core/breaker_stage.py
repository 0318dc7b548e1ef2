"""One tick through the circuit breakers: what they demand, what their machine makes of it, and who
is told.

    function ──demand──► cell of (breaker, part of its scope) ──► level of the instrument
                                                                  └ changed: response ──► the OMS

A change of a level that holds for many instruments is told of the tick's at once and of the others
a few at a time, with the ticks that follow, so that no tick pays for a whole market.
"""

from typing import Any

import numpy as np

from feedhandler.core.api import CELL_WORD, NOW_WORD, Sender
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.breaker_machine import (
    LEVEL_MAX,
    BreakerState,
    Scope,
    level_of_cell_nb,
    reset_breaker_nb,
    step_breaker_nb,
    trip_breaker_nb,
)
from feedhandler.core.breaker_scopes import (
    Held,
    cell_of_nb,
    find_sector_nb,
    forget_sector_nb,
    is_active_nb,
    is_awake_nb,
    level_of_instrument_nb,
    note_state_nb,
)
from feedhandler.core.calls import FAULT
from feedhandler.core.clock import now_ns_nb
from feedhandler.core.counts import FUNCTIONS_MAX, Count
from feedhandler.core.engine import count_nb, owns_nb
from feedhandler.core.evaluate import ask_response_nb, call_nb, clear_nb, emit_nb, wanted_nb
from feedhandler.core.events import BreakerLevel, Flag, Kind, SignalKind
from feedhandler.core.functions import Bound, Fn, Meta, Off
from feedhandler.core.market import Look
from feedhandler.core.quotes import show_level_nb
from feedhandler.core.responses import LEVEL_WORD, SIDE_WORD, Action, tell_position_nb
from feedhandler.core.shard import ALL_PARTS, Agent, Ask, Control, Order, Setting, Shard
from protocols.jit import kernel, outline_kernel

_TELLS_A_TICK = 4
_LOOKS_A_TICK = 64
_TELLS_AT_ONCE = 64
# What one tick has several shards tell comes in this order, before what patterns propose.
_TURN_OF_BREAKERS = -(1 << 40)
_TURN_OF_LEVEL = -(1 << 30)
_TURN_OF_OTHERS = -(1 << 20)
_TELL, _CANCEL = int(Action.TELL), int(Action.CANCEL)


@kernel
def run_breakers_nb(shard: Shard, breakers: Any, sender: Sender, slot: int, now_ns: int) -> None:
    """Every breaker that is bound to the instrument of ticks[slot] sees it; `now_ns` is the
    worker's clock.
    """
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    functions, cells = shard.breakers, shard.cells
    cells.held[Held.FULL] = 0
    if len(cells.sector_symbols) > 0:
        _find_sector_nb(shard, slot)
    is_wanted = functions.meta[Meta.KINDS] >> np.int64(tick["kind"]) & 1
    if is_wanted or is_awake_nb(cells, instrument):
        for i in range(functions.meta[Meta.WILD]):
            function = functions.wild[i]
            row = functions.rows[function]
            at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
            of = (function, at, np.int64(0), instrument, np.int64(1))
            _ask_breaker_nb(shard, breakers, sender, shard.numbers, (slot, now_ns), of)
    if functions.meta[Meta.SYMBOLS] > 0:
        wanted = wanted_nb(shard, functions, slot)
        if wanted > 0:
            _run_bound_nb(shard, breakers, sender, wanted, (slot, now_ns))
        elif tick["kind"] == Kind.MARKET_DECLINE_STATUS:
            _run_wide_nb(shard, breakers, sender, (slot, now_ns))
    if tick["kind"] == Kind.DEFINITION and cells.told[instrument] > 0:
        cells.due[instrument] = 1
    if cells.due[instrument] or cells.held[Held.LEFT] > 0:
        _settle_due_nb(shard, breakers, sender, slot)


@outline_kernel
def _settle_due_nb(shard: Shard, breakers: Any, sender: Sender, slot: int) -> None:
    """Tell what was not told when it changed, of the instrument of ticks[slot] first."""
    tick = shard.ticks[slot]
    if tick["flags"] & Flag.IN_DOUBT:
        return
    clear_nb(shard.out)
    shard.turn[0] = _TURN_OF_LEVEL
    settle_level_nb(shard, breakers, sender, slot, np.int64(tick["instrument"]))
    shard.turn[0] = 0
    if shard.cells.held[Held.LEFT] > 0:
        _settle_others_nb(shard, breakers, sender, slot, np.int64(_TELLS_A_TICK))


@kernel
def _find_sector_nb(shard: Shard, slot: int) -> None:
    """Sector of the instrument of ticks[slot], by its symbol or the new one that it gets."""
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    symbol = np.int64(shard.instruments[instrument]["symbol"])
    if tick["kind"] == Kind.DEFINITION:
        symbol = np.int64(tick["aux"])
        forget_sector_nb(shard.cells, instrument)
    find_sector_nb(shard.cells, instrument, symbol)


@outline_kernel
def _run_bound_nb(
    shard: Shard, breakers: Any, sender: Sender, wanted: int, when: tuple[int, int]
) -> None:
    """Breakers that chose the instrument, whose symbol has the place `wanted`; `when` as below."""
    functions = shard.breakers
    for cell in range(functions.first[wanted - 1], functions.first[wanted]):
        _ask_bound_nb(shard, breakers, sender, functions.cells[cell, 0], when)


@outline_kernel
def _run_wide_nb(shard: Shard, breakers: Any, sender: Sender, when: tuple[int, int]) -> None:
    """Breakers that chose instruments and hold for more than those: what is about the market is for
    them, too.
    """
    functions = shard.breakers
    for number in range(functions.meta[Meta.BINDINGS]):
        if shard.cells.scope[functions.bindings[number, Bound.FUNCTION]] >= Scope.MARKET:
            _ask_bound_nb(shard, breakers, sender, number, when)


@kernel
def _ask_bound_nb(
    shard: Shard, breakers: Any, sender: Sender, number: int, when: tuple[int, int]
) -> None:
    """The breaker of a binding, once all of its instruments are known."""
    functions = shard.breakers
    binding = functions.bindings[number]
    if binding[Bound.MISSING] == 0:
        of = (
            binding[Bound.FUNCTION],
            binding[Bound.STATE_AT],
            np.int64(0),
            binding[Bound.LEGS_AT],
            binding[Bound.LEGS],
        )
        _ask_breaker_nb(shard, breakers, sender, functions.legs, when, of)


@kernel
def _ask_breaker_nb(
    shard: Shard,
    breakers: Any,
    sender: Sender,
    legs: Any,
    when: tuple[int, int],
    of: tuple[int, ...],
) -> None:
    """What a breaker demands goes to its cell. A demand that is no level, or for no instrument, is
    refused and counted, and the one before stands. The cells of a breaker that is not called any
    more stay as they are until a person resets them. `when` is (slot, worker's clock), `of` as
    `call_nb` has it.
    """
    slot, now_ns = when
    functions = shard.breakers
    breaker = of[0]
    row = functions.rows[breaker]
    if row[Fn.OFF] != Off.NO:
        return
    tick = shard.ticks[slot]
    instrument = np.int64(tick["instrument"])
    is_passed_over = row[Fn.KINDS] > 0 and not row[Fn.KINDS] >> np.int64(tick["kind"]) & 1
    # Held to a level, it may have to take that back as time passes.
    if is_passed_over and not is_active_nb(shard.cells, breaker, instrument):
        return
    clear_nb(shard.out)
    shard.out[NOW_WORD] = now_ns
    demand = call_nb(shard, breakers, functions, (legs, shard.out), slot, of)
    if demand == FAULT:
        return
    named = shard.out[CELL_WORD]
    if demand < 0 or demand > LEVEL_MAX or named < 0 or named > len(shard.numbers):
        count_nb(shard, Count.STAGE_RESULTS_REFUSED, np.int64(owns_nb(shard, instrument)))
        demand = np.int64(-1)
    elif named > 0:
        instrument = named - 1
    if demand > 0 or is_active_nb(shard.cells, breaker, instrument):
        _step_nb(shard, breakers, sender, slot, (breaker, instrument, demand))


@outline_kernel
def _step_nb(
    shard: Shard, breakers: Any, sender: Sender, slot: int, of: tuple[int, int, int]
) -> None:
    """One step of a cell that is not NORMAL, or will not be; `of` is (breaker, instrument,
    demand).
    """
    breaker, instrument, demand = of
    cells = shard.cells
    at = cell_of_nb(cells, breaker, instrument)
    if at < 0:
        return
    row = cells.rows[at]
    state, trips = np.int64(row["state"]), np.int64(row["trips"])
    tick = shard.ticks[slot]
    before = level_of_cell_nb(cells.rows, at)
    now_ns = np.int64(tick["ts_exch_ns"])
    after = step_breaker_nb(cells.rows, at, demand, now_ns, cells.tuning[breaker])
    _note_cell_nb(shard, breaker, (at, instrument), state, trips)
    if after == before:
        return
    if cells.scope[breaker] != Scope.INSTRUMENT:
        cells.held[Held.LEFT] = len(shard.numbers)
    cells.due[instrument] = 1
    if not tick["flags"] & Flag.IN_DOUBT:
        # Now, while `out` has what the breaker said of it.
        shard.turn[0] = _TURN_OF_BREAKERS + breaker
        settle_level_nb(shard, breakers, sender, slot, instrument)
        shard.turn[0] = 0


@kernel
def _note_cell_nb(shard: Shard, breaker: int, of: tuple[int, int], state: int, trips: int) -> None:
    """Count what a cell that was in `state`, tripped `trips` times, became; `of` is (its row,
    instrument). Of several shards the instrument's counts it, or for a wider scope the first.
    """
    at, instrument = of
    row = shard.cells.rows[at]
    change = note_state_nb(shard.cells, breaker, at, state)
    counted = owns_nb(shard, instrument)
    if shard.cells.scope[breaker] != Scope.INSTRUMENT:
        counted = owns_nb(shard, np.int64(0))
    if counted:
        count_nb(shard, Count.BREAKERS_TRIPPED + breaker, change)
        count_nb(shard, Count.BREAKER_TRIPS + breaker, np.int64(row["trips"]) - trips)


@outline_kernel
def settle_level_nb(shard: Shard, breakers: Any, sender: Sender, slot: int, instrument: int) -> int:
    """Tell of the level that holds for an instrument, if it is another than was told last; 1 when
    it was told. What did not fit the ring is told the next time; what is another shard's is told
    there. Nobody trades what is about no instrument.
    """
    cells = shard.cells
    if instrument == 0 and shard.instruments[instrument]["symbol"] == 0:
        cells.due[instrument] = 0
        return 0
    found = level_of_instrument_nb(cells, shard.breakers.meta[Meta.FUNCTIONS], instrument)
    level, breaker = found
    before = np.int64(cells.told[instrument])
    if level == before or not owns_nb(shard, instrument):
        _note_told_nb(shard, instrument, level)
        return int(level != before)
    if cells.held[Held.FULL]:
        return 0
    if level == BreakerLevel.NORMAL:
        breaker = np.int64(cells.told_by[instrument])
    clear_nb(shard.proposal)
    shard.proposal[SIDE_WORD], shard.proposal[LEVEL_WORD] = 0, before
    action = ask_response_nb(shard, breakers, slot, instrument, level)
    source = FUNCTIONS_MAX + breaker
    legs = shard.numbers[instrument : instrument + 1]
    side = np.int64(0)
    if action & _CANCEL:
        what = (np.int64(SignalKind.CANCEL), source, side, level)
        if not emit_nb(shard, sender, slot, what, legs):
            cells.held[Held.FULL] = 1
            return 0
    if action & _TELL:
        what = (np.int64(SignalKind.BREAKER), source, side, level)
        if not emit_nb(shard, sender, slot, what, legs):
            cells.held[Held.FULL] = 1
            return 0
    _note_told_nb(shard, instrument, level)
    cells.told_by[instrument] = breaker
    return 1


@kernel
def _note_told_nb(shard: Shard, instrument: int, level: int) -> None:
    """The level was told, or is told elsewhere; who looks at the market sees it from now on, and
    who looks at this feed from another.
    """
    shard.cells.due[instrument] = 0
    shard.cells.told[instrument] = level
    if shard.quotes.meta[0] > 0 and owns_nb(shard, instrument):
        _show_level_nb(shard, instrument, level)
    if shard.settings[Setting.MARKET] != Look.NOWHERE:
        shard.market[instrument]["level"] = level


@outline_kernel
def _show_level_nb(shard: Shard, instrument: int, level: int) -> None:
    """Show the level to patterns of other feeds: under the symbol that the instrument has now, and
    no more under the one that it had.
    """
    cells, feed = shard.cells, shard.settings[Setting.FEED]
    symbol, before = np.int64(shard.instruments[instrument]["symbol"]), cells.shown_as[instrument]
    if symbol == 0:
        # As soon as a message names it.
        cells.due[instrument] = int(level > 0)
        return
    if before not in (0, symbol):
        show_level_nb(shard.quotes, before, feed, np.int64(0))
        # An instrument that has that symbol now may be held to a level of its own.
        cells.held[Held.LEFT] = len(shard.numbers)
    if level > 0 or before == symbol:
        show_level_nb(shard.quotes, symbol, feed, level)
    cells.shown_as[instrument] = symbol * int(level > 0)


@outline_kernel
def _settle_others_nb(shard: Shard, breakers: Any, sender: Sender, slot: int, most: int) -> None:
    """Tell of up to `most` instruments that a level changed which holds for many. Without room for
    signals it waits.
    """
    held = shard.cells.held
    clear_nb(shard.out)
    told = np.int64(0)
    for _ in range(min(held[Held.LEFT], np.int64(_LOOKS_A_TICK * most))):
        instrument = held[Held.CURSOR]
        held[Held.CURSOR] = (instrument + 1) % len(shard.numbers)
        held[Held.LEFT] -= 1
        symbol = np.int64(shard.instruments[instrument]["symbol"])
        if symbol == 0:
            # As soon as a message names it.
            shard.cells.due[instrument] = 1
            continue
        if len(shard.cells.sector_symbols) > 0:
            find_sector_nb(shard.cells, instrument, symbol)
        shard.turn[0] = _TURN_OF_OTHERS + told
        told += settle_level_nb(shard, breakers, sender, slot, instrument)
        if held[Held.FULL]:
            held[Held.CURSOR] = instrument
            held[Held.LEFT] += 1
        if told >= most or held[Held.FULL]:
            break
    shard.turn[0] = 0


@kernel
def hear_operator_nb(shard: Shard, breakers: Any, sender: Sender) -> None:
    """Carry out the command that waits, and tell what it changed: no tick need come for that."""
    if load_acquire(shard.control, Control.COMMAND):
        _obey_nb(shard)
        store_release(shard.control, Control.COMMAND, np.int64(0))
    if shard.cells.held[Held.AT_ONCE]:
        _tell_at_once_nb(shard, breakers, sender)


@outline_kernel
def _obey_nb(shard: Shard) -> None:
    """Carry out shard.command."""
    command, cells = shard.command, shard.cells
    breaker, key = command[Order.BREAKER], command[Order.KEY]
    command[Order.RESULT] = 0
    if command[Order.WHAT] == Ask.TELL_POSITION:
        _hear_position_nb(shard, key, command[Order.POSITION])
        return
    last = cells.first[breaker + 1] if breaker + 1 < len(cells.first) else len(cells.rows)
    first = cells.first[breaker]
    if key != ALL_PARTS:
        first += key
        last = first + 1
    for at in range(first, last):
        row = cells.rows[at]
        state, trips = np.int64(row["state"]), np.int64(row["trips"])
        if command[Order.WHAT] == Ask.RESET:
            if state == BreakerState.NORMAL:
                continue
            reset_breaker_nb(cells.rows, at)
        else:
            tuning = cells.tuning[breaker]
            level, for_ns = command[Order.LEVEL], command[Order.FOR_NS]
            trip_breaker_nb(cells.rows, at, level, for_ns, tuning)
        key = at - cells.first[breaker]
        _note_cell_nb(shard, breaker, (at, key), state, trips)
        command[Order.RESULT] += 1
    cells.held[Held.LEFT] = len(shard.numbers)
    cells.held[Held.AT_ONCE] = 1


@kernel
def _hear_position_nb(shard: Shard, instrument: int, position: int) -> None:
    functions = shard.breakers
    if functions.meta[Meta.ASKED] == 0:
        return
    row = functions.rows[functions.meta[Meta.FUNCTIONS] + BreakerLevel.RESTRICTED]
    if row[Fn.STATE_WORDS] < POSITION_WORDS:
        return
    at = row[Fn.STATE_AT] + instrument * row[Fn.STRIDE]
    tell_position_nb(functions.state[at : at + POSITION_WORDS], position)
    shard.command[Order.RESULT] = 1


POSITION_WORDS = 3
"""Words of state of a response that can be told a position."""


@outline_kernel
def _tell_at_once_nb(shard: Shard, breakers: Any, sender: Sender) -> None:
    """Tell of what a command changed, as many as one look at the lanes may cost."""
    shard.cells.held[Held.FULL] = 0
    slot = len(shard.ticks) - 1
    tick = shard.ticks[slot]
    now_ns = now_ns_nb(shard.clocks[Agent.WORKER]) if shard.settings[Setting.TIMED] else np.int64(0)
    tick["ts_rx_ns"] = now_ns
    tick["ts_decoded_ns"] = now_ns
    # Quotes of other feeds go through this row as well.
    tick["kind"] = tick["flags"] = tick["seq"] = tick["ts_exch_ns"] = 0
    tick["bid_price_e9"] = tick["bid_qty"] = tick["ask_price_e9"] = tick["ask_qty"] = 0
    tick["feed"] = shard.settings[Setting.FEED]
    tick["instrument"] = len(shard.numbers)
    _settle_others_nb(shard, breakers, sender, slot, np.int64(_TELLS_AT_ONCE))
    if shard.cells.held[Held.LEFT] == 0:
        shard.cells.held[Held.AT_ONCE] = 0
