"""The kernels of the TCP streams, round by round over socket pairs."""

import socket
from collections import Counter

import numpy as np
import pytest

from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, decode
from protocols.kernel_cache import JIT_ENABLED
from protocols.soupbintcp.events import SequencedData, SessionEnded
from protocols.soupbintcp.session import Client
from tests.reference.slow_market_data import SlowMarketData
from tests.unit.adapters.fix_md.support import Converter
from tests.unit.tools.exchange.streams_support import Bench, Peer
from tools.exchange import streams as layout
from tools.exchange.layout import FlowSettings
from tools.exchange.market.day import emit_market_nb
from tools.exchange.market.layout import NEVER, allocate_market
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.rules import first_due_nb
from tools.exchange.market.scenario import Scenario
from tools.exchange.stream_server import Mail
from tools.exchange.streams_fix import publish_change_nb, put_price_nb

FLOW = FlowSettings(3, 4, messages=2500, orders_per_symbol=12)
ALL = [0, 1, 2, 3]
NAMES = ["ARLO", "BEXA", "CIRQ", "DELV"]
S = 1_000_000_000


def frames(data: bytes) -> list[bytes]:
    """Whole messages; nothing else is in the bytes."""
    framer = Framer(1 << 20)
    framer.feed(data)
    found = []
    while (frame := framer.next_frame()) is not None:
        found.append(frame)
    assert framer.garbled_count == 0
    assert b"".join(found) == data
    return found


def messages_of(data: bytes) -> list[FixMessage]:
    return [decode(frame) for frame in frames(data)]


def entries(frame: bytes) -> list[str]:
    """The entries of W or X, as the slow twin writes them."""
    text = frame.decode().replace("\x01", "|")
    first = "279=" if "|35=X|" in text else "269="
    body = text[: text.rindex("10=")]
    return [first + part for part in body.split(first)[1:]]


def logged_on(bench: Bench, row: int = 0, *, trades: int = 0) -> Peer:
    """A client with a subscription to everything, which has its snapshots."""
    peer = bench.connect(row)
    peer.subscribe(0, b"REQ", ALL, trades=trades)
    return peer


@pytest.mark.parametrize("trades", [0, 1])
def test_every_message_makes_the_entries_of_the_slow_twin_and_a_reader_has_the_same_book(
    trades: int,
):
    slow, converter = SlowMarketData(), Converter(8, 8)
    stated: dict[tuple[int, int, int], int] = {}
    with Bench(FLOW, fix=1) as bench:
        for message in bench.advance(120):
            slow.take(message)
        peer = logged_on(bench, trades=trades)
        books = frames(peer.read())
        assert [entries(book) for book in books] == [slow.snapshot(name) for name in NAMES]
        while made := bench.advance(1):
            book, trade = slow.take(made[0])
            expected = book + (trade if trades else [])
            got = frames(peer.read())
            assert [entries(frame) for frame in got] == ([expected] if expected else [])
            for record in converter.convert([*books, *got]) if books or got else []:
                if record.kind == "SET_LEVEL":
                    stated[record.instrument, record.side, record.price] = record.quantity
            books = []
    assert not converter.feed.counts.any()
    held = {
        (number, side, price4 * 10**5): shares
        for number, name in enumerate(NAMES)
        for side, code in ((1, "B"), (2, "S"))
        for price4, (shares, _) in slow.levels(name, code).items()
    }
    assert {place: quantity for place, quantity in stated.items() if quantity} == held


