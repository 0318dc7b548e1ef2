"""Tops of books while the engine runs, as the receiving thread copies them between two packets."""

import asyncio
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.shard import Control, Shard, Watch
from feedhandler.core.states import State
from feedhandler.server.engines import Engines
from feedhandler.server.snapshots import read_control_nb, write_control_nb

_WAIT_S = 0.001
_WAITS = 250


class BookTop(NamedTuple):
    """Levels i64[n, 3] of each side, best first: price_e4, quantity, orders; the state of the
    channel and the number of its next message.
    """

    bids: NDArray[np.int64]
    asks: NDArray[np.int64]
    state: State
    next_seq: int


class BookWatch:
    """Looks at the books of one feed; one look at a time, as there is one copy."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._turn = asyncio.Lock()

    async def look(self, instrument: int) -> BookTop | None:
        """The book of an instrument of this feed; None when the engine does not answer in time."""
        async with self._turn:
            shard = self._engines.owner_of(instrument)
            # The answer to an earlier look that nobody waited for is another book's.
            if not await _is_answered(shard):
                return None
            write_control_nb(shard.control, Control.WATCH_INSTRUMENT, instrument)
            write_control_nb(shard.control, Control.WATCH, Watch.WANTED)
            if not await _is_answered(shard):
                return None
            next_seq, state, bids, asks = (int(word) for word in shard.watched_info)
            sides = shard.watched[0, :bids].copy(), shard.watched[1, :asks].copy()
            return BookTop(*sides, State(state), next_seq)


async def _is_answered(shard: Shard) -> bool:
    """Whether no look waits for the engine, soon."""
    for _ in range(_WAITS):
        if read_control_nb(shard.control, Control.WATCH) != Watch.WANTED:
            return True
        await asyncio.sleep(_WAIT_S)
    return False
