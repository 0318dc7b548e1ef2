"""The client as a process: exit codes, report, signals."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.oms_out.support import Rig, signal_row, until
from tools.oms_client.__main__ import main


async def launch(
    *arguments: object, stdout: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.oms_client",
        *map(str, arguments),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={
            **{name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"},
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
    )


def read_report(path: Path) -> dict[str, int | bool]:
    report: dict[str, int | bool] = json.loads(path.read_text(encoding="utf-8"))
    return report


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_prints_signals_survives_a_cut_and_reports_on_sigterm(tmp_path: Path):
    rig = Rig(tmp_path / "server")
    await rig.server.start()
    report_file = tmp_path / "report.json"
    process = await launch("--port", rig.server.port, "--report", report_file)
    await until(lambda: rig.status().state == "ACTIVE", 20)
    rig.push(*(signal_row(number) for number in range(1, 21)))
    await until(lambda: rig.status().acknowledged == 20)
    link = rig.server._accounts["OMS1"].link
    assert link is not None
    link.close("cut by the test")
    rig.push(*(signal_row(number) for number in range(21, 41)))
    await until(lambda: rig.status().acknowledged == 40)
    process.send_signal(signal.SIGTERM)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    assert [line.split()[0] for line in output.decode().splitlines()] == [
        str(number) for number in range(1, 41)
    ]
    report = read_report(report_file)
    assert (report["distinct"], report["duplicates"], report["missing"]) == (40, 0, 0)
    assert (report["acknowledged"], report["ids_contiguous"], report["logons"]) == (40, True, 2)
    assert sorted(names_in(tmp_path)) == ["report.json", "server"]
    await rig.stop()


async def test_each_signal_is_printed_at_once_into_a_pipe(tmp_path: Path):
    rig = Rig(tmp_path / "server")
    await rig.server.start()
    process = await launch("--port", rig.server.port)
    await until(lambda: rig.status().state == "ACTIVE", 20)
    rig.push(signal_row(1))
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 5)
    assert line.split()[0] == b"1"
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    await rig.stop()


async def test_a_reader_who_went_away_ends_the_printing_and_nothing_else(tmp_path: Path):
    rig = Rig(tmp_path / "server")
    await rig.server.start()
    output, into = os.pipe()
    process = await launch("--port", rig.server.port, stdout=into)
    os.close(into)
    await until(lambda: rig.status().state == "ACTIVE", 20)
    os.close(output)
    for number in (1, 2):
        rig.push(signal_row(number))
        await until(lambda number=number: rig.status().acknowledged == number)
    process.send_signal(signal.SIGTERM)
    _none, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    await rig.stop()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose backlog is full: who dials it hears nothing at all."""
    with socket.socket() as listening, contextlib.ExitStack() as filling:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        place = listening.getsockname()
        for _ in range(4):
            sock = filling.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(place)
        yield place[1]


async def test_a_signal_ends_the_client_while_it_dials(deaf_port: int, tmp_path: Path):
    report = tmp_path / "report.json"
    words = ("--port", deaf_port, "--connect-timeout", 60, "--report", report)
    process = await launch(*words, "--seconds", 0.5)
    _output, errors = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, errors) == (0, b"")
    assert read_report(report)["logons"] == 0


def test_a_server_that_does_not_answer_the_dial_is_exit_69(
    deaf_port: int, capsys: pytest.CaptureFixture[str]
):
    assert main(["--port", str(deaf_port), "--connect-timeout", "0.3", "--quiet"]) == 69
    told = "no Logon within 0.3 s: cannot reach 127.0.0.1:"
    assert capsys.readouterr().err == f"oms-client: {told}{deaf_port}: no answer\n"


def test_a_server_that_is_not_there_is_exit_69(capsys: pytest.CaptureFixture[str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        arguments = ["--port", str(port), "--connect-timeout", "0.3", "--quiet"]
        assert main(arguments) == 69
    assert f"cannot reach 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_store_in_use_is_exit_69(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "messages.log").write_bytes(b"not a store at all")
    assert main(["--port", "1", "--store", str(tmp_path)]) == 69
    assert "no message store" in capsys.readouterr().err


def test_seconds_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = tmp_path / "report.json"
    arguments = ["--port", "1", "--seconds", "0.2", "--report", str(report)]
    assert main(arguments) == 0
    assert read_report(report)["received"] == 0
    assert "cannot reach" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--port", "0"],
        ["--port", "x"],
        ["--port", "1", "--seconds", "-1"],
        ["--port", "1", "--seconds", "inf"],
        ["--port", "1", "--seconds", "1e300"],
        ["--port", "1", "--connect-timeout", "nan"],
        ["--port", "1", "--sender", ""],
        ["--port", "1", "--target", "A=B"],
        ["--port", "1", "--sender", "\udcff"],
        ["--port", "1", "--host", ""],
        ["--port", "1", "--host", "a" * 64 + ".example"],
        ["--port", "1", "--host", "a..b"],
        ["--wat"],
    ],
)
def test_wrong_usage_is_exit_2_and_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("oms-client: error: ")
    assert said.count("\n") == 1


def test_a_store_below_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    assert main(["--port", "1", "--store", str(tmp_path / "file" / "x")]) == 65
    said = capsys.readouterr().err
    assert said.startswith("oms-client: error: ")
    assert said.count("\n") == 1


def test_it_starts_without_numba_and_numpy():
    """A client is to be there when the server is; what it never uses would take half a second."""
    script = (
        "import sys, tools.oms_client.__main__\n"
        "print(sorted({'numba', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
