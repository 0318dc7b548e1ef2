"""Every counter and histogram of a process, in one mapped file that other processes may read.

    header      i64[16]                       word by word as in `Header`
    values      i64[counters, 8]              a cache line each: the value, then its writer's words
    histograms  i64[histograms, HISTOGRAM_WORDS]    as in `latency.py`
    ...         both once more for each further part
    metadata    JSON {"counters": [specs], "histograms": [specs]}    UTF-8, blanks behind it; a
                reload of functions writes other names there, in one piece

A process of several engines has a part for each, so that every row keeps its one writer. Who reads
the file by name, or its `totals`, sees all parts as one.
Readers cost the hot path nothing: they only look at memory.
All integers have the byte order of the machine; the file is not meant to leave it (put it on
/dev/shm, so that no disk is written). One thread writes a row; aligned 64-bit words are read whole.
The file is made under another name, filled and then renamed, so a reader never sees half of one;
mode 0600. It stays when the process ends, to be looked at; a process that starts again on the same
path replaces it, and readers of the old one keep the old one.
"""

import mmap
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedhandler.core.errors import CounterFileError
from feedhandler.core.latency import HISTOGRAM_WORDS, Histogram, merged

MAGIC = int.from_bytes(b"FHCOUNT\x01", "little")
LAYOUT_VERSION = 2
HEADER_WORDS = 16
VALUE_WORDS = 8
_WORD_BYTES = 8
_MAX_ROWS = 1 << 20
PARTS_MAX = 1_024
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

Values = NDArray[np.int64]
Labels = tuple[tuple[str, str], ...]


class Header(IntEnum):
    """Words of the header."""

    MAGIC = 0
    VERSION = 1
    FILE_SIZE_BYTES = 2
    COUNTER_COUNT = 3
    HISTOGRAM_COUNT = 4
    HISTOGRAM_WORDS = 5
    METADATA_SIZE_BYTES = 6
    PID = 7
    START_TIME_NS = 8
    PARTS = 9


class CounterSpec(msgspec.Struct, frozen=True):
    """What one counter row means: a `counter` only grows, a `gauge` is set.

    `unit` is "ns" for times and "" for a plain number. `across` says what the parts of a file make
    together: `least` is that of those which are not 0. Nobody writes a row that is `spare`.
    """

    name: str
    unit: str
    help: str
    kind: Literal["counter", "gauge"] = "counter"
    labels: Labels = ()
    across: Literal["sum", "most", "least"] = "sum"
    spare: bool = False


class HistogramSpec(msgspec.Struct, frozen=True):
    """What one histogram row means; `unit` is "ns" for a latency, `spare` as of a counter."""

    name: str
    unit: str
    help: str
    labels: Labels = ()
    spare: bool = False


class Part(NamedTuple):
    """The rows of one part: i64[counters, 8] and i64[histograms, HISTOGRAM_WORDS]."""

    values: Values
    histograms: NDArray[np.int64]


class _Metadata(msgspec.Struct, frozen=True):
    counters: tuple[CounterSpec, ...]
    histograms: tuple[HistogramSpec, ...]


def default_counter_path() -> Path:
    """Where a server of this user keeps its counters when the configuration names no file."""
    shared_memory = Path("/dev/shm")  # noqa: S108 - a folder of the user's own within it
    base = shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())
    return base / f"feedhandler-{os.getuid()}" / "counters"


