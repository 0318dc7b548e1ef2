"""What differs between two configurations, key by key, in the words of the file."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

_MISSING = "none"
_HIDDEN = "password"
_TEXT_MAX = 80


class Change(NamedTuple):
    """A key (`patterns[spread].params.limit`), and what it was and is, as text."""

    key: str
    old: str
    new: str

    @property
    def table(self) -> str:
        """The first part of the key."""
        return self.key.partition(".")[0].partition("[")[0]

    def __str__(self) -> str:
        """One line for a log."""
        return f"{self.key}: {self.old} -> {self.new}"


def changes_between(old: msgspec.Struct, new: msgspec.Struct) -> list[Change]:
    """Every key whose value differs; a table of a list goes by its name. Of a table that one side
    lacks there is one entry.
    """
    return list(_differ("", msgspec.to_builtins(old), msgspec.to_builtins(new)))


def _differ(key: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    old_items, new_items = _items(old), _items(new)
    if old_items is None or new_items is None:
        yield Change(key, _shown(key, old), _shown(key, new))
        return
    for name in dict.fromkeys((*old_items, *new_items)):
        inner = f"{key}{name}" if name.startswith("[") else f"{key}.{name}".lstrip(".")
        if name not in old_items:
            yield Change(inner, _MISSING, _shown(inner, new_items[name]))
        elif name not in new_items:
            yield Change(inner, _shown(inner, old_items[name]), _MISSING)
        else:
            yield from _differ(inner, old_items[name], new_items[name])


def _items(value: Any) -> Mapping[str, Any] | None:
    """What a table, or a list of tables with names, is made of."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple)) and any(
        isinstance(each, Mapping) and "name" in each for each in value
    ):
        return {f"[{each['name']}]": each for each in value}
    return {} if value in ([], ()) else None


def _shown(key: str, value: Any) -> str:
    if key.endswith(_HIDDEN):
        return "(hidden)"
    if isinstance(value, Mapping):
        return f"{{{', '.join(value)}}}" if "name" not in value else "given"
    text = str(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}..."
