"""Coverage-guided fuzzing of one parser, on the interpreted build.

    python tests/fuzz/guided.py TARGET [--runs N] [libFuzzer options]

Needs atheris (`make fuzz` has an environment with it). Forbidden: an exception that the parser does
not promise, a run of more than 5 s, more than 1 GiB of memory.
"""

import os
import sys
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["protocols"]):
    from tests.fuzz.targets import TARGETS

RUNS = 10_000_000


def main() -> None:
    name, *rest = sys.argv[1:]
    target = TARGETS[name]
    runs = RUNS
    if rest[:1] == ["--runs"]:
        runs, rest = int(rest[1]), rest[2:]
    corpus = Path("fuzz-corpus") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-runs={runs}", "-timeout=5", "-rss_limit_mb=1024", "-max_len=4096"]
    mend = target.mend

    def mutate(data: bytes, max_size: int, _seed: int) -> bytes:
        return mend(atheris.Mutate(data, max_size))[:max_size]

    more = {"custom_mutator": mutate} if mend is not None else {}
    atheris.Setup([sys.argv[0], *options, *rest, str(corpus)], target.run, **more)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
