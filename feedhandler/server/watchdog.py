"""Looks at the workers from outside: names a function that does not return, and tells of functions
that are not called any more.

A worker writes the number of each function before it calls it, and counts its ticks
(`feedhandler.core.engine.Sampling`). A function hangs when both words have stood for `limit_ms` of
the processor's time of that thread: a thread that got no processor is nobody's fault. One that
waits for something, which no compiled function can unless it calls foreign code, hangs after ten
times as long by the clock.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import structlog

from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.functions import Fn, Off
from feedhandler.core.shard import Sampling, Shard
from feedhandler.server.functions import Loaded, place_of

_NS_PER_MS = 1_000_000
_WAITING_FACTOR = 10
_REASONS = {
    Off.FAULT: "it used an index outside an array",
    Off.OVERRUNS: "it was over its budget again and again",
    Off.HUNG: "it did not return",
}

Numbered = Sequence[Loaded | None]


class Worker(NamedTuple):
    """A thread that calls functions, and the processor's time that it has had, ns."""

    name: str
    shard: Shard
    cpu_ns: Callable[[], int]


class Hung(NamedTuple):
    """A function that does not return."""

    worker: str
    stage: str
    name: str
    place: str
    stood_ms: int


class _Seen(NamedTuple):
    """A worker within a function: the words, and both clocks when they were first seen."""

    words: tuple[int, int]
    cpu_ns: int
    now_ns: int


class Watchdog:
    """`functions` gives breakers and patterns by number, as they are now."""

    def __init__(
        self,
        workers: Sequence[Worker],
        functions: Callable[[], tuple[Numbered, Numbered]],
        limit_ms: int,
    ) -> None:
        """With a limit of 0 nothing is taken to hang."""
        self._workers = list(workers)
        self._functions = functions
        self._limit_ns = limit_ms * _NS_PER_MS
        self._seen: dict[str, _Seen] = {}
        self._off: dict[tuple[str, str, str], int] = {}
        self._log = structlog.get_logger(component="watchdog")

    def look(self, now_ns: int | None = None) -> Hung | None:
        """A function that hangs, if there is one; `now_ns` is CLOCK_MONOTONIC. To be called a few
        times within the limit.
        """
        now_ns = time.monotonic_ns() if now_ns is None else now_ns
        self._tell()
        found = [self._look_at(worker, now_ns) for worker in self._workers if self._limit_ns]
        return next((hung for hung in found if hung is not None), None)

    def _look_at(self, worker: Worker, now_ns: int) -> Hung | None:
        sampling = worker.shard.sampling
        words = int(sampling[Sampling.TICKS]), int(sampling[Sampling.INSIDE])
        seen = self._seen.get(worker.name)
        if words[1] == 0:
            self._seen.pop(worker.name, None)
            return None
        if seen is None or seen.words != words:
            self._seen[worker.name] = _Seen(words, worker.cpu_ns(), now_ns)
            return None
        spent_ns = worker.cpu_ns() - seen.cpu_ns
        stood_ns = now_ns - seen.now_ns
        if spent_ns < self._limit_ns and stood_ns < self._limit_ns * _WAITING_FACTOR:
            return None
        stage, loaded = self._function(words[1] - 1)
        name, place = (loaded.name, place_of(loaded.function)) if loaded else ("unknown", "")
        return Hung(worker.name, stage, name, place, stood_ns // _NS_PER_MS)

    def _function(self, number: int) -> tuple[str, Loaded | None]:
        is_pattern, number = divmod(number, FUNCTIONS_MAX)
        functions = self._functions()[is_pattern]
        stage = "pattern" if is_pattern else "breaker"
        return stage, functions[number] if number < len(functions) else None

    # -- functions that are off -------------------------------------------------------------------

    def _tell(self) -> None:
        """Log each function that a worker has switched off since the last look."""
        off = dict(self._find_off())
        for key, (why, loaded) in off.items():
            if self._off.get(key) != why:
                self._log.error(
                    "function_off",
                    worker=key[0],
                    stage=key[1],
                    function=key[2],
                    reason=_REASONS[Off(why)],
                    place=place_of(loaded.function),
                    remedy=f"mend it and reload, or feedhandler ctl enable {key[2]}",
                )
        self._off = {key: why for key, (why, _) in off.items()}

    def _find_off(self) -> Iterator[tuple[tuple[str, str, str], tuple[int, Loaded]]]:
        breakers, patterns = self._functions()
        for worker in self._workers:
            stages = (
                ("breaker", breakers, worker.shard.breakers),
                ("pattern", patterns, worker.shard.patterns),
            )
            for stage, functions, memory in stages:
                off = memory.rows[:, Fn.OFF].tolist()
                for loaded, why in zip(functions, off, strict=False):
                    if loaded is not None and why:
                        yield (worker.name, stage, loaded.name), (why, loaded)
