"""Guards against a hot path that takes 1.7 times as long as it did, by ratios to a loop beside it.

A ratio does not depend on how fast the machine is, only a little on which kind it is. Input: a
session of 300,000 messages of the synthetic exchange, 100 symbols, seed 1; loops of 2 million. The
two loops take turns, five times each, and the fastest of each count: what else runs on the machine
only ever adds time. The limits are 1.7 times the ratios that stand beside them, measured on an AMD
EPYC with 2 virtual cores (Python 3.11.7, Numba 0.68.1). A ratio above its limit is measured twice
more: noise passes, a regression stays.

Not part of `make test`; run with `make perf`.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter_ns

import numpy as np
import pytest

from protocols.binaryfile.reader import load_bytes
from tools.bench import benchmarks, fix
from tools.bench.books import books
from tools.bench.kernels import add_words_nb, hash_bytes_nb
from tools.bench.measure import Run, Timing, Workload
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

MESSAGES = 300_000
LOOPS = 2_000_000
MARGIN_TENTHS = 17
RUNS = 5
ATTEMPTS = 3


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("perf")
    generate_file(FlowSettings(1, messages=MESSAGES), folder / "session.bin")
    return Workload(folder, folder / "session.bin", MESSAGES, LOOPS)


def timed(operations: int, work: Callable[[], object]) -> Timing:
    started_ns = perf_counter_ns()
    work()
    return Timing(operations, perf_counter_ns() - started_ns)


def hash_of_the_file(workload: Workload) -> Run:
    """Every byte of the file, one multiplication after the other: per message."""
    buf = load_bytes(workload.path)
    return lambda: timed(workload.messages, partial(hash_bytes_nb, buf, len(buf)))


def plain_additions(workload: Workload) -> Run:
    """The values that the loops record or add, each added to a word."""
    words, values = np.zeros(64, np.int64), benchmarks.random_values()
    return lambda: timed(workload.loops, partial(add_words_nb, words, values, workload.loops))


def ratio_hundredths(cost: Run, reference: Run) -> int:
    """Hundredths: the time of an operation of the one by that of the other."""
    pairs = [(cost(), reference()) for _ in range(RUNS)]
    fastest = min((pair[0] for pair in pairs), key=lambda timing: timing.elapsed_ns)
    base = min((pair[1] for pair in pairs), key=lambda timing: timing.elapsed_ns)
    return 100 * fastest.elapsed_ns * base.operations // (base.elapsed_ns * fastest.operations)


def hash_of_the_messages(workload: Workload) -> Run:
    """The same of FIX messages, passes taken as the decoders take theirs."""
    return fix.passes_over_corpus(workload, hash_bytes_nb)


@pytest.mark.parametrize(
    ("prepare", "prepare_reference", "measured_hundredths"),
    [
        (benchmarks.itch_frame, hash_of_the_file, 5),
        (benchmarks.itch_fields, hash_of_the_file, 12),
        (benchmarks.itch_decode, hash_of_the_file, 50),
        (benchmarks.itch_decode_and_book, hash_of_the_file, 130),
        (books("200"), hash_of_the_file, 80),
        (benchmarks.replay_file, hash_of_the_file, 225),
        (benchmarks.exchange_generate, hash_of_the_file, 250),
        (benchmarks.histogram_record, plain_additions, 550),
        (benchmarks.counter_add, plain_additions, 115),
        (benchmarks.ring_one_thread, plain_additions, 550),
        (fix.fix_tokenise, hash_of_the_messages, 12),
        (fix.fix_decode, hash_of_the_messages, 26),
        (fix.fix_entries, hash_of_the_messages, 36),
    ],
)
def test_a_hot_path_keeps_its_ratio_to_a_plain_loop(
    workload: Workload,
    prepare: Callable[[Workload], Run],
    prepare_reference: Callable[[Workload], Run],
    measured_hundredths: int,
):
    cost, reference = prepare(workload), prepare_reference(workload)
    cost()
    reference()
    limit = measured_hundredths * MARGIN_TENTHS // 10
    found: list[int] = []
    while len(found) < ATTEMPTS and (not found or found[-1] > limit):
        found.append(ratio_hundredths(cost, reference))
    assert found[-1] <= limit, f"hundredths {found}, measured before {measured_hundredths}"
