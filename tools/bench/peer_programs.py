"""Other people's decoders on our files, in an interpreter of their own: nothing of this project is
imported here.

    python peer_programs.py NAME FILE MESSAGES

decodes the first MESSAGES messages of FILE by the library NAME, and prints how many there were and
the nanoseconds that it took. Each does what its documentation shows for the job; what it gives are
Python objects.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

_ENTRIES, _PRICE, _SIZE = 268, 270, 271
_FIX_START = b"8=FIX"
_BBO_ROWS, _FEED_BYTES, _SMALLEST_FRAME = 1_000_000, 8 << 20, 21
"""How itch-book's own `Feed` uses its `Session`."""


def itchfeed(path: Path, messages: int) -> Callable[[], int]:
    """Message objects of the ITCH parser of itchfeed, each with its fields decoded."""
    from itch.parser import MessageParser

    def run() -> int:
        with path.open("rb") as file:
            found = itertools.islice(MessageParser().parse_file(file), messages)
            return sum(1 for _ in found)

    return run


def meatpy(path: Path, messages: int) -> Callable[[], int]:
    """Message objects of the ITCH 5.0 reader of MeatPy."""
    from meatpy.itch50.itch50_message_reader import ITCH50MessageReader

    def run() -> int:
        with ITCH50MessageReader(path) as reader:
            return sum(1 for _ in itertools.islice(reader, messages))

    return run


def itch_book(path: Path, messages: int) -> Callable[[], int]:
    """Books and table of best prices of itch-book (C++), from memory in its own pieces; `messages`
    is what the file has.
    """
    import numpy as np
    from itch_book import Session

    data = np.fromfile(path, np.uint8)

    def run() -> int:
        session = Session(tables=["bbo"], depth=0, symbols=[])
        session.reserve(_BBO_ROWS + _FEED_BYTES // _SMALLEST_FRAME)
        for at in range(0, len(data), _FEED_BYTES):
            session.feed(data[at : at + _FEED_BYTES])
            if session.rows() >= _BBO_ROWS:
                session.take_bbo()
        session.take_bbo()
        done: int = session.stats()["messages"]
        if done != messages:
            raise ValueError(f"{done} messages of {messages}")
        return done

    return run


def simplefix(path: Path, messages: int) -> Callable[[], int]:
    """Messages of simplefix, and price and size of every entry as text."""
    import simplefix as library

    texts = _fix_messages(path, messages)

    def run() -> int:
        parser = library.FixParser()
        done = 0
        for text in texts:
            parser.append_buffer(text)
            message = parser.get_message()
            for nth in range(1, int(message.get(_ENTRIES)) + 1):
                message.get(_PRICE, nth), message.get(_SIZE, nth)
            done += 1
        return done

    return run


def quickfix(path: Path, messages: int) -> Callable[[], int]:
    """Messages of QuickFIX read by its dictionary, checksum verified, and price and size of every
    entry as numbers.
    """
    import quickfix as library
    import quickfix44 as version

    dictionary = library.DataDictionary(str(_dictionary_with_rpt_seq(path.with_suffix(".xml"))))
    texts = [text.decode("latin-1") for text in _fix_messages(path, messages)]

    def run() -> int:
        group = version.MarketDataIncrementalRefresh.NoMDEntries()
        price, size = library.MDEntryPx(), library.MDEntrySize()
        for text in texts:
            message = library.Message(text, dictionary, True)
            for nth in range(1, message.groupCount(_ENTRIES) + 1):
                message.getGroup(nth, group)
                group.getField(price)
                group.getField(size)
        return len(texts)

    return run


def nautilus(path: Path, messages: int) -> Callable[[], int]:
    """Ticks through the backtest engine of NautilusTrader (Rust and Cython) to a strategy that
    looks for an imbalance of the best quantities when a trade comes, as our pattern does. Its
    objects are made before, by its own constructors.
    """
    import numpy as np
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import QuoteTick, TradeTick
    from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
    from nautilus_trader.model.identifiers import TradeId, Venue
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    class Imbalance(Strategy):  # type: ignore[misc]
        """Counts what it would signal."""

        def __init__(self, instruments: list[object]) -> None:
            super().__init__()
            self.instruments, self.signals = instruments, 0
            self.best: dict[object, Any] = {}

        def on_start(self) -> None:
            for each in self.instruments:
                self.subscribe_quote_ticks(each)
                self.subscribe_trade_ticks(each)

        def on_quote_tick(self, tick: object) -> None:
            self.best[tick.instrument_id] = tick  # type: ignore[attr-defined]

        def on_trade_tick(self, tick: object) -> None:
            best = self.best.get(tick.instrument_id)  # type: ignore[attr-defined]
            if best is not None:
                bid, ask = best.bid_size.as_double(), best.ask_size.as_double()
                self.signals += abs(bid - ask) * 10_000 > 6_000 * (bid + ask)

    rows = np.load(path)[:messages].tolist()
    bare = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(config=BacktestEngineConfig(logging=bare))
    venue = Venue("XNAS")
    engine.add_venue(venue, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)])
    names: dict[int, object] = {}
    for number in sorted({row[0] for row in rows}):
        equity = TestInstrumentProvider.equity(symbol=f"S{number}", venue="XNAS")
        engine.add_instrument(equity)
        names[number] = equity.id
    ticks: list[object] = []
    for number, is_trade, ts_ns, bid, bid_qty, ask, ask_qty, price, qty in rows:
        if is_trade:
            side, trade = AggressorSide.NO_AGGRESSOR, TradeId(str(len(ticks)))
            at, size = Price(price / 10_000, 2), Quantity.from_int(max(qty, 1))
            ticks.append(TradeTick(names[number], at, size, side, trade, ts_ns, ts_ns))
        else:
            prices = (Price(each / 10_000, 2) for each in (bid, ask))
            sizes = (Quantity.from_int(each) for each in (bid_qty, ask_qty))
            ticks.append(QuoteTick(names[number], *prices, *sizes, ts_ns, ts_ns))
    engine.add_data(ticks)
    strategy = Imbalance(list(names.values()))
    engine.add_strategy(strategy)

    def run() -> int:
        engine.reset()
        engine.run()
        if engine.iteration != len(ticks) or not strategy.signals:
            raise ValueError(f"{engine.iteration} of {len(ticks)}, {strategy.signals} signals")
        return len(ticks)

    return run


