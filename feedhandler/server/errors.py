"""Errors that a user can mend: one clear line, and an exit code that says whose turn it is.

Exit codes follow `sysexits.h`, so that a supervisor can tell a bad configuration (do not restart)
from a dependency that is down (restart later). Everything else that escapes is a fault of ours: a
traceback and exit code 1.
"""

import errno
import sys
import traceback
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from feedhandler.core.errors import CounterFileError


class ExitCode(IntEnum):
    """What the process tells its caller when it ends."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    LOAD_TEST_FAILED = 3
    VERIFICATION_FAILED = 4
    UNCLEAN_DRAIN = 5
    DATA = 65
    UNAVAILABLE = 69
    FUNCTION_HUNG = 70
    """A pattern or breaker did not return; it is off at the next start, which should follow."""
    OS_LIMIT = 71
    CANNOT_WRITE = 73
    NO_PERMISSION = 77
    CONFIG = 78
    INTERRUPTED = 130


class UserError(Exception):
    """Something outside the program is wrong; the message is one line: where, what, what to do."""

    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, message: str, exit_code: ExitCode | None = None) -> None:
        """`message` as the user will read it; `exit_code` where it differs from the class's own."""
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class ConfigError(UserError):
    """The configuration is wrong; the message names file, line, key, fault and remedy."""

    exit_code = ExitCode.CONFIG


class DataError(UserError):
    """An input file is missing, damaged or of another kind."""

    exit_code = ExitCode.DATA


class UnavailableError(UserError):
    """Something that this process depends on does not answer."""

    exit_code = ExitCode.UNAVAILABLE


class OsLimitError(UserError):
    """The operating system refused a resource: a port, memory, a descriptor, a socket option."""

    exit_code = ExitCode.OS_LIMIT


_ERRNO_CODES: Mapping[int, ExitCode] = {
    errno.EADDRINUSE: ExitCode.OS_LIMIT,
    errno.EADDRNOTAVAIL: ExitCode.OS_LIMIT,
    errno.EMFILE: ExitCode.OS_LIMIT,
    errno.ENFILE: ExitCode.OS_LIMIT,
    errno.ENOMEM: ExitCode.OS_LIMIT,
    errno.ECONNREFUSED: ExitCode.UNAVAILABLE,
    errno.EHOSTUNREACH: ExitCode.UNAVAILABLE,
    errno.ENETUNREACH: ExitCode.UNAVAILABLE,
    errno.ETIMEDOUT: ExitCode.UNAVAILABLE,
    errno.ENOENT: ExitCode.DATA,
    errno.EISDIR: ExitCode.DATA,
    errno.ENOTDIR: ExitCode.DATA,
    errno.ENAMETOOLONG: ExitCode.DATA,
    errno.EEXIST: ExitCode.CANNOT_WRITE,
    errno.ENOSPC: ExitCode.CANNOT_WRITE,
    errno.EROFS: ExitCode.CANNOT_WRITE,
    errno.EACCES: ExitCode.NO_PERMISSION,
    errno.EPERM: ExitCode.NO_PERMISSION,
}

_REMEDIES: Mapping[int, str] = {
    errno.EADDRINUSE: "another process has this port; stop it or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; choose one that it has",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EACCES: "check the owner and mode, or choose a port above 1023",
}


def bind_error(error: OSError, what: str, address: str, port: int) -> OsLimitError:
    """The error to raise when `what` (say "metrics") cannot listen; names address and remedy."""
    remedy = _REMEDIES.get(error.errno or 0, "")
    reason = _plain_reason(error)
    text = f"{what}: cannot listen on {address}:{port}: {reason}"
    return OsLimitError(
        f"{text}; {remedy}" if remedy else text,
        _ERRNO_CODES.get(error.errno or 0, ExitCode.OS_LIMIT),
    )


def send_error(error: OSError, what: str, address: str, port: int) -> UserError:
    """The error to raise when `what` (say "line_a") cannot be sent to its address."""
    text = f"{what}: cannot send to {address}:{port}: {_plain_reason(error)}"
    return UserError(text, _ERRNO_CODES.get(error.errno or 0, ExitCode.OS_LIMIT))


def run_cli(main: Callable[[], Any], program: str = "feedhandler") -> int:
    """Run `main` and return the exit code for `sys.exit`: an integer that it returned, or 0.

    UserError, CounterFileError, KeyboardInterrupt and the OSErrors that a user can mend become one
    line on standard error; any other exception prints its traceback there and gives 1. A SystemExit
    keeps its own code.
    """
    try:
        result = main()
    except UserError as error:
        return _report(program, str(error), error.exit_code)
    except CounterFileError as error:
        return _report(program, str(error), ExitCode.DATA)
    except KeyboardInterrupt:
        return _report(program, "interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing to say, and nobody to say it to.
        return int(ExitCode.CANNOT_WRITE)
    except OSError as error:
        code = _ERRNO_CODES.get(error.errno or 0)
        if code is None:
            traceback.print_exc()
            return int(ExitCode.UNEXPECTED)
        return _report(program, _describe(error), code)
    except Exception:  # noqa: BLE001 - the last resort: shown whole, exit code 1
        traceback.print_exc()
        return int(ExitCode.UNEXPECTED)
    return result if isinstance(result, int) else int(ExitCode.OK)


def _describe(error: OSError) -> str:
    """The file where one is known, the reason, and a remedy where there is a common one."""
    parts = [f"{error.filename}: " if error.filename else "", _plain_reason(error)]
    remedy = _REMEDIES.get(error.errno or 0)
    return "".join(parts) + (f"; {remedy}" if remedy else "")


def _plain_reason(error: OSError) -> str:
    """The system's own words, on one line."""
    return (error.strerror or str(error)).replace("\n", " ")


def _report(program: str, message: str, code: ExitCode) -> int:
    """Write the one line and pass the code on."""
    sys.stderr.write(f"{program}: error: {' '.join(message.split())}\n")
    return int(code)
