"""What every test shares: hypothesis profiles, the order of the run, programs of Debian."""

import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from numba import config

from protocols import kernel_cache
from tools.bench.callgrind import COUNTED_FOLDER
from tools.check.suite import PLAIN_TESTS

ROOT = Path(__file__).resolve().parents[1]


def _keep_kernels_apart(worker: str) -> None:
    """Give a worker of a parallel run, and the commands it starts, compiled kernels of its own: two
    processes that add to one of Numba's indices can mix up what it points to.
    """
    shared = kernel_cache.CACHE_DIRECTORY
    base = shared / "tests" / worker
    own = base / shared.parent.name / shared.name
    others = {shared / "tests", shared / COUNTED_FOLDER}
    for path in shared.rglob("*"):
        link = own / path.relative_to(shared)
        # Numba replaces its files and never writes into them, so links do as copies.
        if path.is_file() and others.isdisjoint(path.parents) and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(path)
    os.environ["NUMBA_CACHE_DIR"] = str(base)
    kernel_cache.CACHE_DIRECTORY = own
    config.CACHE_DIR = str(own)


if kernel_cache.JIT_ENABLED and "PYTEST_XDIST_WORKER" in os.environ:
    _keep_kernels_apart(os.environ["PYTEST_XDIST_WORKER"])

# Quick folders first: a broken codec should not wait for the demo to say so.
_ORDER = ("tidy", "unit", "property", "acceptance", "fuzz", "stress", "perf", "end_to_end")


# No deadline: the first example of a test may wait for the compiler.
_SHARED = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    # CI judges a change by the same examples each time; others are looked for by `make test`.
    "derandomize": "FEEDHANDLER_SAME_EXAMPLES" in os.environ,
}
settings.register_profile("compiled", max_examples=100, **_SHARED)
# Under coverage a kernel runs some 200 times slower; the compiled run has the full count.
settings.register_profile("interpreted", max_examples=25, **_SHARED)
settings.load_profile("compiled")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Hypothesis takes the profile of the moment in which a test is defined."""
    if isinstance(collector, pytest.Module):
        path = collector.path.relative_to(ROOT).as_posix()
        is_slow = not kernel_cache.JIT_ENABLED and not path.startswith(PLAIN_TESTS)
        settings.load_profile("interpreted" if is_slow else "compiled")
    return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by top folder, quick ones first; the order inside a folder stays."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def debian_program() -> Callable[[str, str], str]:
    """Path of a program by (name, Debian package); skips if it is missing, unless CI needs it."""

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"{name} is missing; it comes with the Debian package {package}"
            if os.environ.get("FEEDHANDLER_REQUIRE_DEBIAN"):
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find
