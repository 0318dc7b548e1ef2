"""SoupBinTCP and FIX market data of a whole run, by clients on loopback."""

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedhandler.server.errors import ConfigError, UserError
from protocols.fix.events import ApplicationMessage, Disconnect, LoggedOn, SequenceReset
from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession
from protocols.fix.store import MemoryStore
from protocols.fix.times import format_utc_timestamp
from protocols.kernel_cache import JIT_ENABLED
from protocols.soupbintcp.events import LoginRejected, SequencedData, SessionEnded
from protocols.soupbintcp.resume import Link, ResumingClient
from tests.reference.slow_market_data import SlowMarketData, price_text
from tests.unit.tools.exchange.support import Receiver, reached, run_with, until
from tools.exchange import sender as sending
from tools.exchange.config import ExchangeConfig, FixMd, Flow, Rerequest, Session, Soup
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.runner import Exchange, open_sockets
from tools.exchange.streams import FIX, counters_by_name
from tools.exchange.tape import load_tape

pytestmark = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")

FLOW = Flow(symbols=4, rate=20_000, messages=6000, orders_per_symbol=15, start_delay_ms=20)
SESSION = Session(id="TCP1", heartbeat_ms=50, end_linger_s=0.4)
ASK = ((264, 0), (265, 1), (267, 2), (269, 0), (269, 1))


class SoupReader:
    """A resuming client with the messages that it has."""

    def __init__(self, sequence: int = 1, user: str = "me", password: str = "pw") -> None:
        self.client = ResumingClient(user, password, sequence=sequence)
        self.messages: dict[int, bytes] = {}
        self.events: list[Any] = []

    async def read(self, port: int, stop_at: int = 1 << 60) -> None:
        """One connection, until the server ends it or message `stop_at` has come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.client.connected(time.monotonic_ns())
        writer.write(self.client.data_to_send(time.monotonic_ns()))
        while data := await reader.read(4096):
            self.client.receive(data, time.monotonic_ns())
            while (event := self.client.next_event()) is not None:
                if isinstance(event, SequencedData):
                    self.messages[event.sequence] = event.payload
                else:
                    self.events.append(event)
            if self.client.next_sequence > stop_at:
                break
        writer.close()
        self.client.disconnected()


class FixReader:
    """A FIX client; what it is told goes to `events`."""

    def __init__(
        self, comp_id: str = "DESK", target: str = "EXCHANGE", heartbeat_s: int = 30
    ) -> None:
        settings = SessionSettings(
            Identity(comp_id, target),
            is_initiator=True,
            application_types=frozenset({b"W", b"X", b"Y"}),
            heartbeat_s=heartbeat_s,
            reset_on_logon=True,
        )
        self.session = FixSession(settings, MemoryStore())
        self.events: list[Any] = []
        self.messages: list[FixMessage] = []
        self.is_closed = False
        self._task: asyncio.Task[None] | None = None
        self.writer: asyncio.StreamWriter

    async def open(self, port: int) -> None:
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.session.connected(time.time_ns())
        self._send()
        self._task = asyncio.create_task(self._read(reader))
        await until(lambda: self.is_closed or bool(self.of(LoggedOn)))

    async def close(self) -> None:
        self.writer.close()
        assert self._task is not None
        await self._task

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def typed(self, msg_type: bytes) -> list[FixMessage]:
        return [message for message in self.messages if message.msg_type == msg_type]

    def request(self, name: str, symbols: str, kind: int = 1, **changes: Any) -> None:
        """MarketDataRequest; `changes` has other values by tag, `trades` for 269=2."""
        fields: list[tuple[int, Any]] = [(262, name), (263, kind)]
        fields += [(tag, changes.get(f"tag_{tag}", value)) for tag, value in ASK]
        if changes.get("trades"):
            fields[4] = (267, 3)
            fields.append((269, 2))
        fields.append((146, len(symbols.split())))
        fields += [(55, symbol) for symbol in symbols.split()]
        self.session.send(((b"V", encode_fields(*fields)),), time.time_ns())
        self._send()

    def send_raw(self, msg_type: bytes, seq: int, body: bytes, sender: str = "DESK") -> None:
        now = format_utc_timestamp(time.time_ns(), 3)
        self.writer.write(encode(Identity(sender, "EXCHANGE"), msg_type, seq, now, body))

    def _send(self) -> None:
        while data := self.session.data_to_send(time.time_ns()):
            self.writer.write(data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await self._some(reader):
            self.session.receive(data, time.time_ns())
            while (event := self.session.next_event()) is not None:
                if isinstance(event, ApplicationMessage):
                    self.messages.append(event.message)
                else:
                    self.events.append(event)
            self._send()
        self.is_closed = True

    async def _some(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(1 << 16)
        except ConnectionError:
            return b""


class DictBook:
    """Books of price levels, as W and X state them."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}

    def take(self, message: FixMessage) -> None:
        symbol, action = message.get(55).decode(), "0"
        if message.msg_type == b"W":
            self.levels[symbol, "0"], self.levels[symbol, "1"] = {}, {}
        entry: dict[int, str] = {}
        first = 269 if message.msg_type == b"W" else 279
        for tag, value in (*message.fields, (first, b"")):
            if tag == first and entry:
                self._apply(symbol, action, entry)
                entry = {}
            if tag in (279, 269, 55, 270, 271, 346) and (entry or tag == first):
                entry[tag] = value.decode()

    def _apply(self, symbol: str, action: str, entry: dict[int, str]) -> None:
        if entry[269] == "2":
            return
        side = self.levels[entry.get(55, symbol), entry[269]]
        action = entry.get(279, action)
        assert (entry[270] in side) == (action != "0")
        if action == "2":
            del side[entry[270]]
        else:
            side[entry[270]] = (int(entry[271]), int(entry[346]))


