"""The window by itself, and the state of a channel as a table of transitions."""

from typing import Any

import numpy as np
import pytest

from feedhandler.core.sequence import (
    CHANNEL,
    ENTRY,
    SNAPSHOT_PAUSE_NS,
    SNAPSHOT_SLOW_PAUSE_NS,
    SNAPSHOT_TRIES,
    WINDOW_COUNT,
    WINDOW_FREE,
    Step,
    Stored,
    Window,
    advance_state_nb,
    allocate_window,
    believe_nb,
    hear_nb,
    next_hole_nb,
    note_progress_nb,
    note_snapshot_nb,
    window_drop_first_nb,
    window_end_nb,
    window_store_nb,
)
from feedhandler.core.states import State

NOW = 1_000_000
DOWN, SYNCING, LIVE, GAP, RECOVERING, STALE, ENDED = State


def entry(seq: int, end: int, size: int = 4, line: int = 0) -> Any:
    rows = np.zeros(1, ENTRY)
    rows[0] = (seq, end, 0, size, 7, line)
    return rows


def store(window: Window, seq: int, end: int, data: bytes = b"abcd") -> int:
    buf = np.frombuffer(b"--" + data, np.uint8)
    return int(window_store_nb(window, entry(seq, end, len(data)), buf, 2, 0))


def kept(window: Window) -> list[tuple[int, int]]:
    head, mask = int(window.meta[0]), len(window.entries) - 1
    rows = [window.entries[(head + i) & mask] for i in range(window.meta[WINDOW_COUNT])]
    return [(int(row["seq"]), int(row["end"])) for row in rows]


@pytest.mark.parametrize("packets", [0, 3, -1])
def test_window_holds_a_power_of_two_of_packets(packets: int):
    with pytest.raises(ValueError, match=f"power of two of packets, not {packets}"):
        allocate_window(packets, 16)


@pytest.mark.parametrize(
    "order",
    [[10, 20, 30, 40], [40, 30, 20, 10], [20, 40, 10, 30], [30, 10, 40, 20]],
)
def test_packets_are_kept_in_order_however_they_come(order: list[int]):
    window = allocate_window(4, 16)
    for seq in order:
        assert store(window, seq, seq + 10) == Stored.KEPT
    assert kept(window) == [(10, 20), (20, 30), (30, 40), (40, 50)]
    assert window.meta[WINDOW_FREE] == 0


def test_bytes_and_stamps_are_kept_with_their_packet():
    window = allocate_window(2, 8)
    store(window, 5, 6, b"second")
    store(window, 3, 4, b"first")
    row = window.entries[window.meta[0] & 1]
    start = row["slot"] * 8
    assert window.payload[start : start + row["size"]].tobytes() == b"first"
    assert (row["ts_rx_ns"], row["line"]) == (7, 0)


def test_packet_that_brings_nothing_new_is_a_duplicate():
    window = allocate_window(4, 16)
    store(window, 10, 20)
    assert store(window, 10, 20) == Stored.DUPLICATE
    assert store(window, 12, 18) == Stored.DUPLICATE
    assert store(window, 12, 21) == Stored.KEPT
    assert store(window, 10, 21) == Stored.KEPT
    assert kept(window) == [(10, 20), (10, 21), (12, 21)]


def test_full_window_and_packet_that_is_too_large_are_refused():
    window = allocate_window(2, 4)
    assert store(window, 10, 11, b"12345") == Stored.FULL
    assert store(window, 10, 11) == Stored.KEPT
    assert store(window, 20, 21) == Stored.KEPT
    assert store(window, 30, 31) == Stored.FULL
    assert kept(window) == [(10, 11), (20, 21)]