@pytest.mark.skipif(not JIT_ENABLED, reason="a market's kernels take too long interpreted")
@pytest.mark.usefixtures("market_kernels")
def test_a_market_has_the_entries_of_the_slow_twin_too():
    scenario = Scenario(symbols=4, messages=20_000, orders_per_symbol=15)
    market = allocate_market(scenario, load_profiles(4), 5)
    first_due_nb(market)
    slow, block = SlowMarketData(), np.zeros(64, np.uint8)
    seen: Counter[str] = Counter()
    with Bench(market.engine, fix=1) as bench:
        peer = logged_on(bench, trades=1)
        peer.read()
        for _ in range(6_000):
            size = emit_market_nb(market, block, 0, NEVER)
            publish_change_nb(bench.streams, bench.engine, block, 0)
            book, trade = slow.take(block[2:size].tobytes())
            got = bench.streams.out[: peer.word(layout.TAIL)].tobytes()
            assert [entries(frame) for frame in frames(got)] == (
                [book + trade] if book or trade else []
            )
            peer.set_word(layout.TAIL, 0)
            seen[chr(block[2])] += 1
    assert min(seen[kind] for kind in "ADUEXP") > 10


def test_numbers_comp_ids_and_request_stand_in_each_message():
    with Bench(FLOW, fix=2) as bench:
        bench.advance(200)
        first, second = logged_on(bench, 0), bench.connect(1)
        second.post(Mail(layout.MESSAGE, ord("A"), 1, body=b"98=0\x01108=30\x01"))
        second.subscribe(3, b"0123456789ABCDEF", [2])
        bench.serve()
        bench.advance(100)
        for peer, request in ((first, b"REQ"), (second, b"0123456789ABCDEF")):
            messages = messages_of(peer.read())
            assert [message.number(34) for message in messages] == [*range(1, len(messages) + 1)]
            assert all(message.get(49) == b"EXCHANGE" for message in messages)
            assert all(message.get(56) == b"ME" for message in messages)
            data = [message for message in messages if message.msg_type in (b"W", b"X")]
            assert {message.get(262) for message in data} == {request}
            assert len(data) > 5
            counts = [message.number(268) for message in data]
            assert counts == [sum(tag == 269 for tag, _ in message.fields) for message in data]


def test_a_symbol_that_was_not_asked_for_or_is_no_longer_wanted_is_not_sent():
    with Bench(FLOW, fix=1) as bench:
        bench.advance(200)
        peer = bench.connect(0)
        peer.subscribe(0, b"A", [1])
        peer.subscribe(1, b"B", [2, 3])
        bench.serve()
        bench.advance(300)
        symbols = {message.get(55) for message in messages_of(peer.read())}
        assert symbols == {b"BEXA", b"CIRQ", b"DELV"}
        peer.post(Mail(layout.UNSUBSCRIBE, 1))
        bench.serve()
        bench.advance(300)
        assert {message.get(55) for message in messages_of(peer.read())} == {b"BEXA"}
        peer.post(Mail(layout.UNSUBSCRIBE, 0))
        bench.serve()
        bench.advance(100)
        assert peer.read() == b""
        assert bench.streams.state[layout.BOOKS] == 0


def test_a_gap_is_filled_under_its_own_numbers_and_the_next_message_keeps_its_own():
    with Bench(FLOW, fix=1) as bench:
        bench.advance(200)
        peer = logged_on(bench)
        assert len(messages_of(peer.read())) == 4
        for begin, end in ((2, 0), (2, 3), (1, 99)):
            peer.post(Mail(layout.GAP_FILL, begin, end))
        peer.post(Mail(layout.GAP_FILL, 5, 0))
        peer.post(Mail(layout.MESSAGE, ord("0")))
        *fills, heartbeat = messages_of(peer.read())
        assert [(fill.number(34), fill.number(36)) for fill in fills] == [(2, 5), (2, 4), (1, 5)]
        for fill in fills:
            assert (fill.msg_type, fill.get(43), fill.get(123)) == (b"4", b"Y", b"Y")
            assert fill.get(122) == fill.get(52)
        assert (heartbeat.msg_type, heartbeat.number(34)) == (b"0", 5)


def test_numbers_begin_again_where_the_mail_says_so():
    with Bench(FLOW, fix=1) as bench:
        peer = bench.connect(0)
        for number in (0, 0, 1):
            peer.post(Mail(layout.MESSAGE, ord("0"), number))
        assert [message.number(34) for message in messages_of(peer.read())] == [1, 2, 1]


