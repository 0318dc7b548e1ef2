"""Orders of clients without a socket: random commands between the messages of the flow."""

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.itch50.spec import BY_TYPE
from tests.reference.exchange_checker import check
from tools.exchange.day import NS_PER_MS, NS_PER_S, OPEN_NS
from tools.exchange.desk import (
    COMMAND,
    IMMEDIATE,
    IN_FORCE,
    MARKET,
    REPORT,
    SHARES_MAX,
    Command,
    Reason,
    Report,
    allocate_desk,
    pop_reports_nb,
    push_command_nb,
    take_commands_nb,
    tell_fill_nb,
)
from tools.exchange.history import allocate_history, packet_slice_nb
from tools.exchange.itch_writer import LENGTH_BYTES, TIMESTAMP
from tools.exchange.layout import (
    ATTRIBUTION,
    BASE_TICK,
    BUY,
    CLOCK_NS,
    CLOSING_COUNT,
    EMITTED,
    FAIR,
    FAIR_SHIFT,
    FILLED_SHARES,
    FILLED_SLOT,
    FIRST_REFERENCE_SHIFT,
    FIRST_ROW,
    HALTED,
    LEVEL_QUANTITY,
    NEXT_BROKEN_NS,
    SELL,
    TICK_PRICE4,
    TOTAL,
    FlowSettings,
    allocate_engine,
)
from tools.exchange.source import extend_history_nb
from tools.exchange.streams import allocate_streams
from tools.exchange.truth import summary

FLOW = FlowSettings(7, 2, messages=2_000, orders_per_symbol=15)
TOKENS = 40


class Market:
    """A flow with a desk, and all that both said."""

    def __init__(self) -> None:
        self.engine = allocate_engine(FLOW, TOKENS)
        self.history = allocate_history(1 << 13)
        self.desk = allocate_desk(TOKENS, 1, allocate_streams(self.engine, 0, 0))
        self.reports: list[dict[str, int]] = []
        self._row = np.zeros(1, COMMAND)
        self._requests = 0

    def flow(self, messages: int) -> None:
        last = int(self.engine.state[EMITTED]) + messages
        extend_history_nb(None, self.desk, self.engine, self.history, (last, 0))
        self._collect()

    def command(self, kind: Command, token: int, **terms: int) -> list[dict[str, int]]:
        """Do one thing; what came of it."""
        self._requests += 1
        row = self._row[0]
        for name in COMMAND.names or ():
            row[name] = terms.get(name, 0)
        row["kind"], row["token"], row["request"] = kind, token, self._requests
        assert push_command_nb(self.desk, self._row) == 1
        before = len(self.reports)
        while not take_commands_nb(self.desk, self.engine, self.history):
            self.flow(1)
        self._collect()
        return self.reports[before:]

    def _collect(self) -> None:
        out = np.zeros(64, REPORT)
        while count := pop_reports_nb(self.desk, out):
            self.reports += [
                dict(zip(REPORT.names or (), row, strict=True)) for row in out[:count].tolist()
            ]

    def price4(self, symbol: int, ticks: int) -> int:
        """So many ticks above what the symbol is worth."""
        row = self.engine.symbols[symbol]
        return int(row[BASE_TICK] + (row[FAIR] >> FAIR_SHIFT) + ticks) * TICK_PRICE4

    def messages(self) -> list[bytes]:
        found = []
        for seq in range(1, int(self.engine.state[EMITTED]) + 1):
            _, at, size = packet_slice_nb(self.history, seq, seq, 100)
            found.append(self.history.data[at + LENGTH_BYTES : at + size].tobytes())
        return found


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_the_feed_and_the_reports_tell_the_same_whatever_clients_do(seed: int):
    random, market = Random(seed), Market()
    market.flow(200)
    for _ in range(120):
        market.flow(random.randint(0, 5))
        kind = random.choice((Command.NEW, Command.NEW, Command.CANCEL, Command.REPLACE))
        token, symbol = random.randrange(TOKENS), random.randrange(2)
        slot = 1 + market.engine.members.size + token
        if kind is Command.NEW and market.engine.orders[slot, 1] > 0:
            kind = Command.CANCEL
        market.command(
            kind,
            token,
            symbol=symbol,
            side=random.choice((BUY, SELL)),
            rests=random.choice((IMMEDIATE, IN_FORCE)),
            price4=market.price4(symbol, random.randint(-30, 30)),
            quantity=random.randint(1, 500),
        )
    market.flow(FLOW.messages)
    messages = market.messages()
    assert market.engine.state[EMITTED] == market.engine.state[TOTAL]
    assert len(messages) >= FLOW.messages
    checker = check(messages)
    truth = summary(market.engine)
    assert checker.digest() == truth["books_digest"]
    assert len(checker.orders) == truth["orders_live"]
    executed = {
        int(fields["match_number"]): int(fields["executed_shares"])
        for fields in (BY_TYPE["E"].decode(raw) for raw in messages if raw[:1] == b"E")
    }
    fills = [row for row in market.reports if row["kind"] == Report.FILL]
    assert all(executed[row["match"]] == row["shares"] for row in fills)
    sides = Counter(row["match"] for row in fills)
    assert max(sides.values(), default=1) <= 2


