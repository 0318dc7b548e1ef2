"""What is tested: one pattern, definition or breaker, as a configuration without anything else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, structs

from feedhandler.core.breaker_machine import Scope
from feedhandler.server.config import (
    BreakerConfig,
    DefinedConfig,
    EngineConfig,
    FeedConfig,
    LineConfig,
    PatternConfig,
    ServerConfig,
    Symbols,
)
from feedhandler.server.configfile import load_config
from feedhandler.server.errors import ConfigError, ExitCode, UserError
from feedhandler.server.functions import load_file, load_function
from oms_out.config import OmsConfig
from tools.strategy.planted import FINDS, KINDS
from tools.strategy.two_feeds import FEEDS, feeds_of

_ORDERS = 1 << 20
_OVERFLOW_ORDERS = 1 << 16
_NAME = "tested"
_BOUND = ("instruments", "legs", "pairs_of")
_Any = PatternConfig | DefinedConfig | BreakerConfig


class StrategyFile(Struct, frozen=True):
    """The part of a configuration that says what patterns and breakers there are; a server's whole
    file will do, or one with nothing else in it.
    """

    breakers: tuple[BreakerConfig, ...] = ()
    patterns: tuple[PatternConfig, ...] = ()
    definitions: tuple[DefinedConfig, ...] = ()
    groups: dict[str, Symbols] = {}
    sectors: dict[str, Symbols] = {}


class Subject(NamedTuple):
    """`config` has one pattern, definition or breaker; `name` as the user knows it, `function` what
    it is called in its file ("" of a definition), `legs` how many instruments it looks at (0: any
    number), `params` their names, and whether it is bound to instruments.
    """

    config: ServerConfig
    name: str
    function: str
    legs: int
    params: tuple[str, ...]
    is_bound: bool
    scope: int = 0

    @property
    def is_breaker(self) -> bool:
        """It has a level, and proposes nothing."""
        return bool(self.config.breakers)

    @property
    def stage(self) -> Any:
        """Its table."""
        return (*self.config.breakers, *self.config.patterns, *self.config.definitions)[0]

    @property
    def is_whole(self) -> bool:
        """What happens to many instruments at a time is one thing for it, as its level holds for
        more than one of them, or it looks at any number of them together.
        """
        return self.scope > 0 or self.legs == 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is right for it to find, unless the user says otherwise."""
        return FINDS.get(self.function, KINDS)

    def changed(self, **changes: Any) -> "Subject":
        """With other keys in its table. ConfigError for what there cannot be."""
        stage = structs.replace(self.stage, **changes)
        config = self.config
        if self.is_breaker:
            config = structs.replace(config, breakers=(stage,))
        elif config.patterns:
            config = structs.replace(config, patterns=(stage,))
        else:
            config = structs.replace(config, definitions=(stage,))
        return self._replace(config=config)

    def with_params(self, values: Mapping[str, int]) -> "Subject":
        """With these parameters over those that it has."""
        unknown = sorted(set(values) - set(self.params))
        if unknown:
            known = ", ".join(self.params) or "none"
            raise UserError(
                f"--params: {self.name} has no parameter {', '.join(unknown)}; it has {known}",
                ExitCode.USAGE,
            )
        return self.changed(params={**self.stage.params, **values})

    def with_cooldown(self, cooldown_ms: int) -> "Subject":
        """Quiet for so long after a signal."""
        if self.is_breaker:
            raise UserError("--cooldown-ms: a breaker has none", ExitCode.USAGE)
        return self.changed(cooldown_ms=cooldown_ms)

    def on_two_feeds(self) -> "Subject":
        """With two feeds to look at, those that it names where it names two."""
        across = getattr(self.stage, "across", ())
        if not across:
            return self._replace(config=feeds_of(self.config))
        if len(across) != len(FEEDS):
            raise UserError(
                f"across: {self.name} names {len(across)} feeds; two are played side by side",
                ExitCode.USAGE,
            )
        return self._replace(config=feeds_of(self.config, across), is_bound=True)

    def bound_to(self, legs: Sequence[Sequence[str]]) -> "Subject":
        """Looking at these choices of instruments and no others."""
        key = "choices" if self.config.definitions else "legs"
        nothing: dict[str, Any] = {"instruments": (), "pairs_of": ""}
        if not self.is_breaker:
            nothing["across"] = ()
        given = tuple(tuple(each) for each in legs)
        return self.changed(**nothing, **{key: given})._replace(is_bound=True)


def read_subject(target: str, config: Path | None) -> Subject:
    """What FILE[:FUNCTION], MODULE:FUNCTION or FILE.toml[:NAME] names; `config` gives sizes, lanes
    and groups. UserError with one line where there is none.
    """
    base = load_config(config, ServerConfig) if config else _base()
    base = structs.replace(base, patterns=(), definitions=(), breakers=())
    path, name = _split(target)
    if path.suffix == ".toml":
        return _of_file(path, name, base)
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; name a .py or .toml file, or module:function")
        name = name or _only_name(path)
        return _of_function(f"{path}:{name}", name, base)
    if not name:
        raise UserError(
            f"{target}: name FILE.py, FILE.py:FUNCTION, MODULE:FUNCTION or FILE.toml",
            ExitCode.USAGE,
        )
    return _of_function(target, name, base)


