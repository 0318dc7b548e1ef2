"""Benchmarks of FIX decoding: a stream of messages, a thousand at a time."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from protocols.fix.kernels_entries import EntryViews, allocate_scratch
from protocols.fix.layout import allocate_decoder
from protocols.fix.views import VIEWS, View, allocate_rows
from protocols.vectors import BLOCK
from tools.bench.fix_corpus import incremental_refreshes
from tools.bench.kernels_fix import Entries, decode_fix_entries_nb, decode_fix_nb
from tools.bench.measure import Run, Workload, timed

_MESSAGES_MIN, _MESSAGES_MAX = 100, 50_000
_MESSAGES_PER_PASS = 1_000
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

    def decode_all() -> None:
        for part, size in parts:
            decode(part, size)

    return lambda: timed(len(messages), decode_all)


def corpus_file(workload: Workload) -> Path:
    """The same messages one after another in a file, for other decoders."""
    path = workload.folder / "fix.bin"
    path.write_bytes(b"".join(corpus(workload)))
    return path


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
