"""A TOML file checked against a frozen Struct, or one line that says what is wrong, and where.

    server.toml:12: [feed.line_a] unknown key 'prot', did you mean 'port'?

The rules are those of the Struct (msgspec, strict: no text is taken for a number); the line is
found by scanning the text, because the TOML reader keeps no positions.
`FEEDHANDLER_<SECTION>__<KEY>` in the environment overrides a key; deeper sections take more double
underscores. Precedence is environment, file, defaults of the Struct.
"""

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from feedhandler.server.errors import ConfigError, ExitCode, UserError
from feedhandler.server.toml_lines import KeyPath, line_numbers

ENVIRON_PREFIX = "FEEDHANDLER_"
_MAX_SIZE_BYTES = 1 << 20

T = TypeVar("T")

_AT = re.compile(r"(?P<text>.*?)(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
_PATH_PART = re.compile(r"\.(?P<key>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")
_UNKNOWN_KEY = re.compile(r"Object contains unknown field `(?P<key>.*)`\Z", re.DOTALL)
_MISSING_KEY = re.compile(r"Object missing required field `(?P<key>.*)`\Z", re.DOTALL)
_TOML_AT = re.compile(r" \(at (?:line (?P<line>\d+), column \d+|end of document)\)\Z")
_ANY = "[...]"
_WRAPPERS = (typing.Union, types.UnionType, typing.Annotated)

_TYPE_WORDS = {
    "`int`": "an integer",
    "`float`": "a number",
    "`bool`": "true or false",
    "`str`": "text in quotes",
    "`array`": "a list",
    "`object`": "a table",
}


def load_config(
    path: Path | str,
    kind: type[T],
    *,
    environ: Mapping[str, str] | None = None,
    prefix: str = ENVIRON_PREFIX,
) -> T:
    """The configuration in the file at `path` as a `kind` (a Struct with forbid_unknown_fields).

    `environ` (usually os.environ; none by default) overrides keys by variables that start with
    `prefix`. Raises ConfigError, whose text is one line.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_describe_syntax(path, text, str(error))) from None
    origins = _apply_environ(data, kind, environ or {}, prefix)
    try:
        return msgspec.convert(data, kind, strict=True, dec_hook=_convert_path)
    except msgspec.ValidationError as error:
        fault, key_path = _parse_fault(error)
        key_path = _name_wild_keys(data, kind, fault, key_path)
        where = _locate(path, text, key_path, origins)
        raise ConfigError(f"{where}: {_describe(data, kind, fault, key_path)}") from None


def check_writable(path: str, key: str = "report_file") -> None:
    """UserError when the file of `key`, written later, could not be; "" is no file."""
    if not path:
        return
    folder = Path(path).parent
    if not os.access(folder, os.W_OK | os.X_OK) or Path(path).is_dir():
        raise UserError(
            f"{key}: cannot write {path}; name a file in a folder that exists and that this user"
            " may write to",
            ExitCode.CANNOT_WRITE,
        )


def _read_text(path: Path) -> str:
    """The file's text; ConfigError when there is none that could be a configuration."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_SIZE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file; check the path") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the configuration: {error.strerror}") from None
    if len(raw) > _MAX_SIZE_BYTES:
        raise ConfigError(f"{path}: larger than 1 MiB; a configuration is a short TOML file")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _describe_syntax(path: Path, text: str, fault: str) -> str:
    """The TOML reader's complaint with its line in front, where editors look for it."""
    at = _TOML_AT.search(fault)
    line = int(at["line"]) if at and at["line"] else max(1, len(text.splitlines()))
    reason = _TOML_AT.sub("", fault)
    return f"{path}:{line}: not valid TOML: {reason[:1].lower()}{reason[1:]}; correct this line"


def _convert_path(kind: type[Any], value: object) -> object:
    """Paths are written as text; msgspec asks about every type that it does not know."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def _apply_environ(
    data: dict[str, Any], kind: type[Any], environ: Mapping[str, str], prefix: str
) -> dict[KeyPath, str]:
    """Put overriding values into `data`; tells which variable set which key.

    ConfigError for a variable that goes into something that is no section.
    """
    origins: dict[KeyPath, str] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(prefix) or "__" not in variable:
            continue
        keys = tuple(part.lower() for part in variable[len(prefix) :].split("__"))
        table: Any = data
        for depth, key in enumerate(keys[:-1]):
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                where = ".".join(keys[: depth + 1])
                raise ConfigError(
                    f"environment variable {variable}: {where!r} is no section; set it as a whole"
                )
        table[keys[-1]] = _environ_value(kind, keys, text)
        origins[keys] = variable
    return origins


def _environ_value(kind: type[Any], keys: KeyPath, text: str) -> object:
    """The text itself where the key takes text, otherwise what it means as a TOML value."""
    parent = _type_at(kind, keys[:-1])
    leaf = {field.encode_name: field.type for field in _fields(parent)}.get(str(keys[-1]), str)
    try:
        msgspec.convert(text, leaf, strict=True, dec_hook=_convert_path)
    except msgspec.ValidationError:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _type_at(kind: Any, keys: KeyPath) -> Any:
    """The type of what stands at `keys`, or None where the configuration knows no such key."""
    for key in keys:
        if isinstance(key, int):
            kind = _item_type(kind)
            continue
        by_name = {field.encode_name: field.type for field in _fields(kind)}
        kind = by_name[key] if key in by_name else _item_type(kind)
    return kind


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Fields of a Struct, also within a union or an Annotated; none for any other type."""
    members = typing.get_args(kind) if typing.get_origin(kind) in _WRAPPERS else ()
    for candidate in (kind, *members):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return msgspec.structs.fields(candidate)
    return ()


def _item_type(kind: Any) -> Any:
    """Type of the items of a list or of the values of a dict."""
    arguments = [item for item in typing.get_args(kind) if item is not Ellipsis]
    return arguments[-1] if arguments else None


def _parse_fault(error: msgspec.ValidationError) -> tuple[str, KeyPath]:
    """The sentence of msgspec taken apart: what is wrong, and the path of keys to it."""
    match = _AT.match(str(error))
    text, where = (match["text"], match["path"] or "") if match else (str(error), "")
    parts: list[str | int] = []
    for part in _PATH_PART.finditer(where):
        if part["any"]:
            parts.append(_ANY)
        else:
            parts.append(int(part["index"]) if part["index"] else part["key"])
    named = _UNKNOWN_KEY.match(text) or _MISSING_KEY.match(text)
    return text, (*parts, named["key"]) if named else tuple(parts)


def _name_wild_keys(data: Any, kind: type[Any], fault: str, key_path: KeyPath) -> KeyPath:
    """`key_path` with the real key for each `[...]`, which stands for some entry of a dict.

    An entry is the one when the configuration with that entry alone has the same fault.
    """
    while _ANY in key_path:
        depth = key_path.index(_ANY)
        table = _value_at(data, key_path[:depth])
        entries = dict(table)
        for key, value in entries.items():
            table.clear()
            table[key] = value
            try:
                msgspec.convert(data, kind, strict=True, dec_hook=_convert_path)
            except msgspec.ValidationError as error:
                if _parse_fault(error)[0] == fault:
                    key_path = (*key_path[:depth], key, *key_path[depth + 1 :])
                    break
        else:
            return key_path[:depth]
    return key_path


def _value_at(data: Any, key_path: KeyPath) -> Any:
    """What the path leads to."""
    for key in key_path:
        data = data[key]
    return data


def _describe(data: Any, kind: type[Any], fault: str, key_path: KeyPath) -> str:
    """Section in brackets, what is wrong there, and what to do."""
    depth = len(key_path)
    while depth and isinstance(key_path[depth - 1], int):
        depth -= 1
    section, key = key_path[: max(depth - 1, 0)], key_path[max(depth - 1, 0) :]
    if _UNKNOWN_KEY.match(fault):
        known = [field.encode_name for field in _fields(_type_at(kind, section))]
        sentence = f"unknown key {key[-1]!r}, {_suggest(str(key[-1]), known)}"
    elif _MISSING_KEY.match(fault):
        is_section = bool(_fields(_type_at(kind, key_path)))
        noun = f"section [{_dotted(key_path)}]" if is_section else f"key {key[-1]!r}"
        sentence = f"missing {noun}; add it"
    else:
        sentence = _plain(fault)
        value = _value_at(data, key_path)
        if "got" not in fault and isinstance(value, int | float | str):
            sentence += f", not {value!r}" if "expected" in sentence else ""
        if choices := _choices(_type_at(kind, key_path)):
            sentence += f"; choose one of {choices}"
        sentence = f"{_dotted(key)}: {sentence}" if key else sentence
    return f"[{_dotted(section)}] {sentence}" if section else sentence


def _choices(kind: Any) -> str:
    """Values of a Literal, or nothing for any other type."""
    if typing.get_origin(kind) is not typing.Literal:
        return ""
    return ", ".join(repr(value) for value in typing.get_args(kind))


def _locate(path: Path, text: str, key_path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    """The variable that set the key, or the file with the line of the key or of its section."""
    if key_path in origins:
        return f"environment variable {origins[key_path]}"
    lines = line_numbers(text)
    for depth in range(len(key_path), 0, -1):
        around = key_path[:depth]
        if around in lines:
            return f"{path}:{lines[around]}"
        for keys, variable in origins.items():
            if keys[:depth] == around:
                return f"environment variable {variable}"
    return str(path)


def _dotted(key_path: KeyPath) -> str:
    """`feed.line_a`, with list positions as `lines[0]`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in key_path)
    return text.removeprefix(".")


def _suggest(key: str, known: list[str]) -> str:
    """The nearest known key, or all of them."""
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known keys: {', '.join(known)}" if known else "remove it"


def _plain(what: str) -> str:
    """The sentence of msgspec in the words of a TOML file."""
    for code, words in _TYPE_WORDS.items():
        what = what.replace(code, words)
    return what[:1].lower() + what[1:].replace("`", "")
