"""Endings that loopback rarely shows: resets, a failing store, a peer that never closes."""

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from oms_out.link import Link
from protocols.fix.events import Event, LoggedOn
from protocols.fix.message import Identity, decode, encode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.session import FixSession, State
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S, format_utc_timestamp


class Clock:
    """Ns since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now_ns = time.time_ns()

    def __call__(self) -> int:
        return self.now_ns


class FailingStore(MemoryStore):
    """A disk that fails from the moment that the test says so."""

    is_failing = False

    def append(self, messages: Sequence[bytes]) -> None:
        if self.is_failing:
            raise OSError(errno.EIO, "Input/output error")
        super().append(messages)

    def read(self, first_seq: int, last_seq: int) -> Iterator[tuple[int, bytes]]:
        if self.is_failing:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(first_seq, last_seq)


class Desk:
    """A link over a socket pair, its owner, and the peer's end."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = FailingStore()
        self.events: list[Event] = []
        self.sent_stamps: list[int] = []
        self.endings: list[tuple[str, bool]] = []
        self.fault: Exception | None = None
        self.peer, ours = socket.socketpair()
        for sock in (self.peer, ours):
            sock.setblocking(False)
        settings = SessionSettings(Identity("US", "PEER"), False, frozenset({b"B"}))
        self.session = FixSession(settings, self.store)
        self.seq = 0
        self.link = Link(
            TcpLike(ours),
            self.session,
            self,
            outbound_cap_bytes=1 << 20,
            clock_ns=self.clock,
        )

    def on_event(self, _link: Link, event: Event) -> None:
        self.events.append(event)
        if self.fault is not None:
            raise self.fault

    def on_sent(self, rx_stamps_ns: list[int]) -> None:
        self.sent_stamps += rx_stamps_ns

    def on_closed(self, _link: Link, reason: str, *, was_clean: bool) -> None:
        self.endings.append((reason, was_clean))

    def wire(self, msg_type: bytes, body: bytes = b"") -> bytes:
        self.seq += 1
        stamp = format_utc_timestamp(self.clock.now_ns)
        return encode(Identity("PEER", "US"), msg_type, self.seq, stamp, body)

    def log_on(self) -> None:
        self.link.start(self.wire(b"A", encode_fields((98, 0), (108, 30))))
        assert isinstance(self.events[0], LoggedOn)

    async def say(self, msg_type: bytes, body: bytes = b"") -> None:
        self.peer.send(self.wire(msg_type, body))
        await asyncio.sleep(0.01)


