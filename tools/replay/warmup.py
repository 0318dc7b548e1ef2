"""What a replay compiles at set-up."""

from collections.abc import Callable

import numpy as np

from feedhandler.core.engine import CHUNK
from feedhandler.server.assemble import find_adapter
from feedhandler.server.warmup_steps import smallest_engine
from protocols.binaryfile.kernels import index_messages_nb
from tools.replay.csv_kernels import SYMBOL_BYTES_MAX, format_bbo_nb, write_symbol_nb
from tools.replay.kernels import (
    CURSOR_WORDS,
    finish_datagrams_nb,
    number_lines_nb,
    replay_blocks_nb,
    replay_datagrams_nb,
)


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step, for `feedhandler.server.warmup`."""
    venue = find_adapter("nasdaq_itch").venue()
    shard, rx, stages = smallest_engine()
    pair = (stages.breakers, stages.patterns)
    cursor = np.zeros(CURSOR_WORDS, np.int64)
    buf = np.zeros(2, np.uint8)

    def blocks() -> None:
        index = np.zeros(CHUNK + 1, np.int64)
        index_messages_nb(buf, 0, 0, index)
        replay_blocks_nb(shard, venue, pair, buf, cursor, index)

    def datagrams() -> None:
        packets = np.zeros((4, 1), np.int64)
        lines = np.full(1, -1, np.int64)
        number_lines_nb(venue, buf, packets, rx.session.copy(), rx.parsed, lines)
        replay_datagrams_nb(shard, rx, venue, pair, buf, packets, cursor)
        finish_datagrams_nb(shard, rx, venue, pair, cursor)
        format_bbo_nb(shard.bbo, 0, shard.instruments, buf)
        write_symbol_nb(np.zeros(SYMBOL_BYTES_MAX, np.uint8), 0, 0, 0)

    return [("replay of files", blocks), ("replay of captures", datagrams)]
