"""Fair values: geometric Brownian motion with a volatility that has a path of its own, jumps, and
factors that symbols share; or what follows from others by a relation. In integers throughout.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel, outline_kernel
from tools.exchange.layout import BASE_TICK, LEVEL_COUNT, RANDOM
from tools.exchange.market.layout import (
    FACTOR_STEP,
    FIRST_FACTOR,
    FIRST_PRICE,
    LEFT,
    NEXT_JUMP,
    PART,
    RELATION,
    SECTOR,
    SEEN,
    STEP,
    STEP_SIZE,
    Market,
)
from tools.exchange.market.own_paths import MINUTE_BITS
from tools.exchange.market.paths import FIRST_STEP, STEPS, STEPS_A_MINUTE, STEPS_A_SECOND
from tools.exchange.market.relations import (
    IS_SUM,
    MEMBER_COUNT,
    MEMBERS,
    NOISE,
    NOISE_BITS,
    NOISE_STEP,
    TOTAL,
    WEIGHTS,
)
from tools.exchange.market.tables import ENTRIES, EXP_BITS, EXP_STEP_BITS, EXP_STEPS, LOG_BITS
from tools.exchange.rng import random_nb

_MASK = ENTRIES - 1
_ROOT_OF_STEPS = round(STEPS_A_SECOND**0.5 * (1 << 16))
_LIMIT = (9 << LOG_BITS) // 10
"""Logarithm that no price goes beyond: 0.9."""
_RATIO_BITS = 24
_EDGE = 64
"""Levels that a fair value keeps from the ends of its symbol's window."""


