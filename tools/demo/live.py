"""The live table of a demo: what a desk would want to see at a glance."""

import json
import urllib.error
import urllib.request
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table

from feedhandler.core.counters import CounterFile
from feedhandler.core.latency import format_ns, summary
from feedhandler.core.states import State
from tools.demo.processes import read_json
from tools.demo.setup import Plan

_LEVELS = 5
_LANES = 4
_BOOK_TIMEOUT_S = 0.5


class LiveTable:
    """Renders one moment of a running demo; rates are against the moment before."""

    def __init__(self, plan: Plan, counters: CounterFile) -> None:
        self._plan = plan
        self._counters = counters
        self._channel = "itch"
        self._before: tuple[int, int] = (0, 0)

    def applied(self) -> int:
        """Messages applied so far."""
        return self._counters.value("messages_applied", channel=self._channel)

    def state(self) -> State:
        """Of the server's channel."""
        return State(self._counters.value("channel_state", channel=self._channel))

    def line(self, elapsed_s: float) -> str:
        """The same in one line, where there is no terminal."""
        latency = summary(self._counters.histogram("latency"))
        return (
            f"{elapsed_s:5.1f} s  {self.state().name:<10} applied {self.applied():>12,}"
            f"  gaps {self._counters.value('sequence_gaps', channel=self._channel):,}"
            f"  signals {self._counters.value('signals_published'):,}"
            f"  latency p50 {format_ns(latency['p50'])} p99 {format_ns(latency['p99'])}"
        )

    def render(self, elapsed_ns: int) -> Group:
        """The whole table."""
        status = read_json(self._plan.exchange_status)
        return Group(
            Panel(self._feed(elapsed_ns, status), title="feed", title_align="left"),
            Panel(self._latency(), title="latency", title_align="left"),
            Panel(self._book(), title="book", title_align="left"),
        )

    def _feed(self, elapsed_ns: int, status: dict[str, Any]) -> Table:
        value, channel = self._counters.value, self._channel
        applied = self.applied()
        before_ns, before = self._before
        rate = (applied - before) * 1_000_000_000 // max(elapsed_ns - before_ns, 1)
        self._before = (elapsed_ns, applied)
        table = Table.grid(padding=(0, 3))
        rows = (
            ("state", self.state().name),
            ("sent by exchange", f"{status.get('sent', 0):,}"),
            ("applied", f"{applied:,}   {rate:,}/s"),
            (
                "gaps, recovered, by snapshot",
                self._values("sequence_gaps", "messages_recovered", "messages_covered_by_snapshot"),
            ),
            (
                "lost on line a, b",
                ", ".join(
                    f"{value('line_lost_messages', channel=channel, line=line):,}" for line in "ab"
                ),
            ),
            ("orders in the books", f"{value('orders_live'):,}"),
            (
                "signals, held back",
                f"{value('signals_published'):,}, {value('signals_suppressed'):,}",
            ),
            (
                "ticks by lane, most urgent first",
                ", ".join(f"{value('lane_ticks', lane=str(i)):,}" for i in range(_LANES)),
            ),
        )
        for name, text in rows:
            table.add_row(name, text)
        return table

    def _values(self, *names: str) -> str:
        return ", ".join(f"{self._counters.value(name, channel=self._channel):,}" for name in names)

    def _latency(self) -> Table:
        table = Table("", "p50", "p99", "p99.9", "max", box=None)
        for title, name in (
            ("every message, kernel stamp to last stage", "latency"),
            ("signal, kernel stamp to send", "wire_to_signal"),
            ("hiccup of this machine", "hiccup"),
        ):
            found = summary(self._counters.histogram(name))
            cells = [format_ns(found[key]) for key in ("p50", "p99", "p999", "max")]
            table.add_row(title, *cells)
        return table

    def _book(self) -> Table:
        table = Table("orders", "qty", "bid", "ask", "qty", "orders", box=None)
        book = _fetch_book(self._plan.ports["metrics"])
        if book is None:
            return table
        table.title = f"{book['symbol']}  {book['state']}  message {book['next_seq'] - 1:,}"
        for i in range(_LEVELS):
            bid = book["bids"][i] if i < len(book["bids"]) else None
            ask = book["asks"][i] if i < len(book["asks"]) else None
            table.add_row(*_side(bid), *reversed(_side(ask)))
        return table


def _side(level: dict[str, int] | None) -> tuple[str, str, str]:
    if level is None:
        return "", "", ""
    price_e4 = level["price_e4"]
    price = f"{price_e4 // 10_000}.{price_e4 % 10_000:04d}"
    return str(level["orders"]), f"{level['qty']:,}", price


def _fetch_book(port: int) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/book", timeout=_BOOK_TIMEOUT_S
        ) as answer:
            found: dict[str, Any] = json.load(answer)
    except (OSError, urllib.error.URLError, ValueError):
        return None
    return found
