"""`[priority]` to the words that the engine looks at, at start and while it runs.

A change is written beside the rules in force (`staged`), and the thread that receives takes it as a
whole between two packets. What an operator has said about a symbol stands in the same table and
outlives a change of the configuration.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from feedhandler.core.counts import LANES_MAX
from feedhandler.core.engine import show_lanes_nb
from feedhandler.core.events import Kind, symbol_text, symbol_word
from feedhandler.core.priority import (
    KINDS,
    MOVES,
    PHASES,
    RULE_WORDS,
    SCORES,
    SIZES,
    WATCH_WORDS,
    WATCHED_MAX,
    Extra,
    Phase,
    Rule,
)
from feedhandler.core.shard import Control, Shard
from feedhandler.server.config import PriorityConfig
from feedhandler.server.errors import ConfigError
from feedhandler.server.snapshots import read_control_nb, write_control_nb

_E4 = 10_000
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_NS_PER_MINUTE = 60 * _NS_PER_S
_TAKEN_S = 1.0
_LOOK_S = 0.0002
_SHOWN = 32
_STEPPED = (Rule.SIZE_SCORE, Rule.MOVE_SCORE, Rule.LANE_OF)

Words = NDArray[np.int64]
Groups = Mapping[str, Sequence[str]]
Rows = dict[int, list[int]]
"""The table of symbols: SCORE, LANE and UNTIL_NS of each symbol."""

_lock = threading.Lock()


class NotTakenError(Exception):
    """An engine has not taken what was staged; it will, as soon as it receives again."""


class TableFullError(Exception):
    """There is no room for one more symbol."""


# -- the configuration as words -------------------------------------------------------------------


def rules_of(config: PriorityConfig, groups: Groups, *, is_live: bool) -> Words:
    """Words of a configuration. In a replay there is neither ageing nor conflation: every lane is
    empty after each chunk of messages, and what functions see must not depend on how many ticks
    waited. Raises ConfigError.
    """
    words = np.zeros(RULE_WORDS, np.int64)
    words[Rule.LARGE_TRADE_QTY] = config.large_trade_qty
    words[Rule.LARGE_TRADE_NOTIONAL_E4] = config.large_trade_notional * _E4
    words[Rule.LARGE_TRADE_SCORE] = config.large_trade_score
    words[Rule.LANES] = config.lanes
    if is_live:
        words[Rule.AGE_EVERY] = config.age_every
        words[Rule.OVERLOAD] = config.overload_ticks
        for lane, policy in enumerate(config.policies):
            words[Rule.CONFLATE] |= (policy == "conflate") << lane
    _write_scores(words, config)
    _write_regimes(words, config)
    _write_phases(words, config)
    watched = {word: [score, 0, 0] for word, score in _watched(config, groups)}
    _write_rows(words, watched)
    return words


def _write_scores(words: Words, config: PriorityConfig) -> None:
    """Tables of kinds, moves, sizes, and of lanes by score."""
    scores = np.full(KINDS, config.default_score)
    for name, score in config.kinds.items():
        scores[Kind[name.upper()]] = score
    words[Rule.KIND_SCORE : Rule.KIND_SCORE + 2 * KINDS] = np.tile(scores, 2)
    for kind in (Kind.ADD, Kind.CANCEL, Kind.DELETE, Kind.REPLACE, Kind.SET_LEVEL):
        words[Rule.KIND_SCORE + KINDS + kind] += config.deep_quote_score
    for step in config.moves:
        words[Rule.MOVE_SCORE + step.bps : Rule.MOVE_SCORE + MOVES] = step.score
    for size in config.sizes:
        first = size.times.bit_length() - 1
        words[Rule.SIZE_SCORE + first : Rule.SIZE_SCORE + SIZES] = size.score
        words[Rule.EXTRAS] |= Extra.SIZE
    words[Rule.LANE_OF : Rule.LANE_OF + SCORES] = config.lanes - 1
    for lane in range(config.lanes - 2, -1, -1):
        words[Rule.LANE_OF + config.from_score[lane] : Rule.LANE_OF + SCORES] = lane
    own = Rule.LANE_OF + SCORES
    words[own : own + LANES_MAX] = np.minimum(np.arange(LANES_MAX), config.lanes - 1)


def _write_regimes(words: Words, config: PriorityConfig) -> None:
    words[Rule.REGIMES] = len(config.regimes)
    words[Rule.STAY_NS] = config.regime_stay_ms * _NS_PER_MS
    for i, step in enumerate(config.regimes):
        words[Rule.REGIME_UP + i] = step.up_e9**2
        words[Rule.REGIME_DOWN + i] = step.down_e9**2
        words[Rule.REGIME_SCORE + i + 1] = step.score
        words[Rule.EXTRAS] |= Extra.REGIME


def _write_phases(words: Words, config: PriorityConfig) -> None:
    words[Rule.OPEN_NS] = _since_midnight_ns(config.open_at)
    words[Rule.CLOSE_NS] = _since_midnight_ns(config.close_at)
    words[Rule.OPENING_NS] = config.opening_minutes * _NS_PER_MINUTE
    words[Rule.CLOSING_NS] = config.closing_minutes * _NS_PER_MINUTE
    for name, score in config.phases.items():
        words[Rule.PHASE_SCORE + Phase[name.upper()]] = score
        words[Rule.EXTRAS] |= Extra.PHASE


def _since_midnight_ns(text: str) -> int:
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return (3_600 * hours + 60 * minutes + seconds) * _NS_PER_S


def _watched(config: PriorityConfig, groups: Groups) -> Iterator[tuple[int, int]]:
    """(symbol as a word, score) of the watch list; what names a symbol itself wins over groups."""
    found: dict[str, int] = {}
    singles: dict[str, int] = {}
    for name, score in config.watch.items():
        if not name.startswith("group:"):
            singles[name] = score
            continue
        group = name.removeprefix("group:")
        if group not in groups:
            known = ", ".join(sorted(groups)) or "none"
            raise ConfigError(
                f"priority.watch: no group is named {group!r} in [groups]; there is {known}"
            )
        found |= dict.fromkeys(groups[group], score)
    found |= singles
    if len(found) > WATCHED_MAX:
        raise ConfigError(
            f"priority.watch: {len(found)} symbols; at most {WATCHED_MAX} are possible"
        )
    for symbol, score in found.items():
        try:
            yield symbol_word(symbol), score
        except ValueError as error:
            raise ConfigError(f"priority.watch: {error}") from None


def _write_rows(words: Words, rows: Rows) -> None:
    """Write the table of symbols, in their order."""
    table = words[Rule.WATCH :].reshape(WATCHED_MAX, WATCH_WORDS)
    table[:] = 0
    for at, (symbol, values) in enumerate(sorted(rows.items())):
        table[at] = symbol, *values
    words[Rule.WATCHED] = len(rows)
    if rows:
        words[Rule.EXTRAS] |= Extra.SYMBOL
    else:
        words[Rule.EXTRAS] &= ~Extra.SYMBOL


def _read_rows(words: Words) -> Rows:
    """The table of symbols."""
    table = words[Rule.WATCH :].reshape(WATCHED_MAX, WATCH_WORDS)
    return {int(row[0]): [int(word) for word in row[1:]] for row in table[: words[Rule.WATCHED]]}


# -- at start -------------------------------------------------------------------------------------


def apply_priority(
    shard: Shard, config: PriorityConfig, groups: Groups, *, is_live: bool = False
) -> None:
    """Give a shard whose threads do not run yet its rules. Raises ConfigError."""
    words = rules_of(config, groups, is_live=is_live)
    shard.priority.rules[:] = words
    shard.priority.staged[:] = words
    show_lanes_nb(shard.priority.rules, shard.settings)


# -- while it runs --------------------------------------------------------------------------------


def stage_priority(shards: Sequence[Shard], config: PriorityConfig, groups: Groups) -> None:
    """Have every shard go over to another configuration, each between two packets of its own, and
    wait until all have. Overrides of symbols stay. Raises ConfigError, with nothing changed, and
    NotTakenError.
    """
    words = rules_of(config, groups, is_live=True)
    with _lock:
        before = shards[0].priority.staged.copy()
        rows = _read_rows(words)
        for symbol, (_, lane, until_ns) in _read_rows(before).items():
            if lane:
                score = rows.get(symbol, [0])[0]
                rows[symbol] = [score, min(lane, config.lanes), until_ns]
        if len(rows) > WATCHED_MAX:
            raise ConfigError(
                f"priority.watch: {len(rows)} symbols with the overrides; at most {WATCHED_MAX}"
                " are possible"
            )
        _write_rows(words, rows)
        _stage(shards, words)
        changes = list(_differences(before, words))
        more = len(changes) - _SHOWN
        structlog.get_logger(component="priority").info(
            "priority_changed",
            version=int(shards[0].priority.staged[Rule.VERSION]),
            changes=changes[:_SHOWN] + ([f"{more} more"] if more > 0 else []),
        )


def override_priority(
    shards: Sequence[Shard], symbol: str, lane: int | None, for_ms: int = 0
) -> None:
    """Give all ticks of a symbol a lane, for a time or, with 0, until it is said otherwise; None
    ends that. Raises ValueError for a lane or symbol that cannot be, TableFullError, NotTakenError.
    """
    word = symbol_word(symbol)
    lanes = int(shards[0].priority.staged[Rule.LANES])
    if lane is not None and not 0 <= lane < lanes:
        raise ValueError(f"lane {lane} does not exist; there are 0 to {lanes - 1}")
    until_ns = time.monotonic_ns() + for_ms * _NS_PER_MS if for_ms and lane is not None else 0
    with _lock:
        _override(shards, word, lane, until_ns)
    log = structlog.get_logger(component="priority")
    log.info("priority_override", symbol=symbol, lane=lane, for_ms=for_ms)
    if until_ns:
        _end_later(shards, symbol, until_ns, for_ms / 1_000)


def _end_later(shards: Sequence[Shard], symbol: str, until_ns: int, in_s: float) -> None:
    timer = threading.Timer(in_s, _end_override, (shards, symbol, until_ns))
    timer.daemon = True
    timer.start()


def overrides_of(shard: Shard) -> dict[str, int]:
    """Lane of each symbol that has one of its own."""
    rows = _read_rows(shard.priority.staged)
    return {symbol_text(word, 0): row[1] - 1 for word, row in rows.items() if row[1]}


def _end_override(shards: Sequence[Shard], symbol: str, until_ns: int) -> None:
    """An override is over, unless there was a later word about the symbol."""
    log = structlog.get_logger(component="priority")
    word = symbol_word(symbol)
    with _lock:
        row = _read_rows(shards[0].priority.staged).get(word)
        if row is None or row[2] != until_ns:
            return
        try:
            _override(shards, word, None, 0)
        except NotTakenError as error:
            log.warning("priority_override_ends_late", symbol=symbol, reason=str(error))
            _end_later(shards, symbol, until_ns, _TAKEN_S)
            return
    log.info("priority_override_ended", symbol=symbol)


def _override(shards: Sequence[Shard], symbol: int, lane: int | None, until_ns: int) -> None:
    words = shards[0].priority.staged.copy()
    rows = _read_rows(words)
    score = rows.get(symbol, [0])[0]
    if lane is not None:
        rows[symbol] = [score, lane + 1, until_ns]
    elif score:
        rows[symbol] = [score, 0, 0]
    else:
        rows.pop(symbol, None)
    if len(rows) > WATCHED_MAX:
        raise TableFullError(f"{WATCHED_MAX} symbols have a score or a lane of their own")
    _write_rows(words, rows)
    _stage(shards, words)


def _stage(shards: Sequence[Shard], words: Words) -> None:
    """Write words beside the rules of every shard and wait until each has taken them. Where one is
    still to take what was staged before, that comes first.
    """
    deadline_ns = time.monotonic_ns() + int(_TAKEN_S * _NS_PER_S)
    _wait_until_taken(shards, deadline_ns)
    for shard in shards:
        staged = shard.priority.staged
        version = staged[Rule.VERSION] + 1
        staged[:] = words
        staged[Rule.VERSION] = version
        write_control_nb(shard.control, Control.RULES, 1)
    _wait_until_taken(shards, deadline_ns)


def _wait_until_taken(shards: Sequence[Shard], deadline_ns: int) -> None:
    for number, shard in enumerate(shards):
        while read_control_nb(shard.control, Control.RULES):
            if time.monotonic_ns() > deadline_ns:
                raise NotTakenError(f"shard {number} of {len(shards)} does not answer")
            time.sleep(_LOOK_S)


def _differences(before: Words, after: Words) -> Iterator[str]:
    """What a change comes to, as `name old -> new`."""
    starts = sorted(Rule)
    for place, rule in enumerate(starts):
        if rule in (Rule.VERSION, Rule.WATCHED, Rule.EXTRAS, Rule.WATCH):
            continue
        end = starts[place + 1]
        for at in np.flatnonzero(before[rule:end] != after[rule:end]).tolist():
            was, is_now = int(before[rule + at]), int(after[rule + at])
            # Of a table in steps the first word of a step tells of the others.
            is_same = was == before[rule + at - 1] and is_now == after[rule + at - 1]
            if at and rule in _STEPPED and is_same:
                continue
            yield f"{_name_of(rule, at)} {was} -> {is_now}"
    yield from _differences_of_symbols(_read_rows(before), _read_rows(after))


def _differences_of_symbols(before: Rows, after: Rows) -> Iterator[str]:
    for symbol in sorted(before.keys() | after.keys()):
        was, is_now = (rows.get(symbol, [0])[0] for rows in (before, after))
        if was != is_now:
            yield f"watch.{symbol_text(symbol, 0)} {was} -> {is_now}"


def _name_of(rule: Rule, at: int) -> str:
    """A word as the log names it."""
    name = rule.name.lower()
    if rule == Rule.KIND_SCORE:
        kind = Kind(at % KINDS).name.lower() if at % KINDS in list(Kind) else str(at % KINDS)
        return f"kinds.{kind}" + (" behind the touch" if at >= KINDS else "")
    if rule == Rule.PHASE_SCORE and at < PHASES:
        return f"phases.{Phase(at).name.lower()}"
    if rule in (Rule.REGIME_UP, Rule.REGIME_DOWN, Rule.REGIME_SCORE):
        return f"{name}[{at if rule != Rule.REGIME_SCORE else at - 1}]"
    if rule == Rule.SIZE_SCORE:
        return f"sizes from {1 << at} times"
    if rule == Rule.MOVE_SCORE:
        return f"moves from {at} bps"
    return f"lane from score {at}" if rule == Rule.LANE_OF else name
