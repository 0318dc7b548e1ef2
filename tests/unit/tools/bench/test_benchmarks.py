"""Every benchmark runs on a small session and does the work that it is named for."""

import numpy as np
import pytest

from feedhandler.core.book.layout import ORDERS_LIVE, BookCapacity, allocate_book
from feedhandler.core.events import TICK
from feedhandler.core.latency import allocate_histogram
from feedhandler.core.ring import allocate_ring, ring_size_nb
from feedhandler.core.sequence import ENTRY, WINDOW_COUNT, allocate_window
from protocols.binaryfile.reader import load_bytes
from protocols.fix.kernels_entries import allocate_scratch, entry_views
from protocols.fix.layout import allocate_decoder
from protocols.fix.views import VIEWS, allocate_rows
from tests.reference.slow_book import SlowBook
from tests.reference.slow_itch import decode, messages_of_file
from tools.bench.benchmarks import BENCHMARKS, random_values
from tools.bench.fix_corpus import incremental_refreshes
from tools.bench.kernels import (
    add_counts_nb,
    add_words_nb,
    decode_and_book_nb,
    decode_nb,
    hash_bytes_nb,
    record_values_nb,
    ring_consume_nb,
    ring_produce_nb,
    ring_round_trips_nb,
    store_packets_nb,
)
from tools.bench.kernels_fix import Entries, decode_fix_entries_nb, decode_fix_nb
from tools.bench.measure import Benchmark, Workload
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.exchange.warmup import warm_up_market

MESSAGES = 1_000


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("bench")
    path = folder / "session.bin"
    generate_file(FlowSettings(1, 5, messages=MESSAGES, orders_per_symbol=20), path)
    return Workload(folder, path, MESSAGES, 2_000)


def chunk() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(64, TICK), np.arange(64, dtype=np.int32)


OURS = [benchmark for benchmark in BENCHMARKS if not benchmark.is_peer]


@pytest.fixture(scope="module", autouse=True)
def market_kernels() -> None:
    """Those of `exchange_day`: compiled by one process, while others that want them wait."""
    warm_up_market()


@pytest.mark.parametrize("benchmark", OURS, ids=lambda benchmark: benchmark.name)
def test_a_benchmark_runs_again_and_again(benchmark: Benchmark, workload: Workload):
    run = benchmark.prepare(workload)
    for timing in (run(), run()):
        assert timing.operations > 0
        assert timing.elapsed_ns > 0


def test_names_are_unique():
    assert len({benchmark.name for benchmark in BENCHMARKS}) == len(BENCHMARKS)


def test_the_decoder_reads_the_whole_file(workload: Workload):
    buf = load_bytes(workload.path)
    # What is left is the length of zero that ends the session.
    assert decode_nb(buf, MESSAGES, *chunk()) == len(buf) - 2


def test_the_book_ends_as_the_slow_twin_does(workload: Workload):
    buf = load_bytes(workload.path)
    book = allocate_book(
        BookCapacity(instruments=64, orders=16_384, level_blocks=1_024, arena=16_384)
    )
    assert decode_and_book_nb(book, buf, MESSAGES, *chunk()) == MESSAGES
    twin = SlowBook()
    for message in messages_of_file(buf.tobytes()):
        twin.apply(*decode(message))
    assert book.meta[ORDERS_LIVE] == len(twin.orders()) > 0


def test_the_fix_loops_read_every_message_and_entry():
    messages = list(incremental_refreshes(100))
    data = b"".join(messages)
    buf = np.frombuffer(data + bytes(64), np.uint8).copy()
    decoder = allocate_decoder()
    assert decode_fix_nb(buf, len(data), decoder) == 100
    rows, words = allocate_rows(VIEWS[b"X"], 1_000)
    entries = Entries(entry_views(), words, allocate_scratch(decoder))
    count = sum(message.count(b"\x01279=") for message in messages)
    assert decode_fix_entries_nb(buf, len(data), decoder, entries) == (100, count)
    first = rows[0]
    assert first["price_e9"] > 0
    assert first["qty_e8"] > 0


def test_the_hash_is_fnv_1a():
    buf = np.frombuffer(b"foobar", np.uint8).copy()
    assert hash_bytes_nb(buf, 0) == 0x811C9DC5
    assert hash_bytes_nb(buf, 6) == 0xBF9CF968


def test_what_goes_into_a_ring_comes_out():
    ring = allocate_ring(1_024)
    assert ring_round_trips_nb(ring, 1_000) == sum(range(1_000))
    assert ring_produce_nb(ring, 500) == 0
    assert ring_size_nb(ring) == 500
    assert ring_consume_nb(ring, 500) == sum(range(500))


def test_values_reach_histogram_counters_and_words():
    values = random_values()
    total = int(values.sum()) + int(values[:4].sum())
    count = len(values) + 4
    histogram, table, words = (
        allocate_histogram(),
        np.zeros((64, 8), np.int64),
        np.zeros(64, np.int64),
    )
    assert record_values_nb(histogram, values, count) == count
    assert add_counts_nb(table, values, count) == table[0, 0]
    assert add_words_nb(words, values, count) == words[0]
    assert histogram[1] == table.sum() == words.sum() == total


def test_packets_in_the_wrong_order_are_kept_and_dropped():
    window = allocate_window(8, 64)
    packet = np.zeros(1, ENTRY)
    packet["size"] = 64
    assert store_packets_nb(window, packet, np.zeros(64, np.uint8), 100) == 100
    assert window.meta[WINDOW_COUNT] == 0
