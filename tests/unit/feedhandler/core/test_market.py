"""Rows and settings of the analytics."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.features import forget_depths_nb
from feedhandler.core.market import (
    DECAY_STEPS,
    DEPTH_UNKNOWN,
    FEATURE_STATE,
    LIMITS,
    MARKET,
    FeatureSettings,
    MarketFlag,
    Span,
    allocate_features,
    allocate_rows,
    set_spans,
)


def test_a_row_is_three_cache_lines_of_words_and_the_state_begins_with_one():
    assert MARKET.itemsize == 192
    assert len(MARKET.names) == 24
    assert FEATURE_STATE.itemsize % 64 == 0
    assert FEATURE_STATE.names[:24] == MARKET.names
    for row in (MARKET, FEATURE_STATE):
        assert {row.fields[name][0] for name in row.names} == {np.dtype("i8")}


def test_flags_are_single_bits():
    assert sorted(MarketFlag) == [1, 2]


def test_nothing_is_known_at_first():
    features, rows = allocate_features(3), allocate_rows(4)
    assert features.state.shape == (3,)
    assert rows.shape == (4,)
    assert not features.state.view(np.int64).any()
    assert not rows.view(np.int64).any()


def test_the_decay_halves_in_its_steps():
    decay = allocate_features(1).decay
    assert decay[0] == 2**20
    assert decay[DECAY_STEPS // 2] == round(2**20 / 2**0.5)
    assert (np.diff(decay) < 0).all()
    assert decay[-1] > 2**19


def test_spans_follow_from_the_settings():
    spans = allocate_features(1, FeatureSettings(realised_ns=8_000_000, mid_floor_e4=3)).spans
    assert spans[Span.BUCKET_NS] == 1_000_000
    assert spans[Span.DECAY_NS] == 15_625_000
    assert spans[Span.MID_FLOOR_Q4] == 96
    assert spans[Span.RATE_FACTOR] == round(0.6931471805599453 * 2**20)


def edges() -> list[Any]:
    found = []
    for name, (lowest, highest) in LIMITS.items():
        found += [(name, lowest, -1), (name, highest, 1)]
    return found


@pytest.mark.parametrize(("name", "edge", "step"), edges())
def test_a_setting_out_of_its_limits_is_refused(name: str, edge: int, step: int):
    spans = np.zeros(16, np.int64)
    set_spans(spans, FeatureSettings(**{name: edge}))
    before = spans.copy()
    with pytest.raises(ValueError, match=f"{name} is {edge + step}: it must be "):
        set_spans(spans, FeatureSettings(**{name: edge + step}))
    assert (spans == before).all()


def test_limits_are_those_of_every_setting():
    assert tuple(LIMITS) == FeatureSettings._fields


def test_depths_are_forgotten_when_books_are_replaced():
    features = allocate_features(2)
    forget_depths_nb(features)
    assert features.state["bid_depth_price_e9"].tolist() == [DEPTH_UNKNOWN] * 2
    assert features.state["ask_depth_price_e9"].tolist() == [DEPTH_UNKNOWN] * 2
