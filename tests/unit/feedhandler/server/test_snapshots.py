"""The snapshot service against real SoupBinTCP sessions on loopback, well-behaved and not."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from feedhandler.core.shard import Control, Shard
from feedhandler.core.snapshot import Snapshot
from feedhandler.server.config import GlimpseConfig
from feedhandler.server.snapshots import SnapshotService, read_control_nb, write_control_nb
from protocols.glimpse.loader import SnapshotLoader
from protocols.glimpse.spec import encode_end_of_snapshot
from protocols.soupbintcp.events import LoginRequested
from protocols.soupbintcp.session import Server
from tests.unit.feedhandler.core.support import add, make_shard

MESSAGES = [add(7, "B", 100, 10_000), add(8, "S", 200, 10_100)]
Writer = asyncio.StreamWriter
Talk = Callable[[Server, LoginRequested], None]
"""What a service does with a login; the session's bytes are sent afterwards."""


def serve_all(server: Server, _login: LoginRequested) -> None:
    server.accept("SESSION", 1)
    for message in (*MESSAGES, encode_end_of_snapshot(1_234)):
        server.send_sequenced(message)


def refuse(server: Server, _login: LoginRequested) -> None:
    server.reject("A")


def break_off(server: Server, _login: LoginRequested) -> None:
    server.accept("SESSION", 1)
    server.send_sequenced(MESSAGES[0])


def send_too_much(server: Server, _login: LoginRequested) -> None:
    server.accept("SESSION", 1)
    for i in range(10_000):
        server.send_sequenced(add(i + 1, "B", 100, 10_000))


def end_without_a_number(server: Server, _login: LoginRequested) -> None:
    server.accept("SESSION", 1)
    server.send_sequenced(b"Gxx")


@contextlib.asynccontextmanager
async def listening(on_client: Callable[[asyncio.StreamReader, Writer], Awaitable[None]]):
    """A port of this machine where each client is given to `on_client`, then closed."""

    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            await on_client(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def speak(talk: Talk) -> Callable[[asyncio.StreamReader, Writer], Awaitable[None]]:
    async def on_client(reader: asyncio.StreamReader, writer: Writer) -> None:
        session = Server(time.monotonic_ns())
        event = None
        while event is None:
            session.receive(await reader.read(4_096), time.monotonic_ns())
            event = session.next_event()
        assert isinstance(event, LoginRequested)
        talk(session, event)
        with contextlib.suppress(ConnectionError):
            writer.write(session.data_to_send(time.monotonic_ns()))
            await writer.drain()

    return on_client


class Client:
    """A service with its shard; counts what failed."""

    def __init__(self, port: int, **config: object) -> None:
        self.shard: Shard = make_shard()
        self.failures = 0
        self.service = SnapshotService(
            self.shard,
            SnapshotLoader,
            GlimpseConfig(port=port, **config),  # type: ignore[arg-type]
            self._on_failure,
        )

    def _on_failure(self) -> None:
        self.failures += 1

    def state(self) -> Snapshot:
        return Snapshot(read_control_nb(self.shard.control, Control.SNAPSHOT))

    def want(self) -> None:
        write_control_nb(self.shard.control, Control.SNAPSHOT, Snapshot.WANTED)
        self.service.on_wanted()

    async def outcome(self) -> Snapshot:
        """State when the loading is over."""
        task = self.service._task
        assert task is not None
        await asyncio.wait_for(asyncio.shield(task), 5)
        return self.state()


@pytest.fixture
async def nobody() -> int:
    """A port where nobody listens."""
    async with listening(speak(serve_all)) as port:
        pass
    return port


async def test_a_snapshot_is_loaded_and_handed_over():
    seen: list[LoginRequested] = []

    def talk(server: Server, login: LoginRequested) -> None:
        seen.append(login)
        serve_all(server, login)

    async with listening(speak(talk)) as port:
        client = Client(port, username="user", password="secret")
        client.want()
        assert client.state() == Snapshot.LOADING
        assert await client.outcome() == Snapshot.READY
    control = client.shard.control
    assert read_control_nb(control, Control.SNAPSHOT_BLOCKS) == len(MESSAGES)
    assert read_control_nb(control, Control.SNAPSHOT_SEQ) == 1_234
    size = len(MESSAGES[0])
    assert client.shard.snapshot[: size + 2].tobytes() == size.to_bytes(2, "big") + MESSAGES[0]
    assert [(login.username, login.password) for login in seen] == [("user", "secret")]
    assert client.failures == 0


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (refuse, "login rejected, reason A"),
        (break_off, "closed the connection before the end"),
        (send_too_much, "raise engine.snapshot_bytes"),
        (end_without_a_number, "G"),
    ],
)
async def test_a_service_that_does_not_deliver_is_a_counted_failure(
    talk: Talk, reason: str, capsys: pytest.CaptureFixture[str]
):
    async with listening(speak(talk)) as port:
        client = Client(port)
        client.want()
        assert await client.outcome() == Snapshot.FAILED
    assert client.failures == 1
    said = capsys.readouterr().out
    assert "snapshot_failed" in said
    assert f"127.0.0.1:{port}" in said
    assert reason in said


