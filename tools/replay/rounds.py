"""The worker of a replay on a thread of its own, which gets its ticks in rounds.

    reader: books ──► lanes, and a mark: where each lane ends, how far the feed is ──► worker

On one thread all ticks of a round (so many messages of a file, a packet of a capture) are looked at
before the next one is read. A worker that took whatever is in the lanes would see a critical tick
of the next round before a routine one of this round, now and then: so it looks at lanes of its own,
which end where the mark says. While it does, the reader is up to MARKS rounds ahead. What the
worker sees of the channel and of symbols is as of the end of its round, too.

Not for a server: there a critical tick is not to wait for the end of a round.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.api import Sender
from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.counts import LANES_MAX
from feedhandler.core.engine import pause_nb
from feedhandler.core.events import Kind
from feedhandler.core.functions import Meta
from feedhandler.core.lines import zeros
from feedhandler.core.ring import CURSOR_WORDS, HEAD, TAIL, ring_size_nb
from feedhandler.core.sequence import CHANNEL
from feedhandler.core.shard import Setting, Shard
from feedhandler.core.stages import drain_lanes_nb
from protocols.by_reference import by_reference
from protocols.errors import Status
from protocols.jit import kernel

MARKS = 128
"""A power of two."""
ROWS_A_ROUND_MAX = 50_000
"""Best prices recorded in one round at most: 16 datagrams (BATCH of `feedhandler.core.receive`) of
65,507 bytes, full of the shortest message that changes a book (D, 21 bytes as a block)."""

_CLOSED = CURSOR_WORDS
_BROKEN = CURSOR_WORDS + HEAD


@by_reference
class Rounds(NamedTuple):
    """Marks between the thread that reads and the worker, none unless `is_on` u8[1].

    Shapes: cursors i64[64], as of a ring, then 1 when nothing more comes (its own line), and 1 when
    the worker has failed (likewise); tails i64[MARKS, LANES_MAX], where each lane ends, channels
    CHANNEL[MARKS]; `handed` i64[LANES_MAX], the newest of these tails; `lane_cursors` of the shard,
    in which the worker shows how far it is.
    """

    is_on: NDArray[np.uint8]
    cursors: NDArray[np.int64]
    tails: NDArray[np.int64]
    channels: NDArray[np.void]
    handed: NDArray[np.int64]
    lane_cursors: NDArray[np.int64]


class Work(NamedTuple):
    """Compiled breakers and patterns, where signals go, and what leads to a worker of its own."""

    breakers: Any
    patterns: Any
    sender: Sender
    rounds: Rounds


def allocate_rounds(shard: Shard, *, is_on: bool) -> Rounds:
    """No marks yet; `shard` is the reader's."""
    flag = zeros(1, np.uint8)
    flag[0] = is_on
    size = MARKS if is_on else 1
    return Rounds(
        is_on=flag,
        cursors=zeros(2 * CURSOR_WORDS),
        tails=zeros((size, LANES_MAX)),
        channels=zeros(size, CHANNEL),
        handed=zeros(LANES_MAX),
        lane_cursors=shard.lane_cursors,
    )


def worker_view(shard: Shard) -> Shard:
    """The shard as its worker sees it: lanes, channel and symbols up to the end of a round."""
    return shard._replace(
        lane_cursors=zeros(shard.lane_cursors.shape),
        channel=zeros(1, CHANNEL),
        instruments=zeros(len(shard.instruments), shard.instruments.dtype),
    )


@kernel
def wait_for_places_nb(rounds: Rounds, wanted: int) -> int:
    """Wait until so many marks may be handed on; 1, or 0 when the worker has failed."""
    waits = 0
    tail = rounds.cursors[TAIL]
    while tail - load_acquire(rounds.cursors, HEAD) > rounds.tails.shape[0] - wanted:
        if load_acquire(rounds.cursors, _BROKEN):
            return 0
        waits += 1
        pause_nb(waits)
    return 1


@kernel
def wait_for_worker_nb(rounds: Rounds) -> int:
    """Wait until the worker has done all that was handed on; 1, or 0 when it has failed."""
    return wait_for_places_nb(rounds, np.int64(rounds.tails.shape[0]))


@kernel
def hand_round_nb(shard: Shard, rounds: Rounds) -> None:
    """Hand on what is new in the lanes, if anything is; there is a place, see
    `wait_for_places_nb`.
    """
    changed = np.int64(0)
    tail = rounds.cursors[TAIL]
    place = tail & (rounds.tails.shape[0] - 1)
    for lane in range(shard.settings[Setting.LANES]):
        end = shard.lane_cursors[lane, TAIL]
        changed |= end - rounds.handed[lane]
        rounds.handed[lane] = rounds.tails[place, lane] = end
    if changed:
        rounds.channels[place] = shard.channel[0]
        store_release(rounds.cursors, TAIL, tail + 1)


@kernel
def close_rounds_nb(rounds: Rounds, is_closed: int) -> None:
    """Say that nothing more comes, or that something may."""
    store_release(rounds.cursors, _CLOSED, np.int64(is_closed))


@kernel
def break_rounds_nb(rounds: Rounds) -> None:
    """The worker has failed: nobody waits for it any more."""
    store_release(rounds.cursors, _BROKEN, np.int64(1))


@kernel
def _note_symbols_nb(view: Shard, lane: int) -> None:
    """Take in the symbols that new ticks of a lane tell, as `analyse_nb` does."""
    cells = view.lane_cells[lane]
    for position in range(view.lane_cursors[lane, HEAD], view.lane_cursors[lane, TAIL]):
        tick = view.ticks[np.int64(cells[position & (len(cells) - 1)])]
        row = view.instruments[np.int64(tick["instrument"])]
        if tick["kind"] == Kind.DEFINITION or (tick["kind"] == Kind.ADD and row["symbol"] == 0):
            row["symbol"] = tick["aux"]


@kernel
def _take_round_nb(view: Shard, work: Work, place: int) -> None:
    rounds = work.rounds
    view.channel[0] = rounds.channels[place]
    names = view.breakers.meta[Meta.SYMBOLS] + view.patterns.meta[Meta.SYMBOLS] > 0
    for lane in range(view.settings[Setting.LANES]):
        view.lane_cursors[lane, TAIL] = rounds.tails[place, lane]
        if names:
            _note_symbols_nb(view, np.int64(lane))
    drain_lanes_nb(view, work.breakers, work.patterns, work.sender, view.ticks.shape[0])
    for lane in range(view.settings[Setting.LANES]):
        head = view.lane_cursors[lane, HEAD]
        store_release(rounds.lane_cursors[lane], HEAD, head)


@kernel
def work_rounds_nb(view: Shard, work: Work) -> int:
    """The worker's loop, on a `worker_view`.

    Returns: Status: OK when nothing more comes and all is done, OUTPUT_FULL when the caller is to
        empty the ring of signals and call again.
    """
    cursors = work.rounds.cursors
    waits = 0
    while True:
        closed = load_acquire(cursors, _CLOSED)
        head = cursors[HEAD]
        if head < load_acquire(cursors, TAIL):
            waits = 0
            if view.signals.cells.shape[0] - ring_size_nb(view.signals) < ROWS_A_ROUND_MAX:
                return Status.OUTPUT_FULL
            _take_round_nb(view, work, head & (work.rounds.tails.shape[0] - 1))
            store_release(cursors, HEAD, head + 1)
        elif closed:
            return Status.OK
        else:
            waits += 1
            pause_nb(waits)