def test_slots_go_round_many_times():
    window = allocate_window(4, 16)
    for seq in range(10, 400, 10):
        assert store(window, seq + 5, seq + 6) == Stored.KEPT
        assert store(window, seq, seq + 1) == Stored.KEPT
        assert kept(window) == [(seq, seq + 1), (seq + 5, seq + 6)]
        window_drop_first_nb(window)
        window_drop_first_nb(window)
    assert window.meta[WINDOW_FREE] == 4


def channel_row(**values: int) -> Any:
    channel = np.zeros(1, CHANNEL)
    defaults = {
        "state": LIVE,
        "next_seq": 10,
        "highest_seq": 10,
        "last_packet_ns": NOW,
        "reorder_ns": 100,
        "request_timeout_ns": 1_000,
        "tries_max": 2,
        "snapshot_above": 50,
        "stale_after_ns": 5_000,
    }
    for name, value in (defaults | values).items():
        channel[0][name] = value
    return channel


def test_holes_lie_between_what_is_kept_and_up_to_what_was_heard_of():
    window, hole = allocate_window(8, 16), np.zeros(2, np.int64)
    channel = channel_row(highest_seq=60)
    for seq, end in ((8, 12), (20, 30), (25, 28), (30, 40)):
        store(window, seq, end)
    found, start = [], 0
    while next_hole_nb(channel, window, start, hole):
        found.append(tuple(hole.tolist()))
        start = int(hole[1])
    assert found == [(12, 20), (40, 60)]
    assert next_hole_nb(channel, window, 15, hole) == 1
    assert hole.tolist() == [15, 20]


def test_nothing_is_missing_when_all_was_applied():
    hole = np.zeros(2, np.int64)
    assert next_hole_nb(channel_row(), allocate_window(2, 16), 0, hole) == 0


def test_number_that_nothing_bears_out_takes_its_packets_and_its_end_of_session_along():
    window, channel = allocate_window(4, 16), channel_row(highest_seq=900, end_seq=900, heard_seq=5)
    assert window_end_nb(window) == 0
    for seq, end in ((20, 30), (800, 900), (35, 40)):
        store(window, seq, end)
    assert window_end_nb(window) == 900
    believe_nb(channel, window, 40)
    assert kept(window) == [(20, 30), (35, 40)]
    assert window.meta[WINDOW_FREE] == 2
    assert len(set(window.free_slots[:2].tolist())) == 2
    row = channel[0]
    assert (row["highest_seq"], row["end_seq"], row["heard_seq"]) == (40, 0, 0)


def test_number_below_what_was_applied_is_not_believed():
    window, channel = allocate_window(2, 16), channel_row(highest_seq=900, end_seq=8)
    believe_nb(channel, window, 7)
    assert (channel[0]["highest_seq"], channel[0]["end_seq"]) == (10, 8)


def test_number_that_every_packet_of_a_while_contradicts_is_corrected():
    window, channel = allocate_window(2, 16), channel_row()
    hear_nb(channel, window, 1 << 30, NOW)
    for after_ns, end in ((9_000, 11), (10_000, 13), (14_000, 12)):
        hear_nb(channel, window, end, NOW + after_ns)
        assert channel[0]["highest_seq"] == 1 << 30
    hear_nb(channel, window, 12, NOW + 14_001)
    assert channel[0]["highest_seq"] == 13


def test_number_that_is_told_again_is_kept():
    window, channel = allocate_window(2, 16), channel_row()
    for after_ns, end in ((0, 100), (1, 20), (4_000, 100), (5_003, 20), (10_000, 20)):
        hear_nb(channel, window, end, NOW + after_ns)
    assert channel[0]["highest_seq"] == 100


def test_holes_end_at_the_highest_number_that_is_believed():
    window, hole = allocate_window(4, 16), np.zeros(2, np.int64)
    store(window, 500, 510)
    assert next_hole_nb(channel_row(highest_seq=30), window, 0, hole) == 1
    assert hole.tolist() == [10, 30]
    assert next_hole_nb(channel_row(), window, 0, hole) == 0


