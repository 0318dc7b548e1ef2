"""One session made by several engines, its parts: symbol i belongs to part i mod parts. Each has a
random stream, a clock and books of its own, and an even share of the session's rate.

An engine for the whole makes the opening and the closing, once and in order; between them the
parts' messages are merged (`merge`) while threads make more of them (`producers`). Settings decide
every byte, and who makes them none.
"""

from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from protocols.vectors import BLOCK
from protocols.wire import Bytes
from tools.exchange import merge as sequencer
from tools.exchange.day import OPEN_NS
from tools.exchange.flow import finish_early_nb, generate_nb, opening_count_nb
from tools.exchange.layout import (
    CLOCK_NS,
    CLOSING_COUNT,
    CLOSING_NS,
    EMITTED,
    HALT_INTERVAL_NS,
    NEXT_BROKEN_NS,
    NEXT_HALT_NS,
    NEXT_REFERENCE,
    SLOT_MASK,
    TICKER,
    TOTAL,
    UNLIMITED,
    Engine,
    FlowSettings,
    allocate_engine,
)
from tools.exchange.merge import (
    NO_PART,
    PARTS_MAX,
    allocate_merge,
    begin_block_nb,
    live_orders,
    merge_nb,
)
from tools.exchange.producers import BLOCKS, Producers
from tools.exchange.rng import seed_state
from tools.exchange.symbols import activity_table, ticker_word
from tools.exchange.truth import summary_of_rows

BLOCK_BYTES = 1 << 18
"""Some 8,000 messages."""
_FIRST_STREAM = 1 << 20
"""Random streams of a seed from here on are those of parts."""


def allocate_part(settings: FlowSettings, whole: Engine, part: int) -> Engine:
    """The engine of one part: flow alone, each step of its clock as many times as long as one of
    the whole session's as there are parts.
    """
    parts = settings.parts
    indices = range(part, settings.symbols, parts)
    engine = allocate_engine(
        settings._replace(
            seed=seed_state(settings.seed, _FIRST_STREAM + part),
            symbols=len(indices),
            messages=0,
            halt_interval_ms=settings.halt_interval_ms * parts,
        )
    )
    engine.symbols[:, TICKER] = [ticker_word(index) for index in indices]
    state = engine.state
    state[EMITTED] = opening_count_nb(engine)
    state[CLOSING_NS] = UNLIMITED
    state[SLOT_MASK] = (1 << len(engine.orders).bit_length()) - 1
    state[NEXT_REFERENCE] = state[SLOT_MASK] + 1
    # One part after the other, so that not all of them halt a symbol at once.
    first_ns = state[HALT_INTERVAL_NS] * (part + 1) // parts
    state[NEXT_HALT_NS] = OPEN_NS + first_ns
    state[NEXT_BROKEN_NS] = OPEN_NS + first_ns // 2
    return engine._replace(
        activity=activity_table(settings.symbols, part, parts), step_ns=whole.step_ns * parts
    )


def begin_part(engine: Engine, whole: Engine) -> None:
    """Let a part begin when the opening is over."""
    engine.state[[CLOCK_NS, NEXT_HALT_NS, NEXT_BROKEN_NS]] += whole.state[CLOCK_NS] - OPEN_NS


class PartedSession:
    """The messages of a session of parts, one after the other, for the length of a `with`
    statement. Up to `producers` threads make them.
    """

    def __init__(
        self, settings: FlowSettings, producers: int = 1, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """A session before its first message; ValueError for more parts than are possible."""
        parts, possible = settings.parts, min(PARTS_MAX, settings.symbols)
        # One engine alone needs nobody to merge.
        if not 2 <= parts <= possible:
            raise ValueError(f"parts is {parts}: 2 to {possible} are possible")
        self.whole = allocate_engine(settings)
        self._engines = [allocate_part(settings, self.whole, part) for part in range(parts)]
        # What is copied of the last message may end behind the last block.
        memory = np.zeros(parts * BLOCKS * block_bytes + BLOCK, np.uint8)
        self._blocks = memory[:-BLOCK].reshape(parts * BLOCKS, block_bytes)
        flow = self.whole.state[TOTAL] - CLOSING_COUNT - opening_count_nb(self.whole)
        self._merge = allocate_merge(
            memory,
            [len(engine.orders) for engine in self._engines],
            [int(engine.state[SLOT_MASK]) for engine in self._engines],
            max(int(flow), 0),
        )
        self._merge.state[sequencer.CLOSING_NS] = self.whole.state[CLOSING_NS]
        self._rows: list[int | None] = [None] * parts
        self._producers = Producers(self._fill_block, parts, min(producers, parts))
        self._running = ExitStack()
        self._is_begun = False

    def __enter__(self) -> Self:
        """Nothing yet: threads start with the first message that they make."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the threads."""
        self._running.close()

    def generate(self, out: Bytes, limit: int) -> tuple[int, int]:
        """Write up to `limit` messages as blocks, as `flow.generate_nb` does: (messages, bytes).
        `out` has room for BLOCK bytes at least.

        UserError when a producer failed.
        """
        whole = self.whole
        opening_left = opening_count_nb(whole) - int(whole.state[EMITTED])
        if opening_left > 0:
            return generate_nb(whole, out, min(limit, opening_left))
        if self._merge.state[sequencer.LEFT] > 0:
            count, size = self._generate_flow(out, limit)
            if count > 0 or self._merge.state[sequencer.LEFT] > 0:
                return count, size
        return generate_nb(whole, out, limit)

    def truth(self) -> dict[str, Any]:
        """As `truth.summary`, of the messages so far."""
        counts = self.whole.type_counts + self._merge.type_counts
        return summary_of_rows(self.whole.state[EMITTED], counts, live_orders(self._merge))

    def _generate_flow(self, out: Bytes, limit: int) -> tuple[int, int]:
        """The same between opening and closing; the whole's clock and count go along."""
        if not self._is_begun:
            self._is_begun = True
            for engine in self._engines:
                begin_part(engine, self.whole)
            self._running.enter_context(self._producers)
        count = size = 0
        while True:
            more, size, part = merge_nb(self._merge, out, size, limit - count)
            count += more
            if part == NO_PART:
                break
            self._take_block(part)
        if count > 0:
            self.whole.state[EMITTED] += count
            self.whole.state[CLOCK_NS] = self._merge.state[sequencer.CLOCK_NS]
        if self._merge.state[sequencer.LEFT] == 0:
            finish_early_nb(self.whole)
        return count, size

    def _take_block(self, part: int) -> None:
        """Exchange the part's block, which is at its end, for the next one."""
        row = self._rows[part]
        if row is not None:
            self._producers.give_back(part, row)
        row, size = self._producers.next_block(part)
        self._rows[part] = row
        begin_block_nb(self._merge, part, row * self._blocks.shape[1], size)

    def _fill_block(self, part: int, row: int) -> int:
        """Make the part's next messages in a row of blocks; their bytes. Threads run this."""
        _, size = generate_nb(self._engines[part], self._blocks[row], UNLIMITED)
        return size
