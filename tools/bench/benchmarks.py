"""The benchmarks, one small function each, and the table that names them."""

import itertools
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.core.book.layout import BookCapacity, allocate_book
from feedhandler.core.events import TICK
from feedhandler.core.latency import P50, allocate_histogram, percentile
from feedhandler.core.ring import allocate_ring
from feedhandler.core.sequence import ENTRY, allocate_window
from feedhandler.core.shard import CHUNK
from protocols.binaryfile.kernels import LENGTH_BYTES, index_messages_nb
from protocols.binaryfile.reader import load_bytes
from protocols.itch50.rows import OTHER, allocate_scratch
from protocols.itch50.spec import LENGTHS
from protocols.moldudp64.codec import Packet, encode_packet
from protocols.pcap.flow import Endpoint
from protocols.pcap.frames import build_datagram, build_ethernet_frame
from protocols.pcap.reader import open_capture
from protocols.pcap.writer import PcapWriter
from protocols.permute import VECTOR_BYTES
from tools.bench import fix, patterns, signals
from tools.bench.books import book_peer, books
from tools.bench.kernels import (
    VALUES,
    add_counts_nb,
    decode_and_book_nb,
    decode_nb,
    fields_nb,
    frame_nb,
    record_values_nb,
    ring_answer_nb,
    ring_ask_nb,
    ring_consume_nb,
    ring_produce_nb,
    ring_round_trips_nb,
    store_packets_nb,
)
from tools.bench.measure import Benchmark, Run, Timing, Workload, timed
from tools.bench.overload import critical_p999
from tools.bench.peers import peer
from tools.bench.stages import replay_with_stages
from tools.bench.ticks import ticks_file
from tools.exchange.flow import generate_nb
from tools.exchange.layout import FlowSettings, allocate_engine
from tools.exchange.market.day import generate_market_nb
from tools.exchange.market.layout import Market, allocate_market
from tools.exchange.market.profiles import load_profiles
from tools.exchange.market.rules import first_due_nb
from tools.exchange.market.scenario import load_scenario
from tools.exchange.parts import PartedSession
from tools.replay.replay import Replay

_SEED = 1
_GENERATE_BUFFER_BYTES = 4 << 20
_BATCH = 4_096
_PART_OF_DAY = 2
"""Half of a day is enough: its open is the busiest part."""
_RING_CELLS = 65_536
_HOP_CELLS = 1_024
_WAYS = 2
_WINDOW_PACKETS = 1_024
_PACKET_BYTES = 1_400
_CAPTURE_MESSAGES = 40
_CAPTURE_PACKETS_MAX = 50_000
_FRAMES_AT_ONCE = 65_536
_ROWS_AT_ONCE = 4_096
_BOOK = BookCapacity(instruments=1_024)


def random_values() -> NDArray[np.int64]:
    """VALUES numbers of 20 bits, the same every time."""
    return np.random.default_rng(_SEED).integers(0, 1 << 20, VALUES)


def tick_slots() -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Room for CHUNK ticks, and their numbers."""
    return np.zeros(CHUNK, TICK), np.arange(CHUNK, dtype=np.int32)


def _session_file(workload: Workload) -> Path:
    return workload.path


def exchange_generate(workload: Workload) -> Run:
    """The synthetic exchange: flow, matching and ITCH bytes, into memory."""
    settings = FlowSettings(_SEED, messages=max(workload.messages // 5, 10_000))
    buffer = np.zeros(_GENERATE_BUFFER_BYTES, np.uint8)

    def generate(engine: Any) -> None:
        while generate_nb(engine, buffer, settings.messages)[0]:
            pass

    return lambda: timed(settings.messages, partial(generate, allocate_engine(settings)))


_PARTS = 4
_PRODUCERS = 2


def exchange_parts(workload: Workload) -> Run:
    """The same of a session of four parts by one producer, merged by the thread that wants it."""
    return _make_parts(workload, 1)


def exchange_producers(workload: Workload) -> Run:
    """The same session, byte for byte, by two producers."""
    return _make_parts(workload, _PRODUCERS)


def _make_parts(workload: Workload, producers: int) -> Run:
    settings = FlowSettings(_SEED, messages=max(workload.messages // 5, 10_000), parts=_PARTS)
    buffer = np.zeros(_GENERATE_BUFFER_BYTES, np.uint8)

    def run() -> Timing:
        with PartedSession(settings, producers) as session:

            def make() -> None:
                while session.generate(buffer, settings.messages)[0]:
                    pass

            return timed(settings.messages, make)

    return run


def _day(workload: Workload) -> tuple[int, Market]:
    messages = max(workload.messages // 5, 10_000)
    scenario = msgspec.structs.replace(load_scenario("normal-day"), messages=messages)
    market = allocate_market(scenario, load_profiles(scenario.symbols), _SEED)
    first_due_nb(market)
    return messages, market


def exchange_day(workload: Workload) -> Run:
    """The same of a market's day: prices, orders that provoke orders, matching, rules."""
    return _make_day(workload, _BATCH)


