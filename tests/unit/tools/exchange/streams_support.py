"""The streams without the main thread: a socket pair, mails by hand, rounds when the test wants."""

import socket
import time
from typing import Self

import numpy as np

from tools.exchange import streams as layout
from tools.exchange.desk import allocate_desk
from tools.exchange.history import allocate_history
from tools.exchange.layout import EMITTED, TOTAL, Engine, FlowSettings, allocate_engine
from tools.exchange.source import extend_history_nb
from tools.exchange.stream_server import Mail
from tools.exchange.streams import Streams, allocate_streams
from tools.exchange.streams_kernels import serve_streams_nb

IDENTITY = b"49=EXCHANGE\x0156=ME\x0152="


class Peer:
    """One client: its end of the socket, and the main thread's part of its row."""

    def __init__(self, bench: "Bench", row: int) -> None:
        self.bench = bench
        self.row = row
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.posted = 0
        base = row * layout.CLIENT_WORDS
        words = bench.streams.words
        words[base + layout.DESCRIPTOR] = self.ours.fileno()
        words[base + layout.POSTED] = 0
        words[base + layout.WANT] = layout.SERVE
        bench.serve()

    def word(self, index: int) -> int:
        return int(self.bench.streams.words[self.row * layout.CLIENT_WORDS + index])

    def set_word(self, index: int, value: int) -> None:
        self.bench.streams.words[self.row * layout.CLIENT_WORDS + index] = value

    def post(self, mail: Mail) -> None:
        slot = self.row * layout.MAIL_SLOTS + self.posted % layout.MAIL_SLOTS
        at, row = slot * layout.MAIL_BYTES, slot * layout.MAIL_WORDS
        body = np.frombuffer(mail.body, np.uint8)
        self.bench.streams.mail[at : at + len(body)] = body
        values = (mail.kind, len(body), mail.a, mail.b, mail.c)
        self.bench.streams.mail_words[row : row + 5] = values
        self.posted += 1
        self.set_word(layout.POSTED, self.posted)

    def subscribe(self, request: int, name: bytes, symbols: list[int], *, trades: int = 0) -> None:
        body = name + np.array(symbols, "<u2").tobytes()
        self.post(Mail(layout.SUBSCRIBE, request, len(name), trades, body))

    def read(self) -> bytes:
        """What came, and rounds until nothing more comes."""
        data = b""
        while True:
            self.bench.serve()
            try:
                piece = self.theirs.recv(1 << 20)
            except BlockingIOError:
                return data
            if not piece:
                return data
            data += piece


class Bench:
    """An engine with its history and streams; `now_ns` is the clock of the rounds."""

    def __init__(
        self, made_of: FlowSettings | Engine, soup: int = 0, fix: int = 0, kept: int = 1 << 14
    ) -> None:
        is_engine = isinstance(made_of, Engine)
        self.engine: Engine = made_of if is_engine else allocate_engine(made_of)
        self.history = allocate_history(kept)
        self.streams: Streams = allocate_streams(self.engine, soup, fix)
        self.desk = allocate_desk(0, 1, self.streams)
        for row in self.streams.texts:
            layout.put_text(row, IDENTITY)
        self.now_ns = time.monotonic_ns()
        self.peers: list[Peer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers:
            peer.ours.close()
            peer.theirs.close()

    def connect(self, row: int) -> Peer:
        peer = Peer(self, row)
        self.peers.append(peer)
        return peer

    def serve(self) -> int:
        ended = bool(self.engine.state[EMITTED] == self.engine.state[TOTAL])
        return int(serve_streams_nb(self.streams, self.engine, self.history, self.now_ns, ended))

    def advance(self, messages: int) -> list[bytes]:
        """Make some messages; what they are."""
        first = int(self.engine.state[EMITTED]) + 1
        ahead = (first - 1 + messages, 0)
        extend_history_nb(None, self.desk, self.engine, self.history, ahead)
        last = int(self.engine.state[EMITTED])
        mask = len(self.history.offsets) - 1
        found = []
        for sequence in range(first, last + 1):
            at = int(self.history.offsets[sequence & mask])
            size = int.from_bytes(self.history.data[at : at + 2].tobytes(), "big")
            found.append(self.history.data[at + 2 : at + 2 + size].tobytes())
        return found
