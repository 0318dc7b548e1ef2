"""The built-in circuit breakers, each written as a user would write one; how they work, and why the
defaults are what they are: `docs/breakers.md`.
"""

from collections.abc import Callable, Mapping

from feedhandler.core.breakers.clock_step import clock_step
from feedhandler.core.breakers.latency import latency
from feedhandler.core.breakers.market_decline import market_decline
from feedhandler.core.breakers.message_rate import message_rate
from feedhandler.core.breakers.price_band import price_band
from feedhandler.core.breakers.spread import spread
from feedhandler.core.breakers.stale import stale
from feedhandler.core.breakers.volatility import volatility

_MS_NS = 1_000_000
_S_NS = 1_000_000_000
_MINUTE_NS = 60 * _S_NS
_HOUR_NS = 60 * _MINUTE_NS
_OPEN_NS = 9 * _HOUR_NS + 30 * _MINUTE_NS
_CLOSE_NS = 16 * _HOUR_NS

BUILT_IN: Mapping[str, Callable[..., int]] = {
    function.__name__: function
    for function in (
        price_band,
        volatility,
        spread,
        message_rate,
        stale,
        clock_step,
        latency,
        market_decline,
    )
}

DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "price_band": {
        "tier": 1,
        "band_bps": 0,
        "caution_pct": 60,
        "restrict_pct": 80,
        "halt_pct": 100,
        "window_ns": 5 * _MINUTE_NS,
        "hold_ns": 30 * _S_NS,
        "step_bps": 100,
        "open_ns": _OPEN_NS,
        "close_ns": _CLOSE_NS,
        "opening_ns": 0,
        "closing_ns": 25 * _MINUTE_NS,
    },
    "volatility": {
        "caution_pct": 800,
        "restrict_pct": 1_500,
        "halt_pct": 3_000,
        "floor_e9": 2_000_000,
        "sample_ns": _S_NS,
        "warm_samples": 60,
        "shift": 10,
        "open_ns": _OPEN_NS,
        "close_ns": _CLOSE_NS,
    },
    "spread": {
        "caution_pct": 500,
        "restrict_pct": 1_000,
        "halt_pct": 2_500,
        "caution_bps": 200,
        "restrict_bps": 500,
        "halt_bps": 1_000,
        "one_sided_level": 0,
        "floor_e3bps": 1_000,
        "sample_ns": _S_NS,
        "warm_samples": 60,
        "shift": 10,
        "open_ns": _OPEN_NS,
        "close_ns": _CLOSE_NS,
        "persist_ns": _S_NS,
    },
    "message_rate": {
        "caution_pct": 2_000,
        "restrict_pct": 5_000,
        "halt_pct": 0,
        "caution_rate": 20_000,
        "restrict_rate": 50_000,
        "halt_rate": 0,
        "bucket_ns": 100 * _MS_NS,
        "floor_rate": 100,
        "warm_buckets": 100,
        "shift": 10,
    },
    "stale": {
        "caution_times": 20,
        "restrict_times": 60,
        "halt_times": 0,
        "silence_ns": 5 * _S_NS,
        "usual_max_ns": 10 * _S_NS,
        "sample_ns": _S_NS,
        "warm_samples": 60,
        "shift": 8,
        "doubt_level": 1,
        "open_ns": _OPEN_NS,
        "close_ns": _CLOSE_NS,
    },
    "clock_step": {
        "caution_ns": 10 * _MS_NS,
        "restrict_ns": 100 * _MS_NS,
        "halt_ns": _S_NS,
        "settle_ns": 10 * _S_NS,
        "shift": 10,
    },
    "latency": {
        "caution_ns": _MS_NS,
        "restrict_ns": 10 * _MS_NS,
        "halt_ns": 100 * _MS_NS,
        "strikes": 64,
    },
    "market_decline": {
        "level1_bps": 700,
        "level2_bps": 1_300,
        "level3_bps": 2_000,
        "caution_bps": 500,
        "restrict_bps": 600,
        "open_ns": _OPEN_NS,
        "close_ns": _CLOSE_NS,
        "late_ns": 15 * _HOUR_NS + 25 * _MINUTE_NS,
        "halt_ns": 15 * _MINUTE_NS,
        "quorum_pct": 50,
    },
}
"""Parameters by the name of the function; what the configuration gives replaces single ones."""

for _name, _function in BUILT_IN.items():
    _function.defaults = DEFAULTS[_name]  # type: ignore[attr-defined]

__all__ = [
    "BUILT_IN",
    "DEFAULTS",
    "clock_step",
    "latency",
    "market_decline",
    "message_rate",
    "price_band",
    "spread",
    "stale",
    "volatility",
]
