"""Which user's function is called for which tick, with which parameters and state.

A *binding* is one function with one choice of instruments, its legs, and a state of its own. A
function without a choice is bound to each instrument alone, and its state found by the instrument's
number. Other bindings name symbols; which numbers those have is known when the feed has told, so a
symbol is looked up once, at the first tick of its instrument, and its place kept. A number that is
given to another symbol, as a new session may do, is taken out of the bindings that had it; they
begin anew once all their instruments are known again.

    tick ──► instrument ──► wanted_by ──► cells of the symbol ──► bindings ──► function, legs, state

Of several shards the one that owns the first leg has the binding; in the others it never becomes
whole, unless its function is needed EVERYWHERE.

The rows belong to the thread that runs the functions.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.calls import PARAM_WORDS
from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.lines import zeros
from feedhandler.core.lookup import place_of_nb
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

LEGS_MAX = 64
STATE_WORDS_MAX = 1 << 16
LINE_WORDS = 8
ROW_WORDS = 16
_APART_LINES = 2
_UNWANTED = -1


class Fn(IntEnum):
    """Words of a function's row."""

    STATE_AT = 0
    STATE_WORDS = 1
    STRIDE = 2
    """From one binding's state to the next one's."""
    FATE = 3
    """What becomes of it when a staged row takes the place of its row, a Fate."""
    COOLDOWN_NS = 4
    BUDGET_NS = 5
    OFF = 6
    """Why it is not called any more, an Off."""
    STRIKES = 7
    KINDS = 9
    """Bits of the kinds of ticks that it is called for; 0: all."""
    EVERYWHERE = 8
    """1: every shard calls it, and so has to see whatever it looks at."""


class Fate(IntEnum):
    """What a function of a staged row is to the one that has its number now."""

    SAME = 0
    """It stays off when it is off."""
    CHANGED = 1
    """It begins without a strike."""
    ANOTHER = 2
    """It counts from 0."""


class Off(IntEnum):
    """Why a function is not called."""

    NO = 0
    FAULT = 1
    """It used an index outside an array."""
    OVERRUNS = 2
    """It took longer than its budget again and again."""
    HUNG = 3
    """It did not return, in this process or in one before; see `feedhandler.server.off_file`."""


class Bound(IntEnum):
    """Words of a binding's row."""

    FUNCTION = 0
    LEGS_AT = 1
    LEGS = 2
    MISSING = 3
    """Legs whose instruments are not known yet."""
    STATE_AT = 4


class Meta(IntEnum):
    """Words of `meta`."""

    FUNCTIONS = 0
    WILD = 1
    """Functions that are bound to each instrument alone."""
    SYMBOLS = 2
    BINDINGS = 3
    LEGS = 4
    """Legs of all bindings together, and so many cells."""
    ASKED = 5
    """Functions behind FUNCTIONS: of breakers the responses, one for each level, or none."""
    ASKS_NORMAL = 6
    """1: the response to the level NORMAL is asked, too, before an order leaves."""
    IS_REBOUND = 7
    """1 where the bindings are others than before; of what is staged."""
    KINDS = 8
    """Bits of Kind: those for which one of the functions in `wild` is called."""


@by_reference
class Functions(NamedTuple):
    """Shapes: rows i64[FUNCTIONS_MAX, 16], params i64[FUNCTIONS_MAX, PARAM_WORDS], state i64[n],
    wild i64[FUNCTIONS_MAX] (numbers of functions); bindings i64[b, 8], legs i64[l] (instruments,
    -1 while not known); symbols i64[s], ascending, the cells of symbol k are first[k] to
    first[k + 1] - 1 of cells i64[l, 2] (binding, place in `legs`); wanted_by i32[instruments]: 0
    not looked up, -1 nobody wants it, else 1 + place in `symbols`.
    """

    meta: NDArray[np.int64]
    rows: NDArray[np.int64]
    params: NDArray[np.int64]
    state: NDArray[np.int64]
    wild: NDArray[np.int64]
    bindings: NDArray[np.int64]
    legs: NDArray[np.int64]
    symbols: NDArray[np.int64]
    first: NDArray[np.int64]
    cells: NDArray[np.int64]
    wanted_by: NDArray[np.int32]


