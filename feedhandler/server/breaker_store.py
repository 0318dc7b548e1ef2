"""What is tripped survives a restart: a small file with the cells that are not NORMAL.

    header    "FHBREAK1" | version u16 | unused u16 | records u32 | day u32 | crc32 u32 of all
              behind this field, with the fields before it | bytes behind the header u32
    record    breaker's name: length u8, UTF-8 | scope u8 | key number u32 | key: length u8, UTF-8 |
              state u8 | level u8 | manual u8 | spent_ns, manual_left_ns, wait_ns, relapses i64

All integers are big-endian; `day` counts as `date.toordinal`. The key is the symbol of an
instrument, the name of a sector or market, empty for the server; the number is its number when it
was saved. The file is written beside its place and moved there, so that it is whole or the one
before. Time does not pass while no server runs: a cell comes back with what was left of its
cooling, and a TRIPPED one waits for calm anew.

Of another day only trips by hand until reset come back: the session that tripped the others is
over, and so is a trip for a time.
"""

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feedhandler.core.breaker_machine import (
    LEVEL_MAX,
    BreakerState,
    Manual,
    Scope,
)
from feedhandler.core.breaker_scopes import Cells, cell_count, note_state_nb

_MAGIC = b"FHBREAK1"
_VERSION = 1
_HEADER = struct.Struct(">8sHHIIII")
_CHECKED = struct.Struct(">8sHHIII")
_FIELDS = struct.Struct(">BBBqqqq")
_SCOPE_KEY = struct.Struct(">BI")
_RECORDS_MAX = 1 << 20
_NS_PER_MS = 1_000_000
_TIME_LIMIT_NS = 1 << 61
_COPIES_MAX = 8


