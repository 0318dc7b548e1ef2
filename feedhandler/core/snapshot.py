"""Snapshots: the hand-over from the control plane, and the books that are built from one."""

from enum import IntEnum

import numpy as np

from feedhandler.core.analytics import track_status_nb
from feedhandler.core.api import Venue
from feedhandler.core.book.apply import apply_tick_nb
from feedhandler.core.book.kernels import Outcome, reset_book_nb
from feedhandler.core.book.layout import ORDERS_LIVE
from feedhandler.core.book.queue import best_levels_nb
from feedhandler.core.counts import Count, SnapshotFault
from feedhandler.core.engine import (
    BAD_LENGTH_STATUS,
    NOT_TAKEN,
    OWN,
    WATCHED,
    count_nb,
    fill_stash_nb,
    mark_suspect_nb,
    normalise_chunk_nb,
    note_foreign_orders_nb,
    role_nb,
)
from feedhandler.core.events import E9_PER_E4, Kind
from feedhandler.core.features import forget_depths_nb
from feedhandler.core.handover import hand_snapshot_nb
from feedhandler.core.market import Look
from feedhandler.core.quotes import cell_at_nb, place_for_nb, renew_quote_nb
from feedhandler.core.roles import RoleWord
from feedhandler.core.sequence import believe_nb, window_end_nb
from feedhandler.core.shard import CHUNK, Setting, Shard
from protocols.jit import kernel, outline_kernel

MAX_JUMP = 1 << 32
"""Far more messages than any session has; a number that is further ahead is garbage."""


class Snapshot(IntEnum):
    """Hand-over of a snapshot between the receiving thread and the control plane, in
    control[SNAPSHOT].
    """

    IDLE = 0
    WANTED = 1
    LOADING = 2
    READY = 3
    FAILED = 4


@kernel
def _load_row_nb(shard: Shard, slot: int) -> None:
    """One message of a snapshot to the books; what cannot be applied is counted by its reason and
    makes them suspect.
    """
    tick = shard.ticks[slot]
    role = np.int64(OWN)
    if shard.split.roles.words[RoleWord.WATCHES]:
        role = np.int64(role_nb(shard, slot))
        if role == NOT_TAKEN:
            return
    orders = shard.book.meta[ORDERS_LIVE]
    fault = np.int64(SnapshotFault.NONE)
    if tick["kind"] == Kind.NONE:
        malformed = tick["status"] == BAD_LENGTH_STATUS
        fault = np.int64(SnapshotFault.BAD_LENGTH if malformed else SnapshotFault.UNKNOWN_TYPE)
    else:
        outcome = apply_tick_nb(shard.book, shard.ticks, slot)
        if outcome == Outcome.OK:
            instrument = np.int64(tick["instrument"])
            track_status_nb(shard.instruments[instrument : instrument + 1], shard.ticks, slot)
        elif outcome == Outcome.UNKNOWN_REFERENCE:
            fault = np.int64(SnapshotFault.UNKNOWN_REFERENCE)
        elif outcome == Outcome.DUPLICATE_REFERENCE:
            fault = np.int64(SnapshotFault.DUPLICATE_REFERENCE)
        elif outcome == Outcome.CAPACITY:
            fault = np.int64(SnapshotFault.CAPACITY)
        else:
            fault = np.int64(SnapshotFault.BAD_VALUE)
    if role == WATCHED:
        note_foreign_orders_nb(shard, orders)
    if fault != SnapshotFault.NONE:
        count_nb(shard, Count.SNAPSHOT_DROPPED + fault - 1, role)
        mark_suspect_nb(shard)


@outline_kernel
def _renew_quotes_nb(shard: Shard) -> None:
    """Show the best prices of all books that have a place in the table of all feeds."""
    for instrument in range(shard.quote_places.shape[0]):
        if shard.quote_places[instrument] <= 0:
            continue
        symbol = np.int64(shard.instruments[instrument]["symbol"])
        feed = shard.settings[Setting.FEED]
        place = place_for_nb(shard.quotes, shard.quote_places, symbol, feed, instrument)
        if place <= 0:
            continue
        for side in range(2):
            shard.watched[side, 0, :] = 0
            best_levels_nb(shard.book, 2 * instrument + side, shard.watched[side, :1])
        bid, ask = shard.watched[0, 0], shard.watched[1, 0]
        quote = (bid[0] * E9_PER_E4, bid[1], ask[0] * E9_PER_E4, ask[1])
        at = cell_at_nb(shard.quotes, place - 1, feed)
        renew_quote_nb(shard.quotes, at, quote)


@outline_kernel
def rebuild_books_nb(shard: Shard, venue: Venue, blocks: int) -> None:
    """Replace the books by what this shard takes of `blocks` message blocks in shard.snapshot."""
    reset_book_nb(shard.book)
    shard.epoch[0] += 1
    shard.split.roles.words[RoleWord.FOREIGN_ORDERS] = 0
    shard.channel[0]["suspect"] = 0
    shard.counts[Count.BOOKS_SUSPECT, 0] = 0
    at = np.int64(0)
    done = np.int64(0)
    while done < blocks:
        count = min(blocks - done, CHUNK)
        if not fill_stash_nb(shard, count):
            mark_suspect_nb(shard)
            break
        at, own = normalise_chunk_nb(shard, venue, shard.snapshot, at, count)
        for i in range(own):
            _load_row_nb(shard, np.int64(shard.stash[i]))
        done += count
    if shard.quotes.meta[0] > 0:
        _renew_quotes_nb(shard)
    if shard.settings[Setting.MARKET] == Look.ANALYTICS:
        forget_depths_nb(shard.features)


@outline_kernel
def load_snapshot_nb(shard: Shard, venue: Venue, blocks: int, next_seq: int) -> int:
    """Replace the books by the `blocks` message blocks in shard.snapshot, which is the state before
    message `next_seq`; 1, or 0 when the live books are ahead of it or its number is beyond reason.
    """
    channel = shard.channel[0]
    if next_seq < channel["next_seq"] or next_seq - channel["highest_seq"] > MAX_JUMP:
        return 0
    if shard.settings[Setting.FEEDS]:
        hand_snapshot_nb(shard, blocks, next_seq)
    else:
        rebuild_books_nb(shard, venue, blocks)
    count_nb(shard, Count.COVERED_BY_SNAPSHOT, next_seq - channel["next_seq"])
    count_nb(shard, Count.SNAPSHOTS, 1)
    channel["next_seq"] = next_seq
    # It was taken after it was asked for: what a heartbeat told before that and lies beyond it was
    # false, unless there are messages to show for it.
    known_seq = max(next_seq, window_end_nb(shard.window))
    believe_nb(shard.channel, shard.window, max(np.int64(channel["told_seq"]), known_seq))
    return 1
