"""What `make test` runs where."""

import subprocess
import sys

from tools.check.sources import ROOT
from tools.check.suite import KERNEL_TESTS, PLAIN_TESTS

LOAD = """
import importlib.util
import sys
for number, path in enumerate(sys.argv[1:]):
    spec = importlib.util.spec_from_file_location(f"test_{number}", path)
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
    if "numba" in sys.modules:
        sys.exit(f"{path} loads kernels")
"""


def test_what_is_run_once_loads_no_kernel():
    paths = [ROOT / path for path in PLAIN_TESTS]
    assert all(path.exists() for path in paths)
    files = [
        file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))
    ]
    command = [sys.executable, "-c", LOAD, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_part_of_what_is_covered():
    for path in PLAIN_TESTS:
        assert path.startswith(KERNEL_TESTS), path
