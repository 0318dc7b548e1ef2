"""What the server compiles at set-up: each entry kernel, called once on the smallest engine there
is.
"""

from collections.abc import Callable

import numpy as np

from feedhandler.core.api import compile_stage
from feedhandler.core.bars import allocate_bars, bars_of
from feedhandler.core.book.layout import BookCapacity
from feedhandler.core.breakers import price_band
from feedhandler.core.broadcast import allocate_broadcast, broadcast_close_nb
from feedhandler.core.events import SIGNAL
from feedhandler.core.follow import run_follower_nb, run_shard_nb
from feedhandler.core.latency import allocate_histogram
from feedhandler.core.patterns import imbalance_with_trade
from feedhandler.core.receive import run_inline_nb, run_receiver_nb, run_worker_nb
from feedhandler.core.receiver import Receiver, allocate_receiver
from feedhandler.core.recording import record_nb
from feedhandler.core.ring import ring_take_rows_nb
from feedhandler.core.shard import Control, Setting, Shard, ShardCapacity, allocate_shard
from feedhandler.core.stream import no_stream, open_link_nb
from feedhandler.server.assemble import find_adapter, scratch_tables
from feedhandler.server.functions import LoadedStages, Stages, build_stages
from feedhandler.server.hiccup import measure_hiccups_nb, request_stop_nb
from feedhandler.server.memory import touch_pages_nb
from feedhandler.server.snapshots import read_control_nb, write_control_nb
from oms_out.outlets import warm_up_outlets

_CAPACITY = ShardCapacity(
    book=BookCapacity(instruments=1, orders=256, overflow_orders=2, level_blocks=4, arena=64),
    pool=128,
    signal_ring=2,
    window_packets=2,
    packet_bytes=64,
    snapshot_bytes=64,
)


def smallest_engine() -> tuple[Shard, Receiver, Stages]:
    """An engine of the very types that serve and replay use, told to stop before it starts."""
    shard = allocate_shard(_CAPACITY, *scratch_tables())
    shard.control[Control.STOP] = 1
    shard.control[Control.RX_STOPPED] = 1
    shard.settings[Setting.LANES] = 2
    return shard, allocate_receiver((-1, -1, -1), bytes(10), 64), build_stages(LoadedStages())


def steps() -> list[tuple[str, Callable[[], None]]]:
    """(title, function) of each step, for `feedhandler.server.warmup`."""
    venue = find_adapter("nasdaq_itch").venue()
    shard, rx, stages = smallest_engine()
    one_of_several = shard._replace(broadcast=allocate_broadcast(1, 64, 1))
    broadcast_close_nb(one_of_several.broadcast)

    def small() -> None:
        compile_stage(price_band)
        compile_stage(imbalance_with_trade)
        ring_take_rows_nb(shard.signals, np.zeros(1, SIGNAL))
        record_nb(allocate_histogram(), 0)
        stop = np.zeros(1, np.int64)
        request_stop_nb(stop)
        measure_hiccups_nb(allocate_histogram(), stop, 1, 0)
        write_control_nb(shard.control, Control.SNAPSHOT_BLOCKS, 0)
        read_control_nb(shard.control, Control.SNAPSHOT_BLOCKS)
        open_link_nb(no_stream(), -1, 0, -1, 0, 0)
        touch_pages_nb(np.zeros(1, np.int64))
        bars_of(allocate_bars(1), 0)

    def signals_out() -> None:
        warm_up_outlets()

    return [
        ("stages and rings", small),
        ("signals out", signals_out),
        ("inline loop", lambda: _run(run_inline_nb(shard, rx, venue, *stages))),
        ("receiver", lambda: _run(run_receiver_nb(shard, rx, venue))),
        ("worker", lambda: _run(run_worker_nb(shard, rx, *stages))),
        ("shard", lambda: _run(run_shard_nb(one_of_several, rx, venue, *stages))),
        ("shard's books", lambda: _run(run_follower_nb(one_of_several, rx, venue))),
    ]


def _run(_rounds: int) -> None:
    """The call is what counts."""