def parse_params(texts: Iterable[str]) -> dict[str, int]:
    """`name=number`, several with commas between. UserError for anything else."""
    found: dict[str, int] = {}
    for each in ",".join(texts).split(",") if texts else ():
        name, sign, number = each.partition("=")
        try:
            found[name.strip()] = int(number.replace("_", ""))
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise UserError(
                f"--params {each!r}: write name=number, and commas between several", ExitCode.USAGE
            )
    return found


def _base() -> ServerConfig:
    """A configuration of which only the engine's sizes count."""
    return ServerConfig(
        feed=FeedConfig(line_a=LineConfig(port=1)),
        oms=OmsConfig(store_dir="", allowed=(_NAME,)),
        engine=EngineConfig(orders=_ORDERS, overflow_orders=_OVERFLOW_ORDERS),
    )


def _split(target: str) -> tuple[Path, str]:
    """File or module, and the name behind the last colon."""
    head, colon, tail = target.rpartition(":")
    return (Path(head), tail) if colon else (Path(target), "")


def _of_function(reference: str, name: str, base: ServerConfig) -> Subject:
    function = load_function(reference, repr(reference))
    names = getattr(function, "params", None)
    if names is None:
        raise ConfigError(
            f"{reference}: mark the function with @pattern(...) or @breaker(...) of"
            " feedhandler.core.api"
        )
    if hasattr(function, "scope"):
        breakers = (BreakerConfig(name, reference),)
        return _subject(structs.replace(base, breakers=breakers), name, function)
    patterns = (PatternConfig(name, reference),)
    return _subject(structs.replace(base, patterns=patterns), name, function)


def _subject(config: ServerConfig, name: str, function: Callable[..., int]) -> Subject:
    stage: Any = (*config.breakers, *config.patterns)[0]
    bound = ("legs", "pairs_of") if getattr(stage, "across", ()) else _BOUND
    return Subject(
        config,
        name,
        function.__name__,
        int(getattr(function, "legs", 1)),
        tuple(getattr(function, "params", ())),
        is_bound=any(getattr(stage, key, ()) for key in bound),
        scope=int(getattr(function, "scope", Scope.INSTRUMENT)),
    )


def _of_file(path: Path, name: str, base: ServerConfig) -> Subject:
    file = load_config(path, StrategyFile)
    every: list[_Any] = [*file.breakers, *file.patterns, *file.definitions]
    known = ", ".join(each.name for each in every) or "none"
    chosen = [each for each in every if each.name == name] if name else every
    if len(chosen) != 1:
        what = f"nothing is named {name!r}" if name else f"it has {len(every)} functions"
        raise ConfigError(
            f"{path}: {what}; say {path}:NAME with one of the names in [[patterns]],"
            f" [[definitions]] and [[breakers]]: {known}"
        )
    stage = chosen[0]
    base = structs.replace(
        base,
        groups={**base.groups, **file.groups},
        sectors={**base.sectors, **file.sectors},
        feeds=(*base.feeds, *_more_feeds(base, getattr(stage, "across", ()))),
    )
    if isinstance(stage, DefinedConfig):
        config = structs.replace(base, definitions=(stage,))
        is_alone = bool(stage.instruments) and not stage.across
        is_bound = bool(is_alone or stage.choices or stage.pairs_of)
        names = tuple(stage.params)
        return Subject(config, stage.name, "", len(stage.legs), names, is_bound)
    where = f"{path}: {stage.name!r}"
    function = load_function(stage.function, where)
    if isinstance(stage, PatternConfig):
        return _subject(structs.replace(base, patterns=(stage,)), stage.name, function)
    return _subject(structs.replace(base, breakers=(stage,)), stage.name, function)


def _more_feeds(base: ServerConfig, names: Sequence[str]) -> list[FeedConfig]:
    """Feeds that a pattern looks at and `base` has not. A tape is of one: --legs, or what was
    planted together, stands for them.
    """
    missing = [name for name in dict.fromkeys(names) if name not in base.feed_names]
    return [structs.replace(base.feed, name=name) for name in missing]


def _only_name(path: Path) -> str:
    """The name of the only function in a file that is marked."""
    try:
        module = load_file(path.resolve())
    except Exception as error:  # noqa: BLE001 - a user's module may fail in any way
        raise ConfigError(f"{path}: cannot load it: {type(error).__name__}: {error}") from None
    names = [
        name
        for name, each in vars(module).items()
        if callable(each) and hasattr(each, "params") and each.__module__ == module.__name__
    ]
    if len(names) != 1:
        listed = ", ".join(names) or "none"
        raise ConfigError(
            f"{path}: it has {len(names)} functions that are marked with @pattern or @breaker"
            f" ({listed}); say which: {path}:FUNCTION"
        )
    return names[0]
