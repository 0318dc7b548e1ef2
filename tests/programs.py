"""The project's programs, run to their end and looked at from outside."""

import io
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch


def run_program(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    """`python -m module` with these words, as a process."""
    command = [sys.executable, "-m", module, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def run_here(module: str, *words: object) -> subprocess.CompletedProcess[str]:
    """The same within this process, without the second that a new one takes to load: for words that
    are refused, or are done with at once. What is written to a file descriptor is not caught.
    """
    command = [module, *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        patch.object(sys, "argv", command),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        try:
            # A test may have imported it before; here it is run as if new all the same.
            warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code
    returncode = code if isinstance(code, int) else int(code is not None)
    return subprocess.CompletedProcess(command, returncode, out.getvalue(), err.getvalue())
