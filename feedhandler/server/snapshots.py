"""Snapshots for the engine: when the receiving thread wants one, log in to the service, load it,
hand it over.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import structlog

from feedhandler.core.atomics import load_acquire, store_release
from feedhandler.core.shard import Control, Shard
from feedhandler.core.snapshot import Snapshot
from feedhandler.server.config import GlimpseConfig
from protocols.errors import LocalProtocolError, ProtocolError
from protocols.jit import kernel

_READ_BYTES = 262_144


@kernel
def read_control_nb(control: Any, word: int) -> int:
    """A word of the shard's control block, as the receiving thread last stored it."""
    return load_acquire(control, word)


@kernel
def write_control_nb(control: Any, word: int, value: int) -> None:
    """Store a word of the shard's control block for the kernels to see, after everything written
    before.
    """
    store_release(control, word, np.int64(value))


class SnapshotService:
    """Serves one shard; `on_wanted` is called when its control descriptor became readable."""

    def __init__(
        self,
        shard: Shard,
        loader: Callable[..., Any],
        config: GlimpseConfig,
        on_failure: Callable[[], None],
    ) -> None:
        self._shard = shard
        self._loader = loader
        self._config = config
        self._on_failure = on_failure
        self._log = structlog.get_logger(component="snapshots")
        self._task: asyncio.Task[None] | None = None

    def on_wanted(self) -> None:
        """Start to load, unless that is going on already."""
        wanted = read_control_nb(self._shard.control, Control.SNAPSHOT) == Snapshot.WANTED
        if wanted and (self._task is None or self._task.done()):
            write_control_nb(self._shard.control, Control.SNAPSHOT, Snapshot.LOADING)
            self._task = asyncio.get_running_loop().create_task(self._load_or_fail())

    async def stop(self) -> None:
        """Give up what is being loaded."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _load_or_fail(self) -> None:
        config = self._config
        started_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(config.timeout_s):
                loader = await self._load()
        except Exception as error:  # noqa: BLE001 - the engine waits for an answer, whatever happened
            write_control_nb(self._shard.control, Control.SNAPSHOT, Snapshot.FAILED)
            self._on_failure()
            reason = str(error) or type(error).__name__
            if isinstance(error, LocalProtocolError):  # the memory is ours
                reason += "; raise engine.snapshot_bytes"
            elif not isinstance(error, (OSError, EOFError, ProtocolError)):
                reason = f"{type(error).__name__}: {reason}"
            where = f"{config.address}:{config.port}"
            self._log.warning("snapshot_failed", service=where, reason=reason)
            return
        control = self._shard.control
        write_control_nb(control, Control.SNAPSHOT_BLOCKS, loader.blocks)
        write_control_nb(control, Control.SNAPSHOT_SEQ, loader.next_seq)
        write_control_nb(control, Control.SNAPSHOT, Snapshot.READY)
        took_ms = (time.monotonic_ns() - started_ns) // 1_000_000
        self._log.info(
            "snapshot_loaded", messages=loader.blocks, next_seq=loader.next_seq, took_ms=took_ms
        )

    async def _load(self) -> Any:
        config = self._config
        reader, writer = await asyncio.open_connection(config.address, config.port)
        try:
            loader = self._loader(
                self._shard.snapshot, config.username, config.password, time.monotonic_ns()
            )
            while not loader.done:
                writer.write(loader.data_to_send(time.monotonic_ns()))
                data = await reader.read(_READ_BYTES)
                if not data:
                    raise EOFError("the service closed the connection before the end")
                loader.receive(data, time.monotonic_ns())
            return loader
        finally:
            writer.close()
