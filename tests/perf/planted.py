"""A regression on purpose, for the guard to find."""

from protocols.binaryfile.reader import load_bytes
from tools.bench.benchmarks import tick_slots
from tools.bench.kernels import decode_nb
from tools.bench.measure import Run, Workload, timed


def itch_decode_and_a_fifth(workload: Workload) -> Run:
    """The benchmark `itch_decode`, doing a fifth of its messages twice."""
    buf = load_bytes(workload.path)
    ticks, slots = tick_slots()

    def decode() -> None:
        for messages in (workload.messages, workload.messages // 5):
            decode_nb(buf, messages, ticks, slots)

    return lambda: timed(workload.messages, decode)
