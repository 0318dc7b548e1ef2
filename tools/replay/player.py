"""The shards of a replay: each with an engine without threads or sockets, run side by side in
slices, and what they record put in one order.

inline:     a thread for each shard
pipelined:  a second one, its worker, which gets its ticks in rounds (`rounds`)
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.events import SIGNAL
from feedhandler.core.lines import zeros
from feedhandler.core.receiver import Receiver, allocate_receiver
from feedhandler.core.ring import HEAD, ring_take_rows_nb
from feedhandler.core.roles import watch_legs
from feedhandler.core.shard import Control, Setting, Shard, allocate_shard
from feedhandler.core.states import State
from feedhandler.server.assemble import (
    apply_settings,
    scratch_tables,
    shard_capacity,
    with_analytics,
)
from feedhandler.server.config import (
    AnalyticsConfig,
    BudgetConfig,
    EngineConfig,
    PriorityConfig,
    ServerConfig,
)
from feedhandler.server.functions import (
    build_stages,
    load_stages,
    set_params,
    with_functions,
)
from feedhandler.server.priority import apply_priority
from feedhandler.server.snapshots import write_control_nb
from protocols.errors import Status
from tools.replay.kernels import CURSOR_WORDS, FOREVER_NS, Cursor
from tools.replay.pace import Pace
from tools.replay.rounds import (
    Work,
    allocate_rounds,
    break_rounds_nb,
    close_rounds_nb,
    wait_for_worker_nb,
    work_rounds_nb,
    worker_view,
)

ROUNDS_A_SLICE = 65_536
_BBO_ROWS = 65_536
_ROUNDS_A_SLICE_RECORDED = 16_384
"""A million messages: what shards that are ahead of others have recorded waits in memory."""
_REORDER_NS = 50_000_000
_PACKET_BYTES = 65_536
_WINDOW_PACKETS = 1_024
_SIGNAL_RING = 131_072
_SIGNAL_BATCH = 4_096

Rows = NDArray[np.void]
Keys = NDArray[np.int64]


class Player:
    """One shard of a replay and all that drives it; one thread at a time runs it, and one its
    worker where that is apart.

    `signals` and `bbo` are what it has recorded and nobody has taken yet, in parts of (rows,
    ranks), ranks i64[n, 2]: of best prices `seq` and 0. `busy_ns` is the time of its kernels,
    `cpu_ns` that in which they had a core, a worker's not counted.
    """

    def __init__(
        self,
        config: ServerConfig | None = None,
        session: bytes = bytes(10),
        *,
        number: int = 0,
        shards: int = 1,
        records_bbo: bool = False,
        is_pipelined: bool = False,
        feed: int = 0,
    ) -> None:
        """Shard `number` of `shards` of a feed; `config` gives sizes, rules, breakers and patterns
        (none without it), `session` is as it stands in packets, zeros for the first one seen. With
        `is_pipelined` it has a worker apart, see `working`.
        """
        engine = config.engine if config else EngineConfig()
        loaded = load_stages(config)
        sizes = with_analytics(
            shard_capacity(engine, _BBO_ROWS if records_bbo else 0),
            config.analytics if config else AnalyticsConfig(),
        )
        capacity = with_functions(sizes, loaded)._replace(
            packet_bytes=_PACKET_BYTES,
            window_packets=_WINDOW_PACKETS,
            snapshot_bytes=1,
            signal_ring=_SIGNAL_RING,
            shard=number,
            shards=shards,
            feed=feed,
        )
        self.shard: Shard = allocate_shard(capacity, *scratch_tables())
        apply_settings(self.shard, engine, config.budgets if config else BudgetConfig())
        priority, groups = (config.priority, config.groups) if config else (PriorityConfig(), {})
        apply_priority(self.shard, priority, groups)
        self.shard.settings[Setting.TIMED] = 0
        self.shard.settings[Setting.RECORD_BBO] = records_bbo
        channel = self.shard.channel[0]
        channel["reorder_ns"] = _REORDER_NS
        channel["stale_after_ns"] = FOREVER_NS
        set_params(self.shard, loaded)
        watch_legs(self.shard.split.roles, self.shard.breakers, self.shard.patterns)
        rounds = allocate_rounds(self.shard, is_on=is_pipelined)
        self.stages = Work(*build_stages(loaded), rounds)
        self._is_pipelined = is_pipelined
        self._view = worker_view(self.shard) if is_pipelined else self.shard
        self._fault: BaseException | None = None
        self.rx: Receiver = allocate_receiver((-1, -1, -1), session, 64)
        self.cursor: NDArray[np.int64] = zeros(CURSOR_WORDS)
        self.status = int(Status.OUTPUT_FULL)
        self.busy_ns = 0
        self.cpu_ns = 0
        self.signals: list[tuple[Rows, Keys]] = []
        self.bbo: list[tuple[Rows, Keys]] = []

    def start_blocks(self, stop: int) -> None:
        """Be ready for the blocks of a file of `stop` bytes, which say nothing of a state."""
        self.shard.channel[0]["state"] = State.LIVE
        self.shard.channel[0]["next_seq"] = 1
        self.cursor[Cursor.STOP] = stop

    @property
    def next_seq(self) -> int:
        """Every message of the feed below it has been applied."""
        return int(self.shard.channel[0]["next_seq"])

    @contextmanager
    def working(self) -> Iterator[None]:
        """Meanwhile there is a worker, if it is to be one apart."""
        if not self._is_pipelined:
            yield
            return
        rounds = self.stages.rounds
        close_rounds_nb(rounds, 1)
        # What is compiled or read from the cache, is so before the clock runs.
        work_rounds_nb(self._view, self.stages)
        close_rounds_nb(rounds, 0)
        worker = threading.Thread(target=self._work, name="worker")
        worker.start()
        try:
            yield
        finally:
            close_rounds_nb(rounds, 1)
            worker.join()

    def _work(self) -> None:
        """The worker's thread; it has the signals, until the shard rests."""
        try:
            while work_rounds_nb(self._view, self.stages) == Status.OUTPUT_FULL:
                self._keep_signals()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._fault = error
            break_rounds_nb(self.stages.rounds)
            write_control_nb(self.shard.control, Control.STOP, 1)

    def run_slice(self, call: Callable[["Player"], int], rounds: int, until_ns: int) -> None:
        """Call a replay loop until so many rounds are done, the next event is later than
        `until_ns`, or it has an end, which `status` then tells.
        """
        cursor = self.cursor
        cursor[Cursor.ROUNDS] = rounds
        cursor[Cursor.UNTIL_NS] = until_ns
        while cursor[Cursor.ROUNDS] > 0:
            started_ns, cpu_before_ns = time.perf_counter_ns(), time.thread_time_ns()
            self.status = call(self)
            if self._is_pipelined:
                wait_for_worker_nb(self.stages.rounds)
            self.busy_ns += time.perf_counter_ns() - started_ns
            self.cpu_ns += time.thread_time_ns() - cpu_before_ns
            if self._fault is not None:
                raise self._fault
            self.keep()
            if self.status != Status.OUTPUT_FULL or cursor[Cursor.EVENT_NS] > until_ns:
                break

    def keep(self) -> None:
        """Take signals and recorded best prices out of the engine, which rests."""
        self._keep_signals()
        shard = self.shard
        if rows_count := int(shard.bbo_count[0]):
            rows = shard.bbo[:rows_count].copy()
            ranks = np.zeros((rows_count, 2), np.int64)
            ranks[:, 0] = rows["seq"]
            self.bbo.append((rows, ranks))
            shard.bbo_count[0] = 0

    def _keep_signals(self) -> None:
        shard = self.shard
        batch = np.zeros(_SIGNAL_BATCH, SIGNAL)
        head = int(shard.signals.cursors[HEAD])
        while count := int(ring_take_rows_nb(shard.signals, batch)):
            ranks = shard.ranks[np.arange(head, head + count) % len(shard.ranks)]
            self.signals.append((batch[:count].copy(), ranks))
            head += count


