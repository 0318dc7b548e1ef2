"""Runs a module as a child that does not outlive the process that started it.

    python -m tools.demo.child PARENT_PID MODULE [ARGUMENT …]

The same as `python -m MODULE`, but that the operating system kills it when its parent is gone,
however that came about.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then become the module; does not return before that does."""
    parent_pid, module = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        # It was gone before it could be asked for.
        os.kill(os.getpid(), signal.SIGKILL)
    del sys.argv[1:3]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