def advance(now_ns: int = NOW, **values: int) -> tuple[State, Step, Any]:
    channel = channel_row(**values)
    step = advance_state_nb(channel, now_ns)
    return State(channel[0]["state"]), Step(step), channel[0]


HOLE = {"highest_seq": 20, "gap_since_ns": NOW - 101, "request_ns": NOW}
OLD_REQUEST = {"request_ns": NOW - 1_001}
ASKS = {"can_request": 1}
LOADS = {"can_snapshot": 1}
NO_HELP = LOADS | {"snapshot_failures": SNAPSHOT_TRIES, "snapshot_after_ns": NOW + 1}

TRANSITIONS = [
    # state before, channel, state after, step
    (DOWN, {"highest_seq": 20}, DOWN, Step.NOTHING),
    (SYNCING, {}, LIVE, Step.NOTHING),
    (GAP, {}, LIVE, Step.NOTHING),
    (RECOVERING, {}, LIVE, Step.NOTHING),
    (STALE, {}, LIVE, Step.NOTHING),
    (LIVE, {"last_packet_ns": NOW - 5_000}, LIVE, Step.NOTHING),
    (LIVE, {"last_packet_ns": NOW - 5_001}, STALE, Step.NOTHING),
    (LIVE, {"suspect": 1}, STALE, Step.NOTHING),
    (RECOVERING, {"suspect": 1}, STALE, Step.NOTHING),
    (LIVE, {"end_seq": 10}, ENDED, Step.NOTHING),
    (LIVE, {"end_seq": 11}, LIVE, Step.NOTHING),
    (ENDED, {"end_seq": 10, "last_packet_ns": 0}, ENDED, Step.NOTHING),
    (LIVE, {"end_seq": 10, "suspect": 1}, STALE, Step.NOTHING),
    # a hole appears
    (LIVE, HOLE, GAP, Step.NOTHING),
    (STALE, HOLE, GAP, Step.NOTHING),
    (ENDED, HOLE, GAP, Step.NOTHING),
    # the other line may still bring it
    (GAP, HOLE | ASKS | {"gap_since_ns": NOW - 99}, GAP, Step.NOTHING),
    (SYNCING, HOLE | {"gap_since_ns": NOW - 99}, SYNCING, Step.NOTHING),
    # it did not
    (GAP, HOLE | ASKS, RECOVERING, Step.REQUEST),
    (RECOVERING, HOLE | ASKS, RECOVERING, Step.REQUEST),
    (SYNCING, HOLE | ASKS, SYNCING, Step.REQUEST),
    (GAP, HOLE | LOADS, RECOVERING, Step.SNAPSHOT),
    (GAP, HOLE, RECOVERING, Step.GIVE_UP),
    (SYNCING, HOLE, SYNCING, Step.GIVE_UP),
    # asking takes too long
    (RECOVERING, HOLE | ASKS | OLD_REQUEST | {"request_tries": 1}, RECOVERING, Step.REQUEST),
    (RECOVERING, HOLE | ASKS | OLD_REQUEST | {"request_tries": 2}, RECOVERING, Step.GIVE_UP),
    (
        RECOVERING,
        HOLE | ASKS | LOADS | OLD_REQUEST | {"request_tries": 2},
        RECOVERING,
        Step.SNAPSHOT,
    ),
    # the hole is too large to ask for it
    (RECOVERING, HOLE | ASKS | LOADS | {"highest_seq": 60}, RECOVERING, Step.REQUEST),
    (RECOVERING, HOLE | ASKS | LOADS | {"highest_seq": 61}, RECOVERING, Step.SNAPSHOT),
    (RECOVERING, HOLE | ASKS | {"highest_seq": 61}, RECOVERING, Step.REQUEST),
    # the last snapshot failed a moment ago
    (RECOVERING, HOLE | LOADS | {"snapshot_after_ns": NOW + 1}, RECOVERING, Step.NOTHING),
    (RECOVERING, HOLE | LOADS | {"snapshot_after_ns": NOW}, RECOVERING, Step.SNAPSHOT),
    # so many failed that only requests are left, and a snapshot now and then
    (RECOVERING, HOLE | ASKS | NO_HELP | {"highest_seq": 61}, RECOVERING, Step.REQUEST),
    (
        RECOVERING,
        HOLE | ASKS | NO_HELP | OLD_REQUEST | {"request_tries": 2},
        RECOVERING,
        Step.GIVE_UP,
    ),
    (RECOVERING, HOLE | NO_HELP, RECOVERING, Step.GIVE_UP),
    (RECOVERING, HOLE | ASKS | NO_HELP | {"snapshot_after_ns": NOW}, RECOVERING, Step.SNAPSHOT),
    # nothing is missing, but the books may be wrong
    (LIVE, {"suspect": 1} | LOADS, STALE, Step.SNAPSHOT),
    (STALE, {"suspect": 1, "snapshot_after_ns": NOW + 1} | LOADS, STALE, Step.NOTHING),
    (STALE, {"suspect": 1, "held": 1} | LOADS, RECOVERING, Step.NOTHING),
    (RECOVERING, HOLE | ASKS | {"suspect": 1, "held": 1}, RECOVERING, Step.NOTHING),
]


