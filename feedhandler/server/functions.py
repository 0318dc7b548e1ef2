"""Users' functions, from the configuration to what a shard calls: loaded, bound to instruments, and
compiled.
"""

import dis
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from feedhandler.core.api import Sender, StageError, compile_stage, fill_places, no_sender
from feedhandler.core.away import AWAY_BITS, leg_text, leg_word
from feedhandler.core.breaker_machine import Scope
from feedhandler.core.calls import PARAM_WORDS
from feedhandler.core.counts import FUNCTIONS_MAX
from feedhandler.core.events import symbol_word
from feedhandler.core.functions import LEGS_MAX, STATE_WORDS_MAX, Room, Use
from feedhandler.core.market import MARKET, PRICE_FIELDS, Look
from feedhandler.core.shard import Shard, ShardCapacity
from feedhandler.server.config import (
    RESPONSE_LABEL,
    RESPONSE_NAMES,
    BoundConfig,
    BreakerConfig,
    CorrelationConfig,
    DefinedConfig,
    EngineConfig,
    PatternConfig,
    ResponseConfig,
    ServerConfig,
    StageConfig,
)
from feedhandler.server.definitions import Definition, compile_definition
from feedhandler.server.errors import ConfigError

CORRELATION = "feedhandler.core.patterns.correlation:correlation"
_NS_PER_MS = 1_000_000
_MARKET_ARGUMENT = 2
_ARGUMENTS = ("ticks", "slot", "market", "legs", "params", "state", "out")
_COMMON_USE = Use(fires=True)
_LEGS_A_BINDING = 4
_STATE_WORDS_A_BINDING = 64


class Stages(NamedTuple):
    """Compiled breakers and patterns, places for FUNCTIONS_MAX of each, and where the signals
    go besides the ring: nowhere, until an OMS side says otherwise.
    """

    breakers: Any
    patterns: Any
    sender: Sender


class Loaded(NamedTuple):
    """A function as configured: its name, where that stands, the function, its parameters in order,
    and how it is used.
    """

    name: str
    where: str
    function: Callable[..., int]
    params: Sequence[int]
    use: Use


class LoadedStages(NamedTuple):
    """All functions of a configuration: `breakers` are followed by the responses, one for each
    level, when there are any; `sectors` are the symbols of each.
    """

    breakers: tuple[Loaded, ...] = ()
    patterns: tuple[Loaded, ...] = ()
    sectors: tuple[tuple[int, ...], ...] = ()


def load_stages(config: ServerConfig | None) -> LoadedStages:
    """The configured functions, none without a configuration. Raises ConfigError."""
    if config is None:
        return LoadedStages()
    breakers = [
        *(_breaker(each, f"breakers[{i}]", config) for i, each in enumerate(config.breakers)),
        *_responses(config),
    ]
    patterns = [
        *(_bound(each, f"patterns[{i}]", config) for i, each in enumerate(config.patterns)),
        *(
            _bound(_written(each, i), f"definitions[{i}]", config)
            for i, each in enumerate(config.definitions)
        ),
        *(
            _bound(_correlating(each), f"correlations[{i}]", config)
            for i, each in enumerate(config.correlations)
        ),
    ]
    return LoadedStages(
        tuple(breakers),
        tuple(patterns),
        tuple(_sector(name, symbols) for name, symbols in config.sectors.items()),
    )


def _sector(name: str, symbols: Sequence[str]) -> tuple[int, ...]:
    """Words of the symbols of a sector."""
    try:
        return tuple(symbol_word(symbol) for symbol in symbols)
    except ValueError as error:
        raise ConfigError(f"sectors.{name}: {error}") from None


def _tuning(config: BreakerConfig) -> tuple[int, ...]:
    """Words of `Tuning`, in its order."""
    times_ms = (config.calm_ms, config.cooling_ms, config.cooling_max_ms, config.probe_ms)
    return tuple(time_ms * _NS_PER_MS for time_ms in times_ms)


def _breaker(config: BreakerConfig, title: str, server: ServerConfig) -> Loaded:
    """A breaker with its scope and the instruments that it looks at."""
    loaded = _bound(config, title, server)
    if any(word & AWAY_BITS for choice in loaded.use.bindings for word in choice):
        raise ConfigError(
            f"{loaded.where}: a breaker looks at one feed, and is called for each; name symbols"
            " without @FEED"
        )
    scope = getattr(loaded.function, "scope", Scope.INSTRUMENT)
    if config.scope:
        scope = Scope[config.scope.upper()]
    if scope == Scope.SECTOR and not server.sectors:
        raise ConfigError(
            f"{loaded.where}: scope = 'sector' without a sector; name them in [sectors]"
        )
    kinds = getattr(loaded.function, "kinds", 0)
    use = loaded.use._replace(scope=scope, tuning=_tuning(config), kinds=kinds)
    return loaded._replace(use=use)