def exchange_day_single(workload: Workload) -> Run:
    """The same, a message a call."""
    return _make_day(workload, 1)


def _make_day(workload: Workload, limit: int) -> Run:
    buffer = np.zeros(_GENERATE_BUFFER_BYTES, np.uint8)

    def run() -> Timing:
        messages, market = _day(workload)
        made = 0

        def make() -> None:
            nonlocal made
            while made < messages // _PART_OF_DAY:
                count, _ = generate_market_nb(market, buffer, limit)
                made += count

        timing = timed(1, make)
        return Timing(made, timing.elapsed_ns)

    return run


def itch_frame(workload: Workload) -> Run:
    """Where each message begins, 65,536 at a time."""
    buf, lengths = load_bytes(workload.path), np.array(LENGTHS, np.int64)
    blocks = np.zeros(_FRAMES_AT_ONCE + 1, np.int64)
    return lambda: timed(workload.messages, lambda: frame_nb(buf, lengths, blocks))


def itch_fields(workload: Workload) -> Run:
    """Every field of every message as a native number in a row of its type, 4,096 at a time."""
    buf, scratch = load_bytes(workload.path), allocate_scratch(_ROWS_AT_ONCE)
    table_bytes = (_ROWS_AT_ONCE + 1) * VECTOR_BYTES
    out, first_at = np.zeros(OTHER * table_bytes, np.uint8), np.arange(OTHER) * table_bytes
    return lambda: timed(
        workload.messages, lambda: fields_nb(buf, scratch, out, first_at, np.zeros_like(first_at))
    )


def itch_decode(workload: Workload) -> Run:
    """Blocks in memory to ticks, 64 at a time."""
    buf = load_bytes(workload.path)
    ticks, slots = tick_slots()
    return lambda: timed(workload.messages, lambda: decode_nb(buf, workload.messages, ticks, slots))


def itch_decode_and_book(workload: Workload) -> Run:
    """The same, and each tick applied to a full-depth book, best prices after it included."""
    buf = load_bytes(workload.path)
    ticks, slots = tick_slots()

    def run() -> Timing:
        book = allocate_book(_BOOK)
        return timed(
            workload.messages,
            lambda: decode_and_book_nb(book, buf, workload.messages, ticks, slots),
        )

    return run


def replay_file(workload: Workload) -> Run:
    """The whole way of `feedhandler replay`: decode, book, analytics, ticks, lanes and stages."""

    def run() -> Timing:
        outcome = Replay().run(workload.path, "binaryfile")
        return Timing(outcome.messages, outcome.kernel_ns)

    return run


def ring_one_thread(workload: Workload) -> Run:
    """A push and a pop."""
    ring = allocate_ring(_RING_CELLS)
    return lambda: timed(workload.loops, lambda: ring_round_trips_nb(ring, workload.loops))


def ring_two_threads(workload: Workload) -> Run:
    """An item from a thread that only pushes to one that only pops."""
    ring = allocate_ring(_RING_CELLS)

    def run() -> Timing:
        producer = threading.Thread(target=ring_produce_nb, args=(ring, workload.loops))
        started_ns = time.perf_counter_ns()
        producer.start()
        ring_consume_nb(ring, workload.loops)
        elapsed_ns = time.perf_counter_ns() - started_ns
        producer.join()
        return Timing(workload.loops, elapsed_ns)

    # Both compiled before they meet: a consumer must not spin while its producer compiles.
    ring_produce_nb(ring, 0)
    ring_consume_nb(ring, 0)
    return run


def ring_hop(workload: Workload) -> Run:
    """One way between two threads that wait for one another: half of the median time there and
    back, so that a thread that was interrupted is one record and not a part of all.
    """
    asked, answered = allocate_ring(_HOP_CELLS), allocate_ring(_HOP_CELLS)
    count = workload.loops // 10

    def run() -> Timing:
        histogram = allocate_histogram()
        other = threading.Thread(target=ring_answer_nb, args=(asked, answered, count))
        other.start()
        ring_ask_nb(asked, answered, count, histogram)
        other.join()
        return Timing(_WAYS, percentile(histogram, P50))

    ring_answer_nb(asked, answered, 0)
    ring_ask_nb(asked, answered, 0, allocate_histogram())
    return run


def histogram_record(workload: Workload) -> Run:
    """One value of up to a millisecond into a log-linear histogram."""
    histogram, values = allocate_histogram(), random_values()
    return lambda: timed(
        workload.loops, lambda: record_values_nb(histogram, values, workload.loops)
    )


def counter_add(workload: Workload) -> Run:
    """One addition to a counter, another one each time."""
    table, values = np.zeros((64, 8), np.int64), random_values()
    return lambda: timed(workload.loops, lambda: add_counts_nb(table, values, workload.loops))


