"""Relations of fair values: rows that the kernels of `prices` go by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tools.exchange.market.profiles import Profile
from tools.exchange.market.scenario import BASKET_MAX, Scenario
from tools.exchange.market.tables import LOG_BITS

# Columns of `relations`.
FIRST = 0
"""The symbol that follows."""
MEMBER_COUNT = 1
IS_SUM = 2
TOTAL = 3
"""Sum of the first prices of a basket, each times its weight, in 1/256 ticks."""
NOISE_STEP = 4
"""Standard deviation of a step of the noise, in 2**-40."""
NOISE = 5
"""What the first is from the relation now, as a logarithm in 2**-40."""
MEMBERS = 8
WEIGHTS = MEMBERS + BASKET_MAX
RELATION_WORDS = WEIGHTS + BASKET_MAX

NOISE_BITS = 9
"""A step of 0.1 s forgets 2**-9 of the noise."""
_KEEP = 1 - 1 / (1 << NOISE_BITS)


def relation_rows(scenario: Scenario, profiles: Sequence[Profile]) -> NDArray[np.int64]:
    """A row for each relation. ValueError for a symbol that there is not, and for one that follows
    others and is in another relation as well.
    """
    places = {profile.symbol: index for index, profile in enumerate(profiles)}
    rows = np.zeros((len(scenario.relation), RELATION_WORDS), np.int64)
    names = [name for relation in scenario.relation for name in relation.symbols]
    for row, relation in zip(rows, scenario.relation, strict=True):
        where = f"relation {relation.symbols[0]}"
        for name in relation.symbols:
            if name not in places:
                raise ValueError(f"{where}: {name!r} is not one of the {len(profiles)} symbols")
        if names.count(relation.symbols[0]) > 1:
            raise ValueError(
                f"{where}: the symbol that follows is in another relation too; let others follow"
            )
        members = [places[name] for name in relation.symbols[1:]]
        weights = relation.weights or (1,) * len(members)
        row[FIRST], row[MEMBER_COUNT] = places[relation.symbols[0]], len(members)
        row[IS_SUM] = relation.kind == "basket"
        row[TOTAL] = sum(
            profiles[member].price_ticks * weight << 8
            for member, weight in zip(members, weights, strict=True)
        )
        noise = relation.noise_percent / 100 * (1 - _KEEP**2) ** 0.5
        row[NOISE_STEP] = round(noise * (1 << LOG_BITS))
        row[MEMBERS : MEMBERS + len(members)] = members
        row[WEIGHTS : WEIGHTS + len(members)] = weights
    return rows