def fill(peer: Peer) -> None:
    """Let the client's socket take nothing more."""
    peer.ours.setblocking(False)
    try:
        while True:
            peer.ours.send(bytes(1 << 16))
    except BlockingIOError:
        peer.ours.setblocking(True)


def test_a_client_that_does_not_read_is_dropped_when_there_is_no_room_for_it():
    flow = FlowSettings(3, 4, messages=20_000, orders_per_symbol=12)
    with Bench(flow, fix=2) as bench:
        # Little room, so that the test is short.
        bench.streams.words[layout.OUT_BYTES] = 24_000
        bench.advance(200)
        slow, quick = logged_on(bench, 0), logged_on(bench, 1)
        fill(slow)
        got = b""
        for _ in range(40):
            bench.advance(20)
            got += quick.read()
        assert slow.word(layout.HAS) == layout.GONE
        assert slow.word(layout.REASON) == layout.LATE
        assert layout.counters_by_name(bench.streams, layout.FIX)["clients_late"] == 1
        assert bench.streams.state[layout.BOOKS] == 1
        numbers = [message.number(34) for message in messages_of(got)]
        assert numbers == [*range(1, len(numbers) + 1)]
        slow.set_word(layout.WANT, layout.FREE)
        bench.serve()
        assert slow.word(layout.HAS) == layout.FREE


def test_what_waits_moves_to_the_front_and_nothing_of_it_is_lost():
    flow = FlowSettings(3, 4, messages=20_000, orders_per_symbol=12)
    with Bench(flow, fix=1) as bench:
        bench.streams.words[layout.OUT_BYTES] = 24_000
        bench.advance(200)
        peer = logged_on(bench)
        got = peer.read()
        peer.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        moved = 0
        for _ in range(600):
            before = peer.word(layout.TAIL)
            bench.advance(10)
            moved += 0 < peer.word(layout.TAIL) < before
            assert peer.word(layout.HAS) == layout.HELD
            # A little at a time: something waits always.
            bench.serve()
            if peer.word(layout.TAIL) - peer.word(layout.HEAD) > 8_000:
                got += peer.theirs.recv(1 << 16)
                bench.serve()
        got += peer.read()
    assert moved > 2
    numbers = [message.number(34) for message in messages_of(got)]
    assert numbers == [*range(1, len(numbers) + 1)]


def test_snapshots_wait_for_room_and_changes_before_them_are_not_sent():
    flow = FlowSettings(3, 40, messages=20_000, orders_per_symbol=12)
    with Bench(flow, fix=1) as bench:
        bench.streams.words[layout.OUT_BYTES] = 12_000
        for _ in range(20):
            bench.advance(100)
        peer = bench.connect(0)
        peer.subscribe(0, b"REQ", list(range(40)))
        bench.serve()
        assert 0 < peer.word(layout.PENDING) < 40
        known: set[bytes] = set()
        data = b""
        for _ in range(60):
            bench.advance(5)
            data += peer.read()
        assert peer.word(layout.PENDING) == 0
        for message in messages_of(data):
            if message.msg_type == b"W":
                known.add(message.get(55))
            else:
                assert message.get(55) in known
        assert len(known) == 40


def soup_client(peer: Peer, sequence: int) -> Client:
    """A session that is let in, from `sequence` on."""
    client = Client(0)
    client.login("me", "pw", sequence=sequence)
    answer = b"\0\x1fA" + b"S".rjust(10) + str(sequence).encode().rjust(20)
    peer.post(Mail(layout.RAW, body=answer))
    peer.post(Mail(layout.START, sequence))
    return client


def payloads(client: Client, data: bytes) -> tuple[list[bytes], bool]:
    client.receive(data, 0)
    found, is_ended = [], False
    while (event := client.next_event()) is not None:
        if isinstance(event, SequencedData):
            found.append(event.payload)
        is_ended = is_ended or isinstance(event, SessionEnded)
    return found, is_ended


