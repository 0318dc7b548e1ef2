from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from feedhandler.core.api import (
    OUT_WORDS,
    STATE_WORDS,
    StageError,
    _explain,
    compile_stage,
    fill_places,
    no_stage_nb,
    pattern,
)
from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.stages import drain_lanes_nb
from tests.unit.feedhandler.core.support import (
    Engine,
    blank_ticks,
    packet,
    state_of,
    system_event,
)


@pattern("threshold", "size")
def marked(ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any) -> int:
    state[0] += 1
    return int(ticks[slot]["qty"] > params[0] + out[0])


def allocates(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    size = len([slot, slot])
    return ticks[slot]["side"] + state[0] + params[0] + out[0] + size


def misspells(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    out[0] = params[0] + state[0]
    return ticks[slot]["quantity"]


def invents(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    return ticks[slot]["qty"] + params[0] + state[0] + out[0] + no_such_name  # noqa: F821


def test_stage_names_its_parameters_in_order():
    assert marked.params == ("threshold", "size")


def test_a_parameter_that_begins_anew_has_to_be_one():
    with pytest.raises(ValueError, match="begins_anew: window: no such parameter"):
        pattern("value", begins_anew=("window",))


def test_marked_function_is_still_a_plain_function():
    state = np.zeros(STATE_WORDS, np.int64)
    params, out = np.array([5, 0]), np.zeros(OUT_WORDS, np.int64)
    assert marked(blank_ticks(qty=6), 0, None, None, params, state, out) == 1
    assert state[0] == 1


def test_compiled_stage_is_called_by_the_loop_of_the_stages():
    engine = Engine(breakers=[compile_stage(marked)])
    engine.take(packet(1, [system_event(), system_event()]))
    assert drain_lanes_nb(engine.shard, *engine.stages, 10) == 2
    assert state_of(engine.shard.breakers, 0)[0] == 2


@pytest.mark.compiled_only
@pytest.mark.parametrize(
    ("function", "line", "reason"),
    [
        (allocates, 3, "it allocates memory"),
        (misspells, 4, "Field 'quantity' was not found in record"),
        (invents, 0, "name 'no_such_name' is not defined"),
    ],
)
def test_function_that_does_not_compile_is_named_with_file_line_and_reason(
    function: Callable[..., int], line: int, reason: str
):
    with pytest.raises(StageError) as caught:
        compile_stage(function)
    text = str(caught.value)
    where = f"{__file__}:{function.__code__.co_firstlineno + line}"
    assert text.startswith(f"{where}: {function.__name__} does not compile: ")
    assert reason in text
    assert "\n" not in text


@pytest.mark.compiled_only
def test_function_with_the_wrong_number_of_arguments_is_named():
    def too_few(ticks: Any, slot: int) -> int:
        return slot

    with pytest.raises(StageError, match=r"test_api\.py:\d+: too_few does not compile: .*argument"):
        compile_stage(too_few)


def test_report_without_line_or_reason_still_names_the_function():
    assert _explain("Failed in nopython mode pipeline\n", 7) == (7, "no reason given")
    assert _explain('TypeError: bad\nFile "x.py", line 12:\n', 7) == (12, "TypeError: bad")
    assert _explain("NRT required but not enabled", 7)[1].startswith("it allocates memory")


def test_empty_places_do_nothing():
    places = fill_places([compile_stage(marked)], FUNCTIONS_MAX)
    assert len(places) == FUNCTIONS_MAX
    assert no_stage_nb(blank_ticks(), 0, *[None] * 5) == 0


def test_more_functions_than_places_are_refused():
    with pytest.raises(StageError, match="65 functions configured, at most 64 are possible"):
        fill_places([marked] * 65, FUNCTIONS_MAX)
