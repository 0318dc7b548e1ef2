"""Analytics of an instrument, brought up to date with each tick: from the tick and FEATURE_STATE to
a MARKET row. The thread that receives has the state; `market.py` has the memory.

O(1) a tick: two comparisons say that no period is over and no price is new, as for most ticks.
Nothing overflows, whatever a message states: prices and traded quantities count as `trades` says,
each other sum has its limit below. Divisors are 1 or more.
"""

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import Book
from feedhandler.core.book.queue import depth_nb
from feedhandler.core.event_time import FAR_BACK_NS, event_ns_nb, period_end_nb
from feedhandler.core.events import Flag, Kind
from feedhandler.core.market import (
    BUCKETS,
    DECAY_BITS,
    DECAY_STEPS,
    DEPTH_UNKNOWN,
    Features,
    MarketFlag,
    Span,
)
from feedhandler.core.recording import highest_bit
from feedhandler.core.trades import price_e4_nb, printed_qty_nb
from protocols.jit import kernel, outline_kernel

_ONE_E9 = 1_000_000_000
_BPS = 10_000
_LEVEL_QTY_LIMIT = (1 << 48) - 1
_VOLUME_LIMIT = 1 << 61
_BUCKET_LIMIT_E18 = 1 << 59

_SUM_ONE = 1 << 16
_SUM_LIMIT = 1 << 42
_DECAY_SHIFT = 6
# Whatever the sum was, so many steps leave nothing of it.
_DECAY_ALL = 43 << _DECAY_SHIFT

_RATE_LIMIT_Q4 = 1 << 33
_OFF_LIMIT_Q4 = 1 << 31
_Z_LIMIT_E3 = 1_000_000
_Z_ONE = 1_000
SAMPLES_MIN = 32
"""A z-score is 0 until its mean and variance have so many samples."""
_SAMPLES_LIMIT = 1 << 30


@kernel
def share_bps_nb(bid_qty: int, ask_qty: int) -> int:
    """(bid - ask) / (bid + ask), -10,000 .. 10,000, rounded down; 0 where there is nothing."""
    bid = min(max(bid_qty, 0), _LEVEL_QTY_LIMIT)
    total = bid + min(max(ask_qty, 0), _LEVEL_QTY_LIMIT)
    if total == 0:
        return np.int64(0)
    return bid * (2 * _BPS) // total - _BPS


@kernel
def _off_q4_nb(value: int, mean_q12: int) -> int:
    """How far a value is from a mean, 4 binary digits."""
    return min(max(((value << 12) - mean_q12) >> 8, -_OFF_LIMIT_Q4), _OFF_LIMIT_Q4)


@kernel
def _z_e3_nb(value: int, mean_q12: int, deviation_q4: int, samples: int) -> int:
    """How far a value is from its mean, in standard deviations / 1,000, rounded down."""
    if samples < SAMPLES_MIN:
        return np.int64(0)
    score = _off_q4_nb(value, mean_q12) * _Z_ONE // max(deviation_q4, 1)
    return min(max(score, -_Z_LIMIT_E3), _Z_LIMIT_E3)


@kernel
def _sampled_nb(
    value: int, mean_q12: int, variance_q8: int, samples: int, memory_shift: int
) -> tuple[int, int]:
    """(mean, variance) with one more sample, which has a weight of 2**-memory_shift, or of one of
    all so far while they are fewer (rounded up to a power of two).
    """
    if samples == 0:
        return value << 12, np.int64(0)
    shift = min(memory_shift, highest_bit(samples + 1))
    off_q4 = _off_q4_nb(value, mean_q12)
    grown = variance_q8 + ((off_q4 * off_q4) >> shift)
    return mean_q12 + (((value << 12) - mean_q12) >> shift), grown - (grown >> shift)


@kernel
def _deviation_nb(variance_q8: int, floor_q4: int) -> int:
    return max(np.int64(np.sqrt(np.float64(variance_q8))), floor_q4)


