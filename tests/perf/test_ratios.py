"""Guards against a hot path that takes 15 % longer than it did, by ratios to a loop beside it.

A ratio does not depend on how fast the machine is, only on which kind it is. Input: a session of
300,000 messages of the synthetic exchange, 100 symbols, seed 1; loops of 2 million. Code, reference
and the probes of the machine (`probes.py`) take turns, fifteen times each, and the fastest of each
count: what else runs on the machine only ever adds time. The ratios that stand below were measured
on the processor that `probes.py` names, 2 virtual cores, Python 3.11.7, Numba 0.68.1; on another
kind of processor a path fails at 1.5 times as long.

Ratios of the same code were seen to differ by 60 % from one process to the next. Three things
caused it, and each has its remedy:

- memory lay otherwise (a ring, a book): each attempt prepares everything anew, the path passes with
  the best of them;
- others used the machine for some seconds: an attempt that fails is made again a while later;
- others used the same physical cores for longer: the limit rises by as much as the worse of the two
  probes, which nobody changes, took longer than on a quiet machine.

Not part of `make test`; run with `make perf`.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from protocols.binaryfile.reader import load_bytes
from tests.perf.probes import Probes, is_the_measured_processor
from tools.bench import benchmarks, fix
from tools.bench.books import books
from tools.bench.kernels import add_words_nb, hash_bytes_nb
from tools.bench.measure import Run, Timing, Workload, timed
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings

MESSAGES = 300_000
LOOPS = 2_000_000
MARGIN_PERCENT = 15
MARGIN_PERCENT_ELSEWHERE = 50
RUNS = 15
ATTEMPTS = 24
PAUSE_S = 2
PAUSE_AFTER = 4
KEPT = 4


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("perf")
    generate_file(FlowSettings(1, messages=MESSAGES), folder / "session.bin")
    return Workload(folder, folder / "session.bin", MESSAGES, LOOPS)


def hash_of_the_file(workload: Workload) -> Run:
    """Every byte of the file, one multiplication after the other: per message."""
    buf = load_bytes(workload.path)
    return lambda: timed(workload.messages, partial(hash_bytes_nb, buf, len(buf)))


def plain_additions(workload: Workload) -> Run:
    """The values that the loops record or add, each added to a word."""
    words, values = np.zeros(64, np.int64), benchmarks.random_values()
    return lambda: timed(workload.loops, partial(add_words_nb, words, values, workload.loops))


@dataclass(frozen=True, slots=True)
class Found:
    """One attempt: the ratio and what disturbed the machine meanwhile, both in thousandths."""

    ratio: int
    disturbance: int

    def exceeds(self, measured: int, margin_percent: int) -> bool:
        """Whether the path took more than `margin_percent` longer than measured before."""
        limit = measured * (100 + margin_percent) // 100
        return self.ratio > limit * self.disturbance // 1_000


def attempt(cost: Run, reference: Run, probes: Probes) -> Found:
    """The fastest of `RUNS` of each, taken in turns."""
    cost()
    reference()
    probes.start()
    costs: list[Timing] = []
    references: list[Timing] = []
    for _ in range(RUNS):
        costs.append(cost())
        references.append(reference())
        probes.take()
    fastest = min(costs, key=lambda timing: timing.elapsed_ns)
    base = min(references, key=lambda timing: timing.elapsed_ns)
    ratio = 1_000 * fastest.elapsed_ns * base.operations // (base.elapsed_ns * fastest.operations)
    return Found(ratio, probes.disturbance_thousandths())


def attempts(
    prepare: Callable[[], tuple[Run, Run]], probes: Probes, measured: int, margin: int, most: int
) -> list[Found]:
    """Attempts until one is within the margin, each with memory of its own; `most` at most."""
    found: list[Found] = []
    kept: deque[tuple[Run, Run]] = deque(maxlen=KEPT)
    while len(found) < most and (not found or found[-1].exceeds(measured, margin)):
        if len(found) >= PAUSE_AFTER:
            time.sleep(PAUSE_S)
        # Memory that was freed would be given to the next one again.
        kept.append(prepare())
        found.append(attempt(*kept[-1], probes))
    return found


def hash_of_the_messages(workload: Workload) -> Run:
    """The same of FIX messages, passes taken as the decoders take theirs."""
    return fix.passes_over_corpus(workload, hash_bytes_nb)


@pytest.mark.parametrize(
    ("prepare", "prepare_reference", "measured_thousandths"),
    [
        (benchmarks.itch_frame, hash_of_the_file, 54),
        (benchmarks.itch_fields, hash_of_the_file, 155),
        (benchmarks.itch_decode, hash_of_the_file, 335),
        (benchmarks.itch_decode_and_book, hash_of_the_file, 1_240),
        (books("200"), hash_of_the_file, 770),
        (benchmarks.replay_file, hash_of_the_file, 1_960),
        (benchmarks.exchange_generate, hash_of_the_file, 2_200),
        (benchmarks.histogram_record, plain_additions, 5_170),
        (benchmarks.counter_add, plain_additions, 1_200),
        (benchmarks.ring_one_thread, plain_additions, 5_100),
        (fix.fix_tokenise, hash_of_the_messages, 123),
        (fix.fix_decode, hash_of_the_messages, 230),
        (fix.fix_entries, hash_of_the_messages, 322),
    ],
)
def test_a_hot_path_keeps_its_ratio_to_a_plain_loop(
    workload: Workload,
    prepare: Callable[[Workload], Run],
    prepare_reference: Callable[[Workload], Run],
    measured_thousandths: int,
):
    margin = MARGIN_PERCENT if is_the_measured_processor() else MARGIN_PERCENT_ELSEWHERE
    found = attempts(
        lambda: (prepare(workload), prepare_reference(workload)),
        Probes(),
        measured_thousandths,
        margin,
        ATTEMPTS,
    )
    last = found[-1]
    assert not last.exceeds(measured_thousandths, margin), (
        f"thousandths {found}, measured before {measured_thousandths}"
    )


class Undisturbed(Probes):
    """Probes of a machine that is always quiet."""

    def disturbance_thousandths(self) -> int:
        return 1_000


def test_a_path_that_takes_a_quarter_longer_is_found(workload: Workload):
    """Five passes over the file, said to be four, against four."""
    buf = load_bytes(workload.path)

    def passes(count: int) -> None:
        for _ in range(count):
            hash_bytes_nb(buf, len(buf))

    found = attempts(
        lambda: (
            lambda: timed(4 * workload.messages, partial(passes, 5)),
            lambda: timed(4 * workload.messages, partial(passes, 4)),
        ),
        Undisturbed(),
        1_000,
        MARGIN_PERCENT,
        3,
    )
    assert len(found) == 3
    assert all(each.exceeds(1_000, MARGIN_PERCENT) for each in found)


def test_the_limit_is_the_margin_and_rises_with_what_disturbs():
    assert not Found(1_149, 1_000).exceeds(1_000, MARGIN_PERCENT)
    assert Found(1_151, 1_000).exceeds(1_000, MARGIN_PERCENT)
    assert not Found(1_260, 1_100).exceeds(1_000, MARGIN_PERCENT)
    assert Found(1_270, 1_100).exceeds(1_000, MARGIN_PERCENT)
