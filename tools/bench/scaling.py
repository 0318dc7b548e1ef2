"""Throughput of a replay by the number of its shards: one feed that they split, and a feed each."""

import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feedhandler.core.limits import SHARDS_MAX
from feedhandler.core.shard import Shard
from feedhandler.server.assemble import find_adapter
from feedhandler.server.config import EngineConfig, FeedConfig, LineConfig, ServerConfig
from feedhandler.server.errors import ExitCode, UserError
from feedhandler.server.memory import reserve_memory
from oms_out.config import OmsConfig
from protocols.binaryfile.reader import load_bytes
from protocols.wire import Bytes
from tools.bench.measure import Timing
from tools.bench.usl import PARAMETERS, Law, fit
from tools.exchange.generate import generate_file
from tools.exchange.layout import FlowSettings
from tools.replay.kernels import replay_blocks_nb
from tools.replay.player import Crew, Player

PREDICTED_SHARDS = 64
_NS_PER_S = 1_000_000_000
_FEED_SHARE = 5
"""A feed of one's own has a fifth of the messages: as many files as shards have to be made."""
_PAGE_BYTES = 4_096
_BY_CPU = "_by_cpu_time"
REPLAY_CONFIG = ServerConfig(
    feed=FeedConfig(line_a=LineConfig(port=1)),
    oms=OmsConfig(store_dir="unused", allowed=("BENCH",)),
    engine=EngineConfig(
        instruments=256,
        orders=4_194_304,
        overflow_orders=65_536,
        level_blocks=65_536,
        level_arena=262_144,
    ),
)
"""Sizes for the session of a benchmark; a server's own keys in it mean nothing."""


class Sample(NamedTuple):
    """One run: by the clock until the last shard was done, and by the CPU time of the slowest: what
    the clock would have said had nobody else wanted a core.
    """

    clock: Timing
    cpu: Timing


Measure = Callable[[int], Sample]


class Step(NamedTuple):
    """One number of shards: messages/s (median, lowest and highest run), and the median of its
    ratio to one shard in the same round.
    """

    shards: int
    median: int
    lowest: int
    highest: int
    speed_up: float

    def as_json(self) -> dict[str, Any]:
        """One entry of `steps` in the JSON file."""
        return {
            "shards": self.shards,
            "messages_per_s": self.median,
            "lowest_messages_per_s": self.lowest,
            "highest_messages_per_s": self.highest,
            "speed_up": round(self.speed_up, 3),
            "efficiency": round(self.speed_up / self.shards, 3),
        }


class Scaling(NamedTuple):
    """What one way of sharing the work gave; `law` is fitted to the steps that have a core for each
    shard, whose numbers are `fitted`.
    """

    name: str
    steps: list[Step]
    fitted: list[int]
    law: Law

    @property
    def caution(self) -> str:
        """Why not to believe the law, "" where there is no reason."""
        if len(self.fitted) > PARAMETERS:
            return ""
        told = {1: "a rate", 2: "rate and contention"}.get(len(self.fitted), "all three of it")
        return (
            f"{len(self.fitted)} numbers of shards with a core for each are too few for a law of"
            f" {PARAMETERS} parameters: they give {told} and leave nothing to check it by"
        )

    def as_json(self) -> dict[str, Any]:
        """One entry of `scaling` in the JSON file."""
        return {
            "name": self.name,
            "steps": [step.as_json() for step in self.steps],
            "law": {
                "fitted_to_shards": self.fitted,
                "messages_per_s": round(self.law.rate),
                "contention": round(self.law.contention, 6),
                "coherency": round(self.law.coherency, 9),
                "peak_shards": self.law.peak(),
                "caution": self.caution,
            },
            "predicted": {
                "shards": PREDICTED_SHARDS,
                "messages_per_s": round(self.law.throughput(PREDICTED_SHARDS)),
            },
        }


