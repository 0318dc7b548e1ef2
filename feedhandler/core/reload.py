"""Other functions, parameters and bindings for a worker that runs, taken between two ticks.

    control plane   write staged rows, parameters, places; zero state that is new ──► FUNCTIONS = 1
    worker          copy what is staged over what it uses                         ──► FUNCTIONS = 0

Whatever a tick meets is all old or all new. The state of what stays the same lies where it lay
(`function_layout`), so that nothing of it is copied. What is staged is the control plane's while
the word is 0, and the worker's while it is 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.atomics import store_release
from feedhandler.core.away import AwayWord
from feedhandler.core.breaker_machine import TUNING_WORDS
from feedhandler.core.calls import PARAM_WORDS, allocate_places
from feedhandler.core.counts import FUNCTIONS_MAX, Count, Histogram
from feedhandler.core.functions import (
    LINE_WORDS,
    ROW_WORDS,
    Bound,
    Fate,
    Fn,
    Functions,
    Meta,
    allocate_staged,
)
from feedhandler.core.lines import zeros
from protocols.by_reference import by_reference
from protocols.jit import kernel, outline_kernel

_COPIED_META = int(Meta.IS_REBOUND)


@by_reference
class Staged(NamedTuple):
    """What is to take the place of a shard's functions; the places are FUNCTIONS_MAX each, tunings
    i64[breakers, TUNING_WORDS].
    """

    breakers: Functions
    patterns: Functions
    breaker_places: Any
    pattern_places: Any
    tunings: NDArray[np.int64]


def allocate_stage(breakers: Functions, patterns: Functions, tunings: int) -> Staged:
    """Room for what may take the place of these, and of so many tunings."""
    places = (allocate_places(FUNCTIONS_MAX), allocate_places(FUNCTIONS_MAX))
    staged = (allocate_staged(breakers), allocate_staged(patterns))
    return Staged(*staged, *places, zeros((tunings, TUNING_WORDS)))


@kernel
def _take_rows_nb(
    functions: Functions, staged: Functions, counts: NDArray[np.int64], first: int
) -> None:
    """Rows and parameters; a function that stays the same stays off if it is. `first` is the first
    row of its kind in counters.
    """
    functions.meta[Meta.KINDS] = staged.meta[Meta.KINDS]
    for i in range(FUNCTIONS_MAX):
        row = functions.rows[i]
        off, strikes = row[Fn.OFF], row[Fn.STRIKES]
        for word in range(ROW_WORDS):
            row[word] = staged.rows[i, word]
        if row[Fn.FATE] == Fate.SAME:
            row[Fn.OFF], row[Fn.STRIKES] = off, strikes
        row[Fn.FATE] = Fate.SAME
        counts[Count.FUNCTION_OFF + first + i, 0] = row[Fn.OFF]
        for word in range(PARAM_WORDS):
            functions.params[i, word] = staged.params[i, word]


@kernel
def _forget_counts_nb(
    staged: Functions, counts: NDArray[np.int64], histograms: NDArray[np.int64], first: int
) -> None:
    """Who gets the number of another one counts from 0."""
    for i in range(FUNCTIONS_MAX):
        if staged.rows[i, Fn.FATE] == Fate.ANOTHER:
            counts[Count.FUNCTION_OVERRUNS + first + i, 0] = 0
            if first > 0:
                counts[Count.PATTERN_SIGNALS + i, 0] = 0
                counts[Count.PATTERN_REPEATS + i, 0] = 0
            for word in range(histograms.shape[1]):
                histograms[Histogram.FUNCTION + first + i, word] = 0


@kernel
def _leave_to_others_nb(functions: Functions, place: int, owned: NDArray[np.uint8]) -> None:
    """Choices that begin with the symbol at `place`, which is another shard's, are called there."""
    for cell in range(functions.first[place], functions.first[place + 1]):
        number, at = functions.cells[cell, 0], functions.cells[cell, 1]
        binding = functions.bindings[number]
        everywhere = functions.rows[binding[Bound.FUNCTION], Fn.EVERYWHERE]
        own = len(owned) == 1 or owned[functions.legs[at] & (len(owned) - 1)]
        if at == binding[Bound.LEGS_AT] and not (own or everywhere):
            functions.legs[at] = -1
            binding[Bound.MISSING] += 1