class Use(NamedTuple):
    """How one function is used: words of state a binding, and `bindings`, each a choice of symbols
    (eight little-endian bytes) in order; without any it is bound to each instrument alone. One that
    `fires` may get a cool-down. One that is `asked` is called for no tick, and stands behind all
    others; `always`, at every level. `scope`, `tuning` (words of `Tuning`) and `kinds` are a
    breaker's. `function` is what a state is kept for.
    """

    state_words: int = 16
    cooldown_ns: int = 0
    budget_ns: int = 0
    bindings: Sequence[Sequence[int]] = ()
    asked: bool = False
    always: bool = False
    scope: int = 0
    tuning: tuple[int, ...] = ()
    fires: bool = False
    function: Any = None
    kinds: int = 0

    @property
    def everywhere(self) -> bool:
        """Whether every shard calls it: a breaker whose level others than one instrument's ticks
        decide, or that others' signals depend on.
        """
        return bool(self.tuning) and (self.scope > 0 or bool(self.bindings))

    @property
    def stride(self) -> int:
        """Words from one binding's state to the next one's. Behind the state of one with a
        cool-down stands when the binding fired last.
        """
        words = self.state_words + (self.fires or self.cooldown_ns > 0)
        lines = -(-words // LINE_WORDS)
        # Large ones an odd number of lines apart: by a power of two they would share a few sets of
        # the caches, and push one another out of them.
        return (lines | (lines > _APART_LINES)) * LINE_WORDS


class Room(NamedTuple):
    """What functions that come later may need besides."""

    bindings: int = 0
    legs: int = 0
    state_words: int = 0


def allocate_arrays(sizes: Room, instruments: int) -> Functions:
    """Room for functions, of which there are none yet."""
    bindings, legs, state_words = (max(each, 1) for each in sizes)
    made = Functions(
        meta=zeros(len(Meta)),
        rows=zeros((FUNCTIONS_MAX, ROW_WORDS)),
        params=zeros((FUNCTIONS_MAX, PARAM_WORDS)),
        state=zeros(state_words),
        wild=zeros(FUNCTIONS_MAX),
        bindings=zeros((bindings, LINE_WORDS)),
        legs=zeros(legs),
        symbols=zeros(legs),
        first=zeros(legs + 1),
        cells=zeros((legs, 2)),
        wanted_by=zeros(instruments, np.int32),
    )
    made.legs[:] = -1
    return made


def allocate_staged(functions: Functions) -> Functions:
    """Where other functions are written down that are to take the place of these; state and
    `wanted_by` stay where they are.
    """
    return allocate_arrays(Room(len(functions.bindings), len(functions.legs)), 1)


@kernel
def _begin_anew_nb(functions: Functions, number: int) -> None:
    """Have binding `number` forget all that it knew, and that it ever fired."""
    row = functions.rows[functions.bindings[number, Bound.FUNCTION]]
    first = functions.bindings[number, Bound.STATE_AT]
    for at in range(first, first + row[Fn.STRIDE]):
        functions.state[at] = 0


@outline_kernel
def _take_out_nb(functions: Functions, instrument: int) -> None:
    """Take an instrument out of the bindings that have it."""
    place = np.int64(functions.wanted_by[instrument]) - 1
    for cell in range(functions.first[place], functions.first[place + 1]):
        number, at = functions.cells[cell, 0], functions.cells[cell, 1]
        if functions.legs[at] == instrument:
            functions.legs[at] = -1
            functions.bindings[number, Bound.MISSING] += 1
            _begin_anew_nb(functions, number)


@outline_kernel
def bind_instrument_nb(functions: Functions, instrument: int, symbol: int, own: int) -> int:
    """The instrument, this shard's own one or not, is the one of this symbol: give it to the
    bindings that want it, and to no others. Its word in `wanted_by`, which stays as it is without
    a symbol.
    """
    if symbol == 0:
        return np.int64(functions.wanted_by[instrument])
    place = place_of_nb(functions.symbols, functions.meta[Meta.SYMBOLS], symbol)
    before = np.int64(functions.wanted_by[instrument])
    if before > 0 and before != place + 1:
        _take_out_nb(functions, instrument)
    if place < 0:
        functions.wanted_by[instrument] = _UNWANTED
        return np.int64(_UNWANTED)
    for cell in range(functions.first[place], functions.first[place + 1]):
        number, at = functions.cells[cell, 0], functions.cells[cell, 1]
        binding = functions.bindings[number]
        held = functions.legs[at]
        if held == instrument:
            continue
        if held >= 0:
            # The symbol has another number now: nothing that comes by the old one is its.
            functions.wanted_by[held] = _UNWANTED
            functions.legs[at] = -1
            binding[Bound.MISSING] += 1
            _begin_anew_nb(functions, number)
        everywhere = functions.rows[binding[Bound.FUNCTION], Fn.EVERYWHERE]
        if own or everywhere or at != binding[Bound.LEGS_AT]:
            functions.legs[at] = instrument
            binding[Bound.MISSING] -= 1
    functions.wanted_by[instrument] = place + 1
    return place + 1


@kernel
def may_fire_nb(functions: Functions, function: int, at: int, now_ns: int) -> int:
    """1 unless the binding whose state begins at `at` fired less than its cool-down before
    `now_ns` of event time.
    """
    cooldown_ns = functions.rows[function, Fn.COOLDOWN_NS]
    if cooldown_ns == 0:
        return 1
    place = at + functions.rows[function, Fn.STATE_WORDS]
    fired_ns = functions.state[place] - 1
    # Stamps of two feeds do not come in order; time that goes far back (another day, a clock step)
    # ends the cool-down.
    return int(fired_ns < 0 or abs(now_ns - fired_ns) >= cooldown_ns)


@kernel
def note_fired_nb(functions: Functions, function: int, at: int, now_ns: int) -> None:
    """The binding whose state begins at `at` fired at `now_ns` of event time."""
    if functions.rows[function, Fn.COOLDOWN_NS] > 0:
        functions.state[at + functions.rows[function, Fn.STATE_WORDS]] = now_ns + 1


@kernel
def strike_nb(functions: Functions, function: int, spent_ns: int) -> int:
    """A timed call took `spent_ns`: 1 when it was over the function's budget. Over it again and
    again, that is STRIKES_MAX times more often than a fraction of the timed calls, ends in Off.
    """
    row = functions.rows[function]
    if spent_ns <= row[Fn.BUDGET_NS] or row[Fn.BUDGET_NS] == 0:
        row[Fn.STRIKES] = max(row[Fn.STRIKES] - 1, np.int64(0))
        return 0
    row[Fn.STRIKES] += STRIKE_WEIGHT
    if row[Fn.STRIKES] >= STRIKES_MAX * STRIKE_WEIGHT:
        row[Fn.OFF] = Off.OVERRUNS
    return 1


STRIKE_WEIGHT = 8
"""Timed calls within the budget that make up for one over it."""
STRIKES_MAX = 64
"""Timed calls in a row over its budget after which a function is not called any more."""