def parse_shards(text: str | None, cores: int) -> int:
    """N of "1..N", or of "N"; the number of cores without a text."""
    if text is None:
        return min(cores, SHARDS_MAX)
    found = re.fullmatch(r"(?:1\.\.)?([0-9]{1,4})", text)
    if found is None or not 1 <= int(found[1]) <= SHARDS_MAX:
        reason = f"--shards is 1..N with N from 1 to {SHARDS_MAX}, not {text!r}"
        raise UserError(reason, ExitCode.USAGE)
    return int(found[1])


def measures(path: Path, folder: Path, messages: int, most: int) -> dict[str, Measure]:
    """What measures so many shards, up to `most`, by name: those that split the session in `path`,
    of `messages` messages, and those that have a session each, made in `folder`.
    """
    shared = load_bytes(path)
    own_messages = max(messages // _FEED_SHARE, 1)
    feeds = []
    for i in range(most):
        generate_file(FlowSettings(2 + i, messages=own_messages), folder / f"feed-{i}.bin")
        feeds.append(load_bytes(folder / f"feed-{i}.bin"))

    def one_feed(shards: int) -> Sample:
        players = [Player(REPLAY_CONFIG, number=i, shards=shards) for i in range(shards)]
        return _run(players, [shared] * shards)

    def own_feeds(shards: int) -> Sample:
        return _run([Player(REPLAY_CONFIG) for _ in range(shards)], feeds[:shards])

    return {"one_feed": one_feed, "own_feeds": own_feeds}


def _run(players: Sequence[Player], feeds: Sequence[Bytes]) -> Sample:
    """Each player its feed, from touched memory."""
    venue = find_adapter("nasdaq_itch").venue()
    feed_of = {id(player): feed for player, feed in zip(players, feeds, strict=True)}
    for player, feed in zip(players, feeds, strict=True):
        reserve_memory([player.shard])
        feed[::_PAGE_BYTES].max(initial=0)
        player.start_blocks(len(feed))

    def replay(each: Player) -> int:
        status: int = replay_blocks_nb(
            each.shard, venue, each.stages, feed_of[id(each)], each.cursor
        )
        return status

    crew = Crew(players)
    crew.run(replay, lambda: None)
    messages = sum(_messages_of(player.shard) for player in players)
    cpu_ns = max(player.cpu_ns for player in players)
    return Sample(Timing(messages, crew.kernel_ns), Timing(messages, cpu_ns))


def _messages_of(shard: Shard) -> int:
    return int(shard.types.sum())


def measure_scaling(ways: dict[str, Measure], most: int, cores: int, runs: int) -> list[Scaling]:
    """`runs` rounds, after one that does not count; in each of them every way and every number of
    shards has its turn, so that what the machine does besides meets all of them.
    """
    rates: dict[tuple[str, int], list[float]] = {}
    for round_number in range(runs + 1):
        for name, measure in ways.items():
            for shards in range(1, most + 1):
                sample = measure(shards)
                for title, timing in ((name, sample.clock), (name + _BY_CPU, sample.cpu)):
                    rate = timing.operations * _NS_PER_S / max(timing.elapsed_ns, 1)
                    if round_number:
                        rates.setdefault((title, shards), []).append(rate)
    titles = dict.fromkeys(title for title, _shards in rates)
    return [
        summarise(title, [rates[title, i] for i in range(1, most + 1)], cores) for title in titles
    ]


def summarise(name: str, rates: Sequence[Sequence[float]], cores: int) -> Scaling:
    """Steps and law of one way; rates[i] are the runs of i + 1 shards, in the order of rounds."""
    steps = []
    for shards, runs in enumerate(rates, 1):
        speed_up = statistics.median(one / alone for one, alone in zip(runs, rates[0], strict=True))
        median = round(statistics.median_low(runs))
        steps.append(Step(shards, median, round(min(runs)), round(max(runs)), speed_up))
    fitted = [step for step in steps if step.shards <= max(cores, 1)]
    law = fit([(step.shards, step.speed_up * steps[0].median) for step in fitted])
    return Scaling(name, steps, [step.shards for step in fitted], law)
