"""`feedhandler memory`: what a server with this configuration takes, block by block."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from feedhandler.core.limits import SHARDS_MAX
from feedhandler.core.receiver import allocate_receiver
from feedhandler.core.shard import Shard
from feedhandler.core.stream import Stream, allocate_stream
from feedhandler.server.assemble import (
    build_feeds,
    configs_by_feed,
    find_adapter,
    make_source,
)
from feedhandler.server.config import ServerConfig
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.functions import load_stages
from feedhandler.server.memory import available_bytes_now, blocks, blocks_once
from tools.memory.words import ENGINE, FIX_FEED, RECEIVER, SEQUENCER, SHARD, Why
from tools.replay.player import Player

app = App(name="memory", help="Show every block of memory that a server takes, and why.")

_KIB = 1 << 10
_PLAIN_WIDTH = 120
_PRE_LOGON = "oms.max_pending_connections, oms.pre_logon_cap_bytes"


class Row(NamedTuple):
    """One block. `part`: engines and receiver are taken at start and touched; sockets lie in the
    system's memory, and sessions take so much at most.
    """

    part: str
    name: str
    size_bytes: int
    why: str
    key: str


@app.default
def memory(
    *,
    config: Path,
    shards: int | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Show every block of memory that a server with this configuration takes, and why.

    Parameters
    ----------
    config
        A server's configuration in TOML.
    shards
        Show what a replay by so many shards takes with it, shard by shard, instead of the server.
    as_json
        Print one JSON object on the last line.
    """
    settings = load_config(config, ServerConfig, environ=os.environ)
    if shards is not None and not 1 <= shards <= SHARDS_MAX:
        reason = f"--shards is a number from 1 to {SHARDS_MAX}, not {shards}"
        raise UserError(reason, ExitCode.USAGE)
    rows = list(rows_of(settings) if shards is None else rows_of_shards(settings, shards))
    available = available_bytes_now()
    if as_json:
        shown = [row._asdict() for row in rows]
        found = {**totals(rows), "available_bytes": available, "blocks": shown}
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return ExitCode.OK
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH, color_system=None)
    console.print(_table(rows, str(config)))
    for name, size_bytes in {**totals(rows), "available_bytes": available}.items():
        words = name.removesuffix("_bytes").replace("_", " ")
        console.print(f"{words}: {size_bytes // _KIB:,} KiB")
    return ExitCode.OK


def _table(rows: list[Row], title: str) -> Table:
    table = Table("block", "KiB", "why", "sized by", title=title)
    table.columns[1].justify = "right"
    part = rows[0].part
    for row in rows:
        if row.part != part:
            table.add_section()
            part = row.part
        table.add_row(row.name, f"{-(-row.size_bytes // _KIB):,}", row.why, row.key)
    return table


def totals(rows: list[Row]) -> dict[str, int]:
    """Bytes by when they are taken."""
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.part] = sizes.get(row.part, 0) + row.size_bytes
    if "sockets" not in sizes:
        return {f"{part.replace(' ', '_')}_bytes": size for part, size in sizes.items()} | {
            "taken_at_start_bytes": sum(sizes.values())
        }
    sockets, sessions = sizes.pop("sockets"), sizes.pop("sessions")
    return {
        "taken_at_start_bytes": sum(sizes.values()),
        "sockets_at_most_bytes": sockets,
        "sessions_at_most_bytes": sessions,
    }


def rows_of(config: ServerConfig) -> Iterator[Row]:
    """Every block, the largest first in each part; nothing of it is touched."""
    configs = configs_by_feed(config)
    engines = build_feeds(config, load_stages(config))
    sizes = _sizes_once(engines)
    for number, each in enumerate(configs):
        prefix = f"{each.feed.name} " if len(configs) > 1 else ""
        yield from _rows_of_feed(each, prefix, sizes[number])
    for each in configs:
        yield from _sockets_of(each)
    yield from _sessions_of(config)