@pytest.mark.parametrize("sequence", [1, 2, 777, 2500, 2501])
def test_soup_gets_the_session_from_any_message_on_and_its_end(sequence: int):
    with Bench(FLOW, soup=1) as bench:
        made = bench.advance(1200)
        peer = bench.connect(0)
        client = soup_client(peer, sequence) if sequence <= 1201 else None
        data = peer.read()
        while more := bench.advance(300):
            made += more
            data += peer.read()
        if client is None:
            client = soup_client(peer, sequence)
        data += peer.read()
        assert payloads(client, data) == (made[sequence - 1 :], True)
        assert peer.word(layout.HAS) == layout.GONE
        assert peer.word(layout.REASON) == layout.LEFT
        assert layout.counters_by_name(bench.streams, layout.SOUP)["messages_sent"] == (
            2501 - sequence
        )


def test_soup_drops_a_client_whose_next_message_is_gone():
    with Bench(FLOW, soup=1, kept=64) as bench:
        peer = bench.connect(0)
        bench.advance(64)
        soup_client(peer, 1)
        peer.read()
        bench.advance(64)
        fill(peer)
        bench.streams.words[layout.OUT_BYTES] = 200
        bench.serve()
        bench.advance(500)
        bench.serve()
        assert peer.word(layout.HAS) == layout.GONE
        assert peer.word(layout.REASON) == layout.LATE
        assert layout.counters_by_name(bench.streams, layout.SOUP)["clients_late"] == 1


def test_soup_sends_a_heartbeat_after_a_second_of_silence():
    with Bench(FLOW, soup=1) as bench:
        bench.advance(10)
        peer = bench.connect(0)
        soup_client(peer, 1)
        assert len(peer.read()) > 100
        bench.now_ns += S - 1
        assert peer.read() == b""
        bench.now_ns += 1
        assert peer.read() == b"\0\x01H"


def test_an_aborted_client_and_a_closed_socket_are_let_go():
    with Bench(FLOW, soup=2) as bench:
        aborted, closed = bench.connect(0), bench.connect(1)
        aborted.set_word(layout.WANT, layout.ABORT)
        closed.theirs.close()
        closed.post(Mail(layout.RAW, body=b"x"))
        bench.serve()
        assert (aborted.word(layout.HAS), aborted.word(layout.REASON)) == (
            layout.GONE,
            layout.LEFT,
        )
        assert (closed.word(layout.HAS), closed.word(layout.REASON)) == (
            layout.GONE,
            layout.BROKEN,
        )
        assert layout.counters_by_name(bench.streams, layout.SOUP)["clients_broken"] == 1


def test_mail_that_has_no_room_waits_and_leaving_sends_what_there_is_first():
    with Bench(FLOW, soup=1) as bench:
        peer = bench.connect(0)
        fill(peer)
        size = 100_000
        for letter in b"abc":
            peer.post(Mail(layout.RAW, body=bytes([letter]) * size))
        peer.post(Mail(layout.LEAVE))
        bench.serve()
        assert peer.word(layout.TAKEN) == 2
        data = peer.read().replace(b"\0", b"")
        assert data == b"a" * size + b"b" * size + b"c" * size
        assert peer.word(layout.HAS) == layout.GONE


@pytest.mark.parametrize(
    ("price4", "text"), [(1_234_500, "123.45"), (10_000, "1"), (100_100, "10.01"), (7, "0.0007")]
)
def test_prices_have_the_decimals_that_they_need(price4: int, text: str):
    out = np.zeros(32, np.uint8)
    size = put_price_nb(out, 0, price4)
    assert out[:size].tobytes() == f"270={text}\x01".encode()


def test_one_that_is_aborted_before_it_was_taken_on_is_let_go_all_the_same():
    with Bench(FLOW, soup=1) as bench:
        bench.streams.words[layout.WANT] = layout.ABORT
        bench.serve()
        bench.serve()
        assert bench.streams.words[layout.HAS] == layout.GONE