@kernel
def _take_bindings_nb(
    functions: Functions,
    staged: Functions,
    instruments: NDArray[np.void],
    owned: NDArray[np.uint8],
) -> None:
    """Bindings with their legs. Instruments are looked up anew, but for those that were known when
    this was staged, and have the same symbol still.
    """
    for word in range(_COPIED_META):
        functions.meta[word] = staged.meta[word]
    for i in range(staged.meta[Meta.WILD]):
        functions.wild[i] = staged.wild[i]
    for i in range(staged.meta[Meta.BINDINGS]):
        for word in range(LINE_WORDS):
            functions.bindings[i, word] = staged.bindings[i, word]
    for i in range(staged.meta[Meta.LEGS]):
        functions.legs[i] = staged.legs[i]
        functions.cells[i, 0] = staged.cells[i, 0]
        functions.cells[i, 1] = staged.cells[i, 1]
    for i in range(len(functions.wanted_by)):
        functions.wanted_by[i] = 0
    functions.first[0] = 0
    for i in range(staged.meta[Meta.SYMBOLS]):
        functions.symbols[i] = staged.symbols[i]
        functions.first[i + 1] = staged.first[i + 1]
        instrument = functions.legs[functions.cells[functions.first[i], 1]]
        if instrument < 0:
            continue
        if np.int64(instruments[instrument]["symbol"]) == functions.symbols[i]:
            functions.wanted_by[instrument] = i + 1
            _leave_to_others_nb(functions, i, owned)
            continue
        for cell in range(functions.first[i], functions.first[i + 1]):
            functions.legs[functions.cells[cell, 1]] = -1
            functions.bindings[functions.cells[cell, 0], Bound.MISSING] += 1


@kernel
def _take_tunings_nb(tunings: NDArray[np.int64], staged: NDArray[np.int64]) -> None:
    for i in range(tunings.shape[0]):
        for word in range(TUNING_WORDS):
            tunings[i, word] = staged[i, word]


@kernel
def _take_places_nb(places: Any, staged: Any) -> None:
    for i in range(FUNCTIONS_MAX):
        places[i] = staged[i]


@outline_kernel
def take_functions_nb(shard: Any, breakers: Any, patterns: Any, word: int) -> None:
    """Let what is staged take the place of what the worker has used so far, and write 0 to
    control[word].
    """
    staged, owned = shard.staged, shard.split.owned
    counts, histograms = shard.counts, shard.histograms
    _forget_counts_nb(staged.breakers, counts, histograms, np.int64(0))
    _forget_counts_nb(staged.patterns, counts, histograms, np.int64(FUNCTIONS_MAX))
    _take_rows_nb(shard.breakers, staged.breakers, counts, np.int64(0))
    _take_rows_nb(shard.patterns, staged.patterns, counts, np.int64(FUNCTIONS_MAX))
    if staged.breakers.meta[Meta.IS_REBOUND]:
        _take_bindings_nb(shard.breakers, staged.breakers, shard.instruments, owned)
    if staged.patterns.meta[Meta.IS_REBOUND]:
        _take_bindings_nb(shard.patterns, staged.patterns, shard.instruments, owned)
        shard.away.words[AwayWord.IS_UNBOUND] = shard.away.words[AwayWord.ROOM] > 0
    _take_tunings_nb(shard.cells.tuning, staged.tunings)
    _take_places_nb(breakers, staged.breaker_places)
    _take_places_nb(patterns, staged.pattern_places)
    store_release(shard.control, word, np.int64(0))
