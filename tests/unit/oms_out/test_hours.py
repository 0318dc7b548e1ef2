"""A session's hours: who may log on, and when the numbers start again."""

from datetime import time

from oms_out.hours import Hours
from protocols.fix.schedule import Schedule
from protocols.fix.store import MemoryStore
from protocols.fix.times import NS_PER_S

HOUR_NS = 3_600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
DAILY = Schedule(time(8), time(17))


def used_store() -> MemoryStore:
    return MemoryStore(next_outgoing=7, next_incoming=5)


def test_a_logon_is_taken_within_the_hours_only():
    hours = Hours(DAILY, used_store(), 0)
    assert [hours.are_open(DAY_NS + hour * HOUR_NS) for hour in (7, 8, 16, 17)] == [
        False,
        True,
        True,
        False,
    ]


def test_numbers_go_on_within_a_window_and_start_again_in_the_next():
    store = used_store()
    hours = Hours(DAILY, store, 9 * HOUR_NS)
    assert not hours.begin(10 * HOUR_NS)
    assert (store.next_outgoing, store.next_incoming) == (7, 5)
    assert hours.begin(DAY_NS + 9 * HOUR_NS)
    assert (store.next_outgoing, store.next_incoming) == (1, 1)


def test_a_session_in_use_until_its_end_begins_anew_the_next_day():
    store = used_store()
    hours = Hours(DAILY, store, 9 * HOUR_NS)
    hours.note_use(16 * HOUR_NS)
    assert not hours.begin(16 * HOUR_NS + 1)
    hours.note_use(17 * HOUR_NS)
    assert hours.begin(DAY_NS + 8 * HOUR_NS)


def test_a_store_that_was_never_used_has_nothing_to_reset():
    assert not Hours(DAILY, MemoryStore(), 0).begin(9 * HOUR_NS)


def test_without_a_schedule_numbers_go_on_for_ever():
    store = used_store()
    assert not Hours(Schedule(), store, 0).begin(10 * DAY_NS)
    assert store.next_outgoing == 7