@kernel
def _score_quote_nb(features: Features, number: int) -> None:
    """z-scores of mid and spread; 0 while a side is missing."""
    own = features.state[np.uint64(number)]
    if own["mid_e9"] == 0:
        own["mid_z_e3"] = 0
        own["spread_z_e3"] = 0
        return
    samples = np.int64(own["quote_samples"])
    own["mid_z_e3"] = _z_e3_nb(
        np.int64(own["twice_mid_e4"]),
        np.int64(own["mid_mean_q12"]),
        np.int64(own["mid_deviation_q4"]),
        samples,
    )
    own["spread_z_e3"] = _z_e3_nb(
        _spread_e4_nb(features, number),
        np.int64(own["spread_mean_q12"]),
        np.int64(own["spread_deviation_q4"]),
        samples,
    )


@kernel
def _spread_e4_nb(features: Features, number: int) -> int:
    own = features.state[np.uint64(number)]
    bid_e4 = price_e4_nb(np.int64(own["bid_price_e9"]))
    return price_e4_nb(np.int64(own["ask_price_e9"])) - bid_e4


@kernel
def _show_rates_nb(features: Features, number: int) -> None:
    """Rates a second of the decayed sums, and the z-score of the messages'."""
    own = features.state[np.uint64(number)]
    factor = features.spans[Span.RATE_FACTOR]
    # 42 digits of a sum, less 8, and 28 of the factor.
    rate_q4 = min(((np.int64(own["message_sum_q16"]) >> 8) * factor) >> 24, _RATE_LIMIT_Q4)
    own["rate_q4"] = rate_q4
    own["message_rate"] = rate_q4 >> 4
    own["message_rate_z_e3"] = _z_e3_nb(
        rate_q4,
        np.int64(own["rate_mean_q12"]),
        np.int64(own["rate_deviation_q4"]),
        np.int64(own["rate_samples"]),
    )
    own["trade_rate"] = ((np.int64(own["trade_sum_q16"]) >> 8) * factor) >> 28


@kernel
def _decayed_nb(features: Features, total: int, steps: int) -> int:
    factor = features.decay[steps & (DECAY_STEPS - 1)]
    return ((total >> (steps >> _DECAY_SHIFT)) * factor) >> DECAY_BITS