def _dictionary_with_rpt_seq(path: Path) -> Path:
    """QuickFIX's dictionary, in which an entry of X may carry RptSeq (83): the entries would end at
    it otherwise.
    """
    text = (Path(sys.prefix) / "share/quickfix/FIX44.xml").read_text(encoding="utf-8")
    group = text.index("<component name='MDIncGrp'>")
    size = text.index("MDEntrySize", group)
    end = text.index(">", size) + 1
    path.write_text(
        text[:end] + '<field name="RptSeq" required="N"/>' + text[end:], encoding="utf-8"
    )
    return path


def _fix_messages(path: Path, messages: int) -> list[bytes]:
    parts = path.read_bytes().split(_FIX_START)[1 : messages + 1]
    return [_FIX_START + part for part in parts]


PROGRAMS: dict[str, Callable[[Path, int], Callable[[], int]]] = {
    "itchfeed": itchfeed,
    "meatpy": meatpy,
    "itch_book": itch_book,
    "simplefix": simplefix,
    "quickfix": quickfix,
    "nautilus": nautilus,
}


def main(arguments: list[str]) -> None:
    """Decode twice; what is printed is of the second time."""
    name, path, messages = arguments
    run = PROGRAMS[name](Path(path), int(messages))
    run()
    started_ns = perf_counter_ns()
    done = run()
    sys.stdout.write(f"{done} {perf_counter_ns() - started_ns}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
