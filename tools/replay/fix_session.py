"""The order of the messages of one FIX session, by MsgSeqNum, as a receiver would have taken them.

A recording is known to its end, so what a live session does step by step is one sort here: within
the numbers that belong together, messages come in their order, those that came twice once, and
resent ones in the place of those that were lost. What resets the numbers begins a new stretch: a
Logon with ResetSeqNumFlag, one that is number 1 again, a SequenceReset that is no gap fill.

Source: FIX 4.4 volume 2 (session protocol: PossDupFlag, SequenceReset, ResetSeqNumFlag).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.fix.kernels_entries import INCREMENTAL, SNAPSHOT
from protocols.fix.layout import pack_msg_type

_LOGON, _SEQUENCE_RESET = pack_msg_type(b"A"), pack_msg_type(b"4")
_YES = ord("Y")

HEADER = np.dtype(
    [
        ("msg_type", "i8"),
        ("seq", "i8"),
        ("sending_ts_ns", "i8"),
        ("poss_dup", "i8"),
        ("new_seq", "i8"),
        ("gap_fill", "i8"),
        ("reset", "i8"),
    ]
)
"""What of a message decides about its place: `seq` 0 without a number, flags as their byte."""


class Order(NamedTuple):
    """`places` of the messages in the order to apply them, and which of these come after messages
    that are missing; how many came twice, and how many of those applied were resent; `gaps` that
    were never filled and the messages missing in them.
    """

    places: NDArray[np.int64]
    is_after_loss: NDArray[np.bool_]
    duplicates: int
    resent: int
    gaps: int
    missing: int


class _Stretch(NamedTuple):
    """Messages from `start` to `stop` - 1, whose numbers belong together; `first_seq` is the number
    that is expected first, 0 for any.
    """

    start: int
    stop: int
    first_seq: int


def is_market_data(headers: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of HEADER[n] are W or X."""
    return np.isin(headers["msg_type"], (SNAPSHOT, INCREMENTAL))


def _stretches(headers: NDArray[np.void]) -> Iterator[_Stretch]:
    start, first_seq, logon_ts_ns = 0, 0, -1
    special = np.isin(headers["msg_type"], (_LOGON, _SEQUENCE_RESET))
    for at in map(int, special.nonzero()[0]):
        row = headers[at]
        if row["poss_dup"] == _YES:
            continue
        if row["msg_type"] == _LOGON:
            is_again = row["sending_ts_ns"] == logon_ts_ns
            logon_ts_ns = int(row["sending_ts_ns"])
            resets = not is_again and (row["reset"] == _YES or row["seq"] == 1)
            expected = int(row["seq"])
        else:
            resets, expected = row["gap_fill"] != _YES, max(int(row["new_seq"]), 1)
        if resets:
            yield _Stretch(start, at, first_seq)
            start, first_seq = at, expected
    yield _Stretch(start, len(headers), first_seq)


def _ends(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """The number after each message: a gap fill stands for all up to its NewSeqNo."""
    fills = (rows["msg_type"] == _SEQUENCE_RESET) & (rows["gap_fill"] == _YES)
    after = rows["seq"] + 1
    return np.maximum.accumulate(np.where(fills, np.maximum(rows["new_seq"], after), after))


def order_messages(headers: NDArray[np.void]) -> Order:
    """The order of HEADER[n], which are in the order of arrival."""
    places, losses = [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    duplicates = resent = gaps = missing = 0
    next_seq, has_data = 0, False
    for stretch in _stretches(headers):
        arrived = np.arange(stretch.start, stretch.stop)
        if stretch.first_seq and headers["msg_type"][stretch.start] == _SEQUENCE_RESET:
            arrived = arrived[1:]  # its own number means nothing
            if next_seq and stretch.first_seq > next_seq:
                gaps += 1
                missing += stretch.first_seq - next_seq
        seqs = headers["seq"][arrived]
        arrived_numbered = arrived[seqs > 0]
        _, first = np.unique(headers["seq"][arrived_numbered], return_index=True)
        numbered = arrived_numbered[first]
        first_seq = stretch.first_seq or int(headers["seq"][arrived_numbered[:1]].sum())
        is_old = headers["seq"][numbered] < first_seq
        numbered = numbered[~is_old]
        duplicates += len(arrived_numbered) - len(numbered)
        rows = headers[numbered]
        ends = _ends(rows)
        lost = np.maximum(rows["seq"] - np.concatenate([[first_seq], ends])[:-1], 0)
        gaps += int(np.count_nonzero(lost))
        missing += int(lost.sum())
        resent += int(np.count_nonzero(rows["poss_dup"] == _YES))
        chosen, after_loss = _with_unnumbered(headers, arrived, numbered, lost > 0)
        if len(chosen) and has_data:
            # Whoever resets the numbers does not say what went by meanwhile.
            after_loss[0] = True
        has_data = has_data or bool(is_market_data(headers[chosen]).any())
        places.append(chosen)
        losses.append(after_loss)
        next_seq = int(ends[-1]) if len(rows) else stretch.first_seq
    return Order(np.concatenate(places), np.concatenate(losses), duplicates, resent, gaps, missing)


def _with_unnumbered(
    headers: NDArray[np.void],
    arrived: NDArray[np.int64],
    numbered: NDArray[np.int64],
    after_loss: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Put messages without a number behind the one that arrived before them."""
    seqs = headers["seq"][arrived]
    bare = seqs <= 0
    if not bare.any():
        return numbered, after_loss
    latest = np.where(bare, 0, np.arange(1, len(seqs) + 1))
    latest = np.maximum.accumulate(latest)
    keys_bare = np.where(latest > 0, seqs[np.maximum(latest - 1, 0)], 0)[bare]
    places = np.concatenate([numbered, arrived[bare]])
    keys = np.concatenate([headers["seq"][numbered], keys_bare])
    is_bare = np.arange(len(places)) >= len(numbered)
    order = np.lexsort((places, is_bare, keys))
    losses = np.concatenate([after_loss, np.zeros(int(bare.sum()), np.bool_)])
    return places[order], losses[order]