class Crew:
    """The players of one replay. With more than one, each has a thread in every slice; `kernel_ns`
    is the time that passed while any of them ran.
    """

    def __init__(self, players: Sequence[Player], pace: Pace | None = None) -> None:
        self.players = players
        self.kernel_ns = 0
        self._pace = pace
        is_recorded = len(players) > 1 and players[0].shard.settings[Setting.RECORD_BBO]
        self._rounds = _ROUNDS_A_SLICE_RECORDED if is_recorded else ROUNDS_A_SLICE

    def run(self, call: Callable[[Player], int], on_slice: Callable[[], None]) -> int:
        """Call a replay loop for each player until it has an end, in the pace asked for; the last
        Status of the first one. `on_slice` is called whenever all of them rest.
        """
        # Once without a round: what is compiled or read from the cache is no time of the kernels.
        self.players[0].cursor[Cursor.ROUNDS] = 0
        call(self.players[0])
        until_ns = FOREVER_NS if self._pace is None else -1
        going = list(self.players)
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(len(going), "shard"))
            for player in going:
                stack.enter_context(player.working())
            while going:
                self._run_slice(pool, going, call, until_ns)
                on_slice()
                going = [player for player in going if player.status == Status.OUTPUT_FULL]
                if self._pace is not None and going:
                    event_ns = min(int(player.cursor[Cursor.EVENT_NS]) for player in going)
                    until_ns = self._pace.wait_for(event_ns)
        return self.players[0].status

    def _run_slice(
        self,
        pool: ThreadPoolExecutor,
        going: Sequence[Player],
        call: Callable[[Player], int],
        until_ns: int,
    ) -> None:
        if len(self.players) == 1:
            before_ns = going[0].busy_ns
            going[0].run_slice(call, self._rounds, until_ns)
            self.kernel_ns += going[0].busy_ns - before_ns
            return
        started_ns = time.perf_counter_ns()
        running = [pool.submit(each.run_slice, call, self._rounds, until_ns) for each in going]
        for each in running:
            each.result()
        self.kernel_ns += time.perf_counter_ns() - started_ns


def take_sorted(parts: Sequence[list[tuple[Rows, Keys]]], below: int) -> list[Rows]:
    """Take the rows whose rank is lower than `below` out of the players' lists; in order of rank,
    then of `seq`, then of the second rank, then as they stood in their list. Each list is in that
    order, and no two lists have a row that is equal in all of it.
    """
    taken: list[tuple[Rows, Keys]] = []
    for part in parts:
        while part and part[0][1][0, 0] < below:
            rows, ranks = part.pop(0)
            here = int(np.searchsorted(ranks[:, 0], below))
            taken.append((rows[:here], ranks[:here]))
            if here < len(rows):
                part.insert(0, (rows[here:], ranks[here:]))
                break
    if len(parts) == 1 or len(taken) <= 1:
        return [rows for rows, _ranks in taken]
    rows = np.concatenate([rows for rows, _ranks in taken])
    ranks = np.concatenate([ranks for _rows, ranks in taken])
    return [rows[np.lexsort((ranks[:, 1], rows["seq"], ranks[:, 0]))]]
