"""The path of a message takes no memory once it is warm, and a garbage collection of the control
plane does not stop it.
"""

import ctypes
import gc
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feedhandler.core.book.kernels import reset_book_nb
from feedhandler.core.counts import Count
from feedhandler.core.events import SIGNAL
from feedhandler.core.ring import ring_take_rows_nb
from feedhandler.core.states import State
from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.memory import reserve_memory
from protocols.binaryfile.reader import load_bytes
from protocols.errors import Status
from tools.bench.day import page_faults, resident_bytes
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.kernels import FOREVER_NS, Cursor, replay_blocks_nb
from tools.replay.replay import Replay

pytestmark = [pytest.mark.compiled_only, pytest.mark.alone]

MESSAGES = 2_000_000
PASSES = 25
WARM_PASSES = 2
GARBAGE = 500_000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "server.toml"


class MallInfo(ctypes.Structure):
    """What glibc's allocator has given out (mallinfo2, man 3 mallinfo)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def allocated_bytes() -> int:
    """Bytes that malloc has given out and not got back, of heap and mappings."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = MallInfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


class MessagePath:
    """The way of a message: decode, book, analytics, lanes, breakers, patterns, signals."""

    def __init__(self, buf: np.ndarray) -> None:
        config = load_config(EXAMPLE, ServerConfig)
        player = Replay(config)
        reserve_memory([player.shard])
        self.shard = player.shard
        self.signals = 0
        (only,) = player.players
        self._venue, self._stages, self._cursor = player._venue, only.stages, only.cursor
        self._buf = buf
        self._rows = np.zeros(4_096, SIGNAL)

    def run(self) -> None:
        """All messages once more, through empty books."""
        reset_book_nb(self.shard.book)
        self.shard.channel[0]["state"] = State.LIVE
        self.shard.channel[0]["next_seq"] = 1
        cursor = self._cursor
        cursor[:] = 0
        cursor[Cursor.STOP] = len(self._buf)
        cursor[Cursor.UNTIL_NS] = FOREVER_NS
        cursor[Cursor.ROUNDS] = 1 << 62
        status = replay_blocks_nb(self.shard, self._venue, self._stages, self._buf, cursor)
        assert status == Status.OK
        while count := ring_take_rows_nb(self.shard.signals, self._rows):
            self.signals += count

    def counted(self, row: int) -> int:
        return int(self.shard.counts[row, 0])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("memory") / "session.bin"
    generate_file(FlowSettings(1, 100, messages=MESSAGES), path)
    return load_bytes(path)


@pytest.fixture(scope="module")
def warm(session: Any) -> MessagePath:
    path = MessagePath(session)
    for _ in range(WARM_PASSES):
        path.run()
    return path


def test_fifty_million_messages_take_nothing_from_allocator_or_system(warm: MessagePath):
    applied, signals = warm.counted(Count.APPLIED), warm.signals
    gc.collect()
    before = allocated_bytes(), resident_bytes()
    faults = []
    for _ in range(PASSES):
        faults_before = page_faults()
        warm.run()
        faults.append(page_faults() - faults_before)
    after = allocated_bytes(), resident_bytes()
    assert warm.counted(Count.APPLIED) - applied == PASSES * MESSAGES
    assert warm.signals - signals > PASSES
    # Bytes a million messages: the interpreter around the kernels may keep a few, once.
    assert abs(after[0] - before[0]) < 16_384
    assert abs(after[1] - before[1]) < 1 << 20
    # The system may take a page away and give it back; a path that touches new ones would need
    # thousands in each pass.
    assert sorted(faults)[PASSES // 2] <= 2, faults


def test_a_collection_of_millions_of_objects_does_not_stop_the_kernels(warm: MessagePath):
    garbage: list[Any] = [[] for _ in range(GARBAGE)]
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            warm.run()

    worker = threading.Thread(target=work)
    worker.start()
    shares, stops_ns, most_a_ms = [], [], 1
    try:
        for is_collecting in (False, True) * 3:
            # From the first part of a pass on: between two of them the worker needs the
            # interpreter, which a collection holds.
            while not 0 < warm.counted(Count.APPLIED) % MESSAGES < MESSAGES // 10:
                time.sleep(0.001)
            first, start_ns = warm.counted(Count.APPLIED), time.perf_counter_ns()
            if is_collecting:
                gc.collect()
            else:
                time.sleep(0.05)
            elapsed_ns = time.perf_counter_ns() - start_ns
            applied = warm.counted(Count.APPLIED) - first
            if is_collecting:
                left = MESSAGES - first % MESSAGES
                possible = min(most_a_ms * elapsed_ns // 1_000_000, left)
                shares.append(applied * 100 // possible)
                stops_ns.append(elapsed_ns)
            else:
                most_a_ms = max(most_a_ms, applied * 1_000_000 // elapsed_ns)
    finally:
        is_over.set()
        worker.join()
    assert len(garbage) == GARBAGE
    assert min(stops_ns) > 20_000_000, "the collection was too short to stop anything"
    # Of what could be done meanwhile, in per cent: nothing, if the kernels had waited.
    assert min(shares) > 25, (shares, stops_ns)