def config_of(receiver: Receiver, flow: Flow = FLOW, **other: Any) -> ExchangeConfig:
    services = {"soup": Soup(), "fix_md": FixMd()} | other
    return receiver.config(flow, SESSION, **services)


async def serving(exchange: Exchange) -> None:
    """Wait for the services, and so for kernels that nobody has compiled yet."""
    for _ in range(9000):
        if exchange.services.is_serving:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the services do not listen")


async def served(
    visit: Callable[[Exchange], Any], flow: Flow = FLOW, **other: Any
) -> tuple[Receiver, dict[str, Any], Any]:
    """A run that waits until `visit` begins it, or not at all."""

    async def visit_then_stop(exchange: Exchange) -> Any:
        await serving(exchange)
        try:
            return await visit(exchange)
        finally:
            exchange.begin()
            exchange.stop()

    with Receiver() as receiver:
        config = config_of(receiver, flow, **other)
        report, result = await run_with(config, receiver, visit_then_stop, is_waiting=True)
    return receiver, report, result


async def test_soup_carries_the_session_of_the_lines_and_resumes_anywhere():
    async def visit(exchange: Exchange) -> list[SoupReader]:
        port = exchange.services.ports["soup"]
        early, late, past = SoupReader(), SoupReader(), SoupReader(sequence=4242)
        reading = asyncio.create_task(early.read(port))
        await asyncio.sleep(0.05)
        exchange.begin()
        for stop_at in (1, 700, 2345):
            await late.read(port, stop_at)
        await asyncio.gather(reading, late.read(port))
        await reached(exchange, sending.ENDED)
        await past.read(port)
        return [early, late, past]

    receiver, report, readers = await served(visit)
    expected = receiver.messages(0)
    assert len(expected) == FLOW.messages
    for reader, first in zip(readers, (1, 1, 4242), strict=True):
        assert reader.messages == {n: expected[n] for n in range(first, FLOW.messages + 1)}
        assert reader.client.state is Link.FINISHED
        assert reader.client.session == SESSION.id
        assert isinstance(reader.events[-1], SessionEnded)
    assert report["soup"]["clients_connected"] == 6
    assert report["soup"]["messages_sent"] >= 2 * FLOW.messages
    assert report["soup_port"] > 0


