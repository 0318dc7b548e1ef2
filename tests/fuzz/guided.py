"""Coverage-guided fuzzing of the parsers, on the interpreted build.

    python tests/fuzz/guided.py TARGET|--all [--runs N]

Needs atheris (`make fuzz` has an environment with it); what libFuzzer finds interesting is kept in
fuzz-corpus/TARGET. Forbidden: an exception that the parser does not promise, a broken assertion of
`targets.py`, a run of more than 5 s, more than 1 GiB of memory.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["protocols"]):
    from tests.fuzz.targets import TARGETS

RUNS = 10_000_000
OPTIONS = ("-timeout=5", "-rss_limit_mb=1024", "-max_len=1024", "-print_final_stats=1")


def fuzz(name: str, runs: int) -> None:
    """Run one target; libFuzzer ends the process."""
    target = TARGETS[name]
    corpus = Path("fuzz-corpus") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    mend = target.mend

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        changed = atheris.Mutate(data, max_size)
        # One in four stays as it is: what is broken has to be met as well.
        return changed if mend is None or seed % 4 == 0 else mend(changed)[:max_size]

    more = {"custom_mutator": mutate} if mend is not None else {}
    words = [sys.argv[0], f"-runs={runs}", *OPTIONS, f"-artifact_prefix={corpus}/", str(corpus)]
    atheris.Setup(words, target.run, **more)
    atheris.Fuzz()


def fuzz_all(runs: int) -> int:
    """Every target in a process of its own; how many failed."""
    failed = []
    for name in TARGETS:
        print(f"fuzz        {name}: {runs:,} runs", flush=True)  # noqa: T201 - a program
        words = [sys.executable, __file__, name, "--runs", str(runs)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            failed.append(name)
            sys.stderr.write(done.stderr[-4_000:])
    print(f"fuzz        {len(TARGETS)} targets, failed: {failed or 'none'}")  # noqa: T201
    return len(failed)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    if arguments.all:
        sys.exit(min(fuzz_all(arguments.runs), 1))
    if arguments.target is None:
        parser.error("name a target, or --all")
    fuzz(arguments.target, arguments.runs)


if __name__ == "__main__":
    main()