@pytest.mark.parametrize(("before", "values", "after", "step"), TRANSITIONS)
def test_state_moves_by_what_is_missing_and_for_how_long(
    before: State, values: dict[str, int], after: State, step: Step
):
    assert advance(state=before, **values)[:2] == (after, step)


def test_snapshot_beside_requests_is_asked_for_once_and_requests_go_on():
    values = HOLE | ASKS | NO_HELP | {"state": RECOVERING, "snapshot_after_ns": NOW}
    channel = channel_row(**values)
    steps = [advance_state_nb(channel, NOW) for _ in range(3)]
    assert steps == [Step.SNAPSHOT, Step.REQUEST, Step.REQUEST]
    assert channel[0]["snapshot_after_ns"] == NOW + SNAPSHOT_SLOW_PAUSE_NS


def test_snapshots_that_fail_are_tried_again_ever_more_slowly_and_give_requests_another_chance():
    channel = channel_row(request_tries=3, held=1)
    pauses = []
    for failures in range(1, SNAPSHOT_TRIES + 2):
        channel[0]["request_tries"] = 3
        note_snapshot_nb(channel, 0, NOW)
        pauses.append(int(channel[0]["snapshot_after_ns"]) - NOW)
        assert channel[0]["held"] == 0
        assert channel[0]["request_tries"] == (3 if failures > SNAPSHOT_TRIES else 0)
    quick = [SNAPSHOT_PAUSE_NS] * (SNAPSHOT_TRIES - 1)
    assert pauses == [*quick, SNAPSHOT_SLOW_PAUSE_NS, SNAPSHOT_SLOW_PAUSE_NS]
    note_snapshot_nb(channel, 1, NOW)
    assert channel[0]["snapshot_failures"] == 0


def test_new_gap_starts_its_clocks_anew():
    row = advance(NOW, state=LIVE, highest_seq=20, request_seq=3, request_tries=9)[2]
    assert (row["gap_since_ns"], row["request_ns"]) == (NOW, NOW)
    assert (row["request_seq"], row["request_tries"]) == (10, 0)


def test_timeout_asks_again_from_the_first_missing_message():
    values = HOLE | ASKS | OLD_REQUEST
    row = advance(NOW, state=RECOVERING, request_seq=18, **values)[2]
    assert (row["request_seq"], row["request_tries"], row["request_ns"]) == (10, 1, NOW)


def test_progress_starts_the_clock_of_requests_anew():
    channel = channel_row(request_tries=2, request_ns=1)
    note_progress_nb(channel, NOW)
    assert (channel[0]["request_tries"], channel[0]["request_ns"]) == (0, NOW)
