"""Which line of a TOML text each key stands on; needed only to word an error."""

import tomllib
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys from the top of a document; an integer is a position in a list."""


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every key and section of a valid document.

    Elements of an array of tables go by position. Keys inside an inline table or list are on the
    line of the key that holds them, and not listed.
    """
    found: dict[KeyPath, int] = {}
    positions: dict[KeyPath, int] = {}
    section: KeyPath = ()
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        line = lines[index].strip()
        if line.startswith("["):
            section = _section_path(line, positions)
            found.setdefault(section, index + 1)
        elif line and not line.startswith("#"):
            key_path, value = _split_statement(line)
            for depth in range(1, len(key_path) + 1):
                found.setdefault(section + key_path[:depth], index + 1)
            index = _last_line_of_value(lines, index, value)
        index += 1
    return found


def _section_path(line: str, positions: dict[KeyPath, int]) -> KeyPath:
    """Path that `[a.b]` or `[[a.b]]` opens; `positions` has the last element of each array."""
    names = _only_keys(tomllib.loads(line))
    is_array = line.startswith("[[")
    path: KeyPath = ()
    for depth, name in enumerate(names, 1):
        path = (*path, name)
        if is_array and depth == len(names):
            positions[path] = positions.get(path, -1) + 1
        if path in positions:
            path = (*path, positions[path])
    return path


def _split_statement(line: str) -> tuple[KeyPath, str]:
    """Keys and text of the value of `a."b=c".d = value`; a quoted key may hold an equals sign."""
    for at, character in enumerate(line):
        if character == "=":
            try:
                return _only_keys(tomllib.loads(line[:at] + "= 0")), line[at + 1 :]
            except tomllib.TOMLDecodeError:
                continue
    return (), ""


def _only_keys(table: Any) -> KeyPath:
    """Keys of a document that has one at each level."""
    keys: list[str] = []
    while isinstance(table, dict) and table:
        (key,) = table
        keys.append(key)
        table = table[key]
        if isinstance(table, list):
            break
    return tuple(keys)


def _last_line_of_value(lines: list[str], index: int, value: str) -> int:
    """Index of the line where the value ends that starts on line `index`."""
    while index + 1 < len(lines):
        try:
            tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            index += 1
            value += "\n" + lines[index]
        else:
            break
    return index
