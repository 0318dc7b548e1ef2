"""`exchange generate`: files and the command line."""

import gzip
import json
import struct
from pathlib import Path

import pytest

from feedhandler.server.errors import UserError
from tests.reference.exchange_checker import blocks, check
from tools.exchange import __main__ as command
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

FLOW = FlowSettings(4, 3, messages=500, orders_per_symbol=20)


def test_a_file_holds_the_session_and_ends_with_a_length_of_zero(tmp_path: Path):
    truth = generate_file(FLOW, tmp_path / "day.bin")
    data = (tmp_path / "day.bin").read_bytes()
    assert data[-2:] == b"\0\0"
    messages = list(blocks(data))
    checker = check(messages)
    assert len(messages) == truth["messages"] == 500
    assert truth["books_digest"] == checker.digest()
    assert json.loads((tmp_path / "day.bin.truth.json").read_text()) == truth
    assert sum(struct.calcsize(">H") + len(one) for one in messages) + 2 == len(data)


def test_a_gzipped_file_is_the_same_session_and_the_same_file_every_time(tmp_path: Path):
    generate_file(FLOW, tmp_path / "day.bin")
    for name in ("one.bin.gz", "two.bin.gz"):
        generate_file(FLOW, tmp_path / name)
    packed = (tmp_path / "one.bin.gz").read_bytes()
    assert packed == (tmp_path / "two.bin.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "day.bin").read_bytes()


def test_a_session_shorter_than_its_end_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="--messages 2"):
        generate_file(FLOW._replace(messages=2), tmp_path / "day.bin")
    assert not (tmp_path / "day.bin").exists()


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["exchange", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        command.main()
    code = exit_info.value.code
    assert isinstance(code, int)
    return code


def test_the_command_prints_the_truth_as_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = str(tmp_path / "day.bin")
    arguments = ("generate", "--messages", "300", "--seed", "2", "--symbols", "2", "--out", out)
    assert run_command(monkeypatch, *arguments, "--json") == 0
    truth = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert truth["messages"] == 300
    assert run_command(monkeypatch, *arguments) == 0
    assert f"books_digest: {truth['books_digest']}" in capsys.readouterr().out


def test_any_number_of_producers_writes_the_same_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    session = ("generate", "--messages", "400", "--symbols", "9", "--parts", "4")
    files = [tmp_path / f"{n}.bin" for n in range(4)]
    for number, file in enumerate(files):
        more = ("--producers", str(number)) if number else ()
        assert run_command(monkeypatch, *session, *more, "--out", str(file)) == 0
    assert len({file.read_bytes() for file in files}) == 1
    assert len({Path(f"{file}.truth.json").read_bytes() for file in files}) == 1
    assert capsys.readouterr().out.count("messages: 400") == 4
    truth = json.loads(Path(f"{files[0]}.truth.json").read_text())
    assert truth["books_digest"] == check(blocks(files[0].read_bytes())).digest()


def test_one_part_is_the_session_without_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    one, other = tmp_path / "one.bin", tmp_path / "other.bin"
    for file, more in ((one, ()), (other, ("--parts", "1", "--producers", "4"))):
        session = ("generate", "--messages", "300", "--symbols", "3", *more, "--out", str(file))
        assert run_command(monkeypatch, *session) == 0
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--messages", "99", "--symbols", "3", "--parts", "4"), "--parts 4: each has a symbol"),
        (("--scenario", "normal-day", "--parts", "2"), "--parts and --producers: the symbols"),
        (("--scenario", "normal-day", "--producers", "2"), "leave both out"),
    ],
)
def test_parts_that_cannot_be_had_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    named: str,
):
    out = tmp_path / "day.bin"
    assert run_command(monkeypatch, "generate", *arguments, "--out", str(out)) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate",),
        ("generate", "--messages", "x", "--out", "f"),
        ("generate", "--messages", "0", "--out", "f"),
        ("generate", "--messages", "9", "--out", "f", "--symbols", "10001"),
        ("generate", "--messages", "2", "--out", "f"),
        ("generate", "--messages", "99", "--out", "f", "--parts", "0"),
        ("generate", "--messages", "99", "--out", "f", "--parts", "65"),
        ("generate", "--messages", "99", "--out", "f", "--producers", "0"),
        ("generate", "--messages", "99", "--out", "f", "--producers", "65"),
        ("generate", "--messages", "9" * 20, "--out", "f"),
        ("generate", "--messages", "50001", "--simulated-rate", "1", "--out", "f"),
        ("run",),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
):
    monkeypatch.chdir(tmp_path)
    assert run_command(monkeypatch, *arguments) == 2


def test_a_session_that_does_not_end_before_midnight_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("--messages", "300000", "--simulated-rate", "1", "--out", str(tmp_path / "day.bin"))
    assert run_command(monkeypatch, "generate", *words) == 2
    assert capsys.readouterr().err == (
        "exchange: error: --messages 300000: at --simulated-rate 1 they last beyond midnight;"
        " 50000 at most\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_name_is_too_long_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = str(tmp_path / ("x" * 300))
    assert run_command(monkeypatch, "generate", "--messages", "9", "--out", out) == 65
    error = capsys.readouterr().err
    assert error.startswith(f"exchange: error: {out}: ")
    assert error.count("\n") == 1


LINES = "[line_a]\nport = 1\n[line_b]\nport = 2\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (LINES + "[flow]\nseconds = inf\n", "seconds"),
        (LINES + "[flow]\nseconds = nan\n", "seconds"),
        (LINES + "[flow]\nseconds = 1e300\n", "seconds"),
        (LINES + "[flow]\nmessages = 9223372036854775808\n", "messages"),
        (LINES + "[flow]\nmessages = 5000000001\n", "5000000000 at most"),
        (LINES + "[flow]\nrate = 10000000\nseconds = 501.0\n", "5000000000 at most"),
        (LINES + "[session]\nend_linger_s = inf\n", "end_linger_s"),
        (LINES.replace("2", "2\ncuts = [{ start_s = inf, duration_s = 1.0 }]"), "start_s"),
        (LINES.replace("2", "2\ncuts = [{ start_s = nan, duration_s = 1.0 }]"), "start_s"),
        (LINES.replace("2", "2\ncuts = [{ start_s = 1.0, duration_s = 1e300 }]"), "duration_s"),
        ("[line_a]\nport = 1\nlos = 0.1\n[line_b]\nport = 2\n", "did you mean 'loss'"),
        ("[line_a]\nport = 1\n", "line_b"),
        ("[line_a]\nport = 1\nloss = 1.5\n[line_b]\nport = 2\n", "loss"),
        ("[line_a\n", "TOML"),
    ],
)
def test_a_bad_configuration_exits_with_78_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    named: str,
):
    path = tmp_path / "exchange.toml"
    path.write_text(text)
    assert run_command(monkeypatch, "run", "--config", str(path)) == 78
    error = capsys.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
