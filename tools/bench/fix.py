"""Benchmarks of FIX decoding, and of two other decoders on the same bytes.

Ours take the stream a thousand messages at a time, over and over, and report the sum of what the
fastest pass over each thousand took: a pass is so short that most are not interrupted, also on a
machine that others use.
"""

import dataclasses
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import simplefix

from protocols.fix.kernels_entries import EntryViews, allocate_scratch
from protocols.fix.layout import allocate_decoder
from protocols.fix.views import VIEWS, View, allocate_rows
from protocols.vectors import BLOCK
from tools.bench.fix_corpus import incremental_refreshes
from tools.bench.kernels_fix import Entries, decode_fix_entries_nb, decode_fix_nb
from tools.bench.measure import Run, Timing, Workload

_MESSAGES_MIN, _MESSAGES_MAX = 100, 50_000
_MESSAGES_PER_PASS = 1_000
_PASSES_MIN, _PASSES_MAX = 2, 20
_SESSION_MESSAGES_A_PASS = 50_000
_ROWS = 4_096
_PRICE_AND_SIZE = ("price_e9", "qty_e8")

Pass = Callable[[np.ndarray, int], Any]


def passes_over_corpus(workload: Workload, decode: Pass) -> Run:
    """The messages a thousand at a time, each thousand followed by the next one in memory."""
    messages = corpus(workload)
    data = b"".join(messages) + bytes(BLOCK)
    buf = np.frombuffer(data, np.uint8).copy()
    ends = np.cumsum([0, *map(len, messages)]).tolist()
    starts = range(0, len(messages), _MESSAGES_PER_PASS)
    bounds = [(ends[i], ends[min(i + _MESSAGES_PER_PASS, len(messages))]) for i in starts]
    parts = [(buf[start:], end - start) for start, end in bounds]
    passes = min(max(workload.messages // _SESSION_MESSAGES_A_PASS, _PASSES_MIN), _PASSES_MAX)

    def run() -> Timing:
        fastest = [2**63] * len(parts)
        for _ in range(passes):
            for i, (part, size) in enumerate(parts):
                started_ns = time.perf_counter_ns()
                decode(part, size)
                fastest[i] = min(fastest[i], time.perf_counter_ns() - started_ns)
        return Timing(len(messages), sum(fastest))

    return run


def corpus(workload: Workload) -> list[bytes]:
    """The messages of every benchmark here."""
    count = min(max(workload.messages // 20, _MESSAGES_MIN), _MESSAGES_MAX)
    return list(incremental_refreshes(count))


def fix_tokenise(workload: Workload) -> Run:
    """Framed, length and checksum verified, every field to (tag, start, end)."""
    decoder = allocate_decoder()
    return passes_over_corpus(workload, lambda buf, size: decode_fix_nb(buf, size, decoder))


def _entries(workload: Workload, view: View) -> Run:
    decoder = allocate_decoder()
    table = view.table()
    _, words = allocate_rows(view, _ROWS)
    entries = Entries(EntryViews(table, table), words, allocate_scratch(decoder))
    return passes_over_corpus(
        workload, lambda buf, size: decode_fix_entries_nb(buf, size, decoder, entries)
    )


def fix_decode(workload: Workload) -> Run:
    """The same, and price and size of every entry as integers."""
    view = VIEWS[b"X"]
    columns = tuple(each for each in view.columns if each.name in _PRICE_AND_SIZE)
    return _entries(workload, dataclasses.replace(view, columns=columns))


def fix_entries(workload: Workload) -> Run:
    """The same, with every column of the typed row."""
    return _entries(workload, VIEWS[b"X"])


def fix_decode_simplefix(workload: Workload) -> Run:
    """simplefix: bytes to its messages, fed one after the other, without reading prices; it
    verifies no checksum.
    """
    messages = _slow_corpus(workload)

    def decode() -> int:
        parser = simplefix.FixParser()
        count = 0
        for message in messages:
            parser.append_buffer(message)
            count += parser.get_message() is not None
        return count

    return _timed(decode)


def fix_decode_quickfix(workload: Workload) -> Run:
    """QuickFIX's C++ by way of its Python module: text to a message with validation of length and
    sum, without reading prices. The messages are cut for it beforehand.
    """
    quickfix: Any = importlib.import_module("quickfix")
    texts = [message.decode("latin-1") for message in _slow_corpus(workload)]
    message = quickfix.Message()

    def decode() -> int:
        for text in texts:
            message.setString(text, True)
        return len(texts)

    return _timed(decode)


def _slow_corpus(workload: Workload) -> list[bytes]:
    return corpus(workload)[:_MESSAGES_PER_PASS]


def _timed(decode: Callable[[], int]) -> Run:
    """Time a function that says how many messages it decoded."""

    def run() -> Timing:
        started_ns = time.perf_counter_ns()
        count = decode()
        return Timing(count, time.perf_counter_ns() - started_ns)

    return run