def window_store(workload: Workload) -> Run:
    """A packet of 1,400 bytes kept in the reorder window and dropped again."""
    window = allocate_window(_WINDOW_PACKETS, 2 * _PACKET_BYTES)
    packet = np.zeros(1, ENTRY)
    packet["size"] = _PACKET_BYTES
    buf = np.zeros(_PACKET_BYTES, np.uint8)
    count = workload.loops // 100
    return lambda: timed(count, lambda: store_packets_nb(window, packet, buf, count))


def pcap_index(workload: Workload) -> Run:
    """A frame of a capture to a row of the table of datagrams, VLAN tag and IP headers included."""
    path = workload.folder / "lines.pcap"
    frames = _write_capture(workload)
    return lambda: timed(frames, lambda: open_capture(path))


def _write_capture(workload: Workload) -> int:
    buf = load_bytes(workload.path)
    count = min(workload.messages, _CAPTURE_MESSAGES * _CAPTURE_PACKETS_MAX)
    blocks = np.zeros(count + 1, np.int64)
    found, _, _ = index_messages_nb(buf, 0, len(buf), blocks)
    source, line = Endpoint(0x0A000001, 40_000), Endpoint(0xE0000001, 26_400)
    with (workload.folder / "lines.pcap").open("wb") as file:
        writer = PcapWriter(file)
        for first in range(0, found, _CAPTURE_MESSAGES):
            ends = blocks[first : min(first + _CAPTURE_MESSAGES, found) + 1].tolist()
            messages = tuple(
                buf[at + LENGTH_BYTES : end].tobytes() for at, end in itertools.pairwise(ends)
            )
            payload = encode_packet(Packet("BENCH", first + 1, messages))
            frame = build_ethernet_frame(build_datagram(payload, source, line), vlans=(7,))
            writer.write(first * 1_000, frame)
    return -(-found // _CAPTURE_MESSAGES)


BENCHMARKS = (
    Benchmark("itch_frame", "message found", itch_frame),
    Benchmark("itch_fields", "message, all fields", itch_fields),
    Benchmark("itch_decode", "message to tick", itch_decode),
    Benchmark("itch_itchfeed", "message to object", peer("itchfeed", _session_file), is_peer=True),
    Benchmark("itch_meatpy", "message to object", peer("meatpy", _session_file), is_peer=True),
    Benchmark("itch_decode_and_book", "message to tick and book", itch_decode_and_book),
    Benchmark("book_200", "message to book, best prices", books("200")),
    Benchmark("book_200_itch_book", "the same by itch-book", book_peer("200"), is_peer=True),
    Benchmark("book_8000", "message to book, best prices", books("8000")),
    Benchmark("book_8000_itch_book", "the same by itch-book", book_peer("8000"), is_peer=True),
    Benchmark("book_deep", "message to book, best prices", books("deep")),
    Benchmark("book_million", "message to book, best prices", books("million")),
    Benchmark("replay_file", "message, all stages", replay_file),
    Benchmark("replay_stages", "message, with breaker and pattern", replay_with_stages),
    Benchmark("pattern_idle", "tick, for a pattern that waits", patterns.pattern_idle),
    Benchmark("pairs_1000", "message, with 1,000 pairs", patterns.pairs_1000),
    Benchmark("replay_nautilus", "tick to a strategy", peer("nautilus", ticks_file), is_peer=True),
    Benchmark("exchange_generate", "message made and matched", exchange_generate),
    Benchmark("exchange_parts", "the same, one session of parts", exchange_parts),
    Benchmark("exchange_producers", "the same, two producers", exchange_producers),
    Benchmark("exchange_day", "message of a market's day", exchange_day),
    Benchmark("exchange_day_single", "the same, one a call", exchange_day_single),
    Benchmark("ring_one_thread", "push and pop", ring_one_thread),
    Benchmark("ring_two_threads", "item, thread to thread", ring_two_threads),
    Benchmark("ring_hop", "one way, thread to thread", ring_hop),
    Benchmark("histogram_record", "value recorded", histogram_record),
    Benchmark("counter_add", "addition", counter_add),
    Benchmark("window_store", "packet kept and dropped", window_store),
    Benchmark("overload_critical", "critical tick, p99.9, overloaded", critical_p999),
    Benchmark("pcap_index", "frame indexed", pcap_index),
    Benchmark("fix_encode", "signal's message, in Python", signals.fix_encode),
    Benchmark("fix_signal", "signal's message, by a kernel", signals.fix_signal),
    Benchmark("fix_signal_sent", "the same, sent and received", signals.fix_signal_sent),
    Benchmark("fix_tokenise", "message framed, in tokens", fix.fix_tokenise),
    Benchmark("fix_decode", "message, prices and sizes too", fix.fix_decode),
    Benchmark("fix_entries", "message to typed rows", fix.fix_entries),
    Benchmark(
        "fix_simplefix", "message to object", peer("simplefix", fix.corpus_file), is_peer=True
    ),
    Benchmark("fix_quickfix", "message to object", peer("quickfix", fix.corpus_file), is_peer=True),
)
"""Every benchmark, in the order of the table."""
