"""Fair values: geometric Brownian motion with a volatility that has a path of its own, jumps, and
factors that symbols share; in integers throughout.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel, outline_kernel
from tools.exchange.layout import BASE_TICK, LEVEL_COUNT, RANDOM
from tools.exchange.market.layout import (
    BETA_MARKET,
    BETA_SECTOR,
    CHANCE_OF_JUMP,
    FACTOR,
    FACTOR_STEP,
    FIRST_PRICE,
    JUMP,
    PART,
    SECTOR,
    SEEN,
    SHIFT,
    STEP,
    STEP_SIZE,
    Market,
)
from tools.exchange.market.paths import FIRST_STEP, STEPS_A_SECOND
from tools.exchange.market.tables import ENTRIES, EXP_BITS, EXP_STEP_BITS, EXP_STEPS, LOG_BITS
from tools.exchange.rng import random_nb

_MASK = ENTRIES - 1
_ROOT_OF_STEPS = round(STEPS_A_SECOND**0.5 * (1 << 16))
_ENTRY_BITS = 12
_LIMIT = (9 << LOG_BITS) // 10
"""Logarithm that no price goes beyond: 0.9."""
_EDGE = 64
"""Levels that a fair value keeps from the ends of its symbol's window."""


@kernel
def normal_nb(market: Market) -> int:
    """A number of the normal law, in 2**-16."""
    return market.draws.normal[random_nb(market.engine.state, RANDOM) & _MASK]


@outline_kernel
def move_factors_nb(market: Market) -> None:
    """One more step of the market and of every sector."""
    step = market.words[STEP]
    scale = market.scale[min(step // STEPS_A_SECOND, market.scale.shape[0] - 1)]
    made = step - FIRST_STEP
    is_made = 0 <= made < market.moves.shape[0]
    for factor in range(market.factors.shape[0]):
        size = (market.factors[factor, FACTOR_STEP] * scale) >> 16
        move = np.int64(market.moves[made, factor]) if is_made else normal_nb(market)
        market.factors[factor, FACTOR] += (size * move) >> 16
    market.words[STEP] = step + 1


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
        own[PART] += _own_move_nb(market, own, step, many)
        step += STEPS_A_SECOND if many else 1
    own[SEEN] = last


@kernel
def _own_move_nb(market: Market, own: NDArray[np.int64], step: int, many: int) -> int:
    """What a symbol's own part moves by in a step, or in the second that begins with it."""
    draw = random_nb(market.engine.state, RANDOM)
    size = (own[STEP_SIZE] * market.scale[step // STEPS_A_SECOND]) >> 16
    chance = market.words[CHANCE_OF_JUMP]
    if many:
        size = (size * _ROOT_OF_STEPS) >> 16
        chance *= STEPS_A_SECOND
    move = (size * market.draws.normal[draw & _MASK]) >> 16
    # The bits above choose a few steps, of which a second number chooses again.
    if (draw >> _ENTRY_BITS) & _MASK == 0:
        again = random_nb(market.engine.state, RANDOM)
        if again >> _ENTRY_BITS < chance:
            move += (market.words[JUMP] * normal_nb(market)) >> 16
    return move


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
    catch_up_nb(market, symbol)
    own = market.own[symbol]
    shared = market.factors[0]
    sector = market.factors[1 + own[SECTOR]]
    common = own[BETA_MARKET] * (shared[FACTOR] >> 8) + own[BETA_SECTOR] * (sector[FACTOR] >> 8)
    logarithm = own[PART] + (common >> 8) + shared[SHIFT] + sector[SHIFT]
    return (own[FIRST_PRICE] * power_nb(market, logarithm)) >> EXP_BITS


@kernel
def fair_level_nb(market: Market, symbol: int) -> int:
    """Level of the highest price that a buyer is willing to pay: the fair value, rounded down."""
    level = (fair_value_nb(market, symbol) >> 8) - market.engine.symbols[symbol, BASE_TICK]
    return min(max(level, _EDGE), market.engine.symbols[symbol, LEVEL_COUNT] - _EDGE)


@outline_kernel
def shock_nb(market: Market, scope: int, size: int) -> None:
    """Move the fair values of a scope (SHOCK_SCOPE) by a logarithm."""
    if scope >= 0:
        market.factors[scope, SHIFT] += size
    else:
        symbol = np.int64(-1 - scope)
        catch_up_nb(market, symbol)
        market.own[symbol, PART] += size
