"""A tape through an engine with one function: its signals, best prices, and what it costs."""

import io
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from feedhandler.core.counts import Count
from feedhandler.core.events import BBO, SIGNAL, symbol_text
from feedhandler.core.functions import Fn, Off
from feedhandler.core.shard import Shard
from feedhandler.server.config import PatternConfig, ServerConfig
from feedhandler.server.errors import ConfigError, DataError
from feedhandler.server.functions import load_stages, look_of
from protocols.binaryfile.reader import DataFileError
from tools.replay.outcome import Outcome
from tools.replay.replay import Replay
from tools.replay.sniff import RecordingFormat, sniff_recording
from tools.strategy.idle import idle_like
from tools.strategy.subject import Subject
from tools.strategy.tape import Beside, Tape
from tools.strategy.two_feeds import TwoFeeds

_OFF = {
    Off.FAULT: "it used an index outside an array, and was not called from then on",
    Off.OVERRUNS: "it was over its budget again and again, and was not called from then on",
}


class Played(NamedTuple):
    """`signals` SIGNAL[n], `best` BBO[m] in their order, numbers of instruments by symbol; what was
    held back or refused, by reason; and why the function was switched off ("": it was not).
    """

    outcome: Outcome
    signals: NDArray[np.void]
    best: NDArray[np.void]
    instruments: dict[str, int]
    held_back: dict[str, int]
    off: str


class Cost(NamedTuple):
    """Calls of the function, and what one took in ns, a call of an empty one taken off."""

    calls: int
    call_ns: float
    tick_ns: float
    ticks: int


class _Recorder(Replay):
    """A replay that keeps best prices as rows."""

    def __init__(self, config: ServerConfig, signals: list[NDArray[np.void]]) -> None:
        super().__init__(config, io.BytesIO(), on_signals=lambda rows: signals.append(rows.copy()))
        self.best: list[NDArray[np.void]] = []

    def _write_best_prices(self, file: BinaryIO, rows: NDArray[np.void]) -> None:  # noqa: ARG002
        self._number_messages(rows)
        self.best.append(rows.copy())


def play(subject: Subject, tape: Tape) -> Played:
    """Replay the tape once. UserError for a file or function that is not good."""
    if tape.beside is not None:
        return _play_two(subject, tape, tape.beside)
    kind = _kind_of(tape)
    signals: list[NDArray[np.void]] = []
    replay = _Recorder(subject.config, signals)
    outcome = replay.run(tape.path, kind)
    _complain(outcome)
    shard = replay.shard
    known = np.flatnonzero(shard.instruments["symbol"])
    names = {symbol_text(int(shard.instruments[i]["symbol"]), int(i)): int(i) for i in known}
    found = (_joined(signals, SIGNAL), _joined(replay.best, BBO))
    return _played(subject, outcome, [shard], found, names)


def _play_two(subject: Subject, tape: Tape, beside: Beside) -> Played:
    """Replay the tape with the one beside it."""
    for each in (tape, tape._replace(path=beside.path)):
        if _kind_of(each) != "binaryfile":
            raise DataError(f"{each.path}: no BinaryFILE; two feeds are played from such files")
    feeds = TwoFeeds(subject.config, (tape.path, beside.path), beside.lag_ns)
    outcome = feeds.run()
    _complain(outcome)
    best = _joined([rows for rows, _ranks in feeds.players[0].bbo], BBO)
    shards = [player.shard for player in feeds.players]
    return _played(subject, outcome, shards, (feeds.signals(), best), feeds.instruments())


def _played(
    subject: Subject,
    outcome: Outcome,
    shards: Sequence[Shard],
    found: tuple[NDArray[np.void], NDArray[np.void]],
    names: dict[str, int],
) -> Played:
    """What came of it; `found` are signals and best prices."""
    counts = np.sum([shard.counts[:, 0] for shard in shards], axis=0)
    held_back = {
        "in doubt, halted or behind a breaker": int(counts[Count.SIGNALS_SUPPRESSED]),
        "within the cool-down": int(counts[Count.PATTERN_REPEATS]),
        "neither +1 nor -1, or no level": int(
            counts[Count.STAGE_RESULTS_REFUSED] + counts[Count.STAGE_RESULTS_REFUSED + 1]
        ),
        "dropped, as there were too many": int(counts[Count.SIGNALS_DROPPED]),
    }
    functions = [shard.breakers if subject.is_breaker else shard.patterns for shard in shards]
    off = max(int(each.rows[0, Fn.OFF]) for each in functions)
    reasons = {reason: count for reason, count in held_back.items() if count}
    return Played(outcome, *found, names, reasons, _OFF.get(Off(off), ""))


def measure(subject: Subject, tape: Tape, times: int) -> Cost:
    """What the function costs: the shortest of so many replays with it, less that of replays with
    one that does nothing.
    """
    idle = _idle(subject)
    own_ns, idle_ns, calls, ticks = [], [], 0, 0
    for _ in range(times):
        own_ns.append(_run(subject.config, tape)[0])
        spent_ns, shards = _run(idle, tape)
        idle_ns.append(spent_ns)
        functions = [each.breakers if subject.is_breaker else each.patterns for each in shards]
        calls = sum(int(each.state.sum()) for each in functions)
        ticks = sum(int(each.counts[Count.TICKS, 0]) for each in shards)
    extra_ns = max(min(own_ns) - min(idle_ns), 0)
    return Cost(calls, extra_ns / max(calls, 1), extra_ns / max(ticks, 1), ticks)


def _run(config: ServerConfig, tape: Tape) -> tuple[int, list[Shard]]:
    """Time of the kernels for the whole tape, ns, and the engines that it went through."""
    if tape.beside is None:
        replay = Replay(config)
        return replay.run(tape.path, _kind_of(tape)).kernel_ns, [replay.shard]
    feeds = TwoFeeds(config, (tape.path, tape.beside.path), tape.beside.lag_ns)
    return feeds.run().kernel_ns, [player.shard for player in feeds.players]


def _idle(subject: Subject) -> ServerConfig:
    """The configuration with a function that does nothing, bound to the same instruments."""
    config = subject.config
    loaded = load_stages(config)
    function = (*loaded.breakers, *loaded.patterns)[0].function
    reference = idle_like(look_of(function), subject.legs)
    if subject.is_breaker:
        table = structs.replace(config.breakers[0], function=reference, params={})
        return structs.replace(config, breakers=(table,))
    if config.patterns:
        pattern = structs.replace(config.patterns[0], function=reference, params={})
    else:
        given = config.definitions[0]
        bound = (given.instruments, given.choices, given.pairs_of)
        pattern = PatternConfig(
            given.name, reference, {}, given.budget_ns, *bound, across=given.across
        )
    return structs.replace(config, patterns=(pattern,), definitions=())


def _kind_of(tape: Tape) -> RecordingFormat:
    try:
        return sniff_recording(tape.path)
    except DataFileError as error:
        raise DataError(str(error)) from None


def _complain(outcome: Outcome) -> None:
    if outcome.fault is not None:
        raise DataError(str(outcome.fault))
    if outcome.not_stored:
        raise ConfigError(
            f"{outcome.not_stored} orders did not fit the books; name a --config with larger"
            " engine.orders"
        )


def _joined(parts: Sequence[NDArray[np.void]], kind: np.dtype[np.void]) -> NDArray[np.void]:
    return np.concatenate(parts) if parts else np.zeros(0, kind)