async def test_soup_rejects_strangers_other_sessions_and_messages_that_are_not_kept():
    rerequest = Rerequest(history_messages=4096)
    soup = Soup(username="Me", password="Secret")

    async def visit(exchange: Exchange) -> list[str]:
        exchange.begin()
        await reached(exchange, sending.ENDED)
        reasons = []
        for sequence, password, session in (
            (6000, "wrong", ""),
            (1, "SECRET", ""),
            (6002, "secret", ""),
            (6000, "secret", "OTHER"),
        ):
            reader = SoupReader(sequence, password=password)
            reader.client.session = session
            await reader.read(exchange.services.ports["soup"])
            assert isinstance(reader.events[0], LoginRejected)
            reasons.append(reader.events[0].reason)
        good = SoupReader(0, user="ME", password="secret")
        await good.read(exchange.services.ports["soup"])
        assert sorted(good.messages) == [6000]
        return reasons

    _, report, reasons = await served(visit, rerequest=rerequest, soup=soup)
    assert reasons == ["A", "S", "S", "S"]
    assert report["soup"]["logins_rejected"] == 4


@pytest.mark.parametrize("service", ["soup", "fix_md"])
async def test_garbage_and_too_many_clients_are_dropped(service: str):
    sections = {"soup": Soup(clients_max=2), "fix_md": FixMd(clients_max=2)}

    async def visit(exchange: Exchange) -> None:
        port = exchange.services.ports[service]
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"8=FIX.4.4\x019=1\x01A"):
            if service == "soup" and garbage[:2] == b"8=":
                continue
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage + bytes(70_000))
            assert await gone(reader)
            writer.close()
        await asyncio.sleep(0.1)
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await gone(reader)
        for _, each in [*held, (reader, writer)]:
            each.close()

    _, report, _ = await served(visit, **sections)
    assert report[service]["clients_dropped"] >= 2
    assert report[service]["clients_refused"] == 1


async def gone(reader: asyncio.StreamReader) -> bool:
    """The server closed the connection, however."""
    try:
        return await asyncio.wait_for(reader.read(), 3) is not None
    except ConnectionError:
        return True


async def test_fix_books_are_those_of_the_itch_session_after_every_message():
    async def visit(exchange: Exchange) -> FixReader:
        exchange.begin()
        await reached(exchange, sending.RUNNING)
        reader = FixReader()
        await reader.open(exchange.services.ports["fix_md"])
        reader.request("ALL", "*", trades=True)
        await reached(exchange, sending.ENDED)
        await asyncio.sleep(0.1)
        await reader.close()
        return reader

    receiver, report, reader = await served(visit)
    session = [message for _, message in sorted(receiver.messages(0).items())]
    assert [each.msg_type for each in reader.messages[:4]] == [b"W"] * 4
    assert report["fix_md"]["snapshots_sent"] == 4
    slow = SlowMarketData()
    changes = [[*map(len, slow.take(message))] for message in session]
    # As many messages that change something as Xs came: those before are in the snapshots.
    updates = iter(reader.messages[4:])
    told = [index for index, counts in enumerate(changes) if any(counts)]
    first = told[-len(reader.messages[4:])]
    slow, book = SlowMarketData(), DictBook()
    for message in session[:first]:
        slow.take(message)
    for snapshot in reader.messages[:4]:
        book.take(snapshot)
    assert book.levels == levels_of(slow)
    for message, counts in zip(session[first:], changes[first:], strict=True):
        slow.take(message)
        if any(counts):
            update = next(updates)
            book.take(update)
            assert update.number(268) == sum(counts)
            assert book.levels == levels_of(slow)
    assert next(updates, None) is None
    assert sum(trades for _, trades in changes[first:]) > 10


def levels_of(slow: SlowMarketData) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    return {
        (symbol, str(code)): {
            price_text(price4): level for price4, level in slow.levels(symbol, side).items()
        }
        for symbol in ("ARLO", "BEXA", "CIRQ", "DELV")
        for code, side in enumerate("BS")
    }


