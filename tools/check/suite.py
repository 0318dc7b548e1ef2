"""`make test`: plain Python and the kernels' tests interpreted, with branch coverage; then all that
has to do with kernels, compiled.

The interpreted run shows which branches no test takes; it cannot show integer overflow or what two
threads do, so both are needed. Tests run side by side; those that live by the clock (`paced`) come
afterwards, two at a time, and those that need the cores for themselves (`alone`) last.
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
"""What shows the branches of protocols and engine."""

PLAIN_TESTS = (
    "tests/acceptance/test_fix_sessions.py",
    "tests/property/test_fix_dictionaries.py",
    "tests/property/test_ip_fragments.py",
    "tests/property/test_tcp_streams.py",
    "tests/unit/protocols/fix/dictionary",
    "tests/unit/protocols/fix/test_framing.py",
    "tests/unit/protocols/fix/test_hostile_peers.py",
    "tests/unit/protocols/fix/test_message.py",
    "tests/unit/protocols/fix/test_quickfix.py",
    "tests/unit/protocols/fix/test_rules.py",
    "tests/unit/protocols/fix/test_schedule.py",
    "tests/unit/protocols/fix/test_session.py",
    "tests/unit/protocols/fix/test_store.py",
    "tests/unit/protocols/fix/test_times.py",
    "tests/unit/protocols/glimpse/test_session.py",
    "tests/unit/protocols/glimpse/test_spec.py",
    "tests/unit/protocols/glimpse/test_splice.py",
    "tests/unit/protocols/itch50/test_codec.py",
    "tests/unit/protocols/itch50/test_slow_book.py",
    "tests/unit/protocols/itch50/test_slow_itch.py",
    "tests/unit/protocols/moldudp64/test_link.py",
    "tests/unit/protocols/moldudp64/test_receiver.py",
    "tests/unit/protocols/moldudp64/test_sender.py",
    "tests/unit/protocols/ouch42",
    "tests/unit/protocols/pcap/test_tcp.py",
    "tests/unit/protocols/soupbintcp/test_hostile.py",
    "tests/unit/protocols/soupbintcp/test_packets.py",
    "tests/unit/protocols/soupbintcp/test_resume.py",
    "tests/unit/protocols/soupbintcp/test_session.py",
    "tests/unit/protocols/test_ahead.py",
    "tests/unit/protocols/test_errors.py",
    "tests/unit/protocols/test_hostile_messages.py",
    "tests/unit/protocols/test_kept.py",
    "tests/unit/protocols/test_message.py",
    "tests/unit/protocols/test_tshark_framing.py",
)
"""Those of them that load no kernel: interpreted and compiled they would be the same, so they are
not run again, and have their full count of examples. A test holds this list against what they
import."""

_WORKERS_MAX = 4
_PROTOCOLS = ("--include=protocols/*", "--fail-under=100")
_WHOLE = ("--ignore=tests/perf", "--ignore=tests/interop", "--ignore=tests/tidy")
"""`make perf`, `make interop` and `make check` run those."""


def main() -> int:
    """Run all, also after one failed; 0 when every test and the coverage are good."""
    workers = min(os.cpu_count() or 1, _WORKERS_MAX)
    without_plain = tuple(f"--ignore={path}" for path in PLAIN_TESTS)
    coverage = ("coverage", "run", "-m")
    interpreted = (*_beside(workers), "-m", "not compiled_only and not alone", *KERNEL_TESTS)
    compiled = (*_beside(workers), "-m", "not alone and not paced", *_WHOLE, *without_plain)
    # By file: what one run of a demo shows is kept for the tests beside.
    paced = (*_beside(min(workers, 2), "loadfile"), "-m", "paced", *_files_with("paced"))
    alone = ("pytest", "--quiet", "-m", "alone", *_files_with("alone"))
    steps = (
        Step("plain Python, kernels interpreted", module(*coverage, *interpreted), _INTERPRETED),
        Step("branch coverage, put together", module("coverage", "combine", "--quiet")),
        Step("branch coverage", module("coverage", "report")),
        Step("branch coverage of protocols, all", module("coverage", "report", *_PROTOCOLS)),
        Step("kernels compiled", module(*compiled), _COMPILED),
        Step("kernels compiled, by the clock", module(*paced), _COMPILED),
        Step("kernels compiled, alone", module(*alone), _COMPILED),
    )
    failed = [step.name for step in steps if not step.run_openly()]
    if failed:
        print(f"test failed: {', '.join(failed)}; see above")
    return 1 if failed else 0


def _beside(workers: int, by: str = "worksteal") -> tuple[str, ...]:
    """Words of a run with so many tests at a time."""
    return ("pytest", "--quiet", f"--numprocesses={workers}", f"--dist={by}")


def _files_with(mark: str) -> list[str]:
    """Test files that name a mark: every worker loads all files that it is given, for seconds."""
    files = (ROOT / "tests").rglob("test_*.py")
    word = f"pytest.mark.{mark}"
    return sorted(str(path.relative_to(ROOT)) for path in files if word in path.read_text("utf-8"))


# Python keeps what it compiled, whatever the caller prefers: workers load the tests in half of the
# time, and commands start faster.
_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
_INTERPRETED = {**_COMPILED, "NUMBA_DISABLE_JIT": "1"}

if __name__ == "__main__":
    sys.exit(main())
