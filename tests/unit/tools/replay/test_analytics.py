"""Bars, price statistics and correlations over a day of the exchange, against numpy."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adapters.nasdaq_itch.adapter import ADAPTER
from feedhandler.core.bars import BAR_WORDS, COMPLETED, bars_of
from feedhandler.core.events import symbol_text
from feedhandler.core.functions import Fn
from feedhandler.core.patterns.correlation import Correlation, correlation_of
from feedhandler.core.price_stats import price_stats_of
from feedhandler.server.config import (
    AnalyticsConfig,
    CorrelationConfig,
    EngineConfig,
    PriorityConfig,
)
from protocols.binaryfile.kernels import index_messages_nb
from protocols.binaryfile.reader import load_bytes
from tests.unit.tools.replay.support import server_config
from tools.exchange.generate import generate_day
from tools.exchange.market.scenario import load_scenario
from tools.exchange.warmup import warm_up_market
from tools.replay.kernels import replay_blocks_nb
from tools.replay.player import Crew, Player

pytestmark = [pytest.mark.compiled_only, pytest.mark.timeout(900)]

MESSAGES, BUSIEST = 400_000, 5
SAMPLE_MS, WINDOW, BAR_SHARES = 60_000, 120, 5_000
IN_ORDER = PriorityConfig(
    from_score=(255,), kinds={}, default_score=0, deep_quote_score=0, large_trade_score=0, moves=()
)
"""One lane for all, so that ticks are looked at in the order of the feed."""


SIZES = EngineConfig(
    instruments=256, orders=1 << 19, level_blocks=1 << 15, level_arena=1 << 19, signal_ring=64
)


class Day:
    """A day that was replayed: its shard, and what the bytes say by themselves."""

    def __init__(self, folder: Path) -> None:
        path = folder / "day.bin"
        scenario = load_scenario("normal-day")
        scenario = msgspec.structs.replace(scenario, messages=MESSAGES)
        generate_day(scenario, 5, path)
        self.buf = load_bytes(path)
        self.names = self._names()
        config = msgspec.structs.replace(
            server_config(()),
            priority=IN_ORDER,
            engine=SIZES,
            groups={"busiest": self._busiest()},
            analytics=AnalyticsConfig(bar_ms=60_000, bar_shares=BAR_SHARES, price_stats=True),
            correlations=(
                CorrelationConfig(
                    name="pairs", pairs_of="busiest", window=WINDOW, sample_ms=SAMPLE_MS
                ),
            ),
        )
        player = Player(config, records_bbo=True)
        player.start_blocks(len(self.buf))
        venue = ADAPTER.venue()
        rows: list[Any] = []

        def keep() -> None:
            rows.extend(part for part, _ in player.bbo)
            player.bbo.clear()

        Crew([player]).run(
            lambda each: replay_blocks_nb(each.shard, venue, each.stages, self.buf, each.cursor),
            keep,
        )
        self.shard = player.shard
        self.bbo = np.concatenate(rows)

    def _blocks(self) -> np.ndarray:
        blocks = np.zeros(2 * MESSAGES, np.int64)
        count, _, _ = index_messages_nb(self.buf, 0, len(self.buf), blocks)
        return blocks[:count] + 2

    def _names(self) -> tuple[str, ...]:
        """Symbols by their number, from the directory messages."""
        at = self._blocks()
        found = {
            int(self.buf[i + 1]) << 8 | int(self.buf[i + 2]): bytes(self.buf[i + 11 : i + 19])
            for i in at[self.buf[at] == ord("R")].tolist()
        }
        return tuple(found[number].decode().strip() for number in sorted(found))

    def _busiest(self) -> tuple[str, ...]:
        counts = Counter(number for _, number, _, _ in self.ticks())
        return tuple(self.names[number - 1] for number, _ in counts.most_common(BUSIEST))

    def ticks(self) -> list[tuple[int, int, int, int]]:
        """(seq, instrument, ts_ns, 1 from where it is halted, 0 from where it trades, else -1)."""
        at = self._blocks()
        words = self.buf[at[:, None] + np.arange(11)].astype(np.int64)
        numbers = (words[:, 1] << 8) + words[:, 2]
        ts_ns = (words[:, 5:] << np.arange(40, -8, -8)).sum(axis=1)
        halts = np.full(len(at), -1)
        status = words[:, 0] == ord("H")
        halts[status] = self.buf[at[status] + 19] != ord("T")
        operational = words[:, 0] == ord("h")
        halts[operational] = self.buf[at[operational] + 20] == ord("H")
        seqs = range(1, len(at) + 1)
        return list(zip(seqs, numbers.tolist(), ts_ns.tolist(), halts.tolist(), strict=True))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    warm_up_market()
    return Day(tmp_path_factory.mktemp("day"))


def returns_of(day: Day, a: int, b: int) -> np.ndarray:
    """Returns of both, 1e-8, i64[n, 2], taken with the first tick of either after each period."""
    quotes = {number: day.bbo[day.bbo["instrument"] == number] for number in (a, b)}
    halted = dict.fromkeys((a, b), 0)
    due_ns, before, found = 0, (0, 0), []
    for seq, number, ts_ns, halt in day.ticks():
        if number not in halted:
            continue
        if halt >= 0:
            halted[number] = halt
        if ts_ns < due_ns:
            continue
        due_ns = (ts_ns // (SAMPLE_MS * 10**6) + 1) * SAMPLE_MS * 10**6
        mids = [mid_at(quotes[each], seq) for each in (a, b)]
        if any(halted.values()) or not all(mids):
            continue
        prices = tuple(mid // 50_000 for mid in mids)
        if all(before):
            found.append([(p - q) * 10**8 // q for p, q in zip(prices, before, strict=True)])
        before = prices
    return np.array(found)


def mid_at(quotes: Any, seq: int) -> int:
    """The middle price after a message; 0 while a side is missing."""
    place = int(np.searchsorted(quotes["seq"], seq, "right")) - 1
    if place < 0 or not (quotes[place]["bid_qty"] and quotes[place]["ask_qty"]):
        return 0
    return (int(quotes[place]["bid_price_e9"]) + int(quotes[place]["ask_price_e9"])) >> 1


@pytest.mark.parametrize("pair", range(BUSIEST * (BUSIEST - 1) // 2))
def test_correlation_and_beta_of_a_day_are_those_of_numpy(day: Day, pair: int):
    functions = day.shard.patterns
    row = functions.rows[0]
    found: Correlation = correlation_of(
        functions.state, int(row[Fn.STATE_AT] + pair * row[Fn.STRIDE])
    )
    a, b = functions.legs[2 * pair : 2 * pair + 2].tolist()
    returns = returns_of(day, a, b)
    assert len(returns) > WINDOW
    window = returns[-WINDOW:]
    assert found.samples == WINDOW
    covariance = np.cov(window[:, 0], window[:, 1])
    correlation = np.corrcoef(window[:, 0], window[:, 1])[0, 1]
    assert found.correlation_e9 / 1e9 == pytest.approx(correlation, rel=0, abs=2e-9)
    beta = covariance[0, 1] / covariance[1, 1]
    assert found.beta_e9 / 1e9 == pytest.approx(beta, rel=1e-9, abs=2e-9)


def test_bars_and_statistics_of_a_day_have_all_that_was_traded(day: Day):
    summaries, instruments = day.shard.summaries, day.shard.instruments
    numbers = np.flatnonzero(instruments["symbol"]).tolist()
    assert [symbol_text(int(instruments["symbol"][i]), i) for i in numbers] == list(day.names)
    for number in numbers:
        completed = int(summaries.volume_bars[number * BAR_WORDS + COMPLETED])
        last, present = bars_of(summaries.volume_bars, number)
        assert last is not None
        volume = completed * BAR_SHARES + (present.volume if present else 0)
        assert volume == instruments["volume"][number]
        stats = price_stats_of(summaries.price_stats, number)
        assert stats is not None
        assert stats.low_e9 <= last.low_e9 <= last.high_e9 <= stats.high_e9
        by_time, _ = bars_of(summaries.time_bars, number)
        assert by_time is not None
        assert by_time.end_ns - by_time.start_ns == 60 * 10**9
