"""What a replay compiles at set-up."""

from collections.abc import Callable

import numpy as np

from adapters.fix_md.adapter import ADAPTER as FIX_MD
from adapters.fix_md.layout import allocate_feed, allocate_reading
from adapters.fix_md.messages import Column, convert_nb
from feedhandler.core.text import SYMBOL_BYTES_MAX, write_symbol_nb
from feedhandler.server.assemble import find_adapter
from feedhandler.server.warmup_steps import smallest_engine
from protocols.binaryfile.kernels import index_messages_nb
from protocols.fix.kernels import decode_nb
from protocols.pcap.kernels import (
    DATAGRAM_COLUMNS,
    copy_datagrams_nb,
    index_pcap_nb,
    index_pcapng_nb,
)
from protocols.pcap.kernels_frame import add_transport_nb
from protocols.pcap.kernels_time import read_ordered_u32_nb
from protocols.pcap.layout import allocate_section, allocate_table
from protocols.soupbintcp.kernels import scan_sequenced_nb
from protocols.soupbintcp.kernels_find import find_packets_nb
from tools.replay.csv_kernels import format_bbo_nb
from tools.replay.fix_kernels import SESSION_VIEW, copy_messages_nb, read_headers_nb
from tools.replay.kernels import (
    CURSOR_WORDS,
    finish_datagrams_nb,
    has_data_nb,
    number_lines_nb,
    replay_blocks_nb,
    replay_datagrams_nb,
)
from tools.replay.rounds import (
    Work,
    allocate_rounds,
    close_rounds_nb,
    wait_for_worker_nb,
    work_rounds_nb,
    worker_view,
)
from tools.replay.soup_kernels import pack_messages_nb

_FIX_BODY_BYTES = 64


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step that needs the engine, for `feedhandler.server.warmup`."""
    venue = find_adapter("nasdaq_itch").venue()
    shard, rx, compiled = smallest_engine()
    stages = Work(*compiled, allocate_rounds(shard, is_on=False))
    cursor = np.zeros(CURSOR_WORDS, np.int64)
    buf = np.zeros(2, np.uint8)

    def blocks() -> None:
        index_messages_nb(buf, 0, 0, shard.split.blocks)
        replay_blocks_nb(shard, venue, stages, buf, cursor)

    def rounds() -> None:
        close_rounds_nb(stages.rounds, 1)
        work_rounds_nb(worker_view(shard), stages)
        wait_for_worker_nb(stages.rounds)

    def datagrams() -> None:
        packets = np.zeros((4, 1), np.int64)
        session = rx.session.copy()
        lines = np.full(1, -1, np.int64)
        has_data_nb(venue, buf, buf, packets, session, rx.parsed)
        number_lines_nb(venue, buf, buf, packets, session, rx.parsed, lines)
        replay_datagrams_nb(shard, rx, venue, stages, buf, buf, packets, cursor)
        finish_datagrams_nb(shard, rx, venue, stages, cursor)
        format_bbo_nb(shard.bbo, 0, shard.instruments, np.zeros((0, 1), np.uint8), buf)
        write_symbol_nb(np.zeros(SYMBOL_BYTES_MAX, np.uint8), 0, 0, 0)

    return [
        ("replay of files", blocks),
        ("worker of a replay", rounds),
        ("replay of captures", datagrams),
    ]


def format_steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step that does not."""
    buf = np.zeros(2, np.uint8)

    def captures() -> None:
        table = allocate_table(1)
        for index_nb in (index_pcap_nb, index_pcapng_nb):
            index_nb(buf, 2, allocate_section(), table)
        copy_datagrams_nb(table.rows, np.zeros((len(DATAGRAM_COLUMNS), 1), np.int64))
        add_transport_nb(buf, 0, 0, 0, 0, table.rows[0])
        read_ordered_u32_nb(np.zeros(4, np.uint8), 0, 0)
        words = np.zeros(256, np.int64)
        find_packets_nb(buf, 0, 0, words, 1)
        scan_sequenced_nb(buf, 0, 0, words, words, 1)
        pack_messages_nb(buf, np.zeros((3, 0), np.int64), 0, buf, buf, np.zeros((4, 0), np.int64))

    def fix() -> None:
        FIX_MD.venue()
        FIX_MD.fix_source("A", "B", ("*",), 1, 1, 1, "").disconnected()
        reading = allocate_reading(_FIX_BODY_BYTES)
        words = np.zeros(2, np.int64)
        read_headers_nb(buf, reading.decoder, 0, SESSION_VIEW.table(), words, words)
        copy_messages_nb(buf, np.zeros((2, 0), np.int64), 0, buf)
        table = np.zeros((len(Column), 1), np.int64)
        convert_nb(buf, 0, reading, allocate_feed(1, 1), table, words, buf)
        decode_nb(buf, 0, 0, reading.decoder)

    return [("FIX market data", fix), ("capture files", captures)]
