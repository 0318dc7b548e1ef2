"""Analytics of hostile and of plausible ticks against the slow twin; depth against whole books."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedhandler.core.book.apply import apply_part_nb, apply_tick_nb
from feedhandler.core.book.kernels import Outcome
from feedhandler.core.book.layout import allocate_book
from feedhandler.core.book.views import levels
from feedhandler.core.events import TICK, Flag, Kind
from feedhandler.core.features import features_nb, forget_depths_nb, refresh_depth_nb, share_bps_nb
from feedhandler.core.market import (
    Features,
    FeatureSettings,
    allocate_features,
    allocate_rows,
)
from tests.property.test_levels import CAPACITY, INSTRUMENT, Pair, messages
from tests.reference.slow_features import SlowFeatures

WORD = 2**63 - 1
MS = 1_000_000
E9 = 100_000
SETTINGS = FeatureSettings(
    realised_ns=80 * MS, half_life_ns=64 * MS, sample_ns=3 * MS, memory_shift=5
)

kinds = st.sampled_from([Kind.ADD, Kind.EXECUTE, Kind.EXECUTE_AT_PRICE, Kind.TRADE, Kind.DELETE])
hostile = st.one_of(
    st.sampled_from([0, 1, E9, (2**32 - 1) * E9, 2**61, 2**62]), st.integers(0, 2**62)
)
plausible = st.integers(9_900, 10_100).map(lambda price_e4: price_e4 * E9)


def ticks_of(prices: st.SearchStrategy[int], steps_ns: st.SearchStrategy[int]) -> Any:
    quantities = st.one_of(st.integers(0, 3), st.integers(0, WORD))
    return st.lists(
        st.fixed_dictionaries(
            {
                "step_ns": steps_ns,
                "kind": kinds,
                "side": st.sampled_from([1, -1]),
                "flags": st.sampled_from([0, 0, 0, 1, 8, 16, 31]),
                "price_e9": prices,
                "qty": quantities,
                "bid_price_e9": prices,
                "bid_qty": quantities,
                "ask_price_e9": prices,
                "ask_qty": quantities,
                "vwap_e9": st.integers(0, WORD),
                "volatility_e9": st.integers(0, 10**9),
            }
        ),
        max_size=30,
    )


def twin_of(settings: FeatureSettings) -> SlowFeatures:
    return SlowFeatures(**settings._asdict())


def compare(sequence: list[dict[str, int]], settings: FeatureSettings) -> None:
    features, rows, ticks = allocate_features(2, settings), allocate_rows(3), np.zeros(3, TICK)
    slow, ts_ns = twin_of(settings), 0
    for seq, values in enumerate(sequence, 1):
        ts_ns = min(max(ts_ns + values["step_ns"], -WORD), WORD)
        tick = {**values, "seq": seq, "ts_exch_ns": ts_ns, "instrument": 1}
        slot = seq % len(ticks)
        for name in set(tick) & set(TICK.names):
            ticks[slot][name] = tick[name]
        features_nb(features, rows, ticks, slot)
        expected = slow.tick(tick)
        assert {name: int(rows[slot][name]) for name in expected} == expected
    assert not any(features.state[0].item())


hours = st.integers(-2 * 3_600_000 * MS, 2 * 3_600_000 * MS)
any_steps = st.one_of(st.integers(0, 5 * MS), st.integers(-30_000 * MS, 30_000 * MS), hours)


@given(ticks_of(hostile, st.one_of(any_steps, st.integers(-WORD, WORD))))
def test_rows_are_those_of_the_slow_twin_whatever_messages_say(sequence: list[dict[str, int]]):
    compare(sequence, SETTINGS)


@given(ticks_of(plausible, st.integers(0, 4 * MS)), st.integers(1, 9), st.integers(4, 300))
def test_rows_of_plausible_ticks_are_those_of_the_slow_twin(
    sequence: list[dict[str, int]], memory_shift: int, half_life_ms: int
):
    settings = SETTINGS._replace(memory_shift=memory_shift, half_life_ns=half_life_ms * MS)
    compare(sequence * 4, settings)


def test_many_samples_of_a_market_that_moves_are_those_of_the_slow_twin():
    chance = np.random.default_rng(5)
    mids = 10_000 + np.cumsum(chance.integers(-3, 4, 400))
    sequence = [
        {
            "step_ns": int(chance.integers(0, 8 * MS)),
            "kind": int(chance.choice([Kind.ADD, Kind.EXECUTE])),
            "side": 1,
            "flags": 0,
            "price_e9": int(mid) * E9,
            "qty": 100,
            "bid_price_e9": int(mid - chance.integers(1, 5)) * E9,
            "bid_qty": 100,
            "ask_price_e9": int(mid + chance.integers(1, 5)) * E9,
            "ask_qty": 300,
            "vwap_e9": 0,
            "volatility_e9": 0,
        }
        for mid in mids
    ]
    compare(sequence, SETTINGS)


@given(st.integers(-5, 2**63 - 1), st.integers(-5, 2**63 - 1))
def test_an_imbalance_is_within_its_range_and_of_two_sides(bid: int, ask: int):
    share = share_bps_nb(bid, ask)
    assert -10_000 <= share <= 10_000
    if max(bid, ask) < 2**48 and min(bid, ask) > 0:
        assert share == 20_000 * bid // (bid + ask) - 10_000


def expect_depths(features: Features, book: Any, instrument: int, count: int) -> None:
    own = features.state[instrument]
    depths = []
    for side, name in ((1, "bid"), (-1, "ask")):
        found = list(levels(book, instrument, side))
        depths.append(sum(qty for _, qty, _ in found[:count]))
        assert own[f"{name}_depth"] == depths[-1]
    assert own["depth_imbalance_bps"] == share_bps_nb(*depths)


@given(messages, st.integers(1, 7))
def test_depth_is_that_of_the_best_levels_after_every_message_of_parts(
    conversation: list[list[tuple[Any, ...]]], count: int
):
    pair = Pair(E9)
    features = allocate_features(2, SETTINGS._replace(depth_levels=count))
    for message in conversation:
        for number, part in enumerate(message, 1):
            is_last = number == len(message)
            ticks = pair.tick(part, Flag.SETTLES if is_last else Flag.PART)
            outcome = apply_part_nb(pair.fast, ticks, 0)
            if outcome != Outcome.OK and is_last:
                ticks[0]["kind"] = Kind.SETTLE
            if outcome == Outcome.OK or is_last:
                refresh_depth_nb(features, pair.fast, ticks, 0)
        expect_depths(features, pair.fast, INSTRUMENT, count)


orders = st.lists(
    st.tuples(
        st.sampled_from([Kind.ADD] * 4 + [Kind.EXECUTE, Kind.CANCEL, Kind.DELETE, Kind.REPLACE]),
        st.integers(0, 11),
        st.sampled_from([1, -1]),
        st.one_of(st.integers(1, 9).map(lambda cents: 100 * cents), st.integers(1, 40_000)),
        st.integers(1, 9),
    ),
    max_size=60,
)


@given(orders, st.integers(1, 5), st.integers(0, 60))
def test_depth_is_that_of_the_best_levels_after_every_order(
    sequence: list[tuple[Kind, int, int, int, int]], count: int, forgotten_at: int
):
    book = allocate_book(CAPACITY._replace(orders=16, level_blocks=64))
    features = allocate_features(2, SETTINGS._replace(depth_levels=count))
    for number, (kind, ref, side, price_e4, qty) in enumerate(sequence):
        ticks = np.zeros(1, TICK)
        tick = ticks[0]
        tick["kind"], tick["instrument"], tick["side"], tick["order_ref"] = kind, 1, side, ref
        tick["price_e9"], tick["qty"], tick["aux"] = price_e4 * E9, qty, (ref + 1) % 12
        if number == forgotten_at:
            forget_depths_nb(features)
            features.state["bid_depth"] = features.state["ask_depth"] = 10**6
        if apply_tick_nb(book, ticks, 0) in (Outcome.OK, Outcome.OVERFILL):
            refresh_depth_nb(features, book, ticks, 0)
            expect_depths(features, book, 1, count)


@pytest.mark.parametrize("gap_ms", [1, 7, 40])
def test_a_steady_rate_is_told_to_a_percent(gap_ms: int):
    settings = FeatureSettings(half_life_ns=2_000 * MS)
    features, rows, ticks = allocate_features(1, settings), allocate_rows(1), np.zeros(1, TICK)
    for i in range(20_000 // gap_ms):
        ticks[0]["seq"], ticks[0]["ts_exch_ns"] = i + 1, i * gap_ms * MS
        features_nb(features, rows, ticks, 0)
    # The newest message counts whole, and half of one in the mean.
    expected = 1_000 / gap_ms + math.log(2) / 2 / 2
    assert rows[0]["message_rate"] == pytest.approx(expected, rel=0.01, abs=1.5)