def test_what_cannot_be_entered_is_refused_with_its_reason():
    market = Market()
    market.flow(300)
    good = {"symbol": 0, "side": BUY, "rests": IN_FORCE, "quantity": 10}
    low4 = market.price4(0, -200)

    def reason(**terms: int) -> int:
        (report,) = market.command(Command.NEW, 0, **(good | {"price4": low4} | terms))
        return report["reason"]

    assert reason(symbol=2) == reason(symbol=-1) == Reason.SYMBOL
    assert reason(price4=low4 + 1) == reason(price4=100) == Reason.PRICE
    market.engine.symbols[0, HALTED] = 1
    assert reason() == Reason.HALTED
    market.engine.symbols[0, HALTED] = 0
    row = market.engine.symbols[0]
    at = row[FIRST_ROW] + low4 // TICK_PRICE4 - row[BASE_TICK]
    market.engine.levels[at, LEVEL_QUANTITY] += (1 << 31) - 11
    assert reason(quantity=SHARES_MAX) == Reason.FULL
    market.engine.levels[at, LEVEL_QUANTITY] -= (1 << 31) - 11
    assert reason() == Reason.NONE


def test_orders_before_the_opening_is_over_are_refused_and_leave_it_whole():
    market = Market()
    terms = {"side": BUY, "rests": IN_FORCE, "price4": market.price4(0, -200), "quantity": 10}
    for _ in range(12):
        reports = market.command(Command.NEW, 0, **terms)
        if reports[0]["reason"] != Reason.CLOSED:
            break
        market.flow(1)
    assert reports[0]["kind"] == Report.NEW
    events = [raw[-1:] for raw in market.messages() if raw[:1] == b"S"]
    assert events == [b"O", b"S", b"Q"]


def test_a_session_that_closes_takes_no_more_orders():
    market = Market()
    market.flow(FLOW.messages - CLOSING_COUNT)
    terms = {"side": BUY, "rests": IN_FORCE, "price4": market.price4(0, -200), "quantity": 10}
    (report,) = market.command(Command.NEW, 0, **terms)
    assert report["reason"] == Reason.CLOSED
    (report,) = market.command(Command.CANCEL, 0)
    assert (report["kind"], report["reason"]) == (Report.REFUSED, Reason.TOO_LATE)


@pytest.mark.parametrize("shares", [1, 7])
def test_a_replace_counts_what_executed(shares: int):
    market = Market()
    market.flow(300)
    at4 = market.price4(0, 60)
    sell = {"symbol": 0, "side": SELL, "rests": IN_FORCE, "price4": at4, "quantity": 20}
    market.command(Command.NEW, 0, **sell)
    # Whoever buys at that price takes all that is cheaper first.
    buy = {"symbol": 0, "side": BUY, "rests": IMMEDIATE, "price4": at4, "quantity": 100_000}
    while market.desk.filled[0] == 0:
        market.command(Command.NEW, 1, **(buy | {"quantity": shares}))
    filled = int(market.desk.filled[0])
    (refused,) = market.command(Command.REPLACE, 0, price4=at4, quantity=filled)
    assert refused["reason"] == Reason.TOO_LATE
    if filled < 20:
        market.command(Command.REPLACE, 0, price4=at4, quantity=filled + 1)
        slot = 1 + market.engine.members.size
        assert market.engine.orders[slot, 1] == 1


