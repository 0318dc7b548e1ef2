"""Instructions an operation, of benchmarks and stages: `python -m tools.bench.instructions` prints
what `tests/perf` holds against its records.
"""

import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.bench import benchmarks, fix, signals
from tools.bench.books import books
from tools.bench.callgrind import Counter, run_counted, why_not
from tools.bench.measure import Run, Surroundings, Workload
from tools.bench.stages import COUNTED_STAGES, STAGES, replay_with_stages
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

MESSAGES = 50_000
LOOPS = 1_000_000
_MODULE = "tools.bench.instructions"
_OPERATIONS = "operations.json"

Prepare = Callable[[Workload], Run]

COUNTED: dict[str, Prepare] = {
    "itch_frame": benchmarks.itch_frame,
    "itch_fields": benchmarks.itch_fields,
    "itch_decode": benchmarks.itch_decode,
    "itch_decode_and_book": benchmarks.itch_decode_and_book,
    "book_200": books("200"),
    "replay_with_stages": replay_with_stages,
    "ring_one_thread": benchmarks.ring_one_thread,
    "histogram_record": benchmarks.histogram_record,
    "counter_add": benchmarks.counter_add,
    "window_store": benchmarks.window_store,
    "fix_tokenise": fix.fix_tokenise,
    "fix_decode": fix.fix_decode,
    "fix_entries": fix.fix_entries,
    "fix_signal": signals.fix_signal,
    **{COUNTED_STAGES[stage.name]: stage.prepare for stage in STAGES if stage.is_countable},
}
"""What can be counted by name; `module:function` names any other `prepare` of a benchmark."""


class Count(NamedTuple):
    """How many operations, and the instructions of all of them."""

    operations: int
    instructions: int

    @property
    def hundredths(self) -> int:
        """Hundredths of an instruction an operation."""
        return 100 * self.instructions // self.operations


def count_instructions(names: Sequence[str]) -> dict[str, Count]:
    """Instructions of each of `names`, as in COUNTED, after a run that does not count; on sessions
    of MESSAGES messages and in loops of LOOPS. It takes a minute or two when kernels have to be
    compiled, and needs what `why_not` asks for.
    """
    with tempfile.TemporaryDirectory(prefix="feedhandler-count-") as name:
        folder = Path(name)
        instructions = run_counted(_MODULE, ["--into", name, *names], folder)
        operations = json.loads((folder / _OPERATIONS).read_bytes())
    return {name: Count(operations[name], instructions[name]) for name in names}


def _find(name: str) -> Prepare:
    if ":" not in name:
        return COUNTED[name]
    module, _, function = name.partition(":")
    found: Prepare = getattr(importlib.import_module(module), function)
    return found


def _work(folder: Path, names: Sequence[str]) -> None:
    """The program that runs under callgrind: each of `names` once uncounted and once counted."""
    path = folder / "session.bin"
    if not path.exists():
        generate_file(FlowSettings(1, messages=MESSAGES), path)
    workload = Workload(folder, path, MESSAGES, LOOPS)
    uncounted, counter = Surroundings.context, Counter()
    operations = {}
    for name in names:
        run = _find(name)(workload)
        run()
        counter.title = name
        Surroundings.context = counter
        operations[name] = run().operations
        Surroundings.context = uncounted
    (folder / _OPERATIONS).write_text(json.dumps(operations))


def main(words: Sequence[str]) -> int:
    """Print what each of the names, or of COUNTED, takes; --into FOLDER is for the program itself
    that runs under callgrind.
    """
    if words[:1] == ["--into"]:
        _work(Path(words[1]), words[2:])
        return 0
    reason = why_not()
    if reason:
        sys.exit(reason)
    for name, count in count_instructions(words or list(COUNTED)).items():
        print(f'"{name}": {count.hundredths:_},')
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
