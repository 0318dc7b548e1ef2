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
from feedhandler.server.config import PatternConfig, ServerConfig
from feedhandler.server.errors import ConfigError, DataError
from feedhandler.server.functions import load_stages, look_of
from protocols.binaryfile.reader import DataFileError
from tools.replay.outcome import Outcome
from tools.replay.replay import Replay
from tools.replay.sniff import RecordingFormat, sniff_recording
from tools.strategy.idle import idle_like
from tools.strategy.subject import Subject
from tools.strategy.tape import Tape

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
    kind = _kind_of(tape)
    signals: list[NDArray[np.void]] = []
    replay = _Recorder(subject.config, signals)
    outcome = replay.run(tape.path, kind)
    _complain(outcome)
    shard = replay.shard
    functions = shard.breakers if subject.is_breaker else shard.patterns
    counts = shard.counts[:, 0]
    held_back = {
        "in doubt, halted or behind a breaker": int(counts[Count.SIGNALS_SUPPRESSED]),
        "within the cool-down": int(counts[Count.PATTERN_REPEATS]),
        "neither +1 nor -1, or no level": int(
            counts[Count.STAGE_RESULTS_REFUSED] + counts[Count.STAGE_RESULTS_REFUSED + 1]
        ),
        "dropped, as there were too many": int(counts[Count.SIGNALS_DROPPED]),
    }
    known = np.flatnonzero(shard.instruments["symbol"])
    names = {symbol_text(int(shard.instruments[i]["symbol"]), int(i)): int(i) for i in known}
    off = _OFF.get(Off(int(functions.rows[0, Fn.OFF])), "")
    return Played(
        outcome,
        _joined(signals, SIGNAL),
        _joined(replay.best, BBO),
        names,
        {reason: count for reason, count in held_back.items() if count},
        off,
    )


def measure(subject: Subject, tape: Tape, times: int) -> Cost:
    """What the function costs: the shortest of so many replays with it, less that of replays with
    one that does nothing.
    """
    kind = _kind_of(tape)
    idle = _idle(subject)
    own_ns, idle_ns, calls, ticks = [], [], 0, 0
    for _ in range(times):
        own_ns.append(Replay(subject.config).run(tape.path, kind).kernel_ns)
        replay = Replay(idle)
        idle_ns.append(replay.run(tape.path, kind).kernel_ns)
        functions = replay.shard.breakers if subject.is_breaker else replay.shard.patterns
        calls = int(functions.state.sum())
        ticks = int(replay.shard.counts[Count.TICKS, 0])
    extra_ns = max(min(own_ns) - min(idle_ns), 0)
    return Cost(calls, extra_ns / max(calls, 1), extra_ns / max(ticks, 1), ticks)


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
        pattern = PatternConfig(given.name, reference, {}, given.budget_ns, *bound)
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
