"""What the tests of replay share: a session of the exchange, the same session as captures, and what
the slow twins make of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from feedhandler.server.config import (
    EngineConfig,
    FeedConfig,
    LineConfig,
    PatternConfig,
    ServerConfig,
)
from oms_out.config import OmsConfig
from protocols.moldudp64.codec import Packet, encode_packet
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.sniff import sniff_format
from protocols.pcap.writer import PcapngWriter, PcapWriter
from tests.reference.slow_book import SlowBook
from tests.reference.slow_itch import decode, messages_of_file
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.outcome import Outcome
from tools.replay.replay import Replay

Run = Callable[..., tuple[int, str, str]]
SESSION = "REPLAY"
SOURCE = Endpoint(0x0A000001, 40_000)
STRANGER = 2
LINES = (
    Endpoint(0xE0000001, 26_400),
    Endpoint(0xE0000002, 26_400),
    # No line: something else that was captured, with an address below theirs.
    Endpoint(0x0A000009, 53),
)
START_NS = 1_700_000_000_000_000_000
INTERVAL_NS = 1_000_000
"""Between two packets of a capture: fifty of them pass before a hole is given up."""

SMALL = EngineConfig(instruments=64, orders=65_536, level_blocks=4_096, level_arena=65_536)


class Datagram(NamedTuple):
    """A UDP payload on a line, 0 or 1, or to a STRANGER."""

    line: int
    payload: bytes


def make_session(path: Path, messages: int = 2_000, seed: int = 5) -> Path:
    """A generated session of 3 symbols as a BinaryFILE."""
    generate_file(FlowSettings(seed, 3, messages=messages, orders_per_symbol=20), path)
    return path


def session_messages(path: Path) -> list[bytes]:
    """The messages of a generated file."""
    return list(messages_of_file(path.read_bytes()))


def packets_of(messages: Sequence[bytes], size: int = 7, session: str = SESSION) -> list[bytes]:
    """The messages as MoldUDP64 packets of `size` messages, sequence numbers from 1."""
    return [
        encode_packet(Packet(session, at + 1, tuple(messages[at : at + size])))
        for at in range(0, len(messages), size)
    ]


def end_of_session(messages: Sequence[bytes]) -> bytes:
    """The packet that says how many messages there were."""
    return encode_packet(Packet(SESSION, len(messages) + 1, ended=True))


def write_capture(
    path: Path,
    datagrams: Iterable[Datagram],
    *,
    vlans: tuple[int, ...] = (),
    trailer: bytes = b"",
    pcapng: bool = False,
) -> Path:
    """A capture of the datagrams, INTERVAL_NS apart."""
    with path.open("wb") as file:
        writer: PcapWriter | PcapngWriter = PcapngWriter(file) if pcapng else PcapWriter(file)
        if isinstance(writer, PcapngWriter):
            writer.add_interface()
        for number, (line, payload) in enumerate(datagrams):
            frame = build_ethernet_frame(
                build_datagram(payload, SOURCE, LINES[line]), vlans=vlans, trailer=trailer
            )
            writer.write(START_NS + number * INTERVAL_NS, frame)
    return path


def replay_file(path: Path, config: ServerConfig | None = None) -> Outcome:
    """What a replay at full speed finds; small books unless `config` says otherwise."""
    return Replay(config or server_config()).run(path, sniff_format(path))


def server_config(
    patterns: tuple[PatternConfig, ...] = (), engine: EngineConfig = SMALL
) -> ServerConfig:
    """A whole configuration, of which a replay uses the engine and the functions."""
    return ServerConfig(
        feed=FeedConfig(line_a=LineConfig(port=1)),
        oms=OmsConfig(store_dir="unused", allowed=("OMS",)),
        engine=engine,
        patterns=patterns,
    )


IMBALANCE = PatternConfig(
    name="imbalance",
    function="feedhandler.core.patterns:imbalance_with_trade",
    params={
        "imbalance_bps": 6_000,
        "window_ns": 1_000_000_000,
        "cooldown_ns": 1_000_000,
        "order_qty": 100,
        "trade_qty_min": 1,
    },
)


def slow_book(messages: Iterable[bytes]) -> SlowBook:
    """The books after all messages, by the slow twin."""
    book = SlowBook()
    for message in messages:
        book.apply(*decode(message))
    return book


def symbols_of(messages: Iterable[bytes]) -> dict[int, str]:
    """Symbols by locate, from the directory messages."""
    directory = (fields for code, fields in map(decode, messages) if code == "R")
    return {fields["stock_locate"]: fields["stock"] for fields in directory}


def slow_best_prices(messages: Sequence[bytes]) -> Iterator[str]:
    """The lines of --bbo, by the slow twin: after each message, every best price that changed."""
    book, symbols = SlowBook(), symbols_of(messages)
    best = dict.fromkeys(symbols, (0, 0, 0, 0))
    for seq, message in enumerate(messages, 1):
        code, fields = decode(message)
        book.apply(code, fields)
        for locate, before in best.items():
            now = book.best(locate)
            if now != before:
                best[locate] = now
                sides = f"{shown_price(*now[:2])},{shown_price(*now[2:])}"
                yield f"{seq},{fields['timestamp']},{symbols[locate]},{sides}"


def shown_price(price_e4: int, qty: int) -> str:
    """`price,qty` with four decimals; both empty for an empty side."""
    return f"{price_e4 // 10_000}.{price_e4 % 10_000:04d},{qty}" if qty else ","


def slow_levels(messages: Sequence[bytes]) -> Iterator[str]:
    """The lines of --book, by the slow twin."""
    book = slow_book(messages)
    for locate, symbol in sorted(symbols_of(messages).items()):
        for side in "BS":
            for price_e4, qty, orders in book.levels(locate, side):
                yield f"{symbol},{side},{shown_price(price_e4, qty)},{orders}"