class BadFileError(ValueError):
    """The bytes are no whole file of this kind; the text says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """A cell that is not NORMAL. `key` names its part of the scope, `number` is that part's number
    when it was saved.
    """

    breaker: str
    scope: Scope
    number: int
    key: str
    state: BreakerState
    level: int
    manual: Manual = Manual.NONE
    spent_ns: int = 0
    manual_left_ns: int = 0
    wait_ns: int = 0
    relapses: int = 0


class Saved(NamedTuple):
    """What a file holds."""

    day: int
    held: tuple[Held, ...]


class Loaded(NamedTuple):
    """What became of a file: cells that are held again, those that nobody has a number for yet
    (give them to the worker as trips by hand when their symbols are known), and warnings.
    """

    placed: tuple[Held, ...] = ()
    later: tuple[Held, ...] = ()
    warnings: tuple[str, ...] = ()


def encode(saved: Saved) -> bytes:
    """The bytes of a file."""
    body = b"".join(_encode_record(held) for held in saved.held)
    front = (_MAGIC, _VERSION, 0, len(saved.held), saved.day)
    crc = zlib.crc32(body, zlib.crc32(_CHECKED.pack(*front, len(body))))
    return _HEADER.pack(*front, crc, len(body)) + body


def decode(data: bytes) -> Saved:
    """What the bytes of a file hold; BadFileError when they are not whole."""
    if len(data) < _HEADER.size:
        raise BadFileError(f"{len(data)} bytes are no header")
    magic, version, unused, count, day, crc, size = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise BadFileError("it is no file of breakers")
    if version != _VERSION:
        raise BadFileError(f"version {version} is not known here, {_VERSION} is")
    body = data[_HEADER.size :]
    if len(body) != size:
        raise BadFileError(f"{len(body)} bytes of {size} are there")
    checked = _CHECKED.pack(magic, version, unused, count, day, size)
    if zlib.crc32(body, zlib.crc32(checked)) != crc:
        raise BadFileError("the checksum is wrong")
    at = 0
    found = []
    try:
        for _ in range(min(count, _RECORDS_MAX)):
            held, at = _decode_record(body, at)
            found.append(held)
    except (struct.error, ValueError, IndexError) as error:
        raise BadFileError(f"record {len(found)}: {error}") from None
    if at != len(body) or len(found) != count:
        raise BadFileError(f"{len(body) - at} bytes behind the last record")
    return Saved(day, tuple(found))


def _encode_text(text: str) -> bytes:
    raw = text.encode()[:255]
    return bytes([len(raw)]) + raw


def _decode_text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    if end > len(data):
        raise ValueError("a text runs past the end")
    return data[at + 1 : end].decode(), end


def _encode_record(held: Held) -> bytes:
    fields = (held.state, held.level, held.manual, held.spent_ns, held.manual_left_ns)
    return b"".join(
        (
            _encode_text(held.breaker),
            _SCOPE_KEY.pack(held.scope, held.number),
            _encode_text(held.key),
            _FIELDS.pack(*fields, held.wait_ns, held.relapses),
        )
    )


def _decode_record(data: bytes, at: int) -> tuple[Held, int]:
    breaker, at = _decode_text(data, at)
    scope, number = _SCOPE_KEY.unpack_from(data, at)
    key, at = _decode_text(data, at + _SCOPE_KEY.size)
    state, level, manual, *times = _FIELDS.unpack_from(data, at)
    held = Held(
        breaker, Scope(scope), number, key, BreakerState(state), level, Manual(manual), *times
    )
    if not is_legal(held):
        raise ValueError(f"no cell can be {held}")
    return held, at + _FIELDS.size


def is_legal(held: Held) -> bool:
    """Whether a cell can be so."""
    times = (held.spent_ns, held.manual_left_ns, held.wait_ns, held.relapses)
    return (
        held.state != BreakerState.NORMAL
        and 0 < held.level <= LEVEL_MAX
        and (held.manual == Manual.NONE or held.state == BreakerState.TRIPPED)
        and (held.manual_left_ns > 0) == (held.manual == Manual.FOR_A_TIME)
        and all(0 <= each <= _TIME_LIMIT_NS for each in times)
    )


def _copy_row(rows: NDArray[np.void], at: int) -> np.void:
    """A row that the worker may be changing, of one moment as far as `changes` tells."""
    row = rows[at].copy()
    for _ in range(_COPIES_MAX):
        again = rows[at].copy()
        if again["changes"] == row["changes"]:
            break
        row = again
    return row


class BreakerStore:
    """The file of one server's breakers and the memory that it is about; of the event loop's
    thread.

    `saves` and `failures` count what was written, `fault` says why the last one was not.
    """

    def __init__(
        self,
        path: Path,
        shards: Sequence[Cells],
        names: Sequence[str],
        sectors: Sequence[str] = (),
        symbol_of: Callable[[int], str] = str,
        quiet_ms: int = 200,
    ) -> None:
        """The cells of every shard; those of an instrument count where its book is. `names` are
        those of the breakers in the order of the cells; `symbol_of` gives an instrument's name by
        its number, empty while nobody knows it; `quiet_ms` is how long a change may wait for others
        before it is saved.
        """
        self.saves = 0
        self.failures = 0
        self.fault = ""
        self._path = path
        self._shards = tuple(shards)
        self._cells = self._shards[0]
        self._names = tuple(names)
        self._sectors = tuple(sectors)
        self._symbol_of = symbol_of
        self._quiet_ns = quiet_ms * _NS_PER_MS
        self._saved_changes = self._changes()
        self._changed_ns = 0
        # Names of instruments that no message has told again yet, and trips that wait for theirs.
        self._keys: dict[int, str] = {}
        self._later: list[Held] = []

    def load(self, today: date, number_of: Callable[[Scope, str], int | None]) -> Loaded:
        """Bring back what is still to hold, before the engine starts. `number_of` gives the number
        of a part of a scope by its name, None where it is not known yet; of an instrument, the
        number it had on the same day holds then.
        """
        try:
            saved = decode(self._path.read_bytes())
        except FileNotFoundError:
            return Loaded()
        except (OSError, BadFileError) as error:
            return Loaded(warnings=(f"{self._path}: {error}; no breaker is brought back",))
        placed: list[Held] = []
        later: list[Held] = []
        warnings: list[str] = []
        for held in saved.held:
            what = (
                f"{self._path}: breaker {held.breaker!r} of {held.key or held.scope.name.lower()}"
            )
            if held.breaker not in self._names:
                warnings.append(f"{what}: no breaker has this name now; passed over")
            elif saved.day != today.toordinal() and held.manual != Manual.UNTIL_RESET:
                warnings.append(f"{what}: tripped on another day; passed over")
            else:
                number = number_of(held.scope, held.key)
                if number is None and saved.day == today.toordinal():
                    number = held.number
                if number is None:
                    later.append(held)
                elif self._place(found := replace(held, number=number)):
                    placed.append(found)
                else:
                    warnings.append(f"{what}: it has no such cell now; passed over")
        self._keys = {held.number: held.key for held in placed if held.scope is Scope.INSTRUMENT}
        self._later = later
        self._saved_changes = self._changes()
        return Loaded(tuple(placed), tuple(later), tuple(warnings))

    def settle(self, held: Held) -> None:
        """One of `Loaded.later` was given to the worker, or taken back: it is in the file because
        of its cell from then on.
        """
        self._later.remove(held)
        self._saved_changes = -1

    def poll(self, now_ns: int, today: date) -> bool:
        """Save when something changed and then nothing for `quiet_ms`, or that long ago; whether it
        was saved. To be called a few times a second; `now_ns` is any steady clock.
        """
        if self._changes() == self._saved_changes:
            self._changed_ns = 0
            return False
        if self._changed_ns == 0:
            self._changed_ns = max(now_ns, 1)
        if now_ns - self._changed_ns < self._quiet_ns:
            return False
        self._changed_ns = 0
        return self.save(today)

    def save(self, today: date) -> bool:
        """Write what is held now, as at the stop of the server; False when the disk refuses."""
        # Before the rows: what changes meanwhile is saved again the next time.
        changes = self._changes()
        data = encode(Saved(today.toordinal(), (*self._held(), *self._later)))
        try:
            _replace_file(self._path, data)
        except OSError as error:
            self.failures += 1
            self.fault = f"{self._path}: {error.strerror}"
            return False
        self.saves += 1
        self.fault = ""
        self._saved_changes = changes
        return True

    def _changes(self) -> int:
        return sum(int(cells.rows["changes"].sum()) for cells in self._shards)

    def _held(self) -> list[Held]:
        found = []
        for shard, cells in enumerate(self._shards):
            for at in np.flatnonzero(cells.rows["state"] != BreakerState.NORMAL):
                held = self._held_at(cells, int(at))
                owner = held.number % len(self._shards) if held.scope is Scope.INSTRUMENT else 0
                # Anything that is not legal is a row between two stores of the worker; the next
                # poll has it whole.
                if owner == shard and is_legal(held):
                    found.append(held)
        return found

    def _held_at(self, cells: Cells, at: int) -> Held:
        row = _copy_row(cells.rows, at)
        breaker = int(np.searchsorted(cells.first, at, side="right")) - 1
        scope = Scope(int(cells.scope[breaker]))
        number = int(at - cells.first[breaker])
        return Held(
            self._names[breaker],
            scope,
            number,
            self._key_of(scope, number),
            BreakerState(int(row["state"])),
            int(row["level"]),
            Manual(int(row["manual"])),
            int(row["spent_ns"]),
            int(row["manual_left_ns"]),
            int(row["wait_ns"]),
            int(row["relapses"]),
        )

    def _key_of(self, scope: Scope, number: int) -> str:
        if scope is Scope.INSTRUMENT:
            return self._symbol_of(number) or self._keys.get(number, "")
        if scope is Scope.SECTOR:
            return self._sectors[number] if number < len(self._sectors) else str(number)
        return ""

    def _place(self, held: Held) -> bool:
        """Into its cell, of every shard; False when there is none."""
        cells = self._cells
        breaker = self._names.index(held.breaker)
        count = cell_count(held.scope, len(cells.sector_of), len(self._sectors))
        if cells.scope[breaker] != held.scope or not 0 <= held.number < count:
            return False
        for each in self._shards:
            at = int(each.first[breaker]) + held.number
            row = each.rows[at]
            before = int(row["state"])
            row["state"] = held.state
            row["level"] = held.level
            row["manual"] = held.manual
            row["spent_ns"] = held.spent_ns
            row["manual_left_ns"] = held.manual_left_ns
            row["wait_ns"] = held.wait_ns
            row["relapses"] = held.relapses
            row["changes"] += 1
            note_state_nb(each, breaker, at, before)
        return True


def _replace_file(path: Path, data: bytes) -> None:
    """All of `data` under this name, or the file that was there; on the disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