def _responses(config: ServerConfig) -> Iterator[Loaded]:
    """What each level does, where there are breakers."""
    given = config.responses
    usual = ResponseConfig("feedhandler.core.responses:normal")
    levels = (given.normal or usual, given.caution, given.restrict, given.halt)
    for level, each in zip(RESPONSE_NAMES, levels, strict=True):
        if config.breakers:
            stage = StageConfig(RESPONSE_LABEL + level, each.function, each.params, each.budget_ns)
            loaded = _load(stage, f"responses.{level}", least_words=0)
            yield loaded._replace(use=loaded.use._replace(asked=True, always=each is given.normal))


def _written(config: DefinedConfig, number: int) -> PatternConfig:
    """The pattern of a definition, whose function is in a file now."""
    given = {name: getattr(config, name) for name in Definition.__struct_fields__}
    where = f"definitions[{number}] {config.name!r}"
    function = compile_definition(Definition(**given), where).reference
    return PatternConfig(
        config.name, function, config.params, config.budget_ns, config.instruments, config.choices,
        config.pairs_of, config.cooldown_ms, config.across,
    )  # fmt: skip


def _correlating(config: CorrelationConfig) -> PatternConfig:
    """The pattern that keeps a correlation."""
    params = {"window": config.window, "sample_ns": config.sample_ms * _NS_PER_MS}
    return PatternConfig(
        config.name, CORRELATION, params, legs=config.legs, pairs_of=config.pairs_of
    )


def bindings_of(config: ServerConfig) -> list[tuple[str, ...]]:
    """The choices of symbols of all breakers and patterns, those that say which feed they are on as
    SYMBOL@FEED. Raises ConfigError.
    """
    loaded = load_stages(config)
    return [
        tuple(leg_text(word, config.feed_names) for word in legs)
        for each in (*loaded.breakers, *loaded.patterns)
        for legs in each.use.bindings
    ]


def _bound(config: BoundConfig, title: str, server: ServerConfig) -> Loaded:
    """A function with the instruments that it looks at."""
    loaded = _load(config, title)
    groups = {**server.groups, **server.sectors}
    bindings = [
        _leg_words(choice, server.feed_names, loaded.where)
        for choice in _choices(config, loaded, groups)
    ]
    if isinstance(config, PatternConfig):
        cooldown_ns = config.cooldown_ms * _NS_PER_MS
        loaded = loaded._replace(use=loaded.use._replace(cooldown_ns=cooldown_ns, fires=True))
    use = loaded.use._replace(bindings=bindings)
    return loaded._replace(use=use)


def _leg_words(choice: Sequence[str], feeds: Sequence[str], where: str) -> tuple[int, ...]:
    """A choice of symbols, each with the feed that it names, or none with any."""
    words = [_leg_word(leg, feeds, where) for leg in choice]
    if len({word & AWAY_BITS == 0 for word in words}) > 1:
        raise ConfigError(
            f"{where}: {', '.join(choice)}: say of each of them which feed it is on, as in"
            f" {choice[0].rpartition('@')[0] or choice[0]}@{feeds[0]}, or of none"
        )
    return tuple(words)


def _leg_word(leg: str, feeds: Sequence[str], where: str) -> int:
    """The word of SYMBOL@FEED, or of a symbol alone."""
    symbol, at, feed = leg.rpartition("@")
    if at and feed not in feeds:
        raise ConfigError(f"{where}: {leg}: no feed is named {feed!r}; there is {', '.join(feeds)}")
    _, second_at, second = symbol.rpartition("@")
    if second_at and second in feeds:
        raise ConfigError(
            f"{where}: {leg}: it names two feeds; leave one out, and with across name the symbol"
            " alone"
        )
    try:
        return leg_word(symbol, feeds.index(feed)) if at else symbol_word(leg)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def with_functions(capacity: ShardCapacity, loaded: LoadedStages) -> ShardCapacity:
    """The sizes, with what the functions need."""
    every = (*loaded.breakers, *loaded.patterns)
    return capacity._replace(
        breakers=tuple(each.use for each in loaded.breakers),
        patterns=tuple(each.use for each in loaded.patterns),
        sectors=loaded.sectors,
        look=max((look_of(each.function) for each in every), default=Look.NOWHERE),
    )


def with_room(capacity: ShardCapacity, engine: EngineConfig) -> ShardCapacity:
    """The sizes, with what later functions may need."""
    instruments = capacity.book.instruments
    own_words = max((use.stride for use in capacity.breakers), default=0)
    return capacity._replace(
        look=max(capacity.look, Look[engine.keep_market.upper()]),
        breaker_room=Room(state_words=own_words * instruments),
        pattern_room=Room(
            engine.reload_bindings,
            engine.reload_bindings * _LEGS_A_BINDING,
            engine.reload_functions * _COMMON_USE.stride * instruments
            + engine.reload_bindings * _STATE_WORDS_A_BINDING,
        ),
    )


