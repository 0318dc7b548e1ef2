"""A clock for stamps that every message gets: CLOCK_REALTIME, read from the processor's counter.

`clock_gettime` takes 23 ns, the counter 10 ns (AMD EPYC, virtual), and a live message has four
stamps. So a thread reads both once in a millisecond, and the counter alone in between:

    now = anchor_ns + (counter - anchor) * rate / 2**24

The rate is measured between two anchors, at first 2 ms apart, then at least 100 ms. An error of it,
a slew of the clock and a step of the clock last for a millisecond, until the next anchor.

Two readings of a pair between which the thread was interrupted are thrown away. A counter that does
not fit its own rate (a step of the clock, a machine that was moved) starts all anew; until a rate
is known, and where the processor has no steady counter, every stamp comes from `clock_gettime`.
"""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from feedhandler.core.libc import CLOCK_REALTIME, clock_ns
from feedhandler.core.lines import zeros
from protocols.jit import kernel, outline_kernel
from protocols.kernel_cache import JIT_ENABLED

Clock = NDArray[np.int64]
"""The i64[CLOCK_WORDS] of one thread, in cache lines of their own."""

CLOCK_WORDS = 16
ANCHOR = 0
"""The counter at the anchor."""
ANCHOR_NS = 1
RATE = 2
"""Nanoseconds for 2**24 steps of the counter, 0 while it is not known."""
SPAN = 3
"""Steps after which a new anchor is due; 0: no stamp may be made of the counter."""
BASE = 4
"""The counter where the measurement of the rate began."""
BASE_NS = 5
"""0: it has not begun."""
IS_STEADY = 6
"""The processor's counter may be used."""

_RATE_BITS = 24
_ANCHOR_EVERY_NS = 1_000_000
_FIRST_NS = 2_000_000
_RATE_EVERY_NS = 100_000_000
_PAIR_STEPS_MAX = 4_000
"""Steps within which a thread that is not interrupted reads both: 1.3 us at 3 GHz."""
_PAIR_ATTEMPTS = 3
_OFF_NS_MAX = 2_000
_OFF_SHIFT = 10
"""A clock that is off by more than that, and by one part in 2**10 of the time since, was set."""
_PASSED_BITS = 62 - _RATE_BITS
_STEPS_BITS = 40
"""More would not fit into a word; that is minutes without a stamp."""
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")

if TYPE_CHECKING or not JIT_ENABLED:

    def counter() -> int:
        """The processor's counter of time."""
        return clock_ns(CLOCK_REALTIME)

else:  # pragma: no cover - a code generator, run by the compiler; compiled tests use the result

    @intrinsic
    def counter(typingctx):  # noqa: ANN001, ANN201, ARG001
        """The processor's counter of time; elsewhere than on x86-64 it stands still."""

        def codegen(context, builder, signature, args):  # noqa: ANN001, ANN202, ARG001
            i64 = ir.IntType(64)
            if platform.machine() != "x86_64":
                # Elsewhere a program may not be allowed to read it, and dies.
                return i64(0)
            name = "llvm.readcyclecounter"
            function = builder.module.declare_intrinsic(name, [], ir.FunctionType(i64, []))
            return builder.call(function, [])

        return types.int64(), codegen


def has_steady_counter(source: Path = _CLOCK_SOURCE) -> bool:
    """Whether the kernel keeps its own time by the counter that `counter` reads, which it does only
    where all processors count alike, and always at one rate.
    """
    try:
        return platform.machine() == "x86_64" and source.read_text("ascii").strip() == "tsc"
    except OSError:
        return False


def allocate_clocks(threads: int, *, is_steady: bool) -> NDArray[np.int64]:
    """A clock for each of so many threads, i64[threads, CLOCK_WORDS]; none of them runs yet."""
    clocks: NDArray[np.int64] = zeros((threads, CLOCK_WORDS))
    clocks[:, IS_STEADY] = is_steady
    return clocks


@outline_kernel
def anchor_nb(clock: Clock) -> int:
    """Nanoseconds from `clock_gettime`; where it is time, and no interruption came, they make an
    anchor.
    """
    for _ in range(_PAIR_ATTEMPTS):
        before = counter()
        now_ns = clock_ns(CLOCK_REALTIME)
        took = counter() - before
        if clock[IS_STEADY] == 0:
            return now_ns
        if 0 <= took <= _PAIR_STEPS_MAX:
            _adopt_nb(clock, before + (took >> 1), now_ns)
            return now_ns
    # Not by this one: the next stamp tries again.
    clock[SPAN] = 0
    return now_ns


@kernel
def _fits_nb(clock: Clock, at: int, now_ns: int) -> int:
    """1, or 0 when clock and counter went on differently since the last anchor."""
    if clock[RATE] == 0:
        return 1
    steps = at - clock[ANCHOR]
    if steps < 0 or steps >> _STEPS_BITS:
        return 0
    expected_ns = clock[ANCHOR_NS] + ((steps * clock[RATE]) >> _RATE_BITS)
    allowed_ns = _OFF_NS_MAX + ((now_ns - clock[ANCHOR_NS]) >> _OFF_SHIFT)
    return int(abs(now_ns - expected_ns) <= allowed_ns)


@kernel
def _adopt_nb(clock: Clock, at: int, now_ns: int) -> None:
    """Make an anchor of a pair, and a rate when the measurement has taken long enough."""
    passed_ns = now_ns - clock[BASE_NS]
    is_begun = clock[BASE_NS] != 0 and at > clock[BASE]
    if (
        not is_begun
        or passed_ns < 0
        or passed_ns >> _PASSED_BITS
        or not _fits_nb(clock, at, now_ns)
    ):
        _begin_nb(clock, at, now_ns)
        return
    if clock[RATE] == 0 and passed_ns < _FIRST_NS:
        return
    if clock[RATE] == 0 or passed_ns >= _RATE_EVERY_NS:
        clock[RATE] = (passed_ns << _RATE_BITS) // (at - clock[BASE])
    if passed_ns >= _RATE_EVERY_NS:
        clock[BASE], clock[BASE_NS] = at, now_ns
    clock[ANCHOR], clock[ANCHOR_NS] = at, now_ns
    clock[SPAN] = (np.int64(_ANCHOR_EVERY_NS) << _RATE_BITS) // clock[RATE]


@kernel
def _begin_nb(clock: Clock, at: int, now_ns: int) -> None:
    """Measure the rate from here on."""
    clock[BASE], clock[BASE_NS] = at, now_ns
    clock[RATE] = 0
    clock[SPAN] = 0


@kernel
def now_ns_nb(clock: Clock) -> int:
    """Nanoseconds since the epoch."""
    steps = counter() - clock[ANCHOR]
    if steps < 0 or steps >= clock[SPAN]:
        return anchor_nb(clock)
    return clock[ANCHOR_NS] + ((steps * clock[RATE]) >> _RATE_BITS)
