"""The configuration read again while the server runs: checked, compiled, laid out, and handed to
the workers, each of which takes it between two ticks (`feedhandler.core.reload`).

A configuration that is wrong, or changes what only a restart can change, is refused as a whole. A
pattern keeps its number as long as it is configured, as signals and counters go by it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import structlog

from feedhandler.core.api import compile_stage, no_stage_nb
from feedhandler.core.away import AWAY_BITS, AwayWord, away_legs, own_legs
from feedhandler.core.calls import make_places
from feedhandler.core.counts import FUNCTIONS_MAX, Count
from feedhandler.core.function_layout import (
    Layout,
    LayoutError,
    bound_choices,
    lay_out,
    write_bindings,
    write_rows,
)
from feedhandler.core.functions import Fate, Fn, Functions, Meta, Off
from feedhandler.core.shard import Control, Setting, Shard
from feedhandler.server.config import ServerConfig
from feedhandler.server.config_changes import Change, changes_between
from feedhandler.server.errors import ConfigError, UnavailableError
from feedhandler.server.functions import (
    Loaded,
    LoadedStages,
    Stages,
    compile_loaded,
    load_stages,
    look_of,
)
from feedhandler.server.hub_actions import known_names
from feedhandler.server.priority import NotTakenError, rules_of
from feedhandler.server.snapshots import read_control_nb, write_control_nb
from feedhandler.server.warmup import compiling_alone

_RELOADED = frozenset({"breakers", "patterns", "definitions", "groups", "responses"})
_ANSWER_S = 2.0
_LOOK_S = 0.001
_LOGGED_MAX = 50

Numbered = tuple[Loaded | None, ...]
StagePriority = Callable[[ServerConfig], None]


class Names(NamedTuple):
    """Names by number: of the breakers, of the patterns that are configured ("" for a number that
    nobody has), and of the patterns that a signal may still be from.
    """

    breakers: Sequence[str]
    patterns: Sequence[str]
    senders: Sequence[str]


class Plan(NamedTuple):
    """Functions by number with their layout and machine code, before anybody uses them."""

    functions: Numbered
    layout: Layout
    places: Any
    fates: tuple[int, ...]
    off: tuple[int, ...]
    is_rebound: bool


class Plans(NamedTuple):
    """Those of a configuration."""

    config: ServerConfig
    breakers: Plan
    patterns: Plan
    changes: tuple[str, ...]
    is_prioritised: bool = False
    """Whether the rules of priority are others."""


def _first_plan(
    stage: Sequence[Loaded], places: Any, instruments: int, off: frozenset[str]
) -> Plan:
    """What a server starts with; names in `off` are not called."""
    layout = lay_out([each.use for each in stage], instruments)
    fates = (int(Fate.SAME),) * len(stage)
    return Plan(tuple(stage), layout, places, fates, _off_of(stage, off), is_rebound=False)


def _off_of(functions: Sequence[Loaded | None], off: frozenset[str]) -> tuple[int, ...]:
    return tuple(int(Off.HUNG if each and each.name in off else Off.NO) for each in functions)


class Reloader:
    """Knows what runs; `shards` are those of every feed."""

    def __init__(
        self,
        config: ServerConfig,
        loaded: LoadedStages,
        stages: Stages,
        shards: Sequence[Shard],
        off: frozenset[str] = frozenset(),
        stage_priority: StagePriority | None = None,
    ) -> None:
        """What is to be started with: functions whose names are in `off` are switched off here.
        Without `stage_priority` the rules of priority are fixed.
        """
        self.config = config
        self.on_names: Callable[[Names], None] = lambda _names: None
        self._shards = list(shards)
        self._stage_priority = stage_priority
        self._instruments = config.engine.instruments
        self._breakers, self._patterns = (
            _first_plan(stage, places, self._instruments, off)
            for stage, places in zip((loaded.breakers, loaded.patterns), stages[:2], strict=True)
        )
        for shard in shards:
            switch_off(shard, 0, shard.breakers, self._breakers.off)
            switch_off(shard, FUNCTIONS_MAX, shard.patterns, self._patterns.off)
        self._senders = [each.name for each in loaded.patterns]
        self._freed: list[int] = []
        self._turn = asyncio.Lock()
        self._log = structlog.get_logger(component="reload")

    @property
    def functions(self) -> tuple[Numbered, Numbered]:
        """Breakers and patterns by number."""
        return self._breakers.functions, self._patterns.functions

    async def reload(
        self, read: Callable[[], tuple[ServerConfig, frozenset[str]]]
    ) -> dict[str, Any]:
        """Take over the configuration that `read` gives, with the names of functions that are to
        stay off: what has changed. ConfigError when it is refused, with nothing changed;
        UnavailableError when a worker did not answer.
        """
        started_ns = time.monotonic_ns()
        async with self._turn:
            await self._wait_for_all()
            plans = await asyncio.to_thread(self._plan, read)
            # From here on it is done as a whole, whoever asked for it gives up or not.
            await asyncio.shield(self._apply(plans))
        took_ms = (time.monotonic_ns() - started_ns) // 1_000_000
        self._log.info(
            "reloaded",
            changes=list(plans.changes[:_LOGGED_MAX]),
            change_count=len(plans.changes),
            took_ms=took_ms,
        )
        return {"changes": list(plans.changes), "took_ms": took_ms}

    async def enable(self, name: str) -> None:
        """Have a function called again that is off. ConfigError when nobody has this name,
        UnavailableError as above.
        """
        async with self._turn:
            await self._wait_for_all()
            breakers, patterns = (_enabled(plan, name) for plan in (self._breakers, self._patterns))
            if breakers is patterns is None:
                known = known_names(each.name for plan in self.functions for each in plan if each)
                raise ConfigError(f"no breaker or pattern is named {name!r}; there is {known}")
            plans = Plans(
                self.config,
                breakers or _unchanged(self._breakers),
                patterns or _unchanged(self._patterns),
                (),
            )
            await asyncio.shield(self._apply(plans))
        self._log.info("function_enabled", function=name)

    # -- to plan ----------------------------------------------------------------------------------

    def _plan(self, read: Callable[[], tuple[ServerConfig, frozenset[str]]]) -> Plans:
        """Everything that may fail or take long; changes nothing."""
        config, off = read()
        changes = changes_between(self.config, config)
        self._check_fixed(changes)
        loaded = load_stages(config)
        breakers = self._numbered_breakers(loaded.breakers)
        patterns = self._numbered_patterns(loaded.patterns)
        self._check_look((*breakers, *patterns))
        self._check_legs((*breakers, *patterns))
        self._check_away(patterns)
        with compiling_alone():
            plans = Plans(
                config,
                self._plan_of(self._breakers, breakers, off, self._shards[0].breakers),
                self._plan_of(self._patterns, patterns, off, self._shards[0].patterns),
                (),
            )
        edited = [
            *_edited(self._breakers.functions, plans.breakers.functions),
            *_edited(self._patterns.functions, plans.patterns.functions),
        ]
        rules = {each.table for each in changes} & {"priority", "groups"}
        if rules:
            # Before anything changes: this may fail.
            rules_of(config.priority, config.groups, is_live=True)
        return plans._replace(changes=(*map(str, changes), *edited), is_prioritised=bool(rules))

    def _check_fixed(self, changes: Sequence[Change]) -> None:
        reloaded = _RELOADED | ({"priority"} if self._stage_priority else set())
        fixed = [str(each) for each in changes if each.table not in reloaded]
        if fixed:
            raise ConfigError(
                f"{'; '.join(fixed)}: this cannot change while the server runs; put it back, or"
                " restart"
            )

    def _numbered_breakers(self, loaded: Sequence[Loaded]) -> Numbered:
        """Breakers by their numbers, whose names are fixed."""
        by_name = {each.name: each for each in loaded}
        names = [each.name for each in self._breakers.functions if each]
        added, gone = by_name.keys() - set(names), set(names) - by_name.keys()
        for what, found in (("added", added), ("removed", gone)):
            if found:
                raise ConfigError(
                    f"breakers: {', '.join(sorted(found))}: a breaker cannot be {what} while the"
                    " server runs; restart"
                )
        for name, was in zip(names, self._breakers.functions, strict=True):
            if was and by_name[name].use.scope != was.use.scope:
                raise ConfigError(
                    f"{by_name[name].where}: scope: it cannot change while the server runs; put it"
                    " back, or restart"
                )
        return tuple(by_name[name] for name in names)

    def _numbered_patterns(self, loaded: Sequence[Loaded]) -> Numbered:
        """Each pattern by the number that it has; a new one gets one that nobody had yet, or the
        one that has been free for longest.
        """
        now = {each.name: i for i, each in enumerate(self._patterns.functions) if each}
        placed = {now[each.name]: each for each in loaded if each.name in now}
        used = len(self._patterns.functions)
        free = iter([*range(used, FUNCTIONS_MAX), *self._freed])
        for each in loaded:
            if each.name not in now:
                number = next(free, None)
                if number is None:
                    raise ConfigError(
                        f"{each.where}: {FUNCTIONS_MAX} patterns have been in use up to now; remove"
                        " some by a reload of its own first"
                    )
                placed[number] = each
        return tuple(placed.get(i) for i in range(max([used - 1, *placed]) + 1))

    def _check_look(self, functions: Numbered) -> None:
        """ConfigError for one that looks at what is not kept."""
        kept = min((int(shard.settings[Setting.MARKET]) for shard in self._shards), default=0)
        for each in functions:
            if each and look_of(each.function) > kept:
                needed = look_of(each.function).name.lower()
                raise ConfigError(
                    f"{each.where}: it looks at what this server does not keep of the market, as no"
                    f" function did when it started; set keep_market = {needed!r} in [engine] and"
                    " restart"
                )

    def _check_legs(self, functions: Numbered) -> None:
        """ConfigError where several shards would have to take instruments that they did not take
        from the first message on.
        """
        if all(len(shard.split.owned) == 1 for shard in self._shards):
            return
        known = {
            tuple(choice)
            for plan in (self._breakers, self._patterns)
            for each in plan.functions
            if each
            for choice in each.use.bindings
        }
        for each in filter(None, functions):
            for choice in each.use.bindings:
                if own_legs(choice) > 1 and tuple(choice) not in known:
                    raise ConfigError(
                        f"{each.where}: with several shards no choice of several instruments of a"
                        " feed can be added while the server runs; put it back, or restart"
                    )

    def _check_away(self, patterns: Numbered) -> None:
        """ConfigError where there is no room for what they look at on other feeds."""
        choices = [choice for each in patterns if each for choice in each.use.bindings]
        for shard in self._shards:
            needed = len(away_legs(choices, int(shard.settings[Setting.FEED])))
            there = int(shard.away.words[AwayWord.ROOM])
            if needed > there:
                raise ConfigError(
                    f"no room for these functions: {needed} instruments on other feeds are needed,"
                    f" there is room for {there}; raise reload_bindings in [engine] and restart"
                )

    def _plan_of(
        self, before: Plan, functions: Numbered, off: frozenset[str], memory: Functions
    ) -> Plan:
        uses = [each.use if each else None for each in functions]
        try:
            layout = lay_out(uses, self._instruments, before.layout, len(memory.state))
            _check_room(layout, memory)
        except LayoutError as error:
            raise ConfigError(
                f"no room for these functions: {error}; raise reload_functions or reload_bindings"
                " in [engine] and restart"
            ) from None
        off_now = _off_of(functions, off)
        fates = tuple(_fates(before, functions, off_now))
        filled = [*functions, *([None] * (FUNCTIONS_MAX - len(functions)))]
        # An engine's own empty stage was compiled for its start.
        places = make_places(
            [compile_loaded(each) if each else compile_stage(no_stage_nb) for each in filled]
        )
        is_rebound = _bound(layout) != _bound(before.layout)
        return Plan(functions, layout, places, fates, off_now, is_rebound)

    # -- to apply ---------------------------------------------------------------------------------

    async def _apply(self, plans: Plans) -> None:
        names = self._names_with(plans.patterns.functions)
        for shard in self._shards:
            _stage(shard.breakers, shard.staged.breakers, plans.breakers, shard)
            _stage(shard.patterns, shard.staged.patterns, plans.patterns, shard)
            _stage_tunings(shard, plans.breakers)
            shard.staged.breaker_places[:] = plans.breakers.places
            shard.staged.pattern_places[:] = plans.patterns.places
        # Signals of a new pattern are told from the first one on.
        self.on_names(names)
        self._note(plans)
        if self._stage_priority is not None and plans.is_prioritised:
            try:
                await asyncio.to_thread(self._stage_priority, plans.config)
            except NotTakenError as error:
                raise UnavailableError(f"priority: {error}; it will when it goes on") from None
        for shard in self._shards:
            write_control_nb(shard.control, Control.FUNCTIONS, 1)
        await self._wait_for_all()

    def _names_with(self, patterns: Numbered) -> Names:
        names = [each.name if each else "" for each in patterns]
        more = [""] * (len(names) - len(self._senders))
        self._senders = [
            name or was for name, was in zip(names, [*self._senders, *more], strict=True)
        ]
        functions = self._breakers.functions
        breakers = [each.name for each in functions if each and not each.use.asked]
        return Names(breakers, names, self._senders)

    def _note(self, plans: Plans) -> None:
        """What runs from now on."""
        now = plans.patterns.functions
        freed = [i for i, each in enumerate(self._patterns.functions) if each and now[i] is None]
        still_free = [i for i in self._freed if now[i] is None]
        self._freed = [*still_free, *freed]
        self.config, self._breakers, self._patterns = plans.config, plans.breakers, plans.patterns

    async def _wait_for_all(self) -> None:
        """Until no shard has anything staged; UnavailableError when that takes too long."""
        deadline_s = time.monotonic() + _ANSWER_S
        while waiting := [
            i
            for i, shard in enumerate(self._shards)
            if read_control_nb(shard.control, Control.FUNCTIONS)
        ]:
            if time.monotonic() > deadline_s:
                raise UnavailableError(
                    f"worker {waiting[0]} has not taken what was reloaded within {_ANSWER_S:.0f} s;"
                    " it will when it goes on"
                )
            await asyncio.sleep(_LOOK_S)


def switch_off(shard: Shard, first: int, functions: Functions, off: Sequence[int]) -> None:
    """Before the start: functions that are not to be called; `first` is the first row of their kind
    in counters.
    """
    for number, why in enumerate(off):
        functions.rows[number, Fn.OFF] = why
        shard.counts[Count.FUNCTION_OFF + first + number, 0] = why


def _enabled(plan: Plan, name: str) -> Plan | None:
    """The same with a function of this name called again; None where there is none."""
    numbers = [i for i, each in enumerate(plan.functions) if each and each.name == name]
    if not numbers:
        return None
    same = _unchanged(plan)
    fates, off = list(same.fates), list(same.off)
    fates[numbers[0]], off[numbers[0]] = int(Fate.CHANGED), int(Off.NO)
    return same._replace(fates=tuple(fates), off=tuple(off))


def _unchanged(plan: Plan) -> Plan:
    """The same once more, with nothing to be done for it."""
    fates = (int(Fate.SAME),) * len(plan.functions)
    return plan._replace(layout=plan.layout._replace(fresh=()), fates=fates, is_rebound=False)


def _edited(before: Numbered, now: Numbered) -> Iterator[str]:
    """Functions whose text is another one under the same name."""
    was = {each.name: each.function for each in before if each}
    for each in now:
        if each and was.get(each.name, each.function) is not each.function:
            yield f"{each.where}: the function is another one"


def _check_room(layout: Layout, memory: Functions) -> None:
    choices = [choice for use in layout.uses if use for choice in use.bindings]
    for what, needed, there in (
        ("bindings", len(choices), len(memory.bindings)),
        ("legs", sum(map(len, choices)), len(memory.legs)),
    ):
        if needed > there:
            raise LayoutError(f"{what}: {needed} are needed, there is room for {there}")


def _bound(layout: Layout) -> list[Any]:
    """What `write_bindings` writes of a layout."""
    return [
        (use is not None, use.bindings if use else (), places)
        for use, places in zip(layout.uses, layout.places, strict=True)
    ]


def _fates(before: Plan, functions: Numbered, off: Sequence[int]) -> Iterator[int]:
    for number, each in enumerate(functions):
        was = before.functions[number] if number < len(before.functions) else None
        if each is None or was is None or was.name != each.name:
            yield int(Fate.ANOTHER if each else Fate.CHANGED)
        elif was[2:] == each[2:] and before.off[number] == off[number]:
            yield int(Fate.SAME)
        else:
            yield int(Fate.CHANGED)


def _stage(functions: Functions, staged: Functions, plan: Plan, shard: Shard) -> None:
    """Write down what a worker is to take, and clear the state that is new."""
    write_rows(staged, plan.layout)
    staged.meta[Meta.IS_REBOUND] = plan.is_rebound
    if plan.is_rebound:
        feed = int(shard.settings[Setting.FEED])
        known = _instruments_of(functions, plan.layout, shard, feed)
        write_bindings(staged, plan.layout, known, feed)
    staged.params[:] = 0
    for number, each in enumerate(plan.functions):
        if each is not None:
            staged.params[number, : len(each.params)] = each.params
        staged.rows[number, Fn.FATE] = plan.fates[number]
        staged.rows[number, Fn.OFF] = plan.off[number]
    for at, words in plan.layout.fresh:
        functions.state[at : at + words] = 0


def _stage_tunings(shard: Shard, plan: Plan) -> None:
    """Times of the breakers' machines."""
    for number, each in enumerate(plan.functions):
        if each is not None and each.use.tuning:
            shard.staged.tunings[number] = each.use.tuning


def _instruments_of(
    functions: Functions, layout: Layout, shard: Shard, feed: int
) -> dict[int, int]:
    """Instruments of the symbols that are wanted, as far as messages have named them. The worker
    knows of two with the same symbol which is the newer one.
    """
    own = (word for _, choice, _ in bound_choices(layout, feed) for word in choice)
    wanted = {word for word in own if not word & AWAY_BITS}
    if not wanted:
        return {}
    column = shard.instruments["symbol"].astype(np.int64)
    found = np.flatnonzero(np.isin(column, np.array(sorted(wanted), np.int64)))
    known = {int(column[place]): int(place) for place in found}
    for at in range(int(functions.meta[Meta.SYMBOLS])):
        instrument = int(functions.legs[functions.cells[functions.first[at], 1]])
        if instrument >= 0 and int(functions.symbols[at]) in known:
            known[int(functions.symbols[at])] = instrument
    return known
