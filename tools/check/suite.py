"""`make test`: the kernels' tests interpreted, with branch coverage, then the whole suite compiled.

The interpreted run shows which branches no test takes; it cannot show integer overflow or what two
threads do, so both are needed. Tests run side by side, but for those that measure time or need the
cores for themselves (marked `alone`): these come last, one after the other.
"""

import os
import sys

from tools.check.sources import ROOT
from tools.check.steps import Step, module

KERNEL_TESTS = (
    "tests/unit/protocols",
    "tests/unit/feedhandler/core",
    "tests/property",
    "tests/acceptance",
)
_WORKERS_MAX = 4


def main() -> int:
    """Run all, also after one failed; 0 when every test and the coverage are good."""
    workers = min(os.cpu_count() or 1, _WORKERS_MAX)
    pytest = ("pytest", "--quiet")
    beside = (*pytest, f"--numprocesses={workers}", "--dist=worksteal")
    whole = ("--ignore=tests/perf", "--ignore=tests/interop")
    kernel_tests = [path for path in KERNEL_TESTS if (ROOT / path).is_dir()]
    interpreted = ("coverage", "run", "-m", *beside, "-m", "not compiled_only", *kernel_tests)
    steps = (
        Step("kernels interpreted", module(*interpreted), _INTERPRETED),
        Step("branch coverage", module("coverage", "combine", "--quiet")),
        Step("branch coverage", module("coverage", "report")),
        Step("compiled, side by side", module(*beside, "-m", "not alone", *whole)),
        Step("compiled, one by one", module(*pytest, "-m", "alone", *whole)),
    )
    failed = [step.name for step in steps if not step.run_openly()]
    if failed:
        print(f"test failed: {', '.join(failed)}; see above")
    return 1 if failed else 0


_INTERPRETED = {"NUMBA_DISABLE_JIT": "1", "FEEDHANDLER_TEST_PROFILE": "interpreted"}

if __name__ == "__main__":
    sys.exit(main())