def _sizes_once(engines: list[list[Shard]]) -> list[list[dict[str, int]]]:
    """Size of each block, by feed, engine and name; one that several have is the first one's."""
    found: list[list[dict[str, int]]] = [[{} for _ in made] for made in engines]
    owners = [(feed, place) for feed, made in enumerate(engines) for place in range(len(made))]
    for owner, name, array in blocks_once([shard for made in engines for shard in made]):
        feed, place = owners[owner]
        found[feed][place][name] = array.nbytes
    return found


def _rows_of_feed(config: ServerConfig, prefix: str, sizes: list[dict[str, int]]) -> Iterator[Row]:
    """Blocks of one feed's engines, and of what receives for it."""
    titles = ["engine"]
    if len(sizes) > 1:
        titles = ["sequencer", *(f"shard {number}" for number in range(len(sizes) - 1))]
    words = [ENGINE] if len(sizes) == 1 else [SEQUENCER, *[SHARD] * (len(sizes) - 1)]
    session = find_adapter(config.feed.adapter).session_bytes(config.feed.session)
    stream, feed_sizes = _stream_of(config)
    receiver = allocate_receiver((-1, -1, -1), session, config.engine.packet_bytes, stream)
    titles.append("receiver")
    words.append(RECEIVER)
    found = [*sizes, {name: array.nbytes for name, array in blocks(receiver)}]
    if feed_sizes:
        titles.append("feed")
        words.append(FIX_FEED)
        found.append(feed_sizes)
    for part, each, reasons in zip(titles, found, words, strict=True):
        named = _named(prefix + part, each, reasons)
        yield from sorted(named, key=lambda row: -row.size_bytes)


def _stream_of(config: ServerConfig) -> tuple[Stream | None, dict[str, int]]:
    """The stream of a feed over TCP, and the sizes of what its source has besides."""
    if config.feed.connection is None:
        return None, {}
    source = make_source(config, find_adapter(config.feed.adapter))
    stream = allocate_stream(source.buffer_bytes, config.engine.packet_bytes, source.words)
    sizes: dict[str, int] = {}
    for name, array in blocks(source.memory):
        part = name.partition(".")[0]
        sizes[part] = sizes.get(part, 0) + array.nbytes
    return stream, sizes


def rows_of_shards(config: ServerConfig, shards: int) -> Iterator[Row]:
    """The blocks of each shard of a replay, without sockets and sessions."""
    for number in range(shards):
        player = Player(config, number=number, shards=shards)
        rows: list[Row] = []
        for owner, words in ((player.shard, ENGINE), (player.rx, RECEIVER)):
            sizes = {name: array.nbytes for name, array in blocks(owner)}
            rows += _named(f"shard {number}", sizes, words)
        yield from sorted(rows, key=lambda row: -row.size_bytes)


def _named(part: str, sizes: Mapping[str, int], words: Mapping[str, Why]) -> Iterator[Row]:
    for name, size_bytes in sizes.items():
        yield Row(part, name, size_bytes, words[name].words, words[name].key)


def _sockets_of(config: ServerConfig) -> Iterator[Row]:
    """What lies in the system's memory, of one feed."""
    feed = config.feed
    sockets = 1 + (feed.line_b is not None) + (feed.rerequest is not None)
    yield Row(
        "sockets",
        f"{sockets} receive buffers",
        sockets * feed.receive_buffer_bytes,
        "datagrams that wait for the receiver",
        "feed.receive_buffer_bytes",
    )


def _sessions_of(config: ServerConfig) -> Iterator[Row]:
    """What sessions may come to."""
    oms = config.oms
    yield Row(
        "sessions",
        f"{len(oms.allowed)} queues",
        len(oms.allowed) * oms.outbound_cap_bytes,
        "messages that an OMS does not read",
        "oms.outbound_cap_bytes",
    )
    yield Row(
        "sessions",
        f"{len(oms.allowed)} messages",
        len(oms.allowed) * oms.message_cap_bytes,
        "a message of an OMS that is not whole yet",
        "oms.message_cap_bytes",
    )
    yield Row(
        "sessions",
        f"{oms.max_pending_connections} doorways",
        oms.max_pending_connections * oms.pre_logon_cap_bytes,
        "what comes before a Logon",
        _PRE_LOGON,
    )
