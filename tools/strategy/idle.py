"""Functions that do nothing but count their calls, one for each way to look at the market: what a
function costs is what it takes longer than the one of its kind.
"""

from collections.abc import Callable
from typing import Any

from feedhandler.core.api import breaker
from feedhandler.core.market import Look

STATE_WORDS = 8


@breaker(state_words=STATE_WORDS)
def alone_nowhere(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Of one instrument; the market is not kept."""
    state[0] += 1
    return 0


@breaker(state_words=STATE_WORDS)
def alone_prices(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Of one instrument; prices of the market are kept."""
    state[0] += market[legs[0]]["bid_qty"] >= 0
    return 0


@breaker(state_words=STATE_WORDS)
def alone_analytics(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Of one instrument; the market is kept with all analytics."""
    state[0] += market[legs[0]]["volume"] >= 0
    return 0


@breaker(legs=0, state_words=STATE_WORDS)
def several_nowhere(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Of several instruments; the market is not kept."""
    state[0] += 1
    return 0


@breaker(legs=0, state_words=STATE_WORDS)
def several_analytics(
    ticks: Any, slot: int, market: Any, legs: Any, params: Any, state: Any, out: Any
) -> int:
    """Of several instruments; the market is kept with all analytics."""
    state[0] += market[legs[0]]["volume"] >= 0
    return 0


def idle_like(look: Look, legs: int) -> str:
    """The one that looks as far as a function with so many `legs`, as a configuration names it."""
    alone: dict[Look, Callable[..., int]] = {
        Look.NOWHERE: alone_nowhere,
        Look.PRICES: alone_prices,
        Look.ANALYTICS: alone_analytics,
    }
    several = several_nowhere if look == Look.NOWHERE else several_analytics
    chosen = alone[look] if legs == 1 else several
    return f"{__name__}:{chosen.__name__}"
