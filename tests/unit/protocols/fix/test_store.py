from protocols.fix.store import MemoryStore


def test_memory_store_numbers_from_1_and_reads_back_a_range():
    store = MemoryStore()
    store.append((b"a", b"", b"c"))
    assert store.next_outgoing == 4
    assert list(store.read(2, 9)) == [(2, b""), (3, b"c")]
    assert list(store.read(0, 1)) == [(1, b"a")]
    assert list(store.read(4, 9)) == []


def test_memory_store_gives_nothing_to_send_for_what_no_longer_fits():
    store = MemoryStore(capacity=2)
    store.append((b"a", b"b", b"c"))
    assert list(store.read(1, 3)) == [(1, b""), (2, b"b"), (3, b"c")]


def test_memory_store_starts_where_it_is_told_and_forgets_on_reset():
    store = MemoryStore(next_outgoing=10, next_incoming=20)
    store.append((b"x",))
    assert list(store.read(9, 10)) == [(9, b""), (10, b"x")]
    assert store.next_incoming == 20
    store.reset()
    assert (store.next_outgoing, store.next_incoming) == (1, 1)
    assert list(store.read(1, 10)) == []