async def test_requests_are_refused_with_the_reason_and_ended_by_their_id():
    async def visit(exchange: Exchange) -> FixReader:
        reader = FixReader()
        await reader.open(exchange.services.ports["fix_md"])
        reader.request("A", "ARLO BEXA")
        refused = (
            ("A", "CIRQ", {}),
            ("B", "NOPE", {}),
            ("C", "CIRQ", {"tag_264": 1}),
            ("D", "CIRQ", {"tag_265": 0}),
            ("E", "CIRQ BEXA", {}),
            ("F" * 17, "CIRQ", {}),
            ("G", "CIRQ", {"kind": 0}),
            ("H", "CIRQ", {"kind": 2}),
        )
        for name, symbols, changes in refused:
            reader.request(name, symbols, **changes)
        await until(lambda: len(reader.typed(b"Y")) == len(refused))
        exchange.begin()
        await until(lambda: len(reader.typed(b"X")) > 20)
        assert {each.get(262) for each in reader.typed(b"X")} == {b"A"}
        reader.request("A", "ARLO BEXA", kind=2)
        await asyncio.sleep(0.05)
        before = len(reader.messages)
        await asyncio.sleep(0.05)
        assert len(reader.messages) == before
        reader.request("A", "CIRQ")
        await until(lambda: len(reader.typed(b"W")) == 3)
        await reader.close()
        return reader

    _, _, reader = await served(visit)
    reasons = [(each.get(262), each.get(281)) for each in reader.typed(b"Y")]
    assert reasons == [
        (b"A", b"1"),
        (b"B", b"0"),
        (b"C", b"5"),
        (b"D", b"6"),
        (b"E", b""),
        (b"F" * 17, b""),
        (b"G", b"4"),
        (b"H", b""),
    ]
    assert all(each.get(58) for each in reader.typed(b"Y"))
    assert [each.get(55) for each in reader.typed(b"W")] == [b"ARLO", b"BEXA", b"CIRQ"]


async def test_the_session_answers_tests_resends_and_logouts_and_reconnects_from_one():
    async def visit(exchange: Exchange) -> None:
        exchange.begin()
        port = exchange.services.ports["fix_md"]
        reader = FixReader()
        await reader.open(port)
        assert reader.of(LoggedOn)[0].was_reset
        reader.request("A", "*")
        await until(lambda: len(reader.typed(b"X")) > 50)
        reader.writer.write(fix(reader, b"1", (112, "HELLO")))
        reader.writer.write(fix(reader, b"2", (7, 2), (16, 0)))
        # The gap fill leads back to numbers that the client has, as a possible duplicate.
        await until(lambda: reader.session.poss_dup_suppressed_count == 1)
        before = len(reader.messages)
        await until(lambda: len(reader.messages) > before)
        reader.session.logout("enough", time.time_ns())
        reader._send()
        await until(lambda: reader.is_closed)
        await reader.close()
        assert reader.of(Disconnect)[0].was_clean
        again = FixReader()
        await again.open(port)
        again.request("A", "ARLO")
        await until(lambda: len(again.typed(b"W")) == 1)
        await again.close()

    await served(visit, Flow(symbols=4, rate=5_000, orders_per_symbol=15, start_delay_ms=20))


async def test_an_idle_client_gets_heartbeats_and_all_get_a_logout_when_the_exchange_ends():
    async def visit(exchange: Exchange) -> FixReader:
        reader = FixReader(heartbeat_s=1)
        await reader.open(exchange.services.ports["fix_md"])
        streams = exchange.sender.streams
        assert counters_by_name(streams, FIX)["messages_sent"] == 1
        await until(lambda: counters_by_name(streams, FIX)["messages_sent"] == 2)
        exchange.begin()
        exchange.stop()
        await until(lambda: reader.is_closed)
        await reader.close()
        return reader

    _, report, reader = await served(visit)
    assert reader.of(Disconnect)[0].reason == "peer logged out: the exchange ends"
    assert report["fix_md"]["clients_dropped"] == 0


def fix(reader: FixReader, msg_type: bytes, *fields: tuple[int, Any]) -> bytes:
    """A session message of the client under its next number."""
    reader.session.outbound.send_admin(msg_type, encode_fields(*fields), time.time_ns())
    return reader.session.data_to_send(time.time_ns())