@kernel
def _decay_nb(features: Features, number: int, now_ns: int) -> None:
    """Let the sums of messages and trades decay for the steps that are over."""
    own = features.state[np.uint64(number)]
    step_ns = features.spans[Span.DECAY_NS]
    end_ns = np.int64(own["decay_end_ns"])
    steps = min((now_ns - end_ns) // step_ns + 1, _DECAY_ALL)
    own["message_sum_q16"] = _decayed_nb(features, np.int64(own["message_sum_q16"]), steps)
    own["trade_sum_q16"] = _decayed_nb(features, np.int64(own["trade_sum_q16"]), steps)
    own["decay_end_ns"] = period_end_nb(now_ns, step_ns)
    _show_rates_nb(features, number)


@kernel
def _sample_quote_nb(features: Features, number: int) -> None:
    own = features.state[np.uint64(number)]
    spans = features.spans
    samples = np.int64(own["quote_samples"])
    shift = spans[Span.MEMORY_SHIFT]
    mean, variance = _sampled_nb(
        np.int64(own["twice_mid_e4"]),
        np.int64(own["mid_mean_q12"]),
        np.int64(own["mid_variance_q8"]),
        samples,
        shift,
    )
    own["mid_mean_q12"] = mean
    own["mid_variance_q8"] = variance
    own["mid_deviation_q4"] = _deviation_nb(variance, spans[Span.MID_FLOOR_Q4])
    mean, variance = _sampled_nb(
        _spread_e4_nb(features, number),
        np.int64(own["spread_mean_q12"]),
        np.int64(own["spread_variance_q8"]),
        samples,
        shift,
    )
    own["spread_mean_q12"] = mean
    own["spread_variance_q8"] = variance
    own["spread_deviation_q4"] = _deviation_nb(variance, spans[Span.SPREAD_FLOOR_Q4])
    own["quote_samples"] = min(samples + 1, _SAMPLES_LIMIT)
    _score_quote_nb(features, number)


@kernel
def _sample_rate_nb(features: Features, number: int) -> None:
    own = features.state[np.uint64(number)]
    samples = np.int64(own["rate_samples"])
    mean, variance = _sampled_nb(
        np.int64(own["rate_q4"]),
        np.int64(own["rate_mean_q12"]),
        np.int64(own["rate_variance_q8"]),
        samples,
        features.spans[Span.MEMORY_SHIFT],
    )
    own["rate_mean_q12"] = mean
    own["rate_variance_q8"] = variance
    own["rate_deviation_q4"] = _deviation_nb(variance, features.spans[Span.RATE_FLOOR_Q4])
    own["rate_samples"] = min(samples + 1, _SAMPLES_LIMIT)


@kernel
def _show_realised_nb(features: Features, number: int, total_e18: int) -> None:
    own = features.state[np.uint64(number)]
    own["realised_e18"] = total_e18
    own["realised_e9"] = np.int64(np.sqrt(np.float64(total_e18)))


@kernel
def _turn_bucket_nb(features: Features, number: int, now_ns: int) -> None:
    """Lay the present part of the window by, and drop those that are out of it."""
    own = features.state[np.uint64(number)]
    buckets = features.buckets[np.uint64(number)]
    length_ns = features.spans[Span.BUCKET_NS]
    before = np.int64(own["bucket_end_ns"]) // length_ns - 1
    present = now_ns // length_ns
    buckets[before & (BUCKETS - 1)] = own["bucket_e18"]
    for i in range(1, min(present - before, BUCKETS) + 1):
        buckets[(before + i) & (BUCKETS - 1)] = 0
    total = np.int64(0)
    for i in range(BUCKETS):
        total += buckets[i]
    own["bucket_e18"] = 0
    own["bucket_end_ns"] = (present + 1) * length_ns
    _show_realised_nb(features, number, total)


@kernel
def _note_next_nb(features: Features, number: int) -> None:
    own = features.state[np.uint64(number)]
    sooner = min(np.int64(own["decay_end_ns"]), np.int64(own["sample_end_ns"]))
    own["next_ns"] = min(sooner, np.int64(own["bucket_end_ns"]))


@outline_kernel
def _turn_nb(features: Features, number: int, now_ns: int) -> None:
    """Some period of an instrument is over: what was so until then is sampled and laid by."""
    own = features.state[np.uint64(number)]
    if now_ns >= own["decay_end_ns"]:
        _decay_nb(features, number, now_ns)
    if now_ns >= own["sample_end_ns"]:
        # Not of an instrument that its first message is about to bring.
        if own["seq"] != 0:
            _sample_rate_nb(features, number)
            if own["mid_e9"] != 0:
                _sample_quote_nb(features, number)
        own["sample_end_ns"] = period_end_nb(now_ns, features.spans[Span.SAMPLE_NS])
    if now_ns >= own["bucket_end_ns"]:
        _turn_bucket_nb(features, number, now_ns)
    _note_next_nb(features, number)


@outline_kernel
def _go_back_nb(features: Features, number: int, now_ns: int) -> int:
    """A stamp is before the clock: the time that holds, which begins anew for one far back."""
    own = features.state[np.uint64(number)]
    clock_ns = np.int64(own["clock_ns"])
    if clock_ns - now_ns < FAR_BACK_NS:
        return clock_ns
    own["decay_end_ns"] = period_end_nb(now_ns, features.spans[Span.DECAY_NS])
    own["sample_end_ns"] = period_end_nb(now_ns, features.spans[Span.SAMPLE_NS])
    buckets = features.buckets[np.uint64(number)]
    for i in range(BUCKETS):
        buckets[i] = 0
    own["bucket_e18"] = 0
    own["bucket_end_ns"] = period_end_nb(now_ns, features.spans[Span.BUCKET_NS])
    _show_realised_nb(features, number, np.int64(0))
    _note_next_nb(features, number)
    return now_ns


@kernel
def _move_mid_nb(features: Features, number: int, twice_e4: int) -> None:
    """Take a new mid into the realised variance."""
    own = features.state[np.uint64(number)]
    before = np.int64(own["twice_mid_e4"])
    own["twice_mid_e4"] = twice_e4
    if before <= 0 or before == twice_e4:
        return
    return_e9 = min(max((twice_e4 - before) * _ONE_E9 // before, -_ONE_E9), _ONE_E9)
    square = min(return_e9 * return_e9, _BUCKET_LIMIT_E18 - np.int64(own["bucket_e18"]))
    own["bucket_e18"] += square
    _show_realised_nb(features, number, np.int64(own["realised_e18"]) + square)


@kernel
def _take_quote_nb(
    features: Features, number: int, bid: tuple[int, int], ask: tuple[int, int]
) -> None:
    """Take new best prices, each (price in 1e-9, quantity)."""
    own = features.state[np.uint64(number)]
    own["bid_price_e9"], own["bid_qty"] = bid
    own["ask_price_e9"], own["ask_qty"] = ask
    own["imbalance_bps"] = share_bps_nb(bid[1], ask[1])
    own["mid_e9"] = 0
    if bid[1] > 0 and ask[1] > 0:
        twice_e4 = price_e4_nb(bid[0]) + price_e4_nb(ask[0])
        if twice_e4 > 0:
            # The sum of two halves, as two prices together may be more than a word holds.
            own["mid_e9"] = (bid[0] >> 1) + (ask[0] >> 1) + (bid[0] & ask[0] & 1)
            _move_mid_nb(features, number, twice_e4)
    _score_quote_nb(features, number)


@kernel
def _take_trade_nb(
    features: Features, number: int, ticks: NDArray[np.void], slot: int, qty: int
) -> None:
    own = features.state[np.uint64(number)]
    tick = ticks[np.uint64(slot)]
    kind = np.int64(tick["kind"])
    own["last_price_e9"] = max(np.int64(tick["price_e9"]), 0)
    own["last_qty"] = qty
    own["last_side"] = 0
    if kind == Kind.EXECUTE or kind == Kind.EXECUTE_AT_PRICE:
        # The tick has the side of the order that rested.
        own["last_side"] = -np.int64(tick["side"])
    own["volume"] = min(np.int64(own["volume"]) + qty, _VOLUME_LIMIT)
    own["trade_sum_q16"] = min(np.int64(own["trade_sum_q16"]) + _SUM_ONE, _SUM_LIMIT)


@kernel
def copy_row_nb(
    source: NDArray[np.void], source_idx: int, rows: NDArray[np.void], row_idx: int
) -> None:
    """rows[row_idx] = source[source_idx], of which either may be a FEATURE_STATE; not the level,
    which is the worker's.
    """
    a = source[np.uint64(source_idx)]
    b = rows[np.uint64(row_idx)]
    # Eight loads, then eight stores become vectors. Word by word a copy took 3 to 5 ns more (AMD
    # EPYC, Numba 0.68.1): each store might change what is loaded next.
    eight = (
        a["seq"],
        a["ts_exch_ns"],
        a["bid_price_e9"],
        a["bid_qty"],
        a["ask_price_e9"],
        a["ask_qty"],
        a["mid_e9"],
        a["last_price_e9"],
    )
    (
        b["seq"],
        b["ts_exch_ns"],
        b["bid_price_e9"],
        b["bid_qty"],
        b["ask_price_e9"],
        b["ask_qty"],
        b["mid_e9"],
        b["last_price_e9"],
    ) = eight
    eight = (
        a["last_qty"],
        a["last_side"],
        a["volume"],
        a["vwap_e9"],
        a["volatility_e9"],
        a["realised_e9"],
        a["imbalance_bps"],
        a["depth_imbalance_bps"],
    )
    (
        b["last_qty"],
        b["last_side"],
        b["volume"],
        b["vwap_e9"],
        b["volatility_e9"],
        b["realised_e9"],
        b["imbalance_bps"],
        b["depth_imbalance_bps"],
    ) = eight
    six = (
        a["spread_z_e3"],
        a["mid_z_e3"],
        a["message_rate"],
        a["message_rate_z_e3"],
        a["trade_rate"],
        a["flags"],
    )
    (
        b["spread_z_e3"],
        b["mid_z_e3"],
        b["message_rate"],
        b["message_rate_z_e3"],
        b["trade_rate"],
        b["flags"],
    ) = six


@kernel
def market_flags_nb(flags: int) -> int:
    """Flags of a tick as those of a row."""
    in_doubt = np.int64(flags & Flag.IN_DOUBT != 0)
    halted = np.int64(flags & Flag.HALTED != 0)
    return in_doubt * MarketFlag.IN_DOUBT + halted * MarketFlag.HALTED


@kernel
def features_nb(
    features: Features, rows: NDArray[np.void], ticks: NDArray[np.void], slot: int
) -> None:
    """Bring the instrument of ticks[slot] up to date, and write its row to rows[slot].

    After `analyse_nb`, which completes the tick, and `refresh_depth_nb`.
    """
    tick = ticks[np.uint64(slot)]
    number = np.int64(tick["instrument"])
    own = features.state[np.uint64(number)]
    now_ns = np.int64(event_ns_nb(np.int64(tick["ts_exch_ns"])))
    if now_ns >= own["next_ns"]:
        _turn_nb(features, number, now_ns)
    elif now_ns < own["clock_ns"]:
        now_ns = np.int64(_go_back_nb(features, number, now_ns))
    own["clock_ns"] = now_ns
    bid = (np.int64(tick["bid_price_e9"]), np.int64(tick["bid_qty"]))
    ask = (np.int64(tick["ask_price_e9"]), np.int64(tick["ask_qty"]))
    if (
        bid[0] != own["bid_price_e9"]
        or bid[1] != own["bid_qty"]
        or ask[0] != own["ask_price_e9"]
        or ask[1] != own["ask_qty"]
    ):
        _take_quote_nb(features, number, bid, ask)
    qty = printed_qty_nb(ticks, slot)
    if qty > 0:
        _take_trade_nb(features, number, ticks, slot, qty)
    own["message_sum_q16"] = min(np.int64(own["message_sum_q16"]) + _SUM_ONE, _SUM_LIMIT)
    _show_rates_nb(features, number)
    own["seq"] = tick["seq"]
    own["ts_exch_ns"] = tick["ts_exch_ns"]
    own["vwap_e9"] = tick["vwap_e9"]
    own["volatility_e9"] = tick["volatility_e9"]
    own["flags"] = market_flags_nb(np.int64(tick["flags"]))
    copy_row_nb(features.state, number, rows, slot)


@kernel
def _refresh_side_nb(features: Features, book: Book, number: int, is_ask: int) -> None:
    own = features.state[np.uint64(number)]
    levels = features.spans[Span.DEPTH_LEVELS]
    qty, price_e9 = depth_nb(book, 2 * number + is_ask, levels)
    if is_ask:
        own["ask_depth"] = qty
        own["ask_depth_price_e9"] = price_e9
    else:
        own["bid_depth"] = qty
        own["bid_depth_price_e9"] = price_e9


@kernel
def refresh_depth_nb(features: Features, book: Book, ticks: NDArray[np.void], slot: int) -> None:
    """After the book took ticks[slot]: what stands at the best levels, where the tick may have
    changed that; at the end of a message of several parts.
    """
    tick = ticks[np.uint64(slot)]
    number = np.int64(tick["instrument"])
    own = features.state[np.uint64(number)]
    kind = np.int64(tick["kind"])
    flags = np.int64(tick["flags"])
    bid_last_e9 = np.int64(own["bid_depth_price_e9"])
    ask_last_e9 = np.int64(own["ask_depth_price_e9"])
    both = kind >= Kind.SET_LEVEL or bid_last_e9 == DEPTH_UNKNOWN or flags & Flag.SETTLES != 0
    if flags & Flag.PART or not (both or kind <= Kind.REPLACE):
        return
    # A replaced order was somewhere else, and an execution at a price was not at that one.
    anywhere = both or kind == Kind.REPLACE or kind == Kind.EXECUTE_AT_PRICE
    side = np.int64(tick["side"])
    price_e9 = np.int64(tick["price_e9"])
    if both or (side > 0 and (anywhere or price_e9 >= bid_last_e9)):
        _refresh_side_nb(features, book, number, np.int64(0))
    if both or (side < 0 and (anywhere or ask_last_e9 == 0 or price_e9 <= ask_last_e9)):
        _refresh_side_nb(features, book, number, np.int64(1))
    own["depth_imbalance_bps"] = share_bps_nb(
        np.int64(own["bid_depth"]), np.int64(own["ask_depth"])
    )


@outline_kernel
def forget_depths_nb(features: Features) -> None:
    """The books were replaced as a whole: what stands at their best levels is looked up anew."""
    for number in range(features.state.shape[0]):
        features.state[number]["bid_depth_price_e9"] = DEPTH_UNKNOWN
        features.state[number]["ask_depth_price_e9"] = DEPTH_UNKNOWN


@kernel
def move_forward_nb(
    market: NDArray[np.void], instrument: int, rows: NDArray[np.void], slot: int
) -> int:
    """market[instrument] = rows[slot] if that is of a later tick; 1 then, else 0. Its level stays.

    The worker's: ticks of one instrument may come to it out of order.
    """
    if rows[np.uint64(slot)]["seq"] <= market[np.uint64(instrument)]["seq"]:
        return np.int64(0)
    copy_row_nb(rows, slot, market, instrument)
    return np.int64(1)


@kernel
def move_prices_nb(market: NDArray[np.void], ticks: NDArray[np.void], slot: int) -> int:
    """Take what ticks[slot] tells of its instrument's PRICE_FIELDS if it is a later tick; 1 then,
    else 0.
    """
    tick = ticks[np.uint64(slot)]
    row = market[np.uint64(tick["instrument"])]
    if tick["seq"] <= row["seq"]:
        return np.int64(0)
    # All is loaded before anything is stored, as in `copy_row_nb`.
    bid_e9, bid_qty = np.int64(tick["bid_price_e9"]), np.int64(tick["bid_qty"])
    ask_e9, ask_qty = np.int64(tick["ask_price_e9"]), np.int64(tick["ask_qty"])
    when = tick["seq"], tick["ts_exch_ns"]
    worth = tick["vwap_e9"], tick["volatility_e9"]
    flags = market_flags_nb(np.int64(tick["flags"]))
    row["seq"], row["ts_exch_ns"] = when
    row["bid_price_e9"], row["bid_qty"] = bid_e9, bid_qty
    row["ask_price_e9"], row["ask_qty"] = ask_e9, ask_qty
    row["mid_e9"] = ((bid_e9 + ask_e9) >> 1) * np.int64((bid_qty > 0) & (ask_qty > 0))
    row["vwap_e9"], row["volatility_e9"] = worth
    row["flags"] = flags
    return np.int64(1)
