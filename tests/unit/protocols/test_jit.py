"""The kernel decorators."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protocols.jit import kernel, outline_kernel
from protocols.kernel_cache import JIT_ENABLED
from protocols.wire import read_u16_nb


@pytest.mark.parametrize("decorate", [kernel, outline_kernel])
def test_kernel_without_its_suffix_is_refused(decorate: object):
    def add(left: int, right: int) -> int:
        return left + right

    with pytest.raises(TypeError, match=r"add: a kernel's name ends in _nb"):
        decorate(add)  # type: ignore[operator]


@pytest.mark.compiled_only
def test_kernel_compiles_at_its_first_call_for_the_types_that_it_gets():
    assert JIT_ENABLED
    assert read_u16_nb(np.array([1, 2], np.uint8), 0) == 0x0102
    assert read_u16_nb.signatures  # type: ignore[attr-defined]


def test_kernels_run_as_plain_python_with_the_jit_off():
    source = (
        "import numpy as np; from protocols.wire import read_u16_nb as read;"
        "print(type(read).__name__, int(read(np.array([255, 254], np.uint8), 0)))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", source]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert output.stdout.split() == ["function", str(0xFFFE)]


@pytest.mark.compiled_only
def test_a_cache_that_cannot_be_written_is_told_in_one_line(tmp_path: Path):
    blocker = tmp_path / "file"
    blocker.touch()
    done = subprocess.run(
        [sys.executable, "-c", "import protocols.jit"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(blocker)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 73
    assert len(done.stderr.splitlines()) == 1
    assert "set NUMBA_CACHE_DIR to a folder this user may write to" in done.stderr