def set_params(shard: Shard, loaded: LoadedStages) -> None:
    """Write the functions' parameters into a shard."""
    for functions, stages in ((shard.breakers, loaded.breakers), (shard.patterns, loaded.patterns)):
        for i, each in enumerate(stages):
            functions.params[i, : len(each.params)] = each.params
    for i, each in enumerate(loaded.breakers):
        if each.use.tuning:
            shard.cells.tuning[i] = each.use.tuning


def build_stages(loaded: LoadedStages) -> Stages:
    """Compile the functions. Raises ConfigError for one that does not."""
    compiled = [
        fill_places([compile_loaded(each) for each in stages], FUNCTIONS_MAX)
        for stages in (loaded.breakers, loaded.patterns)
    ]
    return Stages(compiled[0], compiled[1], no_sender())


def own_places(stages: Stages) -> Stages:
    """The same with places that nobody else has."""
    return stages._replace(breakers=stages.breakers.copy(), patterns=stages.patterns.copy())


def look_of(function: Callable[..., int]) -> Look:
    """How far a function looks at the market, by what it and the kernels that it calls name."""
    code = _code_of(function)
    if code is None or code.co_argcount <= _MARKET_ARGUMENT:
        return Look.NOWHERE
    name = code.co_varnames[_MARKET_ARGUMENT]
    looks = any(
        name in (each.argval if isinstance(each.argval, tuple) else (each.argval,))
        for each in dis.get_instructions(code)
        if each.opname.startswith("LOAD_FAST")
    )
    if not looks:
        # Whether the other instruments are fit to trade stands in their rows.
        return Look.PRICES if getattr(function, "legs", 1) != 1 else Look.NOWHERE
    analytics = set(MARKET.names or ()) - PRICE_FIELDS
    return Look.ANALYTICS if _words_of(function, set()) & analytics else Look.PRICES


def _code_of(function: Any) -> CodeType | None:
    return getattr(getattr(function, "py_func", function), "__code__", None)


def _words_of(function: Any, known: set[CodeType]) -> set[str]:
    """All texts in a function, and in those that it names."""
    code = _code_of(function)
    if code is None or code in known:
        return set()
    known.add(code)
    names = getattr(getattr(function, "py_func", function), "__globals__", {})
    words = {each for each in code.co_consts if isinstance(each, str)}
    for name in code.co_names:
        words |= _words_of(names.get(name), known)
    return words


def _load(config: StageConfig, title: str, least_words: int = 1) -> Loaded:
    where = f"{title} {config.name!r}"
    function = load_function(config.function, where)
    _check_arguments(function, where)
    params = _ordered_params(function, config.params, where)
    state_words = int(getattr(function, "state_words", 0))
    if not least_words <= state_words <= STATE_WORDS_MAX:
        raise ConfigError(
            f"{where}: state_words = {state_words}: it must be {least_words} to {STATE_WORDS_MAX}"
        )
    # What a state is kept for, over a reload.
    anew = getattr(function, "begins_anew", ())
    names = getattr(function, "params", ())
    kept_for = (function, tuple(params[names.index(name)] for name in anew))
    use = Use(state_words, budget_ns=config.budget_ns, function=kept_for)
    return Loaded(config.name, where, function, params, use)


def _choices(
    config: BoundConfig, loaded: Loaded, groups: Mapping[str, Sequence[str]]
) -> list[Sequence[str]]:
    """The choices of symbols that a pattern is bound to; none: each instrument alone."""
    where = loaded.where
    wanted = int(getattr(loaded.function, "legs", 1))
    choices: list[Sequence[str]] = _alone(config, wanted, groups, where)
    choices += [tuple(_one_by_one(choice, groups, where)) for choice in config.legs]
    if config.pairs_of:
        choices += combinations(_members(f"group:{config.pairs_of}", groups, where), 2)
    for choice in choices:
        fits = 1 <= len(choice) <= LEGS_MAX if wanted == 0 else len(choice) == wanted
        if not fits:
            needs = f"1 to {LEGS_MAX}" if wanted == 0 else str(wanted)
            raise ConfigError(
                f"{where}: {', '.join(choice)}: {len(choice)} instruments; {config.function}"
                f" looks at {needs}"
            )
        if len(set(choice)) < len(choice):
            raise ConfigError(f"{where}: {', '.join(choice)}: a symbol is named twice")
    if wanted != 1 and not choices:
        raise ConfigError(
            f"{where}: {config.function} looks at several instruments; name them by legs ="
            ' [["AAA", "BBB"]], or pairs_of = "GROUP"'
        )
    return choices


