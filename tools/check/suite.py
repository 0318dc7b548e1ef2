"""`make test`: the kernels' tests interpreted, with branch coverage, then the whole suite compiled.

The interpreted run shows which branches no test takes; it cannot show integer overflow or what two
threads do, so both are needed. The compiled run comes last, so its summary is the last line.
"""

import sys

from tools.check.sources import ROOT
from tools.check.steps import Step, module

KERNEL_TESTS = (
    "tests/unit/protocols",
    "tests/unit/feedhandler/core",
    "tests/property",
    "tests/acceptance",
)


def main() -> int:
    """Run both, also after the first failed; 0 when both and the coverage are good."""
    kernel_tests = [path for path in KERNEL_TESTS if (ROOT / path).is_dir()]
    pytest = ("pytest", "--quiet", "-m", "not compiled_only", *kernel_tests)
    steps = (
        Step("kernels interpreted", module("coverage", "run", "-m", *pytest), _INTERPRETED),
        Step("branch coverage", module("coverage", "report")),
        Step(
            "whole suite compiled",
            module("pytest", "--quiet", "--ignore=tests/perf", "--ignore=tests/interop"),
        ),
    )
    failed = [step.name for step in steps if not step.run_openly()]
    if failed:
        print(f"test failed: {', '.join(failed)}; see above")
    return 1 if failed else 0


_INTERPRETED = {"NUMBA_DISABLE_JIT": "1", "FEEDHANDLER_TEST_PROFILE": "interpreted"}

if __name__ == "__main__":
    sys.exit(main())
