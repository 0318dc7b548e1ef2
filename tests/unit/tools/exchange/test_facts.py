"""Facts are measured as they are defined, and the page about a session is whole."""

import html
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from feedhandler.server.errors import UserError
from protocols.kernel_cache import JIT_ENABLED
from tests.reference.exchange_checker import blocks
from tools.exchange.asked import ASKED_ROWS, asked_findings, load_asked, measure_asked
from tools.exchange.facts import (
    FACTS,
    Symbol,
    autocorrelation,
    correlation,
    kurtosis,
    measure,
    read_samples,
    symbols_of,
    volatility_percent,
)
from tools.exchange.generate import generate_day
from tools.exchange.market.scenario import Scenario
from tools.exchange.plots import Series, histogram, line_plot
from tools.exchange.report import format_finding, report_file
from tools.exchange.sampling import ADDED, REMOVED, SECONDS, TRADED

compiled = pytest.mark.skipif(not JIT_ENABLED, reason="a day takes too long interpreted")


def symbol(logs: np.ndarray) -> Symbol:
    """One whose price is all that counts."""
    none = np.zeros((0, 4), np.int64)
    always = np.ones(SECONDS, np.bool_)
    counts = np.zeros((SECONDS, 3), np.int64)
    return Symbol(logs, np.ones(1), np.ones(1), counts, none, always, always, 1)


def test_moments_and_memory_are_those_of_known_series():
    chance = np.random.default_rng(1)
    normal = chance.standard_normal(200_000)
    assert abs(kurtosis(normal) - 3) < 0.1
    assert kurtosis(np.array([0.0] * 99 + [1.0])) > 50
    assert np.isnan(kurtosis(np.ones(5)))
    assert abs(autocorrelation(normal, 1)) < 0.01
    moving = normal[1:] + normal[:-1]
    assert abs(autocorrelation(moving, 1) - 0.5) < 0.01
    assert abs(autocorrelation(moving, 2)) < 0.01
    assert np.isnan(autocorrelation(np.ones(2), 1))
    assert np.isnan(autocorrelation(np.ones(9), 1))


def test_volatility_and_correlation_are_those_of_the_prices():
    chance = np.random.default_rng(2)
    day = 0.3 / np.sqrt(252)
    shared, own = chance.standard_normal((2, 3, SECONDS)) * day / np.sqrt(SECONDS)
    moves = shared[0] * np.sqrt(0.25) + own * np.sqrt(0.75)
    symbols = [symbol(np.cumsum(each)) for each in moves]
    assert abs(volatility_percent(symbols[0], 1) - 30) < 1
    assert abs(correlation(symbols, 1)[0, 1] - 0.25) < 0.03


@compiled
@pytest.mark.usefixtures("market_kernels")
def test_samples_hold_what_the_messages_say(tmp_path: Path):
    path = tmp_path / "day.bin"
    generate_day(Scenario(symbols=3, messages=20_000, orders_per_symbol=20), 1, path)
    samples = read_samples(path)
    kinds = {"A": ADDED, "F": ADDED, "D": REMOVED, "E": TRADED, "C": TRADED}
    expected = np.zeros((3, 3), np.int64)
    for message in blocks(path.read_bytes()):
        kind, second = chr(message[0]), int.from_bytes(message[5:11], "big") // 10**9 - 34_200
        if kind in kinds and 0 <= second < SECONDS:
            expected[int.from_bytes(message[1:3], "big") - 1, kinds[kind]] += 1
    assert samples.counts.sum(axis=0).tolist() == expected.tolist()
    assert samples.size[0] == expected[:, TRADED].sum()
    two_sided = (samples.bids > 0) & (samples.asks > 0)
    assert two_sided.mean() > 0.5
    assert (samples.bids < samples.asks)[two_sided].all()
    assert (samples.bid_shares[samples.bids > 0] > 0).all()
    assert (samples.ask_shares[samples.asks > 0] > 0).all()
    assert samples.trading.all()


@compiled
@pytest.mark.usefixtures("market_kernels")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_normal_day_has_the_facts_the_volatility_and_the_correlation(seed: int, tmp_path: Path):
    path = tmp_path / "day.bin"
    generate_day(Scenario(symbols=30, messages=3_500_000), seed, path)
    symbols = symbols_of(read_samples(path))
    assert [finding for finding in measure(symbols) if not finding.holds] == []
    asked = load_asked(path)
    assert asked is not None
    measured = measure_asked(asked, symbols)
    findings = asked_findings(asked, symbols, measured)
    # Quotes of a smaller day are later, so that of each symbol and each pair less is asked.
    failed = {finding.name for finding in findings if not finding.holds}
    assert failed <= {"symbols within 5 % of it", "pairs within 0.03 of it"}
    assert np.abs(measured.volatilities - 1).max() < 0.1
    errors = np.abs(measured.errors[np.triu_indices(30, 1)])
    assert errors.max() < 0.15
    assert (errors < 0.03).mean() > 0.8


@compiled
@pytest.mark.usefixtures("market_kernels")
def test_the_report_has_every_fact_and_whole_plots(tmp_path: Path):
    path, page = tmp_path / "day.bin", tmp_path / "day.html"
    generate_day(Scenario(symbols=5, messages=100_000), 1, path)
    found: dict[str, Any] = report_file(path, page)
    assert len(found["facts"]) == 2 * len(FACTS) + ASKED_ROWS
    assert {"worst_symbol", "worst_pair", "in_sectors"} <= set(found["asked"])
    assert msgspec.json.encode(found)
    text = page.read_text()
    for fact in found["facts"]:
        assert html.escape(fact["name"]) in text
        assert fact["group"] in format_finding(fact)
    plots = text.split("<svg")[1:]
    assert len(plots) == 9
    for plot in plots:
        ET.fromstring("<svg" + plot.split("</svg>")[0] + "</svg>")


@compiled
@pytest.mark.usefixtures("market_kernels")
def test_a_session_without_orders_has_no_report(tmp_path: Path):
    path = tmp_path / "day.bin"
    path.write_bytes(bytes(2))
    with pytest.raises(UserError, match="no orders"):
        report_file(path, tmp_path / "day.html")


def test_a_plot_without_points_says_so_and_names_are_text():
    assert "no data" in line_plot("t", "x", [Series("s", np.array([np.nan]), np.ones(1))])
    plot = line_plot("<t>", "x", [Series("<s>", np.arange(3.0), np.ones(3))])
    assert "&lt;t&gt;" in plot
    assert "&lt;s&gt;" in plot
    assert "polyline" in plot


def test_a_histogram_is_a_density():
    middles, density = histogram(np.array([0.5, 0.5, 1.5]), 2, 0, 2)
    assert middles.tolist() == [0.5, 1.5]
    assert density.tolist() == [2 / 3, 1 / 3]