def test_what_orders_lead_to_bears_the_time_of_the_venues_clock():
    market = Market()
    step = (OPEN_NS, OPEN_NS + NS_PER_S, 7 * NS_PER_MS)
    market.engine = market.engine._replace(clock_steps=np.array([step], np.int64))
    market.flow(300)
    before = len(market.messages())
    low4 = market.price4(0, -200)
    order = {"symbol": 0, "side": BUY, "rests": IN_FORCE, "price4": low4, "quantity": 20}
    market.command(Command.NEW, 0, **order)
    market.command(Command.REPLACE, 0, price4=low4, quantity=10)
    market.command(Command.REPLACE, 0, price4=low4 + TICK_PRICE4, quantity=10)
    market.command(Command.CANCEL, 0)
    market.command(Command.NEW, 1, **(order | {"price4": MARKET, "quantity": 1}))
    told = market.messages()[before:]
    assert [message[:1] for message in told] == [b"A", b"X", b"U", b"D", b"E"]
    stamps = {int.from_bytes(message[TIMESTAMP : TIMESTAMP + 6], "big") for message in told}
    assert stamps == {int(market.engine.state[CLOCK_NS]) + 7 * NS_PER_MS}


@pytest.mark.parametrize("rests", [IMMEDIATE, IN_FORCE], ids=["takes", "stands"])
def test_a_trade_of_a_client_is_never_taken_back(rests: int):
    market = Market()
    market.flow(300)
    terms = {"symbol": 0, "side": BUY, "rests": rests, "quantity": 1}
    for token in range(TOKENS):
        away = 60 if rests == IMMEDIATE else -1
        seen = len(market.reports)
        market.command(Command.NEW, token, price4=market.price4(0, away), **terms)
        for _ in range(20):
            if any(row["kind"] == Report.FILL for row in market.reports[seen:]):
                # One is due: the next message, if the latest match may be taken back.
                market.engine.state[NEXT_BROKEN_NS] = 0
            seen = len(market.reports)
            market.flow(1)
    matches = {row["match"] for row in market.reports if row["kind"] == Report.FILL}
    broken = {
        int(BY_TYPE["B"].decode(raw)["match_number"])
        for raw in market.messages()
        if raw[:1] == b"B"
    }
    assert len(matches) > 5
    assert len(broken) > 1
    assert not matches & broken


def test_an_order_at_any_price_leaves_nothing_behind():
    market = Market()
    market.flow(300)
    terms = {"symbol": 1, "side": SELL, "rests": IMMEDIATE, "price4": MARKET, "quantity": 50_000}
    reports = market.command(Command.NEW, 3, **terms)
    assert [reports[0]["kind"], reports[-1]["kind"]] == [Report.NEW, Report.CANCELLED]
    taken = sum(row["shares"] for row in reports if row["kind"] == Report.FILL)
    assert taken + reports[-1]["shares"] == 50_000
    assert taken > 0


def test_an_iceberg_of_a_scenario_is_no_clients_order():
    market = Market()
    engine, desk = market.engine, market.desk
    slot = len(engine.orders) - 1
    engine.orders[slot, ATTRIBUTION] = 1 << FIRST_REFERENCE_SHIFT
    engine.state[FILLED_SLOT], engine.state[FILLED_SHARES] = slot, 100
    tell_fill_nb(desk, engine)
    assert engine.state[FILLED_SLOT] == 0
    assert desk.filled.sum() == 0
    assert pop_reports_nb(desk, np.zeros(8, REPORT)) == 0