def _alone(
    config: BoundConfig, wanted: int, groups: Mapping[str, Sequence[str]], where: str
) -> list[Sequence[str]]:
    """A choice for each of `instruments`: the symbol alone, or on several feeds together."""
    symbols = [each for name in config.instruments for each in _members(name, groups, where)]
    feeds = getattr(config, "across", ())
    if not feeds:
        return [[symbol] for symbol in symbols]
    if not symbols:
        raise ConfigError(f"{where}: across: name the symbols by instruments = [...]")
    together = list(combinations(feeds, wanted or len(feeds)))
    if not together:
        raise ConfigError(
            f"{where}: across: {config.function} looks at {wanted} feeds together; name so many of"
            " them or more"
        )
    return [[f"{symbol}@{feed}" for feed in each] for symbol in symbols for each in together]


def _one_by_one(
    names: Sequence[str], groups: Mapping[str, Sequence[str]], where: str
) -> Iterator[str]:
    for name in names:
        yield from _members(name, groups, where)


def _members(name: str, groups: Mapping[str, Sequence[str]], where: str) -> Sequence[str]:
    """The symbol, or those of a group named `group:NAME`."""
    kind, _, group = name.rpartition("group:")
    if kind or group == name:
        return [name]
    if group not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise ConfigError(f"{where}: no group is named {group!r} in [groups]; there is {known}")
    return groups[group]


def load_function(reference: str, where: str) -> Callable[..., int]:
    """The function that `module:name` or `path/file.py:name` names."""
    source, _, name = reference.rpartition(":")
    if not source:
        raise ConfigError(
            f"{where}: function is 'module:name' or 'file.py:name', not {reference!r}"
        )
    try:
        if source.endswith(".py"):
            module = load_file(Path(source).resolve())
        else:
            module = importlib.import_module(source)
    except Exception as error:  # noqa: BLE001 - a user's module may fail in any way
        raise ConfigError(f"{where}: cannot load {reference!r}: {_fault_text(error)}") from None
    function = getattr(module, name, None)
    if not callable(function):
        marked = (each for each, made in vars(module).items() if hasattr(made, "params"))
        known = ", ".join(each for each in marked if not each.startswith("_"))
        raise ConfigError(
            f"{where}: {source} has no function {name!r}; it has {known or 'none that is marked'}"
        )
    found: Callable[..., int] = function
    return found


def _fault_text(error: Exception) -> str:
    """What went wrong, and in which line of the user's file where it was one of a file."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if frame.filename != __file__ and "<frozen" not in frame.filename
    ]
    return f"{own[-1].filename}:{own[-1].lineno}: {text}" if own else text


def load_file(path: Path) -> Any:
    """The module of a user's file, under a name that its place and text decide: the same at every
    start, as a cached kernel is looked up by it, and the same module as long as the text is.
    """
    text = path.read_bytes()
    title = f"feedhandler_stage_{hashlib.sha256(bytes(path) + text).hexdigest()[:16]}"
    if title in sys.modules:
        return sys.modules[title]
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    try:
        exec(compile(text, path, "exec"), vars(module))  # noqa: S102 - the user's own file
    except BaseException:
        del sys.modules[title]
        raise
    return module


def place_of(function: Callable[..., int]) -> str:
    """File and line of a function."""
    code = _code_of(function)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "an unknown place"


def _check_arguments(function: Callable[..., int], where: str) -> None:
    """ConfigError for a function that takes something else than every stage does."""
    code = _code_of(function)
    if code is not None and code.co_argcount != len(_ARGUMENTS):
        raise ConfigError(
            f"{where}: {place_of(function)}: {code.co_name} takes {code.co_argcount} arguments;"
            f" write def {code.co_name}({', '.join(_ARGUMENTS)})"
        )


def _ordered_params(function: Callable[..., int], given: dict[str, int], where: str) -> list[int]:
    names = getattr(function, "params", None)
    if names is None:
        raise ConfigError(
            f"{where}: mark the function with @pattern(...), @breaker(...) or @response(...) of"
            " feedhandler.core.api"
        )
    if len(names) > PARAM_WORDS:
        raise ConfigError(f"{where}: {len(names)} parameters, at most {PARAM_WORDS} are possible")
    known = {**getattr(function, "defaults", {}), **given}
    if set(names) != set(known):
        missing = ", ".join(sorted(set(names) - set(known))) or "none"
        unknown = ", ".join(sorted(set(given) - set(names))) or "none"
        raise ConfigError(f"{where}: params missing: {missing}; unknown: {unknown}")
    return [known[name] for name in names]


def compile_loaded(loaded: Loaded) -> Any:
    """What a place holds for a function. Raises ConfigError."""
    try:
        return compile_stage(loaded.function)
    except StageError as error:
        raise ConfigError(f"{loaded.where}: {error}") from None
