"""`make check`: lint, format, types, layers and house rules, the same here and in CI."""

import sys
from pathlib import Path

from tools.check.steps import Step, module


def main() -> int:
    """Run every step, also after one failed; 0 when all are good."""
    lint_imports = str(Path(sys.executable).with_name("lint-imports"))
    steps = (
        Step("lint", module("ruff", "check", ".")),
        Step("format", module("ruff", "format", "--check", ".")),
        Step("types", module("mypy")),
        Step("layers", [lint_imports]),
        Step("tidy", module("pytest", "tests/tidy", "--quiet")),
    )
    failed = [step.name for step in steps if not step.run_quietly()]
    if failed:
        print(f"check failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