async def test_a_service_that_is_not_there_is_a_counted_failure(nobody: int):
    client = Client(nobody)
    client.want()
    assert await client.outcome() == Snapshot.FAILED
    assert client.failures == 1


async def test_a_service_that_keeps_silent_is_given_up_after_its_time():
    released = asyncio.Event()

    async def keep_silent(_reader: asyncio.StreamReader, _writer: Writer) -> None:
        await released.wait()

    async with listening(keep_silent) as port:
        client = Client(port, timeout_s=1)
        started_s = time.monotonic()
        client.want()
        assert await client.outcome() == Snapshot.FAILED
        assert 0.9 < time.monotonic() - started_s < 3
        released.set()
    assert client.failures == 1


async def test_a_failure_can_be_followed_by_a_success():
    attempts = [serve_all, refuse]

    def talk(server: Server, login: LoginRequested) -> None:
        attempts.pop()(server, login)

    async with listening(speak(talk)) as port:
        client = Client(port)
        client.want()
        assert await client.outcome() == Snapshot.FAILED
        client.want()
        assert await client.outcome() == Snapshot.READY
    assert client.failures == 1


async def test_nothing_is_loaded_unless_it_is_wanted(nobody: int):
    client = Client(nobody)
    client.service.on_wanted()
    await asyncio.sleep(0.01)
    assert client.state() == Snapshot.IDLE
    assert client.failures == 0


async def test_what_is_being_loaded_is_not_asked_for_twice_and_can_be_given_up():
    clients: list[Writer] = []
    came, released = asyncio.Event(), asyncio.Event()

    async def count(_reader: asyncio.StreamReader, writer: Writer) -> None:
        clients.append(writer)
        came.set()
        await released.wait()

    async with listening(count) as port:
        client = Client(port)
        client.want()
        client.want()
        await asyncio.wait_for(came.wait(), 5)
        await asyncio.sleep(0.02)
        assert len(clients) == 1
        await client.service.stop()
        await client.service.stop()
        released.set()
    assert client.failures == 0


async def test_a_fault_of_ours_is_a_failure_too_and_the_engine_is_told(
    monkeypatch: pytest.MonkeyPatch, nobody: int
):
    client = Client(nobody)

    def fail(*_arguments: object) -> None:
        raise UnicodeError("label empty or too long")

    monkeypatch.setattr(asyncio, "open_connection", fail)
    client.want()
    assert await client.outcome() == Snapshot.FAILED
    assert client.failures == 1


def test_control_words_pass_through_unchanged():
    control = np.zeros(72, np.int64)
    write_control_nb(control, Control.SNAPSHOT_SEQ, 1 << 60)
    assert read_control_nb(control, Control.SNAPSHOT_SEQ) == 1 << 60
    assert np.count_nonzero(control) == 1
