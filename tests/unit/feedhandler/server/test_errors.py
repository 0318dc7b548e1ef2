import errno
import os
import signal
import socket

import pytest

from feedhandler.core.counters import CounterFileError
from feedhandler.server.errors import (
    ConfigError,
    DataError,
    ExitCode,
    OsLimitError,
    UnavailableError,
    UserError,
    bind_error,
    run_cli,
    send_error,
)


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("what"), 78),
        (DataError("what"), 65),
        (UnavailableError("what"), 69),
        (OsLimitError("what"), 71),
        (UserError("what"), 1),
        (UserError("what", ExitCode.USAGE), 2),
        (CounterFileError("what"), 65),
        (KeyboardInterrupt(), 130),
        (OSError(errno.EADDRINUSE, "what"), 71),
        (FileNotFoundError(errno.ENOENT, "what", "file"), 65),
        (PermissionError(errno.EACCES, "what", "file"), 77),
        (ConnectionRefusedError(errno.ECONNREFUSED, "what"), 69),
        (OSError(errno.ENOSPC, "what"), 73),
        (FileExistsError(errno.EEXIST, "what", "file"), 73),
        (NotADirectoryError(errno.ENOTDIR, "what", "file"), 65),
        (OSError(errno.ENAMETOOLONG, "what", "file"), 65),
    ],
)
def test_an_expected_error_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int
):
    assert run_cli(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("feedhandler: error: ")


@pytest.mark.parametrize("error", [RuntimeError("a fault"), OSError(errno.EBADF, "a fault")])
def test_an_unexpected_error_shows_its_traceback(
    capsys: pytest.CaptureFixture[str], error: BaseException
):
    assert run_cli(raising(error)) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_message_of_several_lines_is_folded_into_one(capsys: pytest.CaptureFixture[str]):
    assert run_cli(raising(UserError("one\ntwo")), "exchange") == 1
    assert capsys.readouterr().err == "exchange: error: one two\n"


def test_the_reader_of_our_output_may_go_away_silently(capsys: pytest.CaptureFixture[str]):
    assert run_cli(raising(BrokenPipeError())) == 73
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (4, 4), ("text", 0)])
def test_a_normal_end_gives_the_returned_code(result: object, code: int):
    assert run_cli(lambda: result) == code


def test_an_exit_keeps_its_own_code():
    with pytest.raises(SystemExit) as caught:
        run_cli(raising(SystemExit(3)))
    assert caught.value.code == 3


def test_an_interrupt_of_the_process_is_reported(capsys: pytest.CaptureFixture[str]):
    assert run_cli(lambda: os.kill(os.getpid(), signal.SIGINT)) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_taken_port_is_named_with_its_remedy():
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            second.bind(("127.0.0.1", port))
    error = bind_error(caught.value, "metrics", "127.0.0.1", port)
    assert str(error).startswith(f"metrics: cannot listen on 127.0.0.1:{port}: ")
    assert "choose another port" in str(error)
    assert error.exit_code == ExitCode.OS_LIMIT


def test_an_address_that_cannot_be_sent_to_is_named_as_such():
    error = send_error(OSError(errno.ENETUNREACH, "no way"), "line_b", "10.0.0.1", 80)
    assert str(error) == "line_b: cannot send to 10.0.0.1:80: no way"
    assert error.exit_code == ExitCode.UNAVAILABLE


def test_a_port_that_needs_rights_has_the_exit_code_for_it():
    error = bind_error(PermissionError(errno.EACCES, "denied"), "oms", "127.0.0.1", 80)
    assert error.exit_code == ExitCode.NO_PERMISSION