class CounterFile:
    """A mapped counter file; made by its owner (`create`), read by everybody else (`open`).

    `values` i64[counters, 8] and `histograms` i64[histograms, HISTOGRAM_WORDS] of the first part,
    and those of every part in `parts`, are views of the mapping, read-only after `open`; the
    mapping goes when the last view goes.
    """

    def __init__(self, path: Path, words: NDArray[np.int64], metadata: _Metadata) -> None:
        """Views over `words` (the whole file but its metadata); use `create` or `open`."""
        self.path = path
        self.counter_specs = metadata.counters
        self.histogram_specs = metadata.histograms
        self.pid = int(words[Header.PID])
        self.start_time_ns = int(words[Header.START_TIME_NS])
        values_words = len(self.counter_specs) * VALUE_WORDS
        self.parts = [
            Part(
                each[:values_words].reshape(-1, VALUE_WORDS),
                each[values_words:].reshape(-1, HISTOGRAM_WORDS),
            )
            for each in words[HEADER_WORDS:].reshape(int(words[Header.PARTS]), -1)
        ]
        self.values, self.histograms = self.parts[0]
        self._rows = _index_rows(metadata)

    @classmethod
    def create(
        cls,
        path: Path | str,
        counters: Sequence[CounterSpec],
        histograms: Sequence[HistogramSpec] = (),
        *,
        start_time_ns: int = 0,
        parts: int = 1,
        room_bytes: int = 0,
    ) -> "CounterFile":
        """Make the file with every value 0 and map it for writing; replaces an older one.

        `start_time_ns` is the owner's start, ns since the epoch, as readers should see it; names
        that are given later (`describe`) may be `room_bytes` longer together. Raises
        ValueError for specs that contradict each other, CounterFileError when the file cannot be
        made (its space is reserved at once, so that a full disk is an error here and not a fault on
        the hot path).
        """
        path = Path(path)
        metadata = _Metadata(tuple(counters), tuple(histograms))
        _index_rows(metadata)
        text = _padded_text(metadata, room_bytes)
        words_count = _words_count(len(counters), len(histograms), parts)
        header = np.zeros(HEADER_WORDS, np.int64)
        header[Header.MAGIC] = MAGIC
        header[Header.VERSION] = LAYOUT_VERSION
        header[Header.FILE_SIZE_BYTES] = words_count * _WORD_BYTES + len(text)
        header[Header.COUNTER_COUNT] = len(counters)
        header[Header.HISTOGRAM_COUNT] = len(histograms)
        header[Header.HISTOGRAM_WORDS] = HISTOGRAM_WORDS
        header[Header.METADATA_SIZE_BYTES] = len(text)
        header[Header.PID] = os.getpid()
        header[Header.START_TIME_NS] = start_time_ns
        header[Header.PARTS] = parts
        try:
            mapped = _write_file(path, header, words_count, text)
        except OSError as error:
            reason = error.strerror or error
            raise CounterFileError(f"{path}: cannot make the counter file: {reason}") from error
        return cls(path, np.frombuffer(mapped, np.int64, words_count), metadata)

    def describe(
        self, counters: Sequence[CounterSpec], histograms: Sequence[HistogramSpec]
    ) -> bool:
        """The rows mean something else from now on; of the owner. Whether the file says so too: it
        goes on to have the old names where it has no room for the new ones. Whoever has it open
        sees them when he opens it again.
        """
        metadata = _Metadata(tuple(counters), tuple(histograms))
        self._rows = _index_rows(metadata)
        self.counter_specs, self.histogram_specs = metadata.counters, metadata.histograms
        return _write_text(self.path, metadata)

    @classmethod
    def open(cls, path: Path | str) -> "CounterFile":
        """Map an existing file read-only; CounterFileError when it is missing or not whole."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                size_bytes = os.fstat(file.fileno()).st_size
                if size_bytes < HEADER_WORDS * _WORD_BYTES:
                    raise CounterFileError(
                        f"{path}: {size_bytes} bytes is too short for a counter file"
                    )
                mapped = mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise CounterFileError(
                f"{path}: no such counter file; is the server running?"
            ) from error
        except OSError as error:
            raise CounterFileError(
                f"{path}: cannot read the counter file: {error.strerror}"
            ) from error
        header = np.frombuffer(mapped, np.int64, HEADER_WORDS)
        words_count = _check_header(path, header, size_bytes)
        text = mapped[words_count * _WORD_BYTES :]
        return cls(
            path, np.frombuffer(mapped, np.int64, words_count), _read_metadata(path, header, text)
        )

    def row(self, name: str, /, **labels: str) -> int:
        """Index of a counter in `values`, or of a histogram in `histograms`; KeyError if none."""
        try:
            return self._rows[name, frozenset(labels.items())]
        except KeyError:
            shown = ", ".join(f"{key}={value!r}" for key, value in labels.items())
            raise KeyError(f"{self.path}: no counter or histogram {name}({shown})") from None

    def value(self, name: str, /, **labels: str) -> int:
        """Present value of a counter or gauge, all parts together; and of all rows together that
        have these labels and others, where there is none with these alone.
        """
        rows = self._rows_with(name, labels)
        values = [int(part.values[row, 0]) for row in rows for part in self.parts]
        return _together(values, self.counter_specs[rows[0]])

    def totals(self) -> NDArray[np.int64]:
        """Present value of every counter and gauge, all parts together: i64[counters]."""
        columns = np.array([part.values[:, 0] for part in self.parts])
        totals: NDArray[np.int64] = columns.sum(axis=0)
        if len(self.parts) > 1:
            for row, spec in enumerate(self.counter_specs):
                if spec.across != "sum":
                    totals[row] = _together(columns[:, row].tolist(), spec)
        return totals

    def histogram(self, name: str, /, **labels: str) -> Histogram:
        """A histogram: the live row of a file of one part, else a copy of all parts together; and
        of all rows together as `value` has it.
        """
        rows = self._rows_with(name, labels)
        found = [part.histograms[row] for row in rows for part in self.parts]
        return found[0] if len(found) == 1 else merged(found)

    def _rows_with(self, name: str, labels: Mapping[str, str]) -> list[int]:
        """The row of these labels, or those that have others besides; KeyError if none."""
        wanted = frozenset(labels.items())
        if (name, wanted) not in self._rows:
            found = [
                row for (each, has), row in self._rows.items() if each == name and wanted <= has
            ]
            if found:
                return found
        return [self.row(name, **labels)]

    def histogram_totals(self) -> NDArray[np.int64]:
        """A copy of every histogram, all parts together: i64[histograms, HISTOGRAM_WORDS]."""
        return merged([part.histograms for part in self.parts])


def _together(values: Sequence[int], spec: CounterSpec) -> int:
    """What the values of the parts make together."""
    if spec.across == "most":
        return max(values)
    if spec.across == "least":
        return min((value for value in values if value), default=0)
    return sum(values)


def _words_count(counter_count: int, histogram_count: int, parts: int) -> int:
    """Words of the file before its metadata."""
    part_words = counter_count * VALUE_WORDS + histogram_count * HISTOGRAM_WORDS
    return HEADER_WORDS + parts * part_words


def _index_rows(metadata: _Metadata) -> Mapping[tuple[str, frozenset[tuple[str, str]]], int]:
    """Rows by name and labels; ValueError for a bad name, a double, or one name for two things."""
    rows: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
    meanings: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    specs: list[tuple[int, CounterSpec | HistogramSpec]] = []
    specs += enumerate(metadata.counters)
    specs += enumerate(metadata.histograms)
    for row, spec in specs:
        kind = spec.kind if isinstance(spec, CounterSpec) else "histogram"
        keys = tuple(key for key, _ in spec.labels)
        for name in (spec.name, *keys):
            if not _NAME.match(name):
                raise ValueError(f"counter {spec.name!r}: {name!r} is not a lower_case_name")
        meaning = (kind, spec.unit, tuple(sorted(keys)))
        if len(set(keys)) != len(keys) or meanings.setdefault(spec.name, meaning) != meaning:
            raise ValueError(
                f"counter {spec.name}: one name has one kind, one unit and one set of label keys"
            )
        key = (spec.name, frozenset(spec.labels))
        if key in rows:
            raise ValueError(f"counter {spec.name}{dict(spec.labels)} is given twice")
        rows[key] = row
    return rows


def _padded_text(metadata: _Metadata, room_bytes: int) -> bytes:
    """JSON, with blanks behind it."""
    text = msgspec.json.encode(metadata)
    return text.ljust(len(text) + room_bytes)


def _write_text(path: Path, metadata: _Metadata) -> bool:
    """Overwrite the metadata of a file; False when they are longer than what is there."""
    text = msgspec.json.encode(metadata)
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        header = np.frombuffer(os.pread(descriptor, HEADER_WORDS * _WORD_BYTES, 0), np.int64)
        room = int(header[Header.METADATA_SIZE_BYTES])
        if len(text) > room:
            return False
        at = int(header[Header.FILE_SIZE_BYTES]) - room
        return os.pwrite(descriptor, text.ljust(room), at) == room
    finally:
        os.close(descriptor)


def _write_file(path: Path, header: NDArray[np.int64], words_count: int, text: bytes) -> mmap.mmap:
    """Write the file beside `path`, map it with every page present, then give it its name."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size_bytes = words_count * _WORD_BYTES + len(text)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.posix_fallocate(descriptor, 0, size_bytes)
        os.pwrite(descriptor, header.tobytes(), 0)
        os.pwrite(descriptor, text, words_count * _WORD_BYTES)
        mapped = mmap.mmap(descriptor, size_bytes, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return mapped


def _check_header(path: Path, header: NDArray[np.int64], size_bytes: int) -> int:
    """Words before the metadata, once the header agrees with itself and with the file's size."""
    if header[Header.MAGIC] != MAGIC:
        raise CounterFileError(f"{path}: not a counter file (its first 8 bytes are others)")
    versions = (int(header[Header.VERSION]), int(header[Header.HISTOGRAM_WORDS]))
    if versions != (LAYOUT_VERSION, HISTOGRAM_WORDS):
        raise CounterFileError(
            f"{path}: layout version {versions[0]}, this program reads {LAYOUT_VERSION};"
            " use the same release on both sides"
        )
    counts = (int(header[Header.COUNTER_COUNT]), int(header[Header.HISTOGRAM_COUNT]))
    parts = int(header[Header.PARTS])
    text_bytes = int(header[Header.METADATA_SIZE_BYTES])
    is_sound = all(0 <= count <= _MAX_ROWS for count in counts) and 1 <= parts <= PARTS_MAX
    if not is_sound or text_bytes < 0:
        raise CounterFileError(
            f"{path}: damaged header: {counts} rows, {parts} parts, {text_bytes} bytes of text"
        )
    words_count = _words_count(*counts, parts)
    expected_bytes = words_count * _WORD_BYTES + text_bytes
    if size_bytes != expected_bytes or header[Header.FILE_SIZE_BYTES] != expected_bytes:
        raise CounterFileError(
            f"{path}: damaged or cut short: {size_bytes} bytes, the header says {expected_bytes}"
        )
    return words_count


def _read_metadata(path: Path, header: NDArray[np.int64], text: bytes) -> _Metadata:
    """The specs, once they agree with the header's counts and with each other."""
    try:
        metadata = msgspec.json.decode(text, type=_Metadata)
        _index_rows(metadata)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CounterFileError(f"{path}: damaged metadata: {error}") from error
    counts = (len(metadata.counters), len(metadata.histograms))
    if counts != (header[Header.COUNTER_COUNT], header[Header.HISTOGRAM_COUNT]):
        raise CounterFileError(f"{path}: damaged: the metadata describes {counts} rows")
    return metadata