@outline_kernel
def move_factors_nb(market: Market) -> None:
    """One more step of the factors; outside of market hours they move once a second."""
    words = market.words
    step = words[STEP]
    words[STEP] = step + 1
    second = min(step // STEPS_A_SECOND, market.scale.shape[0] - 1)
    made = step - FIRST_STEP
    is_made = 0 <= made < STEPS
    if not is_made and step % STEPS_A_SECOND:
        return
    moves = market.steps[made] if is_made else market.seconds[second]
    size = (words[FACTOR_STEP] * market.scale[second]) >> 16
    for factor in range(market.factors.shape[0]):
        market.factors[factor] += (size * moves[factor]) >> 16


@outline_kernel
def catch_up_nb(market: Market, symbol: int) -> None:
    """Make the steps of the symbol's own part that it has not made yet."""
    own = market.own[symbol]
    last = market.words[STEP]
    step = own[SEEN]
    while step < last:
        # A whole second at once where all of it is due: ten normal numbers are one of ten times the
        # variance, and a quiet symbol has many seconds to make up for.
        many = step % STEPS_A_SECOND == 0 and step + STEPS_A_SECOND <= last
        if FIRST_STEP <= step < FIRST_STEP + STEPS:
            own[PART] += _bridge_nb(market, symbol, step - FIRST_STEP, many)
        else:
            own[PART] += _free_move_nb(market, own, step, many)
        step += STEPS_A_SECOND if many else 1
    own[SEEN] = last
    jumps = market.own_paths.jumps
    while jumps[own[NEXT_JUMP], 0] < last:
        own[PART] += jumps[own[NEXT_JUMP], 1]
        own[NEXT_JUMP] += 1


@kernel
def _bridge_nb(market: Market, symbol: int, made: int, many: int) -> int:
    """What a symbol's own part moves by in a step of market hours, or in the second that begins
    with it, on its way to where it is at the end of the minute.
    """
    own, paths = market.own[symbol], market.own_paths
    if made % STEPS_A_MINUTE == 0:
        own[LEFT] = np.int64(paths.minutes[symbol, made // STEPS_A_MINUTE]) << MINUTE_BITS
    bridge = paths.seconds[made // STEPS_A_SECOND] if many else paths.steps[made]
    noise = (own[STEP_SIZE] * bridge[1] >> 16) * _normal_nb(market)
    move = (own[LEFT] * bridge[0] + noise) >> 16
    own[LEFT] -= move
    return move


@kernel
def _free_move_nb(market: Market, own: NDArray[np.int64], step: int, many: int) -> int:
    """The same outside of market hours, on its way to nowhere."""
    size = (own[STEP_SIZE] * market.scale[step // STEPS_A_SECOND]) >> 16
    if many:
        size = (size * _ROOT_OF_STEPS) >> 16
    return (size * _normal_nb(market)) >> 16


@kernel
def _normal_nb(market: Market) -> int:
    """A number of the normal law, in 2**-16."""
    return market.draws.normal[random_nb(market.engine.state, RANDOM) & _MASK]


@kernel
def power_nb(market: Market, logarithm: int) -> int:
    """exp of a logarithm in 2**-40, taken as -0.9 or 0.9 where it is beyond, in 2**-30."""
    logarithm = min(max(logarithm, -_LIMIT), _LIMIT)
    index = logarithm >> EXP_STEP_BITS
    rest = logarithm - (index << EXP_STEP_BITS)
    power = market.draws.powers[index + EXP_STEPS]
    # exp(r) = 1 + r + r * r / 2, as r is below 2**-10: off by 2e-10 at most.
    once = (power * rest) >> LOG_BITS
    return power + once + ((once * rest) >> (LOG_BITS + 1))


@outline_kernel
def fair_value_nb(market: Market, symbol: int) -> int:
    """Fair value in 1/256 ticks, as of the last step."""
    if market.own[symbol, RELATION]:
        return _related_value_nb(market, symbol)
    return _walked_value_nb(market, symbol)


@kernel
def _walked_value_nb(market: Market, symbol: int) -> int:
    """That of a symbol which follows no others."""
    catch_up_nb(market, symbol)
    own = market.own[symbol]
    common = np.int64(0)
    for place in range(market.loadings.shape[1]):
        common += market.loadings[symbol, place] * (market.factors[own[FIRST_FACTOR] + place] >> 8)
    logarithm = own[PART] + (common >> 8) + market.shifts[0] + market.shifts[1 + own[SECTOR]]
    return (own[FIRST_PRICE] * power_nb(market, logarithm)) >> EXP_BITS


@outline_kernel
def _related_value_nb(market: Market, symbol: int) -> int:
    """That of a symbol which follows others, and what it has parted from them by."""
    own = market.own[symbol]
    relation = market.relations[own[RELATION] - 1]
    value = own[FIRST_PRICE]
    total = np.int64(0)
    for place in range(relation[MEMBER_COUNT]):
        member = relation[MEMBERS + place]
        found = _walked_value_nb(market, member)
        if relation[IS_SUM]:
            total += found * relation[WEIGHTS + place]
        else:
            value = value * found // market.own[member, FIRST_PRICE]
    if relation[IS_SUM]:
        # 20 values of 2**27, each times up to 100: below 2**62 with 24 bits more.
        value = (value * ((total << _RATIO_BITS) // relation[TOTAL])) >> _RATIO_BITS
    return (value * power_nb(market, own[PART] + relation[NOISE])) >> EXP_BITS


@outline_kernel
def move_relations_nb(market: Market) -> None:
    """One more step of the noise that relations hold within."""
    for index in range(market.relations.shape[0]):
        relation = market.relations[index]
        relation[NOISE] -= relation[NOISE] >> NOISE_BITS
        relation[NOISE] += (relation[NOISE_STEP] * _normal_nb(market)) >> 16


@kernel
def fair_level_nb(market: Market, symbol: int) -> int:
    """Level of the highest price that a buyer is willing to pay: the fair value, rounded down."""
    level = (fair_value_nb(market, symbol) >> 8) - market.engine.symbols[symbol, BASE_TICK]
    return min(max(level, _EDGE), market.engine.symbols[symbol, LEVEL_COUNT] - _EDGE)


@outline_kernel
def shock_nb(market: Market, scope: int, size: int) -> None:
    """Move the fair values of a scope (SHOCK_SCOPE) by a logarithm."""
    if scope >= 0:
        market.shifts[scope] += size
    else:
        symbol = np.int64(-1 - scope)
        if market.own[symbol, RELATION] == 0:
            catch_up_nb(market, symbol)
        market.own[symbol, PART] += size
