"""The echo acceptor over loopback, as a foreign engine sees it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from oms_out import acceptor
from protocols.fix.framing import Framer
from protocols.fix.message import FixMessage, Identity, decode, encode, encode_fields
from protocols.fix.rules import SessionSettings
from protocols.fix.times import format_utc_timestamp
from tests.programs import run_here
from tools.fix_echo import server as echo_server
from tools.fix_echo.server import ECHOED_TYPES, EchoServer

ROOT = Path(__file__).resolve().parents[4]
ORDER = ((11, "ID"), (55, "X"), (54, 1), (38, 100), (40, 1))


class Peer:
    """A client that does only what the test says; times out by the test's own limit."""

    def __init__(self, sock: socket.socket, begin: bytes, sender: str = "TW44") -> None:
        self.sock = sock
        self.identity = Identity(sender, "ISLD", begin)
        self.framer = Framer()
        self.seq = 0

    async def say(self, msg_type: bytes, *fields: tuple[int, bytes | str | int]) -> None:
        self.seq += 1
        stamp = format_utc_timestamp(time.time_ns())
        wire = encode(self.identity, msg_type, self.seq, stamp, encode_fields(*fields))
        await asyncio.get_running_loop().sock_sendall(self.sock, wire)

    async def order(self, *more: tuple[int, str]) -> None:
        when = (60, format_utc_timestamp(time.time_ns()))
        handling = ((21, 1),) if self.identity.begin_string == b"FIX.4.2" else ()
        await self.say(b"D", *more, *ORDER, when, *handling)

    async def log_on(self) -> FixMessage:
        version = ((1137, 9),) if self.identity.begin_string == b"FIXT.1.1" else ()
        await self.say(b"A", (98, 0), (108, 30), *version)
        answer = await self.hear()
        assert answer is not None
        return answer

    async def hear(self) -> FixMessage | None:
        """The next message; None when the connection was closed."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while (frame := self.framer.next_frame()) is None:
                with suppress(ConnectionResetError):
                    if data := await loop.sock_recv(self.sock, 65_536):
                        self.framer.feed(data)
                        continue
                return None
        return decode(frame)


class Rig:
    """A server on a free port, and the peers that dialled it."""

    def __init__(self, begin: bytes = b"FIX.4.4") -> None:
        self.begin = begin
        self.lines: list[str] = []
        settings = SessionSettings(
            Identity("ISLD", "TW44", begin), False, ECHOED_TYPES, reset_on_logon=True
        )
        self.server = EchoServer(settings, self.lines.append)
        self.server.listen("127.0.0.1", 0)
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.server.run(self.stop))
        self.peers: list[Peer] = []

    async def dial(self, sender: str = "TW44") -> Peer:
        sock = socket.socket()
        sock.setblocking(False)
        address = ("127.0.0.1", self.server.port)
        await asyncio.get_running_loop().sock_connect(sock, address)
        self.peers.append(Peer(sock, self.begin, sender))
        return self.peers[-1]

    async def finish(self) -> None:
        for peer in self.peers:
            peer.sock.close()
        self.stop.set()
        await self.task


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.finish()


@pytest.mark.parametrize("begin", [b"FIX.4.2", b"FIX.4.4", b"FIXT.1.1"])
async def test_an_order_comes_back_as_it_came_in_every_version(begin: bytes):
    rig = Rig(begin)
    peer = await rig.dial()
    answer = await peer.log_on()
    assert (answer.msg_type, answer.get(8)) == (b"A", begin)
    await peer.order()
    echo = await peer.hear()
    assert echo is not None
    assert echo.msg_type == b"D"
    assert [(tag, echo.get(tag)) for tag in (34, 49, 56)] == [
        (34, b"2"), (49, b"ISLD"), (56, b"TW44")
    ]  # fmt: skip
    assert echo.fields[7:12] == tuple((tag, str(value).encode()) for tag, value in ORDER)
    await rig.finish()


async def test_a_possible_resend_of_what_was_answered_is_not_answered(rig: Rig):
    peer = await rig.dial()
    await peer.log_on()
    await peer.order()
    assert (await peer.hear()).get(97) == b""
    await peer.order((97, "Y"))
    await peer.say(b"1", (112, "NEXT"))
    assert (await peer.hear()).get(112) == b"NEXT"
    await peer.say(b"5")
    assert (await peer.hear()).msg_type == b"5"


async def test_a_possible_resend_of_what_was_never_seen_is_answered_with_its_flag(rig: Rig):
    for _ in range(2):
        peer = await rig.dial()
        await peer.log_on()
        await peer.order((97, "Y"))
        assert (await peer.hear()).get(97) == b"Y"
        await peer.say(b"5")
        assert (await peer.hear()).msg_type == b"5"
        assert await peer.hear() is None
        peer.sock.close()
        await asyncio.sleep(0.05)


async def test_an_echo_goes_back_the_way_that_the_order_came(rig: Rig):
    peer = await rig.dial()
    await peer.log_on()
    await peer.order((115, "DESK"), (129, "SUB"))
    echo = await peer.hear()
    assert (echo.get(128), echo.get(116), echo.get(115)) == (b"DESK", b"SUB", b"")


async def test_a_definition_is_echoed_each_time(rig: Rig):
    peer = await rig.dial()
    await peer.log_on()
    for flag in ((), ((97, "Y"),)):
        await peer.say(b"d", *flag, (320, "R"), (322, "A"), (323, 6), (55, "X"))
        assert (await peer.hear()).get(320) == b"R"


async def test_a_second_connection_is_refused_and_the_first_goes_on(rig: Rig):
    first = await rig.dial()
    await first.log_on()
    second = await rig.dial()
    await second.say(b"A", (98, 0), (108, 30))
    assert await second.hear() is None
    await first.say(b"1", (112, "STILL"))
    assert (await first.hear()).get(112) == b"STILL"
    assert any("logged on already" in line for line in rig.lines)


async def test_a_stranger_gets_no_answer(rig: Rig):
    peer = await rig.dial("OTHER")
    await peer.say(b"A", (98, 0), (108, 30))
    assert await peer.hear() is None


async def test_connections_that_say_nothing_are_bounded_in_number_and_time(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(acceptor, "_DOORWAYS_MAX", 2)
    rig = Rig()
    object.__setattr__(rig.server.session.settings, "logon_timeout_ns", 300_000_000)
    peers = [await rig.dial() for _ in range(3)]
    assert [await peer.hear() for peer in peers] == [None] * 3
    assert sum("too many connections" in line for line in rig.lines) == 1
    assert sum("no Logon in time" in line for line in rig.lines) == 2
    await rig.finish()


async def test_ids_are_kept_up_to_a_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(echo_server, "_IDS_MAX", 0)
    peer = await rig.dial()
    await peer.log_on()
    for flags in ((), ((97, "Y"),)):
        await peer.order(*flags)
        assert (await peer.hear()).msg_type == b"D"


async def test_stop_says_logout_and_waits_for_the_answer():
    rig = Rig()
    peer = await rig.dial()
    await peer.log_on()
    waiting = await rig.dial()
    await asyncio.sleep(0.05)
    rig.stop.set()
    assert (await peer.hear()).msg_type == b"5"
    await peer.say(b"5")
    assert await waiting.hear() is None
    await rig.finish()
    assert "ended: both sides logged out" in rig.lines


async def test_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(acceptor, "_STOP_S", 0.1)
    rig = Rig()
    peer = await rig.dial()
    await peer.log_on()
    rig.stop.set()
    await rig.task
    assert "cut: server stopped" in rig.lines
    await rig.finish()


async def test_a_taken_port_is_the_callers_error(rig: Rig):
    other = EchoServer(rig.server.session.settings, rig.lines.append)
    with pytest.raises(OSError, match="in use"):
        other.listen("127.0.0.1", rig.server.port)


run_command = partial(run_here, "tools.fix_echo")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--port", "0", "--begin", "FIX.4.1"), "FIX.4.1"),
        (("--port", "0", "--appl", "FIX.5.0"), "--appl FIX.5.0"),
        (("--port", "0", "--begin", "FIX.4.2", "--next-expected"), "789"),
        (("--port", "0", "--sender", ""), "tag 49"),
        ((), "port"),
    ],
)
def test_wrong_options_end_with_2_and_one_line(arguments: tuple[str, ...], problem: str):
    done = run_command(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("fix-echo: error: ")
    assert problem.lower() in line.lower()


def test_a_taken_port_ends_with_the_code_for_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_command("--port", str(taken.getsockname()[1]))
    assert done.returncode == 71
    assert "another process has this port" in done.stderr


def test_the_command_listens_and_ends_at_sigterm():
    command = [sys.executable, "-m", "tools.fix_echo", "--port", "0", "--target", "ME"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        port = int(first.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as sock:
            stamp = format_utc_timestamp(time.time_ns())
            body = encode_fields((98, 0), (108, 30))
            sock.sendall(encode(Identity("ME", "ISLD"), b"A", 1, stamp, body))
            assert b"\x0135=A\x01" in sock.recv(4096)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdout.close()


async def test_outside_of_its_hours_nobody_logs_on(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rig.server._hours, "are_open", lambda _now_ns: False)
    peer = await rig.dial()
    await peer.say(b"A", (98, 0), (108, 30))
    assert await peer.hear() is None
    assert "outside of the session's hours" in rig.lines[-1]


async def test_a_session_is_logged_out_when_its_hours_are_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    peer = await rig.dial()
    await peer.log_on()
    monkeypatch.setattr(rig.server._hours, "are_open", lambda _now_ns: False)
    goodbye = await peer.hear()
    assert (goodbye.msg_type, goodbye.get(58)) == (b"5", b"outside of the session's hours")
    await peer.say(b"5")
    assert await peer.hear() is None


async def test_the_first_logon_of_a_window_starts_the_numbers_at_1(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rig.server._hours, "begin", lambda _now_ns: True)
    peer = await rig.dial()
    await peer.log_on()
    assert "first logon of these hours: numbers start at 1" in rig.lines


CFG = "[DEFAULT]\nConnectionType=acceptor\n[SESSION]\nSenderCompID=ISLD\nTargetCompID=TW44\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CFG + "ResetOnLogin=Y\n", "unknown key ResetOnLogin; ResetOnLog"),
        (CFG.replace("acceptor", "initiator"), "an acceptor is needed"),
        ("\xff", "a.cfg: "),
        (None, "a.cfg: No such file"),
    ],
)
def test_a_wrong_configuration_is_one_line(text: str | None, named: str, tmp_path: Path):
    path = tmp_path / "a.cfg"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    done = run_command("--config", str(path))
    assert done.returncode == 78
    assert named in done.stderr
    assert done.stderr.count("\n") == 1


def test_neither_port_nor_configuration_is_a_mistake_of_usage():
    done = run_command()
    assert (done.returncode, done.stderr) == (
        2,
        "fix-echo: error: --port or --config is needed\n",
    )


def test_a_quickfix_configuration_decides_version_and_names(tmp_path: Path):
    path = tmp_path / "a.cfg"
    path.write_text(CFG + "BeginString=FIX.4.2\nSocketAcceptPort=0\n")
    command = [sys.executable, "-m", "tools.fix_echo", "--config", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("fix-echo: FIX.4.2 on 127.0.0.1:")
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2]))) as sock:
            stamp = format_utc_timestamp(time.time_ns())
            body = encode_fields((98, 0), (108, 30))
            sock.sendall(encode(Identity("TW44", "ISLD", b"FIX.4.2"), b"A", 1, stamp, body))
            assert b"\x0149=ISLD\x01" in sock.recv(4096)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()