class TcpLike(socket.socket):
    """A socket of a pair that accepts TCP's option."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())

    def setsockopt(self, *_arguments: object) -> None:
        """TCP_NODELAY means nothing here."""


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.peer.close()
    made.link.close("end of the test")


async def test_a_logout_that_the_peer_never_follows_by_closing_is_closed_after_a_moment(desk: Desk):
    desk.log_on()
    await desk.say(b"5")
    assert desk.endings == []
    desk.link.tick(desk.clock.now_ns + NS_PER_S // 2)
    desk.link.flush()
    assert desk.endings == []
    desk.link.tick(desk.clock.now_ns + NS_PER_S)
    assert desk.endings == [("peer logged out", True)]
    desk.link.close("again")
    assert len(desk.endings) == 1


async def test_a_peer_that_is_gone_when_we_write_ends_the_link(desk: Desk):
    desk.log_on()
    desk.peer.close()
    desk.session.send(((b"B", b"148=x\x01"),), desk.clock.now_ns)
    desk.link.flush()
    assert desk.endings == [("connection lost: Broken pipe", False)]
    assert desk.session.state is State.DISCONNECTED
    desk.link.flush()


async def test_a_reset_of_the_peer_ends_the_link(desk: Desk):
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    ours, _ = listener.accept()
    ours.setblocking(False)
    link = Link(ours, desk.session, desk, outbound_cap_bytes=1000, clock_ns=desk.clock)
    link.start(desk.wire(b"A", encode_fields((98, 0), (108, 30))))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    peer.close()
    await asyncio.sleep(0.05)
    assert desk.endings == [("connection lost: Connection reset by peer", False)]
    listener.close()


async def test_a_store_that_cannot_be_read_for_a_replay_ends_the_link(desk: Desk):
    desk.log_on()
    desk.session.send(((b"B", b"148=x\x01"),), desk.clock.now_ns)
    desk.store.is_failing = True
    await desk.say(b"2", encode_fields((7, 1), (16, 0)))
    assert desk.endings == [("store: [Errno 5] Input/output error", False)]


@pytest.mark.parametrize("occasion", ["timer", "logout", "start"])
async def test_a_store_that_cannot_be_written_ends_the_link_on_every_occasion(
    desk: Desk, occasion: str
):
    if occasion == "start":
        desk.store.is_failing = True
        desk.link.start(desk.wire(b"A", encode_fields((98, 0), (108, 30))))
    else:
        desk.log_on()
        desk.store.is_failing = True
    if occasion == "timer":
        desk.clock.now_ns += 31 * NS_PER_S
        desk.link.tick(desk.clock.now_ns)
    elif occasion == "logout":
        desk.link.log_out("bye")
    assert desk.endings == [("store: [Errno 5] Input/output error", False)]


async def test_stamps_are_reported_when_their_message_has_left(desk: Desk):
    desk.log_on()
    first = desk.session.send([(b"B", b"148=x\x01")] * 3, desk.clock.now_ns)
    for at in range(3):
        assert desk.link.announce(first + at, 100 + at)
    desk.link.flush()
    assert desk.sent_stamps == [100, 101, 102]
    assert desk.link.awaiting_count == 0


async def test_more_than_the_bound_of_waiting_stamps_is_refused(desk: Desk):
    desk.log_on()
    accepted = sum(desk.link.announce(10**9, 0) for _ in range(70_000))
    assert accepted == desk.link.awaiting_count == 65_536


async def test_what_the_kernel_does_not_take_follows_when_the_peer_reads(desk: Desk):
    desk.log_on()
    messages = [(b"B", b"148=" + b"x" * 900 + b"\x01")] * 700
    desk.session.send(messages, desk.clock.now_ns)
    desk.link.flush()
    assert desk.link.queued_bytes > 0
    received = b""
    async with asyncio.timeout(5):
        while received.count(b"\x0135=B\x01") < 700:
            received += await asyncio.get_running_loop().sock_recv(desk.peer, 65_536)
    assert desk.link.queued_bytes == 0
    assert decode(received[: received.index(b"8=FIX", 1)]).msg_type == b"A"
    desk.link.close("done")


async def test_bytes_after_the_end_of_the_session_are_thrown_away(desk: Desk):
    desk.log_on()
    await desk.say(b"5")
    await desk.say(b"B", b"148=late\x01")
    assert [type(event).__name__ for event in desk.events] == ["LoggedOn", "Disconnect"]
    desk.peer.close()
    await asyncio.sleep(0.01)
    assert desk.endings == [("peer logged out", True)]


async def test_a_peer_cannot_fill_our_memory_after_the_end_of_its_session(desk: Desk):
    desk.log_on()
    messages = [(b"B", b"148=" + b"x" * 900 + b"\x01")] * 700
    desk.session.send(messages, desk.clock.now_ns)
    # The session ends while the peer does not read what is there for it.
    desk.seq = 0
    await desk.say(b"0")
    assert type(desk.events[-1]).__name__ == "Disconnect"
    assert desk.endings == []
    for _ in range(50):
        desk.peer.send(b"8=FIX.4.4\x019=60000\x01" + b"z" * 8_000)
        await asyncio.sleep(0.001)
    assert desk.session.framer.buffered_bytes < 8_000
    desk.link.close("cut")


async def test_a_session_without_a_connection_keeps_no_half_message(desk: Desk):
    desk.log_on()
    desk.peer.send(b"8=FIX.4.4\x019=60000\x01" + b"z" * 4_000)
    await asyncio.sleep(0.01)
    assert desk.session.framer.buffered_bytes > 4_000
    desk.link.close("cut")
    assert desk.session.framer.buffered_bytes == 0


async def test_a_fault_of_the_owner_is_none_of_the_store(desk: Desk):
    desk.log_on()
    desk.fault = OSError(errno.ENOSPC, "No space left on device")
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: faults.append(context["exception"])
    )
    await desk.say(b"B", b"148=x\x01")
    assert faults == [desk.fault]
    assert desk.endings == []
    desk.fault = None
    await desk.say(b"1", encode_fields((112, "still here")))
    assert b"112=still here" in desk.peer.recv(65_536)


async def test_a_connection_to_a_machine_that_is_gone_is_noticed_by_the_kernel(desk: Desk):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    link = Link(ours, desk.session, desk, outbound_cap_bytes=1000, clock_ns=desk.clock)
    link.start()
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle_s = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    interval_s = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
    count = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
    assert idle_s + interval_s * count <= 60
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    link.close("done")
    peer.close()
