"""Compile, or load from the cache, every kernel of the exchange, before anything is timed."""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from feedhandler.server.warmup import warm_up_now
from tools.exchange import sender as sending
from tools.exchange.checker import check_file, open_session
from tools.exchange.config import HISTORY_MESSAGES_MIN, ExchangeConfig, Flow, Line, Rerequest
from tools.exchange.desk import COMMAND, REPORT, pop_reports_nb, push_command_nb
from tools.exchange.flow import generate_nb
from tools.exchange.layout import FlowSettings, allocate_engine
from tools.exchange.market.day import generate_market_nb
from tools.exchange.market.layout import allocate_market
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.rules import first_due_nb
from tools.exchange.market.scenario import Scenario
from tools.exchange.parts import PartedSession
from tools.exchange.runner import Sockets, allocate_sender
from tools.exchange.sampling import allocate_samples, sample_nb


def warm_up() -> None:
    """Call each entry kernel once on the smallest exchange there is; nothing is sent."""
    _load()
    generate_nb(allocate_engine(FlowSettings(1, 1, messages=3)), np.zeros(256, np.uint8), 3)
    with PartedSession(FlowSettings(1, 2, messages=20, parts=2)) as session:
        while session.generate(np.zeros(256, np.uint8), 3)[0]:
            pass


def warm_up_market() -> None:
    """The same for a day of a market, and for what checks and measures one; at its first use, as a
    demo does without.
    """
    warm_up_now("market", [("a market's day, its check and its report", _compile_market)])


def warm_up_live_market() -> None:
    """The same for a day that is made while it is sent."""
    warm_up_now("live-market", [("a market's day, live", lambda: _load(Scenario(symbols=1)))])


def _load(scenario: Scenario | None = None) -> None:
    """Call what the sender's thread runs, on the smallest exchange there is."""
    config = ExchangeConfig(
        line_a=Line(port=1),
        line_b=Line(port=1),
        flow=Flow(symbols=1, messages=3),
        rerequest=Rerequest(history_messages=HISTORY_MESSAGES_MIN),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        sender = allocate_sender(config, Sockets(unused, unused, unused), scenario=scenario)
    sending.load_kernels(sender)
    push_command_nb(sender.desk, np.zeros(1, COMMAND))
    pop_reports_nb(sender.desk, np.zeros(1, REPORT))


def _compile_market() -> None:
    scenario = Scenario(symbols=1, orders_per_symbol=8)
    market = allocate_market(scenario, load_profiles(1), seed=1)
    first_due_nb(market)
    out = np.zeros(1_024, np.uint8)
    generate_market_nb(market, out, 3)
    with tempfile.TemporaryDirectory(prefix="feedhandler-warmup-") as folder:
        path = Path(folder) / "session.bin"
        path.write_bytes(bytes(2))
        check_file(path)
        session, buf, _ = open_session(path)
        sample_nb(session, allocate_samples(np.ones(1, np.int64), 1), buf, 1)


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step, for `feedhandler.server.warmup`."""
    return [("exchange", warm_up)]


if __name__ == "__main__":
    warm_up_market()
    warm_up_live_market()
