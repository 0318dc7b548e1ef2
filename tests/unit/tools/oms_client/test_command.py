"""The client as a process: exit codes, report, signals."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.unit.oms_out.support import Rig, signal_row, until
from tools.oms_client.__main__ import main


async def launch(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.oms_client",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
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
    [[], ["--port", "0"], ["--port", "x"], ["--port", "1", "--seconds", "-1"], ["--wat"]],
)
def test_wrong_usage_is_exit_2(arguments: list[str]):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