@pytest.mark.parametrize(
    ("seq", "sender", "text"),
    [
        (1, "DESK", b"MsgSeqNum too low, expecting 2 but received 1"),
        (2, "OTHER", b"CompID problem"),
    ],
)
async def test_a_number_too_low_and_another_comp_id_end_the_session_with_a_text(
    seq: int, sender: str, text: bytes
):
    async def visit(exchange: Exchange) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", exchange.services.ports["fix_md"]
        )
        logon = encode_fields((98, 0), (108, 30), (141, "Y"))
        for number, who, msg_type, body in (
            (1, "DESK", b"A", logon),
            (seq, sender, b"0", b""),
        ):
            now = format_utc_timestamp(time.time_ns(), 3)
            writer.write(encode(Identity(who, "EXCHANGE"), msg_type, number, now, body))
        data = b""
        framer = Framer(65_536)
        while b"35=5\x01" not in data:
            data += await asyncio.wait_for(reader.read(4096), 2)
        writer.close()
        framer.feed(data)
        found = [decode(frame) for frame in iter(framer.next_frame, None)]
        return found[-1].get(58)

    _, _, said = await served(visit)
    assert said == text


async def test_a_logon_to_somebody_else_is_refused_with_a_text():
    async def visit(exchange: Exchange) -> FixReader:
        reader = FixReader(target="SOMEBODY")
        await reader.open(exchange.services.ports["fix_md"])
        await until(lambda: reader.is_closed)
        await reader.close()
        return reader

    _, report, reader = await served(visit)
    assert report["fix_md"]["logins_rejected"] == 1
    assert not reader.of(LoggedOn)


async def test_a_client_that_does_not_read_is_dropped_and_another_is_not_disturbed():
    flow = Flow(symbols=4, rate=400_000, orders_per_symbol=15, start_delay_ms=20)

    async def visit(exchange: Exchange) -> tuple[int, FixReader]:
        exchange.begin()
        port = exchange.services.ports["fix_md"]
        await reached(exchange, sending.RUNNING)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        shape = FixReader("DEAF")
        shape.session.connected(time.time_ns())
        await loop.sock_sendall(deaf, shape.session.data_to_send(time.time_ns()))
        ask = ((262, "A"), (263, 1), *ASK, (146, 1), (55, "*"))
        now = format_utc_timestamp(time.time_ns(), 3)
        identity = Identity("DEAF", "EXCHANGE")
        await loop.sock_sendall(deaf, encode(identity, b"V", 2, now, encode_fields(*ask)))
        reader = FixReader()
        await reader.open(port)
        streams = exchange.sender.streams
        await until(lambda: counters_by_name(streams, FIX)["clients_late"] == 1)
        reader.request("A", "DELV")
        await until(lambda: len(reader.typed(b"X")) > 10)
        deaf.close()
        await reader.close()
        return counters_by_name(streams, FIX)["clients_late"], reader

    _, report, (late, reader) = await served(visit, flow)
    assert late == report["fix_md"]["clients_late"] == 1
    assert not reader.of(SequenceReset)[1:]


async def test_a_port_that_is_taken_and_market_data_of_a_tape_are_told(tmp_path: Path):
    with socket.socket() as taken, Receiver() as receiver:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = config_of(receiver, fix_md=FixMd(port=port))
        with pytest.raises(UserError, match=f"fix_md: cannot listen on 127.0.0.1:{port}"):
            await run_with(config, receiver)
        path = tmp_path / "tape.bin"
        generate_file(FlowSettings(1, 3, messages=500, orders_per_symbol=10), path)
        tape = load_tape(path)
        with pytest.raises(ConfigError, match="fix_md: with --tape no books are kept"):
            await run_with(config_of(receiver), receiver, tape=tape)


async def test_soup_serves_a_tape(tmp_path: Path):
    path = tmp_path / "tape.bin"
    generate_file(FlowSettings(1, 3, messages=500, orders_per_symbol=10), path)
    tape = load_tape(path)
    reader = SoupReader()

    async def visit(exchange: Exchange) -> None:
        await serving(exchange)
        await reader.read(exchange.services.ports["soup"])

    with Receiver() as receiver:
        config = receiver.config(FLOW, SESSION, soup=Soup())
        await run_with(config, receiver, visit, tape=tape)
        assert reader.messages == receiver.messages(0)
    assert len(reader.messages) == 500


def test_without_their_sections_nothing_is_served():
    with Receiver() as receiver:
        config = receiver.config(FLOW, SESSION)
        with open_sockets(config) as sockets:
            exchange = Exchange(config, sockets)
    assert exchange.services.counters() == {}
    assert len(exchange.sender.streams.out) == 0
