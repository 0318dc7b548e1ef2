"""`exchange run --tape`: a session from a file, byte for byte, and what cannot be one."""

import socket
import sys
from pathlib import Path

import pytest

from feedhandler.server.errors import DataError, ExitCode
from protocols.kernel_cache import JIT_ENABLED
from protocols.moldudp64.codec import Request, decode_packet, encode_request
from tests.reference.exchange_checker import blocks
from tests.unit.tools.exchange.support import Receiver, reached, run_with, until
from tools.exchange import __main__ as command
from tools.exchange import sender as sending
from tools.exchange.config import Flow, Rerequest, Session
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.runner import Exchange
from tools.exchange.tape import load_tape

MESSAGES = 5_000
SESSION = Session(id="TAPE1", heartbeat_ms=20, end_linger_s=0.1)

needs_pace = pytest.mark.skipif(not JIT_ENABLED, reason="the interpreter cannot keep the pace")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tape") / "day.bin"
    generate_file(FlowSettings(2, 5, messages=MESSAGES, orders_per_symbol=20), path)
    return path


def expected(path: Path) -> dict[int, bytes]:
    return dict(enumerate(blocks(path.read_bytes()), 1))


@pytest.mark.alone
@needs_pace
async def test_both_lines_carry_the_tape_and_the_report_is_its_truth(path: Path):
    with Receiver() as receiver:
        config = receiver.config(Flow(rate=50_000, start_delay_ms=20), SESSION)
        report, _ = await run_with(config, receiver, tape=load_tape(path))
        for line in (0, 1):
            assert receiver.messages(line) == expected(path)
            ends = {packet.sequence for packet in receiver.packets[line] if packet.ended}
            assert ends == {MESSAGES + 1}
    truth = load_tape(path).truth
    assert report["sent"] == report["messages"] == MESSAGES
    assert report["state"] == "ended"
    assert {key: report[key] for key in truth} == truth
    assert report["glimpse_port"] == 0
    assert abs(report["rate"] / 50_000 - 1) < 0.05


@needs_pace
async def test_every_message_can_be_asked_for_again(path: Path):
    async def visit(exchange: Exchange) -> dict[int, bytes]:
        await reached(exchange, sending.ENDED)
        found: dict[int, bytes] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as requester:
            requester.connect(("127.0.0.1", exchange.ports["rerequest"]))
            requester.setblocking(False)

            def receive_all() -> bool:
                while len(found) < MESSAGES:
                    requester.send(encode_request(Request("TAPE1", len(found) + 1, MESSAGES)))
                    try:
                        packet = decode_packet(requester.recv(2_048))
                    except BlockingIOError:
                        return False
                    if packet.sequence == len(found) + 1:
                        found.update(enumerate(packet.messages, packet.sequence))
                return True

            await until(receive_all)
        return found

    with Receiver() as receiver:
        config = receiver.config(
            Flow(rate=1_000_000, start_delay_ms=0),
            Session(id="TAPE1", end_linger_s=5),
            rerequest=Rerequest(history_messages=65_536),
        )

        async def visit_and_stop(exchange: Exchange) -> dict[int, bytes]:
            try:
                return await visit(exchange)
            finally:
                exchange.stop()

        _, found = await run_with(config, receiver, visit_and_stop, tape=load_tape(path))
    assert found == expected(path)


@needs_pace
async def test_one_that_is_stopped_says_how_far_it_came_and_claims_no_books(path: Path):
    async def visit(exchange: Exchange) -> None:
        await until(lambda: exchange.status()["sent"] > 100)
        exchange.stop()

    with Receiver() as receiver:
        config = receiver.config(Flow(rate=1_000, start_delay_ms=0), SESSION)
        report, _ = await run_with(config, receiver, visit, tape=load_tape(path))
        assert len(receiver.messages(0)) == report["sent"]
    assert report["state"] == "stopped"
    assert 100 < report["sent"] == report["messages"] < MESSAGES
    assert "books_digest" not in report


def test_a_packed_tape_is_the_same(path: Path, tmp_path: Path):
    generate_file(
        FlowSettings(2, 5, messages=MESSAGES, orders_per_symbol=20), tmp_path / "day.bin.gz"
    )
    packed, plain = load_tape(tmp_path / "day.bin.gz"), load_tape(path)
    assert packed.buf.tobytes() == plain.buf.tobytes()
    assert (packed.messages, packed.truth) == (MESSAGES, plain.truth)


def broken(path: Path, folder: Path, data: bytes | None, truth: bytes | None) -> Path:
    """A copy of the tape with other bytes or another truth; neither where it is empty."""
    copy = folder / "copy.bin"
    data = path.read_bytes() if data is None else data
    truth = Path(f"{path}.truth.json").read_bytes() if truth is None else truth
    copy.write_bytes(data)
    if truth:
        Path(f"{copy}.truth.json").write_bytes(truth)
    return copy


@pytest.mark.parametrize(
    ("data", "truth", "said"),
    [
        (b"", None, "at byte 0: the file is empty"),
        (b"\0\0", None, "at byte 0: the tape holds no message"),
        (b"\0\x0cS", None, "at byte 0: the tape ends within a message"),
        (None, b"", "No such file or directory; exchange generate writes it beside the tape"),
        (None, b"[]", "no truth of a tape"),
        (None, b'{"messages":4999}', "tells of 4999 messages, "),
        (None, b"{}", "tells of None messages, "),
    ],
)
def test_what_is_no_tape_is_one_line(
    path: Path, tmp_path: Path, data: bytes | None, truth: bytes | None, said: str
):
    with pytest.raises(DataError) as caught:
        load_tape(broken(path, tmp_path, data, truth))
    text = str(caught.value)
    assert said in text
    assert str(tmp_path) in text
    assert "\n" not in text
    assert caught.value.exit_code == ExitCode.DATA


def test_the_command_refuses_a_tape_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    config = tmp_path / "exchange.toml"
    config.write_text("[line_a]\nport = 26400\n[line_b]\nport = 26401\n")
    words = ["exchange", "run", "--config", str(config), "--tape", str(tmp_path / "none.bin")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == ExitCode.DATA
    said = capsys.readouterr().err
    assert f"{tmp_path}/none.bin: " in said
    assert "No such file" in said
    assert said.count("\n") == 1
