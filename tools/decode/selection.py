"""Which messages are shown: by type, by symbol, by locate code."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.decode.entries import Row, SymbolFields


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; an empty set or None is no condition."""

    types: frozenset[str] = frozenset()
    symbol: str | None = None
    locate: int | None = None


class Selection:
    """Decides over the messages of one flow, in their order: which locate codes and tokens belong
    to the symbol is learned from the messages that name it.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._linked: set[Any] = set()
        self.is_open = wanted == Wanted()
        """Everything is shown: nothing has to be asked or learned."""

    def accepts(self, row: Row, fields: SymbolFields) -> bool:
        """Whether to show this message; `fields` are those of its protocol."""
        wanted = self._wanted
        # Learned from every message, shown or not.
        is_symbol = wanted.symbol is None or self._is_of_symbol(row, fields, wanted.symbol)
        if wanted.types and not {row.type, row.name} & wanted.types:
            return False
        if wanted.locate is not None and row.values.get("stock_locate") != wanted.locate:
            return False
        return is_symbol

    def _is_of_symbol(self, row: Row, fields: SymbolFields, symbol: str) -> bool:
        # Locate 0 is no instrument: messages about the whole market have it, and K beside a symbol.
        links = {row.values[name] for name in fields.links if row.values.get(name)}
        named = list(_find(row.values, fields.symbol))
        if not named:
            is_symbol = not links.isdisjoint(self._linked)
        else:
            is_symbol = symbol in named
            self._linked -= links
        if is_symbol:
            self._linked |= links
        return is_symbol


def _find(values: Mapping[str, Any], name: str) -> Iterator[Any]:
    """The values of a field wherever it stands: at the top, in entries of groups, repeated."""
    for key, value in values.items():
        items = value if isinstance(value, list) else (value,)
        for item in items:
            if isinstance(item, dict):
                yield from _find(item, name)
            elif key == name:
                yield item
