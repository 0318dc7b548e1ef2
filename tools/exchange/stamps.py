"""Stamps of messages: what the venue's own clock says, which is wrong for a while where
`Engine.clock_steps` says so. A day of a market may have such steps, the steady flow has none.

All that happens goes by the right time, CLOCK_NS of `state`. What the wrong clock says is written
over it in the finished message, so that nothing else has to know. Stamps never go back: a clock
that was set ahead stands still at the end, until the right time has come up with it, and one that
was set back stands still at the beginning, and jumps at the end. Slow obvious twin:
`tests/reference/slow_clock.py`.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.jit import kernel, outline_kernel
from protocols.wire import Bytes, write_u48_nb, write_u64_nb
from tools.exchange.itch_writer import LENGTH_BYTES, TIMESTAMP
from tools.exchange.itch_writer_rare import O_NEAR_TIME, TYPE_DIRECT_LISTING
from tools.exchange.layout import CLOCK_NS, STEP_BY_NS, STEP_FROM_NS, STEP_UNTIL_NS, Engine

_NOTHING = np.int64(0)


@outline_kernel
def stamp_nb(clock_steps: NDArray[np.int64], clock_ns: int) -> int:
    """The stamp of a message that is due at `clock_ns`."""
    for i in range(clock_steps.shape[0]):
        from_ns, until_ns = clock_steps[i, STEP_FROM_NS], clock_steps[i, STEP_UNTIL_NS]
        step_ns = clock_steps[i, STEP_BY_NS]
        if from_ns <= clock_ns < until_ns + max(step_ns, _NOTHING):
            return max(min(clock_ns, until_ns) + step_ns, from_ns)
    return clock_ns


@kernel
def restamp_nb(engine: Engine, out: Bytes, at: int) -> None:
    """Give the block at `out[at:]`, which was made now, the stamp that the venue's clock gives."""
    if engine.clock_steps.shape[0] > 0:
        _write_stamp_nb(engine, out, at + LENGTH_BYTES)


@outline_kernel
def _write_stamp_nb(engine: Engine, out: Bytes, message_at: int) -> None:
    ts_ns = stamp_nb(engine.clock_steps, engine.state[CLOCK_NS])
    write_u48_nb(out, message_at + TIMESTAMP, ts_ns)
    if out[message_at] == TYPE_DIRECT_LISTING:
        write_u64_nb(out, message_at + O_NEAR_TIME, ts_ns)
