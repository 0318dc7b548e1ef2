"""Writes the tables of docs/configuration.md: `python -m tools.docs_config`.

Keys, types, ranges and defaults come from the Structs that read the files, the words from here; a
key without words, or words without a key, is an error. A test compares the page with what this
writes, so the page cannot fall behind.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from feedhandler.server.config import PriorityConfig, ServerConfig
from feedhandler.server.errors import ExitCode
from tools.docs_config_words import EXCHANGE_WORDS, EXIT_CODE_WORDS, SERVER_WORDS, Words
from tools.exchange.config import ExchangeConfig
from tools.marked_page import fill_in_parts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"
_NO_LIMIT = 1_000_000_000_000
_UNIT_SUFFIXES = ("ns", "us", "ms", "s", "bytes", "bps")


def server_tables() -> str:
    """Every key of a server's file, a table for each section, and the lanes by default."""
    return "\n".join((*_tables(ServerConfig, SERVER_WORDS), *_lanes_table()))


def exchange_tables() -> str:
    """Every key of an exchange's file, a table for each section."""
    return "\n".join(_tables(ExchangeConfig, EXCHANGE_WORDS))


def exit_code_table() -> str:
    """Exit codes of all commands."""
    if set(EXIT_CODE_WORDS) != set(ExitCode):
        raise ValueError("tools/docs_config_words.py: EXIT_CODE_WORDS and ExitCode differ")
    rows = [f"| {int(code)} | {EXIT_CODE_WORDS[code]} |" for code in ExitCode]
    return "\n".join(("| code | meaning |", "|---|---|", *rows)) + "\n"


def fill_in(page: str) -> str:
    """`page` with what stands between its markers written anew; ValueError without a marker."""
    parts = {
        "server": server_tables(),
        "exchange": exchange_tables(),
        "exit-codes": exit_code_table(),
    }
    return fill_in_parts(page, parts, "docs/configuration.md")


def _tables(kind: type[msgspec.Struct], words: Words) -> Iterator[str]:
    """A heading and a table for each Struct; ValueError when words and keys differ."""
    sections: dict[type, list[str]] = {}
    for struct, name in _sections(kind, ""):
        sections.setdefault(struct, []).append(name)
    _compare({struct.__name__ for struct in sections}, words.keys(), "tables")
    for struct, names in sections.items():
        fields = _fields(struct)
        meanings = words[struct.__name__]
        _compare({field.encode_name for field in fields}, meanings.keys(), struct.__name__)
        yield (
            "### " + (", ".join(f"`{name}`" for name in names if name) or "Top of the file") + "\n"
        )
        yield "| key | type | default | unit | meaning |"
        yield "|---|---|---|---|---|"
        for field in fields:
            key = field.encode_name
            cells = (f"`{key}`", _type(field.type), _default(field), _unit(key), meanings[key])
            yield "| " + " | ".join(cells) + " |"
        yield ""


def _compare(keys: AbstractSet[str], words: AbstractSet[str], where: str) -> None:
    for name in sorted(keys ^ words):
        fault = "has no words" if name in keys else "is no key any more"
        raise ValueError(f"tools/docs_config_words.py: {where}: {name} {fault}")


def _fields(struct: type) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct.__name__} is no Struct")
    return info.fields


def _sections(struct: type, name: str) -> Iterator[tuple[type, str]]:
    """(Struct, section as the file writes it), a section before those within it."""
    yield struct, name
    for field in _fields(struct):
        inner = _struct_within(field.type)
        if inner is not None:
            dotted = f"{name.strip('[]')}.{field.encode_name}".removeprefix(".")
            is_list = isinstance(field.type, inspect.VarTupleType)
            yield from _sections(inner, f"[[{dotted}]]" if is_list else f"[{dotted}]")


def _struct_within(found: inspect.Type) -> type[msgspec.Struct] | None:
    """The Struct that a field holds, is a list of, or may be without."""
    if isinstance(found, inspect.StructType):
        return found.cls
    if isinstance(found, inspect.VarTupleType):
        return _struct_within(found.item_type)
    if isinstance(found, inspect.UnionType):
        return next(filter(None, map(_struct_within, found.types)), None)
    return None


def _type(found: inspect.Type) -> str:
    """The type in the words of a TOML file, with its range."""
    if isinstance(found, inspect.UnionType):
        return next(_type(item) for item in found.types if not isinstance(item, inspect.NoneType))
    if isinstance(found, inspect.LiteralType):
        return " or ".join(f'`"{value}"`' for value in found.values)
    if isinstance(found, inspect.VarTupleType):
        if _struct_within(found) is not None:
            return "tables"
        return f"list of {_type(found.item_type)}"
    if isinstance(found, inspect.DictType):
        return f"table of {_type(found.value_type)}"
    if isinstance(found, inspect.IntType):
        return "integer" + _range(found.ge, found.le)
    if isinstance(found, inspect.FloatType):
        limits = ((">=", found.ge), (">", found.gt), ("<=", found.le), ("<", found.lt))
        shown = (f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
        return " ".join(("number", *shown))
    plain = {
        inspect.StrType: "text",
        inspect.BoolType: "`true` or `false`",
        inspect.StructType: "table",
    }
    return plain[type(found)]


def _range(low: int | None, high: int | None) -> str:
    """The range, without limits that only keep 64-bit arithmetic from overflowing."""
    shown_low = low if low is not None and low > -_NO_LIMIT else None
    shown_high = high if high is not None and high < _NO_LIMIT else None
    if shown_low is not None and shown_high is not None:
        return f" {shown_low:,} to {shown_high:,}"
    if shown_low is not None:
        return f" >= {shown_low:,}"
    return f" <= {shown_high:,}" if shown_high is not None else ""


def _default(field: inspect.Field) -> str:
    """The default as TOML writes it; for a section, whether it must be there."""
    if field.required:
        return "**required**"
    if isinstance(field.default_factory, type):
        return "empty"
    if field.default_factory is not msgspec.NODEFAULT:
        return "see below"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, msgspec.Struct):
        return "as below"
    return _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return f"`{value:_}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(_toml(each).strip('`') for each in value)}]`"
    if isinstance(value, msgspec.Struct):
        keys = ((name, _toml(getattr(value, name)).strip("`")) for name in value.__struct_fields__)
        return "{ " + ", ".join(f"{name} = {shown}" for name, shown in keys) + " }"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _unit(key: str) -> str:
    """The unit that a key's last word names."""
    last = key.rpartition("_")[2]
    return last if last in _UNIT_SUFFIXES else ""


def _lanes_table() -> Iterator[str]:
    """The scores of `[priority] kinds` as they are without it, and the lanes of these scores."""
    yield "Without `[priority.kinds]` the scores are:\n"
    yield "| score | lane | kinds of messages |"
    yield "|---|---|---|"
    config = PriorityConfig()
    kinds = config.kinds
    for score in sorted(set(kinds.values()), reverse=True):
        named = ", ".join(f"`{kind}`" for kind, found in kinds.items() if found == score)
        yield f"| {score} | {_lane(config, score)} | {named} |"
    score = config.default_score
    yield f"| {score} | {_lane(config, score)} | every other kind (`default_score`) |"
    score += config.deep_quote_score
    yield f"| {score} | {_lane(config, score)} | of these, orders behind the touch |\n"


def _lane(config: PriorityConfig, score: int) -> int:
    return sum(score < least for least in config.from_score)


if __name__ == "__main__":
    PAGE.write_text(fill_in(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
