"""Threads that make the messages of a session's parts in blocks, while one reader takes the blocks.

A part has BLOCKS blocks of memory: one is read, and the others are filled meanwhile. Whichever
thread is free fills the next block of the part that has waited longest, and no two threads are in
one part: so the order of a part's messages is its own, however many threads there are.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from feedhandler.server.errors import UserError

BLOCKS = 3
_PATIENCE_S = 60.0
"""A block takes milliseconds; who waits this long for one waits for ever."""
Fill = Callable[[int, int], int]
"""Fills a block, (part, row), with the part's next messages; their bytes."""


class Producers:
    """So many threads, for the length of a `with` statement."""

    def __init__(self, fill: Fill, parts: int, threads: int) -> None:
        """`fill` is called by the threads; the rows of part i are the BLOCKS from i * BLOCKS on."""
        self._fill = fill
        lock = threading.Lock()
        self._has_work = threading.Condition(lock)
        self._has_block = threading.Condition(lock)
        # Everything from here on is changed under the lock alone. A part is in a thread's hands, or
        # waits for one, or is paused until a row of it is free.
        self._waiting = deque(range(parts))
        self._paused: set[int] = set()
        self._free = [deque(range(i * BLOCKS, (i + 1) * BLOCKS)) for i in range(parts)]
        self._made: list[deque[tuple[int, int]]] = [deque() for _ in range(parts)]
        self._failure: BaseException | None = None
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._run, name=f"producer-{i}", daemon=True)
            for i in range(threads)
        ]

    def __enter__(self) -> Self:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them, each behind the block that it makes."""
        with self._has_work:
            self._is_over = True
            self._has_work.notify_all()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def next_block(self, part: int) -> tuple[int, int]:
        """(row, bytes) of the part's next block, which is the caller's until `give_back`; waits for
        it. UserError when a thread failed, or none comes.
        """
        made = self._made[part]
        with self._has_block:
            comes = self._has_block.wait_for(lambda: made or self._failure is not None, _PATIENCE_S)
            if self._failure is not None:
                kind = type(self._failure).__name__
                raise UserError(f"a producer failed: {kind}: {self._failure}") from self._failure
            if not comes:
                raise UserError(f"no producer made a block of part {part} in {_PATIENCE_S:.0f} s")
            return made.popleft()

    def give_back(self, part: int, row: int) -> None:
        """The row may be filled again."""
        with self._has_work:
            self._free[part].append(row)
            if part in self._paused:
                self._paused.remove(part)
                self._waiting.append(part)
                self._has_work.notify()

    def _run(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                self._hand_over(*task, self._fill(*task))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the reader has to know
            with self._has_block:
                self._failure = error
                self._has_block.notify()

    def _next_task(self) -> tuple[int, int] | None:
        """(part, row) to fill next, None at the end."""
        with self._has_work:
            self._has_work.wait_for(lambda: self._waiting or self._is_over)
            if self._is_over:
                return None
            part = self._waiting.popleft()
            return part, self._free[part].popleft()

    def _hand_over(self, part: int, row: int, size: int) -> None:
        with self._has_block:
            self._made[part].append((row, size))
            self._has_block.notify()
            if self._free[part]:
                self._waiting.append(part)
                self._has_work.notify()
            else:
                self._paused.add(part)
