"""The built-in patterns, each written as a user would write one; `docs/patterns.md` says what they
see.

`BUILT_IN` names them all, and `DEFAULTS` has the parameters of each, chosen for a quiet market.
"""

from collections.abc import Callable, Mapping

from feedhandler.core.patterns.basket import DEFAULTS as _BASKET
from feedhandler.core.patterns.basket import basket
from feedhandler.core.patterns.crossed import DEFAULTS as _CROSSED
from feedhandler.core.patterns.crossed import crossed
from feedhandler.core.patterns.iceberg import DEFAULTS as _ICEBERG
from feedhandler.core.patterns.iceberg import iceberg
from feedhandler.core.patterns.imbalance import DEFAULTS as _IMBALANCE
from feedhandler.core.patterns.imbalance import imbalance_with_trade
from feedhandler.core.patterns.lead_lag import DEFAULTS as _LEAD_LAG
from feedhandler.core.patterns.lead_lag import lead_lag
from feedhandler.core.patterns.momentum_burst import DEFAULTS as _MOMENTUM_BURST
from feedhandler.core.patterns.momentum_burst import momentum_burst
from feedhandler.core.patterns.pair_spread import DEFAULTS as _PAIR_SPREAD
from feedhandler.core.patterns.pair_spread import pair_spread
from feedhandler.core.patterns.quote_stuffing import DEFAULTS as _QUOTE_STUFFING
from feedhandler.core.patterns.quote_stuffing import quote_stuffing
from feedhandler.core.patterns.sweep import DEFAULTS as _SWEEP
from feedhandler.core.patterns.sweep import sweep
from feedhandler.core.patterns.triangle import DEFAULTS as _TRIANGLE
from feedhandler.core.patterns.triangle import triangle

__all__ = [
    "BUILT_IN",
    "DEFAULTS",
    "basket",
    "crossed",
    "iceberg",
    "imbalance_with_trade",
    "lead_lag",
    "momentum_burst",
    "pair_spread",
    "quote_stuffing",
    "sweep",
    "triangle",
]

_ALL: tuple[tuple[Callable[..., int], Mapping[str, int]], ...] = (
    (pair_spread, _PAIR_SPREAD),
    (lead_lag, _LEAD_LAG),
    (basket, _BASKET),
    (triangle, _TRIANGLE),
    (crossed, _CROSSED),
    (momentum_burst, _MOMENTUM_BURST),
    (imbalance_with_trade, _IMBALANCE),
    (quote_stuffing, _QUOTE_STUFFING),
    (sweep, _SWEEP),
    (iceberg, _ICEBERG),
)

BUILT_IN: Mapping[str, Callable[..., int]] = {each.__name__: each for each, _ in _ALL}
DEFAULTS: Mapping[str, Mapping[str, int]] = {each.__name__: values for each, values in _ALL}

for _function, _values in _ALL:
    _function.defaults = _values  # type: ignore[attr-defined]
