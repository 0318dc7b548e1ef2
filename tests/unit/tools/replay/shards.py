"""One replay by so many shards, and everything that comes out of it."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from feedhandler.server.config import BreakerConfig, ServerConfig, Topology
from protocols.pcap.sniff import sniff_format
from tests.unit.tools.replay.support import IMBALANCE, server_config
from tools.replay.pace import Pace
from tools.replay.replay import Replay

BAND = BreakerConfig(
    name="band",
    function="feedhandler.core.breakers:price_band",
    params={"band_bps": 20, "open_ns": 0, "close_ns": 86_400_000_000_000},
    calm_ms=1,
    cooling_ms=1,
    cooling_max_ms=1,
    probe_ms=1,
)
"""Soon normal again, so that others speak as well."""
_OF_THIS_RUN = {"messages_per_second", "ns_per_message", "shard_messages"}


class Found(NamedTuple):
    """What a replay says (but for speed and shards), its two files, its signals, and its shards."""

    said: dict[str, Any]
    fault: str
    bbo: bytes
    book: bytes
    signals: bytes
    shard_messages: list[int]


def config_with_functions() -> ServerConfig:
    """Small books, a pattern and a breaker that are easily moved."""
    return msgspec.structs.replace(server_config((IMBALANCE,)), breakers=(BAND,))


def replay_by(
    path: Path,
    shards: int,
    config: ServerConfig | None = None,
    pace: Pace | None = None,
    topology: Topology = "inline",
) -> Found:
    """Replay the file; with pattern and breaker unless `config` says otherwise."""
    bbo, book = io.BytesIO(), io.BytesIO()
    signals: list[np.ndarray] = []
    player = Replay(
        config or config_with_functions(),
        bbo,
        pace,
        on_signals=lambda rows: signals.append(rows.copy()),
        shards=shards,
        topology=topology,
    )
    outcome = player.run(path, sniff_format(path))
    player.write_book(book)
    said = {name: each for name, each in outcome.as_json().items() if name not in _OF_THIS_RUN}
    rows = b"".join(each.tobytes() for each in signals)
    fault = str(outcome.fault or "")
    return Found(said, fault, bbo.getvalue(), book.getvalue(), rows, outcome.shard_messages)


def same(one: Found, other: Found) -> bool:
    """Whether two replays came to the same, whoever did what of it."""
    return one._replace(shard_messages=[]) == other._replace(shard_messages=[])
