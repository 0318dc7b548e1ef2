"""`python -m tools.fix_echo`: the command without the others."""

import sys

from cyclopts import CycloptsError

from feedhandler.server.errors import ExitCode, UserError, run_cli
from tools.fix_echo.command import app


def _run() -> object:
    try:
        return app(
            sys.argv[1:], result_action="return_value", exit_on_error=False, print_error=False
        )
    except CycloptsError as error:
        raise UserError(f"{error} See --help.", ExitCode.USAGE) from None


if __name__ == "__main__":
    sys.exit(run_cli(_run, "fix-echo"))
